"""The status that a reconciliation ends with: hashes, counts, conditions, and whether the update is complete.

Source: rollout/sync.go and rollout/bluegreen.go of Argo Rollouts 1.9.1.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.cluster.patches import Json, copied
from sandbox.cluster.rollouts import analysis, conditions, pausing, replica_sets, spec
from sandbox.cluster.rollouts.keys import WORKLOAD_GENERATION, annotation, pod_hash, selected_hash
from sandbox.cluster.rollouts.look import Look
from sandbox.cluster.selectors import as_query

_SECOND = timedelta(seconds=1)
_UNPROMOTED = "ReplicaSetNotAvailable"


def is_template_new(look: Look) -> bool:
    known = look.status.get("currentPodHash", "")
    return bool(known) and known != pod_hash(look.target)


def write(look: Look, preview: Json | None, active: Json) -> None:
    after = _base(look)
    if is_template_new(look):
        look.clear_pause = look.abort_over = True
        after["promoteFull"] = False
        after["blueGreen"] = {}
    if _is_promoted_in_full(look):
        look.clear_pause = look.abort_over = True
    after["blueGreen"] |= {"previewSelector": selected_hash(preview), "activeSelector": selected_hash(active)}
    if _is_complete(look, after):
        look.clear_pause = look.abort_over = True
        after["promoteFull"] = False
        after["stableRS"] = after["currentPodHash"]
    else:
        after["blueGreen"]["scaleUpPreviewCheckPoint"] = _checkpoint(look)
    _count(look, after)
    _put_conditions(look, after)
    persist(look, after)


def persist(look: Look, after: Json) -> None:
    """When nothing changed, the controller comes back for the progress deadline."""
    pausing.put_status(look, after)
    after["workloadObservedGeneration"] = annotation(look.rollout, WORKLOAD_GENERATION) if look.resolved else ""
    if look.write_status(after) is None:
        _watch_deadline(look, after)


def after_scaling(look: Look) -> None:
    """What is written when only the number of replicas changed: everything else stays as it was."""
    after: Json = copied(look.status)
    active = look.set_of((after.get("blueGreen") or {}).get("activeSelector", ""))
    counted = [active] if active else look.sets
    after["HPAReplicas"] = _sum(counted, "replicas")
    after["availableReplicas"] = _sum(counted, "availableReplicas")
    persist(look, after)


def _base(look: Look) -> Json:
    before = look.status
    hash_ = pod_hash(look.target)
    after: Json = {
        "currentPodHash": hash_,
        "stableRS": before.get("stableRS", ""),
        "replicas": _sum(look.sets, "replicas"),
        "updatedReplicas": _sum([look.target], "replicas"),
        "readyReplicas": _sum(look.sets, "readyReplicas"),
        "collisionCount": before.get("collisionCount"),
        "conditions": [c for c in before.get("conditions") or () if c["type"] != conditions.INVALID],
        # The stable hash is not known yet at this point: a full promotion of what is stable is not seen as done here.
        "promoteFull": bool(before.get("promoteFull")),
        "blueGreen": dict(look.run_status),
        "canary": {},
    }
    if "restartedAt" in before:
        after["restartedAt"] = before["restartedAt"]
    return after


def _sum(sets: list[Json], count: str) -> int:
    return sum(item["status"].get(count, 0) for item in sets)


def _count(look: Look, after: Json) -> None:
    active = look.set_of(after["blueGreen"].get("activeSelector", ""))
    if active:
        after["HPAReplicas"] = _sum([active], "replicas")
        after["availableReplicas"] = _sum([active], "availableReplicas")
        after["readyReplicas"] = _sum([active], "readyReplicas")
        after["selector"] = as_query(active["spec"]["selector"])
    else:
        after["HPAReplicas"] = _sum(look.sets, "replicas")
        after["availableReplicas"] = _sum(look.sets, "availableReplicas")
        after["selector"] = as_query(look.rollout["spec"]["selector"])


def _is_complete(look: Look, after: Json) -> bool:
    """Whether the new ReplicaSet is to be the stable one from now on."""
    active = after["blueGreen"]["activeSelector"]
    if look.stable is None or not active:
        return True
    if active != after["currentPodHash"]:
        return False
    if _is_promoted_in_full(look):
        return True
    if look.is_aborted:
        return False
    if spec.blue_green(look.rollout).get("postPromotionAnalysis"):
        return replica_sets.has_deadline(look.new) or analysis.phase(look.post) == "Successful"
    return True


def _is_promoted_in_full(look: Look) -> bool:
    """On order, or because it goes back no further than `rollbackWindow`."""
    return bool(look.status.get("promoteFull")) or replica_sets.is_rollback_within_window(look)


def _checkpoint(look: Look) -> bool:
    """With `previewReplicaCount`: whether the preview was approved in its small size and may grow."""
    wanted = spec.preview_replicas(look.rollout)
    if wanted is None:
        return False
    if spec.blue_green_status(look.rollout).get("scaleUpPreviewCheckPoint"):
        return True
    if not analysis.passed_before_promotion(look) or not pausing.is_over(look):
        return False
    return _sum([look.target], "availableReplicas") == wanted


def _put_conditions(look: Look, after: Json) -> None:
    lost_health = _put_healthy(look, after)
    if look.is_aborted:
        message = f"Rollout aborted update to revision {_revision(look)}"
        if look.abort_message:
            message += f": {look.abort_message}"
        conditions.put(after, conditions.made(conditions.PROGRESSING, "False", conditions.ABORTED, message, look.now))
    else:
        _judge_progress(look, after, lost_health=lost_health)
    _put_available(look, after)
    done = conditions.is_completed(after)
    fresh = conditions.made(
        conditions.COMPLETED, "True" if done else "False", "RolloutCompleted", "RolloutCompleted", look.now
    )
    conditions.put(after, fresh)


def _put_healthy(look: Look, after: Json) -> bool:
    """True when it was healthy until now."""
    paused = bool(look.status.get("pauseConditions")) or spec.is_paused_by_user(look.rollout)
    if not paused and conditions.is_healthy(look.rollout, after):
        message = "Rollout is healthy"
        conditions.put(after, conditions.made(conditions.HEALTHY, "True", "RolloutHealthy", message, look.now))
        return False
    if conditions.condition(look.status, conditions.HEALTHY) is None:
        return False
    message = "Rollout is not healthy"
    return conditions.put(after, conditions.made(conditions.HEALTHY, "False", "RolloutHealthy", message, look.now))


def _judge_progress(look: Look, after: Json, *, lost_health: bool) -> None:
    name = look.target["metadata"]["name"]
    if conditions.is_healthy(look.rollout, after):
        message = f'ReplicaSet "{name}" has successfully progressed.'
        fresh = conditions.made(conditions.PROGRESSING, "True", "NewReplicaSetAvailable", message, look.now)
        conditions.put(after, fresh)
    elif conditions.moved(look.rollout, after) or lost_health:
        _put_progress(look, after, name, lost_health=lost_health)
    elif not _is_exempt(look) and _is_late(look, after):
        message = f'ReplicaSet "{name}" has timed out progressing.'
        fresh = conditions.made(conditions.PROGRESSING, "False", conditions.TIMED_OUT, message, look.now)
        fresh_timeout = conditions.put(after, fresh)
        if look.rollout["spec"].get("progressDeadlineAbort") and (fresh_timeout or not look.is_aborted):
            look.abort_now, look.abort_message = True, message


def _put_progress(look: Look, after: Json, name: str, *, lost_health: bool) -> None:
    reason, message = "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.'
    if lost_health and after["stableRS"] == after["currentPodHash"]:
        reason, message = _UNPROMOTED, "Rollout does not have minimum availability"
    fresh = conditions.made(conditions.PROGRESSING, "True", reason, message, look.now)
    current = conditions.condition(look.status, conditions.PROGRESSING)
    if current and current["status"] == "True":
        fresh["lastTransitionTime"] = current["lastTransitionTime"]
    # Also when it says the same as before: this is what the deadline counts from.
    conditions.drop(after, conditions.PROGRESSING)
    conditions.put(after, fresh)


def _is_exempt(look: Look) -> bool:
    """Nobody waits for progress while it is paused, nor while another set waits for its scale-down."""
    paused = conditions.condition(look.status, conditions.PAUSED)
    return bool(paused and paused["status"] == "True") or any(replica_sets.has_deadline(item) for item in look.others)


def _is_late(look: Look, after: Json) -> bool:
    current = conditions.condition(after, conditions.PROGRESSING)
    if current is None or current["reason"] in {conditions.ABORTED, "RolloutPaused"}:
        return False
    if current["reason"] == conditions.TIMED_OUT:
        return True
    return _moment(current["lastUpdateTime"]) + spec.progress_deadline(look.rollout) < look.now


def _put_available(look: Look, after: Json) -> None:
    active = look.set_of(after["blueGreen"].get("activeSelector", ""))
    if active and replica_sets.is_saturated(look, active):
        fresh = "True", "AvailableReason", "Rollout has minimum availability"
    else:
        fresh = "False", "AvailableReason", "Rollout does not have minimum availability"
    conditions.put(after, conditions.made(conditions.AVAILABLE, *fresh, look.now))


def _watch_deadline(look: Look, after: Json) -> None:
    current = conditions.condition(look.status, conditions.PROGRESSING)
    paused = bool(look.status.get("pauseConditions")) or spec.is_paused_by_user(look.rollout) or _is_halted(look)
    if current is None or current["reason"] == conditions.TIMED_OUT or paused or look.status.get("abort"):
        return
    if not conditions.is_healthy(look.rollout, after):
        late = _moment(current["lastUpdateTime"]) + spec.progress_deadline(look.rollout) + _SECOND
        if late > look.now:
            look.due.append(late)


def _is_halted(look: Look) -> bool:
    paused = conditions.condition(look.status, conditions.PAUSED)
    return bool(paused and paused["status"] == "True")


def _revision(look: Look) -> str:
    return annotation(look.rollout, "rollout.argoproj.io/revision") or "0"


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
