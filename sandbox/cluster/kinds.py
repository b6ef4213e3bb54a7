"""The kinds of objects that the API server knows: one row each. A new kind is a new row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sandbox.cluster import defaults, validation
from sandbox.cluster.defaults import Defaults
from sandbox.cluster.patches import PatchType
from sandbox.cluster.validation import Check


@dataclass(frozen=True)
class Kind:
    """How objects of one kind are named and treated.

    `generation` names the parts whose change counts up metadata.generation; none for kinds that have none.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    generation: tuple[str, ...] = ()
    defaults: Defaults = defaults.nothing
    check: Check = validation.no_rules
    # Custom kinds keep their type in lists, and know no strategic merge.
    custom: bool = False
    # DELETE answers with the object instead of a Status.
    returns_deleted: bool = False
    # PUT of a name that is not there yet creates it.
    put_creates: bool = False
    # PUT without a resourceVersion is refused: nobody may overwrite what he has not seen.
    put_needs_version: bool = False
    # Names of Services end up in DNS.
    dns_label: bool = False
    # A write to /status may also change annotations: the Deployment controller keeps its revision there.
    status_annotations: bool = False
    patch_types: frozenset[PatchType] = field(default=frozenset(PatchType))

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """`deployments.apps`, as messages have it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        return self.kind.lower()


_STATUS = frozenset({"status"})
_SCALABLE = frozenset({"status", "scale"})
_CUSTOM_PATCHES = frozenset(PatchType) - {PatchType.STRATEGIC}
_SPEC = ("spec",)
ARGO = "argoproj.io"

ALL: tuple[Kind, ...] = (
    Kind(
        "",
        "v1",
        "Namespace",
        "namespaces",
        namespaced=False,
        short_names=("ns",),
        subresources=frozenset({"status", "finalize"}),
        defaults=defaults.namespace,
        returns_deleted=True,
    ),
    Kind("", "v1", "ConfigMap", "configmaps", short_names=("cm",)),
    Kind("", "v1", "Event", "events", short_names=("ev",), check=validation.event, put_creates=True),
    Kind(
        "",
        "v1",
        "Pod",
        "pods",
        short_names=("po",),
        subresources=frozenset({"status", "log"}),
        generation=_SPEC,
        defaults=defaults.pod,
        check=validation.pod,
        returns_deleted=True,
    ),
    Kind(
        "",
        "v1",
        "Service",
        "services",
        short_names=("svc",),
        subresources=_STATUS,
        defaults=defaults.service,
        check=validation.service,
        returns_deleted=True,
        dns_label=True,
        put_creates=True,
    ),
    Kind(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        short_names=("deploy",),
        subresources=_SCALABLE,
        generation=("spec", "annotations"),
        defaults=defaults.deployment,
        check=validation.workload,
        status_annotations=True,
    ),
    Kind(
        "apps",
        "v1",
        "ReplicaSet",
        "replicasets",
        short_names=("rs",),
        subresources=_SCALABLE,
        generation=_SPEC,
        defaults=defaults.replica_set,
        check=validation.workload,
    ),
    Kind(
        "batch",
        "v1",
        "Job",
        "jobs",
        subresources=_STATUS,
        generation=_SPEC,
        defaults=defaults.job,
        check=validation.job,
    ),
    Kind(
        "batch",
        "v1",
        "CronJob",
        "cronjobs",
        short_names=("cj",),
        subresources=_STATUS,
        generation=_SPEC,
        defaults=defaults.cron_job,
    ),
    Kind(
        "discovery.k8s.io",
        "v1",
        "EndpointSlice",
        "endpointslices",
        generation=("addressType", "endpoints", "ports"),
        defaults=defaults.endpoint_slice,
        check=validation.endpoint_slice,
    ),
    Kind(
        "networking.k8s.io",
        "v1",
        "Ingress",
        "ingresses",
        short_names=("ing",),
        subresources=_STATUS,
        generation=_SPEC,
        defaults=defaults.ingress,
        check=validation.ingress,
    ),
    Kind(
        "gateway.networking.k8s.io",
        "v1",
        "HTTPRoute",
        "httproutes",
        subresources=_STATUS,
        generation=_SPEC,
        defaults=defaults.http_route,
        custom=True,
        put_needs_version=True,
        patch_types=_CUSTOM_PATCHES,
    ),
    Kind(
        "gateway.networking.k8s.io",
        "v1",
        "Gateway",
        "gateways",
        short_names=("gtw",),
        subresources=_STATUS,
        generation=_SPEC,
        custom=True,
        put_needs_version=True,
        patch_types=_CUSTOM_PATCHES,
    ),
    Kind("coordination.k8s.io", "v1", "Lease", "leases", put_creates=True, put_needs_version=True),
    Kind(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        short_names=("hpa",),
        subresources=_STATUS,
        defaults=defaults.autoscaler,
    ),
    Kind(
        ARGO,
        "v1alpha1",
        "Rollout",
        "rollouts",
        short_names=("ro",),
        subresources=_SCALABLE,
        generation=_SPEC,
        defaults=defaults.rollout,
        check=validation.rollout,
        custom=True,
        put_needs_version=True,
        patch_types=_CUSTOM_PATCHES,
    ),
    Kind(
        ARGO,
        "v1alpha1",
        "AnalysisRun",
        "analysisruns",
        short_names=("ar",),
        generation=("spec", "status"),
        custom=True,
        put_needs_version=True,
        patch_types=_CUSTOM_PATCHES,
    ),
    Kind(
        ARGO,
        "v1alpha1",
        "AnalysisTemplate",
        "analysistemplates",
        short_names=("at",),
        generation=_SPEC,
        custom=True,
        put_needs_version=True,
        patch_types=_CUSTOM_PATCHES,
    ),
    Kind(
        ARGO,
        "v1alpha1",
        "Application",
        "applications",
        short_names=("app", "apps"),
        generation=("spec", "status", "operation"),
        custom=True,
        put_needs_version=True,
        patch_types=_CUSTOM_PATCHES,
    ),
)

KINDS: Mapping[str, Kind] = MappingProxyType({kind.plural: kind for kind in ALL})


def kind_of(item: Mapping[str, str]) -> Kind:
    """The kind of a manifest, by its apiVersion and kind; KeyError when there is no such row."""
    wanted = item.get("apiVersion"), item.get("kind")
    for kind in ALL:
        if (kind.api_version, kind.kind) == wanted:
            return kind
    raise KeyError(f"no kind {wanted[1]} in {wanted[0]}")
