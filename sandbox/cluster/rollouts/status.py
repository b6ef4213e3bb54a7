"""How the controller writes a status: only what changed since the status it knows, as a merge patch. Pure.

So a field that somebody else wrote stays when the controller's view of it did not change: `abort: false`, for example,
is the same as no abort to Go, and is left standing.
"""

from __future__ import annotations

from typing import Any

from sandbox.cluster.patches import Json

_STRUCTS = ("blueGreen", "canary")


def as_go(status: Json) -> Json:
    """Without zero values, as Go's omitempty has it; structs are always there."""
    found = _without_zeros({key: value for key, value in status.items() if key not in _STRUCTS})
    return found | {key: _without_zeros(status.get(key) or {}) for key in _STRUCTS}


def _without_zeros(values: Json) -> Json:
    # A count of collisions that is 0 is a pointer to 0: it stays.
    return {key: value for key, value in values.items() if value or (key == "collisionCount" and value == 0)}


def difference(before: Json, after: Json) -> Json:
    """The merge patch that makes `after` of `before`; lists are replaced whole."""
    patch: Json = {key: None for key in before if key not in after}
    for key, value in after.items():
        found: Any = before.get(key)
        if isinstance(value, dict) and isinstance(found, dict):
            if inner := difference(found, value):
                patch[key] = inner
        elif value != found or key not in before:
            patch[key] = value
    return patch
