"""What a release's thread says: one line for each event, in the order of time, packed into messages.

An event with a whole result, such as k6's, has a message of its own: its line, a table, and the result as a file.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.release.snapshot import Verdict
from bot.store import Event
from cogs import words
from cogs.limits import CONTENT, length
from cogs.table import table
from cogs.text import sentence, stamp

LINE = 900
"""Whole digests and names fit; a pod's whole log does not."""
ENDS = {"phase:done", "phase:reverted", "phase:abandoned", "replaced"}
"""Kinds of events with which a release is over for the one who asked."""
NO_PASS = {f"gate:{verdict}" for verdict in (Verdict.FAILED, Verdict.NONE)}
"""And those upon which somebody has to do something about a gate."""
MENTION = 300
"""Characters that are left for whom it concerns, below a whole result."""


@dataclass(frozen=True)
class Telling:
    """One message for the thread: all events up to id `told`."""

    text: str
    told: int
    ends: bool
    steps: tuple[tuple[int, str], ...] = ()
    """By id of an event, the text of a message that would have told up to it."""
    file: tuple[str, str] | None = None
    """The name and the text of what is attached."""
    stuck: tuple[str, ...] = ()
    """The gates that it says did not pass."""

    def told_by(self, said: str) -> int:
        """Up to which event a message tells that begins where this one does, be it with a ping in its last line."""
        begun = [(len(text), told) for told, text in self.steps if said == text or said.startswith(text + "\n")]
        return max(begun)[1] if begun else self.told


def tellings(events: Iterable[Event], room: int = CONTENT) -> Iterator[Telling]:
    """Messages of at most `room` characters. Events without a text are for machines, and told by silence."""
    lines: list[str] = []
    steps: list[tuple[int, str]] = []
    told, ends = 0, False
    stuck: tuple[str, ...] = ()
    for event in events:
        said, report = _line(event), event.detail.get("report")
        if report:
            if told:
                yield Telling("\n".join(lines), told, ends, tuple(steps), stuck=stuck)
            lines, steps, told, ends, stuck = [], [], 0, False, ()
            yield _result(event, said, report)
            continue
        if said and lines and length("\n".join([*lines, said])) > room:
            yield Telling("\n".join(lines), told, ends, tuple(steps), stuck=stuck)
            lines, steps, ends, stuck = [], [], False, ()
        lines += [said] if said else []
        told, ends, stuck = event.id, ends or event.kind in ENDS, stuck + _stuck(event)
        steps.append((told, "\n".join(lines)))
    if told:
        yield Telling("\n".join(lines), told, ends, tuple(steps), stuck=stuck)


def _result(event: Event, said: str, report: Mapping[str, Any]) -> Telling:
    text = f"{said}\n{table(report['rows'], CONTENT - MENTION - length(said) - 1)}"
    file = (f"{event.detail['gate']}.json", report["raw"])
    return Telling(text, event.id, ends=False, steps=((event.id, text),), file=file, stuck=_stuck(event))


def _stuck(event: Event) -> tuple[str, ...]:
    return (str(event.detail["gate"]),) if event.kind in NO_PASS else ()


def _line(event: Event) -> str:
    if not event.text:
        return ""
    return words.event_line(stamp(event.at, "t") if event.at else "", sentence(event.text, LINE)).strip()
