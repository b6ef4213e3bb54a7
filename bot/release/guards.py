"""Automatic checks of what is live, for as long as it is watched after the switch, and what becomes of their alarms.

Pure. Whoever runs them counts how often one failed in a row, and puts on record when that was often enough. Nothing
here ever stands in the way of a rollback that a person asks for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from bot.release.app import Action, App, Guard
from bot.release.approvals import may_approve
from bot.release.errors import Refused
from bot.release.record import Alarm, Person, Phase, Release
from bot.release.verbs import STATE, only

RESTARTS = 3
"""So often a container of what is live may not start again while it is watched: that is a crash loop, or about to be
one (Kubernetes starts a container anew after 0, 10, 20, 40 ... s). All of a node's may do so once, when it does."""


def action(guard: Guard, release: Release) -> Action:
    """What becomes of its alarm. A release that takes another back has nothing better to go back to."""
    return Action.WARN if release.restores is not None else guard.action


def watching(app: App, release: Release) -> tuple[Guard, ...]:
    """The guards that have to run."""
    return app.guards if release.phase is Phase.BAKING else ()


def raise_alarm(release: Release, guard: Guard, detail: str, now: datetime) -> Release | None:
    """The release with the guard's alarm; None when that changes nothing: it is not watched any more, or was told."""
    if release.phase is not Phase.BAKING or alarm_of(guard, release) is not None:
        return None
    return replace(release, alarms=(*release.alarms, Alarm(guard.name, detail, now)))


def alarm_of(guard: Guard, release: Release) -> Alarm | None:
    return next((each for each in release.alarms if each.guard == guard.name), None)


def keep(release: Release, app: App, name: str, actor: Person) -> Release:
    """Leave it live in spite of the guard. Raises `Refused` for whoever may not, and where nothing is asked."""
    if not may_approve(actor, app.approval, release.author):
        if actor.id == release.author.id:
            raise Refused(f"Who asked for a release does not keep it live in spite of guard {name}.")
        raise Refused(only(app.approval.roles, f"keep in spite of guard {name} what is live of", app.name))
    if release.phase is not Phase.BAKING:
        raise Refused(f"{release.title} is {STATE[release.phase]}: its guards are over.")
    alarm = next((alarm for alarm, _ in asked(app, release) if alarm.guard == name), None)
    if alarm is None:
        by = next((each.kept_by for each in release.alarms if each.guard == name and each.kept_by is not None), None)
        if by is not None:
            raise Refused(f"{by.name} keeps {release.title} live in spite of guard {name} already.")
        raise Refused(f"Guard {name} of {release.title} asks nothing.")
    kept = replace(alarm, kept_by=actor)
    return replace(release, alarms=tuple(kept if each == alarm else each for each in release.alarms))


def asked(app: App, release: Release) -> tuple[tuple[Alarm, datetime], ...]:
    """The alarms that people have to answer, the most urgent first, each with until when; after that it goes back."""
    if release.phase is not Phase.BAKING:
        return ()
    found = ((alarm, alarm.at + guard.answer_within) for guard, alarm in _open(app, release, Action.ASK))
    return tuple(sorted(found, key=lambda each: each[1]))


def why_back(app: App, release: Release, restarts: Mapping[str, int] = MappingProxyType({}), *, now: datetime) -> str:
    """Why what is live has to go back now, as a sentence; "" when nothing says so. `restarts`: as far as is known."""
    for _, alarm in _open(app, release, Action.ROLL_BACK):
        return told(alarm)
    for alarm, until in asked(app, release):
        if now >= until:
            return f"{told(alarm)}; nobody kept it in time"
    for container, count in restarts.items():
        again = count - release.restarts_before.get(container, 0)
        if again >= RESTARTS and release.restores is None:
            return f"container {container} has crashed and started again {again} times since the switch"
    return ""


def told(alarm: Alarm) -> str:
    return f"guard {alarm.guard} failed: {alarm.detail}"


def _open(app: App, release: Release, wanted: Action) -> Iterable[tuple[Guard, Alarm]]:
    """Alarms that nobody has taken upon himself, of guards with this action."""
    known = ((guard, alarm_of(guard, release)) for guard in app.guards if action(guard, release) is wanted)
    return ((guard, alarm) for guard, alarm in known if alarm is not None and alarm.kept_by is None)
