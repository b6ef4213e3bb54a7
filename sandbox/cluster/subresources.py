"""An object seen through a subresource, and what a write to one may change. Pure."""

from __future__ import annotations

from sandbox.cluster import errors
from sandbox.cluster.errors import Cause
from sandbox.cluster.kinds import Kind
from sandbox.cluster.patches import Json, copied
from sandbox.cluster.selectors import as_query


def scale(item: Json) -> Json:
    """A Deployment, ReplicaSet or Rollout as its scale subresource shows it."""
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    found = item.get("status", {})
    if item["kind"] == "Rollout":  # its CRD says where they are: the active set is what an autoscaler sees
        replicas, selector = found.get("HPAReplicas", 0), found.get("selector", "")
    else:
        replicas, selector = found.get("replicas", 0), as_query(item["spec"].get("selector") or {})
    status: Json = {"replicas": replicas, "selector": selector} if selector else {"replicas": replicas}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: value for key, value in item["metadata"].items() if key in kept},
        "spec": {"replicas": item["spec"].get("replicas", 1)},
        "status": status,
    }


def with_part(kind: Kind, before: Json, wanted: Json, subresource: str) -> Json:
    """The object with one subresource taken from `wanted`, and nothing else."""
    after: Json = copied(before)
    match subresource:
        case "status":
            after["status"] = copied(wanted.get("status") or {})
            if kind.status_annotations:
                after["metadata"]["annotations"] = copied(wanted.get("metadata", {}).get("annotations") or {})
        case "scale":
            replicas = (wanted.get("spec") or {}).get("replicas", 0)
            if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
                cause = Cause.invalid("spec.replicas", str(replicas), "must be greater than or equal to 0")
                raise errors.invalid(kind, before["metadata"]["name"], [cause])
            after["spec"]["replicas"] = replicas
        case "binding":
            after["spec"]["nodeName"] = wanted["spec"]["nodeName"]
        case "finalize":
            after["spec"] = copied(wanted.get("spec") or {})
        case _:
            raise errors.method_not_allowed()
    return after
