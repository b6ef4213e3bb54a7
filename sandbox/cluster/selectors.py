"""Label and field selectors, as the query strings and the objects have them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandbox.cluster.errors import bad_request

_SET = re.compile(r"^\s*([^\s!=,()]+)\s+(in|notin)\s*\(([^)]*)\)\s*$")
_EQUAL = re.compile(r"^\s*([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)\s*$")
_EXISTS = re.compile(r"^\s*(!?)\s*([^\s!=,()]+)\s*$")
# Commas separate requirements, except inside the parentheses of `in (a,b)`.
_COMMA = re.compile(r",(?![^(]*\))")

# What every resource answers to, and what 1.34 adds for the kinds that are here.
_FIELDS = frozenset({"metadata.name", "metadata.namespace"})
_FIELDS_OF: Mapping[str, frozenset[str]] = {
    "pods": frozenset({"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "status.phase", "status.podIP"}),
    "namespaces": frozenset({"status.phase"}),
    "services": frozenset({"spec.clusterIP", "spec.type"}),
    "replicasets": frozenset({"status.replicas"}),
    "events": frozenset(
        {
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "reason",
            "type",
        }
    ),
}


def matches_labels(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether labels satisfy a `labelSelector` query; 400 when it cannot be parsed."""
    return all(_requirement(part, labels) for part in _COMMA.split(selector)) if selector.strip() else True


def _requirement(text: str, labels: Mapping[str, str]) -> bool:
    if found := _SET.match(text):
        key, operator, listed = found.groups()
        within = labels.get(key) in {value.strip() for value in listed.split(",")}
        return within if operator == "in" else not within
    if found := _EQUAL.match(text):
        key, operator, value = found.groups()
        return (labels.get(key) == value) is (operator != "!=")
    if found := _EXISTS.match(text):
        absent, key = found.groups()
        return (key in labels) is not bool(absent)
    raise bad_request(f"unable to parse requirement: {text.strip()!r}, expected: in, notin, =, ==, !=, gt, lt")


def matches_fields(selector: str, plural: str, item: Mapping[str, Any]) -> bool:
    """Whether an object satisfies a `fieldSelector` query; 400 for a field that Kubernetes does not index."""
    if not selector.strip():
        return True
    for part in selector.split(","):
        found = _EQUAL.match(part)
        if not found:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{part}'")
        path, operator, value = found.groups()
        if path not in _FIELDS | _FIELDS_OF.get(plural, frozenset()):
            raise bad_request(f"field label not supported: {path}")
        if (_at(item, path) == value) is (operator == "!="):
            return False
    return True


def _at(item: Mapping[str, Any], path: str) -> str:
    value: Any = item
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether labels satisfy a LabelSelector object (`matchLabels`, `matchExpressions`); an empty one takes all."""
    if not all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(rule, labels) for rule in selector.get("matchExpressions") or ())


def _expression(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, listed = labels.get(rule["key"]), rule.get("values") or ()
    match rule["operator"]:
        case "In":
            return value in listed
        case "NotIn":
            return value not in listed
        case "Exists":
            return value is not None
        case _:
            return value is None


def as_query(selector: Mapping[str, Any]) -> str:
    """A LabelSelector object as the text that the scale subresource shows."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for rule in selector.get("matchExpressions") or ():
        listed = ",".join(rule.get("values") or ())
        match rule["operator"]:
            case "Exists":
                parts.append(rule["key"])
            case "DoesNotExist":
                parts.append(f"!{rule['key']}")
            case operator:
                parts.append(f"{rule['key']} {operator.lower()} ({listed})")
    return ",".join(parts)
