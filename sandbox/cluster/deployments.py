"""Deployment → ReplicaSets: rolls out a template, keeps the counts, and says how far it is.

Source: pkg/controller/deployment of Kubernetes 1.34, without proportional scaling and rollback.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, floor
from typing import Any

from sandbox.cluster.controllers import (
    MANAGER,
    PerNamespace,
    by_owner,
    condition,
    earliest,
    is_active,
    owned_by,
    owner_reference,
)
from sandbox.cluster.objects import Objects, timestamp
from sandbox.cluster.patches import Json, copied

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_HIGHEST = "deployment.kubernetes.io/max-replicas"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_NEVER = 2**31 - 1


class Deployments(PerNamespace):
    """The Deployment controller."""

    def look(self, objects: Objects, namespace: str, now: datetime) -> datetime | None:
        sets = by_owner(objects.items("replicasets", namespace))
        every = objects.items("deployments", namespace)
        return earliest([_Rollout(objects, d, sets.get(d["metadata"]["uid"], []), now).step() for d in every])


def template_hash(template: Json, collisions: int = 0) -> str:
    """Ten characters that stand for a pod template."""
    text = json.dumps([template, collisions], sort_keys=True)
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:10])


def _bare(template: Json) -> Json:
    """A template without the label that this controller puts there itself."""
    found: Json = copied(template)
    (found["metadata"].get("labels") or {}).pop(HASH, None)
    return found


def _revision(item: Json) -> int:
    return int((item["metadata"].get("annotations") or {}).get(REVISION, 0))


def _share(value: Any, whole: int, *, up: bool) -> int:
    """`25%` or a number, of the whole."""
    if isinstance(value, int):
        return value
    part = whole * int(str(value).rstrip("%")) / 100
    return ceil(part) if up else floor(part)


@dataclass
class _Rollout:
    """One look at one Deployment."""

    objects: Objects
    item: Json
    sets: list[Json]
    now: datetime

    def step(self) -> datetime | None:
        if "deletionTimestamp" in self.item["metadata"]:
            return self._report(self._current())
        if self.item["spec"].get("paused"):
            self._scale_when_paused()
            return self._report(self._current())
        new = self._current() or self._create()
        if new is None:
            return None
        if self.item["spec"]["strategy"]["type"] == "Recreate":
            self._recreate(new)
        else:
            self._roll(new)
        self._forget_history(new)
        return self._report(new)

    @property
    def replicas(self) -> int:
        found: int = self.item["spec"]["replicas"]
        return found

    @property
    def surge(self) -> int:
        rolling = self.item["spec"]["strategy"].get("rollingUpdate") or {}
        return _share(rolling.get("maxSurge", 0), self.replicas, up=True)

    @property
    def unavailable(self) -> int:
        rolling = self.item["spec"]["strategy"].get("rollingUpdate")
        if rolling is None:
            return 0
        share = _share(rolling["maxUnavailable"], self.replicas, up=False)
        # Neither more nor fewer would mean no progress at all.
        return min(share or (0 if self.surge else 1), self.replicas)

    def _current(self) -> Json | None:
        """The ReplicaSet of the present template; the oldest, if several are."""
        wanted = _bare(self.item["spec"]["template"])
        same = [item for item in self.sets if _bare(item["spec"]["template"]) == wanted]
        return min(same, key=lambda item: int(item["metadata"]["resourceVersion"]), default=None)

    def _create(self) -> Json | None:
        """The ReplicaSet of a template that has none yet; None when its name is taken by a stranger."""
        template = copied(self.item["spec"]["template"])
        short = template_hash(template, self.item["status"].get("collisionCount", 0))
        template["metadata"].setdefault("labels", {})[HASH] = short
        selector = copied(self.item["spec"]["selector"])
        selector.setdefault("matchLabels", {})[HASH] = short
        metadata = self.item["metadata"]
        name = f"{metadata['name']}-{short}"
        if any(found["metadata"]["name"] == name for found in self.objects.items("replicasets", metadata["namespace"])):
            self._write_status(
                {**self.item["status"], "collisionCount": self.item["status"].get("collisionCount", 0) + 1}
            )
            return None
        total = sum(item["spec"]["replicas"] for item in self.sets)
        made = self.objects.create(
            "replicasets",
            metadata["namespace"],
            {
                "metadata": {
                    "name": name,
                    "labels": template["metadata"]["labels"],
                    "annotations": self._annotations(self._next_revision()),
                    "ownerReferences": [owner_reference(self.item)],
                },
                "spec": {
                    "replicas": self._room(0, total),
                    "selector": selector,
                    "template": template,
                    "minReadySeconds": self.item["spec"].get("minReadySeconds"),
                },
            },
            manager=MANAGER,
        )
        self.sets.append(made)
        message = f'Created new replica set "{name}"'
        self._set_progress("True", "NewReplicaSetCreated", message, refresh=True)
        return made

    def _next_revision(self) -> int:
        return max((_revision(item) for item in self.sets), default=0) + 1

    def _annotations(self, revision: int) -> dict[str, str]:
        return {
            _DESIRED: str(self.replicas),
            _HIGHEST: str(self.replicas + self.surge),
            REVISION: str(revision),
        }

    def _room(self, have: int, total: int) -> int:
        """How many the new ReplicaSet may have now."""
        if self.item["spec"]["strategy"]["type"] == "Recreate":
            return 0 if total else self.replicas
        free = self.replicas + self.surge - total
        return min(self.replicas, have + max(free, 0))

    def _roll(self, new: Json) -> None:
        total = sum(item["spec"]["replicas"] for item in self.sets)
        have = new["spec"]["replicas"]
        wanted = self.replicas if have > self.replicas else self._room(have, total)
        self._adopt_revision(new)
        if wanted != have:
            self._scale(new, wanted)
            return
        old = [item for item in self.sets if item is not new and item["spec"]["replicas"]]
        lowest = self.replicas - self.unavailable
        missing = new["spec"]["replicas"] - new["status"].get("availableReplicas", 0)
        spare = total - lowest - missing
        if old and spare > 0:
            self._shrink(old, spare, lowest)

    def _shrink(self, old: Sequence[Json], spare: int, lowest: int) -> None:
        """Take down what cannot serve first, then what can be spared."""
        for item in old:
            sick = item["spec"]["replicas"] - item["status"].get("availableReplicas", 0)
            step = min(sick, spare)
            if step > 0:
                self._scale(item, item["spec"]["replicas"] - step)
                spare -= step
        able = sum(item["status"].get("availableReplicas", 0) for item in self.sets) - lowest
        for item in sorted(old, key=_revision):
            step = min(item["spec"]["replicas"], able, spare)
            if step > 0:
                self._scale(item, item["spec"]["replicas"] - step)
                able -= step
                spare -= step

    def _recreate(self, new: Json) -> None:
        self._adopt_revision(new)
        old = [item for item in self.sets if item is not new]
        for item in old:
            if item["spec"]["replicas"]:
                self._scale(item, 0)
        pods = self.objects.items("pods", self.item["metadata"]["namespace"])
        if not any(is_active(pod) for item in old for pod in owned_by(item, pods)):
            self._scale(new, self.replicas)

    def _scale_when_paused(self) -> None:
        active = [item for item in self.sets if item["spec"]["replicas"]]
        if len(active) == 1:
            self._scale(active[0], self.replicas)

    def _adopt_revision(self, new: Json) -> None:
        """An old ReplicaSet that became the present one again gets a new revision, as `kubectl rollout undo` shows."""
        others = max((_revision(item) for item in self.sets if item is not new), default=0)
        revision = _revision(new) if _revision(new) > others else others + 1
        self._update(new, {"metadata": {"annotations": self._annotations(revision)}})

    def _scale(self, item: Json, replicas: int) -> None:
        self._update(item, {"spec": {"replicas": replicas}})

    def _update(self, item: Json, patch: Json) -> None:
        metadata = item["metadata"]
        found = self.objects.patch("replicasets", metadata["namespace"], metadata["name"], patch, manager=MANAGER)
        item.update(found)

    def _forget_history(self, new: Json) -> None:
        unused = [
            item
            for item in self.sets
            if item is not new and not item["spec"]["replicas"] and not item["status"].get("replicas")
        ]
        surplus = len(unused) - self.item["spec"]["revisionHistoryLimit"]
        for item in sorted(unused, key=_revision)[: max(surplus, 0)]:
            self.objects.delete("replicasets", item["metadata"]["namespace"], item["metadata"]["name"])
            self.sets.remove(item)

    def _report(self, new: Json | None) -> datetime | None:
        """Write the status; answers when the progress deadline is over, if one runs."""
        total = sum(item["status"].get("replicas", 0) for item in self.sets)
        available = sum(item["status"].get("availableReplicas", 0) for item in self.sets)
        before = self.item["status"]
        counts = {
            "observedGeneration": self.item["metadata"]["generation"],
            "replicas": total,
            "updatedReplicas": new["status"].get("replicas", 0) if new else 0,
            "readyReplicas": sum(item["status"].get("readyReplicas", 0) for item in self.sets),
            "availableReplicas": available,
            "unavailableReplicas": max(total - available, 0),
            "collisionCount": before.get("collisionCount", 0),
        }
        status = {key: value for key, value in counts.items() if value}
        if before.get("conditions"):
            status["conditions"] = before["conditions"]
        self._judge_progress(new, before, status)
        enough = available >= self.replicas - self.unavailable
        self._set(
            "Available",
            "True" if enough else "False",
            "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
            f"Deployment {'has' if enough else 'does not have'} minimum availability.",
        )
        status["conditions"] = self.item["status"]["conditions"]
        self._write_status(status, _revision(new) if new else 0)
        return self._deadline()

    def _judge_progress(self, new: Json | None, before: Json, status: Json) -> None:
        complete = (
            status.get("updatedReplicas", 0)
            == status.get("replicas", 0)
            == status.get("availableReplicas", 0)
            == self.replicas
        )
        who = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{self.item["metadata"]["name"]}"'
        current = condition(self.item, "Progressing")
        done = current is not None and current["reason"] == "NewReplicaSetAvailable"
        if done and status.get("replicas", 0) == status.get("updatedReplicas", 0):
            return
        if complete:
            self._set_progress("True", "NewReplicaSetAvailable", f"{who} has successfully progressed.")
        elif _moved(before, status):
            self._set_progress("True", "ReplicaSetUpdated", f"{who} is progressing.", refresh=True)
        elif (deadline := self._deadline()) is not None and self.now >= deadline:
            self._set_progress("False", "ProgressDeadlineExceeded", f"{who} has timed out progressing.")

    def _deadline(self) -> datetime | None:
        seconds = self.item["spec"]["progressDeadlineSeconds"]
        current = condition(self.item, "Progressing")
        if current is None or seconds == _NEVER or self.item["spec"].get("paused"):
            return None
        if current["reason"] in {"NewReplicaSetAvailable", "ProgressDeadlineExceeded"}:
            return None
        since = datetime.strptime(current["lastUpdateTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        return since + timedelta(seconds=seconds + 1)

    def _set_progress(self, status: str, reason: str, message: str, *, refresh: bool = False) -> None:
        self._set("Progressing", status, reason, message, refresh=refresh)

    def _set(self, name: str, status: str, reason: str, message: str, *, refresh: bool = False) -> None:
        time = timestamp(self.now)
        current = condition(self.item, name)
        if current and (current["status"], current["reason"]) == (status, reason) and not refresh:
            return
        since = current["lastTransitionTime"] if current and current["status"] == status else time
        fresh = {
            "type": name,
            "status": status,
            "lastUpdateTime": time,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        }
        others = [c for c in self.item["status"].get("conditions") or () if c["type"] != name]
        self.item["status"]["conditions"] = [*others, fresh]

    def _write_status(self, status: Json, revision: int = 0) -> None:
        metadata = self.item["metadata"]
        annotations = dict(metadata.get("annotations") or {})
        if revision:
            annotations[REVISION] = str(revision)
        body = {**self.item, "metadata": {**metadata, "annotations": annotations}, "status": status}
        stored = self.objects.replace(
            "deployments", metadata["namespace"], metadata["name"], body, subresource="status", manager=MANAGER
        )
        self.item = stored


def _moved(before: Json, after: Json) -> bool:
    """Whether the rollout came further since the last look."""

    def old(status: Json) -> int:
        left: int = status.get("replicas", 0) - status.get("updatedReplicas", 0)
        return left

    return (
        after.get("updatedReplicas", 0) > before.get("updatedReplicas", 0)
        or old(after) < old(before)
        or after.get("readyReplicas", 0) > before.get("readyReplicas", 0)
        or after.get("availableReplicas", 0) > before.get("availableReplicas", 0)
    )
