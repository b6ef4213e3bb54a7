"""Everything that a collection has been, moment by moment, for claims such as "never without endpoints"."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from watching import event_stream

Json = dict[str, Any]


class Recording:
    """`moments[0]` is how the collection was at first, each further one how it was after one more event."""

    def __init__(self, session: aiohttp.ClientSession, path: str, selectors: dict[str, str]) -> None:
        self._session = session
        self._path = path
        self._selectors = selectors
        self._items: dict[str, Json] = {}
        self._heard = asyncio.Event()
        self.moments: list[list[Json]] = []

    async def so_far(self, within: float = 10) -> list[list[Json]]:
        """The moments up to now: returns when all has been heard that a list shows at the time of the call."""
        async with asyncio.timeout(within):
            wanted = {_name(item): _version(item) for item in (await self._list())["items"]}
            while any(self._version_of(name) < version for name, version in wanted.items()) or (
                self._items.keys() - wanted.keys()
            ):
                self._heard.clear()
                await self._heard.wait()
        return self.moments

    async def start(self) -> str:
        """The resourceVersion to follow from."""
        listed = await self._list()
        self._items = {_name(item): item for item in listed["items"]}
        self.moments.append([*self._items.values()])
        version: str = listed["metadata"]["resourceVersion"]
        return version

    async def follow(self, version: str) -> None:
        params = self._selectors | {"watch": "true", "resourceVersion": version}
        async with event_stream(self._session, self._path, params) as lines:
            async for line in lines:
                event = json.loads(line)
                item = event["object"]
                if event["type"] == "DELETED":
                    self._items.pop(_name(item), None)
                else:
                    self._items[_name(item)] = item
                self.moments.append([*self._items.values()])
                self._heard.set()

    async def _list(self) -> Json:
        async with self._session.get(self._path, params=self._selectors, raise_for_status=True) as answer:
            listed: Json = await answer.json()
            return listed

    def _version_of(self, name: str) -> int:
        return _version(self._items[name]) if name in self._items else 0


@asynccontextmanager
async def recorded(session: aiohttp.ClientSession, path: str, **selectors: str) -> AsyncIterator[Recording]:
    """Records while the block runs; `selectors` are labelSelector and fieldSelector."""
    recording = Recording(session, path, selectors)
    following = asyncio.create_task(recording.follow(await recording.start()))
    try:
        yield recording
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _name(item: Json) -> str:
    return str(item["metadata"]["name"])


def _version(item: Json) -> int:
    return int(item["metadata"]["resourceVersion"])
