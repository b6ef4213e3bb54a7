"""What an app of the demo is, and the manifests that do not depend on what it runs on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

NAMESPACE = "sweets"
"""Of all of them: they are one team's."""


@dataclass(frozen=True)
class DemoApp:
    """Its channel and its repository are called as it is."""

    name: str
    runs_on: str
    live: str
    """The tag that has the traffic when the demo begins."""
    next: str
    """The tag that the visitor is asked to deploy."""
    active: str
    preview: str
    """The Services that people's browsers reach."""
    manifests: Callable[[str], list[Json]]
    """From the repository, with its host, to what `kubectl apply` is given."""
    table: Callable[[str], str]
    """From the repository to the lines in `greenlight.toml` that say what the app runs on."""
    others: tuple[str, ...] = ("crash", "slow", "flaky")
    gates: str = ""
    """Its tables `[[apps.….gates]]`."""
    guards: Callable[[str], str] = lambda _: ""
    """From where production answers to its tables `[[apps.….guards]]`."""


def described(api_version: str, kind: str, app: str, name: str, spec: Json) -> Json:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": app}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def service(app: str, name: str, selector: dict[str, str]) -> Json:
    spec = {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return described("v1", "Service", app, name, spec)


def pod_template(labels: dict[str, str], image: str) -> Json:
    container = {
        "name": "myapp",
        "image": image,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        # So that a pod that goes away has finished what it was asked (and the bot has nothing to warn of).
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    }
    return {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 30}}
