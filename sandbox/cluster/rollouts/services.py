"""The two Services of a blueGreen Rollout: whose pods they select.

Source: rollout/service.go of Argo Rollouts 1.9.1.
"""

from __future__ import annotations

from sandbox.cluster.objects import Objects
from sandbox.cluster.patches import Json, PatchType
from sandbox.cluster.rollouts import analysis, pausing, replica_sets, spec
from sandbox.cluster.rollouts.keys import HASH, MANAGED_BY, MANAGER, annotation, pod_hash, selected_hash
from sandbox.cluster.rollouts.look import Look


def switch(look: Look, service: Json, hash_: str) -> None:
    """Two keys are written: the hash, and once who manages this Service. What is known of it is renewed."""
    managed = bool(annotation(service, MANAGED_BY))
    if managed and selected_hash(service) == hash_:
        return
    patch: Json = {"spec": {"selector": {HASH: hash_}}}
    if not managed:
        patch["metadata"] = {"annotations": {MANAGED_BY: look.name}}
    name = service["metadata"]["name"]
    look.objects.patch("services", look.namespace, name, patch, PatchType.STRATEGIC, manager=MANAGER)
    service["spec"].setdefault("selector", {})[HASH] = hash_


def reconcile_preview(look: Look, preview: Json | None) -> None:
    if preview is not None and not spec.is_halted(look.rollout):
        switch(look, preview, pod_hash(look.target))


def reconcile_active(look: Look, active: Json) -> None:
    """The cut-over, when it is time for it."""
    if spec.is_halted(look.rollout):
        return
    if not replica_sets.is_ready_for_pause(look) or not replica_sets.is_saturated(look):
        return
    hash_ = selected_hash(active)
    if pausing.is_fast_tracked(look, active):
        hash_ = pod_hash(look.target)
    if pausing.is_over(look) and analysis.passed_before_promotion(look):
        hash_ = pod_hash(look.target)
    if look.status.get("abort"):
        hash_ = look.status.get("stableRS", "")
    switch(look, active, hash_)


def let_go(objects: Objects, rollout: Json) -> None:
    """A Rollout is gone: its Services select without a hash again."""
    namespace, name = rollout["metadata"]["namespace"], rollout["metadata"]["name"]
    for service in objects.items("services", namespace):
        if annotation(service, MANAGED_BY) == name:
            patch = {"metadata": {"annotations": {MANAGED_BY: None}}, "spec": {"selector": {HASH: None}}}
            objects.patch("services", namespace, service["metadata"]["name"], patch, PatchType.MERGE, manager=MANAGER)
