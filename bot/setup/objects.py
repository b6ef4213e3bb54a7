"""A namespace's objects, as far as `init` asks them: read by type, at one door.

Whatever an API server sends becomes one of these shapes or is passed over with a sentence, so that nothing behind this
door meets a missing field or a wrong type. Names are checked too: they end up in files that people run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from bot.clusters.api import Json
from bot.clusters.reading import HASH
from bot.release.errors import Refused
from bot.release.image import parse

ROLLOUT_HASH = "rollouts-pod-template-hash"
"""Argo Rollouts: on the pods of a Rollout, where a Deployment's have `pod-template-hash`."""


def _null_is(default: Any) -> BeforeValidator:
    """In JSON of Kubernetes a null is what is not there."""
    return BeforeValidator(lambda value: default if value is None else value)


LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""RFC 1123."""
DnsLabel = Annotated[str, Field(pattern=rf"^{LABEL}$", max_length=63)]
Name = Annotated[str, Field(pattern=rf"^{LABEL}(\.{LABEL})*$", max_length=253)]
Labels = Annotated[dict[str, str], _null_is({})]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, alias_generator=to_camel)


class Owner(_Shape):
    kind: str
    name: Name
    controller: Annotated[bool, _null_is(default=False)] = False


class Metadata(_Shape):
    name: Name
    labels: Labels = {}
    annotations: Labels = {}
    owner_references: Annotated[list[Owner], _null_is([])] = []


class _Object(_Shape):
    metadata: Metadata
    raw: dict[str, Any]
    """The object as the API server sent it."""

    @property
    def name(self) -> str:
        return self.metadata.name


class _Port(_Shape):
    name: Annotated[str, _null_is("")] = ""
    target_port: int | str | None = None
    port: int


class _ServiceMetadata(Metadata):
    name: DnsLabel


class _ServiceSpec(_Shape):
    selector: Labels = {}
    type: str = "ClusterIP"
    cluster_ip: Annotated[str, Field(alias="clusterIP")] = ""
    ports: Annotated[list[_Port], _null_is([])] = []


class Service(_Object):
    metadata: _ServiceMetadata
    spec: _ServiceSpec

    @property
    def selector(self) -> Mapping[str, str]:
        return self.spec.selector

    @property
    def is_headless(self) -> bool:
        return self.spec.cluster_ip == "None"


class _ContainerPort(_Shape):
    name: Annotated[str, _null_is("")] = ""
    container_port: int
    host_port: int | None = None


class Container(_Shape):
    name: DnsLabel
    image: str
    command: Annotated[list[str], _null_is([])] = []
    args: Annotated[list[str], _null_is([])] = []
    ports: Annotated[list[_ContainerPort], _null_is([])] = []
    readiness_probe: dict[str, Any] | None = None

    @property
    def registry(self) -> str:
        """The host that its image is pulled from; "" when that is no image."""
        try:
            return parse(self.image).registry
        except Refused:
            return ""


class _AntiAffinity(_Shape):
    required: Annotated[
        list[dict[str, Any]], _null_is([]), Field(alias="requiredDuringSchedulingIgnoredDuringExecution")
    ] = []


class _Affinity(_Shape):
    pod_anti_affinity: Annotated[_AntiAffinity, _null_is({})] = _AntiAffinity()


class _PodSpec(_Shape):
    affinity: Annotated[_Affinity, _null_is({})] = _Affinity()
    containers: Annotated[list[Container], Field(min_length=1)]
    init_containers: Annotated[list[Container], _null_is([])] = []
    image_pull_secrets: Annotated[list[dict[str, Any]], _null_is([])] = []
    volumes: Annotated[list[dict[str, Any]], _null_is([])] = []


class _TemplateMetadata(_Shape):
    labels: Labels = {}
    annotations: Labels = {}


class _Template(_Shape):
    metadata: _TemplateMetadata
    spec: _PodSpec


class _LabelSelector(_Shape):
    match_labels: Labels = {}


class _DeploymentSpec(_Shape):
    replicas: Annotated[int, _null_is(1)] = 1
    selector: _LabelSelector
    template: _Template


class Deployment(_Object):
    spec: _DeploymentSpec

    @property
    def labels(self) -> Mapping[str, str]:
        """Of its pods."""
        return self.spec.template.metadata.labels

    @property
    def match_labels(self) -> Mapping[str, str]:
        return self.spec.selector.match_labels

    @property
    def pod(self) -> _PodSpec:
        return self.spec.template.spec

    @property
    def replicas(self) -> int:
        return self.spec.replicas


class _WorkloadReference(_Shape):
    kind: Annotated[str, _null_is("")] = ""
    name: Name


class _BlueGreen(_Shape):
    active_service: Annotated[DnsLabel | Literal[""], _null_is("")] = ""
    preview_service: Annotated[DnsLabel | Literal[""], _null_is("")] = ""


class _Strategy(_Shape):
    blue_green: _BlueGreen | None = None


class _RolloutSpec(_Shape):
    replicas: Annotated[int, _null_is(1)] = 1
    strategy: Annotated[_Strategy, _null_is({})] = _Strategy()
    template: _Template | None = None
    workload_ref: _WorkloadReference | None = None


class Rollout(_Object):
    """Of Argo Rollouts."""

    spec: _RolloutSpec

    @property
    def services(self) -> tuple[str, ...]:
        """Those that it switches; none for a canary."""
        strategy = self.spec.strategy.blue_green
        both = (strategy.active_service, strategy.preview_service) if strategy else ()
        return tuple(dict.fromkeys(filter(None, both)))

    @property
    def workload(self) -> str:
        """The Deployment that has its pod template; "" when it has that itself."""
        return self.spec.workload_ref.name if self.spec.workload_ref else ""


class _PodStatus(_Shape):
    phase: Annotated[str, _null_is("")] = ""


class Pod(_Object):
    status: Annotated[_PodStatus, _null_is({})] = _PodStatus()

    @property
    def is_over(self) -> bool:
        return self.status.phase in {"Succeeded", "Failed"}

    @property
    def keeper(self) -> tuple[str, str]:
        """Kind and name of what made it; a ReplicaSet stands for the Deployment or Rollout that it is named for."""
        for owner in self.metadata.owner_references:
            if owner.controller and owner.kind == "ReplicaSet":
                for kind, label in (("Rollout", ROLLOUT_HASH), ("Deployment", HASH)):
                    if label in self.metadata.labels:
                        return kind, owner.name.removesuffix(f"-{self.metadata.labels[label]}")
            if owner.controller:
                return owner.kind, owner.name
        return "Pod", self.name


class _Target(_Shape):
    kind: str
    name: str


class _AutoscalerSpec(_Shape):
    scale_target_ref: _Target


class Autoscaler(_Object):
    spec: _AutoscalerSpec


class _BudgetSpec(_Shape):
    selector: Annotated[_LabelSelector, _null_is({})] = _LabelSelector()


class Budget(_Object):
    """A PodDisruptionBudget."""

    spec: _BudgetSpec


@dataclass(frozen=True)
class Objects:
    """Of one namespace. What could not be read is told in `strange`."""

    services: tuple[Service, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    pods: tuple[Pod, ...] = ()
    autoscalers: tuple[Autoscaler, ...] = ()
    budgets: tuple[Budget, ...] = ()
    ingresses: tuple[Any, ...] = ()
    """Raw, as are routes and gateways: `bot.clusters.links` takes them as they come."""
    routes: tuple[Any, ...] = ()
    gateways: tuple[Any, ...] = ()
    strange: tuple[str, ...] = ()


Seen = TypeVar("Seen", bound=_Object)


def seen(shape: type[Seen], items: Iterable[Any]) -> tuple[tuple[Seen, ...], tuple[str, ...]]:
    """Those that can be read, by name, and a sentence for each other."""
    read: dict[str, Seen] = {}
    strange: list[str] = []
    for item in items:
        try:
            found = shape.model_validate({**item, "raw": item} if isinstance(item, dict) else item)
        except ValidationError as why:
            where = ".".join(map(str, why.errors()[0]["loc"])) or "it"
            strange.append(f"A {shape.__name__}{_named(item)} cannot be read and is passed over: see {where}.")
        else:
            read[found.name] = found
    return tuple(read[name] for name in sorted(read)), tuple(strange)


def _named(item: Json | Any) -> str:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f" called {name}" if isinstance(name, str) else ""
