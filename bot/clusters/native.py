"""Plain Kubernetes: reads an app's Deployments, Services, pods and EndpointSlices, and sends what a view planned."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from bot.clusters import adoption
from bot.clusters.addresses import inside, optional, read_links
from bot.clusters.api import (
    AUTOSCALER,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    POD,
    SERVICE,
    Api,
    Json,
    Kind,
)
from bot.clusters.application import application_of
from bot.clusters.argocd import keeper, keeps_image
from bot.clusters.cluster import LABEL, Links, Outside, Start, Write
from bot.clusters.doubtful import listed, present
from bot.clusters.errors import ClusterError, Malformed, Missing
from bot.clusters.reading import HASH, SERVICE_NAME, Selector, is_over, name, replicas
from bot.clusters.shape import all_sound, sound
from bot.clusters.view import NativeView
from bot.clusters.watches import Watches
from bot.release.app import App
from bot.release.record import Phase, Release
from bot.release.snapshot import Traffic

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
        self._watches = Watches(api, (app.namespace for app in apps), WATCHED, changed)

    async def follow(self) -> None:
        """Keep the cache current, until cancelled."""
        await self._watches.run()

    @property
    def trouble(self) -> str | None:
        """Why nothing is heard of the cluster at the moment; None while any of its namespaces is listened to."""
        return self._watches.trouble

    async def start(self, app: App) -> Start:
        found = await self.found(app)
        begun = adoption.start(app, found, self._store_id)
        idle = next(slot for slot in found.slots if name(slot) == begun.slot)
        kept = keeps_image(idle, app.native.container, await application_of(self._api, idle))
        return replace(
            begun,
            unheard=self._watches.forbidden(app.namespace),
            put_back="" if kept is None else str(kept),
            kept_by=keeper(idle),
        )

    async def found(self, app: App) -> adoption.Found:
        """The app's objects, read afresh. Raises `Missing` with the fix when one is not there."""
        target = app.native
        (service, preview, first, second), (pods, slices) = await asyncio.gather(
            asyncio.gather(
                self._if_there(SERVICE, app.namespace, target.service),
                self._if_there(SERVICE, app.namespace, target.preview),
                self._if_there(DEPLOYMENT, app.namespace, target.slots[0]),
                self._if_there(DEPLOYMENT, app.namespace, target.slots[1]),
            ),
            asyncio.gather(
                self._api.list(POD, app.namespace),
                self._api.list(ENDPOINT_SLICE, app.namespace, labels=f"{SERVICE_NAME}={target.service}"),
            ),
        )
        service, preview, slots = adoption.complete(app, service, preview, (first, second))
        alive = _alive(all_sound(POD, pods.items))
        return adoption.Found(service, preview, slots, alive, all_sound(ENDPOINT_SLICE, slices.items))

    def seen(self, app: App, release: Release) -> NativeView | None:
        """None as well while a watch is interrupted: what is cached may be long over."""
        heard = self._watches.heard(app.namespace)
        if heard is None:
            return None
        services, deployments, pods, slices = heard
        if app.native.service not in services or app.native.preview not in services:
            return None
        return NativeView(
            app,
            release,
            service=services[app.native.service],
            preview=services[app.native.preview],
            slots=[deployments[slot] for slot in app.native.slots if slot in deployments],
            pods=_alive(pods.values()),
            slices=list(slices.values()),
            autoscaled=self._autoscalers.get(app.namespace),
            store_id=self._store_id,
            read_at=self._now(),
            fresh=False,
        )

    async def look(self, app: App, release: Release) -> NativeView:
        """Read everything side by side, in one round trip; the look's age counts from before the first read.

        What is malformed, refused or late is an error, but where nobody needs it: see `_knows_the_way_back`.
        """
        read_at, target, doubts = self._now(), app.native, list[ClusterError]()
        both = f"{SERVICE_NAME} in ({target.service},{target.preview})"
        (service, preview, first, second), (slices, candidates, previous, autoscaled) = await asyncio.gather(
            asyncio.gather(
                self._api.get(SERVICE, app.namespace, target.service),
                present(self._api, SERVICE, app.namespace, target.preview, doubts),
                present(self._api, DEPLOYMENT, app.namespace, target.slots[0], doubts),
                present(self._api, DEPLOYMENT, app.namespace, target.slots[1], doubts),
            ),
            asyncio.gather(
                listed(self._api, ENDPOINT_SLICE, app.namespace, both, doubts),
                listed(self._api, POD, app.namespace, f"{LABEL}={release.label}", doubts),
                listed(self._api, POD, app.namespace, _written(release.previous.widest), doubts),
                self._autoscaled(app.namespace, wanted=release.phase is Phase.STAGING),
            ),
        )
        slots = [slot for slot in (first, second) if slot is not None]
        if release.phase in {Phase.READY, Phase.PROMOTING} and len({replicas(slot) for slot in slots}) > 1:
            autoscaled = await self._autoscaled(app.namespace)
        view = NativeView(
            app,
            release,
            service=sound(SERVICE, service),
            preview=preview,
            slots=slots,
            pods=_alive({name(pod): pod for pod in (*candidates, *previous)}.values()),
            slices=slices,
            autoscaled=autoscaled,
            store_id=self._store_id,
            read_at=read_at,
            fresh=True,
        )
        if doubts and not _knows_the_way_back(view):
            raise doubts[0]
        self._autoscalers[app.namespace] = autoscaled
        self._watches.put(app.namespace, SERVICE, (service, preview))
        self._watches.put(app.namespace, DEPLOYMENT, slots)
        return view

    async def send(self, write: Write) -> None:
        kind = WRITTEN[write.kind]
        written = await self._api.patch(kind, write.namespace, write.name, write.patch)
        # It is written, whatever became of the answer; the watch tells what it was.
        with suppress(Malformed):
            self._watches.put(write.namespace, kind, (sound(kind, written),))

    async def outside(self, app: App, newest: Release | None) -> Outside | None:  # noqa: ARG002 - as others know it
        """Never: which of two Deployments is meant to be released next, only its owner knows."""
        return None

    async def links(self, app: App) -> Links:
        return await read_links(self._api, app, app.native.service, app.native.preview)

    async def preview_inside(self, app: App) -> str:
        return inside(sound(SERVICE, await self._api.get(SERVICE, app.namespace, app.native.preview)))

    async def active_inside(self, app: App) -> str:
        return inside(sound(SERVICE, await self._api.get(SERVICE, app.namespace, app.native.service)))

    async def _if_there(self, kind: Kind, namespace: str, called: str) -> Json | None:
        """None when nobody has made it, or somebody deleted it."""
        try:
            return sound(kind, await self._api.get(kind, namespace, called))
        except Missing:
            return None

    async def _autoscaled(self, namespace: str, *, wanted: bool = True) -> frozenset[str] | None:
        """None while it cannot be told: whoever goes back does not need to know.

        Asked for only while it decides something: when a slot is filled, or has to grow as large as the other.
        """
        if not wanted:
            return self._autoscalers.get(namespace)
        try:
            autoscalers = all_sound(AUTOSCALER, await optional(self._api, AUTOSCALER, namespace))
        except ClusterError:
            return None
        targets = [item["spec"]["scaleTargetRef"] for item in autoscalers]
        return frozenset(target["name"] for target in targets if target["kind"] == DEPLOYMENT.name)


def _knows_the_way_back(view: NativeView) -> bool:
    """What is malformed, refused or late blocks a promotion, and never a rollback: then the Service and ready pods of
    the previous version are all that is needed. All of its pods, if it was started anew: a live side that cannot be
    read is not an empty one.
    """
    release, seen = view.release, view.snapshot
    carries = seen.previous.complete if release.retired else seen.previous.ready > 0
    return release.phase is Phase.REVERTING and seen.traffic is Traffic.CANDIDATE and carries


def _alive(pods: Iterable[Json]) -> list[Json]:
    return [pod for pod in pods if not is_over(pod)]


def _written(wanted: Selector) -> str:
    """As a query; without the hash, which is another one when the same pods were restarted."""
    return ",".join(f"{key}={value}" for key, value in wanted.items() if key != HASH)
