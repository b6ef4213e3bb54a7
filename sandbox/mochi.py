"""The demo's app, as a team has it before it meets Greenlight: Deployments, Services, Ingresses, no release label."""

from typing import Any

Json = dict[str, Any]

NAMESPACE = "mochi"
LIVE, IDLE = "mochiapp-blue", "mochiapp-green"
ACTIVE, PREVIEW = "mochiapp", "mochiapp-preview"
CONTAINER = "myapp"
PRODUCTION_HOST, PREVIEW_HOST = "mochi.localhost", "preview.mochi.localhost"
REPLICAS = 3


def manifests(image: str) -> list[Json]:
    """Blue is live with `image`, green has no pods. The active Service selects on `app` alone, which green's pods would
    match too: a first release has to adopt that without downtime.
    """
    return [
        _deployment(LIVE, "blue", image, REPLICAS),
        _deployment(IDLE, "green", image, 0),
        _service(ACTIVE, {"app": "mochi"}),
        _service(PREVIEW, {"app": "mochi", "color": "green"}),
        _ingress(ACTIVE, PRODUCTION_HOST),
        _ingress(PREVIEW, PREVIEW_HOST),
    ]


def _object(api_version: str, kind: str, name: str, spec: Json) -> Json:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": "mochi"}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _deployment(name: str, color: str, image: str, replicas: int) -> Json:
    labels = {"app": "mochi", "color": color}
    container = {
        "name": CONTAINER,
        "image": image,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        # So that a pod that goes away has finished what it was asked (and the bot has nothing to warn of).
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    }
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 30},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return _object("apps/v1", "Deployment", name, spec)


def _service(name: str, selector: dict[str, str]) -> Json:
    spec = {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return _object("v1", "Service", name, spec)


def _ingress(service: str, host: str) -> Json:
    backend = {"service": {"name": service, "port": {"name": "http"}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return _object("networking.k8s.io/v1", "Ingress", service, {"rules": [{"host": host, "http": {"paths": paths}}]})
