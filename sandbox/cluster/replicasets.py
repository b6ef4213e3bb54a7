"""ReplicaSet → Pods: as many as asked for, and when there are too many, those that serve least go first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.cluster.controllers import (
    MANAGER,
    PerNamespace,
    by_owner,
    condition,
    controller_of,
    earliest,
    is_active,
    is_ready,
    owned_by,
    owner_reference,
)
from sandbox.cluster.objects import Objects
from sandbox.cluster.patches import Json, copied
from sandbox.cluster.selectors import selects


class ReplicaSets(PerNamespace):
    """The ReplicaSet controller."""

    def look(self, objects: Objects, namespace: str, now: datetime) -> datetime | None:
        pods = [pod for pod in objects.items("pods", namespace) if is_active(pod)]
        owned, orphans = by_owner(pods), [pod for pod in pods if controller_of(pod) is None]
        due = []
        for item in objects.items("replicasets", namespace):
            candidates = owned.get(item["metadata"]["uid"], []) + orphans
            due.append(self._one(objects, item, candidates, now))
        return earliest(due)

    def _one(self, objects: Objects, item: Json, pods: list[Json], now: datetime) -> datetime | None:
        owned = _claimed(objects, item, pods)
        if "deletionTimestamp" not in item["metadata"]:
            surplus = len(owned) - item["spec"]["replicas"]
            for _ in range(-surplus):
                owned.append(_born(objects, item))
            for pod in sorted(owned, key=_worth)[: max(surplus, 0)]:
                objects.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
                owned.remove(pod)
        return _report(objects, item, owned, now)


def _claimed(objects: Objects, item: Json, pods: list[Json]) -> list[Json]:
    """The pods of a ReplicaSet. Orphans that match are adopted, its own that no longer match are let go."""
    going = "deletionTimestamp" in item["metadata"]
    found = []
    for pod in pods:
        mine = bool(owned_by(item, [pod]))
        matching = selects(item["spec"]["selector"], pod["metadata"].get("labels") or {})
        if mine and not matching:
            _own(objects, pod, None)
        elif mine:
            found.append(pod)
        elif matching and not going and controller_of(pod) is None:
            found.append(pod)
            pod.update(_own(objects, pod, item))  # the next ReplicaSet must not take it as well
    return found


def _own(objects: Objects, pod: Json, owner: Json | None) -> Json:
    metadata = pod["metadata"]
    others = [r for r in metadata.get("ownerReferences") or () if not r.get("controller")]
    references = [*others, owner_reference(owner)] if owner else others
    patch = {"metadata": {"ownerReferences": references or None}}
    return objects.patch("pods", metadata["namespace"], metadata["name"], patch, manager=MANAGER)


def _born(objects: Objects, item: Json) -> Json:
    template = copied(item["spec"]["template"])
    metadata = {
        **template["metadata"],
        "generateName": f"{item['metadata']['name']}-",
        "ownerReferences": [owner_reference(item)],
    }
    body = {"metadata": metadata, "spec": template["spec"]}
    return objects.create("pods", item["metadata"]["namespace"], body, manager=MANAGER)


def _worth(pod: Json) -> tuple[bool, bool, bool, int, float]:
    """Sorts those first that may go first: not placed, not running, not ready, restarted, and the youngest."""
    restarts = sum(s["restartCount"] for s in pod["status"].get("containerStatuses") or ())
    born = datetime.strptime(pod["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    running = pod["status"].get("phase") == "Running"
    return bool(pod["spec"].get("nodeName")), running, is_ready(pod), -restarts, -born.timestamp()


def _report(objects: Objects, item: Json, pods: list[Json], now: datetime) -> datetime | None:
    wait = timedelta(seconds=item["spec"].get("minReadySeconds", 0))
    since = [_ready_since(pod) for pod in pods if is_ready(pod)]
    counts = {
        "fullyLabeledReplicas": len(pods),
        "readyReplicas": len(since),
        "availableReplicas": sum(moment + wait <= now for moment in since),
        "observedGeneration": item["metadata"]["generation"],
    }
    status = {"replicas": len(pods), **{key: value for key, value in counts.items() if value}}
    metadata = item["metadata"]
    objects.replace(
        "replicasets",
        metadata["namespace"],
        metadata["name"],
        {**item, "metadata": {"name": metadata["name"]}, "status": status},
        subresource="status",
        manager=MANAGER,
    )
    return earliest([moment + wait for moment in since if moment + wait > now])


def _ready_since(pod: Json) -> datetime:
    found = (condition(pod, "Ready") or {})["lastTransitionTime"]
    return datetime.strptime(found, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
