"""A status as Go's types have it. Pure.

The controller writes only what changed between two of these. So what somebody else wrote stays, when it makes no
difference here: `abort: false` is the same as no abort, and is left standing.
"""

from __future__ import annotations

from sandbox.cluster.patches import Json

_STRUCTS = ("blueGreen", "canary")


def as_go(status: Json) -> Json:
    """Without zero values, as Go's omitempty has it; structs are always there."""
    found = _without_zeros({key: value for key, value in status.items() if key not in _STRUCTS})
    return found | {key: _without_zeros(status.get(key) or {}) for key in _STRUCTS}


def _without_zeros(values: Json) -> Json:
    # A count of collisions that is 0 is a pointer to 0: it stays.
    return {key: value for key, value in values.items() if value or (key == "collisionCount" and value == 0)}
