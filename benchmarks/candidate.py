"""What gates ask, as a process of its own: a candidate and a Prometheus that take their time."""

import asyncio
import json
import sys

from aiohttp import web

TAKES = 0.05
"""Seconds for an answer."""
SAMPLE = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [0, "0.004"]}]}}


async def serve() -> None:
    """Prints its `url`, as JSON on one line, and serves until its standard input ends.

    What is asked for under `/hold` is answered once somebody has asked for `/go`; `/held` counts who waits.
    """
    go, held = asyncio.Event(), 0

    async def health(_: web.Request) -> web.Response:
        await asyncio.sleep(TAKES)
        return web.json_response({"status": "ok"})

    async def query(_: web.Request) -> web.Response:
        await asyncio.sleep(TAKES)
        return web.json_response(SAMPLE)

    async def hold(request: web.Request) -> web.Response:
        nonlocal held
        held += 1
        try:
            await go.wait()
        finally:
            held -= 1
        return web.json_response(SAMPLE if request.path.endswith("query") else {"status": "ok"})

    async def count(_: web.Request) -> web.Response:
        return web.json_response(held)

    async def let_go(_: web.Request) -> web.Response:
        go.set()
        return web.json_response(held)

    app = web.Application()
    routes = {"/healthz": health, "/api/v1/query": query, "/hold/{what:.*}": hold, "/held": count, "/go": let_go}
    app.add_routes([web.get(path, handler) for path, handler in routes.items()])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    host, port = runner.addresses[0][:2]
    sys.stdout.write(json.dumps({"url": f"http://{host}:{port}"}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
