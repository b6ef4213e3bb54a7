"""What is relied upon in the API server's objects: whoever reads them further on finds it there, of the right type.

An API server keeps to its own types. What stands between may not, and then one error at the door that names object and
field is better than a surprise in the middle of a rule. What is not read is not looked at.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from bot.clusters.api import AUTOSCALER, DEPLOYMENT, ENDPOINT_SLICE, POD, REPLICA_SET, ROLLOUT, SERVICE, Json, Kind
from bot.clusters.errors import Malformed


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", alias_generator=to_camel)


class _Owner(_Part):
    kind: str
    name: str
    controller: bool | None = None


class _Metadata(_Part):
    name: str
    resource_version: str | None = None
    uid: str | None = None
    generation: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None
    deletion_timestamp: str | None = None


class _Condition(_Part):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class _Object(_Part):
    metadata: _Metadata


# Of a Service


class _Versioned(_Metadata):
    resource_version: str


class _Routing(_Part):
    selector: dict[str, str] | None = None


class _Service(_Object):
    metadata: _Versioned
    spec: _Routing


# Of a Deployment


class _Container(_Part):
    name: str
    image: str
    lifecycle: dict[str, Any] | None = None


class _PodSpec(_Part):
    containers: list[_Container]
    termination_grace_period_seconds: int | None = None


class _TemplateMetadata(_Part):
    labels: dict[str, str] | None = None


class _Template(_Part):
    metadata: _TemplateMetadata
    spec: _PodSpec


class _LabelRule(_Part):
    key: str
    operator: str
    values: list[str] | None = None


class _LabelSelector(_Part):
    match_labels: dict[str, str] | None = None
    match_expressions: list[_LabelRule] | None = None


class _DeploymentSpec(_Part):
    replicas: int | None = None
    selector: _LabelSelector
    template: _Template


class _DeploymentStatus(_Part):
    observed_generation: int | None = None
    replicas: int | None = None
    updated_replicas: int | None = None
    available_replicas: int | None = None
    conditions: list[_Condition] | None = None


class _Identified(_Metadata):
    uid: str


class _Deployment(_Object):
    metadata: _Identified
    spec: _DeploymentSpec
    status: _DeploymentStatus | None = None


# Of a ReplicaSet and a Rollout


class _ReplicaSetStatus(_Part):
    replicas: int | None = None
    ready_replicas: int | None = None
    conditions: list[_Condition] | None = None


class _ReplicaSet(_Object):
    metadata: _Identified
    spec: _DeploymentSpec
    status: _ReplicaSetStatus | None = None


class _Pause(_Part):
    reason: str = ""


class _AnalysisStatus(_Part):
    name: str = ""
    status: str = ""
    message: str = ""


class _BlueGreenStatus(_Part):
    pre_promotion_analysis_run_status: _AnalysisStatus | None = None
    post_promotion_analysis_run_status: _AnalysisStatus | None = None


class _RolloutStatus(_Part):
    observed_generation: str | None = None
    workload_observed_generation: str | None = None
    current_pod_hash: str | None = None
    stable_rs: str | None = Field(default=None, alias="stableRS")
    controller_pause: bool | None = None
    pause_conditions: list[_Pause] | None = None
    abort: bool | None = None
    message: str | None = None
    updated_replicas: int | None = None
    available_replicas: int | None = None
    blue_green: _BlueGreenStatus | None = None
    conditions: list[_Condition] | None = None


class _WorkloadReference(_Part):
    kind: str
    name: str


class _RolloutSpec(_Part):
    """A Rollout takes its template from a Deployment, or has one."""

    replicas: int | None = None
    paused: bool | None = None
    template: _Template | None = None
    workload_ref: _WorkloadReference | None = None
    strategy: dict[str, Any] | None = None


class _Rollout(_Object):
    metadata: _Identified
    spec: _RolloutSpec
    status: _RolloutStatus | None = None


# Of a pod


class _Waiting(_Part):
    reason: str = ""
    message: str = ""


class _Terminated(_Part):
    exit_code: int = 0
    reason: str = ""
    message: str = ""


class _State(_Part):
    waiting: _Waiting | None = None
    terminated: _Terminated | None = None


class _ContainerStatus(_Part):
    name: str
    image_id: str | None = Field(default=None, alias="imageID")
    restart_count: int = 0
    state: _State | None = None
    last_state: _State | None = None


class _PodStatus(_Part):
    phase: str | None = None
    conditions: list[_Condition] | None = None
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None


class _Pod(_Object):
    status: _PodStatus | None = None


# Of an EndpointSlice


class _Ready(_Part):
    ready: bool | None = None


class _Reference(_Part):
    name: str = ""


class _Endpoint(_Part):
    addresses: list[str]
    conditions: _Ready | None = None
    target_ref: _Reference | None = None


class _EndpointSlice(_Object):
    endpoints: list[_Endpoint] | None = None


# Of a HorizontalPodAutoscaler


class _ScaleTarget(_Part):
    kind: str
    name: str


class _AutoscalerSpec(_Part):
    scale_target_ref: _ScaleTarget


class _Autoscaler(_Part):
    spec: _AutoscalerSpec


_SHAPES: dict[Kind, type[_Part]] = {
    SERVICE: _Service,
    DEPLOYMENT: _Deployment,
    POD: _Pod,
    ENDPOINT_SLICE: _EndpointSlice,
    AUTOSCALER: _Autoscaler,
    REPLICA_SET: _ReplicaSet,
    ROLLOUT: _Rollout,
}


def sound(kind: Kind, item: Json) -> Json:
    """The object as it came. Raises `Malformed` when a part of it is missing or of another type than it should be."""
    try:
        _SHAPES.get(kind, _Object).model_validate(item)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise Malformed(
            f"{kind.name} {_name(item)} cannot be read: {where} is not what Kubernetes says that it is "
            f"({first['msg'].lower()}). What stands between Greenlight and the API server?"
        ) from None
    return item


def all_sound(kind: Kind, items: Iterable[Json]) -> list[Json]:
    return [sound(kind, item) for item in items]


def _name(item: Json) -> str:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name[:253] if isinstance(name, str) else "without a name"
