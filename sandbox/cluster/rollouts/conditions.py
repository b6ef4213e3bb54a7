"""The conditions of a Rollout, and the phase that sums them up. Pure.

Source: utils/conditions and utils/rollout of Argo Rollouts 1.9.1.
"""

from __future__ import annotations

from datetime import datetime

from sandbox.cluster.objects import timestamp
from sandbox.cluster.patches import Json
from sandbox.cluster.rollouts import spec

AVAILABLE = "Available"
COMPLETED = "Completed"
HEALTHY = "Healthy"
INVALID = "InvalidSpec"
PAUSED = "Paused"
PROGRESSING = "Progressing"

ABORTED = "RolloutAborted"
TIMED_OUT = "ProgressDeadlineExceeded"


def condition(status: Json, name: str) -> Json | None:
    return next((c for c in status.get("conditions") or () if c["type"] == name), None)


def made(name: str, met: str, reason: str, message: str, now: datetime) -> Json:
    """`met` is True, False or Unknown."""
    time = timestamp(now)
    return {
        "type": name,
        "status": met,
        "lastUpdateTime": time,
        "lastTransitionTime": time,
        "reason": reason,
        "message": message,
    }


def put(status: Json, fresh: Json) -> bool:
    """Into the list, as its last; False when one with this status and reason is there already."""
    current = condition(status, fresh["type"])
    if current and (current["status"], current["reason"]) == (fresh["status"], fresh["reason"]):
        return False
    if current and current["status"] == fresh["status"]:
        fresh = {**fresh, "lastTransitionTime": current["lastTransitionTime"]}
    drop(status, fresh["type"])
    status["conditions"] = [*status["conditions"], fresh]
    return True


def drop(status: Json, name: str) -> None:
    status["conditions"] = [c for c in status.get("conditions") or () if c["type"] != name]


def is_healthy(rollout: Json, after: Json) -> bool:
    """All of it updated, available and behind both Services. `after` is the status that is about to be written."""
    wanted, selectors = spec.replicas(rollout), after.get("blueGreen") or {}
    current = after.get("currentPodHash", "")
    previewed = not spec.blue_green(rollout).get("previewService") or selectors.get("previewSelector") == current
    return (
        after.get("updatedReplicas", 0) == wanted
        and after.get("availableReplicas", 0) == wanted
        and spec.status(rollout).get("observedGeneration") == str(rollout["metadata"]["generation"])
        and selectors.get("activeSelector") == current
        and previewed
    )


def is_completed(after: Json) -> bool:
    return bool(after.get("stableRS")) and after.get("stableRS") == after.get("currentPodHash")


def moved(rollout: Json, after: Json) -> bool:
    """Whether the update came further since the status before."""
    before = spec.status(rollout)

    def old(status: Json) -> int:
        left: int = status.get("replicas", 0) - status.get("updatedReplicas", 0)
        return left

    selectors = [(status.get("blueGreen") or {}) for status in (before, after)]
    return (
        after.get("updatedReplicas", 0) != before.get("updatedReplicas", 0)
        or old(after) < old(before)
        or after.get("readyReplicas", 0) > before.get("readyReplicas", 0)
        or after.get("availableReplicas", 0) > before.get("availableReplicas", 0)
        or any(selectors[0].get(key, "") != selectors[1].get(key, "") for key in ("activeSelector", "previewSelector"))
    )


def phase(rollout: Json, status: Json) -> tuple[str, str]:
    """Phase and message; `status` is the one to be written, of the rollout only the spec counts."""
    for found in status.get("conditions") or ():
        if found["type"] == INVALID:
            return "Degraded", f"{INVALID}: {found['message']}"
        if found["reason"] in {ABORTED, TIMED_OUT}:
            return "Degraded", f"{found['reason']}: {found['message']}"
    if spec.is_paused_by_user(rollout):
        return "Paused", "manually paused"
    if paused := status.get("pauseConditions"):
        return "Paused", paused[0]["reason"]
    missing = _missing(rollout, status)
    return ("Progressing", missing) if missing else ("Healthy", "")


def _missing(rollout: Json, status: Json) -> str:
    """What an update still waits for; empty when it is complete."""
    if status.get("updatedReplicas", 0) < spec.replicas(rollout):
        return "more replicas need to be updated"
    if status.get("availableReplicas", 0) < status.get("updatedReplicas", 0):
        return "updated replicas are still becoming available"
    selectors = status.get("blueGreen") or {}
    active = selectors.get("activeSelector", "")
    if not active or active != status.get("currentPodHash", ""):
        return "active service cutover pending"
    if is_completed(status):
        return ""
    analysis = selectors.get("postPromotionAnalysisRunStatus") or {}
    if spec.blue_green(rollout).get("postPromotionAnalysis") and not _ended(analysis.get("status", "")):
        return "waiting for analysis to complete"
    return "waiting for post-promotion verification to complete"


def _ended(analysis_phase: str) -> bool:
    return analysis_phase in {"Successful", "Failed", "Error", "Inconclusive"}
