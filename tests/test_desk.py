"""What people may ask for and how they are turned down; nothing that is refused changes anything."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from bot.clusters.errors import ClusterError
from bot.desk import MIRRORED, UNPINNED, AlreadyOpen
from bot.registry import ImageNotFound, RegistryError
from bot.release.app import Timing
from bot.release.approvals import Vote
from bot.release.errors import Refused
from bot.release.machine import DRAIN
from bot.release.record import Cause, Phase
from bot.release.verbs import Verb
from bot.view import Kind
from sandbox.cluster import PatchType
from world import ANN, BO, GUEST, KIM, LEAD, LEO, NAMESPACE, QC, REPOSITORY, SAM, World, digest, example


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


async def test_who_approves_is_told_that_only_a_mirror_knew_the_tag(world):
    """S13: a mirror may be behind, and then `green` is not what the person who typed it means."""
    world.shelf.mirror = "mirror.example.com"
    release = await world.deploy("green")
    assert release.pinned
    assert release.notes == (MIRRORED.format("mirror.example.com"),)


async def test_a_mirror_s_word_makes_no_tag_the_name_of_a_digest(world):
    world.shelf.mirror = "mirror.example.com"
    release = await world.deploy(f"{REPOSITORY}:green@{digest('green')}")
    assert (release.asked, release.notes) == (f"mochi@{digest('green')[7:19]}", ())


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
        desk._check_new = check
        await check(*args, **kwargs)
        await world.store.update(replace(first, phase=Phase.PROMOTING))

    desk._check_new = moved_on
    with pytest.raises(Refused, match="is switching"):
        await desk.deploy(world.app, "purple", ANN, replace=True)
    assert (await world.newest()).number == 1


async def test_a_vote_during_the_look_up_is_no_reason_to_refuse_a_replacement(world):
    first = await world.deploy("green")
    resolve, check, desk = world.shelf.resolve, world.desk._check_new, world.desk

    async def slow(image):
        await desk.vote(first, KIM, approve=True)
        return await resolve(image)

    async def slower(*args, **kwargs):
        desk._check_new = check
        await desk.vote(first, SAM, approve=True)
        await desk.withdraw(first, KIM.id, approve=True)
        await check(*args, **kwargs)

    world.shelf.resolve, desk._check_new = slow, slower
    assert (await desk.deploy(world.app, "purple", ANN, replace=True)).number == 2
    assert (await world.store.release("mochi", 1)).cause is Cause.REPLACED


async def test_nobody_replaces_a_release_that_was_not_there_when_it_was_asked_for(world):
    await world.deploy("green")
    resolve, desk = world.shelf.resolve, world.desk

    async def slow(image):
        world.shelf.resolve = resolve
        await desk.deploy(world.app, "slow", BO, replace=True)
        return await resolve(image)

    world.shelf.resolve = slow
    with pytest.raises(AlreadyOpen) as refused:
        await desk.deploy(world.app, "purple", ANN, replace=True)
    assert (refused.value.release.asked, (await world.newest()).number) == ("mochi:slow", 2)


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
    assert events[0].text == f"a vote of sam does not count: Only <@&{QC}> or <@&{LEAD}> may approve mochi."
    assert refusal.startswith(f"Only <@&{QC}>")
    assert "You" not in events[0].text, "the thread is read by everybody"


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


def kubectl(world, kind, name, path, value):
    patch = [{"op": "replace", "path": path, "value": value}]
    world.cluster.objects.patch(kind, NAMESPACE, name, patch, PatchType.JSON, manager="kubectl")
    world.cluster.settle()


async def test_a_live_release_keeps_its_way_back_when_the_next_one_comes_to_nothing(world):
    """#1 is live, #2 was rejected: the card of #1 offers what it can do, and the press does it."""
    await world.release_live("green")
    await world.advance(minutes=6)
    await world.deploy("purple")
    first = await world.store.release("mochi", 1)
    assert (await world.desk.view(first)).buttons == ()
    await world.desk.ask("mochi", 2, Verb.REJECT, KIM)
    await world.run()
    view = await world.desk.view(first)
    assert (view.buttons, view.way_back.kind, view.way_back.previous) == (
        (Verb.ROLL_BACK,),
        Kind.REDEPLOY,
        "mochi:blue",
    )
    with pytest.raises(Refused, match="Only <@&"):
        await world.desk.ask("mochi", 1, Verb.ROLL_BACK, GUEST)
    with pytest.raises(Refused, match="not the newest"):
        await world.desk.ask("mochi", 1, Verb.RELEASE_CAPACITY, SAM)
    opened = await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM, "500s")
    assert (opened.number, opened.restores) == (3, 1)
    await world.run()
    await world.advance(minutes=1)
    assert world.serving() == {"blue"}
    with pytest.raises(Refused, match="not the newest"):
        await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    assert (await world.desk.view(first)).buttons == ()


async def test_after_a_rollback_the_version_before_is_not_offered_to_be_taken_back(world):
    await world.release_live("green")
    await world.advance(minutes=6)
    await world.release_live("purple")
    await world.desk.roll_back(world.app, SAM)
    await world.run()
    first = await world.store.release("mochi", 1)
    assert (await world.desk.view(first)).buttons == ()


async def test_nobody_is_told_that_something_is_live_that_is_not(world):
    """Somebody moved the traffic to the candidate by hand."""
    await world.deploy("green")
    kubectl(world, "services", "mochiapp", "/spec/selector", {"app": "mochi", "color": "green"})
    release = await world.run()
    live = (await world.desk.view(release)).live
    assert (release.phase, live.image, world.serving()) == (Phase.ABANDONED, "", {"green"})
    assert live.changed_by.startswith("kubectl at ")
    await world.restart()
    assert (await world.desk.view(release)).live.image == ""


@pytest.mark.parametrize("retired", [False, True])
@pytest.mark.parametrize(
    ("selector", "image"), [({"app": "mochi", "color": "blue"}, f"{REPOSITORY}:blue"), ({"app": "mochi"}, "")]
)
async def test_who_moved_the_traffic_away_from_a_live_release_is_said(world, retired, selector, image):
    await world.release_live("green")
    await world.advance(**({"hours": 2} if retired else {"minutes": 6}))
    release = await world.run()
    assert (await world.desk.view(release)).moved_by == ""
    kubectl(world, "services", "mochiapp", "/spec/selector", selector)
    world.controller._resting.clear()
    await world.controller.attempt(world.app)
    assert ("mochi" in world.controller._resting) is retired  # else the traffic may come back, and there is more to do
    view, status = await world.desk.view(release), await world.desk.status(world.app)
    assert view.moved_by.startswith("kubectl at ")
    assert view.reason == f"the traffic was moved away by {view.moved_by}"
    assert (view.live.image, view.live.changed_by) == (image, "" if image else view.moved_by)
    assert image in {"", status.live.image}


async def test_a_release_that_began_when_the_one_before_was_not_live_any_more_tells_so(world):
    await world.release_live("green")
    await world.advance(minutes=6)
    kubectl(world, "services", "mochiapp", "/spec/selector", {"app": "mochi", "color": "blue"})
    await world.run()
    await world.deploy("purple")
    assert (await world.desk.view(await world.store.release("mochi", 1))).moved_by == "somebody"


async def test_status_counts_pods_when_it_is_asked(world):
    """The app has nothing left to do, so nobody else has looked for hours."""
    await world.release_live()
    await world.advance(minutes=6)
    await world.advance(hours=2)
    kubectl(world, "deployments", "mochiapp-green", "/spec/replicas", 0)
    world.cluster.advance(60)
    status = await world.desk.status(world.app)
    assert (status.live.ready, status.live.wanted, status.production) == (0, 0, status.production)


async def test_what_cannot_be_looked_at_is_not_counted(world):
    await world.release_live()

    def fault(call: str) -> None:
        raise ClusterError("the API server is away")

    world.api.fault = fault
    status = await world.desk.status(world.app)
    assert (status.trouble, status.live.name, status.live.ready) == ("the API server is away", "mochi:green", None)


async def test_people_read_names_from_the_second_release_on(world):
    await world.release_live("green")
    await world.advance(minutes=6)
    release = await world.release_live("purple")
    assert (await world.desk.view(release)).way_back.previous == "mochi:green"
    assert (await world.desk.status(world.app)).live.name == "mochi:purple"
    await world.desk.roll_back(world.app, SAM)
    release = await world.run()
    told = "\n".join(event.text for event in await world.store.events(release))
    assert "is live with mochi:green" in told
    assert "switch mochiapp to mochi:green (" in told


@pytest.mark.parametrize(
    ("typed", "called"), [("green", "mochi:green"), ("purple", f"mochi@{digest('green')[7:19]}"), ("none", None)]
)
async def test_a_tag_beside_a_digest_is_believed_to_the_registry_only(world, typed, called):
    release = await world.deploy(f"{REPOSITORY}:{typed}@{digest('green')}")
    assert release.asked == (called or f"mochi@{digest('green')[7:19]}")


async def test_a_moving_tag_that_is_not_pinned_can_be_deployed_again(tmp_path):
    world = World(tmp_path / "greenlight.db", example(pin=False))
    await world.start()
    world.shelf.away = RegistryError("the registry did not answer")
    await world.release_live("green")
    await world.advance(minutes=6)
    assert (await world.deploy("green")).number == 2
    await world.store.close()


async def test_an_unreadable_record_stops_nobody_who_keeps_links(world):
    release = await world.deploy("green")
    async with world.store._engine.begin() as connection:
        await connection.execute(text("update releases set record = '{}'"))
    assert await world.store.current() == []
    world.controller._woken.clear()
    world.desk._links.clear()
    await world.desk._keep_links(world.app)
    assert world.controller._woken == {"mochi"}
    assert await world.store.votes(release) == ()


async def test_an_app_at_rest_is_looked_at_again_now_and_then(world):
    await world.release_live("green")
    await world.advance(minutes=6)
    await world.advance(hours=2)
    assert "mochi" in world.controller._resting
    kubectl(world, "services", "mochiapp", "/spec/selector", {"app": "mochi", "color": "blue"})
    world.controller._woken.clear()
    await world.desk._keep_links(world.app)
    assert world.controller._woken == {"mochi"}


async def test_a_vote_that_is_heard_after_it_was_listed_and_used_is_not_refused(world):
    """Discord lists a reaction and tells of it too, in either order; by then the approval may have been used up."""
    await world.deploy()
    release = await world.newest()
    await world.desk.recount(release, [Vote(KIM, approve=True), Vote(LEO, approve=True)])
    await world.run()
    assert await world.phase() is Phase.BAKING
    assert await world.desk.vote(release, LEO, approve=True) is None
    assert [event for event in await world.store.events(release) if event.kind == "vote refused"] == []
    assert await world.desk.vote(release, BO, approve=True) == "mochi #1 is not waiting for approval."
