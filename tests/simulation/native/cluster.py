"""An app on plain Kubernetes: two Deployments, one of which is live, and their controller."""

import hashlib
import json
from collections.abc import Callable
from typing import Any, ClassVar

from bot.clusters.cluster import LABEL
from bot.clusters.reading import HASH, is_ready, labels
from mochi import mochi
from simulation import cluster
from simulation.cluster import ACTIVE, NAMESPACE, PREVIEW, REPOSITORY, digest, slices
from simulation.hashes import remembered
from simulation.objects import Json

BLUE, GREEN = "mochiapp-blue", "mochiapp-green"
SLOTS = (BLUE, GREEN)


class Cluster(cluster.Cluster):
    MAKER = "deployment"

    @classmethod
    def built(cls, seconds: Callable[[], float], **manifests: Any) -> "Cluster":
        """Blue is live, green is idle, as in the sandbox and in the tests of everything else."""
        cluster = cls(seconds)
        plurals = {"Deployment": "deployments", "Service": "services"}
        for item in mochi(NAMESPACE, live_image=f"{REPOSITORY}@{digest('blue')}", **manifests):
            if item["kind"] in plurals:
                cluster.objects.create(plurals[item["kind"]], item, "kubectl")
        for service in (ACTIVE, PREVIEW):
            cluster.objects.create("endpointslices", slices(service))
            cluster.need("endpoints", service)
        for slot in SLOTS:
            cluster.need("deployment", slot)
        cluster.settle()
        return cluster

    def slot(self, name: str) -> Json:
        return self.objects.kinds["deployments"][name]

    def changed(self, plural: str, name: str) -> None:
        self.need("endpoints" if plural == "services" else "deployment", name)

    def _deployment(self, name: str) -> None:
        """Roll towards the template: new pods first, old ones go when the new are ready."""
        slot = self.slot(name)
        wanted, template = slot["spec"]["replicas"], slot["spec"]["template"]
        own = template_hash(template)
        pods = self.pods(name)
        new = [pod for pod in pods if labels(pod)[HASH] == own]
        old = [pod for pod in pods if labels(pod)[HASH] != own]
        missing = [self._make(name, f"{name}-{own}", template, {HASH: own}) for _ in range(wanted - len(new))]
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

    CONTROLLERS: ClassVar = {
        "deployment": _deployment,
        "kubelet": cluster.Cluster._kubelet,
        "endpoints": cluster.Cluster._endpoints,
    }


@remembered
def template_hash(template: Json) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def release_of(pod: Json) -> str:
    return labels(pod).get(LABEL, "")
