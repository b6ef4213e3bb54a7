"""Sees every change of a release's objects, for waiting until something holds and for claims about every moment."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from mochiapp import ACTIVE, COLLECTIONS, HASH
from state import State

from watching import event_stream

Json = dict[str, Any]


class Witness:
    """Watches all collections of one namespace. Each is watched on its own: an event of one may come before an earlier
    event of another."""

    def __init__(self, api: aiohttp.ClientSession, namespace: str) -> None:
        self.live: list[str] = []
        """Every pod hash that the active Service has ever selected, in order; "" where its selector had none."""
        self.rollouts: list[Json] = []
        """Every Rollout that there has been, in order."""
        self._api = api
        self._paths = {name: "/" + path.format(namespace=namespace) for name, path in COLLECTIONS.items()}
        self._items: dict[str, dict[str, Json]] = {name: {} for name in COLLECTIONS}
        self._heard = asyncio.Event()

    async def until(self, holds: Callable[[State], object], *, within: float = 10) -> State:
        """The first state in which `holds` is true; AssertionError after `within` seconds, with the last one."""
        try:
            async with asyncio.timeout(within):
                while True:
                    self._heard.clear()
                    if self._items["rollouts"] and holds(self._state()):
                        return self._state()
                    await self._heard.wait()
        except TimeoutError:
            raise AssertionError(
                f"It did not come to that within {within:g} s. Last seen:\n{self._summary()}"
            ) from None

    async def has_seen(self, written: Json, *, within: float = 10) -> None:
        """Returns when it knows the object as it was written, or as it became later."""
        collection = f"{written['kind'].lower()}s"
        name, version = written["metadata"]["name"], int(written["metadata"]["resourceVersion"])

        def known() -> bool:
            found = self._items[collection].get(name)
            return found is not None and int(found["metadata"]["resourceVersion"]) >= version

        async with asyncio.timeout(within):
            while not known():
                self._heard.clear()
                await self._heard.wait()

    async def has_none(self, *collections: str, within: float = 10) -> None:
        """Returns when these collections are empty."""
        async with asyncio.timeout(within):
            while any(self._items[each] for each in collections):
                self._heard.clear()
                await self._heard.wait()

    async def follow(self, collection: str) -> None:
        path = self._paths[collection]
        async with self._api.get(path, raise_for_status=True) as answer:
            listed = await answer.json()
        for item in listed["items"]:
            self._takes(collection, "ADDED", item)
        version = listed["metadata"]["resourceVersion"]
        async with event_stream(self._api, path, {"watch": "true", "resourceVersion": version}) as lines:
            async for line in lines:
                event = json.loads(line)
                self._takes(collection, event["type"], event["object"])

    def _takes(self, collection: str, what: str, item: Json) -> None:
        name = item["metadata"]["name"]
        if what == "DELETED":
            self._items[collection].pop(name, None)
        else:
            self._items[collection][name] = item
        if collection == "rollouts":
            self.rollouts.append(item)
        if collection == "services" and name == ACTIVE:
            pod_hash = item["spec"]["selector"].get(HASH, "")
            if not self.live or self.live[-1] != pod_hash:
                self.live.append(pod_hash)
        self._heard.set()

    def _state(self) -> State:
        [rollout] = self._items["rollouts"].values()
        rest = {name: tuple(items.values()) for name, items in self._items.items() if name != "rollouts"}
        return State(rollout=rollout, **rest)

    def _summary(self) -> str:
        if not self._items["rollouts"]:
            return "no Rollout"
        state = self._state()
        sets = {
            each["metadata"]["name"]: each["status"] | each["metadata"]["annotations"] for each in state.replicasets
        }
        seen = {"live": self.live, "previewed": state.previewed, "status": state.status, "replicasets": sets}
        return json.dumps(seen, indent=1)


@asynccontextmanager
async def witness(api: aiohttp.ClientSession, namespace: str) -> AsyncIterator[Witness]:
    made = Witness(api, namespace)
    following = [asyncio.create_task(made.follow(collection)) for collection in COLLECTIONS]
    try:
        yield made
    finally:
        for task in following:
            task.cancel()
        ended = await asyncio.gather(*following, return_exceptions=True)
    # A watch that has ended would have made every later moment unseen.
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
