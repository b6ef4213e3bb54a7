"""A copy of the objects of one kind in one namespace, kept current: list, then watch, for as long as the bot runs.

The client's own `watch.Watch` does not survive a 410: it goes on with the same resourceVersion and then raises. Here a
410 lists again and reports what changed or vanished meanwhile, a connection that falls silent is given up, and
after any other error the watch goes on from where it was. Before each new attempt there is a pause, which grows as long
as nothing is heard.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from bot.clusters.api import Api, Json, Kind
from bot.clusters.errors import ClusterError, Gone, Malformed
from bot.clusters.shape import all_sound, sound

log = structlog.get_logger()

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


class Watch:
    """`objects` by name. `changed` is called after every change."""

    def __init__(self, api: Api, kind: Kind, namespace: str, changed: Callable[[], None]) -> None:
        self._api = api
        self._kind = kind
        self._namespace = namespace
        self._changed = changed
        self._version: str | None = None
        self._heard = False
        self.objects: dict[str, Json] = {}
        self.listed = asyncio.Event()
        self.trouble: ClusterError | None = None
        """Why nothing is heard at the moment; None while the watch is healthy."""

    def put(self, seen: Json) -> None:
        """Take over an object that was read or written in another way, unless a newer one is known, or its end."""
        name = seen["metadata"]["name"]
        known = self.objects.get(name)
        if _version(seen) >= (_number(self._version) if known is None else _version(known)):
            self.objects[name] = seen

    async def run(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Until cancelled. `pause` waits so many seconds."""
        wait = FIRST_PAUSE
        while True:
            self._heard = False
            try:
                if self._version is None:
                    await self._list()
                await self._follow()
            except Gone:
                self._version = None
            except ClusterError as error:
                if self.trouble is None:
                    log.warning("watch interrupted", kind=self._kind.name, namespace=self._namespace, reason=str(error))
                self.trouble = error
            wait = FIRST_PAUSE if self._heard else wait
            await pause(wait)
            wait = min(2 * wait, LONGEST_PAUSE)

    async def _list(self) -> None:
        listing = await self._api.list(self._kind, self._namespace)
        items = all_sound(self._kind, listing.items)
        before, self.objects = self.objects, {item["metadata"]["name"]: item for item in items}
        self._version = listing.resource_version
        self.trouble = None
        self.listed.set()
        if {name: _version(item) for name, item in before.items()} != {
            name: _version(item) for name, item in self.objects.items()
        }:
            self._changed()

    async def _follow(self) -> None:
        async for event in self._api.watch(self._kind, self._namespace, self._version or ""):
            kind, seen = str(event["type"]), event["object"]
            if kind not in {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"}:
                self._version = None  # whatever it told, the next list has it
                raise Malformed(f"the watch of {self._kind.plural} tells of {kind[:50]}, which is unknown here")
            if kind != "BOOKMARK":
                sound(self._kind, seen)
            self._version = _resource_version(seen)
            self.trouble, self._heard = None, True
            if kind == "BOOKMARK":
                continue
            if kind == "DELETED":
                self.objects.pop(seen["metadata"]["name"], None)
            else:
                self.put(seen)
            self._changed()


def _resource_version(seen: Json) -> str:
    version = seen["metadata"]["resourceVersion"]
    if not isinstance(version, str):
        raise Malformed("the watch tells of a resourceVersion that is no text")
    return version


def _version(seen: Json) -> int:
    return _number(seen["metadata"].get("resourceVersion"))


def _number(version: str | None) -> int:
    """Of a resourceVersion: they are ordered within one kind and cluster, officially since Kubernetes 1.35."""
    return int(version) if version and version.isdecimal() else 0
