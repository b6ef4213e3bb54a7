"""What the API server fills in when an object leaves it out. Pure; every function completes its argument in place.

Only what clients can trip over is here; the values are those of 1.34 (seen on the real server).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
# (the object, the object before or None, a number that no other object of the cluster has)
Defaults = Callable[[Json, Json | None, int], None]

_OPTIONAL_WHEN_EMPTY = ("labels", "annotations", "finalizers", "ownerReferences")


def nothing(_item: Json, _before: Json | None, _serial: int) -> None:
    """For kinds that are stored as they come."""


def without_nulls(value: Any) -> Any:
    """JSON null is the same as absent for every field of the built-in kinds."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def tidy_metadata(metadata: Json) -> None:
    for key in _OPTIONAL_WHEN_EMPTY:
        if key in metadata and not metadata[key]:
            del metadata[key]


def namespace(item: Json, before: Json | None, _serial: int) -> None:
    item["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = item["metadata"]["name"]
    if before is None:
        item["spec"] = {"finalizers": ["kubernetes"]}
        item["status"] = {"phase": "Active"}


def service(item: Json, before: Json | None, serial: int) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if not spec.get("selector", True):
        del spec["selector"]
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if spec["type"] != "ExternalName":
        earlier = (before or {}).get("spec", {})
        address = earlier.get("clusterIP") or f"10.96.{serial >> 8 & 255}.{serial & 255}"
        spec.setdefault("clusterIP", address)
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("internalTrafficPolicy", "Cluster")
    item.setdefault("status", {"loadBalancer": {}})


def pod(item: Json, _before: Json | None, _serial: int) -> None:
    spec = item.setdefault("spec", {})
    pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    item.setdefault("status", {"phase": "Pending", "qosClass": "BestEffort"})


def deployment(item: Json, before: Json | None, serial: int) -> None:
    replica_set(item, before, serial)
    spec = item["spec"]
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    if before is None:
        item["status"] = {}


def replica_set(item: Json, before: Json | None, _serial: int) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    template = spec.setdefault("template", {})
    tidy_metadata(template.setdefault("metadata", {}))
    template["metadata"].pop("creationTimestamp", None)
    pod_spec(template.setdefault("spec", {}))
    if before is None:
        item["status"] = {"replicas": 0}


def job(item: Json, before: Json | None, _serial: int) -> None:
    _job_spec(item.setdefault("spec", {}))
    if before is None:
        item["status"] = {}


def cron_job(item: Json, before: Json | None, _serial: int) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template = spec.setdefault("jobTemplate", {}).setdefault("spec", {}).setdefault("template", {})
    pod_spec(template.setdefault("spec", {}))
    if before is None:
        item["status"] = {}


def _job_spec(spec: Json) -> None:
    for key, value in (
        ("parallelism", 1),
        ("completions", 1),
        ("backoffLimit", 6),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        ("podReplacementPolicy", "TerminatingOrFailed"),
    ):
        spec.setdefault(key, value)
    template = spec.setdefault("template", {})
    tidy_metadata(template.setdefault("metadata", {}))
    pod_spec(template.setdefault("spec", {}))


def pod_spec(spec: Json) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        _container(container)


def _container(container: Json) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", _pull_policy(str(container.get("image", ""))))
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        if probe := container.get(name):
            for key, value in (
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ):
                probe.setdefault(key, value)
            if request := probe.get("httpGet"):
                request.setdefault("path", "/")
                request.setdefault("scheme", "HTTP")
    for variable in container.get("env") or ():
        if reference := (variable.get("valueFrom") or {}).get("fieldRef"):
            reference.setdefault("apiVersion", "v1")


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in {"", "latest"} else "IfNotPresent"


def autoscaler(item: Json, before: Json | None, _serial: int) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    target = {"type": "Utilization", "averageUtilization": 80}
    spec.setdefault("metrics", [{"type": "Resource", "resource": {"name": "cpu", "target": target}}])
    if before is None:
        item["status"] = {"desiredReplicas": 0, "currentMetrics": None}


def ingress(item: Json, before: Json | None, _serial: int) -> None:
    if before is None:
        item["status"] = {"loadBalancer": {}}


def endpoint_slice(item: Json, _before: Json | None, _serial: int) -> None:
    # Go's nil slices: a Service without pods has null here, and clients have to live with it.
    item["endpoints"] = item.get("endpoints") or None
    item["ports"] = item.get("ports") or None
    for port in item["ports"] or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def http_route(item: Json, _before: Json | None, _serial: int) -> None:
    """From the defaults in the Gateway API's CRD."""
    for parent in item.setdefault("spec", {}).get("parentRefs") or ():
        parent.setdefault("group", "gateway.networking.k8s.io")
        parent.setdefault("kind", "Gateway")
    for rule in item["spec"].setdefault("rules", [{}]):
        rule.setdefault("matches", [{"path": {"type": "PathPrefix", "value": "/"}}])
        for backend in rule.get("backendRefs") or ():
            backend.setdefault("group", "")
            backend.setdefault("kind", "Service")
            backend.setdefault("weight", 1)


def rollout(item: Json, _before: Json | None, _serial: int) -> None:
    """All that the CRD has a default for; Argo's controller reads the others into it, without writing them down."""
    template = (item.get("spec") or {}).get("template") or {}
    for kind in ("containers", "initContainers"):
        for container in (template.get("spec") or {}).get(kind) or ():
            for port in container.get("ports") or ():
                port.setdefault("protocol", "TCP")
