"""A served cluster with the example Rollout on virtual time, and over HTTP what people and programs do to it.

Every verb is what `kubectl argo rollouts` or a client sends, and the cluster is at rest again when it comes back.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from mochi import ACTIVE, PREVIEW
from mochi_rollout import ROLLOUT, mochi_rollout
from sandbox.cluster import Behaviour, Cluster
from sandbox.cluster.behaviour import INSTANT

Json = dict[str, Any]

NAMESPACE = "mochi"
REPOSITORY = "registry.example.com/mochi"
HASH = "rollouts-pod-template-hash"
DEADLINE = "scale-down-deadline"
REVISION = "rollout.argoproj.io/revision"
JSON, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
_ROOTS = {
    "rollouts": "apis/argoproj.io/v1alpha1",
    "analysisruns": "apis/argoproj.io/v1alpha1",
    "analysistemplates": "apis/argoproj.io/v1alpha1",
    "applications": "apis/argoproj.io/v1alpha1",
    "deployments": "apis/apps/v1",
    "replicasets": "apis/apps/v1",
    "services": "api/v1",
    "pods": "api/v1",
    "events": "api/v1",
    "endpointslices": "apis/discovery.k8s.io/v1",
}


def image(tag: str) -> str:
    return f"{REPOSITORY}:{tag}"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Json


class RolloutCluster:
    """`mochiapp` in the namespace `mochi`; `cluster` is what lies behind it."""

    def __init__(self, cluster: Cluster, session: aiohttp.ClientSession) -> None:
        self.cluster = cluster
        self._session = session

    # The API as it is

    async def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", *, token: str = ""
    ) -> Answer:
        """Without rest afterwards: what the controllers make of it comes later. `token` is somebody else's."""
        headers = {"Content-Type": content_type} if body is not None else {}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        async with self._session.request(method, f"/{path}", json=body, headers=headers) as answer:
            text = await answer.text()
            return Answer(answer.status, await answer.json() if text.startswith("{") else {"text": text})

    async def patch(
        self, plural: str, name: str, body: Any, content_type: str = "", *, subresource: str = "", query: str = ""
    ) -> Answer:
        """A list is a JSON Patch, a dict a merge patch, unless it is said otherwise."""
        kind = content_type or (JSON if isinstance(body, list) else MERGE)
        path = f"{self.path(plural, name)}{f'/{subresource}' if subresource else ''}?fieldManager=kubectl{query}"
        answer = await self.call("PATCH", path, body, kind)
        self.cluster.settle()
        return answer

    async def done(self, plural: str, name: str, body: Any, content_type: str = "", *, subresource: str = "") -> Json:
        """The same, and it was accepted."""
        answer = await self.patch(plural, name, body, content_type, subresource=subresource)
        assert answer.status == 200, answer.body
        return answer.body

    async def create(self, plural: str, body: Json) -> Json:
        answer = await self.call("POST", self.path(plural), body)
        assert answer.status == 201, answer.body
        self.cluster.settle()
        return answer.body

    async def delete(self, plural: str, name: str) -> None:
        assert (await self.call("DELETE", self.path(plural, name))).status == 200
        self.cluster.settle()

    async def get(self, plural: str, name: str) -> Json:
        answer = await self.call("GET", self.path(plural, name))
        assert answer.status == 200, answer.body
        return answer.body

    async def listed(self, plural: str, labels: str = "") -> list[Json]:
        answer = await self.call("GET", f"{self.path(plural)}?labelSelector={labels}")
        assert answer.status == 200, answer.body
        return answer.body["items"]

    def path(self, plural: str, name: str = "") -> str:
        return f"{_ROOTS[plural]}/namespaces/{NAMESPACE}/{plural}" + (f"/{name}" if name else "")

    # What people do

    async def install(self, **manifests: Any) -> None:
        """The example app, at rest; the arguments go to `mochi_rollout`."""
        self.cluster.apply(mochi_rollout(NAMESPACE, **{"image": image("blue"), **manifests}))
        self.cluster.settle()

    async def set_image(self, tag: str) -> Json:
        change = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image(tag)}
        return await self.done("rollouts", ROLLOUT, [change])

    async def set_spec(self, **changes: Any) -> Json:
        return await self.done("rollouts", ROLLOUT, {"spec": changes})

    async def set_status(self, **changes: Any) -> Json:
        return await self.done("rollouts", ROLLOUT, {"status": changes}, subresource="status")

    async def promote(self) -> Json:
        return await self.done(
            "rollouts", ROLLOUT, [{"op": "remove", "path": "/status/pauseConditions"}], subresource="status"
        )

    async def abort(self) -> Json:
        return await self.set_status(abort=True)

    async def retry(self) -> Json:
        return await self.set_status(abort=False)

    async def promote_full(self) -> Json:
        return await self.set_status(promoteFull=True)

    async def write_template(self, template: Json) -> Json:
        """The whole template, as it was once read."""
        return await self.done("rollouts", ROLLOUT, [{"op": "replace", "path": "/spec/template", "value": template}])

    async def select(self, hash_: str | None, service: str = ACTIVE) -> Json:
        """A Service's selector by hand; None takes the hash out."""
        return await self.done("services", service, {"spec": {"selector": {HASH: hash_}}})

    async def nudge(self) -> Json:
        return await self.done("rollouts", ROLLOUT, {"metadata": {"annotations": {"example.com/nudge": "1"}}})

    async def fail(self, tag: str, *, count: int = 1) -> list[str]:
        """So many pods of an image fail their readiness probe from now on."""
        names = [pod["metadata"]["name"] for pod in await self.pods(tag)][:count]
        for name in names:
            self.cluster.kubelet.probe(NAMESPACE, name, passes=False)
        self.cluster.settle()
        return names

    def recover(self, *names: str) -> None:
        for name in names:
            self.cluster.kubelet.probe(NAMESPACE, name, passes=True)
        self.cluster.settle()

    # What there is to see

    async def rollout(self) -> Json:
        return await self.get("rollouts", ROLLOUT)

    async def status(self) -> Json:
        return (await self.rollout())["status"]

    async def phase(self) -> tuple[str, str]:
        status = await self.status()
        return status["phase"], status.get("message", "")

    async def pauses(self) -> list[str]:
        return [pause["reason"] for pause in (await self.status()).get("pauseConditions", [])]

    async def condition(self, name: str) -> tuple[str, str] | None:
        found = [c for c in (await self.status())["conditions"] if c["type"] == name]
        return (found[0]["status"], found[0]["reason"]) if found else None

    async def sets(self) -> dict[str, Json]:
        """The ReplicaSets by the tag that they run; of several the newest."""
        own = [item for item in await self.listed("replicasets") if REVISION in item["metadata"]["annotations"]]
        found = sorted(own, key=lambda item: int(item["metadata"]["annotations"][REVISION]))
        return {tag_of(item["spec"]["template"]["spec"]): item for item in found}

    async def hash_of(self, tag: str) -> str:
        return (await self.sets())[tag]["metadata"]["labels"][HASH]

    async def replicas(self, tag: str) -> int:
        return (await self.sets())[tag]["spec"]["replicas"]

    async def deadline(self, tag: str) -> str | None:
        return (await self.sets())[tag]["metadata"]["annotations"].get(DEADLINE)

    async def selected(self, service: str = ACTIVE) -> str | None:
        """The tag of the pods that a Service selects by hash; None when it has no hash."""
        hash_ = (await self.get("services", service))["spec"]["selector"].get(HASH)
        sets = {item["metadata"]["labels"][HASH]: tag for tag, item in (await self.sets()).items()}
        return sets.get(hash_, hash_) if hash_ else None

    async def previewed(self) -> str | None:
        return await self.selected(PREVIEW)

    async def stable(self) -> str:
        hash_ = (await self.status())["stableRS"]
        return next(tag for tag, item in (await self.sets()).items() if item["metadata"]["labels"][HASH] == hash_)

    async def current(self) -> str:
        hash_ = (await self.status())["currentPodHash"]
        return next(tag for tag, item in (await self.sets()).items() if item["metadata"]["labels"][HASH] == hash_)

    async def pods(self, tag: str) -> list[Json]:
        return [pod for pod in await self.listed("pods") if tag_of(pod["spec"]) == tag]

    async def ready_addresses(self, service: str = ACTIVE) -> int:
        slices = await self.listed("endpointslices", f"kubernetes.io/service-name={service}")
        endpoints = [endpoint for item in slices for endpoint in item["endpoints"] or ()]
        return sum(len(endpoint["addresses"]) for endpoint in endpoints if endpoint["conditions"]["ready"])

    def past(self, plural: str = "rollouts", name: str = ROLLOUT, since: int = 0) -> list[Json]:
        """Every state of an object that a watch has shown, oldest first."""
        changes = self.cluster.objects.changes(since)
        return [c.after for c in changes if c.plural == plural and c.after["metadata"]["name"] == name]


def tag_of(spec: Json) -> str:
    return spec["containers"][0]["image"].rpartition(":")[2]


@asynccontextmanager
async def rollout_cluster(
    *, behaviours: dict[str, Behaviour] | None = None, install: bool = True, **manifests: Any
) -> AsyncIterator[RolloutCluster]:
    """With blue live and healthy, unless `install` says no; `manifests` go to `mochi_rollout`."""
    cluster = Cluster(seed=7, behaviours={**INSTANT, **(behaviours or {})})
    cluster.objects.create("namespaces", "", {"metadata": {"name": NAMESPACE}})
    await cluster.start()
    try:
        headers = {"Authorization": f"Bearer {cluster.token}"}
        async with aiohttp.ClientSession(cluster.url, headers=headers) as session:
            made = RolloutCluster(cluster, session)
            if install:
                await made.install(**manifests)
            yield made
    finally:
        await cluster.stop()
