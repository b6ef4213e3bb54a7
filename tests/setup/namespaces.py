"""Namespaces as teams have them before Greenlight, and what `init` makes of them.

The objects are what an API server hands out: they go through the sandbox's, with its defaults, controllers and pods.
"""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from bot.setup.look import look
from bot.setup.manifests import Account, manifests
from bot.setup.objects import Objects
from bot.setup.policy_file import People, policy_file
from bot.setup.survey import Found, Survey, survey
from sandbox.cluster import Cluster
from world import InProcessApi

Json = dict[str, Any]

NAMESPACE = "mochi"
IMAGE = "registry.example.com/mochi:1.4.2"
PEOPLE = People(guild=11, channel=12, deployers=(13,), approvers=(14, 15))
ACCOUNT = Account("greenlight", "greenlight")


def deployment(
    name: str = "mochi", *, replicas: int = 2, image: str = IMAGE, match: Json | None = None, **labels
) -> Json:
    """Its pods have `labels`, by default `app: mochi`; `match` is its selector, by default all of them."""
    labels = labels or {"app": "mochi"}
    container = {
        "name": "web",
        "image": image,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": "mochi"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": match or labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def service(name: str = "mochi", *, spec: Json | None = None, **selector) -> Json:
    """Selects `selector`, by default `app: mochi`; `spec` changes or adds fields."""
    made = {"selector": selector or {"app": "mochi"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": "mochi"}},
        "spec": made | (spec or {}),
    }


def rollout(
    name: str = "mochi", *, app: str = "mochi", image: str = IMAGE, spec: Json | None = None, **blue_green
) -> Json:
    """With the Services of its name and `<its name>-preview`; `spec` and `blue_green` change or add fields."""
    strategy = {"activeService": name, "previewService": f"{name}-preview", "autoPromotionEnabled": False}
    template = deployment(image=image, app=app)["spec"]["template"]
    made = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": app}},
        "template": template,
        "strategy": {"blueGreen": strategy | blue_green},
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {key: value for key, value in (made | (spec or {})).items() if value is not None},
    }


def ingress(leads_to: str = "mochi", host: str = "mochi.example.com") -> Json:
    backend = {"service": {"name": leads_to, "port": {"name": "http"}}}
    rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": leads_to, "namespace": NAMESPACE},
        "spec": {"rules": [rule]},
    }


def pod_of(kind: str, name: str, **labels) -> Json:
    """A pod of something that the sandbox has no controller for."""
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "1", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-0",
            "namespace": NAMESPACE,
            "labels": labels or {"app": "mochi"},
            "ownerReferences": [owner],
        },
        "spec": {"containers": [{"name": "web", "image": IMAGE}]},
    }


def changed(item: Json, change) -> Json:
    """A copy, after `change` has been called with it."""
    copy = json.loads(json.dumps(item))
    change(copy)
    return copy


@dataclass(frozen=True)
class Outcome:
    objects: Objects
    found: Survey

    @property
    def app(self) -> Found:
        """The only one."""
        [app] = self.found.apps
        return app

    @property
    def file(self) -> str:
        return policy_file(self.found, self.objects, PEOPLE)

    @property
    def table(self) -> Json:
        [table] = tomllib.loads(self.file)["apps"].values()
        return table

    @property
    def comments(self) -> str:
        """Of the file, as running text."""
        lines = (line.removeprefix("#").strip() for line in self.file.splitlines() if line.startswith("#"))
        return " ".join(lines)

    @property
    def printed(self) -> list[Json]:
        return list(yaml.safe_load_all(manifests(self.found, self.objects, ACCOUNT)))

    def made(self, kind: str) -> list[Json]:
        return [each for each in self.printed if each["kind"] == kind]


async def looked(*items: Json) -> Outcome:
    cluster = Cluster(seed=1)
    pods = [item for item in items if item["kind"] == "Pod"]
    cluster.apply(item for item in items if item not in pods)
    cluster.settle()
    cluster.apply(pods)  # their owners are not there, which the collector would notice
    objects = await look(InProcessApi(cluster), NAMESPACE)
    return Outcome(objects, survey(NAMESPACE, objects))


def refused(outcome: Outcome) -> Sequence[str]:
    assert outcome.found.apps == ()
    return outcome.found.left_out
