"""`/deploy`: whom it obeys, what it refuses and how, and what it proposes while somebody types."""

from views import ANN

from bot.clusters.errors import Away
from bot.registry import RegistryError
from bot.release.record import Phase
from cogs.limits import validate_choices


async def refused(stage, who, **options):
    """The sentence of a refusal, which only that person sees and which leaves everything as it was."""
    before = await stage.world.store.newest("mochi")
    answer = await stage.slash(who, "deploy", **options)
    assert answer.ephemeral
    assert await stage.world.store.newest("mochi") == before
    return answer.response.content


async def test_somebody_without_the_role_is_told_whose_it_is(stage):
    role = stage.roles["Developer"].mention
    assert await refused(stage, stage.guest, image="green") == (
        f"Only {role} may deploy mochi. You do not have that role."
    )


async def test_an_unknown_app_is_refused_with_the_apps_that_there_are(stage):
    assert await refused(stage, stage.ann, image="green", app="`mocha`") == (
        "There is no app `'mocha'`. The apps are `mochi`."
    )


HOSTILE = {
    "nosuch": "is not in registry.example.com",
    "evil.example/mochi:green": "is not from a repository of mochi",
    "docker.io/mochi:green": "is not from a repository of mochi",
    "@sha256:1234:tag": "is not a digest",
    "green\u202e": "has a character that no image has",
    "green\nblue": "has a character that no image has",
    "--help": "is not a tag",
    "user:password@registry.example.com/mochi:green": "is not",
    "x" * 1000: "is too long",
    "@everyone": "is not",
}


async def test_hostile_or_wrong_images_are_refused_before_anything_is_touched(stage):
    """S12."""
    for image, says in HOSTILE.items():
        sentence = await refused(stage, stage.ann, image=image)
        assert says in sentence
        assert "\u202e" not in sentence
    assert stage.world.api.writes == []


async def test_an_image_that_is_live_already_is_refused(stage):
    await stage.go_live("green")
    await stage.advance(minutes=6)
    assert await refused(stage, stage.ann, image="green") == "mochi:green is live already."


async def test_an_open_release_is_in_the_way_and_is_linked(stage):
    await stage.deploy("green")
    card = await stage.card()
    sentence = await refused(stage, stage.ann, image="purple")
    assert sentence.startswith("mochi #1 (mochi:green) is still open. `replace:True` puts yours in its place.")
    assert sentence.endswith(f"/{card.channel.id}/{card.id}")


async def test_replace_puts_a_newer_candidate_in_the_place_of_the_open_one(stage):
    await stage.deploy("green")
    await stage.deploy("purple", replace=True)
    older, newer = await stage.card(1), await stage.card(2)
    assert older.content == "⚪ mochi #1 (green) was replaced by #2"
    assert stage.labels(older) == ["#2"]
    assert older.components[0].children[0].url.endswith(f"/{newer.id}")
    assert newer.content == "🟡 mochi #2 (purple) is waiting for QC and Lead"


async def test_a_digest_that_was_rolled_back_needs_a_confirmation(stage):
    await stage.go_live("green")
    await stage.roll_back(stage.sam, "too slow")
    await stage.advance(minutes=1)
    sentence = await refused(stage, stage.ann, image="green")
    assert "was rolled back as mochi #1 (too slow)" in sentence
    assert "replace:True" in sentence
    answer = await stage.deploy("green", replace=True)
    assert answer.response.content.startswith("mochi #2 (`mochi:green`) is being prepared")


async def test_a_registry_that_is_away_is_named_and_nothing_is_begun(stage):
    stage.world.shelf.away = RegistryError("registry.example.com did not answer within 10 s.")
    assert await refused(stage, stage.ann, image="green") == "registry.example.com did not answer within 10 s."


async def test_a_cluster_that_is_away_is_named_and_nothing_is_begun(stage):
    def fault(_):
        raise Away("the API server of **eu-1** did not answer")

    stage.world.api.fault = fault
    sentence = await refused(stage, stage.ann, image="green")
    stage.world.api.fault = None
    assert sentence == r"the API server of \*\*eu-1\*\* did not answer"


async def test_our_own_mistake_is_confessed_with_a_reference_and_no_detail(stage, monkeypatch):
    async def broken(*_, **__):
        raise KeyError("secret detail")

    monkeypatch.setattr(stage.world.desk, "deploy", broken)
    stage.expects_bugs = True
    sentence = await refused(stage, stage.ann, image="green")
    assert sentence.startswith("That broke on our side (ref ")
    assert "secret" not in sentence


async def test_in_another_channel_the_only_app_is_meant(stage):
    answer = await stage.slash(stage.ann, "deploy", image="green", channel=stage.elsewhere)
    assert "mochi #1" in answer.response.content
    assert (await stage.card()).channel.id == stage.channel.id


async def test_the_author_is_who_pressed_enter(stage):
    await stage.deploy("green", stage.ann)
    release = await stage.world.newest()
    assert (release.author.id, release.author.name) == (stage.ann.id, ANN.name)
    assert release.author.roles == {stage.roles["Developer"].id}


async def test_apps_are_proposed_to_those_who_may_deploy_them(stage):
    offered = await stage.ann.autocomplete(stage.channel, "deploy", "app", "mo")
    assert [each["value"] for each in offered] == ["mochi"]
    validate_choices(offered)
    assert await stage.guest.autocomplete(stage.channel, "deploy", "app", "mo") == []
    assert await stage.ann.autocomplete(stage.channel, "deploy", "app", "x") == []


async def test_tags_are_proposed_as_they_are_typed(stage):
    offered = await stage.ann.autocomplete(stage.channel, "deploy", "image", "gr")
    assert [each["value"] for each in offered] == ["green"]
    validate_choices(offered)
    assert await stage.guest.autocomplete(stage.channel, "deploy", "image", "gr") == []


async def test_at_most_25_legal_tags_are_proposed(stage):
    stage.world.shelf.tags = {f"{number}-{'x' * 90}": "" for number in range(40)} | {"y" * 101: ""}
    offered = await stage.ann.autocomplete(stage.channel, "deploy", "image", "")
    assert len(offered) == 25
    validate_choices(offered)


async def test_no_tag_is_proposed_for_an_app_that_is_not_there(stage):
    assert await stage.ann.autocomplete(stage.channel, "deploy", "image", "", app="mocha") == []


async def test_nothing_is_done_when_discord_does_not_confirm_that_it_heard_us(stage):
    """Another process may have taken it (40060): done twice, `replace:True` would replace its own release."""
    stage.env.inject_error("POST", "/interactions/*/*/callback", status=400, code=40060)
    await stage.slash(stage.ann, "deploy", image="green", replace=True)
    assert await stage.world.store.newest("mochi") is None


async def test_the_release_begins_even_if_its_card_cannot_be_posted_yet(stage):
    stage.env.inject_error("POST", "/channels/*/messages", status=503, times=None)
    answer = await stage.slash(stage.ann, "deploy", image="green")
    assert answer.response.content == "mochi #1 (`mochi:green`) is being prepared."
    assert await stage.phase() is Phase.READY
    stage.env.backend.faults.clear()
    await stage.env.advance_time(120)
    await stage.settle()
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for QC and Lead"
