"""A small Kubernetes in one process: API server, controllers, pods that answer, and the way in to them.

In process, with virtual time and no sockets, for fast tests:

    cluster = Cluster()
    cluster.apply(manifests)
    cluster.settle()
    cluster.advance(30)

As a server, for unmodified clients, on real time:

    cluster = Cluster(now=wall_clock, behaviours=LIFELIKE, digests=registry.digests)
    await cluster.start()
    cluster.apply(manifests)
    cluster.kubeconfig()
    await cluster.proxy.serve("mochiapp", "mochi")

`cluster.objects` is the state (narrow, documented, works in both modes); `cluster.server` has `writes` and `faults`,
`cluster.access` the users and what they may; `cluster.rollouts`, `cluster.analyses` and `cluster.argocd` are Argo.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.cluster.access import Access
from sandbox.cluster.argocd import ArgoCD
from sandbox.cluster.behaviour import INSTANT, LIFELIKE, Behaviour, Images
from sandbox.cluster.collector import Collector
from sandbox.cluster.controllers import Controller, ControllerLoop, settle
from sandbox.cluster.deployments import Deployments
from sandbox.cluster.endpoints import EndpointSlices
from sandbox.cluster.errands import Errands
from sandbox.cluster.errors import ApiError
from sandbox.cluster.jobs import Jobs
from sandbox.cluster.kinds import kind_of
from sandbox.cluster.kubelet import Kubelet
from sandbox.cluster.objects import Objects
from sandbox.cluster.patches import PatchType
from sandbox.cluster.podhost import PodHost
from sandbox.cluster.proxy import Proxy
from sandbox.cluster.replicasets import ReplicaSets
from sandbox.cluster.rollouts import AnalysisRuns, Rollouts
from sandbox.cluster.server import ClusterServer

__all__ = [
    "INSTANT",
    "LIFELIKE",
    "ApiError",
    "Behaviour",
    "Cluster",
    "Images",
    "Objects",
    "PatchType",
    "wall_clock",
]

Json = dict[str, Any]
_EPOCH = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def wall_clock() -> datetime:
    return datetime.now(UTC)


class Cluster:
    """The parts put together.

    Without `now` the time is virtual: it stands still until `advance`. `behaviours` says by tag what a pod does
    (INSTANT for tests, LIFELIKE for people), `digests` which tag a digest stands for. `k6` is the program that pods
    with the image grafana/k6 run; without it they say what k6 would.
    """

    def __init__(
        self,
        now: Callable[[], datetime] | None = None,
        *,
        behaviours: Mapping[str, Behaviour] = INSTANT,
        digests: Mapping[str, str] | None = None,
        anonymous: bool = False,
        bookmark_every: float = 60.0,
        seed: int | None = None,
        k6: Path | None = None,
    ) -> None:
        self._skipped = timedelta()
        self._clock = now or (lambda: _EPOCH)
        images = Images(behaviours, {} if digests is None else digests)
        self.objects = Objects(self.now, seed=seed)
        self.pods = PodHost(self.objects, images)
        self.proxy = Proxy(self.objects, lambda: self.pods.url)
        self.errands = Errands(images, k6, self.proxy.serve)
        self.kubelet = Kubelet(images, self.errands)
        self.token = secrets.token_urlsafe(24)
        self.access = Access({self.token: "admin"}, anonymous="admin" if anonymous else None)
        self.rollouts, self.analyses, self.argocd = Rollouts(), AnalysisRuns(), ArgoCD(self.objects)
        self.controllers: tuple[Controller, ...] = (
            Deployments(),
            ReplicaSets(),
            self.rollouts,
            self.analyses,
            Jobs(),
            self.kubelet,
            EndpointSlices(),
            self.argocd,
            Collector(),
        )
        self.server = ClusterServer(
            self.objects, access=self.access, bookmark_every=bookmark_every, log_of=self.kubelet.log
        )
        self._loop = ControllerLoop(self.objects, self.controllers, self.now)
        for told in (self.rollouts, self.analyses, self.kubelet, self.argocd):
            told.wake = self._loop.wake

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return self.server.url

    def now(self) -> datetime:
        return self._clock() + self._skipped

    async def start(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> str:
        """Starts the API server, the controllers and the pods' own server; answers with the API server's URL."""
        await self.pods.start()
        self._loop.start()
        return await self.server.start(port, tls=tls)

    async def stop(self) -> None:
        """Leaves no socket and no task behind."""
        await self._loop.stop()
        await self.errands.stop()
        await self.proxy.stop()
        await self.server.stop()
        await self.pods.stop()

    def paused(self) -> AbstractContextManager[None]:
        """A `with` block in which the controllers have not seen anything yet."""
        return self._loop.paused()

    def settle(self) -> None:
        """Runs the controllers until nothing changes: for tests in process."""
        settle(self.objects, self.controllers, self.now())

    def advance(self, seconds: float) -> None:
        """Lets time pass, and what falls due on the way happen in its order."""
        end = self.now() + timedelta(seconds=seconds)
        while (due := settle(self.objects, self.controllers, self.now())) is not None and due <= end:
            self._skipped += max(due - self.now(), timedelta())
        self._skipped += max(end - self.now(), timedelta())
        self.settle()

    def apply(self, manifests: Iterable[Json]) -> None:
        """Creates objects, or takes the server-side-apply road when they are there; missing namespaces are made."""
        for manifest in manifests:
            kind = kind_of(manifest)
            namespace = manifest["metadata"].get("namespace", "default") if kind.namespaced else ""
            if namespace and not self.objects.items("namespaces", fields=f"metadata.name={namespace}"):
                self.objects.create("namespaces", "", {"metadata": {"name": namespace}})
            name = manifest["metadata"]["name"]
            self.objects.patch(kind.plural, namespace, name, manifest, PatchType.APPLY, manager="kubectl", force=True)

    def kubeconfig(self) -> Json:
        """A kubeconfig whose current context is this cluster, as its administrator.

        kubectl sends no token over plain HTTP: for kubectl the cluster has to be made with `anonymous=True`.
        """
        name = "sandbox"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": self.url}}],
            "users": [{"name": name, "user": {"token": self.token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        }
