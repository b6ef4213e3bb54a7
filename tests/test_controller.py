"""The loop: when it looks, when it rests, one attempt per app at a time, and that nothing stops it."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bot.clusters.errors import Away, ClusterError, Forbidden, Pending, Stale
from bot.controller import drawing
from bot.controller.loop import RECORDED_WITHIN, RESYNC
from bot.controller.pauses import RETRY
from bot.release.record import Phase
from bot.release.verbs import Verb
from bot.store import StoreError
from world import ANN, KIM, LEO, NAMESPACE, SAM


@pytest.fixture
async def loop(world):
    """The controller's own task; what it logs is kept, not printed."""
    with capture_logs() as logs:
        task = asyncio.create_task(world.controller.run())
        yield logs
        await met(lambda: at_rest(world))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def met(condition) -> None:
    """Let everybody work until it holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the condition is the loop's own state, nobody announces it
            await asyncio.sleep(0)


def at_rest(world) -> bool:
    return not world.controller._woken and not world.controller._running


class Gate:
    """Holds every read of the Service until it is opened, and counts who waits."""

    def __init__(self, api) -> None:
        self.waiting = self.most = 0
        self.open = asyncio.Event()
        self._get = api.get
        api.get = self.get

    async def get(self, kind, namespace, name):
        if name == "mochiapp":
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            await self.open.wait()
            self.waiting -= 1
        return await self._get(kind, namespace, name)


async def test_one_app_is_attended_to_once_at_a_time(world, loop):
    """However often it is woken; what happened meanwhile is looked at afterwards."""
    await met(lambda: at_rest(world))
    release = await world.desk.deploy(world.app, "green", ANN)
    gate = Gate(world.api)
    await met(lambda: gate.waiting == 1)
    for _ in range(5):
        world.controller.wake("mochi")
        await asyncio.sleep(0)
    await world.desk.ask("mochi", release.number, Verb.ABANDON, ANN)
    gate.open.set()
    await met(lambda: at_rest(world))
    assert gate.most == 1
    assert (await world.newest()).phase is Phase.REVERTED


async def test_what_people_ask_while_an_attempt_is_under_way_is_not_overwritten(world, loop):
    """The attempt finds its record outdated and starts again."""
    await met(lambda: at_rest(world))
    gate = Gate(world.api)
    gate.open.set()
    await world.desk.deploy(world.app, "green", ANN)
    await met(lambda: at_rest(world))
    gate.open.clear()
    world.cluster.settle()
    world.controller.wake("mochi")
    await met(lambda: gate.waiting == 1)
    await world.desk.ask("mochi", 1, Verb.ABANDON, ANN, "typo")
    gate.open.set()
    await met(lambda: at_rest(world))
    release = await world.newest()
    assert (release.phase, release.reason, release.by.name) == (Phase.REVERTED, "typo", "ann")


async def test_an_exception_of_ours_is_told_with_a_reference_and_tried_again(world, loop):
    await world.deploy()
    await met(lambda: at_rest(world))

    def fault(call: str) -> None:
        raise ZeroDivisionError

    world.api.fault = fault
    world.controller.wake("mochi")
    await met(lambda: world.controller.moments["mochi"].trouble and at_rest(world))
    moment = world.controller.moments["mochi"]
    reference = next(entry["ref"] for entry in loop if entry["event"] == "attempt failed")
    assert moment.trouble == f"something broke on our side (ref {reference})"
    assert moment.seen is not None
    assert world.controller._due["mochi"] == world.clock.now() + RETRY
    world.api.fault = None
    world.cluster.advance(RETRY.total_seconds())
    world.controller._bell.set()
    await met(lambda: not world.controller.moments["mochi"].trouble and at_rest(world))


async def test_trouble_with_the_cluster_is_on_the_card_and_said_once_in_the_log(world):
    await world.deploy()

    def fault(call: str) -> None:
        raise Away("the API server of eu-1 did not answer in time")

    world.api.fault = fault
    with capture_logs() as logs:
        for pause in (RETRY, 2 * RETRY, 4 * RETRY):
            assert await world.controller.attempt(world.app) == world.clock.now() + pause
    assert world.controller.moments["mochi"].trouble == "the API server of eu-1 did not answer in time"
    assert [entry["event"] for entry in logs] == ["cluster trouble"]
    assert (await world.newest()).phase is Phase.READY
    world.api.fault = None
    await world.run()
    assert world.controller.moments["mochi"].trouble == ""


async def test_a_deadline_stays_on_the_card_while_the_cluster_is_away(world):
    release = await world.deploy("green")
    until = (await world.desk.view(release)).until

    def fault(call: str) -> None:
        raise Away("the API server does not answer")

    world.api.fault = fault
    await world.controller.attempt(world.app)
    view = await world.desk.view(release)
    assert until is not None
    assert (view.until, view.reason) == (until, "waiting: the API server does not answer")


async def test_a_write_that_is_refused_again_and_again_is_told_to_people_once(world):
    """Rights are missing: every attempt is in the journal, one line is in the thread."""

    def fault(call: str) -> None:
        if call.startswith("patch"):
            raise Forbidden("Greenlight may not patch Service")

    world.api.fault = fault
    await world.desk.deploy(world.app, "green", ANN)
    for _ in range(3):
        await world.controller.attempt(world.app)
    failed = [event for event in await world.store.events(await world.newest()) if event.kind == "failed"]
    assert len(failed) == 3
    told = [event.text for event in failed if event.text]
    assert told == ["could not narrow mochiapp to the pods of mochiapp-blue: Greenlight may not patch Service"]


def policy(call: str) -> None:
    """A ValidatingAdmissionPolicy denies with 422 by default, like a condition of ours that fails."""
    if call.startswith("patch Deployment"):
        raise Stale("ValidatingAdmissionPolicy denied: the image is not signed")


async def test_i12_a_write_that_the_cluster_never_takes_is_tried_less_and_less_often_and_told_once(world):
    """Once more at once, for somebody may have been quicker; then with growing pauses, up to a minute."""
    world.api.fault = policy
    await world.desk.deploy(world.app, "green", ANN)
    pauses, patches = [], []
    for _ in range(7):
        before = world.api.calls.count("patch Deployment/mochiapp-green")
        pauses.append((await world.controller.attempt(world.app) - world.clock.now()).total_seconds())
        patches.append(world.api.calls.count("patch Deployment/mochiapp-green") - before)
    assert pauses == [3, 6, 12, 24, 48, 60, 60]
    assert patches == [2, 1, 1, 1, 1, 1, 1]
    assert world.controller.moments["mochi"].trouble == "ValidatingAdmissionPolicy denied: the image is not signed"
    refused = [event for event in await world.store.events(await world.newest()) if event.kind == "refused"]
    assert len(refused) == 8
    assert [event.text for event in refused if event.text] == [
        "could not set mochiapp-green to mochi:green: ValidatingAdmissionPolicy denied: the image is not signed"
    ]


async def test_i12_events_do_not_hurry_a_write_that_was_refused_and_people_do(world, loop):
    """Nothing that is watched tells that a policy has changed."""
    await met(lambda: at_rest(world))
    world.api.fault = policy
    await world.desk.deploy(world.app, "green", ANN)
    await met(lambda: at_rest(world) and world.controller.moments["mochi"].trouble)
    patches = world.api.calls.count("patch Deployment/mochiapp-green")
    world.controller.changed("", NAMESPACE)
    assert at_rest(world)
    world.api.fault = None
    world.controller.wake("mochi")
    await met(lambda: at_rest(world) and not world.controller.moments["mochi"].trouble)
    assert world.api.calls.count("patch Deployment/mochiapp-green") == patches + 1
    world.controller.changed("", NAMESPACE)
    assert "mochi" in world.controller._woken


async def test_what_is_heard_while_a_refused_write_is_taken_after_all_is_looked_at(world):
    """Else what the write brought about, such as the first pod behind a Service, would be seen a minute later."""
    await world.desk.deploy(world.app, "green", ANN)
    world.api.fault = policy
    await world.controller.attempt(world.app)
    world.controller._woken.clear()
    world.api.fault = None
    world.api.after = lambda _: world.controller.changed("", NAMESPACE)
    await world.controller.attempt(world.app)
    assert not world.controller.moments["mochi"].trouble
    assert "mochi" in world.controller._woken


async def test_a_rollback_that_is_refused_is_tried_again_every_few_seconds(world):
    await world.release_live()

    def fault(call: str) -> None:
        if call.startswith("patch Service"):
            raise Forbidden("Greenlight may not patch Service")

    world.api.fault = fault
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    pauses = [(await world.controller.attempt(world.app) - world.clock.now()).total_seconds() for _ in range(4)]
    assert pauses == [3, 6, 12, 12]


async def test_a_person_who_asks_for_something_is_not_kept_waiting_by_trouble_that_was(world):
    world.api.fault = policy
    await world.desk.deploy(world.app, "green", ANN)
    for _ in range(4):
        await world.controller.attempt(world.app)
    world.controller.wake("mochi")
    assert await world.controller.attempt(world.app) == world.clock.now() + RETRY


async def test_what_time_brings_up_while_traffic_is_watched_begins_with_a_fresh_look(world, loop):
    """A watch that has fallen silent, and is not found out yet, still shows pods that are gone."""
    await world.release_live()
    for watch in world.backend._watches.all:
        await watch._list()
    world.controller.wake("mochi")
    await met(lambda: at_rest(world))
    nobody = {"spec": {"replicas": 0}}
    world.cluster.objects.patch("deployments", NAMESPACE, "mochiapp-green", nobody, manager="kubectl")
    world.cluster.settle()
    world.controller.wake("mochi")
    await met(lambda: at_rest(world))
    assert (await world.newest()).empty_since is None
    world.cluster.advance(RESYNC.total_seconds())
    world.controller._bell.set()
    await met(lambda: not world.controller._bell.is_set() and at_rest(world))
    assert (await world.newest()).empty_since == world.clock.now()


async def test_a_wait_ends_at_its_deadline_or_at_the_resync_whichever_is_first(world):
    await world.deploy()
    now = world.clock.now()
    assert await world.controller.attempt(world.app) == now + RESYNC
    expires = world.app.approval.expires
    world.cluster.advance((expires - timedelta(seconds=20)).total_seconds())
    assert await world.controller.attempt(world.app) == now + expires


async def test_roles_that_cannot_be_read_are_asked_for_again_soon(world):
    await world.deploy()
    await world.approve(KIM)
    world.crowd.away = True
    release = await world.newest()
    await world.desk.vote(release, world.crowd.members[13], approve=True)
    assert await world.controller.attempt(world.app) == world.clock.now() + RETRY


async def test_an_app_that_is_done_with_sleeps_until_somebody_asks(world, loop):
    await world.release_live()
    await world.advance(minutes=6)
    await world.advance(hours=1)
    world.controller.wake("mochi")
    await met(lambda: at_rest(world))
    calls = len(world.api.calls)
    world.controller.changed("", NAMESPACE)
    world.controller.changed("", "another")
    await asyncio.sleep(0)
    assert (len(world.api.calls), at_rest(world)) == (calls, True)
    await world.desk.deploy(world.app, "purple", ANN)
    await met(lambda: at_rest(world))
    assert (await world.newest()).number == 2
    world.controller.changed("", NAMESPACE)
    assert "mochi" in world.controller._woken


async def test_what_was_decided_is_kept_though_the_next_write_cannot_be_planned(world):
    """Otherwise its deadline would begin anew with every attempt."""
    await world.deploy()
    await world.desk.ask("mochi", 1, Verb.REJECT, KIM)
    plan, view = ClusterError("not now"), await world.backend.look(world.app, await world.newest())

    def refused(self, order, *, actor):
        raise plan

    type(view).plan, whole = refused, type(view).plan
    try:
        await world.controller.attempt(world.app)
        assert await world.phase() is Phase.REVERTED
        since = (await world.newest()).since
        world.cluster.advance(60)
        await world.controller.attempt(world.app)
        assert (await world.newest()).since == since
    finally:
        type(view).plan = whole


async def test_i15_the_card_tells_where_a_release_is_though_its_next_write_has_to_wait(world, monkeypatch):
    """Found by the simulation: as long as pods of another version stayed, the card of a release that had gone back said
    that it was being prepared."""
    await world.deploy()
    await world.desk.ask("mochi", 1, Verb.REJECT, KIM)
    view = await world.backend.look(world.app, await world.newest())

    def not_yet(self, order, *, actor):
        raise Pending("pods are still going away")

    monkeypatch.setattr(type(view), "plan", not_yet)
    await world.controller.attempt(world.app)
    assert world.cards.releases[-1].phase is await world.phase() is Phase.REVERTED


async def test_a_stopped_controller_leaves_no_task_behind(world):
    await world.desk.deploy(world.app, "green", ANN)
    gate = Gate(world.api)
    task = asyncio.create_task(world.controller.run())
    await met(lambda: gate.waiting == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.controller._running == {}
    gate.open.set()
    await world.restart()
    await world.run()
    assert await world.phase() is Phase.READY


class Slow:
    """Makes a call of the store wait until it is let go, and perhaps fail then."""

    def __init__(self, store, call: str, error: Exception | None = None) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self._call, self._error = getattr(store, call), error
        setattr(store, call, self.call)

    async def call(self, *arguments):
        self.begun.set()
        await self.go_on.wait()
        if self._error:
            raise self._error
        return await self._call(*arguments)


async def waiting_for_leo(world):
    await world.deploy()
    release = await world.approve(KIM)
    await met(lambda: at_rest(world))
    world.api.calls.clear()
    world.crowd.asked = 0
    return release


async def test_the_cluster_and_the_roles_are_looked_at_while_the_deciding_vote_is_stored(world, loop):
    release = await waiting_for_leo(world)
    storing = Slow(world.store, "cast")
    voting = asyncio.create_task(world.desk.vote(release, LEO, approve=True))
    await met(lambda: "get Service/mochiapp" in world.api.calls and world.crowd.asked == 1)
    await asyncio.sleep(0)
    assert await world.phase() is Phase.READY
    storing.go_on.set()
    await voting
    await met(lambda: len(world.switches()) == 2 and at_rest(world))
    until = world.api.calls.index("patch Service/mochiapp")
    # One more before the first decision, since in process there is no watch to hear from.
    assert world.api.calls[:until].count("get Service/mochiapp") == 2


async def test_for_a_vote_that_is_not_the_last_nobody_s_roles_are_read(world, loop):
    await world.deploy()
    await met(lambda: at_rest(world))
    await world.desk.vote(await world.newest(), KIM, approve=True)
    await met(lambda: at_rest(world))
    assert world.crowd.asked == 0


async def test_a_deciding_vote_that_cannot_be_stored_moves_nothing(world, loop):
    release = await waiting_for_leo(world)
    storing = Slow(world.store, "cast", StoreError("the disk is full"))
    voting = asyncio.create_task(world.desk.vote(release, LEO, approve=True))
    await met(lambda: "get Service/mochiapp" in world.api.calls)
    storing.go_on.set()
    with pytest.raises(StoreError):
        await voting
    await met(lambda: at_rest(world))
    assert (await world.phase(), len(world.switches())) == (Phase.READY, 1)
    assert world.controller.moments["mochi"].trouble == "the disk is full"


async def test_what_was_looked_at_long_before_the_vote_was_stored_is_looked_at_again(world, loop):
    release = await waiting_for_leo(world)
    storing = Slow(world.store, "cast")
    voting = asyncio.create_task(world.desk.vote(release, LEO, approve=True))
    await met(lambda: world.crowd.asked == 1)
    world.cluster.advance(RECORDED_WITHIN.total_seconds() + 0.1)
    del world.crowd.members[LEO.id]
    storing.go_on.set()
    await voting
    await met(lambda: at_rest(world))
    assert (await world.phase(), len(world.switches())) == (Phase.READY, 1)


async def test_whoever_never_finishes_recording_keeps_nothing_else_from_being_done(world, loop):
    """The pods of what is live are gone while somebody's rollback hangs in the store: it goes back all the same."""
    release = await world.release_live()
    with world.controller.expecting(release):
        for pod in world.cluster.objects.items("pods", NAMESPACE):
            if pod["metadata"]["labels"]["color"] == "green":
                world.cluster.kubelet.probe(NAMESPACE, pod["metadata"]["name"], passes=False)
        world.cluster.settle()
        await met(lambda: not world.serving() and at_rest(world))
        world.cluster.advance(world.app.timing.grace.total_seconds() + 1)
        world.controller.wake("mochi")
        await met(lambda: world.controller.moments["mochi"].release.phase is Phase.REVERTED)
    world.cluster.settle()
    assert world.serving() == {"blue"}


async def test_discord_that_goes_away_while_the_vote_is_stored_postpones_the_switch(world, loop):
    """Roles were read, but whether all votes are on record is asked when they are counted."""
    release = await waiting_for_leo(world)
    storing = Slow(world.store, "cast")
    voting = asyncio.create_task(world.desk.vote(release, LEO, approve=True))
    await met(lambda: world.crowd.asked == 1)
    world.crowd.away = True
    storing.go_on.set()
    await voting
    await met(lambda: at_rest(world))
    assert (await world.phase(), len(world.switches())) == (Phase.READY, 1)


async def test_a_card_is_not_drawn_while_traffic_is_about_to_be_moved(world, loop):
    release = await waiting_for_leo(world)
    storing = Slow(world.store, "update")
    await world.desk.vote(release, LEO, approve=True)
    await met(storing.begun.is_set)
    world.cards.releases.clear()
    world.desk.redraw(release)
    assert world.cards.releases == []
    drawn_at_the_switch = []
    world.api.after = lambda _: drawn_at_the_switch.append(list(world.cards.releases))
    storing.go_on.set()
    await met(lambda: len(world.switches()) == 2 and at_rest(world))
    assert drawn_at_the_switch == [[]]
    assert world.cards.releases[-1].phase is Phase.PROMOTING


async def test_a_card_waits_no_longer_than_a_second_for_the_traffic(world, loop, monkeypatch):
    monkeypatch.setattr(drawing, "CARDS_WAIT", 0.001)
    release = await waiting_for_leo(world)
    gate = Gate(world.api)
    await world.desk.vote(release, LEO, approve=True)
    await met(lambda: gate.waiting == 1)
    world.cards.releases.clear()
    world.desk.redraw(release)
    await met(lambda: world.cards.releases)
    gate.open.set()
    await met(lambda: len(world.switches()) == 2 and at_rest(world))
