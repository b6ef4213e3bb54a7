"""Serves the demo's page and tells it what there is: people, channels with their addresses, what is live."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

HERE = Path(__file__).parent
FILES: Mapping[str, tuple[str, str]] = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "application/javascript"),
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; frame-src http://127.0.0.1:* http://localhost:*; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageServer:
    """Listens on loopback only; whoever opens the page can act as any of the simulated people."""

    def __init__(self, state: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._state = state
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self, port: int = 0) -> None:
        """`OSError` when the port is taken."""
        app = web.Application()
        for path in FILES:
            app.router.add_get(path, self._file)
        app.router.add_get("/state", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _file(self, request: web.Request) -> web.Response:
        self._only_local(request)
        name, content_type = FILES[request.path]
        return web.Response(text=(HERE / name).read_text(encoding="utf-8"), content_type=content_type, headers=HEADERS)

    async def _answer(self, request: web.Request) -> web.Response:
        self._only_local(request)
        return web.json_response(await self._state(), headers=HEADERS)

    def _only_local(self, request: web.Request) -> None:
        # A page from elsewhere must not reach us under a name of its own that it has pointed at this machine.
        if request.url.host not in ("127.0.0.1", "localhost"):
            raise web.HTTPForbidden
