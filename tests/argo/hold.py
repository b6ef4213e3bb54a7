"""Holds the controller still in the middle of a reconcile, at a place that a test chooses.

It sends its notifications itself, in between two of its steps, and waits for the answer. So a webhook that does not
answer yet keeps it there, as a slow Slack would, while its watches go on: what it hears meanwhile it may forget.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from deployed import Mochiapp
from mochiapp import HASH, PREVIEW
from state import State

from control_plane import ControlPlane, free_port
from rollouts import NAMESPACE

CONFIG_MAP = "argo-rollouts-notification-configmap"
# After the status says so, and before the controller is done with it.
PAUSED = "on-rollout-paused"
# After either Service selects another set, and before the status says so.
SERVICE_SWITCHED = "on-switch-service"
WITHIN = 10


class Notifications:
    """The controller's settings of them, once for a control plane: only Rollouts that subscribe are ever held."""

    def __init__(self, plane: ControlPlane) -> None:
        self.port = free_port()
        data = {
            "service.webhook.hold": f"url: http://127.0.0.1:{self.port}",
            "template.held": "webhook:\n  hold:\n    method: POST\n    path: /held\n",
        } | {f"trigger.{each}": "- send: [held]" for each in (PAUSED, SERVICE_SWITCHED)}
        item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP}, "data": data}
        plane.request("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", item)


class Hold:
    """Each time that the controller comes to such a place it stands still there, until it is released."""

    def __init__(self) -> None:
        self._standing: asyncio.Queue[asyncio.Event] = asyncio.Queue()
        self._now: asyncio.Event | None = None
        self._over = False

    async def arrived(self) -> None:
        """Returns when the controller stands there; what it stood at before is released."""
        self.release()
        async with asyncio.timeout(WITHIN):
            self._now = await self._standing.get()

    def release(self) -> None:
        if self._now is not None:
            self._now.set()

    def end(self) -> None:
        """From now on it is not held any more."""
        self._over = True
        self.release()
        while not self._standing.empty():
            self._standing.get_nowait().set()

    async def answer(self, request: web.Request) -> web.Response:
        goes_on = asyncio.Event()
        if not self._over:
            self._standing.put_nowait(goes_on)
            await goes_on.wait()
        return web.Response()


@asynccontextmanager
async def held(app: Mochiapp, notifications: Notifications, *triggers: str) -> AsyncIterator[Hold]:
    """From now on the app's controller stands still wherever it has one of these to tell."""
    hold = Hold()
    server = web.Application()
    server.router.add_post("/held", hold.answer)
    runner = web.AppRunner(server, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", notifications.port).start()
    subscriptions = [f"notifications.argoproj.io/subscribe.{trigger}.hold" for trigger in triggers]
    try:
        await app.patch(app.path, {"metadata": {"annotations": dict.fromkeys(subscriptions, "")}})
        yield hold
        hold.end()
        await app.patch(app.path, {"metadata": {"annotations": dict.fromkeys(subscriptions)}})
        await app.idle()
    finally:
        hold.end()
        await runner.cleanup()


async def about_to_forget(app: Mochiapp, hold: Hold, image: str) -> State:
    """The app pauses on `image`, and the controller stands between its own last write and the end of that pass: what is
    written now is lost. `hold` is for both, PAUSED and SERVICE_SWITCHED.

    The first pass that knows of a pause writes once more, that it is one. A preview Service that somebody has bent
    meanwhile makes it stand still after this write.
    """
    await app.stage(image, "mochi-2")
    await hold.arrived()  # the preview selects the new set
    await hold.arrived()  # the status says that it is paused
    shown = await app.until(lambda s: s.paused_on(image))
    await app.select(PREVIEW, **{HASH: shown.live})
    await app.controller_has_heard()
    await hold.arrived()  # it bends the preview back
    return await app.until(lambda s: s.paused_on(image) and s.previewed == s.current)


async def forgotten(app: Mochiapp, hold: Hold) -> State:
    """After the controller has forgotten what was written, and has looked again."""
    await app.controller_has_heard()
    hold.end()
    await app.idle()
    await app.looked_at()
    return await app.state()
