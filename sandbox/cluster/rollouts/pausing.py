"""When a blueGreen update pauses, when its pause is over, and what skips it.

Source: rollout/pause.go and rollout/bluegreen.go of Argo Rollouts 1.9.1.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.cluster.objects import timestamp
from sandbox.cluster.patches import Json
from sandbox.cluster.rollouts import analysis, replica_sets, spec
from sandbox.cluster.rollouts.keys import pod_hash, selected_hash
from sandbox.cluster.rollouts.look import Look


def is_fast_tracked(look: Look, active: Json) -> bool:
    """A set that still waits for its scale-down, an order to promote, and a Service that already points there (or
    nowhere in particular) need no pause.
    """
    return (
        replica_sets.has_deadline(look.new)
        or bool(look.status.get("promoteFull"))
        or selected_hash(active) in {"", pod_hash(look.new)}
    )


def reconcile(look: Look, active: Json) -> None:
    if look.status.get("abort") or not replica_sets.is_ready_for_pause(look) or spec.is_halted(look.rollout):
        return
    passed = spec.blue_green_status(look.rollout).get("scaleUpPreviewCheckPoint")
    if is_fast_tracked(look, active) or passed or not spec.needs_pause(look.rollout):
        look.drop_pause.append(spec.BLUE_GREEN_PAUSE)
        return
    if not analysis.passed_before_promotion(look):
        return
    pause = spec.pause_condition(look.rollout, spec.BLUE_GREEN_PAUSE)
    if pause is None:
        # No condition, though the controller has paused: somebody took it away, which is how one promotes.
        if not look.status.get("controllerPause"):
            look.add_pause.append(spec.BLUE_GREEN_PAUSE)
    elif is_over(look):
        look.drop_pause.append(spec.BLUE_GREEN_PAUSE)
    elif delay := spec.promotion_delay(look.rollout):
        look.due.append(_began(pause) + delay)


def is_over(look: Look) -> bool:
    """A person has promoted it, or the time for that has passed."""
    pause = spec.pause_condition(look.rollout, spec.BLUE_GREEN_PAUSE)
    if look.add_pause:
        return False
    if spec.blue_green_status(look.rollout).get("scaleUpPreviewCheckPoint"):
        return True
    if not spec.promotes_by_itself(look.rollout):
        return bool(look.status.get("controllerPause")) and pause is None
    delay = spec.promotion_delay(look.rollout)
    if not delay:
        return True
    return pause is not None and look.now >= _began(pause) + delay


def put_status(look: Look, after: Json) -> None:
    """Pauses and abort into the status that is about to be written."""
    before = look.status
    if look.abort_now or (not look.abort_over and before.get("abort")):
        after["abort"] = True
        after["abortedAt"] = before.get("abortedAt") or timestamp(look.now)
        return
    if look.clear_pause:
        return
    known = before.get("pauseConditions") or []
    reasons = {c["reason"] for c in known}
    fresh = [{"reason": reason, "startTime": timestamp(look.now)} for reason in look.add_pause if reason not in reasons]
    left = [c for c in known if c["reason"] not in look.drop_pause] + fresh
    if left:
        after["pauseConditions"] = left
        after["controllerPause"] = bool(fresh) or bool(before.get("controllerPause"))


def _began(pause: Json) -> datetime:
    return datetime.strptime(pause["startTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
