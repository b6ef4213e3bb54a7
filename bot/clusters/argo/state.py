"""Where a blueGreen Rollout is, from its own status and the Service that really has the traffic. Pure.

The phase that the controller shows is not asked: it is late (often still `Healthy` when a new version has come), and
the same for a release, a rollback and somebody else's release. The order of the cases is the meaning: the first that
applies.
"""

from collections.abc import Iterable
from enum import StrEnum

from bot.clusters.api import Json
from bot.clusters.argo.reading import WORKLOAD_GENERATION, workload
from bot.clusters.reading import annotations, replicas

PAUSE = "BlueGreenPause"
INCONCLUSIVE = "InconclusiveAnalysisRun"
UNDER_WAY = {"Pending", "Running"}


class State(StrEnum):
    OBSERVING = "observing"
    """The controller has not taken up the newest spec: nothing that it says is about that yet."""
    INVALID = "invalid"
    ABORTED = "aborted"
    TIMED_OUT = "timed out"
    FROZEN = "frozen"
    """Somebody set `spec.paused`."""
    UNDECIDED = "undecided"
    """An analysis was inconclusive: somebody has to judge."""
    PAUSED = "paused"
    """Waits for its promotion."""
    RESUMING = "resuming"
    """The promotion is accepted, and not carried out yet. A promotion that the controller lost looks the same."""
    ANALYSING = "analysing"
    """The analysis before the promotion is under way."""
    STARTING = "starting"
    """The new version is not available, or the switch is about to be made."""
    VERIFYING = "verifying"
    """Live, and not taken for stable yet: the analysis after the promotion is under way."""
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """Live, but not all of its pods are available."""


def state(rollout: Json, active: str, holder: Json | None = None) -> State:
    """`active`: the pod hash that the active Service selects. `holder`: the Deployment with the template, if any."""
    status = rollout.get("status") or {}
    before = (status.get("blueGreen") or {}).get("prePromotionAnalysisRunStatus") or {}
    reasons, progress = pauses(rollout), _progressing(rollout)
    desired, stable = current_hash(rollout), stable_hash(rollout)
    cases = (
        (not is_observed(rollout, holder), State.OBSERVING),
        (condition(rollout, "InvalidSpec"), State.INVALID),
        (status.get("abort") or progress == "RolloutAborted", State.ABORTED),
        (progress == "ProgressDeadlineExceeded", State.TIMED_OUT),
        (rollout["spec"].get("paused"), State.FROZEN),
        (INCONCLUSIVE in reasons, State.UNDECIDED),
        (PAUSE in reasons, State.PAUSED),
        (status.get("controllerPause") and not reasons, State.RESUMING),
        (desired != active and before.get("status") in UNDER_WAY, State.ANALYSING),
        (desired != active, State.STARTING),
        (desired != stable, State.VERIFYING),
        (_is_full(rollout), State.HEALTHY),
    )
    return next((found for applies, found in cases if applies), State.DEGRADED)


def is_observed(rollout: Json, holder: Json | None = None) -> bool:
    """Whether what the controller says is about the newest spec, and the newest template where a Deployment has it."""
    status = rollout.get("status") or {}
    if str(status.get("observedGeneration", "")) != str(rollout["metadata"].get("generation")):
        return False
    if not workload(rollout):
        return True
    seen = {str(status.get("workloadObservedGeneration", "")), annotations(rollout).get(WORKLOAD_GENERATION, "")}
    return holder is not None and seen == {str(holder["metadata"].get("generation"))}


def observed_generation(rollout: Json) -> int:
    """Of whoever has the pod template, as far as the controller has taken it up; 0 when it does not say."""
    status = rollout.get("status") or {}
    found = str(status.get("workloadObservedGeneration" if workload(rollout) else "observedGeneration") or "")
    return int(found) if found.isdecimal() else 0


def pauses(rollout: Json) -> list[str]:
    """The reasons of its pause conditions, in their order."""
    found = (rollout.get("status") or {}).get("pauseConditions") or []
    return [str(each.get("reason", "")) for each in found]


def paused_since(rollout: Json) -> str:
    """When the pause began in which a version waits for its promotion, as the controller wrote it; "" without one."""
    found = (rollout.get("status") or {}).get("pauseConditions") or []
    return next((str(each.get("startTime", "")) for each in found if each.get("reason") == PAUSE), "")


def current_hash(rollout: Json) -> str:
    """Of the version that the controller works towards; "" before it knows one."""
    return str((rollout.get("status") or {}).get("currentPodHash") or "")


def stable_hash(rollout: Json) -> str:
    return str((rollout.get("status") or {}).get("stableRS") or "")


def reported_active(rollout: Json) -> str:
    """Of the version that had the traffic when the controller wrote this; the Service may say another by now."""
    return str(((rollout.get("status") or {}).get("blueGreen") or {}).get("activeSelector") or "")


def is_first_coming_up(rollout: Json) -> bool:
    """Its very first version is stable by name already, and the active Service leads to it when its pods are ready."""
    status = rollout.get("status") or {}
    is_first = "" != stable_hash(rollout) == current_hash(rollout) and not reported_active(rollout)
    return is_first and status.get("readyReplicas", 0) < replicas(rollout)


def condition(rollout: Json, wanted: str) -> Json | None:
    """A condition of this type, while it is true."""
    return next((each for each in _conditions(rollout) if each["type"] == wanted and each["status"] == "True"), None)


def said(rollout: Json) -> str:
    """The controller's own words for what stands in the way; "" when it has none."""
    invalid = condition(rollout, "InvalidSpec")
    return str((invalid or {}).get("message") or (rollout.get("status") or {}).get("message") or "")


def _progressing(rollout: Json) -> str:
    return next((str(each.get("reason", "")) for each in _conditions(rollout) if each["type"] == "Progressing"), "")


def _conditions(rollout: Json) -> Iterable[Json]:
    return (rollout.get("status") or {}).get("conditions") or []


def _is_full(rollout: Json) -> bool:
    status, wanted = rollout.get("status") or {}, rollout["spec"].get("replicas")
    wanted = 1 if wanted is None else wanted
    return {status.get(key, 0) for key in ("updatedReplicas", "availableReplicas")} == {wanted}
