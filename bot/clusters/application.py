"""Reads the Argo CD Application that keeps an object, where that is allowed."""

from contextlib import suppress

from bot.clusters.api import APPLICATION, Api, Json
from bot.clusters.argocd import application_place
from bot.clusters.errors import ClusterError


async def application_of(api: Api, item: Json) -> Json | None:
    """None for an object that no Application keeps, and for one that may not or cannot be read: then the mark on the
    object decides alone.
    """
    place = application_place(item)
    if place is None:
        return None
    with suppress(ClusterError):
        return await api.get(APPLICATION, *place)
    return None
