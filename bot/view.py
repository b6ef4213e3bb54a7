"""What a card and `/status` show of a release, gathered from the record, the votes and the last look. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.clusters.cluster import Link, Links
from bot.release import gates, guards
from bot.release.app import Action, App, Guard, Native
from bot.release.approvals import Tally, Vote, tally
from bot.release.machine import DRAIN
from bot.release.record import Alarm, Phase, Release, Version
from bot.release.snapshot import Check, Snapshot, Traffic, Verdict
from bot.release.verbs import Verb, buttons


class Kind(StrEnum):
    """What going back would be."""

    INSTANT = "instant"
    REDEPLOY = "redeploy"
    NONE = "none"


@dataclass(frozen=True)
class WayBack:
    kind: Kind
    previous: str
    """The image to go back to, as people call it where that is known."""
    until: datetime | None = None
    """Until when it is instant, if that is known."""


@dataclass(frozen=True)
class Live:
    """What has the traffic now; `image` is "" when that is not known, since `changed_by` has moved the traffic."""

    image: str
    """As the pod template names it."""
    since: datetime | None = None
    by: str | None = None
    ready: int | None = None
    wanted: int | None = None
    name: str = ""
    """The image as people call it, "" where they did not."""
    changed_by: str = ""


@dataclass(frozen=True)
class Watched:
    """A guard: what it measured last, and its alarm."""

    check: Check
    action: Action
    """What becomes of an alarm."""
    alarm: Alarm | None = None


@dataclass(frozen=True)
class View:
    release: Release
    app: App
    current: bool
    """False: a newer release exists, so nothing can be done with this one, unless that one left it live."""
    tally: Tally
    reason: str
    """Why it waits or why it ended, "" if there is nothing to say."""
    until: datetime | None
    buttons: tuple[Verb, ...]
    live: Live
    way_back: WayBack
    production: Link | None = None
    preview: Link | None = None
    progress: tuple[int, int] | None = None
    """Pods of the candidate: ready, wanted."""
    moved_by: str = ""
    """Who took the traffic away from a release that was done, unless a newer release did."""
    checks: tuple[Check, ...] = ()
    held_by: str = ""
    """The gate that nobody's approval helps over, and what it says, as a sentence."""
    stoppable: tuple[str, ...] = ()
    """The gates that run, by name."""
    repeatable: tuple[str, ...] = ()
    """The gates that may be run again, by name."""
    acceptable: tuple[str, ...] = ()
    """Those of them that an approver may accept."""
    guards: tuple[Watched, ...] = ()
    """In the place of the gates, for as long as they run; after that, those that had an alarm, beside them."""
    to_answer: tuple[tuple[Alarm, datetime], ...] = ()
    """The alarms that people have to answer, the most urgent first, each with until when."""


@dataclass(frozen=True)
class Status:
    app: App
    live: Live | None
    open: Release | None
    newest: Release | None
    production: Link | None
    preview: Link | None
    recent: tuple[Release, ...]
    trouble: str = ""


def view(
    release: Release,
    app: App,
    votes: tuple[Vote, ...],
    live: Live,
    links: Links,
    *,
    current: bool,
    left_live: bool = False,
    seen: Snapshot | None = None,
    reason: str = "",
    until: datetime | None = None,
    moved_by: str = "",
    readings: tuple[Check, ...] = (),
) -> View:
    """`readings`: what its guards measured last.

    `left_live`: the newer releases came to nothing, and this one is live as before them, its own way back taken.
    """
    result = tally(app.approval, release.author, votes)
    offered = buttons(release, app, quorum=result.reached) if current else (Verb.ROLL_BACK,) if left_live else ()
    watched = bool(guards.watching(app, release))
    to_answer = guards.asked(app, release) if current else ()
    return View(
        release=release,
        app=app,
        current=current,
        tally=result,
        reason=reason or release.reason,
        until=to_answer[0][1] if to_answer else until,
        buttons=offered,
        live=live,
        way_back=WayBack(Kind.REDEPLOY, called(release.previous)) if left_live else way_back(release, app, seen),
        production=links_to(links.production, seen is None or bool(seen.live and seen.live.ready)),
        preview=links_to(links.preview, seen is not None and bool(seen.candidate.ready)),
        progress=(seen.candidate.ready, seen.candidate.wanted) if seen and release.staged else None,
        moved_by=moved_by,
        checks=(*(() if watched else gates.checks(app, release)), *(seen.checks if seen else ())) if current else (),
        held_by=gates.failed(app, release),
        stoppable=gates.stoppable(app, release) if current else (),
        repeatable=gates.repeatable(app, release) if current else (),
        acceptable=gates.acceptable(app, release) if current else (),
        guards=_guards(app, release, readings) if current else (),
        to_answer=to_answer,
    )


def _guards(app: App, release: Release, readings: tuple[Check, ...]) -> tuple[Watched, ...]:
    """Those that run, and once they do not, those that had an alarm: that stays to be seen."""
    last = {each.name: each for each in readings}
    shown = guards.watching(app, release) or tuple(each for each in app.guards if guards.alarm_of(each, release))
    return tuple(_watched(guard, release, last.get(guard.name)) for guard in shown)


def _watched(guard: Guard, release: Release, last: Check | None) -> Watched:
    alarm = guards.alarm_of(guard, release)
    if alarm is not None and (last is None or last.verdict is Verdict.RUNNING):  # such as after a restart
        last = Check(guard.name, guard.kind, Verdict.FAILED, alarm.detail)
    known = last or Check(guard.name, guard.kind, Verdict.RUNNING)
    return Watched(known, guards.action(guard, release), alarm)


def links_to(url: str | None, answers: bool) -> Link | None:
    return Link(url, answers) if url else None


def called(version: Version) -> str:
    """The image, as people call it where that is known."""
    return version.asked or version.image


def way_back(release: Release, app: App, seen: Snapshot | None) -> WayBack:
    """Instant as long as the previous version has ready pods. Until when, `warm_for` promises where Greenlight keeps
    them itself; a controller of the cluster's own says when it gives them up.
    """
    previous = called(release.previous)
    if release.phase not in {Phase.PROMOTING, Phase.BAKING, Phase.DONE}:
        return WayBack(Kind.NONE, previous)
    if seen is not None and not seen.previous.present:
        return WayBack(Kind.NONE, previous)
    keeps = isinstance(app.target, Native)
    if seen is not None and seen.traffic is Traffic.CANDIDATE and not (keeps and release.retired):
        gone = not seen.previous.ready
    else:
        gone = release.retired
    if gone:
        return WayBack(Kind.REDEPLOY, previous)
    if release.live_at is None:
        return WayBack(Kind.INSTANT, previous)
    if not keeps:
        return WayBack(Kind.INSTANT, previous, until=seen.instant_until if seen else None)
    warm_for = DRAIN if release.retire_asked else max(DRAIN, app.timing.warm_for)
    return WayBack(Kind.INSTANT, previous, until=release.live_at + warm_for)
