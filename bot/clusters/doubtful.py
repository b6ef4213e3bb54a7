"""Reads what a look can do without: what cannot be read is a doubt more, and the look decides whether that counts."""

from bot.clusters.api import Api, Json, Kind
from bot.clusters.errors import ClusterError, Malformed, Missing
from bot.clusters.shape import sound


async def present(api: Api, kind: Kind, namespace: str, called: str, doubts: list[ClusterError]) -> Json | None:
    """None when somebody deleted it: what is not there must not keep anybody from going back to what is.

    None as well, and a doubt more, when it cannot be told.
    """
    try:
        return sound(kind, await api.get(kind, namespace, called))
    except Missing:
        return None
    except ClusterError as error:
        doubts.append(error)
        return None


async def listed(api: Api, kind: Kind, namespace: str, labels: str, doubts: list[ClusterError]) -> list[Json]:
    """Those that can be read, and a doubt more when there are others."""
    found: list[Json] = []
    try:
        for item in (await api.list(kind, namespace, labels=labels)).items:
            try:
                found.append(sound(kind, item))
            except Malformed as error:
                doubts.append(error)
    except ClusterError as error:
        doubts.append(error)
    return found
