"""`activeMetadata` and `previewMetadata`: labels and annotations that pods bear while they are one or the other.

Source: rollout/ephemeralmetadata.go of Argo Rollouts 1.9.1.
"""

from __future__ import annotations

import json
from typing import Any

from sandbox.cluster.controllers import owned_by
from sandbox.cluster.patches import Json, copied
from sandbox.cluster.rollouts import spec
from sandbox.cluster.rollouts.keys import EPHEMERAL_METADATA, MANAGER, annotation, pod_hash
from sandbox.cluster.rollouts.look import Look

_PARTS = ("labels", "annotations")


def injected(item: Json, wanted: Json | None) -> Json:
    """A copy of a ReplicaSet whose template has the wanted metadata instead of what was injected before."""
    known: Any = json.loads(annotation(item, EPHEMERAL_METADATA) or "{}")
    found: Json = copied(item)
    _exchange(found["spec"]["template"]["metadata"], known, wanted or {})
    values = found["metadata"].setdefault("annotations", {})
    values.pop(EPHEMERAL_METADATA, None)
    if wanted:
        values[EPHEMERAL_METADATA] = json.dumps(wanted, separators=(",", ":"))
    return found


def reconcile(look: Look) -> None:
    own = spec.blue_green(look.rollout)
    stable = look.status.get("stableRS", "")
    if not stable or stable == pod_hash(look.new):
        _sync(look, look.new, own.get("activeMetadata"))
    else:
        _sync(look, look.new, own.get("previewMetadata"))
        _sync(look, look.stable, own.get("activeMetadata"))
    for item in look.others:
        _sync(look, item, None)


def _sync(look: Look, item: Json | None, wanted: Json | None) -> None:
    """The ReplicaSet first, so that a pod that is born in between has it as well; then the pods that are there."""
    if item is None or item["spec"] == (fresh := injected(item, wanted))["spec"]:
        return
    known: Any = json.loads(annotation(item, EPHEMERAL_METADATA) or "{}")
    look.objects.replace("replicasets", look.namespace, item["metadata"]["name"], fresh, manager=MANAGER)
    for pod in owned_by(item, look.objects.items("pods", look.namespace)):
        _exchange(pod["metadata"], known, wanted or {})
        look.objects.replace("pods", look.namespace, pod["metadata"]["name"], pod, manager=MANAGER)


def _exchange(found: Json, old: Json, fresh: Json) -> None:
    for part in _PARTS:
        kept = {key: value for key, value in (found.get(part) or {}).items() if key not in (old.get(part) or {})}
        if merged := {**kept, **(fresh.get(part) or {})}:
            found[part] = merged
        else:
            found.pop(part, None)
