"""Guards on a real database: while what is live is watched they run, and one that fails in a row moves traffic home."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bot.clusters.errors import Away
from bot.gates import GuardRunner
from bot.gates.finding import failed, passed, unclear
from bot.gates.http import HttpCheck
from bot.release import guards
from bot.release.app import Action, Comparison, Guard, Http, Prometheus
from bot.release.errors import Refused
from bot.release.guards import RESTARTS
from bot.release.record import Cause, Phase
from bot.release.snapshot import Verdict
from bot.release.verbs import Verb
from bot.store import Outdated, StoreError
from world import KIM, SAM, World, example

ERRORS = Guard("errors", Http(), failures=2)
LATENCY = Guard("latency", Prometheus("latency", Comparison.BELOW, 0.3), Action.ASK, failures=2)
GOOD, BAD, BLIND = passed("0.1 < 1"), failed("3 of 5 answers were 500"), unclear("the query gives no data")


class Lab:
    """What guards measure, one reading after the other; when there is none left they wait."""

    def __init__(self):
        self.findings = {guard.name: asyncio.Queue() for guard in (ERRORS, LATENCY)}
        self.waits = {name: asyncio.Event() for name in self.findings}
        self.paused = []

    async def __call__(self, app, release, guard):
        if self.findings[guard.name].empty():
            self.waits[guard.name].set()
        finding = await self.findings[guard.name].get()
        if isinstance(finding, Exception):
            raise finding
        return finding

    async def pause(self, seconds):
        self.paused.append(seconds)


class Stage:
    """A release that is guarded when it is live."""

    def __init__(self, world, lab):
        self.world, self.lab, self.woken, self.drawn = world, lab, [], []
        world.runners = self.runners

    def runners(self):
        world, checks = self.world, {"http": self.lab, "prometheus": self.lab}
        self.runner = GuardRunner(
            world.store, checks, self.woken.append, self.drawn.append, world.clock, self.lab.pause
        )
        return [self.runner]

    async def restart(self, **away):
        """With so much time in which no bot runs."""
        await self.runner.close()
        self.world.cluster.advance(timedelta(**away).total_seconds())
        await self.world.restart()
        return await self.world.run()

    async def measures(self, *findings, guard="errors"):
        """All of them, one after the other, and what the bot makes of it."""
        self.lab.waits[guard].clear()
        for finding in findings:
            self.lab.findings[guard].put_nowait(finding)
        async with asyncio.timeout(10):
            await self.lab.waits[guard].wait()
        return await self.world.run()


@pytest.fixture
async def stage(tmp_path):
    world = World(tmp_path / "greenlight.db", replace(example(), guards=(ERRORS, LATENCY)))
    stage = Stage(world, Lab())
    await world.start()
    yield stage
    await stage.runner.close()
    await world.store.close()


@pytest.fixture
async def live(stage):
    assert (await stage.world.release_live()).phase is Phase.BAKING
    assert stage.world.serving() == {"green"}
    return stage


def shown(stage, release):
    return [(check.name, check.verdict, check.detail) for check in stage.runner.readings(stage.world.app, release)]


async def test_nothing_runs_before_the_switch(stage):
    release = await stage.world.deploy()
    assert not stage.runner._running
    assert stage.runner.readings(stage.world.app, release) == ()


async def test_as_long_as_all_is_well_nothing_happens_but_that_it_is_shown(live):
    release = await live.measures(GOOD, GOOD, GOOD)
    assert (release.phase, release.alarms) == (Phase.BAKING, ())
    assert shown(live, release) == [("errors", Verdict.PASSED, "0.1 < 1"), ("latency", Verdict.RUNNING, "")]
    assert len(live.drawn) == 1, "a card is drawn again when a row reads otherwise"
    assert live.lab.paused[0] == ERRORS.every.total_seconds()


async def test_a_value_that_means_the_same_is_drawn_once_a_minute(live):
    """Each is there for whoever looks at the card for another reason."""
    measured = [passed(f"0.{number} < 1") for number in range(5)]
    release = await live.measures(*measured)
    assert len(live.drawn) == 1
    assert shown(live, release)[0] == ("errors", Verdict.PASSED, "0.4 < 1")
    live.world.cluster.advance(60)
    await live.measures(passed("0.5 < 1"))
    assert len(live.drawn) == 2
    await live.measures(BAD, passed("0.6 < 1"))
    assert len(live.drawn) == 4


async def test_what_fails_on_and_on_is_counted_until_it_is_an_alarm(live):
    release = await live.measures(BAD, BAD, BAD, BAD, guard="latency")
    assert shown(live, release)[1] == ("latency", Verdict.FAILED, "3 of 5 answers were 500 (2 in a row)")


async def test_often_enough_in_a_row_takes_it_back_with_what_was_measured(live):
    release = await live.measures(BAD, BAD)
    assert live.woken == ["mochi"]
    assert release.cause is Cause.GUARD
    assert release.reason == "guard errors failed: 3 of 5 answers were 500 (2 in a row)"
    assert live.world.serving() == {"blue"}
    told = [event.text for event in await live.world.store.events(release)]
    assert "guard errors failed: 3 of 5 answers were 500 (2 in a row); it goes back" in told
    assert not live.runner._running, "what is not live any more is not guarded"
    assert not live.runner._readings


async def test_one_that_is_well_again_counts_anew(live):
    release = await live.measures(BAD, GOOD, BAD, GOOD)
    assert (release.phase, release.alarms) == (Phase.BAKING, ())


async def test_what_cannot_be_told_is_no_failure_and_makes_none_good(live):
    """Prometheus is away: told in the thread, once."""
    release = await live.measures(BLIND, BLIND, BLIND, BLIND, guard="latency")
    assert (release.phase, release.alarms) == (Phase.BAKING, ())
    assert shown(live, release)[1] == ("latency", Verdict.NONE, "the query gives no data")
    told = [event.text for event in await live.world.store.events(release) if event.kind == "guard:blind"]
    assert told == ["guard latency cannot tell: the query gives no data; nothing follows from that"]
    release = await live.measures(BAD, BLIND, BAD, guard="latency")
    assert [alarm.guard for alarm in release.alarms] == ["latency"]


async def test_what_is_live_has_to_answer(live):
    """Of an address that cannot be reached nothing can be told, but that nobody else reaches it either."""
    release = await live.measures(BLIND, BLIND)
    assert release.cause is Cause.GUARD


async def test_what_could_not_even_be_asked_takes_nothing_back(live):
    """Kubernetes could not tell where: what is live may be as well as ever."""

    async def inside(_):
        raise Away("the API server cannot be reached")

    where = HttpCheck(None, inside)
    finding = await where(live.world.app, None, ERRORS)
    release = await live.measures(*[finding] * 4)
    assert (release.phase, release.alarms) == (Phase.BAKING, ())
    assert shown(live, release)[0] == ("errors", Verdict.NONE, "the API server cannot be reached")


async def test_a_fault_of_our_own_takes_nothing_back(live):
    release = await live.measures(RuntimeError("a bug"), RuntimeError("a bug"), RuntimeError("a bug"))
    assert (release.phase, release.alarms) == (Phase.BAKING, ())
    assert "something broke on our side" in shown(live, release)[0][2]


async def test_after_a_restart_failures_are_counted_anew(live):
    await live.measures(BAD)
    assert (await live.restart(seconds=1)).phase is Phase.BAKING
    release = await live.measures(BAD)
    assert (release.phase, release.alarms) == (Phase.BAKING, ())
    assert (await live.measures(BAD)).cause is Cause.GUARD


async def test_what_nobody_watched_is_not_watched_later(live):
    """The bot was away for all of `bake_for`: the old pods are given up when they would have been."""
    release = await live.restart(hours=1)
    assert (release.phase, release.alarms) == (Phase.DONE, ())
    assert not live.runner._running


async def test_a_guard_takes_it_back_while_discord_is_away(live):
    live.world.crowd.away = True
    release = await live.measures(BAD, BAD)
    assert (release.phase, release.cause) == (Phase.REVERTED, Cause.GUARD)
    assert live.world.serving() == {"blue"}


async def test_an_alarm_while_the_api_server_is_away_takes_it_back_when_it_answers_again(live):
    def away(_):
        raise Away("the API server does not answer")

    live.world.api.fault = away
    release = await live.measures(BAD, BAD)
    assert (release.phase, [alarm.guard for alarm in release.alarms]) == (Phase.BAKING, ["errors"])
    live.world.api.fault = None
    release = await live.world.run()
    assert (release.phase, release.cause) == (Phase.REVERTED, Cause.GUARD)
    assert live.world.serving() == {"blue"}


async def test_whoever_is_asked_decides(live):
    release = await live.measures(BAD, BAD, guard="latency")
    assert release.phase is Phase.BAKING
    assert live.world.controller.moments["mochi"].reason.endswith("roll back, or keep it?")
    await live.world.store.update(guards.keep(release, live.world.app, "latency", KIM))
    release = await live.measures(BAD, BAD, BAD, guard="latency")
    assert release.phase is Phase.BAKING
    assert (await live.world.advance(minutes=11)).phase is Phase.DONE


async def test_nobody_answered(live):
    await live.measures(BAD, BAD, guard="latency")
    release = await live.world.advance(minutes=11)
    assert release.cause is Cause.GUARD
    assert live.world.serving() == {"blue"}


async def test_a_person_s_rollback_does_not_wait_for_a_guard_that_hangs(live):
    """I10"""
    release = await live.world.newest()
    await live.world.desk.ask("mochi", release.number, Verb.ROLL_BACK, SAM)
    release = await live.world.run()
    assert (release.cause, release.by) == (Cause.ROLLED_BACK, SAM)
    assert live.world.serving() == {"blue"}


async def test_an_alarm_survives_a_store_that_had_something_else_to_write(live, monkeypatch):
    update, tries = live.world.store.update, []

    async def late(release, *events):
        if any(event.kind == "guard:alarm" for event in events):
            tries.append(release)
            if len(tries) == 1:
                raise Outdated
        return await update(release, *events)

    monkeypatch.setattr("bot.gates.guarding.AGAIN_AFTER", timedelta())
    live.world.store.update = late
    assert (await live.measures(BAD, BAD)).cause is Cause.GUARD
    assert len(tries) == 2


async def test_that_an_alarm_cannot_be_stored_is_said_once(live, monkeypatch):
    """Nothing follows from it until it can be, and nobody else tries to."""
    update, tries = live.world.store.update, iter([True] * 3)

    async def locked(release, *events):
        if any(event.kind == "guard:alarm" for event in events) and next(tries, False):
            raise StoreError("the database is locked")
        return await update(release, *events)

    monkeypatch.setattr("bot.gates.guarding.AGAIN_AFTER", timedelta())
    monkeypatch.setattr(live.world.store, "update", locked)
    with capture_logs() as logged:
        assert (await live.measures(BAD, BAD)).cause is Cause.GUARD
    [said] = [each for each in logged if each["event"] == "what a guard found cannot be stored"]
    assert (said["guard"], said["reason"]) == ("errors", "the database is locked")


async def test_a_guard_that_broke_off_is_begun_anew(live, monkeypatch):
    """Whatever it was of: else the card would show for good what it measured last."""
    note = live.world.store.note

    async def broken(*about):
        raise RuntimeError("a bug")

    monkeypatch.setattr(live.world.store, "note", broken)
    live.lab.findings["latency"].put_nowait(BLIND)
    live.lab.findings["latency"].put_nowait(BLIND)
    async with asyncio.timeout(5):
        await asyncio.wait([live.runner._running["mochi", "mochi-1-t0", "latency"]])
    monkeypatch.setattr(live.world.store, "note", note)
    await live.world.run()
    assert (await live.measures(BAD, BAD, guard="latency")).alarms


async def test_an_alarm_is_not_lost_to_whoever_puts_another_release_in_its_place(live):
    """What goes back because of a guard goes back first: else the version that failed would stay live."""
    await live.world.advance(minutes=1)
    release = await live.world.newest()
    raised = guards.raise_alarm(release, ERRORS, "3 of 5 answers were 500", live.world.clock.now())
    await live.world.store.update(raised)
    with pytest.raises(Refused) as refused:
        await live.world.deploy("purple", replace=True)
    said = "mochi #1 is about to go back: guard errors failed: 3 of 5 answers were 500. Try again when it has."
    assert str(refused.value) == said
    assert (await live.world.run()).cause is Cause.GUARD


async def test_a_guard_that_was_cut_off_is_begun_anew(live):
    """Whoever did it."""
    release = await live.world.newest()
    [cut, *_] = live.runner._running.values()
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    live.runner.attend(live.world.app, release)
    assert not any(task.done() for task in live.runner._running.values())


async def test_an_open_question_is_answered_before_another_release_takes_its_place(live):
    await live.world.advance(minutes=1)
    raised = guards.raise_alarm(await live.world.newest(), LATENCY, "0.52, wanted < 0.3", live.world.clock.now())
    stored = await live.world.store.update(raised)
    with pytest.raises(Refused) as refused:
        await live.world.deploy("purple", replace=True)
    said = "mochi #1 waits for an answer: guard latency failed: 0.52, wanted < 0.3. First keep it, or roll it back."
    assert str(refused.value) == said
    await live.world.store.update(guards.keep(stored, live.world.app, "latency", KIM))
    assert (await live.world.deploy("purple", replace=True)).number == 2


async def test_a_container_that_starts_again_and_again_takes_it_back(live):
    """Built in: no table of the file asks for it."""
    objects, release = live.world.cluster.objects, await live.world.newest()
    pod = next(pod for pod in objects.items("pods", "mochi", labels=f"greenlight.dev/release={release.label}"))
    [ran] = pod["status"]["containerStatuses"]
    status = {"containerStatuses": [{**ran, "restartCount": RESTARTS}]}
    objects.patch("pods", "mochi", pod["metadata"]["name"], {"status": status}, subresource="status", manager="kubelet")
    await live.world.controller.attempt(live.world.app)  # before the sandbox's kubelet knows better
    release = await live.world.run()
    assert release.cause is Cause.GUARD
    said = f"container {pod['metadata']['name']}/{ran['name']} has crashed and started again 3 times since the switch"
    assert release.reason == said
    assert live.world.serving() == {"blue"}
