"""A cluster with one app: its objects, and the controllers that make pods and endpoints of them, one step at a time.

Each controller takes its step when the simulation says so, so that endpoints may lag behind pods and pods behind their
Deployment for as long as chance wants.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from bot.clusters.cluster import LABEL
from bot.clusters.reading import HASH, SERVICE_NAME, is_ready, labels, matches, selector
from mochi import mochi
from simulation.objects import Json, Objects

NAMESPACE = "mochi"
ACTIVE, PREVIEW = "mochiapp", "mochiapp-preview"
BLUE, GREEN = "mochiapp-blue", "mochiapp-green"
SLOTS = (BLUE, GREEN)
REPOSITORY = "registry.example.com/mochi"
TAGS = ("blue", "green", "purple", "evil")


def digest(tag: str) -> str:
    return "sha256:" + tag.encode().hex().ljust(64, "0")


class Cluster:
    def __init__(self, seconds: Callable[[], float]) -> None:
        self.objects = Objects(seconds)
        self.tags = {tag: digest(tag) for tag in TAGS}
        self.work: list[tuple[str, str]] = []
        """What controllers have to do: (controller, object). In the order in which it came up, each once."""
        self.made = 0
        self.unwell: set[str] = set()
        """Slots whose pods fail their readiness probe at the moment."""

    def copy(self, seconds: Callable[[], float]) -> "Cluster":
        other = Cluster.__new__(Cluster)
        other.__dict__.update(self.__dict__)
        other.objects = self.objects.copy(seconds)
        other.tags, other.work, other.unwell = dict(self.tags), list(self.work), set(self.unwell)
        return other

    @classmethod
    def built(cls, seconds: Callable[[], float], **manifests: Any) -> "Cluster":
        """Blue is live, green is idle, as in the sandbox and in the tests of everything else."""
        cluster = cls(seconds)
        plurals = {"Deployment": "deployments", "Service": "services"}
        for item in mochi(NAMESPACE, live_image=f"{REPOSITORY}@{digest('blue')}", **manifests):
            if item["kind"] in plurals:
                cluster.objects.create(plurals[item["kind"]], item, "kubectl")
        for service in (ACTIVE, PREVIEW):
            cluster.objects.create("endpointslices", _slice(service, []))
            cluster.need("endpoints", service)
        for slot in SLOTS:
            cluster.need("deployment", slot)
        while cluster.work:
            cluster.step(0)
        return cluster

    # Reading

    def service(self) -> Json:
        return self.objects.kinds["services"][ACTIVE]

    def slot(self, name: str) -> Json:
        return self.objects.kinds["deployments"][name]

    def pods(self, slot: str | None = None) -> list[Json]:
        pods = self.objects.kinds["pods"].values()
        return [pod for pod in pods if slot is None or pod["slot"] == slot]

    def selected(self) -> list[Json]:
        """The pods to which the active Service may send traffic."""
        wanted = selector(self.service())
        return [pod for pod in self.objects.kinds["pods"].values() if matches(wanted, labels(pod))]

    # Writing

    def patch(self, plural: str, name: str, operations: Any, manager: str) -> Json:
        before = self.objects.get(plural, name)
        after = self.objects.patch(plural, name, operations, manager)
        if after is not before:
            self.need("endpoints" if plural == "services" else "deployment", name)
        return after

    def kill(self, pod: str) -> None:
        slot = self.objects.kinds["pods"][pod]["slot"]
        self.objects.delete("pods", pod)
        self._pods_changed(slot)

    def feel(self, slot: str, *, well: bool) -> None:
        """The pods of a slot begin to fail their readiness probe, or pass it again."""
        (self.unwell.discard if well else self.unwell.add)(slot)
        for pod in self.pods(slot):
            self.need("kubelet", pod["metadata"]["name"])

    # Controllers

    def need(self, controller: str, name: str) -> None:
        if (controller, name) not in self.work:
            self.work.append((controller, name))

    def step(self, index: int) -> str:
        """One controller does one piece of its work."""
        controller, name = self.work.pop(index)
        {"deployment": self._deployment, "kubelet": self._kubelet, "endpoints": self._endpoints}[controller](name)
        return f"{controller} {name}"

    def _pods_changed(self, slot: str) -> None:
        self.need("deployment", slot)
        self.need("endpoints", ACTIVE)
        self.need("endpoints", PREVIEW)

    def _deployment(self, name: str) -> None:
        """Roll towards the template: new pods first, old ones go when the new are ready."""
        slot = self.slot(name)
        wanted, template = slot["spec"]["replicas"], slot["spec"]["template"]
        sign = template_hash(template)
        pods = self.pods(name)
        new = [pod for pod in pods if labels(pod)[HASH] == sign]
        old = [pod for pod in pods if labels(pod)[HASH] != sign]
        missing = [self._make(name, template, sign) for _ in range(wanted - len(new))]
        new += missing
        surplus = new[wanted:]
        if all(map(is_ready, new)):
            surplus, old = surplus + old, []
        for pod in surplus:
            self.objects.delete("pods", pod["metadata"]["name"])
        if missing or surplus:
            self._pods_changed(name)
        new = new[:wanted]
        present = new + old
        status: Json = {
            "observedGeneration": slot["metadata"]["generation"],
            "replicas": len(present),
            "updatedReplicas": len(new),
            "availableReplicas": sum(map(is_ready, present)),
        }
        self.objects.status("deployments", name, status)

    def _make(self, slot: str, template: Json, sign: str) -> Json:
        self.made += 1
        name = f"{slot}-{sign}-{self.made}"
        owner = {"kind": "ReplicaSet", "name": f"{slot}-{sign}", "controller": True}
        pod = self.objects.create(
            "pods",
            {
                "metadata": {
                    "name": name,
                    "labels": {**template["metadata"]["labels"], HASH: sign},
                    "ownerReferences": [owner],
                },
                "spec": template["spec"],
                "status": {"phase": "Pending"},
                "slot": slot,
                "template": template,
            },
        )
        self.need("kubelet", name)
        return pod

    def _kubelet(self, name: str) -> None:
        pod = self.objects.kinds["pods"].get(name)
        if pod is None:
            return
        image = pod["spec"]["containers"][0]["image"]
        runs = image.partition("@")[2] or self.tags.get(image.rpartition(":")[2], "")
        ready = bool(runs) and pod["slot"] not in self.unwell
        status: Json = {
            "phase": "Running",
            "podIP": f"10.0.0.{name.rpartition('-')[2]}",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "myapp", "imageID": f"{REPOSITORY}@{runs}", "state": {"running": {}}}],
        }
        if self.objects.status("pods", name, status) is not pod:
            self._pods_changed(pod["slot"])

    def _endpoints(self, service: str) -> None:
        present = self.objects.kinds["services"].get(service)
        if present is None:
            return
        wanted = selector(present)
        pods = [pod for pod in self.objects.kinds["pods"].values() if matches(wanted, labels(pod))]
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": is_ready(pod)},
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"]},
            }
            for pod in pods
            if "podIP" in pod["status"]
        ]
        known = self.objects.kinds["endpointslices"][f"{service}-1"]
        if known["endpoints"] != endpoints:
            self.objects.replace("endpointslices", {**known, "endpoints": endpoints})


_HASHES: dict[int, tuple[Json, str]] = {}


def template_hash(template: Json) -> str:
    """By identity: a template is replaced, never changed, and kept here as long as it is known."""
    known = _HASHES.get(id(template))
    if known is None or known[0] is not template:
        if len(_HASHES) > 10_000:
            _HASHES.clear()
        text = json.dumps(template, sort_keys=True)
        known = _HASHES[id(template)] = (template, hashlib.sha256(text.encode()).hexdigest()[:10])
    return known[1]


def _slice(service: str, endpoints: list[Json]) -> Json:
    return {
        "metadata": {"name": f"{service}-1", "labels": {SERVICE_NAME: service}},
        "addressType": "IPv4",
        "endpoints": endpoints,
    }


def release_of(pod: Json) -> str:
    return labels(pod).get(LABEL, "")
