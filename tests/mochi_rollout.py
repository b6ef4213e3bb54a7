"""The example app of a team that uses Argo Rollouts: one Rollout behind two Services that select just the app."""

from typing import Any

from mochi import ACTIVE, PREVIEW, PREVIEW_HOST, PRODUCTION_HOST, _ingress, _service

Json = dict[str, Any]

ROLLOUT = "mochiapp"
CONTAINER = "myapp"


def mochi_rollout(
    namespace: str, *, image: str, replicas: int = 2, blue_green: Json | None = None, **spec: Any
) -> list[Json]:
    """`blue_green` adds to the strategy (a person promotes, unless it says otherwise), `spec` to the Rollout's spec."""
    return [
        rollout(namespace, image=image, replicas=replicas, blue_green=blue_green, **spec),
        _service(namespace, ACTIVE, {"app": "mochi"}),
        _service(namespace, PREVIEW, {"app": "mochi"}),
        _ingress(namespace, ACTIVE, PRODUCTION_HOST, tls=True),
        _ingress(namespace, PREVIEW, PREVIEW_HOST, tls=False),
    ]


def rollout(namespace: str, *, image: str, replicas: int = 2, blue_green: Json | None = None, **spec: Any) -> Json:
    strategy = {"activeService": ACTIVE, "previewService": PREVIEW, "autoPromotionEnabled": False}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": ROLLOUT, "namespace": namespace, "labels": {"app": "mochi"}},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": {"app": "mochi"}},
            "template": template(image),
            "strategy": {"blueGreen": {**strategy, **(blue_green or {})}},
            **spec,
        },
    }


def template(image: str) -> Json:
    container = {
        "name": CONTAINER,
        "image": image,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 2},
    }
    return {"metadata": {"labels": {"app": "mochi"}}, "spec": {"containers": [container]}}
