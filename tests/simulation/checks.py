"""What must hold of gates and guards: a part of the oracles. It is told what each check really came to."""

from typing import Any

from bot.release.app import Action, Gate, Guard, Http, Mode
from bot.release.record import GateResult, Person, Phase, Release
from bot.release.snapshot import Verdict
from simulation.gates import Run
from simulation.objects import EPOCH
from simulation.witness import witness

AT_ONCE = 5.0
"""Seconds within which a look follows a switch, and is acted upon, when nothing is slow or fails."""


class Checks:
    world: Any
    fail: Any
    now: float
    records: dict[str, Release]
    newest: Release | None
    others: int
    alive_since: float

    def __init__(self) -> None:
        # Gates as they really are.
        self.found: dict[Run, frozenset[Verdict]] = {}
        """What the check of a run came to, in time; it may have been made again after a crash."""
        self.runs: dict[tuple[str, str], Run] = {}
        """Of each gate of a release, the run that was begun last."""
        self.accepted: dict[tuple[str, str], tuple[tuple[float, Person], ...]] = {}
        """Who wanted to take a gate upon himself, with a reason, and when."""
        # Guards as they really are.
        self.in_a_row: dict[tuple[str, str], int] = {}
        """How often each failed, since this bot began."""
        self.alarmed: dict[tuple[str, str], float] = {}
        """Since when that has been too often."""
        self.kept: dict[tuple[str, str], tuple[Person, ...]] = {}
        """Who wanted it to stay live in spite of a guard."""

    def forgotten(self) -> None:
        """The bot begins anew: what guards counted is gone, what is on record is not."""
        known = {(each.label, alarm.guard) for each in self.records.values() for alarm in each.alarms}
        self.in_a_row = {}
        self.alarmed = {key: since for key, since in self.alarmed.items() if key in known}

    # Gates

    @witness
    def measured(self, run: Run, verdict: Verdict, *, in_time: bool) -> None:
        """A check has come to its end; `in_time`: within the gate's time limit."""
        world = self.world
        if verdict is Verdict.PASSED and not in_time:
            world.counts["a gate passes too late"] += 1
            return
        if self.newest.label != run[0] or self.newest.phase is not Phase.READY:
            world.counts["a gate speaks of what waits no longer"] += 1
        self.found[run] = self.found.get(run, frozenset()) | {verdict}

    @witness
    def accepts(self, release: Release, gate: str, actor: Person, why: str) -> None:
        """Somebody presses it, whether or not he may."""
        if why.strip():
            key = release.label, gate
            self.accepted[key] = (*self.accepted.get(key, ()), (self.now, actor))

    # Guards

    @witness
    def guarded(self, label: str, guard: Guard, verdict: Verdict) -> None:
        """It has looked; `NONE`: what is live did not answer in time, or it could not be told."""
        key = label, guard.name
        if verdict is Verdict.NONE and isinstance(guard.check, Http):
            verdict = Verdict.FAILED  # what is live has to answer
        if verdict is Verdict.PASSED:
            self.in_a_row = {**self.in_a_row, key: 0}
        elif verdict is Verdict.FAILED:
            self.in_a_row = {**self.in_a_row, key: self.in_a_row.get(key, 0) + 1}
            if self.in_a_row[key] >= guard.failures:
                self.alarmed.setdefault(key, self.now)

    @witness
    def keeps(self, release: Release, guard: str, actor: Person) -> None:
        key = release.label, guard
        self.kept[key] = (*self.kept.get(key, ()), actor)

    def _guards_let_it(self, release: Release) -> None:
        """It stays live, and none of its guards is against that, or somebody who may has taken it upon himself."""
        for guard in self.world.app.guards:
            key, policy = (release.label, guard.name), self.world.app.approval
            since = self.alarmed.get(key)
            if since is None or guard.action is Action.WARN or release.restores is not None:
                continue
            if self.world.weather or self.others or self.alive_since > since or self.now < since + AT_ONCE:
                continue  # it may not be on record yet
            able = [who for who in self.kept.get(key, ()) if who.roles & policy.roles and not who.bot]
            able = [who for who in able if policy.by_author or who.id != release.author.id]
            if guard.action is Action.ROLL_BACK or not able:
                self.fail("guards", f"{release.title} stays live, and guard {guard.name} has failed")

    def _guards_want_it(self, release: Release) -> None:
        """It goes back for a guard's sake."""
        against = {guard.name for guard in self.world.app.guards if guard.action is not Action.WARN}
        if not any((release.label, name) in self.alarmed for name in against):
            self.fail("guards", f"{release.title} goes back, and no guard has failed so often: {release.reason}")
        self.world.counts["a guard takes it back"] += 1

    def _gate_changed(self, release: Release, known: GateResult) -> None:
        if known.verdict is Verdict.RUNNING:
            key = release.label, known.gate
            self.world.counts["a gate is repeated"] += key in self.runs
            self.runs[key] = (*key, known.template, known.began_at)
        elif known.accepted_by is not None:
            self.world.counts["a gate is accepted"] += 1

    def _lets_through(self, gate: Gate, release: Release) -> None:
        """I9: nothing but a pass of this candidate's, or somebody who may take it upon himself."""
        run = self.runs.get((release.label, gate.name))
        if gate.mode is Mode.WARN:
            self.world.counts["switched although a gate that warns did not pass"] += run not in self.found
            return
        if run is None or run[2] != release.template:
            self.fail("I9", f"{release.title} is switched to without gate {gate.name}")
            return
        found, began = self.found.get(run, frozenset()), (run[3] - EPOCH).total_seconds()
        if Verdict.PASSED in found:
            return
        policy, pressed = self.world.app.approval, self.accepted.get((release.label, gate.name), ())
        able = [who for at, who in pressed if at >= began and who.roles & policy.roles and not who.bot]
        if gate.mode is not Mode.ASK or not any(policy.by_author or who.id != release.author.id for who in able):
            self.fail("I9", f"{release.title} is switched to, and gate {gate.name} came to {sorted(found)}")
