"""The main job on Discord: deploy, look, approve, live, roll back; and what people hear of it meanwhile."""

from bot.release.record import Phase
from bot.release.verbs import Verb


async def test_the_main_job_from_deploy_to_live_and_back(stage):
    answer = await stage.deploy("green")
    assert answer.ephemeral
    assert answer.response.content.startswith(
        "mochi #1 (`mochi:green`) is being prepared: https://discord.com/channels/"
    )
    card = await stage.card()
    assert str(card.id) in answer.response.content
    assert card.content == "🟡 mochi #1 (green) is waiting for QC and Lead"
    assert stage.labels(card) == ["Preview", "Production", "Reject"]
    assert await stage.reactions() == {"✅": {"TestBot"}, "⛔": {"TestBot"}}
    assert stage.world.serving() == {"blue"}

    await stage.react(stage.kim)
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for Lead"
    assert stage.world.serving() == {"blue"}

    await stage.react(stage.leo)
    card = await stage.card()
    assert card.content.startswith("🟢 mochi #1 (green) is live, watching until <t:")
    assert stage.labels(card) == ["Production", "Roll back"]
    assert stage.world.serving() == {"green"}
    assert await stage.reactions() == {"✅": {"kim", "leo"}}

    answer = await stage.roll_back(stage.sam, "too slow")
    assert answer.response.content == "mochi #1 is being rolled back. Moves traffic back to `mochi:blue` at once."
    card = await stage.card()
    assert card.content == "🟠 mochi #1 (green) was rolled back by @sam to `mochi:blue` after 0 s: too slow"
    assert stage.labels(card) == ["Production"]
    assert stage.world.serving() == {"blue"}
    assert await stage.phase() is Phase.REVERTED


async def test_one_release_is_one_message_edited_in_place(stage):
    await stage.go_live()
    cards = [each for each in stage.channel.history() if each.embeds]
    assert len(cards) == 1


async def test_the_watch_ends_by_itself_and_capacity_can_be_released(stage):
    await stage.go_live()
    await stage.advance(minutes=6)
    card = await stage.card()
    assert card.content == "🟢 mochi #1 (green) is live"
    assert stage.labels(card) == ["Production", "Roll back", "Release capacity"]
    answer = await stage.press(stage.sam, Verb.RELEASE_CAPACITY)
    assert "rolling back will redeploy it" in answer.response.content
    await stage.advance(minutes=1)
    assert stage.labels(await stage.card()) == ["Production", "Roll back"]
    shown = await stage.press(stage.sam, Verb.ROLL_BACK)
    assert shown.modal["components"][0]["description"] == "Redeploys mochi:blue, about 40 s: the old pods are gone."


async def test_the_thread_tells_what_happened_in_the_order_of_time_with_whole_digests(stage):
    await stage.go_live()
    told = await stage.thread()
    digest = stage.world.shelf.tags["green"]
    said = ["ann asked for mochi:green", digest, "mochiapp-green will run it", "approval is asked for"]
    said += ["kim approved", "leo approved", "switch mochiapp to mochi:green", "> live"]
    places = [told.index(each) for each in said]
    assert places == sorted(places)


async def test_nothing_is_told_twice(stage):
    await stage.go_live()
    for release in await stage.world.store.current():
        stage.bot.cards.changed(release)
    await stage.settle()
    lines = (await stage.thread()).splitlines()
    assert len(lines) == len(set(lines))


async def test_it_is_somebodys_turn_is_said_once_to_exactly_the_roles_that_are_open(stage):
    await stage.deploy()
    await stage.react(stage.kim)
    await stage.unreact(stage.kim)
    pings = [body for body in stage.messages if "is ready to look at" in body["content"]]
    assert len(pings) == 1
    qc, lead = stage.roles["QC"].id, stage.roles["Lead"].id
    assert pings[0]["allowed_mentions"]["roles"] == [qc, lead]
    assert pings[0]["allowed_mentions"]["parse"] == []
    assert (
        pings[0]["content"] == f"<@&{qc}> <@&{lead}>: mochi #1 is ready to look at: <http://preview.mochi.example.com/>"
    )
    assert int(pings[0]["message_reference"]["message_id"]) == (await stage.card()).id


async def test_who_asked_is_told_in_the_thread_when_it_is_over(stage):
    await stage.go_live()
    await stage.advance(minutes=6)
    last = [body for body in stage.messages if body["allowed_mentions"].get("users")]
    assert len(last) == 1
    assert last[0]["allowed_mentions"]["users"] == [stage.ann.id]
    assert last[0]["content"].endswith(f"<@{stage.ann.id}> 🟢 mochi #1 (green) is live")


async def test_names_mean_exactly_their_characters_wherever_they_are_shown(stage):
    """S19."""
    name = "@everyone **x** [y](https://evil.example)"
    both = [stage.roles["QC"], stage.roles["Developer"], stage.roles["On-call"]]
    eve = stage.guild.add_member(stage.env.create_user("eve", global_name=name), roles=both)
    await stage.deploy(who=eve)
    await stage.react(eve)
    await stage.react(eve, "⛔")
    card = await stage.card()
    for text in (card.content, card.embeds[0].description or "", await stage.thread()):
        assert "@everyone" not in text
        assert "**x**" not in text
        assert "https://evil" not in text
    assert r"\*\*x\*\*" in card.content


async def test_nobody_else_is_ever_mentioned(stage):
    await stage.go_live()
    await stage.roll_back(stage.sam, "@everyone look")
    mentioned = {
        (kind, each)
        for body in stage.messages
        for kind in ("users", "roles")
        for each in body["allowed_mentions"].get(kind, ())
    }
    assert mentioned == {
        ("users", stage.ann.id),
        ("roles", stage.roles["QC"].id),
        ("roles", stage.roles["Lead"].id),
    }


async def test_a_candidate_that_cannot_start_is_shown_with_its_reason(stage):
    await stage.deploy("nopull")
    card = await stage.card()
    assert card.content.startswith("⚪ mochi #1 (nopull) could not start: ")
    assert "pull" in card.content
    assert stage.labels(card) == ["Deploy again"]


async def test_a_slow_candidate_shows_how_many_pods_are_ready_and_what_it_waits_for(stage):
    await stage.deploy("slow")
    card = await stage.card()
    assert card.content == "🔵 mochi #1 (slow) is being prepared"
    assert "`▱▱▱▱▱` 0 of 2 pods ready" in card.embeds[0].description
    assert stage.labels(card) == ["Production", "Abandon"]
    await stage.advance(minutes=2)
    assert (await stage.card()).content == "🟡 mochi #1 (slow) is waiting for QC and Lead"


async def test_when_a_newer_version_is_live_the_older_card_says_so(stage):
    await stage.go_live("green")
    await stage.advance(minutes=6)
    await stage.go_live("purple")
    await stage.settle()
    older = await stage.card(1)
    assert older.content == "⚪ mochi #1 (green) was live until #2"
    assert stage.labels(older) == ["Production"]
    await stage.roll_back(stage.sam)
    await stage.settle()
    assert (await stage.card(1)).content == "🟢 mochi #1 (green) is live"
