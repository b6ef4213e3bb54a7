"""Who last wrote which field: `metadata.managedFields`, the way the API server keeps it.

A field is named as in fieldsV1: `f:spec`, `k:{"name":"myapp"}` for an item of a keyed list, `v:"x"` for one of a set.
Pure; times are RFC 3339 texts. Source: sigs.k8s.io/structured-merge-diff and probes of 1.34.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.cluster.errors import apply_conflict
from sandbox.cluster.patches import Json, copied
from sandbox.cluster.schema import Path, identity, is_atomic_map, is_set, merge_keys

Field = tuple[str, ...]

# The server owns these; nobody else is ever noted for them.
_SYSTEM = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    }
)


@dataclass(frozen=True)
class Writer:
    """Who writes: `operation` is Update or Apply, `subresource` is "", status or scale."""

    manager: str
    api_version: str
    operation: str = "Update"
    subresource: str = ""

    def wrote(self, entry: Mapping[str, Any]) -> bool:
        return bool(
            entry["manager"] == self.manager
            and entry["operation"] == self.operation
            and entry.get("subresource", "") == self.subresource
            and entry["apiVersion"] == self.api_version
        )


def fields(item: Mapping[str, Any]) -> dict[Field, Any]:
    """Every field of an object with its value, without what the server itself owns."""
    metadata = {key: value for key, value in (item.get("metadata") or {}).items() if key not in _SYSTEM}
    rest = {key: value for key, value in item.items() if key not in {"apiVersion", "kind", "metadata"}}
    return dict(_leaves({**({"metadata": metadata} if metadata else {}), **rest}, (), ()))


def _leaves(value: Any, path: Path, field: Field) -> Iterator[tuple[Field, Any]]:
    if isinstance(value, dict) and value and not is_atomic_map(path):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key), (*field, f"f:{key}"))
    elif isinstance(value, list) and path and is_set(path):
        for inner in value:
            yield (*field, f"v:{json.dumps(inner)}"), inner
    elif isinstance(value, list) and value and path and (keys := merge_keys(path)):
        for inner in value:
            who = identity(inner, keys)
            if who is None:
                yield field, value
                return
            name = json.dumps(dict(zip(keys, who, strict=True)), separators=(",", ":"))
            yield from _leaves(inner, path, (*field, f"k:{name}"))
    else:
        yield field, value


def fields_of(item: Mapping[str, Any], manager: str) -> list[tuple[str, ...]]:
    """What a manager owns, as the names on the way; items of lists are left out."""
    entries = [entry for entry in item["metadata"].get("managedFields") or () if entry["manager"] == manager]
    found = [field for entry in entries for field in _owned(entry)]
    return [tuple(part[2:] for part in field) for field in found if all(part.startswith("f:") for part in field)]


def noted_update(before: Json | None, after: Json, writer: Writer, time: str) -> list[Json]:
    """The entries after an update: what changed belongs to the writer, and no longer to anyone else."""
    old, new = (fields(before) if before else {}), fields(after)
    changed = {field for field, value in new.items() if field not in old or old[field] != value}
    entries = (before or {}).get("metadata", {}).get("managedFields") or []
    return _rewritten(entries, writer, time, gained=changed, existing=new.keys())


def noted_apply(before: Json | None, after: Json, config: Json, writer: Writer, time: str) -> list[Json]:
    """The entries after an apply: the writer owns exactly what its configuration says; others may share it."""
    entries = (before or {}).get("metadata", {}).get("managedFields") or []
    old, new = (fields(before) if before else {}), fields(after)
    wanted = {field for field in fields(config) if field in new}
    taken = {field for field in wanted if field in old and old[field] != new[field]}
    mine = [entry for entry in entries if writer.wrote(entry)]
    others = [entry for entry in entries if not writer.wrote(entry)]
    kept = [entry for entry in (_reduced(entry, taken, new.keys()) for entry in others) if entry]
    unchanged = bool(mine) and set(_owned(mine[0])) == wanted
    when = mine[0].get("time", time) if unchanged and old == new else time
    return _sorted([*kept, _entry(writer, wanted, when)])


def check_conflicts(live: Json, config: Json, writer: Writer) -> None:
    """409 when the configuration would change fields that somebody else owns."""
    current, wanted = fields(live), fields(config)
    differing = {field for field, value in wanted.items() if field in current and current[field] != value}
    causes = [
        (entry["manager"], entry["apiVersion"], _dotted(field))
        for entry in live["metadata"].get("managedFields") or ()
        if not writer.wrote(entry)
        for field in sorted(differing & set(_owned(entry)))
    ]
    if causes:
        raise apply_conflict(causes)


def without_abandoned(live: Json, config: Json, writer: Writer) -> Json:
    """The live object without what this writer applied before, no longer names, and nobody else owns."""
    entries = live["metadata"].get("managedFields") or []
    mine = {field for entry in entries if writer.wrote(entry) for field in _owned(entry)}
    theirs = {field for entry in entries if not writer.wrote(entry) for field in _owned(entry)}
    result: Json = copied(live)
    for field in sorted(mine - theirs - fields(config).keys(), key=len, reverse=True):
        _remove(result, field)
    return result


def _remove(container: Any, field: Field) -> None:
    head, *rest = field
    if head.startswith("f:"):
        _remove_member(container, head[2:], tuple(rest))
    elif isinstance(container, list):
        _remove_item(container, json.loads(head[2:]), tuple(rest))


def _remove_member(container: Any, key: str, rest: Field) -> None:
    if not isinstance(container, dict) or key not in container:
        return
    if rest:
        _remove(container[key], rest)
    if not rest or container[key] in ({}, []):
        del container[key]


def _remove_item(container: list[Any], wanted: Any, rest: Field) -> None:
    for item in list(container):
        if not isinstance(wanted, dict):
            if item == wanted:
                container.remove(item)
        elif identity(item, tuple(wanted)) == tuple(wanted.values()):
            # What tells an item apart stays until nothing else is left of it.
            if rest and rest[0][2:] not in wanted:
                _remove(item, rest)
            if not rest or item.keys() <= wanted.keys():
                container.remove(item)


def _rewritten(
    entries: Iterable[Json], writer: Writer, time: str, *, gained: set[Field], existing: Iterable[Field]
) -> list[Json]:
    present = set(existing)
    result, own = [], set(gained)
    when = time
    for entry in entries:
        if writer.wrote(entry):
            before = set(_owned(entry))
            own |= before & present
            when = time if gained or own != before else entry.get("time", time)
        elif reduced := _reduced(entry, gained, present):
            result.append(reduced)
    if own:
        result.append(_entry(writer, own, when))
    return _sorted(result)


def _reduced(entry: Json, taken: set[Field], existing: Iterable[Field]) -> Json | None:
    owned = set(_owned(entry))
    left = (owned - taken) & set(existing)
    if left == owned:
        return entry
    return {**entry, "fieldsV1": _tree(left)} if left else None


def _entry(writer: Writer, owned: Iterable[Field], time: str) -> Json:
    found = {
        "manager": writer.manager,
        "operation": writer.operation,
        "apiVersion": writer.api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": _tree(owned),
    }
    return {**found, "subresource": writer.subresource} if writer.subresource else found


def _sorted(entries: list[Json]) -> list[Json]:
    return sorted(
        entries, key=lambda e: (e["operation"] != "Apply", e.get("time", ""), e["manager"], e.get("subresource", ""))
    )


def _owned(entry: Mapping[str, Any]) -> Iterator[Field]:
    return _paths(entry["fieldsV1"], ())


def _paths(tree: Mapping[str, Any], field: Field) -> Iterator[Field]:
    inner = {key: value for key, value in tree.items() if key != "."}
    if not inner and field:
        yield field
    for key, value in inner.items():
        yield from _paths(value, (*field, key))


def _tree(owned: Iterable[Field]) -> Json:
    root: Json = {}
    for field in sorted(owned):
        node = root
        for part in field:
            if part.startswith("k:"):
                node.setdefault(".", {})
            node = node.setdefault(part, {})
            if part.startswith("k:"):
                node.setdefault(".", {})
    return root


def _dotted(field: Field) -> str:
    """`.spec.template.spec.containers[name="myapp"].image`, as conflicts are reported."""
    text = ""
    for part in field:
        if part.startswith("f:"):
            text += f".{part[2:]}"
        elif part.startswith("k:"):
            pairs = ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(part[2:]).items())
            text += f"[{pairs}]"
        else:
            text += f"[={part[2:]}]"
    return text
