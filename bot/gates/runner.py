"""Runs gates until they have an outcome, and puts that on record.

Which gates have to run stands in the release's record, so after a restart they run again; what was begun for a
candidate that is none any more is cut off, if need be by the next start.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from types import MappingProxyType

import structlog
import tenacity

from bot.gates.attempt import CutShortError, outcome, token
from bot.gates.finding import Check, CutOff, Finding, unclear
from bot.ports import Clock
from bot.release import gates
from bot.release.app import App, Gate
from bot.release.record import GateResult, Release
from bot.release.snapshot import Verdict
from bot.store import Event, Outdated, Store, StoreError

log = structlog.get_logger()

AGAIN_AFTER = timedelta(seconds=5)
"""Until an outcome that could not be stored is stored once more."""

LEFT_WITHIN = 2.0
"""Seconds for what is being taken away when the bot stops."""

_Run = tuple[str, str, GateResult]
"""App, label of the release, and the run as it was begun."""


class GateRunner:
    """`checks` are by the kind of gate, and so is what to do when one is cut off. `wake` has the controller look at an
    app.
    """

    def __init__(
        self,
        store: Store,
        checks: Mapping[str, Check],
        wake: Callable[[str], None],
        clock: Clock,
        cut_off: Mapping[str, CutOff] = MappingProxyType({}),
        token: Callable[[], str] = token,
    ) -> None:
        self._store = store
        self._checks = checks
        self._wake = wake
        self._clock = clock
        self._cut_off = cut_off
        self._token = token
        self._stopping = False
        self._running: dict[_Run, asyncio.Task[None]] = {}
        self._recording: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """By app: the gates of one release change one record, so at once all but one of them would do so in vain."""
        self._looked_back: dict[str, asyncio.Task[None]] = {}
        """By app: whether an earlier start left anything running."""

    def attend(self, app: App, release: Release) -> None:
        """Have what is on record as running run, and nothing else of the app. Never blocks."""
        wanted = {(app.name, release.label, run): gate for gate, run in gates.under_way(app, release)}
        for key, task in self._running.items():
            # Who is told twice stops taking away what is to be taken away.
            if key[0] == app.name and key not in wanted and not task.cancelling():
                task.cancel()
        if app.name not in self._looked_back:
            runs = frozenset(run for *_, run in wanted)
            self._looked_back[app.name] = asyncio.create_task(self._look_back(app, release, runs))
        for key, gate in wanted.items():
            if key not in self._running:
                self._running[key] = asyncio.create_task(self._attempt(app, release, gate, key))

    async def _look_back(self, app: App, newest: Release, goes_on: frozenset[GateResult]) -> None:
        """Take away what an earlier start, that had no time to, left running although it was on record as over."""
        try:
            before = [await self._store.labelled(label) for label in newest.replaces]
        except StoreError:
            del self._looked_back[app.name]
            return
        for release in (newest, *filter(None, before)):
            for gate in app.gates:
                run = gates.result_of(gate, release)
                if run and run.verdict in {Verdict.RUNNING, Verdict.NONE} and run not in goes_on:
                    await self._take_away(app, release, gate)

    async def close(self) -> None:
        """What runs is left to itself; it stays on record as running, and is found again by the next start."""
        self._stopping = True
        running = [*self._running.values(), *self._looked_back.values()]
        leaving = [task for task in running if task.cancelling()]
        for task in running:
            if task not in leaving:
                task.cancel()
        if leaving:  # the next start may be long in coming
            await asyncio.wait(leaving, timeout=LEFT_WITHIN)
            for task in leaving:
                task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _attempt(self, app: App, release: Release, gate: Gate, key: _Run) -> None:
        try:
            finding = await self._found(app, release, gate)
            log.info("gate", release=release, gate=gate.name, verdict=finding.verdict.value, detail=finding.detail)
            retry = tenacity.retry_if_exception_type((Outdated, StoreError))
            await tenacity.AsyncRetrying(retry=retry, wait=_until_again)(self._record, release, key[2], finding)
        except asyncio.CancelledError:
            if not self._stopping:
                await self._take_away(app, release, gate)
            raise
        finally:
            del self._running[key]
        self._wake(app.name)

    async def _found(self, app: App, release: Release, gate: Gate) -> Finding:
        try:
            return await outcome(self._checks[gate.kind](app, release, gate), gate, release, self._token)
        except CutShortError as why:
            await self._take_away(app, release, gate)
            return unclear(str(why))

    async def _take_away(self, app: App, release: Release, gate: Gate) -> None:
        if gate.kind in self._cut_off:
            await self._cut_off[gate.kind](app, release, gate)

    async def _record(self, release: Release, run: GateResult, finding: Finding) -> None:
        async with self._recording[release.app]:
            known = await self._store.labelled(release.label)
            ended = known and gates.end(known, run, finding.verdict, finding.detail, self._clock.now())
            if ended:
                await self._store.update(ended, _told(run, finding))


def _until_again(tried: tenacity.RetryCallState) -> float:
    """Who was quicker is done by now; what the store suffers from is not over at once."""
    error = tried.outcome and tried.outcome.exception()
    return 0 if isinstance(error, Outdated) else AGAIN_AFTER.total_seconds()


def _told(run: GateResult, finding: Finding) -> Event:
    said = {Verdict.PASSED: "passed", Verdict.FAILED: "failed"}.get(finding.verdict, "came to no verdict")
    whole = {"report": asdict(finding.report)} if finding.report else {}
    return Event(
        f"gate:{finding.verdict}", f"gate {run.gate} {said}: {finding.detail}", detail={"gate": run.gate, **whole}
    )
