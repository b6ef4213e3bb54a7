"""What people may ask for and how they are turned down; nothing that is refused changes anything."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.clusters.errors import ClusterError
from bot.desk import UNPINNED, AlreadyOpen
from bot.registry import ImageNotFound, RegistryError
from bot.release.app import Timing
from bot.release.approvals import Vote
from bot.release.errors import Refused
from bot.release.machine import DRAIN, Verb
from bot.release.record import Cause, Phase
from bot.view import Kind
from world import ANN, BO, GUEST, KIM, LEO, NAMESPACE, QC, SAM, World, digest, example


async def untouched(world) -> bool:
    return world.api.writes == [] and await world.store.newest("mochi") is None


@pytest.mark.parametrize(
    ("person", "image", "said"),
    [
        (GUEST, "green", "may deploy mochi"),
        (KIM, "green", "may deploy mochi"),
        (ANN, "teal", "not in registry.example.com"),
        (ANN, "evil.example.com/mochi:green", "not from a repository of mochi"),
        (ANN, "green\u202e", "not an image|no image has"),
        (ANN, "--flag", "not a tag"),
        (ANN, "", "No image was given"),
        (ANN, digest("blue"), "live already"),
        (ANN, "blue", "live already"),
    ],
)
async def test_a_deploy_that_is_refused_touches_nothing(world, person, image, said):
    with pytest.raises((Refused, ImageNotFound), match=said):
        await world.desk.deploy(world.app, image, person)
    assert await untouched(world)


@pytest.mark.parametrize("pin", [True, False])
async def test_i9_a_registry_that_is_away_blocks_a_deploy_unless_the_app_does_not_pin(tmp_path, pin):
    world = World(tmp_path / "greenlight.db", example(pin=pin))
    await world.start()
    world.shelf.away = RegistryError("the registry did not answer")
    if pin:
        with pytest.raises(RegistryError):
            await world.deploy()
        assert await untouched(world)
    else:
        release = await world.deploy()
        assert (release.image, release.pinned, release.notes) == (
            "registry.example.com/mochi:green",
            False,
            (UNPINNED,),
        )
    await world.store.close()


async def test_i3_a_release_is_bound_to_the_digest_that_was_shown(world):
    """S13: the tag may move afterwards."""
    release = await world.deploy("green")
    world.shelf.tags["green"] = digest("purple")
    release = await world.approve(KIM, LEO)
    assert release.image == f"registry.example.com/mochi@{digest('green')}"
    slot = world.cluster.objects.get("deployments", NAMESPACE, "mochiapp-green")
    assert slot["spec"]["template"]["spec"]["containers"][0]["image"] == release.image


async def test_a_cluster_that_does_not_answer_opens_no_release(world):
    def fault(call: str) -> None:
        raise ClusterError("away")

    world.api.fault = fault
    with pytest.raises(ClusterError):
        await world.desk.deploy(world.app, "green", ANN)
    assert await untouched(world)


async def test_i13_a_second_deploy_is_told_which_release_is_in_the_way(world):
    first = await world.deploy("green")
    with pytest.raises(AlreadyOpen) as refused:
        await world.desk.deploy(world.app, "purple", BO)
    assert refused.value.release.label == first.label
    assert (await world.newest()).number == 1


async def test_i13_of_two_deploys_at_once_one_is_refused(world):
    """Both have looked before either has opened its release."""
    check, desk = world.desk._check_new, world.desk

    async def and_another(*args, **kwargs):
        await check(*args, **kwargs)
        desk._check_new = check
        await desk.deploy(world.app, "purple", BO)

    desk._check_new = and_another
    with pytest.raises(AlreadyOpen) as refused:
        await desk.deploy(world.app, "green", ANN)
    assert (refused.value.release.asked, (await world.newest()).number) == ("mochi:purple", 1)


async def test_a_deploy_that_replaces_what_somebody_just_approved_is_refused(world):
    """The release moved on between the look at it and its replacement."""
    first = await world.deploy("green")
    check, desk = world.desk._check_new, world.desk

    async def moved_on(*args, **kwargs):
        await check(*args, **kwargs)
        await world.store.update(replace(first, phase=Phase.PROMOTING))

    desk._check_new = moved_on
    with pytest.raises(Refused, match="quicker"):
        await desk.deploy(world.app, "purple", ANN, replace=True)
    assert (await world.newest()).number == 1


async def test_old_pods_finish_before_their_slot_is_used_again(world):
    await world.release_live("green")
    with pytest.raises(Refused, match="still finishing"):
        await world.desk.deploy(world.app, "purple", ANN, replace=True)
    await world.advance(seconds=DRAIN.total_seconds())
    assert (await world.deploy("purple", replace=True)).number == 2


async def test_a_verb_of_somebody_without_the_role_changes_nothing(world):
    before = await world.deploy()
    for verb in Verb:
        with pytest.raises(Refused, match="Only <@&"):
            await world.desk.ask("mochi", 1, verb, GUEST)
    assert await world.newest() == before


@pytest.mark.parametrize("app", ["mochi", "unknown"])
async def test_a_release_that_does_not_exist_is_said_so(world, app):
    with pytest.raises(Refused, match=f"no {app} #9"):
        await world.desk.ask(app, 9, Verb.ROLL_BACK, SAM)


async def test_a_request_that_meets_another_is_decided_again(world):
    """The release becomes READY between the look and the write: to abandon it is then not possible, to reject it is."""
    await world.desk.deploy(world.app, "green", ANN)
    update, met = world.store.update, []

    async def overtaken(release, *events):
        world.store.update = update
        met.append(await world.run())
        return await update(release, *events)

    world.store.update = overtaken
    with pytest.raises(Refused, match="waiting for approval"):
        await world.desk.ask("mochi", 1, Verb.ABANDON, ANN)
    assert met[0].phase is Phase.READY
    assert (await world.run()).phase is Phase.READY


async def test_a_vote_that_does_not_count_is_in_the_journal_with_its_reason(world):
    release = await world.deploy()
    refusal = await world.desk.vote(release, SAM, approve=True)
    events = [event for event in await world.store.events(release) if event.kind == "vote refused"]
    assert refusal in events[0].text
    assert f"<@&{QC}>" in refusal


async def test_a_vote_that_is_taken_back_does_not_count_any_more(world):
    await world.deploy()
    release = await world.approve(KIM)
    await world.desk.withdraw(release, KIM.id, approve=True)
    await world.desk.withdraw(release, KIM.id, approve=True)
    await world.desk.withdraw(release, LEO.id, approve=True)
    release = await world.approve(LEO)
    assert release.phase is Phase.READY
    texts = [event.text for event in await world.store.events(release) if event.kind == "vote"]
    assert texts == ["kim approved", "kim took the approval back", "leo approved"]


async def test_votes_of_a_release_that_is_over_are_history(world):
    """Somebody clears the reactions of an old card."""
    release = await world.release_live()
    await world.desk.recount(release, [])
    assert {vote.person.id for vote in await world.store.votes(release)} == {KIM.id, LEO.id}


async def test_listing_the_same_votes_again_writes_nothing(world):
    await world.deploy()
    release = await world.approve(KIM)
    await world.desk.recount(release, [Vote(KIM, approve=True), Vote(GUEST, approve=True)])
    assert await world.newest() == release


async def test_a_version_that_was_rolled_back_is_not_deployed_again_by_accident(world):
    await world.release_live("green")
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM, "500s")
    await world.run()
    await world.advance(minutes=1)
    with pytest.raises(Refused, match=r"rolled back as mochi #1 \(500s\)"):
        await world.deploy("green")
    assert (await world.deploy("green", replace=True)).number == 2


@pytest.mark.parametrize(("warm_for", "asked"), [(3600, False), (3600, True), (5, False), (5, True)])
async def test_the_card_promises_an_instant_way_back_exactly_as_long_as_it_is_kept(tmp_path, warm_for, asked):
    """Never shorter than connections need to drain, and what is promised is what is done."""
    timing = Timing(warm_for=timedelta(seconds=warm_for), bake_for=timedelta(seconds=1))
    world = World(tmp_path / "greenlight.db", example(timing=timing))
    await world.start()
    await world.release_live()
    release = await world.advance(seconds=2)
    if asked:
        await world.desk.ask("mochi", 1, Verb.RELEASE_CAPACITY, SAM)
        release = await world.run()
    way_back = (await world.desk.view(release)).way_back
    assert way_back.kind is Kind.INSTANT
    left = (way_back.until - world.clock.now()).total_seconds()
    assert not (await world.advance(seconds=left - 1)).retired
    release = await world.advance(seconds=1)
    assert release.retired
    assert (await world.desk.view(release)).way_back.kind is Kind.REDEPLOY
    await world.store.close()


async def test_a_replaced_release_offers_no_buttons(world):
    await world.deploy("green")
    await world.deploy("purple", replace=True)
    old = await world.store.release("mochi", 1)
    view = await world.desk.view(old)
    assert (view.current, view.buttons, old.cause) == (False, (), Cause.REPLACED)


async def test_status_says_what_is_live_also_when_it_cannot_be_looked_at(world):
    status = await world.desk.status(world.app)
    assert (status.live.image, status.live.ready, status.open) == ("registry.example.com/mochi:blue", 2, None)
    await world.release_live()
    status = await world.desk.status(world.app)
    assert (status.live.image.partition("@")[2], status.live.ready) == (digest("green"), 2)

    def fault(call: str) -> None:
        raise ClusterError("the API server is away")

    world.api.fault = fault
    await world.controller.attempt(world.app)
    status = await world.desk.status(world.app)
    assert (status.trouble, status.newest.phase) == ("the API server is away", Phase.BAKING)
