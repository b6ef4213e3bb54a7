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
from bot.clusters.errors import ClusterError, Gone

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
        before, self.objects = self.objects, {item["metadata"]["name"]: item for item in listing.items}
        self._version = listing.resource_version
        self.trouble = None
        self.listed.set()
        if {name: _version(item) for name, item in before.items()} != {
            name: _version(item) for name, item in self.objects.items()
        }:
            self._changed()

    async def _follow(self) -> None:
        async for event in self._api.watch(self._kind, self._namespace, self._version or ""):
            seen = event["object"]
            self._version = seen["metadata"]["resourceVersion"]
            self.trouble, self._heard = None, True
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "DELETED":
                self.objects.pop(seen["metadata"]["name"], None)
            else:
                self.put(seen)
            self._changed()


def _version(seen: Json) -> int:
    return _number(seen["metadata"].get("resourceVersion"))


def _number(version: str | None) -> int:
    """Of a resourceVersion: they are ordered within one kind and cluster, officially since Kubernetes 1.35."""
    return int(version) if version and version.isdecimal() else 0
