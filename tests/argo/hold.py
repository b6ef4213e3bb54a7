"""Holds the controller still in the middle of a reconcile, at a place that a test chooses.

It sends its notifications itself, in between two of its steps, and waits for the answer. So a webhook that does not
answer yet keeps it there, as a slow Slack would, while its watches go on: what it hears meanwhile it may forget.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from deployed import Mochiapp

from control_plane import ControlPlane, free_port
from rollouts import NAMESPACE

CONFIG_MAP = "argo-rollouts-notification-configmap"
PAUSED, ABORTED = "on-rollout-paused", "on-rollout-aborted"
SET_CREATED, SERVICE_SWITCHED = "on-new-replica-set-created", "on-switch-service"
WITHIN = 10


class Notifications:
    """The controller's settings of them, once for a control plane: only Rollouts that subscribe are ever held."""

    def __init__(self, plane: ControlPlane) -> None:
        self.port = free_port()
        data = {
            "service.webhook.hold": f"url: http://127.0.0.1:{self.port}",
            "template.held": "webhook:\n  hold:\n    method: POST\n    path: /held\n",
        } | {f"trigger.{each}": "- send: [held]" for each in (PAUSED, ABORTED, SET_CREATED, SERVICE_SWITCHED)}
        item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP}, "data": data}
        plane.request("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", item)


class Hold:
    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self._released = asyncio.Event()

    async def arrived(self) -> None:
        """Returns when the controller stands there."""
        async with asyncio.timeout(WITHIN):
            await self._arrived.wait()

    def release(self) -> None:
        self._released.set()

    async def answer(self, request: web.Request) -> web.Response:
        self._arrived.set()
        await self._released.wait()
        return web.Response()


@asynccontextmanager
async def held(app: Mochiapp, notifications: Notifications, trigger: str) -> AsyncIterator[Hold]:
    """From now on the app's controller stands still wherever it has this to tell, until it is released."""
    hold = Hold()
    server = web.Application()
    server.router.add_post("/held", hold.answer)
    runner = web.AppRunner(server, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", notifications.port).start()
    subscription = f"notifications.argoproj.io/subscribe.{trigger}.hold"
    try:
        await app.patch(app.path, {"metadata": {"annotations": {subscription: ""}}})
        yield hold
        hold.release()
        await app.patch(app.path, {"metadata": {"annotations": {subscription: None}}})
    finally:
        hold.release()
        await runner.cleanup()
