"""The applications inside the pods: each pod that runs answers HTTP, at `/<namespace>/<pod>/…` of one server."""

from __future__ import annotations

import asyncio
from collections import Counter

from aiohttp import web

from sandbox.cluster.behaviour import Images
from sandbox.cluster.controllers import is_ready
from sandbox.cluster.errors import ApiError
from sandbox.cluster.objects import Objects
from sandbox.cluster.pages import Face, failing_face, version_face
from sandbox.cluster.patches import Json


class PodHost:
    """Serves the page, `/version`, `/healthz` and `/metrics` (for Prometheus: answers by code) of every pod that is
    ready; a pod that is not refuses with 502.
    """

    def __init__(self, objects: Objects, images: Images) -> None:
        self._objects = objects
        self._images = images
        self._runner: web.AppRunner | None = None
        self._asked_since: dict[tuple[str, str], float] = {}
        """By owner of the pods and the Service by which they were asked, when that was for the first time."""
        self._answers: Counter[tuple[str, int]] = Counter()
        """By uid of the pod and code, without those about its health and its metrics."""
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/{namespace}/{pod}/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def face(self, pod: Json) -> Face:
        """What a pod shows of itself."""
        image = pod["spec"]["containers"][0]["image"]
        app = (pod["metadata"].get("labels") or {}).get("app") or pod["spec"]["containers"][0]["name"]
        return version_face(app, self._images.tag(image), pod["metadata"]["name"])

    async def _answer(self, request: web.Request) -> web.Response:
        way = request.match_info
        try:
            pod = self._objects.get("pods", way["namespace"], way["pod"])
        except ApiError:
            return web.Response(status=502, text="no such pod\n")
        if not is_ready(pod):
            return web.Response(status=502, text="connection refused\n")
        if way["path"] == "healthz":
            return web.Response(text="ok")
        uid = pod["metadata"]["uid"]
        if way["path"] == "metrics":
            return web.Response(text=self._metrics(uid), headers={"Content-Type": "text/plain; version=0.0.4"})
        await asyncio.sleep(self._images.behaviour(pod["spec"]["containers"][0]["image"]).answers_after)
        face, status = self.face(pod), 200
        if self._fails(pod, request.headers.get("X-Forwarded-Host", "").partition(".")[0]):
            face, status = failing_face(face.app, face.detail), 500
        self._answers[uid, status] += 1
        if way["path"] == "version":
            return web.json_response(face.as_json(), status=status, headers={"Access-Control-Allow-Origin": "*"})
        return web.Response(text=face.as_html(), status=status, content_type="text/html")

    def _metrics(self, uid: str) -> str:
        counts = (f'http_requests_total{{code="{code}"}} {self._answers[uid, code]}' for code in (200, 500))
        return "\n".join(["# TYPE http_requests_total counter", *counts, ""])

    def _fails(self, pod: Json, service: str) -> bool:
        behaviour, now = (
            self._images.behaviour(pod["spec"]["containers"][0]["image"]),
            asyncio.get_running_loop().time(),
        )
        if not service or service != behaviour.fails_as:
            return False
        owner = next((each["uid"] for each in pod["metadata"].get("ownerReferences") or ()), pod["metadata"]["uid"])
        return now >= self._asked_since.setdefault((owner, service), now) + behaviour.fails_after
