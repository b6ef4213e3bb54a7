"""What a fault does to one request: before it is served, and to its answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiohttp import web

from sandbox.cluster.errors import ApiError
from sandbox.cluster.faults import Effect, Fault

Json = dict[str, Any]


async def before(fault: Fault, request: web.Request, stopping: asyncio.Event) -> web.StreamResponse | None:
    """None: go on and serve it."""
    match fault.effect:
        case Effect.ANSWER:
            return on_order(fault)
        case Effect.PAGE:
            return web.Response(text=fault.body, status=fault.status, content_type="text/html")
        case Effect.RESET:
            return cut(request)
        case Effect.SILENCE:
            await stopping.wait()
            return cut(request)
        case Effect.HOLD if fault.seconds:
            await asyncio.sleep(fault.seconds)
        case Effect.HOLD:
            await fault.released.wait()
    return None


async def after(fault: Fault, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """What comes of the answer to a request that was served."""
    match fault.effect:
        case Effect.LOSE:
            return cut(request)
        case Effect.AFTERWARDS:
            return on_order(fault)
        case Effect.TRUNCATE | Effect.CUT if isinstance(response, web.Response):
            return await _cut_short(request, response, chunked=fault.effect is Effect.CUT)
        case Effect.TRICKLE if isinstance(response, web.Response):
            return await _trickle(request, response, fault.seconds)
    return response


def on_order(fault: Fault) -> web.Response:
    error = ApiError(fault.status, "", f"fault: {fault.status} on order")
    return web.json_response(error.body(), status=fault.status, headers=fault.headers)


def cut(request: web.Request) -> web.Response:
    """Ends the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _cut_short(request: web.Request, response: web.Response, *, chunked: bool) -> web.StreamResponse:
    whole = response.body if isinstance(response.body, bytes) else b""
    half = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    if chunked:
        half.enable_chunked_encoding()
    else:
        half.content_length = len(whole)
    await half.prepare(request)
    await half.write(whole[: len(whole) // 2])
    with suppress(ConnectionResetError):
        await half.drain()
    if request.transport is not None:
        request.transport.close()
    return half


async def _trickle(request: web.Request, response: web.Response, seconds: float) -> web.StreamResponse:
    whole = response.body if isinstance(response.body, bytes) else b""
    slow = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    slow.content_length = len(whole)
    await slow.prepare(request)
    with suppress(ConnectionResetError):  # nobody waits any more
        for at in range(len(whole)):
            await slow.write(whole[at : at + 1])
            await asyncio.sleep(seconds)
    return slow
