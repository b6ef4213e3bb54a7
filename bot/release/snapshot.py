"""What the cluster shows of a release at one moment, the same for every backend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

FRESH_FOR = timedelta(seconds=15)
"""A look older than this is not acted upon. Longer than any one look may take, so that a slow API server delays what is
to be done and does not prevent it."""


class Traffic(StrEnum):
    """Who has the production traffic."""

    PREVIOUS = "previous"
    CANDIDATE = "candidate"
    OTHER = "other"


class Verdict(StrEnum):
    """What has become of a check."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    NONE = "no verdict"
    """It is over, and said neither: it was called off, or nobody could tell from what it measured."""


@dataclass(frozen=True)
class Check:
    """An automatic check of the candidate."""

    name: str
    """As people know it, for example `pre-promotion analysis`."""
    kind: str
    """Whose check it is: `argo`."""
    verdict: Verdict
    detail: str = ""
    """What was measured and what was wanted, where it did not pass."""
    told: bool = False
    """It is over, and all that came of it is in the release's thread."""
    began_at: datetime | None = None
    """This and the next where that is known."""
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Side:
    """One of the two versions."""

    name: str
    present: bool
    """It still is what the release's record says: image, release label and, while approvals bind it, pod template."""
    wanted: int
    """Pods asked for."""
    ready: int
    """Endpoints that would take its traffic now, or take it."""
    complete: bool
    """Observed, updated, available, nothing left over, and every pod an endpoint."""
    trouble: str | None = None
    """What keeps pods from becoming ready, as a sentence."""
    failed: bool = False
    """The trouble will not go away by waiting."""
    template: str = ""
    """Fingerprint of its pod template."""
    restarts: Mapping[str, int] = field(default_factory=dict)
    """How often each container was started again, by pod and name, where it was."""
    pod_hash: str = ""
    """By which Kubernetes or Argo Rollouts labels its pods; "" while they have none, or several."""

    @property
    def progress(self) -> str:
        return f"{self.name} has {self.ready} of {self.wanted} pods ready"


@dataclass(frozen=True)
class Snapshot:
    traffic: Traffic
    candidate: Side
    previous: Side
    read_at: datetime
    """When the oldest part of it was read from the API server; a cache reports when it last heard from it."""
    changed_by: str
    """Who last changed the routing and when, as the API server recorded it, for example `kubectl at 14:02 UTC`."""
    candidate_changed_by: str = ""
    previous_changed_by: str = ""
    fresh: bool = True
    """False: out of the watch cache."""

    # What only a cluster with a release controller of its own (Argo Rollouts) has to tell:

    pending: str = ""
    """What that controller was told and has not done yet, as a sentence: what the release wants in its phase has
    nothing more to write meanwhile. So of one that goes back it is never the switch that is to be undone."""
    undone: bool = True
    """Nothing is left by which the candidate could still take traffic without being asked for again."""
    given_up: str = ""
    """Why the controller gave the candidate up, as a sentence; of a release that goes back, why it undoes that."""
    promoted_by: str = ""
    """Who promoted the candidate; for when that was not Greenlight."""
    pause: str = ""
    """Which pause it is in which the candidate waits to be promoted; "" for none."""
    taken_back: bool = False
    """The pause that the last switch was to end is over, and after it somebody moved the traffic: another one began."""
    restarting: bool = False
    """The previous version had no pods left and is being started anew."""
    again_at: datetime | None = None
    """When another look is worth while although nothing was heard."""
    instant_until: datetime | None = None
    """Until when the controller keeps the pods of the previous version; None when it has said nothing of an end."""
    checks: tuple[Check, ...] = ()

    @property
    def live(self) -> Side | None:
        return {Traffic.PREVIOUS: self.previous, Traffic.CANDIDATE: self.candidate}.get(self.traffic)

    def fresh_at(self, now: datetime) -> bool:
        return self.fresh and now - self.read_at <= FRESH_FOR
