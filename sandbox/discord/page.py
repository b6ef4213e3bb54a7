"""Discord in the browser: simcord's page of one channel, kept up to date, dressed for a frame of the demo's page."""

# ruff: noqa: SLF001 - simcord's page has no public way to be framed or to follow a bot that acts by itself

import asyncio
import contextlib
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from aiohttp import web
from simcord.actors import MemberActor
from simcord.backend.cdn import CDN_BASE
from simcord.builders import ChannelHandle
from simcord.preview import Preview, _markdown
from simcord.preview._actions import ACTION_SPECS
from simcord.preview._pages import _Page
from simcord.preview._server import PreviewServer

from sandbox.discord import avatars
from sandbox.discord.environment import RemoteEnv
from sandbox.discord.server import DiscordServer

DRESS = Path(__file__).with_name("dress")
QUIET_SECONDS = 0.08
"""A burst of edits is drawn once."""
CLOCK_SECONDS = 10.0
"""How old a relative time such as "in 4 minutes" may become on the page."""
REMEMBERED_REVISIONS = 50

# Discord shows mentions in an embed by name (and notifies nobody); simcord shows the ids.
for _part in ("embed_description", "embed_field_value"):
    _markdown._FIELD_POLICIES[_part]["mentions"] = True


class FramedServer(PreviewServer):
    """simcord's page server, with our dress on top and frames on this machine allowed."""

    _STATIC_FILES: ClassVar[dict[str, str]] = {
        **PreviewServer._STATIC_FILES,
        "/dress.css": "dress.css",
        "/dress.js": "dress.js",
    }
    _SECURITY_HEADERS: ClassVar[dict[str, str]] = {
        name: value.replace("frame-ancestors 'none'", "frame-ancestors http://127.0.0.1:* http://localhost:*")
        for name, value in PreviewServer._SECURITY_HEADERS.items()
        if name != "X-Frame-Options"
    }

    async def _static(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Host", "") not in self._allowed_hosts():
            raise web.HTTPForbidden
        if request.path == "/dress.css":
            return self._ours("dress.css", "text/css")
        if request.path == "/dress.js":
            return self._ours("dress.js", "application/javascript")
        response: web.Response = await super()._static(request)
        if request.path == "/" and response.text is not None:
            head = '<link rel="stylesheet" href="/dress.css"><script src="/dress.js"></script></head>'
            response.text = response.text.replace("</head>", head)
        return response

    def _ours(self, name: str, content_type: str) -> web.Response:
        text = (DRESS / name).read_text(encoding="utf-8")
        return web.Response(text=text, content_type=content_type, headers=self._SECURITY_HEADERS)


class ChannelPage(Preview):
    """One channel or thread, as any of the viewers sees it."""

    # Each reload of the browser opens one more, and each is kept for ten minutes.
    _MAX_PAGES = 256

    def __init__(self, env: RemoteEnv, channel: ChannelHandle, viewers: Sequence[MemberActor]) -> None:
        super().__init__(
            env,
            channel,
            tuple(viewers),
            layout="channel",
            display="responsive",
            width=960,
            height=720,
            locale="en-GB",
            timezone=local_timezone(),
            presentation_time=None,
            assets={},
            port=0,
        )
        self._server = FramedServer(self, 0)
        self._shown: OrderedDict[tuple[str, int], dict[int, str]] = OrderedDict()

    async def open(self) -> None:
        # simcord allows one page at a time, because there a page owns the bot's turn; here nobody does.
        self.env._preview = None
        await self.__aenter__()

    def _publish(self, page: _Page, *, reason: Any = "action") -> None:
        super()._publish(page, reason=reason)
        self._shown[page.id, page.revision] = self._components(page)
        while len(self._shown) > REMEMBERED_REVISIONS:
            self._shown.popitem(last=False)

    def _components(self, page: _Page) -> dict[int, str]:
        stored = self.env.backend.messages.get(page.channel_id, {}).values()
        return {message.id: json.dumps(message.components, sort_keys=True) for message in stored}

    async def _action(self, context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out what the viewer did, also when the channel has moved on since it was drawn.

        simcord rejects every action on an outdated page; the bot here edits by itself, all the time. What the viewer
        pressed still means the same unless the buttons of that very message have changed.
        """
        page = self._pages.get(context_id or "")
        if page is not None and self._means_the_same(page, body):
            body = {**body, "published_revision": page.revision}
        return await super()._action(context_id, body)

    def _means_the_same(self, page: _Page, body: Mapping[str, Any]) -> bool:
        spec = ACTION_SPECS.get(str(body.get("kind")))
        revision = body.get("published_revision")
        if spec is None or not spec.revision_bound or not isinstance(revision, int) or revision > page.revision:
            return False
        if body.get("kind") not in ("click", "select"):
            return True
        target = int(str(body.get("target_id")))
        shown = self._shown.get((page.id, revision), {}).get(target)
        return shown is not None and shown == self._components(page).get(target)


class Pages:
    """The open pages, drawn anew whenever the world has changed."""

    def __init__(self, server: DiscordServer) -> None:
        self._server = server
        self._env = server.env
        self._pages: dict[int, ChannelPage] = {}
        self._opening = asyncio.Lock()
        self._drawing: asyncio.Task[None] | None = None
        self.drawn = -1
        """The `display_revision` that all open pages show."""

        self._give_faces()

    def colour(self, name: str) -> str:
        """The colour of a person's face, as #rrggbb."""
        return avatars.colour(list(self._server.people).index(name))

    async def url(self, channel_id: int) -> str:
        """The address of the channel's page; it carries the right to act, so it is for the local viewer only."""
        async with self._opening:
            page = self._pages.get(channel_id)
            if page is None:
                viewers = [person.actor for person in self._server.people.values()]
                page = ChannelPage(self._env, self._server.channel(channel_id), viewers)
                await page.open()
                # Only now: one that is drawn before it is open ends the drawing of all.
                self._pages[channel_id] = page
                self._env.pages.append(page)
        if self._drawing is None:
            self._drawing = asyncio.create_task(self._draw())
        return page.url

    async def close(self) -> None:
        if self._drawing is not None:
            self._drawing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._drawing
            self._drawing = None
        for page in self._pages.values():
            if page in self._env.pages:
                self._env.pages.remove(page)
            await page.close()
        self._pages.clear()

    def _give_faces(self) -> None:
        backend = self._env.backend
        faces = {backend.bot_user.id: avatars.bot()}
        faces |= {person.id: avatars.person(name, self.colour(name)) for name, person in self._server.people.items()}
        for user_id, png in faces.items():
            user = backend.users[user_id]
            user.avatar = hashlib.md5(png, usedforsecurity=False).hexdigest()
            backend.cdn._blobs[f"{CDN_BASE}/avatars/{user.id}/{user.avatar}.png"] = png

    async def _draw(self) -> None:
        def due() -> bool:
            return self._env.display_revision != self.drawn and not self._env.busy

        while True:
            with contextlib.suppress(TimeoutError):
                await self._env.changes.until(due, within=CLOCK_SECONDS, what="a change")
            await asyncio.sleep(QUIET_SECONDS)
            if self._env.busy:
                continue
            revision = self._env.display_revision
            for page in tuple(self._pages.values()):
                await page.refresh()
            self.drawn = revision
            self._env.changes.announce()


def local_timezone() -> str:
    """The machine's zone by its name in the time zone database; UTC when it has none."""
    candidates = [os.environ.get("TZ", "").removeprefix(":")]
    with contextlib.suppress(OSError):
        candidates.append(str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2])
    for name in filter(None, candidates):
        with contextlib.suppress(ValueError, OSError, KeyError):
            return ZoneInfo(name).key
    return "UTC"
