"""What the objects of a release on Argo Rollouts say, in the words of the facts."""

from dataclasses import dataclass
from typing import Any

from mochiapp import ACTIVE, DEADLINE, HASH, PREVIEW

Json = dict[str, Any]


@dataclass(frozen=True)
class State:
    """The one Rollout of a namespace and what belongs to it. A hash is "" where there is none."""

    rollout: Json
    replicasets: tuple[Json, ...]
    services: tuple[Json, ...]
    pods: tuple[Json, ...]
    endpointslices: tuple[Json, ...]
    analysisruns: tuple[Json, ...]
    deployments: tuple[Json, ...]
    """One, if the Rollout has its template from there."""

    @property
    def spec(self) -> Json:
        spec: Json = self.rollout["spec"]
        return spec

    @property
    def template(self) -> Json:
        holder = self.deployments[0] if self.deployments else self.rollout
        template: Json = holder["spec"]["template"]
        return template

    @property
    def status(self) -> Json:
        status: Json = self.rollout.get("status", {})
        return status

    @property
    def observed(self) -> bool:
        """The controller has seen the newest spec; no more than that."""
        return is_observed(self.rollout) and all(map(self._has_seen, self.deployments))

    def _has_seen(self, deployment: Json) -> bool:
        return self.status.get("workloadObservedGeneration") == str(deployment["metadata"]["generation"])

    @property
    def phase(self) -> str:
        return str(self.status.get("phase", ""))

    @property
    def pauses(self) -> list[str]:
        return [each["reason"] for each in self.status.get("pauseConditions") or ()]

    @property
    def current(self) -> str:
        return str(self.status.get("currentPodHash", ""))

    @property
    def stable(self) -> str:
        return str(self.status.get("stableRS", ""))

    @property
    def live(self) -> str:
        """The hash in the active Service itself; the Rollout's status may be late."""
        return self.selector(ACTIVE).get(HASH, "")

    @property
    def previewed(self) -> str:
        return self.selector(PREVIEW).get(HASH, "")

    def selector(self, service: str) -> dict[str, str]:
        [found] = [each for each in self.services if each["metadata"]["name"] == service]
        selector: dict[str, str] = found["spec"]["selector"]
        return selector

    def paused_on(self, image: str) -> bool:
        """By the rule that is safe: the set that the status names runs this image."""
        return self.observed and self.pauses == ["BlueGreenPause"] and self.image(self.current) == image

    def healthy_on(self, pod_hash: str) -> bool:
        return self.observed and self.phase == "Healthy" and {self.current, self.stable, self.live} == {pod_hash}

    def set_of(self, pod_hash: str) -> Json | None:
        return next((each for each in self.replicasets if each["metadata"]["labels"].get(HASH) == pod_hash), None)

    def image(self, pod_hash: str) -> str:
        found = self.set_of(pod_hash)
        return found["spec"]["template"]["spec"]["containers"][0]["image"] if found else ""

    def replicas(self, pod_hash: str) -> int:
        found = self.set_of(pod_hash)
        return int(found["spec"]["replicas"]) if found else 0

    def deadline(self, pod_hash: str) -> str:
        """When its set is to be scaled down."""
        found = self.set_of(pod_hash)
        return str(found["metadata"].get("annotations", {}).get(DEADLINE, "")) if found else ""

    def hashes(self, image: str) -> list[str]:
        """Of all sets of this image, the oldest first."""
        mine = [each for each in self.replicasets if self.image(each["metadata"]["labels"].get(HASH, "")) == image]
        return [
            each["metadata"]["labels"][HASH] for each in sorted(mine, key=lambda s: s["metadata"]["creationTimestamp"])
        ]

    def pods_of(self, pod_hash: str) -> list[Json]:
        return [each for each in self.pods if each["metadata"]["labels"].get(HASH) == pod_hash]

    def ready_behind(self, service: str) -> int:
        """Addresses that the Service sends traffic to."""
        return sum(
            1
            for each in self.endpointslices
            if each["metadata"]["labels"]["kubernetes.io/service-name"] == service
            for endpoint in each["endpoints"] or ()
            if endpoint["conditions"]["ready"]
        )

    def condition(self, kind: str) -> Json:
        return next((each for each in self.status.get("conditions", ()) if each["type"] == kind), {})


def is_observed(rollout: Json) -> bool:
    generation: str = rollout.get("status", {}).get("observedGeneration", "")
    return generation == str(rollout["metadata"]["generation"])
