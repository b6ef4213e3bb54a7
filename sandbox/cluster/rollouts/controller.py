"""When Argo's controller looks at which Rollout, and what it believes that Rollout to be.

It keeps a cache that follows the Rollouts by watching, and after each reconciliation it puts the object of its own last
status write back into it, without comparing versions. So what somebody else wrote in between disappears from its view
until that Rollout changes again: https://github.com/argoproj/argo-rollouts/issues/4073.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sandbox.cluster.controllers import controller_of, earliest
from sandbox.cluster.errors import ApiError
from sandbox.cluster.history import Change
from sandbox.cluster.objects import Objects
from sandbox.cluster.rollouts import analysis, services, spec, workload
from sandbox.cluster.rollouts.keys import selected_hash
from sandbox.cluster.rollouts.reconcile import reconcile

Json = dict[str, Any]
Key = tuple[str, str]

# Before the first change: asking for what happened since then says that it is not known any more.
_NOTHING = -1
_TRIES_AT_ONCE = 3
_PATIENCE = timedelta(seconds=1)
_MOST_PATIENCE = timedelta(seconds=60)
# There are states in which Argo's controller answers each of its own writes with another, for as long as they last.
_MOST_LOOKS_AT_ONCE = 50


class Rollouts:
    """The Rollout controller. `stop`, `resume`, `restart` and `lose_next_write` are what can happen to it."""

    def __init__(self) -> None:
        # Called when there is work that no change of an object announces.
        self.wake: Callable[[], None] = lambda: None
        # How long it takes from a change until it looks: nothing, for tests; in life it is 50 to 300 ms each time.
        self.pace = timedelta()
        self._known: dict[Key, Json] = {}
        self._seen = _NOTHING
        self._dirty: set[Key] = set()
        self._due: dict[Key, set[datetime]] = {}
        self._failures: dict[Key, int] = {}
        self._looks: dict[Key, tuple[datetime, int]] = {}
        self._deaf: set[Key] = set()
        self._stopped = False

    def stop(self) -> None:
        """It does nothing any more; what happens meanwhile waits for it."""
        self._stopped = True

    def resume(self) -> None:
        """It goes on where it was stopped, and catches up with what happened since."""
        self._stopped = False
        self.wake()

    def restart(self) -> None:
        """A new process: it knows nothing but what it now reads, so that no write is lost on it any more."""
        self._known.clear()
        self._deaf.clear()
        self._due.clear()
        self._failures.clear()
        self._seen = _NOTHING
        self.resume()

    def lose_next_write(self, namespace: str, name: str) -> None:
        """The next write of anyone else to this Rollout is not seen, until it changes once more after that."""
        self._deaf.add((namespace, name))

    def step(self, objects: Objects, now: datetime) -> datetime | None:
        if self._stopped:
            return None
        own, self._dirty = self._dirty, set()
        self._follow(objects)
        for key in self._dirty:
            self._looks.pop(key, None)  # others are at work too
        for key in self._dirty | own:
            moments = self._due.setdefault(key, set())
            if not any(moment <= now + self.pace for moment in moments):
                moments.add(now + self.pace)
        self._dirty.clear()
        for key in sorted(key for key, moments in self._due.items() if min(moments) <= now):
            if self._may_look(key, now):
                self._reconcile(objects, key, now)
            else:
                self._due[key] = {moment for moment in self._due[key] if moment > now} | {now + _PATIENCE}
        return earliest([moment for moments in self._due.values() for moment in moments])

    def _may_look(self, key: Key, now: datetime) -> bool:
        began, count = self._looks.get(key, (now, 0))
        if now - began >= _PATIENCE:
            began, count = now, 0
        self._looks[key] = began, count + 1
        return count < _MOST_LOOKS_AT_ONCE

    def _reconcile(self, objects: Objects, key: Key, now: datetime) -> None:
        self._due[key] = {moment for moment in self._due.get(key, ()) if moment > now}
        if self._tried(objects, key, now):
            self._failures.pop(key, None)
        else:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            self._due.setdefault(key, set()).add(now + min(_PATIENCE * failures**2, _MOST_PATIENCE))
        if not self._due.get(key):
            self._due.pop(key, None)

    def _tried(self, objects: Objects, key: Key, now: datetime) -> bool:
        """False when its writes are refused again and again: then it waits."""
        for _ in range(_TRIES_AT_ONCE):
            if (known := self._known.get(key)) is None:
                return True
            try:
                outcome = reconcile(objects, known, now)
            except ApiError:
                self._follow(objects)
                continue
            self._due.setdefault(key, set()).update(moment for moment in outcome.due if moment > now)
            # What was written meanwhile has reached the cache by now, and is then forgotten again.
            self._follow(objects)
            if outcome.written is not None and key in self._known:
                self._known[key] = outcome.written
            return True
        return False

    def _follow(self, objects: Objects) -> None:
        """Brings the cache up to what happened, and notes whom it concerns."""
        since, self._seen = self._seen, objects.version
        try:
            changes = objects.changes(since)
        except ApiError:  # too long ago: everything is read anew
            self._known = {_key(item): item for item in objects.items("rollouts")}
            self._dirty |= self._known.keys()
            for item in objects.items("deployments"):
                self._tell_generation(objects, item)
            return
        for change in changes:
            self._take(objects, change)

    def _take(self, objects: Objects, change: Change) -> None:
        match change.plural:
            case "rollouts":
                self._take_rollout(objects, change)
            case "replicasets":
                self._dirty |= self._owners(change.after)
            case "analysisruns":
                if (
                    change.before is None
                    or change.gone
                    or analysis.phase(change.before) != analysis.phase(change.after)
                ):
                    self._dirty |= self._owners(change.after)
            case "services":
                self._dirty |= self._users(change.after)
            case "deployments":
                self._tell_generation(objects, change.after)

    def _take_rollout(self, objects: Objects, change: Change) -> None:
        key = _key(change.after)
        if change.gone:
            self._known.pop(key, None)
            self._due.pop(key, None)
            services.let_go(objects, change.after)
            return
        self._dirty.add(key)
        if key in self._deaf and key in self._known:
            self._deaf.discard(key)
            return
        self._known[key] = change.after

    def _owners(self, item: Json) -> set[Key]:
        owner = controller_of(item) or {}
        key = item["metadata"]["namespace"], owner.get("name", "")
        return {key} if owner.get("kind") == "Rollout" and key in self._known else set()

    def _users(self, service: Json) -> set[Key]:
        """Nobody, of a Service without a hash: that one is only seen the next time somebody looks."""
        namespace, name = _key(service)
        if not selected_hash(service):
            return set()
        return {
            key
            for key, rollout in self._known.items()
            if key[0] == namespace
            and name in {spec.blue_green(rollout).get(f"{which}Service") for which in ("active", "preview")}
        }

    def _tell_generation(self, objects: Objects, deployment: Json) -> None:
        for rollout in tuple(self._known.values()):
            workload.note_generation(objects, rollout, deployment)


def _key(item: Json) -> Key:
    return item["metadata"]["namespace"], item["metadata"]["name"]
