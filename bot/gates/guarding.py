"""Runs guards while what is live is watched, and puts on record when one failed too often in a row.

What they measure is kept in memory only: after a restart they are counted anew, alarms stay.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
import tenacity

from bot.gates.attempt import CutShortError, outcome
from bot.gates.finding import Finding, GuardCheck, failed, unclear
from bot.ports import Clock
from bot.release import guards
from bot.release.app import Action, App, Guard, Http
from bot.release.record import Release
from bot.release.snapshot import Check, Verdict
from bot.store import Event, Outdated, Store, StoreError

log = structlog.get_logger()

NEVER = datetime.min.replace(tzinfo=UTC)
DRAWN_EVERY = timedelta(minutes=1)
"""A value that is another one, and means the same."""
AGAIN_AFTER = timedelta(seconds=1)
"""Until an alarm that could not be stored is stored once more."""

_CONSEQUENCE = {Action.ROLL_BACK: "it goes back", Action.ASK: "approvers are asked", Action.WARN: "it stays"}

_Watch = tuple[str, str, str]
"""App, label of the release, name of the guard."""


@dataclass(frozen=True)
class _Reading:
    finding: Finding
    failures: int
    """In a row, this one included; no more are counted than make an alarm."""
    unclear: int
    """So often in a row it could not be told."""
    drawn_at: datetime = NEVER
    """When the card was told the last time."""

    def then(self, finding: Finding, guard: Guard) -> "_Reading":
        match finding.verdict:
            case Verdict.PASSED:
                return _Reading(finding, 0, 0, self.drawn_at)
            case Verdict.FAILED:
                return _Reading(finding, min(self.failures + 1, guard.failures), 0, self.drawn_at)
            case _:
                return _Reading(finding, self.failures, self.unclear + 1, self.drawn_at)

    def is_news(self, before: "_Reading", now: datetime) -> bool:
        """Whether the card has to be drawn again: at once for what matters, else now and then, as Discord lets nobody
        change a message as often as he likes.
        """
        if (self.finding.verdict, self.failures) != (before.finding.verdict, before.failures):
            return True
        return str(self) != str(before) and now - self.drawn_at >= DRAWN_EVERY

    def __str__(self) -> str:
        often = f" ({self.failures} in a row)" if self.failures > 1 else ""
        return f"{self.finding.detail}{often}"


_NOTHING = _Reading(Finding(Verdict.RUNNING, ""), 0, 0)


def _shown(guard: Guard, reading: _Reading | None) -> Check:
    known = reading or _NOTHING
    return Check(guard.name, guard.kind, known.finding.verdict, str(known))


class GuardRunner:
    """`checks` are by the kind of guard. `wake` has the controller look at an app, `redraw` has a card drawn again."""

    def __init__(
        self,
        store: Store,
        checks: Mapping[str, GuardCheck],
        wake: Callable[[str], None],
        redraw: Callable[[Release], None],
        clock: Clock,
        pause: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._checks = checks
        self._wake = wake
        self._redraw = redraw
        self._clock = clock
        self._pause = pause
        self._running: dict[_Watch, asyncio.Task[None]] = {}
        self._readings: dict[_Watch, _Reading] = {}

    def attend(self, app: App, release: Release) -> None:
        """Have the guards of what is watched run, and no others of the app. Never blocks."""
        wanted = {(app.name, release.label, guard.name): guard for guard in guards.watching(app, release)}
        for key in [each for each in self._running if each[0] == app.name and each not in wanted]:
            self._running.pop(key).cancel()
            self._readings.pop(key, None)
        for key, guard in wanted.items():
            known = self._running.get(key)
            if known is not None and known.done() and not known.cancelled():
                log.error("guard broke off", release=release, guard=guard.name, exc_info=known.exception())
            if known is None or known.done():
                self._running[key] = asyncio.create_task(self._watch(app, release, guard))

    def readings(self, app: App, release: Release) -> tuple[Check, ...]:
        """The last one of each guard, in the order of the file."""
        watching = guards.watching(app, release)
        return tuple(_shown(guard, self._readings.get((app.name, release.label, guard.name))) for guard in watching)

    async def close(self) -> None:
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _watch(self, app: App, release: Release, guard: Guard) -> None:
        key, reading = (app.name, release.label, guard.name), _NOTHING
        while True:
            before, reading = reading, reading.then(await self._found(app, release, guard), guard)
            if news := reading.is_news(before, self._clock.now()):
                reading = replace(reading, drawn_at=self._clock.now())
            self._readings[key] = reading
            if news:
                self._redraw(release)
            if reading.failures >= guard.failures:
                await self._stored(release, guard, partial(self._alarm, app, release, guard, str(reading)))
            elif reading.unclear == guard.failures:
                await self._stored(release, guard, partial(self._blind, release, guard, str(reading)))
            await self._pause(guard.every.total_seconds())

    async def _found(self, app: App, release: Release, guard: Guard) -> Finding:
        try:
            found = await outcome(self._checks[guard.kind](app, release, guard), guard, release)
        except CutShortError as why:
            found = unclear(str(why), asked=why.late)
        # What is live has to answer. That whoever measures it is away is no reason to take it back, nor that Kubernetes
        # is, which knows where it answers.
        has_to_answer = isinstance(guard.check, Http) and found.asked
        return failed(found.detail) if has_to_answer and found.verdict is Verdict.NONE else found

    async def _stored(self, release: Release, guard: Guard, write: Callable[[], Awaitable[None]]) -> None:
        def say_once(tried: tenacity.RetryCallState) -> None:
            error = tried.outcome and tried.outcome.exception()
            if tried.attempt_number == 1 and isinstance(error, StoreError):
                why = str(error)
                log.warning("what a guard found cannot be stored", release=release, guard=guard.name, reason=why)

        again = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type((Outdated, StoreError)),
            wait=tenacity.wait_fixed(AGAIN_AFTER),
            before_sleep=say_once,
        )
        await again(write)

    async def _alarm(self, app: App, release: Release, guard: Guard, detail: str) -> None:
        known = await self._store.labelled(release.label)
        raised = known and guards.raise_alarm(known, guard, detail, self._clock.now())
        if known is None or raised is None:
            return
        consequence = _CONSEQUENCE[guards.action(guard, known)]
        text = f"guard {guard.name} failed: {detail}; {consequence}"
        await self._store.update(raised, Event("guard:alarm", text, detail={"guard": guard.name}))
        log.warning("guard", release=release, guard=guard.name, detail=detail, action=guards.action(guard, known).value)
        self._wake(app.name)

    async def _blind(self, release: Release, guard: Guard, detail: str) -> None:
        text = f"guard {guard.name} cannot tell: {detail}; nothing follows from that"
        await self._store.note(release, Event("guard:blind", text, detail={"guard": guard.name}))
        log.warning("guard is blind", release=release, guard=guard.name, detail=detail)
