"""What a check comes to."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.release.app import App, Gate, Guard
from bot.release.record import Release
from bot.release.snapshot import Verdict


@dataclass(frozen=True)
class Report:
    """The whole result, where there is more than a sentence of it."""

    raw: str
    """As the tool wrote it: JSON."""
    rows: tuple[tuple[str, ...], ...]
    """The same for people: a sign, what was measured, what came out; or one cell, which is a heading."""


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    detail: str
    """For people: what was measured and what was wanted, or why there is no verdict."""
    report: Report | None = None
    asked: bool = True
    """False: nobody came as far as to ask what is checked, so this says nothing of it."""


Check = Callable[[App, Release, Gate], Awaitable[Finding]]
"""One run of a gate. It may take as long as it likes: whoever calls it knows its time limit, and cancels it."""


GuardCheck = Callable[[App, Release, Guard], Awaitable[Finding]]
"""The same of a guard."""


CutOff = Callable[[App, Release, Gate], Awaitable[None]]
"""Takes away what a run left in the world that nobody waits for any more. Never raises."""


def cut(text: str, most: int) -> str:
    """So much of it as people are shown."""
    return text if len(text) <= most else text[: most - 1] + "…"


def passed(detail: str) -> Finding:
    return Finding(Verdict.PASSED, detail)


def failed(detail: str) -> Finding:
    return Finding(Verdict.FAILED, detail)


def unclear(detail: str, *, asked: bool = True) -> Finding:
    """It could not be told: never a pass."""
    return Finding(Verdict.NONE, detail, asked=asked)
