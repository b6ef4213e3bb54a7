"""Two addresses for the probes of Kubernetes and Docker: `/livez` and `/readyz`, named as the API server's own are.

Alive means that the controller's loop comes round when it is rung: one that hangs or has ended is cured by a restart.
Ready means that people can use the bot: Discord's gateway is open and at least one cluster is being listened to; what
is missing then comes back by itself, and a restart would cure nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web

TURNS_WITHIN = 5.0
"""Seconds."""


@asynccontextmanager
async def health(
    address: tuple[str, int] | None, turn: Callable[[], Awaitable[None]], parts: Callable[[], Mapping[str, str | None]]
) -> AsyncIterator[None]:
    """Serves at `address` (host, port) while it is open; None serves nothing. Raises `OSError` if it cannot.

    `turn` returns when the loop has come round. `parts` tells of each part why it is not there, None if it is: Discord
    by the name `Discord`, all others are clusters.
    """
    if address is None:
        yield
        return

    async def livez(_: web.Request) -> web.Response:
        try:
            await asyncio.wait_for(turn(), TURNS_WITHIN)
        except TimeoutError:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="the loop does not turn\n")
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        found = parts()
        lines = [f"[{'-' if why else '+'}] {name}{f': {why}' if why else ''}\n" for name, why in found.items()]
        clusters = [why is None for name, why in found.items() if name != "Discord"]
        ready = found["Discord"] is None and any(clusters)
        return web.Response(status=HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, text="".join(lines))

    served = web.Application()
    served.add_routes([web.get("/livez", livez), web.get("/readyz", readyz)])
    runner = web.AppRunner(served, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, *address).start()
        yield
    finally:
        await runner.cleanup()
