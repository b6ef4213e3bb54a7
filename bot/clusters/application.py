"""Reads the Argo CD Application that keeps an object, where that is allowed."""

import asyncio

from bot.clusters.api import APPLICATION, Api, Json
from bot.clusters.argocd import application_place
from bot.clusters.errors import ClusterError, Forbidden, Missing


class Applications:
    """By app, as they were read last. Without one the mark on the object decides alone."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, Json | None] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._late: set[str] = set()
        """Apps of which it came when nobody waited for it any more, and has not been used yet."""

    def forget(self, app: str) -> None:
        """Whether it heals itself may have been changed."""
        if app not in self._late:
            self._known.pop(app, None)

    def last(self, app: str) -> Json | None:
        return self._known.get(app)

    async def of(self, app: str, item: Json, within: float | None = None) -> Json | None:
        """None for an object that no Application keeps, and for one that may not be read. One that cannot be read right
        now is asked for again, and one that takes longer than so many seconds is there the next time.
        """
        place = application_place(item)
        if place is not None and app not in self._known:
            if app not in self._reading:
                self._reading[app] = asyncio.create_task(self._read(app, place), name=f"Application of {app}")
            reading = self._reading[app]
            await asyncio.wait({reading}, timeout=within)
            if reading.done():
                reading.result()
            else:
                self._late.add(app)
            return self._known.get(app)
        self._late.discard(app)
        return self._known.get(app)

    async def _read(self, app: str, place: tuple[str, str]) -> None:
        try:
            self._known[app] = await self._api.get(APPLICATION, *place)
        except (Forbidden, Missing):
            self._known[app] = None
        except ClusterError:
            self._late.discard(app)
        finally:
            del self._reading[app]


async def application_of(api: Api, item: Json) -> Json | None:
    """As it is now."""
    return await Applications(api).of("", item)
