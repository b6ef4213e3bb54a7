"""When the selectors of Services changed, and how Rollouts stand: told by watches that nothing delays."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from benchmarks.stage import PATIENCE, Json

SERVICES, ROLLOUTS = "/api/v1/services", "/apis/argoproj.io/v1alpha1/rollouts"


class Seen:
    """Everything of the whole cluster, by namespace."""

    def __init__(self) -> None:
        self.rollouts: dict[str, Json] = {}
        self._selectors: dict[tuple[str, str], Json] = {}
        self._changed: list[tuple[str, str, float]] = []
        self._last = 0.0
        self._news = asyncio.Event()

    async def switched(self, namespace: str, service: str, after: float, *, within: float = PATIENCE) -> float:
        """When its selector changed first after that moment, by the loop's clock. May raise TimeoutError."""
        async with asyncio.timeout(within):
            while True:
                for changed in self._changed:
                    if changed[:2] == (namespace, service) and changed[2] > after:
                        return changed[2]
                await self._more()

    async def rollout(self, namespace: str, holds: Callable[[Json], object]) -> Json:
        """The one of that namespace, once this is true of it."""
        async with asyncio.timeout(PATIENCE):
            while namespace not in self.rollouts or not holds(self.rollouts[namespace]):
                await self._more()
        return self.rollouts[namespace]

    async def quiet(self, seconds: float) -> None:
        """Until no Service and no Rollout has changed for so long."""
        loop = asyncio.get_running_loop()
        while (left := self._last + seconds - loop.time()) > 0:  # noqa: ASYNC110 - silence is no event
            await asyncio.sleep(left)

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def follow(self, api: aiohttp.ClientSession, path: str) -> None:
        async with api.get(path) as answer:
            listed = await answer.json()
        for item in listed["items"]:
            self._takes(path, item)
        query = {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
        async with api.get(path, params=query, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            async for line in answer.content:
                self._takes(path, json.loads(line)["object"])
        raise RuntimeError(f"the watch on {path} has ended")

    def _takes(self, path: str, item: Json) -> None:
        self._last = asyncio.get_running_loop().time()
        metadata = item["metadata"]
        if path == ROLLOUTS:
            self.rollouts[metadata["namespace"]] = item
        else:
            key, selector = (metadata["namespace"], metadata["name"]), item["spec"].get("selector") or {}
            if self._selectors.get(key) != selector:
                self._selectors[key] = selector
                self._changed.append((*key, self._last))
        self._news.set()


@asynccontextmanager
async def seen(api: aiohttp.ClientSession) -> AsyncIterator[Seen]:
    made = Seen()
    following = [asyncio.create_task(made.follow(api, path)) for path in (SERVICES, ROLLOUTS)]
    try:
        yield made
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
