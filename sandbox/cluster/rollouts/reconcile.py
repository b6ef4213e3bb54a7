"""One reconciliation of one blueGreen Rollout, in the order of Argo's own controller.

Source: rollout/controller.go, rollout/context.go and rollout/bluegreen.go of Argo Rollouts 1.9.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox.cluster.controllers import owned_by
from sandbox.cluster.objects import Objects
from sandbox.cluster.patches import Json, PatchType, copied
from sandbox.cluster.rollouts import (
    analysis,
    conditions,
    metadata,
    pausing,
    replica_sets,
    reporting,
    services,
    spec,
    validity,
    workload,
)
from sandbox.cluster.rollouts.keys import MANAGER
from sandbox.cluster.rollouts.look import Look

_INVALID_AGAIN = timedelta(seconds=20)


@dataclass(frozen=True)
class Outcome:
    """`written` is what the controller believes the Rollout to be now; `due` is when to come back."""

    written: Json | None
    due: tuple[datetime, ...]


def reconcile(objects: Objects, known: Json, now: datetime) -> Outcome:
    """`known` is the Rollout as the controller's cache has it. ApiError: a write was refused, begin again."""
    rollout: Json = copied(known)
    # A Rollout with two strategies or none is invalid; one with canary is somebody else's.
    if "deletionTimestamp" in rollout["metadata"] or _is_canary(rollout):
        return Outcome(None, ())
    look = Look(objects, now, rollout, [])
    unresolved = workload.resolve(look)
    look.sets = owned_by(rollout, objects.items("replicasets", look.namespace))
    wrong = unresolved or validity.problem(rollout, objects)
    if wrong:
        _say_invalid(look, wrong)
        return Outcome(None, (now + _INVALID_AGAIN,))
    analysis.find(look)
    replica_sets.find(look)
    if look.new is None:
        replica_sets.create(look)
    if look.is_aborted and look.status.get("stableRS") == look.status.get("currentPodHash"):
        look.abort_over = True  # fully promoted: there is nothing to abort
    if look.rollout["spec"].get("replicas") is None:
        patch = {"spec": {"replicas": 1}}
        stored = objects.patch("rollouts", look.namespace, look.name, patch, PatchType.MERGE, manager=MANAGER)
        return Outcome(stored, ())
    _run(look)
    return Outcome(look.written, tuple(look.due))


def _is_canary(rollout: Json) -> bool:
    strategy = rollout["spec"].get("strategy") or {}
    return strategy.get("canary") is not None and strategy.get("blueGreen") is None


def _run(look: Look) -> None:
    _check_paused(look)
    replica_sets.sync_revision(look)
    if replica_sets.is_scaling_event(look):
        replica_sets.sync_revision(look)
        replica_sets.reconcile(look)
        reporting.after_scaling(look)
        return
    preview, active = look.service("preview"), look.service("active")
    if active is None:
        raise LookupError("a valid blueGreen Rollout has an active Service")
    replica_sets.sync_revision(look)
    services.reconcile_preview(look, preview)
    if not reporting.is_template_new(look):
        replica_sets.reconcile(look)
        pausing.reconcile(look, active)
        services.reconcile_active(look, active)
        analysis.reconcile(look)
        metadata.reconcile(look)
    reporting.write(look, preview, active)


def _check_paused(look: Look) -> None:
    """The conditions that follow a pause are written first, and alone.

    For a template that changes in a pause this is the moment in which the status shows the new generation as observed
    and still the pause and the hash of the old template.
    """
    progress = conditions.condition(look.status, conditions.PROGRESSING) or {}
    is_paused = bool(look.status.get("pauseConditions")) or spec.is_paused_by_user(look.rollout)
    aborted = progress.get("reason") == conditions.ABORTED
    completed = conditions.is_completed(look.status)
    fresh = []
    if is_paused != (progress.get("reason") == "RolloutPaused") and not aborted and not completed:
        reason, message = (
            ("RolloutPaused", "Rollout is paused") if is_paused else ("RolloutResumed", "Rollout is resumed")
        )
        fresh.append(conditions.made(conditions.PROGRESSING, "Unknown", reason, message, look.now))
    if aborted and not look.status.get("abort"):
        message = "Retrying Rollout after abort"
        fresh.append(conditions.made(conditions.PROGRESSING, "Unknown", "RolloutRetry", message, look.now))
    paused = (conditions.condition(look.status, conditions.PAUSED) or {}).get("status") == "True"
    if is_paused != paused and not aborted:
        met = "True" if is_paused else "False"
        fresh.append(conditions.made(conditions.PAUSED, met, "RolloutPaused", "Rollout is paused", look.now))
    if fresh:
        look.write_conditions(*fresh)


def _say_invalid(look: Look, why: str) -> None:
    message = f'The Rollout "{look.name}" is invalid: {why}'
    current = conditions.condition(look.status, conditions.INVALID)
    observed = look.status.get("observedGeneration") == str(look.rollout["metadata"]["generation"])
    if observed and current and current["message"] == message:
        return
    fresh = conditions.made(conditions.INVALID, "True", conditions.INVALID, message, look.now)
    look.write_conditions(fresh, anew=current is None or current["message"] != message)
