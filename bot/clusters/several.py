"""Several clusters as one: each app lives on its own, and what happens to one cluster concerns its own apps only."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from bot.clusters.cluster import Cluster, Links, Outside, Start, View, Write
from bot.release.app import App
from bot.release.record import Release


class Followed(Cluster, Protocol):
    """One cluster, with a cache that has to be kept."""

    async def follow(self) -> None:
        """Keep what `seen` answers current, until cancelled."""

    @property
    def trouble(self) -> str | None:
        """Why nothing is heard of it at the moment; None while something is."""


class SeveralClusters:
    """`Cluster`, by the names that `App.cluster` uses."""

    def __init__(self, clusters: Mapping[str, Followed]) -> None:
        self._clusters = clusters

    @property
    def troubles(self) -> Mapping[str, str | None]:
        """By cluster, why nothing is heard of it at the moment."""
        return {name: cluster.trouble for name, cluster in self._clusters.items()}

    async def follow(self) -> None:
        """Keep all caches current, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for cluster in self._clusters.values():
                group.create_task(cluster.follow())

    async def start(self, app: App) -> Start:
        return await self._clusters[app.cluster].start(app)

    def seen(self, app: App, release: Release) -> View | None:
        return self._clusters[app.cluster].seen(app, release)

    async def look(self, app: App, release: Release) -> View:
        return await self._clusters[app.cluster].look(app, release)

    async def send(self, write: Write) -> None:
        await self._clusters[write.cluster].send(write)

    async def outside(self, app: App, newest: Release | None) -> Outside | None:
        return await self._clusters[app.cluster].outside(app, newest)

    async def links(self, app: App) -> Links:
        return await self._clusters[app.cluster].links(app)

    async def preview_inside(self, app: App) -> str:
        return await self._clusters[app.cluster].preview_inside(app)

    async def active_inside(self, app: App) -> str:
        return await self._clusters[app.cluster].active_inside(app)
