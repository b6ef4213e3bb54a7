"""The example app as teams have it before Greenlight: two Deployments, Services and Ingresses, no release label."""

import json
import ssl
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import aiohttp

Json = dict[str, Any]

LIVE, IDLE = "mochiapp-blue", "mochiapp-green"
ACTIVE, PREVIEW = "mochiapp", "mochiapp-preview"
PRODUCTION_HOST, PREVIEW_HOST = "mochi.example.com", "preview.mochi.example.com"

COLLECTIONS = {
    "Service": "api/v1/namespaces/{namespace}/services",
    "ConfigMap": "api/v1/namespaces/{namespace}/configmaps",
    "ServiceAccount": "api/v1/namespaces/{namespace}/serviceaccounts",
    "Pod": "api/v1/namespaces/{namespace}/pods",
    "Namespace": "api/v1/namespaces",
    "Deployment": "apis/apps/v1/namespaces/{namespace}/deployments",
    "Ingress": "apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses",
    "Job": "apis/batch/v1/namespaces/{namespace}/jobs",
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers",
    "Rollout": "apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts",
    "Role": "apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
}


def mochi(
    namespace: str,
    *,
    live_image: str,
    idle_image: str | None = None,
    replicas: int = 2,
    selector: dict[str, str] | None = None,
) -> list[Json]:
    """Blue is live with `replicas` pods, green has none; `selector` is the active Service's, by default {app: mochi},
    which green's pods would match as well."""
    return [
        _deployment(namespace, LIVE, "blue", live_image, replicas),
        _deployment(namespace, IDLE, "green", idle_image or live_image, 0),
        _service(namespace, ACTIVE, selector or {"app": "mochi"}),
        _service(namespace, PREVIEW, {"app": "mochi", "color": "green"}),
        _ingress(namespace, ACTIVE, PRODUCTION_HOST, tls=True),
        _ingress(namespace, PREVIEW, PREVIEW_HOST, tls=False),
    ]


def alone(namespace: str, *, image: str, env: list[Json] | None = None) -> list[Json]:
    """What most teams begin with: one Deployment behind one Service, and an address."""
    deployment = _deployment(namespace, "mochi", "", image, 2)
    spec = deployment["spec"]
    spec["selector"] = {"matchLabels": {"app": "mochi"}}
    spec["template"]["metadata"] = {"labels": {"app": "mochi"}}
    spec["template"]["spec"]["containers"][0]["env"] = env or []
    return [
        deployment,
        _service(namespace, "mochi", {"app": "mochi"}),
        _ingress(namespace, "mochi", PRODUCTION_HOST, tls=True),
    ]


async def apply(
    api_url: str, token: str, objects: Iterable[Json], *, ssl_context: ssl.SSLContext | None = None
) -> None:
    """Creates what is not there yet and leaves alone what is; any other answer raises AssertionError with the body."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        for wanted in objects:
            path = COLLECTIONS[wanted["kind"]].format(namespace=wanted["metadata"].get("namespace"))
            async with session.post(
                f"{api_url.rstrip('/')}/{path}",
                data=json.dumps(wanted),
                headers={"Content-Type": "application/json"},
                ssl=ssl_context or True,
            ) as answer:
                if answer.status not in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.CONFLICT):
                    raise AssertionError(f"POST {path} answered {answer.status}: {await answer.text()}")


def _deployment(namespace: str, name: str, color: str, image: str, replicas: int) -> Json:
    labels = {"app": "mochi", "color": color}
    container = {
        "name": "myapp",
        "image": image,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 2},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "mochi"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _service(namespace: str, name: str, selector: dict[str, str]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "mochi"}},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }


def _ingress(namespace: str, service: str, host: str, *, tls: bool) -> Json:
    backend = {"service": {"name": service, "port": {"name": "http"}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    spec: Json = {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": paths}}]}
    if tls:
        spec["tls"] = [{"hosts": [host], "secretName": f"{service}-tls"}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": service, "namespace": namespace, "labels": {"app": "mochi"}},
        "spec": spec,
    }
