"""The few objects of an app as an API server keeps them: versions, generations, who changed what, conditional patches.

An object is never changed, only replaced, so it may be handed out as it is and a copy of the whole is a shallow one.
The sandbox's API server is the referee: `test_objects.py` sends both the same patches.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

from bot.clusters.errors import Missing, Stale

Json = dict[str, Any]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("services", "deployments", "pods", "endpointslices", "rollouts", "replicasets")


class Refused(Stale):
    """422: a `test` failed, or a path is not there."""


class Objects:
    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.version = 1000
        self.kinds: dict[str, dict[str, Json]] = {kind: {} for kind in KINDS}
        self.log: list[tuple[str, str, Json]] = []
        """Every change as watches tell it: (kind, type, object). The version after the n-th is 1000 + n."""

    def copy(self, seconds: Callable[[], float]) -> "Objects":
        other = Objects(seconds)
        other.version = self.version
        other.kinds = {kind: dict(found) for kind, found in self.kinds.items()}
        other.log = list(self.log)
        return other

    def get(self, plural: str, name: str) -> Json:
        try:
            return self.kinds[plural][name]
        except KeyError:
            raise Missing(f"not found: {plural}/{name}") from None

    def create(self, plural: str, wanted: Json, manager: str = "") -> Json:
        made = {**wanted, "metadata": {"namespace": "mochi", **wanted["metadata"], "generation": 1}}
        made["metadata"] |= {"uid": f"uid-{self.version}", "creationTimestamp": self.moment()}
        if manager:
            fields = [{"op": "add", "path": f"/spec/{key}", "value": value} for key, value in wanted["spec"].items()]
            made["metadata"]["managedFields"] = self._owned([], fields, manager)
        return self._put(plural, made, "ADDED")

    def delete(self, plural: str, name: str) -> None:
        gone = self.kinds[plural].pop(name)
        self.version += 1
        metadata = {**gone["metadata"], "resourceVersion": str(self.version)}
        self.log.append((plural, "DELETED", {**gone, "metadata": metadata}))

    def status(self, plural: str, name: str, status: Json) -> Json:
        """What a controller reports: neither a new generation nor a new owner."""
        present = self.kinds[plural][name]
        if present.get("status") == status:
            return present
        return self._put(plural, {**present, "status": status, "metadata": dict(present["metadata"])}, "MODIFIED")

    def replace(self, plural: str, changed: Json) -> Json:
        """What a controller keeps whole, such as an EndpointSlice."""
        return self._put(plural, {**changed, "metadata": dict(changed["metadata"])}, "MODIFIED")

    def change(self, plural: str, changed: Json, manager: str = "", *path: str) -> Json:
        """What a controller makes of an object, whatever it is by now; `path` is what it will be recorded for."""
        metadata, present = dict(changed["metadata"]), self.kinds[plural][changed["metadata"]["name"]]
        if changed["spec"] != present["spec"]:
            metadata["generation"] = present["metadata"]["generation"] + 1
        if manager:
            value = reduce(lambda item, key: item[key], path, changed)
            fields = [{"op": "replace", "path": f"/{'/'.join(path)}", "value": value}]
            metadata["managedFields"] = self._owned(metadata.get("managedFields") or [], fields, manager)
        return self._put(plural, {**changed, "metadata": metadata}, "MODIFIED")

    def patch(
        self, plural: str, name: str, operations: Iterable[Mapping[str, Any]], manager: str, subresource: str = ""
    ) -> Json:
        """A JSON Patch (RFC 6902), whole or not at all; raises `Refused`."""
        operations = list(operations)
        present = self.get(plural, name)
        changed = patched(present, operations)
        if plural == "rollouts":  # what a patch of the one changes in the other is dropped without a word
            changed = (
                {**present, "status": changed["status"]} if subresource else {**changed, "status": present["status"]}
            )
        if changed == present:
            return present
        metadata = dict(changed["metadata"])
        if changed["spec"] != present["spec"]:
            metadata["generation"] = present["metadata"]["generation"] + 1
        metadata["managedFields"] = self._owned(metadata.get("managedFields") or [], operations, manager)
        return self._put(plural, {**changed, "metadata": metadata}, "MODIFIED")

    def moment(self, after: float = 0.0) -> str:
        """Now, or so many seconds later, as the API server writes times: to the second."""
        return (EPOCH + timedelta(seconds=int(self._seconds() + after))).isoformat().replace("+00:00", "Z")

    def _owned(self, known: list[Json], operations: list[Mapping[str, Any]], manager: str) -> list[Json]:
        owned: dict[str, Json] = next((each["fieldsV1"] for each in known if each["manager"] == manager), {})
        for operation in operations:
            if operation["op"] != "test":
                first, second, *below = [*operation["path"].split("/"), ""][1:4]
                value = operation.get("value")
                leaves = value if not any(below) and isinstance(value, dict) else filter(None, below)
                fields = owned.get(f"f:{first}", {})
                known_leaves = {**fields.get(f"f:{second}", {}), **{f"f:{leaf}": {} for leaf in leaves}}
                owned = {**owned, f"f:{first}": {**fields, f"f:{second}": known_leaves}}
        mine = {"manager": manager, "operation": "Update", "time": self.moment(), "fieldsV1": owned}
        return [*(each for each in known if each["manager"] != manager), mine]

    def _put(self, plural: str, item: Json, kind: str) -> Json:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self.kinds[plural][item["metadata"]["name"]] = item
        self.log.append((plural, kind, item))
        return item


def patched(item: Json, operations: Iterable[Mapping[str, Any]]) -> Json:
    """The object after a JSON Patch, sharing with the old one what was not touched."""
    for operation in operations:
        keys = [key.replace("~1", "/").replace("~0", "~") for key in operation["path"].split("/")[1:]]
        item = _at(item, keys, operation)
    return item


def _at(item: Any, keys: list[str], operation: Mapping[str, Any]) -> Any:
    op, path = operation["op"], operation["path"]
    if not keys:
        if op == "test" and item != operation["value"]:
            raise Refused(f"testing {path} failed")
        return item if op == "test" else operation["value"]
    key: Any = keys[0]
    if isinstance(item, list):
        if not key.isdecimal() or int(key) >= len(item):
            raise Refused(f"{path} is not there")
        key = int(key)
    elif isinstance(item, dict) and key not in item and op == "test" and len(keys) == 1 and operation["value"] is None:
        return item  # what is not there is null
    elif not isinstance(item, dict) or (key not in item and (len(keys) > 1 or op != "add")):
        raise Refused(f"{path} is not there")
    if len(keys) == 1 and op == "remove":
        return {each: value for each, value in item.items() if each != key}
    below = operation["value"] if len(keys) == 1 and op != "test" else _at(item[key], keys[1:], operation)
    if op == "test":
        return item
    copy = item.copy()
    copy[key] = below
    return copy
