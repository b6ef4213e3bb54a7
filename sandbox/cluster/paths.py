"""What a URL of the Kubernetes API names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from sandbox.cluster.kinds import KINDS, Kind


@dataclass(frozen=True)
class Target:
    """An object, its subresource, or (without a name) a collection; namespace "" is all of them."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def target_of(path: str, kinds: Iterable[Kind]) -> Target | None:
    """None for what is no API path of one of these kinds."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    match parts:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            return None
    match rest:
        case ["namespaces", name, ("status" | "finalize") as subresource] if not group:
            return Target(KINDS["namespaces"], "", name, subresource)
        case ["namespaces", namespace, plural, *tail]:
            kind = _kind(kinds, group, version, plural)
            return _named(kind, namespace, tail) if kind and kind.namespaced else None
        case [plural, *tail]:
            kind = _kind(kinds, group, version, plural)
            if not kind or (kind.namespaced and tail):
                return None
            return _named(kind, "", tail)
    return None


def _kind(kinds: Iterable[Kind], group: str, version: str, plural: str) -> Kind | None:
    return next((k for k in kinds if (k.group, k.version, k.plural) == (group, version, plural)), None)


def _named(kind: Kind, namespace: str, tail: list[str]) -> Target | None:
    match tail:
        case []:
            return Target(kind, namespace)
        case [name]:
            return Target(kind, namespace, name)
        case [name, subresource] if subresource in kind.subresources:
            return Target(kind, namespace, name, subresource)
    return None
