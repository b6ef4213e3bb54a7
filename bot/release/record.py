"""What is remembered of one release."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bot.release.snapshot import Verdict


class Phase(StrEnum):
    STAGING = "staging"
    READY = "ready"
    PROMOTING = "promoting"
    BAKING = "baking"
    DONE = "done"
    REVERTING = "reverting"
    REVERTED = "reverted"
    ABANDONED = "abandoned"

    @property
    def open(self) -> bool:
        """Open releases exclude each other: an app has at most one."""
        return self not in {Phase.DONE, Phase.REVERTED, Phase.ABANDONED}


class Cause(StrEnum):
    """Why a release went back or was left alone: a closed list, the sentence beside it is for people."""

    FAILED = "failed"
    LATE = "late"
    EXPIRED = "expired"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    ROLLED_BACK = "rolled back"
    EMPTY = "empty"
    GUARD = "guard"
    REPLACED = "replaced"
    FOREIGN = "foreign"
    PROMOTED_OUTSIDE = "promoted outside"
    STUCK = "stuck"


NOBODY = 0
"""The id of nobody on Discord: no vote is ever theirs."""


@dataclass(frozen=True)
class Person:
    """Somebody on Discord; `roles` are ids, as they were when the person acted."""

    id: int
    """`NOBODY`: it is not known who that is, and `name` is that of a program."""
    name: str
    roles: frozenset[int] = frozenset()
    bot: bool = False

    @property
    def is_known(self) -> bool:
        return self.id != NOBODY


@dataclass(frozen=True)
class Version:
    """Something that has or had the traffic, and how to give the traffic back to it."""

    image: str
    slot: str
    selector: Mapping[str, str]
    """The whole selector of the active Service while this version is live."""
    before: Mapping[str, str] | None = None
    """The wider selector that the Service had before it was narrowed to this version for an adoption; it is given back
    when nothing comes of the release."""

    asked: str = ""
    """The image as a person reads it, such as `mochi:blue`."""
    digests: frozenset[str] = frozenset()
    """What is known of the image's content, so that going back to it never means whatever its tag means by then."""
    label: str = ""
    """Of the release that it was, where the selector does not tell (Argo Rollouts); "" before Greenlight."""
    template: str = ""
    """The whole pod template as JSON, where going back means writing it back (Argo Rollouts)."""

    @property
    def widest(self) -> Mapping[str, str]:
        """Selects all pods that this version's Service ever sent traffic to, or would once it is widened again."""
        return self.selector if self.before is None else self.before


@dataclass(frozen=True)
class GateResult:
    """A run of one gate, for one pod template."""

    gate: str
    """Its name."""
    template: str
    """`Release.template` at that moment."""
    verdict: Verdict
    began_at: datetime
    detail: str = ""
    """What was measured and what was wanted, or why there is no verdict."""
    ended_at: datetime | None = None
    accepted_by: Person | None = None
    accepted_why: str = ""


@dataclass(frozen=True)
class Alarm:
    """A guard that failed so often in a row that something has to be done about it."""

    guard: str
    """Its name."""
    detail: str
    """What was measured and what was wanted."""
    at: datetime
    kept_by: Person | None = None
    """Who has it stay live all the same."""


@dataclass(frozen=True)
class Release:
    app: str
    number: int
    label: str
    """Unique, never used again; `greenlight.dev/release` in the pod template and in the Services' selectors."""
    image: str
    """What is written into the pod template, by digest unless the app says `pin = false`."""
    asked: str
    """The image as a person reads it, such as `mochi:green`."""
    digests: frozenset[str]
    """The image index's digest and those of its platforms: a node may report either."""
    author: Person
    slot: str
    selector: Mapping[str, str]
    """The whole selector of the active Service while this release is live. On Argo Rollouts, where only the controller
    knows it, what tells the release's pods: its label, or the pod hash of one that somebody else began."""
    previous: Version
    created_at: datetime
    since: datetime
    """When the present phase began."""
    phase: Phase = Phase.STAGING
    version: int = 0
    """Counts the changes of this record: an update states the one it is based on."""
    staged: bool = False
    template: str = ""
    """Fingerprint of the pod template that was there when approval was asked for: this is what is approved."""
    ready_at: datetime | None = None
    """When the approval was first asked for; it expires from here."""
    promote_asked: bool = False
    approvers: tuple[Person, ...] = ()
    """Who counted, at the moment of the switch."""
    switch_sent_at: datetime | None = None
    """When the last switch was sent, whatever became of it: its answer may be lost, and it may arrive late."""
    switched_from: str = ""
    """The pause that it was to end (Argo Rollouts), as its controller tells it from others."""
    live_at: datetime | None = None
    empty_since: datetime | None = None
    """Since when the live side has had no ready endpoint."""
    retire_asked: bool = False
    retired: bool = False
    """The side without traffic was scaled down (and an adoption that came to nothing undone)."""
    cause: Cause | None = None
    by: Person | None = None
    reason: str = ""
    replaced_by: int | None = None
    replaces: tuple[str, ...] = ()
    """The labels of releases whose place it takes: until it is staged itself, what they staged is what is there."""
    restores: int | None = None
    """The number of the live release that this one takes back by deploying anew what was live before it."""
    pod_template: str = ""
    """Of one that takes another back on Argo Rollouts: the whole pod template that ran, as JSON, to be written."""
    begun_by: str = ""
    """Who brought the candidate up where that was not Greenlight, as the API server recorded it."""
    notes: tuple[str, ...] = field(default=())
    """Warnings that the card shows as long as the release is open."""
    gates: tuple[GateResult, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    """Of its guards, at most one of each."""
    restarts_before: Mapping[str, int] = field(default_factory=dict)
    """How often each container had started again when it was first seen with the traffic."""

    @property
    def title(self) -> str:
        return f"{self.app} #{self.number}"

    @property
    def was_live(self) -> bool:
        return self.live_at is not None

    @property
    def pinned(self) -> bool:
        """Whether the image is bound by digest."""
        return "@" in self.image
