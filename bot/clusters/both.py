"""The apps of one cluster, each by its own backend: plain Deployments and Services, or Argo Rollouts."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from bot.clusters.api import Api
from bot.clusters.argo import ArgoCluster
from bot.clusters.cluster import Links, Outside, Start, View, Write
from bot.clusters.native import NativeCluster
from bot.release.app import App, Argo
from bot.release.record import Release


class BothBackends:
    """`Cluster` for apps of either kind. `changed` is called with a namespace whenever something in it changes.

    `store_id` is what the active Services of the apps are claimed for. Only backends that have apps are followed.
    """

    def __init__(
        self,
        api: Api,
        apps: Sequence[App],
        now: Callable[[], datetime],
        changed: Callable[[str], None],
        store_id: str,
    ) -> None:
        on_argo = [app for app in apps if isinstance(app.target, Argo)]
        native = [app for app in apps if app not in on_argo]
        self._by_app: dict[str, NativeCluster | ArgoCluster] = {}
        for some, backend in ((native, NativeCluster), (on_argo, ArgoCluster)):
            if some:
                made = backend(api, some, now, changed, store_id)
                self._by_app |= dict.fromkeys((app.name for app in some), made)

    @property
    def _used(self) -> list[NativeCluster | ArgoCluster]:
        return list(dict.fromkeys(self._by_app.values()))

    @property
    def trouble(self) -> str | None:
        return next((backend.trouble for backend in self._used if backend.trouble), None)

    async def follow(self) -> None:
        """Keep the caches current, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for backend in self._used:
                group.create_task(backend.follow())

    async def start(self, app: App) -> Start:
        return await self._by_app[app.name].start(app)

    def seen(self, app: App, release: Release) -> View | None:
        return self._by_app[app.name].seen(app, release)

    async def look(self, app: App, release: Release) -> View:
        return await self._by_app[app.name].look(app, release)

    async def send(self, write: Write) -> None:
        await self._by_app[write.app].send(write)

    async def outside(self, app: App, newest: Release | None) -> Outside | None:
        return await self._by_app[app.name].outside(app, newest)

    async def links(self, app: App) -> Links:
        return await self._by_app[app.name].links(app)

    async def preview_inside(self, app: App) -> str:
        return await self._by_app[app.name].preview_inside(app)

    async def active_inside(self, app: App) -> str:
        return await self._by_app[app.name].active_inside(app)
