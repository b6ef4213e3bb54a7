"""Plays scheduler and kubelet for the real control plane: binds pods to the Node and reports what became of them.

It runs in a thread with a loop of its own, so that synchronous fixtures can hold it. What pods report: pod_status.py.
"""

import asyncio
import contextlib
import itertools
import json
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import aiohttp

from pod_status import Report
from watching import event_stream

Json = dict[str, Any]
PODS = "/api/v1/pods"
NODE_IP = "10.0.0.1"
MOST_EVENT_BYTES = 4 * 2**20
WATCH_SECONDS = 240
RETRY_SECONDS = 0.1
NOT_ALLOWED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
# 403: the namespace is being deleted, and takes no binding any more. An admin meets no other reason.
GONE_OR_CHANGED = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.FORBIDDEN)


class PodMaker:
    """Every pod of the cluster becomes what its image's tag says: crash, nopull, slow, flaky, never; else ready.

    `digests` maps digest to tag, for images named by digest; it may be filled at any time before the pods are made.
    """

    def __init__(
        self,
        url: str,
        token: str,
        ssl_context: ssl.SSLContext | None = None,
        *,
        node: str = "node-1",
        digests: dict[str, str] | None = None,
        slow_for: float = 3.0,
        flaky_after: float = 3.0,
        restart_every: float = 0.5,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.digests = {} if digests is None else digests
        self.slow_for = slow_for  # seconds until a slow pod is ready
        self.flaky_after = flaky_after  # seconds until a flaky pod, ready at first, is so no more
        self.restart_every = restart_every  # seconds until the first restart of a crashing pod; then twice as long
        self.node = node
        self.now = now
        self._url = url
        self._token = token
        self._ssl = ssl_context
        self._failure: BaseException | None = None
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pod maker", daemon=True)
        self._end: Callable[[], None] = lambda: None

    def start(self, within: float = 10) -> None:
        """Returns when the pods that exist have been seen; raises what went wrong, or TimeoutError."""
        self._thread.start()
        answered = self._listening.wait(within)
        if not answered or self._failure is not None:
            self.stop()
            raise TimeoutError(f"{self._url} has not answered the pod maker within {within:g} s.")

    def stop(self) -> None:
        """Ends the thread; raises what had ended it before, if anything had."""
        self._end()
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Raises what has ended the thread, if anything has: without it pods just stay Pending."""
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            asyncio.run(self._until_ended())
        except BaseException as failure:  # noqa: BLE001 - raised again by stop(), in the thread that can act
            self._failure = failure
        finally:
            self._listening.set()

    async def _until_ended(self) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def end() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(ended.set)

        self._end = end
        session = aiohttp.ClientSession(
            self._url,
            headers={"Authorization": f"Bearer {self._token}"},
            connector=aiohttp.TCPConnector(ssl=self._ssl or True),
            read_bufsize=MOST_EVENT_BYTES,
            timeout=aiohttp.ClientTimeout(total=10),
        )
        async with session, asyncio.TaskGroup() as tasks:
            kubelet = _Kubelet(self, session, tasks, self._listening.set, ended)
            following = tasks.create_task(kubelet.follow())
            await ended.wait()
            following.cancel()  # the others see for themselves; a request cut short would leave its connection open


class _Kubelet:
    """The pods of one cluster, one task for each. Lives in the pod maker's loop."""

    def __init__(
        self,
        maker: PodMaker,
        session: aiohttp.ClientSession,
        tasks: asyncio.TaskGroup,
        has_listed: Callable[[], None],
        ended: asyncio.Event,
    ) -> None:
        self._maker = maker
        self._session = session
        self._tasks = tasks
        self._has_listed = has_listed
        self._ended = ended
        self._ips = (f"10.244.{high}.{low}" for high, low in itertools.product(range(1, 255), range(1, 255)))
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._burials: dict[str, asyncio.Task[None]] = {}

    async def follow(self) -> None:
        while True:
            try:
                version = await self._list()
                self._has_listed()
                while version:
                    version = await self._watch(version)
            except aiohttp.ClientResponseError as refusal:
                if refusal.status in NOT_ALLOWED:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)  # the API server is away; the next list tells what was missed

    async def _list(self) -> str:
        async with self._session.get(PODS, raise_for_status=True) as answer:
            listed = await answer.json()
        for uid in {*self._lives, *self._burials}.difference(pod["metadata"]["uid"] for pod in listed["items"]):
            self._forget(uid)
        for pod in listed["items"]:
            self._seen(pod)
        version: str = listed["metadata"]["resourceVersion"]
        return version

    async def _watch(self, version: str) -> str:
        """Handles events until the server ends the watch; returns where to go on, or "" when that is too old."""
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        async with event_stream(self._session, PODS, params, silence=WATCH_SECONDS + 10) as lines:
            async for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return ""
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    self._forget(event["object"]["metadata"]["uid"])
                elif event["type"] != "BOOKMARK":
                    self._seen(event["object"])
        return version

    def _seen(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        if "deletionTimestamp" in pod["metadata"]:
            if uid not in self._burials:
                if uid in self._lives:
                    self._lives[uid].cancel()
                self._burials[uid] = self._tasks.create_task(self._bury(pod))
        elif uid not in self._lives:
            self._lives[uid] = self._tasks.create_task(self._live(pod))

    def _forget(self, uid: str) -> None:
        for tasks in (self._lives, self._burials):
            if uid in tasks:
                tasks.pop(uid).cancel()

    async def _live(self, pod: Json) -> None:
        if "nodeName" not in pod["spec"]:
            target = {"apiVersion": "v1", "kind": "Node", "name": self._maker.node}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["metadata"]["name"]}}
            await self._send("POST", f"{_path(pod)}/binding", binding | {"target": target})
        report = Report(pod, next(self._ips), NODE_IP, self._maker.digests, self._maker.now)
        maker = self._maker
        for status, pause in report.story(maker.slow_for, maker.flaky_after, maker.restart_every):
            # With the uid, a pod of the same name that came after this one refuses what is not meant for it.
            patch = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
            there = await self._send("PATCH", f"{_path(pod)}/status", patch, "application/strategic-merge-patch+json")
            if not there or pause is None:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), pause)
                return

    async def _bury(self, pod: Json) -> None:
        only_this = {"preconditions": {"uid": pod["metadata"]["uid"]}}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        await self._send("DELETE", _path(pod), options | only_this)

    async def _send(self, method: str, path: str, body: Json, content_type: str = "application/json") -> bool:
        """False when the pod is gone or another by now; sent again for as long as the API server is away."""
        while not self._ended.is_set():
            try:
                async with self._session.request(
                    method, path, data=json.dumps(body), headers={"Content-Type": content_type}
                ) as answer:
                    if answer.status in GONE_OR_CHANGED:
                        return False
                    if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                        answer.raise_for_status()
                        return True
            except (aiohttp.ClientConnectionError, TimeoutError):
                pass
            await asyncio.sleep(RETRY_SECONDS)
        return False


def _path(pod: Json) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
