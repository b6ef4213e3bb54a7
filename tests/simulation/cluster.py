"""What every cluster of the simulation has: pods, endpoints, and controllers that take one step at a time.

Each controller takes its step when the simulation says so, so that endpoints may lag behind pods and pods behind what
was asked for, as long as chance wants. What makes pods is in `native/cluster.py` and `argo/cluster.py`.
"""

import heapq
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from bot.clusters.reading import SERVICE_NAME, is_ready, labels, matches, selector
from simulation.objects import Json, Objects

NAMESPACE = "mochi"
ACTIVE, PREVIEW = "mochiapp", "mochiapp-preview"
REPOSITORY = "registry.example.com/mochi"
TAGS = ("blue", "green", "purple", "evil")


def digest(tag: str) -> str:
    return "sha256:" + tag.encode().hex().ljust(64, "0")


class Cluster:
    MAKER: ClassVar[str]
    """The controller that makes the pods of a slot."""
    CONTROLLERS: ClassVar[Mapping[str, Callable[[Any, str], None]]]

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.objects = Objects(seconds)
        self.seconds = seconds
        self.tags = {tag: digest(tag) for tag in TAGS}
        self.work: list[tuple[str, str]] = []
        """What controllers have to do: (controller, object). In the order in which it came up, each once."""
        self.timers: list[tuple[float, str, str]] = []
        """What they will have to do, and when."""
        self.made = 0
        self.unwell: set[str] = set()
        """Slots whose pods fail their readiness probe at the moment."""
        self.loses: Callable[[], bool] = lambda: False
        """Whether a controller will not see a write of somebody else."""

    def copy(self, seconds: Callable[[], float]) -> Self:
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.objects, other.seconds = self.objects.copy(seconds), seconds
        other.tags, other.work, other.unwell = dict(self.tags), list(self.work), set(self.unwell)
        other.timers = list(self.timers)
        return other

    # Reading

    def service(self) -> Json:
        return self.objects.kinds["services"][ACTIVE]

    def pods(self, slot: str | None = None) -> list[Json]:
        pods = self.objects.kinds["pods"].values()
        return [pod for pod in pods if slot is None or pod["slot"] == slot]

    def selected(self) -> list[Json]:
        """The pods to which the active Service may send traffic."""
        wanted = selector(self.service())
        return [pod for pod in self.objects.kinds["pods"].values() if matches(wanted, labels(pod))]

    # Writing

    def patch(self, plural: str, name: str, operations: Any, manager: str, subresource: str = "") -> Json:
        before = self.objects.get(plural, name)
        after = self.objects.patch(plural, name, operations, manager, subresource)
        if after is not before:
            self.changed(plural, name)
        return after

    def changed(self, plural: str, name: str) -> None:
        """Whom a change concerns."""
        raise NotImplementedError

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

    def later(self, when: float, controller: str, name: str) -> None:
        if (when, controller, name) not in self.timers:
            heapq.heappush(self.timers, (when, controller, name))

    def ring(self) -> None:
        """Time has passed."""
        while self.timers and self.timers[0][0] <= self.seconds():
            self.need(*heapq.heappop(self.timers)[1:])

    whole = True
    """Whether a controller that writes several things in a row does so with nobody in between."""

    def step(self, index: int, *, whole: bool = True) -> str:
        """One controller does one piece of its work."""
        controller, name = self.work.pop(index)
        self.whole = whole
        self.CONTROLLERS[controller](self, name)
        return f"{controller} {name}"

    def settle(self) -> None:
        while self.work:
            self.step(0)

    def _pods_changed(self, slot: str) -> None:
        self.need(self.MAKER, slot)
        self.need("endpoints", ACTIVE)
        self.need("endpoints", PREVIEW)

    def _make(self, slot: str, replica_set: str, template: Json, marks: Mapping[str, str]) -> Json:
        """A pod of a slot; `marks` are labels that its template does not have."""
        self.made += 1
        name = f"{replica_set}-{self.made}"
        owner = {"kind": "ReplicaSet", "name": replica_set, "controller": True}
        pod = self.objects.create(
            "pods",
            {
                "metadata": {
                    "name": name,
                    "labels": {**template["metadata"]["labels"], **marks},
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


def slices(service: str) -> Json:
    """The EndpointSlice of a Service that has no endpoints yet."""
    return {
        "metadata": {"name": f"{service}-1", "labels": {SERVICE_NAME: service}},
        "addressType": "IPv4",
        "endpoints": [],
    }
