"""I9 and I10 of gates: nothing but a pass, or who takes it upon himself, lets a candidate through; nothing that a gate
does, or leaves undone, holds up the way back."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from story import agree, switches_to
from structlog.testing import capture_logs
from test_way_back import PHASES, everything_else_is_down

from bot.gates import GateRunner
from bot.gates.finding import failed, passed, unclear
from bot.release.app import Gate, Http, Mode
from bot.release.errors import Refused
from bot.release.machine import DRAIN
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import ANN, GUEST, KIM, LEO, SAM

SOON = timedelta(seconds=1)


async def passes(app, release, gate):
    return passed("212 ms < 300 ms")


async def fails(app, release, gate):
    return failed("412 ms, wanted < 300 ms")


async def says_nothing(app, release, gate):
    return unclear("the query gives no data")


async def hangs(app, release, gate):
    await asyncio.Event().wait()


async def breaks(app, release, gate):
    raise KeyError("data")


async def comes_too_late(app, release, gate):
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return passed("212 ms < 300 ms")


class Gated:
    """A world whose app has one gate for each of the modes asked for, all with the same check."""

    def __init__(self, world, check, *modes, timeout=SOON):
        self.world, self.check = world, check
        gates = tuple(Gate(mode.value, Http(), mode, timeout) for mode in modes)
        world.app = replace(world.app, gates=gates)
        world.runners = self._runners

    def _runners(self):
        self.runner = GateRunner(self.world.store, {"http": self._asked}, lambda _: None, self.world.clock)
        return [self.runner]

    async def _asked(self, *about):
        return await self.check(*about)

    async def over(self):
        """Until no gate runs any more; the release as it then is."""
        async with asyncio.timeout(10):
            await self.world.run()
            while self.runner._running:
                await asyncio.wait(list(self.runner._running.values()))
                await self.world.run()
            await self.world.run()  # the last outcome may have come while that before was read
        return await self.world.newest()


@pytest.fixture
async def gated(world):
    made: list[Gated] = []

    async def begin(check, *modes, **more):
        made.append(Gated(world, check, *modes, **more))
        await world.restart()
        return made[0]

    with capture_logs():  # tracebacks with all locals take seconds to print
        yield begin
    await made[0].runner.close()


NO_PASS = [fails, says_nothing, hangs, breaks, comes_too_late]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("check", [passes, *NO_PASS], ids=lambda check: check.__name__)
async def test_i9_nothing_but_a_pass_lets_an_approved_candidate_through(world, gated, check, mode):
    there = await gated(check, mode)
    await world.deploy()
    await world.approve(KIM, LEO)
    release = await there.over()
    through = check is passes or mode is Mode.WARN
    assert len(switches_to(world, release)) == through
    assert world.serving() == ({"green"} if through else {"blue"})
    if through:
        return
    assert release.phase is Phase.READY
    assert world.controller.moments["mochi"].reason.startswith(f"gate {mode} ")
    for who, why in ((GUEST, "known"), (ANN, "known"), (KIM, "  "), *(((KIM, "known"),) if mode is Mode.BLOCK else ())):
        with pytest.raises(Refused):
            await world.desk.accept_gate("mochi", 1, mode.value, who, why)
    assert switches_to(world, await there.over()) == []
    if mode is Mode.ASK:
        await world.desk.accept_gate("mochi", 1, mode.value, KIM, "known, see MO-12")
    else:
        there.check = passes
        await world.advance(minutes=1)
        await world.desk.repeat_gate("mochi", 1, mode.value, ANN)
    assert len(switches_to(world, await there.over())) == 1


@pytest.mark.parametrize("mode", [Mode.BLOCK, Mode.ASK])
async def test_i9_a_gate_that_is_run_again_is_no_pass_until_it_passes_again(world, gated, mode):
    """Nor does it stay accepted."""
    there = await gated(passes if mode is Mode.BLOCK else fails, mode)
    await world.deploy()
    await there.over()
    if mode is Mode.ASK:
        await world.desk.accept_gate("mochi", 1, mode.value, KIM, "known")
    there.check = fails
    await world.advance(minutes=1)
    await world.desk.repeat_gate("mochi", 1, mode.value, ANN)
    await world.approve(KIM, LEO)
    release = await there.over()
    assert (release.phase, switches_to(world, release)) == (Phase.READY, [])


@pytest.mark.parametrize("mode", [Mode.BLOCK, Mode.ASK])
async def test_i9_a_pass_of_what_was_replaced_is_none_of_what_replaces_it(world, gated, mode):
    there = await gated(passes, mode)
    await world.deploy()
    await there.over()
    there.check = fails
    await world.deploy("purple", replace=True)
    await world.approve(KIM, LEO)
    release = await there.over()
    assert (release.number, release.phase, switches_to(world, release)) == (2, Phase.READY, [])


@pytest.mark.parametrize("mode", [Mode.BLOCK, Mode.ASK])
async def test_i9_a_gate_that_a_crash_cut_off_is_no_pass(world, gated, mode):
    """It runs again, and what the first run would have said is nobody's."""
    there = await gated(hangs, mode, timeout=timedelta(minutes=5))
    await world.deploy()
    await world.approve(KIM, LEO)
    await there.runner.close()
    there.check = fails
    await world.restart()
    release = await there.over()
    assert (release.phase, switches_to(world, release)) == (Phase.READY, [])
    there.check = passes
    await world.advance(minutes=1)
    await world.desk.repeat_gate("mochi", 1, mode.value, ANN)
    assert len(switches_to(world, await there.over())) == 1


async def test_i9_a_gate_without_anybody_to_run_it_is_no_pass(world):
    """As an app has it whose checks could not be put together."""
    world.app = replace(world.app, gates=(Gate("smoke", Http()),))
    await world.restart()
    await world.deploy()
    release = await world.approve(KIM, LEO)
    assert (release.phase, switches_to(world, release)) == (Phase.READY, [])


@pytest.mark.parametrize("verb", [Verb.ROLL_BACK, Verb.REJECT])
async def test_i10_while_every_gate_hangs_a_release_is_taken_back_at_once(world, gated, verb):
    there = await gated(hangs, *Mode, timeout=timedelta(minutes=5))
    await world.deploy()
    await world.approve(KIM, LEO)
    assert {each.gate for each in (await world.newest()).gates} == set(Mode)
    everything_else_is_down(world)
    before = len(world.switches())
    await world.desk.ask("mochi", 1, verb, SAM if verb is Verb.ROLL_BACK else KIM, "it takes too long")
    release = await world.run()
    assert (release.phase, world.serving(), switches_to(world, release)) == (Phase.REVERTED, {"blue"}, [])
    assert len(world.switches()) <= before + 1
    await asyncio.sleep(0)
    assert not there.runner._running


@pytest.mark.parametrize("reach", PHASES, ids=lambda reach: reach.__name__)
async def test_i10_a_rollback_in_every_phase_is_one_write_while_every_gate_hangs(world, gated, reach):
    there = await gated(hangs, Mode.WARN, timeout=timedelta(hours=5))
    await reach(world)
    phase, moves = PHASES[reach]
    assert await world.phase() is phase
    everything_else_is_down(world)
    before = len(world.switches())
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM, "broken")
    await world.run()
    world.cluster.settle()
    assert world.serving() == {"blue"}
    back = [
        sent
        for sent in world.switches()[before:]
        if any(op["path"].startswith("/spec/selector/greenlight") for op in sent.patch)
    ]
    assert len(back) == moves
    for _ in range(4):
        await world.advance(seconds=DRAIN.total_seconds())
    release = await world.newest()
    assert release.phase is Phase.REVERTED
    assert agree(world, release)
    assert not there.runner._running


async def test_i10_what_takes_a_live_release_back_has_no_gates(world, gated):
    """Its slot was used meanwhile, so what was live before is deployed anew."""
    there = await gated(passes, *Mode)
    await world.deploy()
    await world.approve(KIM, LEO)
    await there.over()
    await world.advance(hours=2)
    there.check = fails
    await world.deploy("purple")
    await there.over()
    await world.desk.ask("mochi", 2, Verb.REJECT, KIM)
    await there.over()
    await world.advance(minutes=1)
    there.check = hangs
    await world.desk.roll_back(world.app, SAM, "too slow")
    release = await there.over()
    assert (release.number, release.gates, world.serving()) == (3, (), {"blue"})
