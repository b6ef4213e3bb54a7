"""Which repository a bare tag belongs to: the one that the file names, else that of what is live."""

import asyncio
import contextlib

from bot.clusters.cluster import Cluster
from bot.clusters.errors import ClusterError
from bot.release.app import App
from bot.release.errors import Refused
from bot.release.image import parse

SOON = 0.7
"""Seconds: who types waits for suggestions no longer than a second."""


class Repositories:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._live: dict[str, str] = {}

    async def of(self, app: App) -> str:
        """Raises `ClusterError` when it cannot be told, `Refused` when what is live is no image by its name."""
        if app.image:
            return app.image
        start = await self._cluster.start(app)
        self._live[app.name] = parse(start.live.image).name
        return self._live[app.name]

    async def at_once(self, app: App) -> str:
        """As it was when a release was last asked for; "" when it cannot be told in a moment."""
        known = app.image or self._live.get(app.name, "")
        if not known:
            with contextlib.suppress(ClusterError, Refused, TimeoutError):
                async with asyncio.timeout(SOON):
                    return await self.of(app)
        return known
