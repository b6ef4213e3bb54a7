"""What a cluster is to the controller: looks in, conditional writes out.

A backend reads what belongs to one release into a `View`; the view answers what the release looks like (`snapshot`) and
what the next write of an order would be (`plan`). Planning is pure, one write at a time, so every write can be
journalled before it is sent, and a crash between two writes needs no repair: the next look plans the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from bot.clusters.errors import ClusterError
from bot.release.app import App
from bot.release.machine import Order
from bot.release.record import Release, Version
from bot.release.snapshot import Snapshot

LABEL = "greenlight.dev/release"
"""In pod templates and selectors: the release. Immutable per release, so traffic can never reach another version."""
RELEASE_NOTE = "greenlight.dev/released"
ACTOR_NOTE = "greenlight.dev/by"
"""Annotations of the active Service: which release was last given the traffic, and by whom."""

__all__ = [
    "ACTOR_NOTE",
    "LABEL",
    "RELEASE_NOTE",
    "Cluster",
    "ClusterError",
    "Link",
    "Links",
    "Outside",
    "Start",
    "View",
    "Write",
    "label_of",
]


@dataclass(frozen=True)
class Write:
    """One conditional write: a JSON Patch (RFC 6902) whose `test`s say what it was decided upon."""

    app: str
    cluster: str
    """As in `App.cluster`."""
    kind: str
    namespace: str
    name: str
    patch: tuple[Mapping[str, Any], ...]
    why: str
    """For the journal and the thread, for example `switch mochiapp from mochi:blue to mochi:green`."""


@dataclass(frozen=True)
class Link:
    url: str
    answers: bool
    """Whether the Service behind it has a ready endpoint."""


@dataclass(frozen=True)
class Links:
    production: str | None = None
    preview: str | None = None


@dataclass(frozen=True)
class Start:
    """Where a new release of an app would begin."""

    slot: str
    selector: Mapping[str, str]
    """The app's own labels, by which the candidate will be selected beside its release label."""
    live: Version
    live_ready: int
    unheard: str = ""
    """The right to watch that is missing, as a sentence: without it a release is moved by the clock alone."""
    put_back: str = ""
    """Why an image that is written into the cluster would not stay there, as a sentence; "" when it would."""
    kept_by: str = ""
    """The Argo CD application that keeps the app's objects as Git has them."""
    warnings: tuple[str, ...] = ()
    """What does not stand in the way of a release, but should be known by whoever approves it."""


@dataclass(frozen=True)
class Outside:
    """A version beside the live one that somebody else brings up."""

    start: Start
    """As for a release of ours; its `selector` tells the pods of this version."""
    image: str
    template: str
    """Fingerprint of its pod template."""
    begun_by: str
    """Who did it and when, as the API server recorded it, for example `kubectl-set at 14:02 UTC`."""
    label: str = ""
    """Of the release that its pod template is stamped for: one of ours that came back; "" for none."""
    author: str = ""
    """Whom the pod template names as its author: a Discord user id, or a name; "" when it names nobody."""


def label_of(version: Version) -> str:
    """The label of the release that a version was; "" for one that was there before Greenlight."""
    return version.label or version.selector.get(LABEL, "")


class View(Protocol):
    """What was read of one release at one moment."""

    @property
    def snapshot(self) -> Snapshot: ...

    def of(self, release: Release) -> Self:
        """The same look at a record that has moved on."""

    def plan(self, order: Order, *, actor: str) -> Write | None:
        """The next write of the order, None when nothing is left to write.

        Raises `ClusterError` when the cluster does not allow it as it stands.
        """

    def upkeep(self) -> Write | None:
        """The next write that keeps what is live reachable and the candidate as large, None when nothing is to do.

        Raises `ClusterError` as `plan` does.
        """

    @property
    def needs_upkeep(self) -> bool:
        """What is live depends on `upkeep`, whatever has become of the release."""


class Cluster(Protocol):
    async def start(self, app: App) -> Start:
        """Raises `ClusterError` with the fix when the app's objects do not allow a release."""

    def seen(self, app: App, release: Release) -> View | None:
        """Out of the watch cache; None until everything was listed once."""

    async def look(self, app: App, release: Release) -> View:
        """Read afresh from the API server."""

    async def send(self, write: Write) -> None:
        """Raises `Stale` when the API server refused its condition, `Away` when its fate is unknown."""

    async def outside(self, app: App, newest: Release | None) -> Outside | None:
        """A version that is neither live nor that of `newest`, where others may begin releases too."""

    async def links(self, app: App) -> Links: ...

    async def preview_inside(self, app: App) -> str:
        """Under which address the cluster itself reaches the app's preview Service. Raises `ClusterError`."""

    async def active_inside(self, app: App) -> str:
        """The same of the active Service."""
