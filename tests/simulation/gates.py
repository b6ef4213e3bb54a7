"""Automatic checks, gates and guards: each stops before and after it has looked, and ends in any way that there is.

What a run comes to is the world's to say, not the bot's: a story has it written down, else chance wants it so.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.gates.finding import Finding, failed, passed, unclear
from bot.release.app import K6, Action, App, Comparison, Gate, Guard, Http, Mode, Prometheus
from bot.release.record import Release
from bot.release.snapshot import Verdict

SMOKE = Gate("smoke", Http(), Mode.BLOCK, timedelta(seconds=30))
LOAD = Gate("load", K6("mochi-k6", "load.js"), Mode.ASK, timedelta(minutes=1))
UP = Prometheus("up", Comparison.ABOVE, 0)
ERRORS = Gate("errors", UP, Mode.WARN, timedelta(minutes=5))

PASSES, FAILS, NOTHING, BREAKS = "passes", "fails", "comes to no verdict", "breaks"
HANGS, IS_SLOW, HOLDS_ON = "hangs", "is slow", "does not let itself be stopped"
WAYS = {PASSES: 8, FAILS: 3, NOTHING: 3, BREAKS: 1, HANGS: 3, IS_SLOW: 1, HOLDS_ON: 1}
"""How a run ends, and how often."""

ANSWERS = Guard("answers", Http(), Action.ROLL_BACK, every=timedelta(minutes=1), failures=2)
RATE = Guard("rate", UP, Action.ASK, every=timedelta(minutes=1), failures=2)
OF_GUARDS = {PASSES: 8, FAILS: 4, NOTHING: 2, BREAKS: 1, HANGS: 2}

Guarded = tuple[tuple[Guard, tuple[str, ...]], ...]
"""Guards, and how they look at what is live, one time after the other, the last way for good; none: as chance wants."""
Gated = tuple[tuple[Gate, tuple[str, ...]], ...]
"""Gates, and how each run of theirs ends, the last way for good; none: as chance wants."""
Run = tuple[str, str, str, Any]
"""Label, gate, pod template, and when it was begun."""


class Lab:
    """The checks that one bot has running."""

    def __init__(self, world: Any, bot: Any) -> None:
        self._world, self._bot = world, bot
        self.running: list[Run] = []

    async def check(self, app: App, release: Release, gate: Gate) -> Finding:
        world, now = self._world, self._bot.loop.time
        known = next(each for each in release.gates if (each.gate, each.template) == (gate.name, release.template))
        run = release.label, gate.name, known.template, known.began_at
        began, others = now(), world.oracles.others
        if world.memory.setdefault(("lab", run), self) is not self:
            world.memory["lab", run] = self
            world.counts["a gate runs again after a crash"] += 1
        if gate.kind == K6.__name__.lower():
            world.jobs[run] = self
        way, limit = _way(world, gate, run), _limit(world, gate)
        self.running.append(run)
        try:
            await self._bot.loop.stop_at(f"before gate {gate.name} looks")
            finding = await self._looked(gate, way)
        except asyncio.CancelledError:
            world.counts["a gate hangs until its time limit" if now() >= began + limit else "a gate is cut off"] += 1
            raise
        finally:
            self.running.remove(run)
        world.jobs.pop(run, None)
        world.counts[f"a gate {way}"] += 1
        if world.oracles.others > others:
            world.counts["something changes while a gate runs"] += 1
        world.oracles.measured(run, finding.verdict, in_time=now() < began + limit)
        return finding

    async def guard(self, app: App, release: Release, guard: Guard) -> Finding:
        world, began, looks = self._world, self._bot.loop.time(), (release.label, guard.name, None, None)
        limit = began + guard.timeout.total_seconds()
        way = _next(world, guard, release.label)
        self.running.append(looks)
        try:
            await self._bot.loop.stop_at(f"before guard {guard.name} looks")
            finding = await self._looked(guard, way)
        except (asyncio.CancelledError, ZeroDivisionError):
            if self._bot.loop.time() >= limit:
                world.oracles.guarded(release.label, guard, Verdict.NONE)
            raise
        finally:
            self.running.remove(looks)
        world.counts[f"a guard {way}"] += 1
        world.oracles.guarded(release.label, guard, finding.verdict)
        return finding

    async def cut_off(self, app: App, release: Release, gate: Gate) -> None:
        """What it has running in the cluster goes."""
        await self._bot.loop.stop_at(f"before gate {gate.name} is cut off")
        for run in [each for each in self._world.jobs if each[:2] == (release.label, gate.name)]:
            del self._world.jobs[run]
        await self._bot.loop.stop_at(f"after gate {gate.name} is cut off")

    def left(self) -> list[Run]:
        """What it has not stopped, in the bot and in the cluster."""
        return [*self.running, *(run for run, lab in self._world.jobs.items() if lab is self)]

    async def _looked(self, gate: Gate | Guard, way: str) -> Finding:
        if way in {HANGS, HOLDS_ON}:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if way == HANGS:
                    raise
        elif way == IS_SLOW:
            await asyncio.sleep(1.2 * _limit(self._world, gate) * self._world.chances.random())
        else:
            await self._bot.loop.stop_at(f"gate {gate.name} {way}")
        if way == BREAKS:
            self._world.counts[f"a gate {way}"] += 1
            raise ZeroDivisionError
        return {FAILS: failed, NOTHING: unclear}.get(way, passed)(way)


def _limit(world: Any, gate: Gate) -> float:
    """In seconds, as its app has it."""
    return next(each.timeout.total_seconds() for each in world.app.gates if each.name == gate.name)


def _way(world: Any, gate: Gate, run: Run) -> str:
    """Of the same run the same after a crash, where a story says it."""
    label, _, _, began_at = run
    runs = world.memory.get(("runs", label, gate.name), ())
    if began_at not in runs:
        runs = world.memory["runs", label, gate.name] = (*runs, began_at)
    ways = world.ways[gate.name]
    if ways:
        return ways[min(runs.index(began_at), len(ways) - 1)]
    return world.chances.choices(list(WAYS), list(WAYS.values()))[0]


def _next(world: Any, guard: Guard, label: str) -> str:
    """How a guard looks this time, however many bots have asked for it."""
    looked = world.memory["looked", label, guard.name] = world.memory.get(("looked", label, guard.name), 0) + 1
    if ways := world.ways[guard.name]:
        return ways[min(looked, len(ways)) - 1]
    return world.chances.choices(list(OF_GUARDS), list(OF_GUARDS.values()))[0]


def guards_by_chance(chances: Any) -> Guarded:
    """One of them or none, with any action."""
    if chances.random() < 0.75:
        return ()
    guard = chances.choice((ANSWERS, RATE))
    return ((replace(guard, action=chances.choice((guard.action, guard.action, *Action))), ()),)


def by_chance(chances: Any) -> Gated:
    """Some gates or none, in any mode."""
    if chances.random() < 0.6:
        return ()
    some: Sequence[Gate] = chances.sample((SMOKE, LOAD, ERRORS), chances.choice((1, 1, 2, 3)))
    return tuple((replace(each, mode=chances.choice((Mode.BLOCK, each.mode, each.mode))), ()) for each in some)
