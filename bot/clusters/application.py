"""Reads the Argo CD Application that keeps an object, where that is allowed."""

from bot.clusters.api import APPLICATION, Api, Json
from bot.clusters.argocd import application_place
from bot.clusters.errors import ClusterError, Forbidden, Missing


class Applications:
    """By app, as they were read last. Without one the mark on the object decides alone."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, Json | None] = {}

    def forget(self, app: str) -> None:
        """Whether it heals itself may have been changed."""
        self._known.pop(app, None)

    def last(self, app: str) -> Json | None:
        return self._known.get(app)

    async def of(self, app: str, item: Json) -> Json | None:
        """None for an object that no Application keeps, and for one that may not be read. One that cannot be read right
        now is asked for again.
        """
        place = application_place(item)
        if place is None or app in self._known:
            return self._known.get(app)
        try:
            self._known[app] = await self._api.get(APPLICATION, *place)
        except (Forbidden, Missing):
            self._known[app] = None
        except ClusterError:
            return None
        return self._known[app]


async def application_of(api: Api, item: Json) -> Json | None:
    """As it is now."""
    return await Applications(api).of("", item)
