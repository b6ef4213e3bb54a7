"""A watch: the changes of one collection as a stream of JSON lines."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from sandbox.cluster.errors import ApiError
from sandbox.cluster.history import Change
from sandbox.cluster.objects import Objects
from sandbox.cluster.paths import Target
from sandbox.cluster.requests import flag, seconds
from sandbox.cluster.selectors import matches_fields, matches_labels

Json = dict[str, Any]

# The real server picks 30 to 60 minutes when the client names no time.
_DEFAULT_SECONDS = 1800.0


class Watch:
    """One open stream. It ends after `timeoutSeconds`, when it is dropped, or when the client goes."""

    def __init__(
        self, objects: Objects, target: Target, request: web.Request, *, bookmark_every: float, loud: asyncio.Event
    ) -> None:
        query = request.query
        self._objects = objects
        self._target = target
        self._request = request
        self._labels = query.get("labelSelector", "")
        self._fields = query.get("fieldSelector", "")
        self._seconds = seconds(query.get("timeoutSeconds", ""), _DEFAULT_SECONDS)
        self._bookmarks = flag(query, "allowWatchBookmarks")
        self._initial = flag(query, "sendInitialEvents")
        self._from = query.get("resourceVersion", "")
        self._bookmark_every = bookmark_every
        self._loud = loud
        self._woken = asyncio.Event()
        self._response = web.StreamResponse(headers={"Content-Type": "application/json"})
        # What happens is kept back, while bookmarks go on.
        self.lies = False

    async def say(self, data: bytes) -> None:
        await self._response.write(data)

    def drop(self) -> None:
        """Cuts the connection, as a dying API server does."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def run(self) -> web.StreamResponse:
        if self._from and not self._from.isdecimal():
            why = f'resourceVersion: Invalid value: "{self._from}": strconv.ParseUint: invalid syntax'
            raise ApiError(500, "", why)
        self._matches({"metadata": {}})  # a malformed selector is refused before the stream starts
        await self._response.prepare(self._request)
        unsubscribe = self._objects.subscribe(self._wake)
        try:
            await self._follow()
        finally:
            unsubscribe()
        return self._response

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        version = await self._start()
        bookmark = loop.time() + self._bookmark_every
        while True:
            self._woken.clear()
            try:
                changes = self._objects.changes(version)
            except ApiError as error:
                await self._send("ERROR", error.body())
                return
            for change in changes:
                version = change.version
                if self.lies or change.plural != self._target.kind.plural:
                    continue
                if seen := change.seen_through(self._matches):
                    await self._send(seen[0], seen[1])
            now = loop.time()
            if self._bookmarks and now >= min(bookmark, end):
                await self._bookmark(version)
                bookmark = now + self._bookmark_every
            if now >= end:
                return
            await self._rest(min(end, bookmark if self._bookmarks else end) - now)

    async def _start(self) -> int:
        """Where the changes begin; without a resourceVersion the present state comes first."""
        if self._from not in {"", "0"} and not self._initial:
            return int(self._from)
        version = self._objects.version
        kind, namespace = self._target.kind, self._target.namespace
        for item in self._objects.items(kind.plural, namespace, self._labels, self._fields):
            await self._send("ADDED", item)
        if self._bookmarks and (self._initial or not self._from):
            await self._bookmark(version, {"k8s.io/initial-events-end": "true"})
        return version

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._woken.wait()
        except TimeoutError:
            return

    def _wake(self, _: Change) -> None:
        self._woken.set()

    def _matches(self, item: Json) -> bool:
        metadata = item["metadata"]
        return (
            self._target.namespace in {"", metadata.get("namespace", "")}
            and matches_labels(self._labels, metadata.get("labels") or {})
            and matches_fields(self._fields, self._target.kind.plural, item)
        )

    async def _bookmark(self, version: int, annotations: dict[str, str] | None = None) -> None:
        kind = self._target.kind
        metadata: Json = {"resourceVersion": str(version)}
        if annotations:
            metadata["annotations"] = annotations
        await self._send("BOOKMARK", {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata})

    async def _send(self, event: str, item: Json) -> None:
        await self._loud.wait()
        await self._response.write(json.dumps({"type": event, "object": item}).encode() + b"\n")
