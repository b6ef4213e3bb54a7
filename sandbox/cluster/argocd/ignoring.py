"""`ignoreDifferences` of an Application: what of an object does not count as drift. Pure.

JSON pointers, the simple paths of jq (`.spec.selector."a/b"`, `.spec.selector["a/b"]`), and fields of a manager.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sandbox.cluster.kinds import kind_of
from sandbox.cluster.ownership import fields_of
from sandbox.cluster.patches import Json, copied

Path = tuple[str, ...]

_JQ_PART = re.compile(r'\.?\["([^"]+)"\]|\."([^"]+)"|\.([\w-]+)')


def ignored_paths(rules: Iterable[Json], live: Json) -> list[Path]:
    found: list[Path] = []
    for rule in rules:
        if _concerns(rule, live):
            found += [_pointer(text) for text in rule.get("jsonPointers") or ()]
            found += [_jq(text) for text in rule.get("jqPathExpressions") or ()]
            found += [path for manager in rule.get("managedFieldsManagers") or () for path in fields_of(live, manager)]
    return found


def _concerns(rule: Json, live: Json) -> bool:
    metadata = live["metadata"]
    facts = {
        "group": kind_of(live).group,
        "kind": live["kind"],
        "name": metadata["name"],
        "namespace": metadata.get("namespace", ""),
    }
    group, kind = rule.get("group", ""), rule.get("kind", "")
    exact = all(rule[key] == facts[key] for key in ("name", "namespace") if rule.get(key))
    return exact and group in {"*", facts["group"]} and kind in {"*", facts["kind"]}


def _pointer(text: str) -> Path:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def _jq(text: str) -> Path:
    return tuple(next(filter(None, found)) for found in _JQ_PART.findall(text))


def without(item: Json, paths: Iterable[Path]) -> Json:
    result: Json = copied(item)
    for path in paths:
        holder = _holder(result, path)
        if isinstance(holder, dict):
            holder.pop(path[-1], None)
    return result


def as_live(wanted: Json, live: Json, paths: Iterable[Path]) -> Json:
    """The manifest with what is ignored as it stands in the cluster, so that applying it changes nothing there."""
    result: Json = copied(wanted)
    for path in paths:
        there = _holder(live, path)
        if isinstance(there, dict) and path[-1] in there:
            holder = _holder(result, path, make=True)
            if isinstance(holder, dict):
                holder[path[-1]] = copied(there[path[-1]])
    return result


def _holder(item: Any, path: Path, *, make: bool = False) -> Any:
    for key in path[:-1]:
        if isinstance(item, list) and key.isdecimal() and int(key) < len(item):
            item = item[int(key)]
        elif isinstance(item, dict):
            item = item.setdefault(key, {}) if make else item.get(key)
        else:
            return None
    return item
