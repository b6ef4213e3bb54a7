"""What makes the objects live: controllers that look at everything and do what is due, and the loop that runs them.

A controller is level-triggered: `step` reads the objects, writes what is missing, and says when time alone would give
it more to do. It keeps nothing that it could not find again, except when things began.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

from sandbox.cluster.errors import ApiError
from sandbox.cluster.history import Change
from sandbox.cluster.objects import Objects

Json = dict[str, Any]

_log = logging.getLogger(__name__)
MANAGER = "kube-controller-manager"
HEARS_AFTER = 0.005
"""Seconds until the loop acts upon a change: real controllers hear of it by their watches, when whoever made it has the
answer, and do not keep the API server from answering."""
_MOST_ROUNDS = 1000
# Before the first change: asking for what happened since then says that it is not known any more.
_NOTHING = -1


class Controller(Protocol):
    def step(self, objects: Objects, now: datetime) -> datetime | None:
        """Do what is due; the answer is when to come back even if no object changes."""


class PerNamespace(ABC):
    """A controller that looks again at those namespaces where something changed, or where something is due."""

    def __init__(self) -> None:
        self._seen = _NOTHING
        self._due: dict[str, datetime | None] = {}

    def step(self, objects: Objects, now: datetime) -> datetime | None:
        stale = self._stale(objects, now)
        self._seen, seen = _NOTHING, objects.version
        for namespace in stale:
            self._due[namespace] = self.look(objects, namespace, now)
        self._seen = seen
        return earliest(list(self._due.values()))

    @abstractmethod
    def look(self, objects: Objects, namespace: str, now: datetime) -> datetime | None:
        """Do what is due in one namespace; the answer is when to come back even if nothing changes there."""

    def _stale(self, objects: Objects, now: datetime) -> list[str]:
        due = {namespace for namespace, moment in self._due.items() if moment is not None and moment <= now}
        try:
            changed = {_namespace_of(change) for change in objects.changes(self._seen)}
        except ApiError:  # too long ago: anything may have changed
            changed = {item["metadata"]["name"] for item in objects.items("namespaces")}
        return sorted(due | changed)


def _namespace_of(change: Change) -> str:
    metadata = change.after["metadata"]
    found: str = metadata["name"] if change.plural == "namespaces" else metadata.get("namespace", "")
    return found


def by_owner(candidates: Sequence[Json]) -> dict[str, list[Json]]:
    """Objects by the uid of their controlling owner."""
    found: dict[str, list[Json]] = {}
    for item in candidates:
        if owner := controller_of(item):
            found.setdefault(owner["uid"], []).append(item)
    return found


def owned_by(owner: Json, candidates: Sequence[Json]) -> list[Json]:
    """The objects whose controlling owner this is."""
    uid = owner["metadata"]["uid"]
    return [item for item in candidates if (controller_of(item) or {}).get("uid") == uid]


def controller_of(item: Json) -> Json | None:
    references = item["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def owner_reference(owner: Json) -> Json:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_active(pod: Json) -> bool:
    """Neither going nor done."""
    return "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in {"Failed", "Succeeded"}


def condition(item: Json, name: str) -> Json | None:
    return next((c for c in item.get("status", {}).get("conditions") or () if c["type"] == name), None)


def is_ready(pod: Json) -> bool:
    return (condition(pod, "Ready") or {}).get("status") == "True"


def earliest(moments: Sequence[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def settle(objects: Objects, controllers: Sequence[Controller], now: datetime) -> datetime | None:
    """Run the controllers until nothing changes any more; answers when time will give them more to do."""
    for _ in range(_MOST_ROUNDS):
        version = objects.version
        due = earliest([controller.step(objects, now) for controller in controllers])
        if objects.version == version:
            if due is not None and due <= now:
                raise RuntimeError(f"a controller wants to come back at {due}, which is over: it would never rest")
            return due
    raise RuntimeError(f"the controllers still write after {_MOST_ROUNDS} rounds: two of them disagree")


class ControllerLoop:
    """Runs controllers in the background: after every change, and when the next one is due."""

    def __init__(self, objects: Objects, controllers: Sequence[Controller], now: Callable[[], datetime]) -> None:
        self._objects = objects
        self._controllers = controllers
        self._now = now
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._paused = False

    def start(self) -> None:
        self._woken.set()
        self._unsubscribe = self._objects.subscribe(self.wake)
        self._task = asyncio.create_task(self._run(), name="controllers")

    async def stop(self) -> None:
        self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing moves inside: what a cluster looks like before its controllers have seen a write."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False
            self._woken.set()

    def wake(self, _: Change | None = None) -> None:
        """Look again: something changed, or was ordered."""
        self._woken.set()

    def _settled(self) -> datetime | None:
        try:
            return settle(self._objects, self._controllers, self._now())
        except Exception:  # noqa: BLE001 - one object that no controller understands must not stop the cluster
            _log.exception("The simulated controllers stopped half-way; they try again after the next change")
            return None

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            due = None if self._paused else self._settled()
            try:
                async with asyncio.timeout(None if due is None else max((due - self._now()).total_seconds(), 0)):
                    await self._woken.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(HEARS_AFTER)
