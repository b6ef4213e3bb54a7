"""The rows of a card for what machines check: the gates of a candidate, and the guards of what is live."""

from collections.abc import Mapping

from bot.release.app import Action
from bot.release.record import Phase
from bot.release.snapshot import Check, Verdict
from bot.view import View, Watched
from cogs import words
from cogs.limits import length
from cogs.text import clip, person_name, plain, span, stamp

_ROWS = 10
_LENGTH = 1000
"""Of all of them together."""


def shown_checks(view: View, thread: int | None) -> list[tuple[str, str]]:
    """The field of gates, of guards, or of both, with a row for each; what went wrong is not what is left out."""
    found: list[Check | Watched] = [*view.checks, *view.guards]
    if not found:
        return []
    name = words.GATES_FIELD if not view.guards else words.GATES_AND_GUARDS_FIELD if view.checks else words.GUARDS_FIELD
    shown = (found if len(found) <= _ROWS else sorted(found, key=_goes_well))[:_ROWS]
    each = _LENGTH // len(shown)
    said = words.ALARMS if view.release.phase is Phase.BAKING else words.ALARMS_BEFORE
    rows = [_guard(row, said, each) if isinstance(row, Watched) else _gate(row, each, thread) for row in shown]
    rows += [words.and_more(len(found) - _ROWS)] if len(found) > _ROWS else []
    return [(name, "\n".join(rows))]


def _goes_well(row: Check | Watched) -> bool:
    check, alarmed = (row.check, row.alarm is not None) if isinstance(row, Watched) else (row, False)
    return check.verdict in {Verdict.PASSED, Verdict.RUNNING} and not alarmed


def _check(check: Check, most: int) -> str:
    said = plain(check.name, 60), plain(check.kind, 20), plain(check.detail, most)
    return words.check_line(check.verdict, *said, **_how_long(check))


def _how_long(check: Check) -> Mapping[str, str]:
    """Since when it has been running, or how long it took, where that is anything."""
    if check.began_at is None:
        return {}
    if check.ended_at is None:
        return {"begun": stamp(check.began_at)}
    seconds = (check.ended_at - check.began_at).total_seconds()
    return {"lasted": span(seconds)} if seconds >= 1 else {}


def _gate(check: Check, most: int, thread: int | None) -> str:
    """With a link to the thread that has all of it. Half a link leads nowhere."""
    link = words.result_in(thread) if thread and check.told else ""
    return clip(_check(check, most), most - length(link)) + link


def _guard(guard: Watched, said: Mapping[Action, str], most: int) -> str:
    """What was measured is cut before what becomes of the alarm is."""
    end = f"; {alarm}" if (alarm := _alarm(guard, said)) else ""
    return clip(_check(guard.check, most), most - length(end)) + end


def _alarm(guard: Watched, said: Mapping[Action, str]) -> str:
    """What becomes of its alarm, "" if it has none."""
    if guard.alarm is None:
        return ""
    if guard.alarm.kept_by is not None:
        return words.kept_by(person_name(guard.alarm.kept_by.name))
    return said[guard.action]
