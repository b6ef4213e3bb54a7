"""What goes when its owner or its namespace goes: the garbage collector and the namespace controller."""

from __future__ import annotations

from datetime import datetime

from sandbox.cluster.controllers import MANAGER, PerNamespace
from sandbox.cluster.kinds import ALL
from sandbox.cluster.objects import Objects
from sandbox.cluster.patches import Json

_FOREGROUND = "foregroundDeletion"
_ORPHAN = "orphan"


class Collector(PerNamespace):
    """Deletes what no longer has an owner, and finishes deletions that waited for their dependents."""

    def look(self, objects: Objects, namespace: str, now: datetime) -> datetime | None:  # noqa: ARG002 - waits for no time
        everything = [
            (kind.plural, item) for kind in ALL if kind.namespaced for item in objects.items(kind.plural, namespace)
        ]
        everything += [
            ("namespaces", item) for item in objects.items("namespaces", "", "", f"metadata.name={namespace}")
        ]
        living = {item["metadata"]["uid"] for _, item in everything}
        for plural, item in everything:
            owners = [r["uid"] for r in item["metadata"].get("ownerReferences") or ()]
            if owners and not living & set(owners):
                _delete(objects, plural, item)
        for plural, item in everything:
            if "deletionTimestamp" in item["metadata"]:
                _finish(objects, plural, item, everything)
        return None


def _finish(objects: Objects, plural: str, item: Json, everything: list[tuple[str, Json]]) -> None:
    finalizers = item["metadata"].get("finalizers") or []
    dependents = [(p, d) for p, d in everything if item["metadata"]["uid"] in _owners(d)]
    if _ORPHAN in finalizers:
        for where, dependent in dependents:
            left = [r for r in dependent["metadata"]["ownerReferences"] if r["uid"] != item["metadata"]["uid"]]
            _patch(objects, where, dependent, {"metadata": {"ownerReferences": left or None}})
        _patch(objects, plural, item, {"metadata": {"finalizers": _without(finalizers, _ORPHAN)}})
    elif _FOREGROUND in finalizers:
        for where, dependent in dependents:
            _delete(objects, where, dependent, "Foreground")
        blocking = [d for _, d in dependents if _blocks(d, item)]
        if not blocking:
            _patch(objects, plural, item, {"metadata": {"finalizers": _without(finalizers, _FOREGROUND)}})
    elif plural == "namespaces":
        name = item["metadata"]["name"]
        content = [(p, d) for p, d in everything if d["metadata"].get("namespace") == name]
        for where, inner in content:
            _delete(objects, where, inner)
        if not content:
            body = {**item, "spec": {"finalizers": []}}
            objects.replace("namespaces", "", name, body, subresource="finalize", manager=MANAGER)


def _owners(item: Json) -> set[str]:
    return {reference["uid"] for reference in item["metadata"].get("ownerReferences") or ()}


def _blocks(dependent: Json, owner: Json) -> bool:
    references = dependent["metadata"]["ownerReferences"]
    return any(r["uid"] == owner["metadata"]["uid"] and r.get("blockOwnerDeletion") for r in references)


def _without(finalizers: list[str], one: str) -> list[str] | None:
    return [name for name in finalizers if name != one] or None


def _delete(objects: Objects, plural: str, item: Json, propagation: str = "Background") -> None:
    metadata = item["metadata"]
    if "deletionTimestamp" not in metadata:
        objects.delete(plural, metadata.get("namespace", ""), metadata["name"], propagation=propagation)


def _patch(objects: Objects, plural: str, item: Json, patch: Json) -> None:
    metadata = item["metadata"]
    objects.patch(plural, metadata.get("namespace", ""), metadata["name"], patch, manager=MANAGER)
