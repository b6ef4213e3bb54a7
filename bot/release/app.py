"""An app and its policy, as `greenlight.toml` states it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class Switch(StrEnum):
    """What happens when the quorum is there."""

    AUTO = "auto"
    BUTTON = "button"


class Notify(StrEnum):
    """Where people are told that it is their turn."""

    CHANNEL = "channel"
    THREAD = "thread"
    OFF = "off"


@dataclass(frozen=True)
class Requirement:
    """`count` distinct people, each of whom holds at least one of `roles` (Discord role ids)."""

    roles: frozenset[int]
    count: int = 1


@dataclass(frozen=True)
class Approval:
    require: tuple[Requirement, ...]
    by_author: bool = False
    """Whether the one who asked for the release may approve it too (`self` in the file)."""
    expires: timedelta = timedelta(minutes=30)
    switch: Switch = Switch.AUTO

    @property
    def roles(self) -> frozenset[int]:
        return frozenset().union(*(requirement.roles for requirement in self.require))


@dataclass(frozen=True)
class Timing:
    stage_within: timedelta = timedelta(minutes=10)
    promote_within: timedelta = timedelta(minutes=2)
    grace: timedelta = timedelta(seconds=10)
    bake_for: timedelta = timedelta(minutes=5)
    warm_for: timedelta = timedelta(hours=1)


class Mode(StrEnum):
    """What becomes of a candidate whose gate did not pass."""

    BLOCK = "block"
    """It is not promoted."""
    ASK = "ask"
    """It is promoted only if an approver takes it upon himself, with a reason."""
    WARN = "warn"
    """The card says so."""


@dataclass(frozen=True)
class Http:
    """GET an address again and again; every answer has to be as expected."""

    path: str = "/"
    """Of the preview Service, asked for by its name in the cluster."""
    url: str = ""
    """A whole address instead."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    """Text that is in the answer."""
    json: Mapping[str, object] = field(default_factory=dict)
    """Values of the answer's top level."""
    repeat: int = 1
    within: timedelta = timedelta(seconds=10)
    """For each answer."""


class Comparison(StrEnum):
    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="

    def holds(self, value: float, bound: float) -> bool:
        """Never for NaN."""
        return {
            Comparison.BELOW: value < bound,
            Comparison.AT_MOST: value <= bound,
            Comparison.ABOVE: value > bound,
            Comparison.AT_LEAST: value >= bound,
        }[self]


@dataclass(frozen=True)
class Prometheus:
    """A query whose one value has to be as expected, each time that it is asked for."""

    query: str
    """PromQL, in which `{label}`, `{hash}`, `{app}`, `{namespace}` stand for the candidate's."""
    comparison: Comparison
    bound: float
    baseline: bool = False
    """`bound` is a multiple of what the same query gives for the live version."""
    lasts: timedelta = timedelta()
    """For how long it has to hold."""


@dataclass(frozen=True)
class K6:
    """Load, made by a Job of ours; k6's own thresholds have to hold."""

    configmap: str
    key: str
    """Of the ConfigMap: the script."""
    image: str = "grafana/k6:1.4.0"
    """Has `sh` and `k6`."""
    env: Mapping[str, str] = field(default_factory=dict)
    cpu: str = "1"
    """At most, as Kubernetes writes it."""
    memory: str = "512Mi"


@dataclass(frozen=True)
class Job:
    """A Job made after a CronJob of the app's namespace; it has to complete."""

    cronjob: str


@dataclass(frozen=True)
class Gate:
    """An automatic check of the candidate, before people's approval can lead to the switch."""

    name: str
    check: Http | Prometheus | K6 | Job
    mode: Mode = Mode.BLOCK
    timeout: timedelta = timedelta(minutes=5)

    @property
    def kind(self) -> str:
        return type(self.check).__name__.lower()


class Action(StrEnum):
    """What becomes of a version whose guard failed after the switch."""

    ROLL_BACK = "rollback"
    """It is taken back at once."""
    ASK = "ask"
    """Approvers are called; unless one of them keeps it in time, it is taken back."""
    WARN = "warn"
    """The card says so."""


@dataclass(frozen=True)
class Guard:
    """An automatic check of what is live, again and again while it is watched after the switch.

    Its path is one of the active Service, and `{label}` of its query is the live version's.
    """

    name: str
    check: Http | Prometheus
    action: Action = Action.ROLL_BACK
    every: timedelta = timedelta(seconds=15)
    failures: int = 3
    """In a row, until it is an alarm."""
    answer_within: timedelta = timedelta(minutes=10)
    """With `ask`: for an answer."""

    @property
    def kind(self) -> str:
        return type(self.check).__name__.lower()

    @property
    def timeout(self) -> timedelta:
        """For one run."""
        return min(self.every, timedelta(seconds=30))


@dataclass(frozen=True)
class Native:
    """An app on plain Kubernetes: two Deployments behind an active and a preview Service."""

    service: str
    preview: str
    slots: tuple[str, str]
    container: str | None = None
    """Needed only where a pod has several containers."""


@dataclass(frozen=True)
class Argo:
    """An app on Argo Rollouts: a Rollout with the blueGreen strategy, of which everything else is read."""

    rollout: str
    container: str | None = None
    """Needed only where a pod has several containers."""
    adopt: bool = True
    """Whether a version that somebody else brings up becomes a release, with the same approvals."""


@dataclass(frozen=True)
class App:
    name: str
    namespace: str
    channel: int
    """Discord channel id; the cards go there."""
    image: str
    """The repository that a bare tag belongs to, normalised; "" is that of whatever is live."""
    target: Native | Argo
    deployers: frozenset[int]
    approval: Approval
    rollbackers: frozenset[int] = frozenset()
    """Empty: the deployers and everybody who may approve."""
    images: tuple[str, ...] = ()
    """Further repositories that may be deployed."""
    pin: bool = True
    """False: a tag that the registry cannot resolve is deployed as it is, with a warning on the card."""
    timing: Timing = field(default_factory=Timing)
    links: Mapping[str, str] = field(default_factory=dict)
    """Addresses that the file sets: `production`, `preview`. Others are read from the cluster."""
    notify: Notify = Notify.CHANNEL
    cluster: str = ""
    """The name of its cluster in the file; "" is the one that the environment leads to."""
    gates: tuple[Gate, ...] = ()
    guards: tuple[Guard, ...] = ()

    @property
    def native(self) -> Native:
        """Where it runs on plain Kubernetes; to ask it of another app is a mistake of ours (`TypeError`)."""
        if not isinstance(self.target, Native):
            raise TypeError(f"{self.name} does not run on plain Deployments")
        return self.target

    @property
    def argo(self) -> Argo:
        """Where it runs on Argo Rollouts; to ask it of another app is a mistake of ours (`TypeError`)."""
        if not isinstance(self.target, Argo):
            raise TypeError(f"{self.name} does not run on Argo Rollouts")
        return self.target

    @property
    def adopts(self) -> bool:
        """Whether a version that somebody else brings up becomes a release here."""
        return isinstance(self.target, Argo) and self.target.adopt

    @property
    def may_roll_back(self) -> frozenset[int]:
        return self.rollbackers or self.deployers | self.approval.roles
