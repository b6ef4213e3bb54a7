"""Follows the API as it changes: raw watches, and waiting until something holds, with a deadline and no sleeping."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

Json = dict[str, Any]


@asynccontextmanager
async def event_stream(
    api: aiohttp.ClientSession, path: str, params: dict[str, str], *, silence: float = 300
) -> AsyncIterator[aiohttp.StreamReader]:
    """The lines of a watch, one JSON event each; ends with the server, or with TimeoutError after `silence` seconds."""
    patience = aiohttp.ClientTimeout(total=None, sock_read=silence)
    async with api.get(path, params=params, timeout=patience, raise_for_status=True) as answer:
        try:
            yield answer.content
        finally:
            # Closing TLS politely takes longer than a test's loop lives, and pytest reports the open socket.
            if answer.connection is not None and answer.connection.transport is not None:
                answer.connection.transport.abort()


async def until(
    api: aiohttp.ClientSession,
    path: str,
    holds: Callable[[list[Json]], object],
    *,
    within: float = 15,
    **selectors: str,
) -> list[Json]:
    """The objects of a collection at the first moment at which `holds` is true of them; AssertionError after `within`
    seconds, with the last state. `selectors` are labelSelector and fieldSelector."""
    state: dict[str, Json] = {}
    try:
        async with asyncio.timeout(within):
            async with api.get(path, params=selectors, raise_for_status=True) as answer:
                listed = await answer.json()
            state = {item["metadata"]["name"]: item for item in listed["items"]}
            if holds([*state.values()]):
                return [*state.values()]
            params = selectors | {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
            async with event_stream(api, path, params) as lines:
                async for line in lines:
                    event = json.loads(line)
                    name = event["object"]["metadata"]["name"]
                    if event["type"] == "DELETED":
                        state.pop(name, None)
                    else:
                        state[name] = event["object"]
                    if holds([*state.values()]):
                        return [*state.values()]
    except TimeoutError:
        seen = json.dumps([*state.values()], indent=1)
        raise AssertionError(f"{path} {selectors} did not get there within {within:g} s. Last seen:\n{seen}") from None
    raise AssertionError(f"The watch on {path} ended before the condition held.")
