"""What an object becomes when its manifest is applied: if that is not what it is, it has drifted. Pure.

Client-side apply is a three-way merge: what others added stays. Server-side apply is the API server's: a map that is
one value to it (a Service's selector) is put back whole.
"""

from __future__ import annotations

import json
from typing import Any

from sandbox.cluster.patches import Json, copied
from sandbox.cluster.schema import Path, identity, merge_keys

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def last_applied(live: Json) -> Json:
    found: Json = json.loads((live["metadata"].get("annotations") or {}).get(LAST_APPLIED) or "{}")
    return found


def with_last_applied(item: Json, wanted: Json) -> Json:
    found: Json = copied(item)
    text = json.dumps(wanted, separators=(",", ":"), sort_keys=True) + "\n"
    found["metadata"].setdefault("annotations", {})[LAST_APPLIED] = text
    return found


def merged(live: Json, wanted: Json) -> Json:
    """The object after `kubectl apply` of a manifest: what the last one said and this one does not is taken away."""
    result: Json = _merged(live, last_applied(live), wanted, ())
    return result


def _merged(live: Any, before: Any, wanted: Any, path: Path) -> Any:
    if isinstance(wanted, dict):
        return _merged_map(live, before, wanted, path)
    if isinstance(wanted, list) and path and (keys := merge_keys(path)):
        return _merged_list(live, before, wanted, path, keys)
    return copied(wanted)


def _merged_map(live: Any, before: Any, wanted: Json, path: Path) -> Json:
    present = live if isinstance(live, dict) else {}
    known = before if isinstance(before, dict) else {}
    result: Json = {key: copied(value) for key, value in present.items() if key not in known or key in wanted}
    for key, value in wanted.items():
        if value is not None:
            result[key] = _merged(present.get(key), known.get(key), value, (*path, key))
    return result


def _merged_list(live: Any, before: Any, wanted: list[Any], path: Path, keys: tuple[str, ...]) -> list[Any]:
    present, known = (each if isinstance(each, list) else [] for each in (live, before))
    said = {identity(item, keys): item for item in wanted}
    result = []
    for item in present:
        who = identity(item, keys)
        if who in said:
            result.append(_merged(item, _item(known, who, keys), said.pop(who), path))
        elif _item(known, who, keys) is None:
            result.append(copied(item))
    return [*result, *(copied(item) for item in said.values())]


def _item(items: list[Any], who: Any, keys: tuple[str, ...]) -> Any:
    return next((item for item in items if identity(item, keys) == who), None)


def settled(item: Json) -> Json:
    """What of an object can drift: not what the server keeps about it, nor its status."""
    found: Json = {key: copied(value) for key, value in item.items() if key != "status"}
    kept = ("name", "namespace", "labels", "annotations", "finalizers", "ownerReferences")
    found["metadata"] = {key: value for key, value in found["metadata"].items() if key in kept}
    annotations = found["metadata"].get("annotations") or {}
    annotations.pop(LAST_APPLIED, None)
    if not annotations:
        found["metadata"].pop("annotations", None)
    return found
