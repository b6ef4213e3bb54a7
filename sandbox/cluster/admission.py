"""What becomes of a body before it is stored: is it decodable, complete, valid, and what of it may be written. Pure."""

from __future__ import annotations

from typing import Any

from sandbox.cluster import errors, validation
from sandbox.cluster.defaults import tidy_metadata, without_nulls
from sandbox.cluster.errors import Cause
from sandbox.cluster.kinds import Kind
from sandbox.cluster.patches import Json, copied
from sandbox.cluster.subresources import with_part

KEPT_BY_SERVER = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_ALLOCATED = frozenset({"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "finalizers"})


def decoded(kind: Kind, namespace: str, body: Any) -> Json:
    """A copy of the body as an object of its kind; 400 for what is none, or is meant for elsewhere."""
    if not isinstance(body, dict):
        raise errors.bad_request("the body of the request is not an object")
    item: Json = copied(body)
    given = item.setdefault("apiVersion", kind.api_version), item.setdefault("kind", kind.kind)
    item = {"apiVersion": given[0], "kind": given[1], **item}
    if given != (kind.api_version, kind.kind):
        message = f'{given[1]} in version "{given[0]}" cannot be handled as a {kind.kind}'
        raise errors.bad_request(message)
    item.setdefault("metadata", {})
    if problem := validation.wrong_type(item):
        raise errors.bad_request(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {problem}'
        )
    where = item["metadata"].get("namespace") or namespace
    if kind.namespaced and where != namespace:
        raise errors.bad_request(
            f"the namespace of the provided object does not match the namespace sent on the request: "
            f"{where} != {namespace}"
        )
    return item


def complete(kind: Kind, item: Json, before: Json | None, serial: int) -> None:
    """Defaults in place, then the rules of the kind: 422 with every cause. `serial` is unique to this write."""
    if not kind.custom:
        cleaned = without_nulls(item)
        item.clear()
        item.update(cleaned)
    tidy_metadata(item["metadata"])
    kind.defaults(item, before, serial)
    causes = [*validation.metadata(item, dns_label=kind.dns_label), *kind.check(item, before)]
    if causes:
        raise errors.invalid(kind, str(item["metadata"].get("name", "")), causes)


def merged(kind: Kind, before: Json, wanted: Json, subresource: str) -> Json:
    """What a write may really change: a subresource takes its own part and drops the rest, and the reverse."""
    name = before["metadata"]["name"]
    metadata = wanted.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    given = metadata.get("resourceVersion")
    if given and given != before["metadata"]["resourceVersion"]:
        raise errors.conflict(kind, name)
    if metadata.get("uid", before["metadata"]["uid"]) != before["metadata"]["uid"]:
        cause = Cause.invalid("metadata.uid", f'"{metadata["uid"]}"', "field is immutable")
        raise errors.invalid(kind, name, [cause])
    if subresource:
        return with_part(kind, before, wanted, subresource)
    after = _changed(kind, before, wanted)
    for key in (*KEPT_BY_SERVER, "name", "namespace", "managedFields", "resourceVersion"):
        if key in before["metadata"]:
            after["metadata"][key] = copied(before["metadata"][key])
        else:
            after["metadata"].pop(key, None)
    if "status" in kind.subresources:
        after.pop("status", None)
        if "status" in before:
            after["status"] = copied(before["status"])
    return after


def _changed(kind: Kind, before: Json, wanted: Json) -> Json:
    where = before["metadata"].get("namespace", "")
    if isinstance(wanted, dict) and (problem := validation.wrong_type(wanted)):
        raise errors.unpatchable(problem)
    after = decoded(kind, where, wanted)
    name, given = before["metadata"]["name"], after["metadata"].get("name")
    if given not in {name, None}:
        raise errors.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
    return after


def asked(kind: Kind, item: Json) -> Json:
    """A new object without what the server itself put there: that belongs to nobody."""
    own = {key: value for key, value in item.items() if key != "status" or "status" not in kind.subresources}
    if isinstance(spec := own.get("spec"), dict):
        own["spec"] = {key: value for key, value in spec.items() if key not in _ALLOCATED}
    return own


def counts(kind: Kind, item: Json) -> list[Any]:
    """What of an object counts for its generation."""
    return [
        (item["metadata"].get("annotations") or {}) if part == "annotations" else item.get(part)
        for part in kind.generation
    ]


def check_preconditions(kind: Kind, item: Json, uid: str | None, version: str | None) -> None:
    """409 when the object to delete is not the one that was meant."""
    metadata = item["metadata"]
    if uid is not None and uid != metadata["uid"]:
        why = f"the UID in the precondition ({uid}) does not match the UID in record ({metadata['uid']}). The object"
        raise errors.precondition_failed(kind, metadata["name"], f"{why} might have been deleted and then recreated")
    found = metadata["resourceVersion"]
    if version is not None and version != found:
        why = f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record"
        raise errors.precondition_failed(
            kind, metadata["name"], f"{why} ({found}). The object might have been modified"
        )


def grace(kind: Kind, item: Json, asked: int | None) -> int:
    """Seconds until a pod may go; only pods that run somewhere get any."""
    if kind.plural != "pods" or not item["spec"].get("nodeName"):
        return 0
    own: int = item["spec"].get("terminationGracePeriodSeconds", 30)
    return own if asked is None else asked


def may_go(kind: Kind, item: Json) -> bool:
    """Whether nothing holds a deleted object back any more."""
    metadata = item["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if kind.plural == "namespaces" and item["spec"].get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")
