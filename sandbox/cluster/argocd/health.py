"""The health that Argo CD gives to objects, and to an Application: the worst of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.cluster.controllers import condition
from sandbox.cluster.patches import Json

# From the best to the worst.
_ORDER = ("Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown")
_OF_PHASE = {"Healthy": "Healthy", "Paused": "Suspended", "Progressing": "Progressing", "Degraded": "Degraded"}


def health(item: Json) -> str | None:
    """None for kinds that have none."""
    match item["kind"]:
        case "Rollout":
            return _rollout(item)
        case "Deployment":
            return _deployment(item)
        case "Service" | "Ingress":
            return "Healthy"
    return None


def worst(found: Iterable[str | None]) -> str:
    return max((each for each in found if each), key=_ORDER.index, default="Healthy")


def _rollout(item: Json) -> str:
    status = item.get("status") or {}
    if status.get("observedGeneration") != str(item["metadata"]["generation"]):
        return "Progressing"
    return _OF_PHASE.get(status.get("phase", ""), "Progressing")


def _deployment(item: Json) -> str:
    status, wanted = item["status"], item["spec"]["replicas"]
    if (condition(item, "Progressing") or {}).get("reason") == "ProgressDeadlineExceeded":
        return "Degraded"
    if item["spec"].get("paused"):
        return "Suspended"
    done = (
        status.get("observedGeneration") == item["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted == status.get("replicas", 0)
    )
    return "Healthy" if done else "Progressing"
