"""Plain Kubernetes: reads an app's Deployments, Services, pods and EndpointSlices, and sends what a view planned."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial

from bot.clusters import adoption
from bot.clusters.api import (
    AUTOSCALER,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    GATEWAY,
    HTTP_ROUTE,
    INGRESS,
    POD,
    SERVICE,
    Api,
    Json,
    Kind,
)
from bot.clusters.cluster import LABEL, Links, Start, Write
from bot.clusters.errors import ClusterError, Forbidden, Missing
from bot.clusters.links import best_link
from bot.clusters.reading import HASH, SERVICE_NAME, Selector, is_over, name
from bot.clusters.view import NativeView
from bot.clusters.watch import Watch
from bot.release.app import App
from bot.release.record import Release

WATCHED = (SERVICE, DEPLOYMENT, POD, ENDPOINT_SLICE)
WRITTEN = {kind.name: kind for kind in (SERVICE, DEPLOYMENT)}


class NativeCluster:
    """`Cluster` for native apps. `changed` is called with a namespace whenever something in it changes.

    `store_id` is what the Services of its apps are claimed for.
    """

    def __init__(
        self,
        api: Api,
        apps: Iterable[App],
        now: Callable[[], datetime],
        changed: Callable[[str], None],
        store_id: str,
    ) -> None:
        self._api = api
        self._now = now
        self._store_id = store_id
        self._autoscalers: dict[str, frozenset[str] | None] = {}
        """By namespace, what the last look found autoscaled: autoscalers are not watched."""
        self._watches = {
            (namespace, kind.name): Watch(api, kind, namespace, partial(changed, namespace))
            for namespace in {app.namespace for app in apps}
            for kind in WATCHED
        }

    async def follow(self) -> None:
        """Keep the cache current, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self._watches.values():
                group.create_task(watch.run())

    @property
    def trouble(self) -> str | None:
        """Why nothing is heard of the cluster at the moment; None while any of its namespaces is listened to."""
        heard = any(watch.listed.is_set() and watch.trouble is None for watch in self._watches.values())
        first = next((str(watch.trouble) for watch in self._watches.values() if watch.trouble), "not listed yet")
        return None if heard else first

    async def start(self, app: App) -> Start:
        target = app.target
        service, preview, first, second, pods, slices = await asyncio.gather(
            self._api.get(SERVICE, app.namespace, target.service),
            self._api.get(SERVICE, app.namespace, target.preview),
            self._api.get(DEPLOYMENT, app.namespace, target.slots[0]),
            self._api.get(DEPLOYMENT, app.namespace, target.slots[1]),
            self._api.list(POD, app.namespace),
            self._api.list(ENDPOINT_SLICE, app.namespace, labels=f"{SERVICE_NAME}={target.service}"),
        )
        found = adoption.Found(service, preview, (first, second), _alive(pods.items), slices.items)
        troubles = (self._watches[app.namespace, kind.name].trouble for kind in WATCHED)
        unheard = next((str(trouble) for trouble in troubles if isinstance(trouble, Forbidden)), "")
        return replace(adoption.start(app, found, self._store_id), unheard=unheard)

    def seen(self, app: App, release: Release) -> NativeView | None:
        """None as well while a watch is interrupted: what is cached may be long over."""
        services, deployments, pods, slices = (self._watches[app.namespace, kind.name] for kind in WATCHED)
        known = services.objects
        if not all(watch.listed.is_set() and not watch.trouble for watch in (services, deployments, pods, slices)):
            return None
        if app.target.service not in known or app.target.preview not in known:
            return None
        return NativeView(
            app,
            release,
            service=known[app.target.service],
            preview=known[app.target.preview],
            slots=[deployments.objects[slot] for slot in app.target.slots if slot in deployments.objects],
            pods=_alive(pods.objects.values()),
            slices=list(slices.objects.values()),
            autoscaled=self._autoscalers.get(app.namespace),
            store_id=self._store_id,
            read_at=self._now(),
            fresh=False,
        )

    async def look(self, app: App, release: Release) -> NativeView:
        """Read everything side by side, in one round trip; the look's age counts from before the first read."""
        read_at, target = self._now(), app.target
        both = f"{SERVICE_NAME} in ({target.service},{target.preview})"
        (service, preview, first, second), (slices, candidates, previous, autoscaled) = await asyncio.gather(
            asyncio.gather(
                self._api.get(SERVICE, app.namespace, target.service),
                self._present(SERVICE, app.namespace, target.preview),
                self._present(DEPLOYMENT, app.namespace, target.slots[0]),
                self._present(DEPLOYMENT, app.namespace, target.slots[1]),
            ),
            asyncio.gather(
                self._api.list(ENDPOINT_SLICE, app.namespace, labels=both),
                self._api.list(POD, app.namespace, labels=f"{LABEL}={release.label}"),
                self._api.list(POD, app.namespace, labels=_written(release.previous.widest)),
                self._autoscaled(app.namespace),
            ),
        )
        slots = [slot for slot in (first, second) if slot is not None]
        self._autoscalers[app.namespace] = autoscaled
        for kind, items in ((SERVICE, (service, preview)), (DEPLOYMENT, slots)):
            for item in filter(None, items):
                self._watches[app.namespace, kind.name].put(item)
        pods = {name(pod): pod for pod in (*candidates.items, *previous.items)}
        return NativeView(
            app,
            release,
            service=service,
            preview=preview,
            slots=slots,
            pods=_alive(pods.values()),
            slices=slices.items,
            autoscaled=autoscaled,
            store_id=self._store_id,
            read_at=read_at,
            fresh=True,
        )

    async def send(self, write: Write) -> None:
        written = await self._api.patch(WRITTEN[write.kind], write.namespace, write.name, write.patch)
        self._watches[write.namespace, write.kind].put(written)

    async def links(self, app: App) -> Links:
        ingresses, routes, gateways = await asyncio.gather(
            self._optional(INGRESS, app.namespace),
            self._optional(HTTP_ROUTE, app.namespace),
            self._optional(GATEWAY, app.namespace),
        )

        def link(service: str, called: str) -> str | None:
            return app.links.get(called) or best_link(service, ingresses, routes, gateways)

        return Links(link(app.target.service, "production"), link(app.target.preview, "preview"))

    async def _present(self, kind: Kind, namespace: str, called: str) -> Json | None:
        """None when somebody deleted it: what is not there must not keep anybody from going back to what is."""
        try:
            return await self._api.get(kind, namespace, called)
        except Missing:
            return None

    async def _autoscaled(self, namespace: str) -> frozenset[str] | None:
        """None while it cannot be told: whoever goes back does not need to know."""
        try:
            autoscalers = await self._optional(AUTOSCALER, namespace)
        except ClusterError:
            return None
        targets = [item["spec"]["scaleTargetRef"] for item in autoscalers]
        return frozenset(target["name"] for target in targets if target["kind"] == DEPLOYMENT.name)

    async def _optional(self, kind: Kind, namespace: str) -> list[Json]:
        """What is nice to know: nothing where the kind is not served or may not be read."""
        try:
            return (await self._api.list(kind, namespace)).items
        except (Missing, Forbidden):
            return []


def _alive(pods: Iterable[Json]) -> list[Json]:
    return [pod for pod in pods if not is_over(pod)]


def _written(wanted: Selector) -> str:
    """As a query; without the hash, which is another one when the same pods were restarted."""
    return ",".join(f"{key}={value}" for key, value in wanted.items() if key != HASH)
