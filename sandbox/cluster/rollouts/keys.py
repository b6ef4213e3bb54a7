"""The labels and annotations by which Argo Rollouts marks what it works on, and the name under which it writes."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

MANAGER = "rollouts-controller"
HASH = "rollouts-pod-template-hash"
DEADLINE = "scale-down-deadline"
MANAGED_BY = "argo-rollouts.argoproj.io/managed-by-rollouts"
REVISION = "rollout.argoproj.io/revision"
REVISION_HISTORY = "rollout.argoproj.io/revision-history"
DESIRED_REPLICAS = "rollout.argoproj.io/desired-replicas"
WORKLOAD_GENERATION = "rollout.argoproj.io/workload-generation"
EPHEMERAL_METADATA = "rollout.argoproj.io/ephemeral-metadata"


def annotation(item: Json | None, key: str) -> str:
    """Empty when it is not there."""
    found: str = ((item or {}).get("metadata", {}).get("annotations") or {}).get(key, "")
    return found


def pod_hash(replica_set: Json | None) -> str:
    found: str = ((replica_set or {}).get("metadata", {}).get("labels") or {}).get(HASH, "")
    return found


def selected_hash(service: Json | None) -> str:
    """Which ReplicaSet's pods a Service selects; empty when it does not say."""
    found: str = ((service or {}).get("spec", {}).get("selector") or {}).get(HASH, "")
    return found


def revision(item: Json | None) -> int:
    return int(annotation(item, REVISION) or 0)
