"""Discord's REST API, version 10, over simcord's routes."""

import asyncio
import hashlib
import json
import logging
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from aiohttp import BodyPartReader, web
from simcord.backend.errors import BackendError
from simcord.http import router

from sandbox.discord.environment import RemoteEnv
from sandbox.discord.faults import Fault, Faults
from sandbox.discord.gateway import Gateway

PREFIX = "/api/v10"
NONCE_SECONDS = 300.0
"""How long a nonce is remembered: "a few minutes" in Discord's documentation of Create Message."""

KEPT_CALLS = 10_000

CALLS_A_SECOND = 10
"""Per route and place, told to the bot and not enforced."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a multipart message, in the shape that simcord's routes read."""

    filename: str
    fp: BytesIO
    description: str | None


def answer(status: int, body: Any, **headers: str) -> web.Response:
    """A JSON answer. discord.py reads one only if its type has no parameter, and a 429 only if a proxy passed it on."""
    if body is None:
        return web.Response(status=204, headers=headers)
    if status >= web.HTTPBadRequest.status_code:
        headers["Via"] = "1.1 sandbox"
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json", headers=headers)


def _room(method: str, path: str) -> dict[str, str]:
    """What Discord tells of a rate limit that is far away. Told nothing, discord.py sends one call at a time."""
    bucket = hashlib.sha256(f"{method} {re.sub('[0-9]{15,}', ':id', path)}".encode()).hexdigest()[:32]
    left = {"Limit": str(CALLS_A_SECOND), "Remaining": str(CALLS_A_SECOND - 1), "Reset-After": "1.0", "Bucket": bucket}
    return {f"X-RateLimit-{name}": value for name, value in {**left, "Reset": f"{time.time() + 1:.3f}"}.items()}


class Rest:
    """Every call the bot makes over HTTP."""

    def __init__(self, env: RemoteEnv, gateway: Gateway, *, token: str, faults: Faults) -> None:
        self._env = env
        self._gateway = gateway
        self._token = token
        self._faults = faults
        self._nonces: dict[tuple[str, str], tuple[float, str]] = {}
        self._silence = asyncio.Event()
        self.calls: deque[tuple[str, str]] = deque(maxlen=KEPT_CALLS)
        """Method and path of the newest calls, whatever they were answered with."""
        self.application: dict[str, Any] = {}
        """What the developer portal says of the application that simcord does not."""
        self.gaps: list[str] = []
        """Calls that simcord does not know: the real Discord may well."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path.removeprefix(PREFIX)
        self.calls.append((request.method, path))
        fault = self._faults.take(request.method, path)
        if fault is not None and not fault.applied:
            return await self._failed(request, fault)
        response = await self._carry_out(request, path)
        self._env.noticed_request(request.method)
        return response if fault is None else await self._failed(request, fault)

    async def _failed(self, request: web.Request, fault: Fault) -> web.Response:
        self._env.changes.announce()
        if fault.silent:
            await request.read()
            await self._silence.wait()
        if fault.status is None or fault.silent:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        limited = fault.status == web.HTTPTooManyRequests.status_code
        waits = {"Retry-After": str(fault.retry_after)} if limited and fault.retry_after is not None else {}
        if fault.html:  # no `Via`: it never reached Discord
            page = f"<html><head><title>{fault.status}</title></head><body>cloudflare</body></html>"
            return web.Response(status=fault.status, text=page, content_type="text/html", headers=waits)
        if limited:
            body: dict[str, Any] = {"message": "You are being rate limited.", "global": fault.everywhere}
            return answer(fault.status, body | ({"retry_after": fault.retry_after} if waits else {}), **waits)
        return answer(fault.status, {"code": fault.code, "message": "arranged by a test"})

    def close(self) -> None:
        """Nobody waits for an answer any more that never comes."""
        self._silence.set()

    async def _carry_out(self, request: web.Request, path: str) -> web.Response:
        if not self._authorised(request, path):
            return answer(401, {"code": 0, "message": "401: Unauthorized"})
        try:
            body, files = await _payload(request)
        except ValueError as problem:
            return answer(400, {"code": 50109, "message": f"The request body contains invalid JSON: {problem}"})
        try:
            result = self._dispatch(request, path, body, files)
        except (router.RouteNotImplemented, router.UnsupportedField) as gap:
            self.gaps.append(gap.message)
            log.error(  # noqa: TRY400 - the sentence says it all
                "the sandbox has no answer: %s", gap.message
            )
            return answer(gap.status, gap.to_json())
        except BackendError as refusal:
            return answer(refusal.status, refusal.to_json())
        except (KeyError, TypeError, ValueError) as problem:
            log.warning("malformed call %s %s", request.method, path, exc_info=True)
            return answer(400, {"code": 50035, "message": f"Invalid Form Body: {problem}"})
        return answer(200, result, **_room(request.method, path))

    def _authorised(self, request: web.Request, path: str) -> bool:
        # Interaction answers and webhooks carry their own token in the path.
        carries_token = path.startswith(("/interactions/", "/webhooks/"))
        return carries_token or request.headers.get("Authorization") == f"Bot {self._token}"

    def _dispatch(self, request: web.Request, path: str, body: Any, files: list[Upload]) -> Any:
        method = request.method
        if method == "GET" and path in ("/gateway", "/gateway/bot"):
            limits = {"total": 1000, "remaining": 1000 - self._gateway.identified, "reset_after": 86_400_000}
            start = {"shards": 1, "session_start_limit": {**limits, "max_concurrency": 1}}
            return {"url": self._gateway.url} | (start if path == "/gateway/bot" else {})
        if path == "/applications/@me":
            path = "/oauth2/applications/@me"
        if files and (place := re.fullmatch(r"/channels/(\d+)/messages", path)):
            self._may_attach(int(place[1]))
        nonce = _enforced_nonce(method, path, body)
        if nonce is not None and (known := self._known_message(nonce)) is not None:
            return self._route("GET", f"{path}/{known}") | {"nonce": nonce[1]}
        result = self._route(
            method,
            path,
            json=body,
            params=dict(request.query),
            files=list(files),
            reason=unquote(request.headers["X-Audit-Log-Reason"]) if "X-Audit-Log-Reason" in request.headers else None,
        )
        if path == "/oauth2/applications/@me":
            return result | self.application
        if method == "GET" and "/reactions/" in path:
            return _page_of_users(result, request.query)
        if nonce is not None:
            self._nonces[nonce] = (time.monotonic(), result["id"])
            return result | {"nonce": nonce[1]}
        return result

    def _may_attach(self, channel_id: int) -> None:
        """To simcord everybody may; Discord refuses the whole message."""
        backend = self._env.backend
        channel = backend.get_channel(channel_id)
        backend.require_permissions(channel.guild_id, backend.bot_user.id, channel.id, "attach_files")

    def _route(self, method: str, path: str, **call: Any) -> Any:
        return router.dispatch(self._env.backend, method, path, **call)

    def _known_message(self, nonce: tuple[str, str]) -> str | None:
        now = time.monotonic()
        self._nonces = {key: kept for key, kept in self._nonces.items() if now - kept[0] < NONCE_SECONDS}
        return self._nonces[nonce][1] if nonce in self._nonces else None


def _enforced_nonce(method: str, path: str, body: Any) -> tuple[str, str] | None:
    if method == "POST" and path.endswith("/messages") and isinstance(body, Mapping):
        nonce = body.get("nonce")
        if nonce is not None and body.get("enforce_nonce"):
            return path, str(nonce)
    return None


def _page_of_users(users: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Who reacted comes in pages, by ascending id, 25 unless asked for more and never above 100; simcord gives all."""
    after, limit = int(query.get("after", 0)), min(int(query.get("limit", 25)), 100)
    return [user for user in sorted(users, key=lambda user: int(user["id"])) if int(user["id"]) > after][:limit]


async def _payload(request: web.Request) -> tuple[Any, list[Upload]]:
    if not request.content_type.startswith("multipart/"):
        raw = await request.read()
        return (json.loads(raw) if raw else None), []
    form: list[dict[str, Any]] = []
    contents: dict[str, tuple[str, bytes]] = {}
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        if part.filename is None:
            form.append({"name": part.name, "value": await part.text()})
        else:
            contents[part.name] = (part.filename, bytes(await part.read()))
    body, _ = router.parse_form(form, [])
    described = body.get("attachments") or [] if isinstance(body, dict) else []
    descriptions = {f"files[{entry.get('id')}]": entry.get("description") for entry in described}
    uploads = [Upload(name, BytesIO(data), descriptions.get(key)) for key, (name, data) in contents.items()]
    return body, uploads
