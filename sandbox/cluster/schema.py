"""Which lists and maps of Kubernetes objects are merged, and by which key; all others are replaced whole. Pure.

Source: the `patchMergeKey` and `listType=map` markers in k8s.io/api. A path is the names on the way, without indices:
`("spec", "template", "spec", "containers", "ports")`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Path = tuple[str, ...]
Item = Mapping[str, Any]

_BY_NAME: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
}
_CONTAINERS = frozenset({"containers", "initContainers", "ephemeralContainers"})
_ATOMIC_MAPS = frozenset({("spec", "selector"), ("targetRef",), ("nodeSelector",), ("labelSelector",)})
_SETS = frozenset({("metadata", "finalizers")})


def merge_keys(path: Path) -> tuple[str, ...] | None:
    """The fields that tell the items of the list at `path` apart; None: the list is one value."""
    if path[-1] == "ports":
        if len(path) > 1 and path[-2] in _CONTAINERS:
            return ("containerPort", "protocol")
        return ("port", "protocol") if path == ("spec", "ports") else None
    return _BY_NAME.get(path[-1])


def strategic_keys(path: Path) -> tuple[str, ...] | None:
    """The same for a strategic merge patch, which knows one key only: a port's number without its protocol."""
    keys = merge_keys(path)
    return keys[:1] if keys else None


def is_atomic_map(path: Path) -> bool:
    return path in _ATOMIC_MAPS or path[-1:] in _ATOMIC_MAPS


def is_set(path: Path) -> bool:
    return path in _SETS


def identity(item: Any, keys: tuple[str, ...]) -> tuple[Any, ...] | None:
    """What tells an item apart, or None when it has none of the keys."""
    if not isinstance(item, Mapping) or keys[0] not in item:
        return None
    return tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys)
