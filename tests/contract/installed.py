"""Mochi as it stands in a target's namespace: what is routed where, and what other people do to it."""

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

from recording import Recording, recorded
from targets import Target

import mochi
from bot.clusters.cluster import LABEL
from bot.clusters.reading import pods_behind, selector
from watching import until

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class Mochi:
    """What the administrator of the namespace sees and does."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.services = f"/api/v1/namespaces/{target.namespace}/services"
        self.pods = f"/api/v1/namespaces/{target.namespace}/pods"
        self.deployments = f"/apis/apps/v1/namespaces/{target.namespace}/deployments"
        self.slices = f"/apis/discovery.k8s.io/v1/namespaces/{target.namespace}/endpointslices"

    async def get(self, path: str, **query: str) -> Json:
        async with self.target.session.get(path, params=query, raise_for_status=True) as answer:
            found: Json = await answer.json()
            return found

    async def service(self, name: str = mochi.ACTIVE) -> Json:
        return await self.get(f"{self.services}/{name}")

    async def deployment(self, name: str) -> Json:
        return await self.get(f"{self.deployments}/{name}")

    async def pods_of(self, color: str) -> list[Json]:
        return await self._labelled(f"color={color}")

    async def pods_named(self, wanted: frozenset[str]) -> list[Json]:
        """Those of them that are there."""
        return [pod for pod in (await self.get(self.pods))["items"] if pod["metadata"]["name"] in wanted]

    async def pods_with(self, label: str) -> list[Json]:
        """The pods of one release."""
        return await self._labelled(f"{LABEL}={label}")

    async def serving(
        self, count: int, service: str = mochi.ACTIVE, *, instead_of: frozenset[str] = frozenset()
    ) -> frozenset[str]:
        """The names of the ready pods behind a Service, once there are so many and others than those named."""

        def there(items: list[Json]) -> bool:
            return len(ready(items, service)) == count and not ready(items, service) & instead_of

        wanted = f"kubernetes.io/service-name={service}"
        found = await until(self.target.session, self.slices, there, labelSelector=wanted)
        return ready(found, service)

    async def selecting(self, label: str, service: str = mochi.ACTIVE) -> None:
        """Once this is in the selector of a Service."""

        def there(items: list[Json]) -> bool:
            return any(each["metadata"]["name"] == service and label in selector(each) for each in items)

        await until(self.target.session, self.services, there)

    async def _labelled(self, labels: str) -> list[Json]:
        async with self.target.session.get(
            self.pods, params={"labelSelector": labels}, raise_for_status=True
        ) as answer:
            found: list[Json] = (await answer.json())["items"]
            return found

    # What other people do: the managers are those that the API server records for kubectl's subcommands

    async def patch(self, path: str, patch: Any, *, manager: str = "kubectl-patch", content_type: str = MERGE) -> Json:
        async with self.target.session.patch(
            path, data=json.dumps(patch), headers={"Content-Type": content_type}, params={"fieldManager": manager}
        ) as answer:
            assert answer.ok, await answer.text()
            changed: Json = await answer.json()
            return changed

    async def select(self, service: str, **labels: str | None) -> Json:
        """`kubectl patch service`: changes some labels of its selector, None takes one out."""
        return await self.patch(f"{self.services}/{service}", {"spec": {"selector": labels}})

    async def annotate(self, path: str) -> Json:
        return await self.patch(path, {"metadata": {"annotations": {"example.com/touched": "yes"}}})

    async def set_image(self, deployment: str, image: str) -> Json:
        """`kubectl set image`."""
        containers = [{"name": "myapp", "image": image}]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}
        return await self.patch(
            f"{self.deployments}/{deployment}", patch, manager="kubectl-set", content_type=STRATEGIC
        )

    async def set_variable(self, deployment: str, name: str, value: str) -> Json:
        """`kubectl set env`."""
        containers = [{"name": "myapp", "env": [{"name": name, "value": value}]}]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}
        path = f"{self.deployments}/{deployment}"
        return await self.patch(path, patch, manager="kubectl-set", content_type=STRATEGIC)

    async def restart(self, deployment: str) -> Json:
        """`kubectl rollout restart`."""
        annotations = {"kubectl.kubernetes.io/restartedAt": "2026-01-05T09:00:00Z"}
        patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        return await self.patch(f"{self.deployments}/{deployment}", patch, manager="kubectl-rollout")

    async def label_template(self, deployment: str, **labels: str) -> Json:
        patch = {"spec": {"template": {"metadata": {"labels": labels}}}}
        return await self.patch(f"{self.deployments}/{deployment}", patch)

    async def scale(self, deployment: str, replicas: int) -> Json:
        return await self.patch(f"{self.deployments}/{deployment}", {"spec": {"replicas": replicas}})

    # What is recorded

    def record_service(self, name: str = mochi.ACTIVE) -> AbstractAsyncContextManager[Recording]:
        return recorded(self.target.session, self.services, fieldSelector=f"metadata.name={name}")

    def record_endpoints(self, service: str = mochi.ACTIVE) -> AbstractAsyncContextManager[Recording]:
        wanted = f"kubernetes.io/service-name={service}"
        return recorded(self.target.session, self.slices, labelSelector=wanted)

    def record_deployment(self, name: str) -> AbstractAsyncContextManager[Recording]:
        return recorded(self.target.session, self.deployments, fieldSelector=f"metadata.name={name}")


def ready(slices: list[Json], service: str = mochi.ACTIVE) -> frozenset[str]:
    """The names of the pods behind the ready endpoints of a Service."""
    return pods_behind(slices, service)


def selectors(moments: list[list[Json]]) -> list[dict[str, str]]:
    """Each selector that a recorded Service has had, in order."""
    found: list[dict[str, str]] = []
    for [service] in moments:
        if not found or found[-1] != selector(service):
            found.append(dict(selector(service)))
    return found


def names(pods: list[Json]) -> frozenset[str]:
    return frozenset(pod["metadata"]["name"] for pod in pods)
