"""What a gate has running in the world goes when nobody waits for it any more, and stays when the bot only stops."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.gates import GateRunner
from bot.release import gates
from bot.release.app import K6, Gate, Http
from bot.release.record import Phase
from bot.release.snapshot import Verdict
from bot.release.verbs import Verb
from world import KIM, World, example

LOAD, SMOKE = Gate("load", K6("mochi-k6", "load.js")), Gate("smoke", Http())


class Endless:
    """Checks that never end, and leave something behind."""

    def __init__(self):
        self.begun, self.cut, self.changed = [], [], asyncio.Event()
        self.slow = None

    async def __call__(self, app, release, gate):
        self.begun.append(gate.name)
        await asyncio.Event().wait()

    async def cut_off(self, app, release, gate):
        if self.slow:
            await self.slow.wait()
        self.cut.append((app.name, release.label, gate.name))
        self.changed.set()


@pytest.fixture
async def running(tmp_path):
    """A release whose gates run."""
    world = World(tmp_path / "greenlight.db", replace(example(), gates=(LOAD, SMOKE)))
    world.endless = Endless()

    def runners():
        checks = {"k6": world.endless, "http": world.endless}
        left = {"k6": world.endless.cut_off}
        world.runner = GateRunner(world.store, checks, lambda _: None, world.clock, left)
        return [world.runner]

    world.runners = runners
    await world.start()
    await world.deploy("green")
    await asyncio.sleep(0)
    assert sorted(world.endless.begun) == ["load", "smoke"]
    yield world
    await world.runner.close()
    await world.store.close()


async def test_a_release_that_comes_to_nothing_takes_along_what_its_gates_have_running(running):
    release = await running.newest()
    await running.desk.ask("mochi", release.number, Verb.REJECT, KIM)
    assert (await running.run()).phase is not Phase.READY
    async with asyncio.timeout(5):
        await running.endless.changed.wait()
    assert running.endless.cut == [("mochi", release.label, "load")]


async def test_what_a_gate_that_takes_too_long_has_running_goes_too(running):
    """Whatever its check was waiting for."""
    running.app = replace(running.app, gates=(replace(LOAD, timeout=timedelta(seconds=0.05)),))
    release = await running.newest()
    running.runner.attend(running.app, replace(release, gates=()))
    await asyncio.sleep(0)  # what ran before is taken away
    running.endless.cut.clear()
    running.endless.changed.clear()
    running.runner.attend(running.app, release)
    async with asyncio.timeout(5):
        await running.endless.changed.wait()
    assert running.endless.cut == [("mochi", release.label, "load")]


async def test_what_is_being_taken_away_is_taken_away_though_the_release_is_looked_at_again(running):
    release = await running.newest()
    running.endless.slow = asyncio.Event()
    for _ in range(3):
        running.runner.attend(running.app, replace(release, phase=Phase.REVERTING))
        await asyncio.sleep(0)
    running.endless.slow.set()
    async with asyncio.timeout(5):
        await running.endless.changed.wait()
    assert running.endless.cut == [("mochi", release.label, "load")]


async def test_a_gate_that_somebody_stops_takes_along_what_it_has_running(running):
    """And the others run on."""
    release = await running.newest()
    await running.desk.stop_gate("mochi", release.number, "load", KIM)
    await running.run()
    async with asyncio.timeout(5):
        await running.endless.changed.wait()
    assert running.endless.cut == [("mochi", release.label, "load")]
    known = await running.newest()
    stopped, smoke = (gates.result_of(gate, known) for gate in (LOAD, SMOKE))
    assert (stopped.verdict, stopped.detail, smoke.verdict) == (Verdict.NONE, "stopped by kim", Verdict.RUNNING)


async def test_what_is_being_taken_away_when_the_bot_stops_is_given_a_moment(running):
    """The next start, which would take it away, may be long in coming."""
    release = await running.newest()
    running.endless.slow = asyncio.Event()
    running.runner.attend(running.app, replace(release, phase=Phase.REVERTING))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.1, running.endless.slow.set)
    await running.runner.close()
    assert running.endless.cut == [("mochi", release.label, "load")]


async def test_what_cannot_be_taken_away_keeps_nobody_from_stopping(running, monkeypatch):
    monkeypatch.setattr("bot.gates.runner.LEFT_WITHIN", 0.05)
    running.endless.slow = asyncio.Event()
    running.runner.attend(running.app, replace(await running.newest(), phase=Phase.REVERTING))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await running.runner.close()
    assert running.endless.cut == []


async def crashed(running):
    """Whatever it was at; and started again."""
    running.runner._stopping = True
    for task in running.runner._running.values():
        task.cancel()
    running.endless.begun.clear()
    await running.restart()
    await running.run()
    for _ in range(100):
        await asyncio.sleep(0)


async def test_what_a_crash_left_running_is_taken_away_by_the_next_start(running):
    """Between the moment in which it is on record as over and that in which its Job is deleted."""
    release = await running.newest()
    await running.desk.ask("mochi", release.number, Verb.REJECT, KIM)
    await crashed(running)
    async with asyncio.timeout(5):
        await running.endless.changed.wait()
    assert running.endless.cut == [("mochi", release.label, "load")]


async def test_what_a_crash_left_running_of_a_stopped_gate_is_taken_away_by_the_next_start(running):
    release = await running.newest()
    await running.desk.stop_gate("mochi", release.number, "load", KIM)
    await crashed(running)
    async with asyncio.timeout(5):
        await running.endless.changed.wait()
    assert running.endless.cut == [("mochi", release.label, "load")]
    assert running.endless.begun == ["smoke"]


async def test_what_a_crash_left_running_of_a_replaced_release_is_taken_away_by_the_next_start(running):
    """It would put its load on the candidate that came after it."""
    release = await running.newest()
    await running.desk.deploy(running.app, "purple", release.author, replace=True)
    await crashed(running)
    async with asyncio.timeout(5):
        await running.endless.changed.wait()
    assert running.endless.cut == [("mochi", release.label, "load")]


async def test_what_goes_on_after_a_crash_is_not_taken_away(running):
    await crashed(running)
    assert sorted(running.endless.begun) == ["load", "smoke"]
    assert running.endless.cut == []


async def test_what_runs_when_the_bot_stops_is_left_to_run(running):
    """It is found again by the next start."""
    await running.runner.close()
    assert running.endless.cut == []
