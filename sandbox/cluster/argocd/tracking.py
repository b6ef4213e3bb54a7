"""How Argo CD marks what belongs to an Application. Pure."""

from __future__ import annotations

from enum import StrEnum

from sandbox.cluster.kinds import kind_of
from sandbox.cluster.patches import Json, copied

ANNOTATION = "argocd.argoproj.io/tracking-id"
LABEL = "app.kubernetes.io/instance"


class Tracking(StrEnum):
    """`resourceTrackingMethod` in Argo CD's settings; older installations have LABEL."""

    ANNOTATION = "annotation"
    LABEL = "label"


def tracking_id(app: str, item: Json) -> str:
    kind, metadata = kind_of(item), item["metadata"]
    return f"{app}:{kind.group}/{kind.kind}:{metadata.get('namespace', '')}/{metadata['name']}"


def tracked(app: str, item: Json, namespace: str, tracking: Tracking) -> Json:
    """A manifest as it is applied: in its namespace, with the mark."""
    found: Json = copied(item)
    metadata = found["metadata"]
    if kind_of(found).namespaced:
        metadata.setdefault("namespace", namespace)
    if tracking is Tracking.LABEL:
        metadata.setdefault("labels", {})[LABEL] = app
    else:
        metadata.setdefault("annotations", {})[ANNOTATION] = tracking_id(app, found)
    return found
