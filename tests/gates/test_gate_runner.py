"""What the loop and the runner make of gates, on a real database: begun once, on record, stopped, and begun again."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.gates import GateRunner
from bot.gates.finding import Report, failed, passed
from bot.release.app import Gate, Http, Mode
from bot.release.record import Phase
from bot.release.snapshot import Verdict
from bot.release.verbs import Verb
from bot.store import Outdated, StoreError
from world import ANN, KIM, LEO, SAM, World, example

SMOKE, LOAD = Gate("smoke", Http()), Gate("load", Http(), Mode.ASK)


class Lab:
    """Checks that end when the test says, with what it says."""

    def __init__(self):
        self.runs = []

    async def __call__(self, app, release, gate):
        run = {"gate": gate.name, "label": release.label, "end": asyncio.get_running_loop().create_future()}
        self.runs.append(run)
        try:
            return await run["end"]
        finally:
            run["over"] = True

    def under_way(self):
        return sorted(run["gate"] for run in self.runs if "over" not in run)

    def end(self, gate, finding):
        [run] = [run for run in self.runs if run["gate"] == gate and "over" not in run]
        run["end"].set_result(finding)


@pytest.fixture
def lab():
    return Lab()


@pytest.fixture
async def gated(tmp_path, lab):
    world = World(tmp_path / "greenlight.db", replace(example(), gates=(SMOKE, LOAD)))
    world.recorded = asyncio.Event()

    def runners():
        world.runner = GateRunner(world.store, {"http": lab}, lambda _: world.recorded.set(), world.clock)
        return [world.runner]

    world.runners = runners
    await world.start()
    yield world
    await world.runner.close()
    await world.store.close()


async def verdicts(world):
    """Once nothing is left to be written down."""
    await world.run()
    return {result.gate: result.verdict for result in (await world.newest()).gates}


async def ended(world, lab, gate, finding):
    lab.end(gate, finding)
    return await on_record(world)


async def on_record(world):
    await world.recorded.wait()
    world.recorded.clear()
    return await world.run()


async def test_all_gates_begin_with_the_approval_and_promotion_waits_for_them(gated, lab):
    await gated.deploy("green")
    await asyncio.sleep(0)
    assert lab.under_way() == ["load", "smoke"]
    assert (await gated.approve(KIM, LEO)).phase is Phase.READY
    await ended(gated, lab, "smoke", passed("all well"))
    assert gated.controller.moments["mochi"].reason == "gate load is running"
    assert (await ended(gated, lab, "load", passed("212 ms"))).phase is Phase.BAKING
    told = [event.text for event in await gated.store.events(await gated.newest()) if "gate" in event.kind]
    assert told == ["gates begin: smoke, load", "gate smoke passed: all well", "gate load passed: 212 ms"]
    assert len(lab.runs) == 2


async def test_a_gate_that_fails_keeps_it_from_being_promoted_until_it_passes(gated, lab):
    await gated.deploy("green")
    await gated.approve(KIM, LEO)
    await ended(gated, lab, "load", passed("212 ms"))
    await ended(gated, lab, "smoke", failed("answered 500"))
    assert gated.controller.moments["mochi"].reason == "gate smoke failed: answered 500"
    assert lab.under_way() == []
    await gated.advance(minutes=1)
    await gated.desk.repeat_gate("mochi", 1, "smoke", ANN)
    await gated.run()
    await asyncio.sleep(0)
    assert lab.under_way() == ["smoke"]
    assert (await ended(gated, lab, "smoke", passed("all well"))).phase is Phase.BAKING


async def test_a_gate_that_asks_is_accepted_by_an_approver_with_a_reason_that_everybody_reads(gated, lab):
    await gated.deploy("green")
    await gated.approve(KIM, LEO)
    await ended(gated, lab, "smoke", passed("all well"))
    await ended(gated, lab, "load", failed("412 ms"))
    assert gated.controller.moments["mochi"].reason == "gate load failed: 412 ms; an approver may accept it"
    await gated.desk.accept_gate("mochi", 1, "load", KIM, "the database was being copied")
    assert (await gated.run()).phase is Phase.BAKING
    told = [event.text for event in await gated.store.events(await gated.newest())]
    assert "kim accepts gate load: the database was being copied" in told


async def test_i9_a_check_of_ours_that_breaks_is_no_verdict(gated, lab):
    await gated.deploy("green")
    await asyncio.sleep(0)
    [run] = [run for run in lab.runs if run["gate"] == "smoke"]
    run["end"].set_exception(ZeroDivisionError())
    await on_record(gated)
    assert (await verdicts(gated))["smoke"] is Verdict.NONE
    [result] = [each for each in (await gated.newest()).gates if each.gate == "smoke"]
    assert result.detail.startswith("something broke on our side (ref ")


async def test_a_gate_that_takes_too_long_is_no_verdict(gated, lab):
    gated.app = replace(gated.app, gates=(replace(SMOKE, timeout=timedelta(seconds=0.05)),))
    await gated.restart()
    await gated.deploy("green")
    await on_record(gated)
    [result] = (await gated.newest()).gates
    assert (result.verdict, result.detail) == (Verdict.NONE, "it was not through after 0.05 s")


async def test_after_a_restart_a_gate_runs_again(gated, lab):
    await gated.deploy("green")
    await asyncio.sleep(0)
    await gated.runner.close()
    await gated.restart()
    assert lab.under_way() == []
    await gated.run()
    await asyncio.sleep(0)
    assert lab.under_way() == ["load", "smoke"]
    assert set((await verdicts(gated)).values()) == {Verdict.RUNNING}


@pytest.mark.parametrize("verb", [Verb.REJECT, Verb.ROLL_BACK])
async def test_a_release_that_ends_stops_its_gates(gated, lab, verb):
    await gated.deploy("green")
    await asyncio.sleep(0)
    who = KIM if verb is Verb.REJECT else SAM
    await gated.desk.ask("mochi", 1, verb, who)
    await gated.run()
    await asyncio.sleep(0)
    assert lab.under_way() == []
    assert not gated.runner._running


async def test_a_release_that_replaces_another_has_gates_of_its_own(gated, lab):
    first = await gated.deploy("green")
    await asyncio.sleep(0)
    second = await gated.deploy("purple", replace=True)
    await asyncio.sleep(0)
    assert lab.under_way() == ["load", "smoke"]
    assert {run["label"] for run in lab.runs if "over" not in run} == {second.label} != {first.label}


async def test_a_whole_result_is_on_record_with_the_outcome(gated, lab):
    """The thread tells it also when the bot was started anew meanwhile."""
    await gated.deploy("green")
    await asyncio.sleep(0)
    report = Report('{"label": "x"}', (("✓", "p(95)", "212 ms < 300 ms"), ("checks",)))
    await ended(gated, lab, "load", replace(passed("212 ms"), report=report))
    [told] = [event for event in await gated.store.events(await gated.newest()) if event.kind == "gate:passed"]
    assert told.detail == {
        "gate": "load",
        "report": {"raw": '{"label": "x"}', "rows": [["✓", "p(95)", "212 ms < 300 ms"], ["checks"]]},
    }


async def test_an_outcome_that_cannot_be_stored_is_stored_later(gated, lab, monkeypatch):
    monkeypatch.setattr("bot.gates.runner.AGAIN_AFTER", timedelta())
    await gated.deploy("green")
    await asyncio.sleep(0)
    update, refusals = gated.store.update, iter([True, True])

    async def full(*arguments):
        if next(refusals, False):
            raise StoreError("the database is full")
        return await update(*arguments)

    monkeypatch.setattr(gated.store, "update", full)
    await ended(gated, lab, "smoke", passed("all well"))
    assert (await verdicts(gated))["smoke"] is Verdict.PASSED


async def test_gates_that_end_together_are_on_record_at_once(gated, lab):
    """Each changes the same record: who was not the quickest does not wait for that, nor writes in vain."""
    await gated.deploy("green")
    await asyncio.sleep(0)
    update, in_vain = gated.store.update, []

    async def watched(release, *events):
        try:
            return await update(release, *events)
        except Outdated:
            in_vain.append(release)
            raise

    gated.store.update = watched
    lab.end("smoke", passed("all well"))
    lab.end("load", failed("412 ms"))
    async with asyncio.timeout(2):
        while Verdict.RUNNING in (found := await verdicts(gated)).values():
            await on_record(gated)
    assert found == {"smoke": Verdict.PASSED, "load": Verdict.FAILED}
    assert in_vain == []


async def test_an_outcome_meets_what_somebody_else_changed_and_is_on_record_all_the_same(gated, lab):
    release = await gated.deploy("green")
    await asyncio.sleep(0)
    update, quicker = gated.store.update, iter([True])

    async def late(ended, *events):
        if next(quicker, False):
            await update(await gated.newest())
        return await update(ended, *events)

    gated.store.update = late
    lab.end("smoke", passed("all well"))
    async with asyncio.timeout(2):
        await gated.recorded.wait()
    assert next(quicker, None) is None
    assert [each.verdict for each in (await gated.newest()).gates if each.gate == "smoke"] == [Verdict.PASSED]
    assert (await gated.newest()).version > release.version + 1


async def test_i9_what_comes_after_the_time_limit_is_no_verdict(gated, lab):
    """Even of a check that does not let itself be stopped."""

    async def holds_on(app, release, gate):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return passed("all well")

    gated.app = replace(gated.app, gates=(replace(SMOKE, timeout=timedelta(seconds=0.05)),))
    await gated.restart()
    gated.runner._checks = {"http": holds_on}
    await gated.deploy("green")
    await on_record(gated)
    [result] = (await gated.newest()).gates
    assert (result.verdict, result.detail) == (Verdict.NONE, "it was not through after 0.05 s")
