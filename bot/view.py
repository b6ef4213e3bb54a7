"""What a card and `/status` show of a release, gathered from the record, the votes and the last look. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.clusters.cluster import Link, Links
from bot.release.app import App
from bot.release.approvals import Tally, Vote, tally
from bot.release.machine import DRAIN, Verb, buttons
from bot.release.record import Phase, Release
from bot.release.snapshot import Snapshot, Traffic


class Kind(StrEnum):
    """What going back would be."""

    INSTANT = "instant"
    REDEPLOY = "redeploy"
    NONE = "none"


@dataclass(frozen=True)
class WayBack:
    kind: Kind
    previous: str
    """The image to go back to, as the pod template names it."""
    until: datetime | None = None
    """Until when it is instant, if that is known."""


@dataclass(frozen=True)
class Live:
    """What has the traffic now."""

    image: str
    since: datetime | None = None
    by: str | None = None
    ready: int | None = None
    wanted: int | None = None


@dataclass(frozen=True)
class View:
    release: Release
    app: App
    current: bool
    """False: a newer release exists, so nothing can be done with this one."""
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
    seen: Snapshot | None = None,
    reason: str = "",
    until: datetime | None = None,
) -> View:
    result = tally(app.approval, release.author, votes)
    return View(
        release=release,
        app=app,
        current=current,
        tally=result,
        reason=reason or release.reason,
        until=until,
        buttons=buttons(release, app, quorum=result.reached) if current else (),
        live=live,
        way_back=way_back(release, app, seen),
        production=links_to(links.production, seen is None or bool(seen.live and seen.live.ready)),
        preview=links_to(links.preview, seen is not None and bool(seen.candidate.ready)),
        progress=(seen.candidate.ready, seen.candidate.wanted) if seen and release.staged else None,
    )


def links_to(url: str | None, answers: bool) -> Link | None:
    return Link(url, answers) if url else None


def way_back(release: Release, app: App, seen: Snapshot | None) -> WayBack:
    """Instant as long as the previous version has ready pods, which is promised until `warm_for` is over."""
    previous = release.previous.image
    if release.phase not in {Phase.PROMOTING, Phase.BAKING, Phase.DONE}:
        return WayBack(Kind.NONE, previous)
    if seen is not None and not seen.previous.present:
        return WayBack(Kind.NONE, previous)
    if release.retired or (seen is not None and seen.traffic is Traffic.CANDIDATE and not seen.previous.ready):
        return WayBack(Kind.REDEPLOY, previous)
    if release.live_at is None:
        return WayBack(Kind.INSTANT, previous)
    warm_for = DRAIN if release.retire_asked else max(DRAIN, app.timing.warm_for)
    return WayBack(Kind.INSTANT, previous, until=release.live_at + warm_for)
