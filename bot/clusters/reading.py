"""What raw Kubernetes objects say: selectors, templates, endpoints, and who changed them. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.clusters.api import Json
from bot.clusters.errors import Unfit

HASH = "pod-template-hash"
SERVICE_NAME = "kubernetes.io/service-name"

Selector = Mapping[str, str]


def name(item: Json) -> str:
    return str(item["metadata"]["name"])


def labels(item: Json) -> Mapping[str, str]:
    return item["metadata"].get("labels") or {}


def annotations(item: Json) -> Mapping[str, str]:
    return item["metadata"].get("annotations") or {}


def selector(service: Json) -> Selector:
    return service["spec"].get("selector") or {}


def template_labels(deployment: Json) -> Mapping[str, str]:
    return deployment["spec"]["template"]["metadata"].get("labels") or {}


def fingerprint(deployment: Json) -> str:
    """Of the whole pod template: any change of it is another one."""
    template = json.dumps(deployment["spec"]["template"], sort_keys=True)
    return hashlib.sha256(template.encode()).hexdigest()[:16]


def matches(wanted: Selector, present: Mapping[str, str]) -> bool:
    """An empty selector selects nothing, as in a Service."""
    return bool(wanted) and all(present.get(key) == value for key, value in wanted.items())


def selects(wanted: Json, present: Mapping[str, str]) -> bool:
    """Of a workload (`metav1.LabelSelector`), which unlike that of a Service may have expressions."""
    rules = wanted.get("matchExpressions") or []
    plain = wanted.get("matchLabels") or {}
    return all(present.get(key) == value for key, value in plain.items()) and all(
        _fits(each, present) for each in rules
    )


def _fits(rule: Json, present: Mapping[str, str]) -> bool:
    value, values = present.get(rule["key"]), rule.get("values") or []
    match rule["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:  # DoesNotExist
            return value is None


def container(deployment: Json, wanted: str | None) -> tuple[int, Json]:
    """The index and the container that a release changes; `wanted` is needed only where there are several."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    if wanted is None and len(containers) == 1:
        return 0, containers[0]
    for index, candidate in enumerate(containers):
        if candidate["name"] == wanted:
            return index, candidate
    names = ", ".join(candidate["name"] for candidate in containers)
    wrong = f"has no container {wanted}" if wanted else "has several containers"
    kind = deployment.get("kind") or "Deployment"
    raise Unfit(f"{kind} {name(deployment)} {wrong} ({names})", "set `container` to one of them.")


def grace_period(deployment: Json) -> int:
    """Seconds between SIGTERM and SIGKILL; Kubernetes' own default where nothing is said."""
    seconds = deployment["spec"]["template"]["spec"].get("terminationGracePeriodSeconds")
    return 30 if seconds is None else int(seconds)


def has_pre_stop(deployment: Json) -> bool:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return any((each.get("lifecycle") or {}).get("preStop") for each in containers)


def pods_behind(slices: Iterable[Json], service: str) -> frozenset[str]:
    """The names of the pods that are ready endpoints of a Service, over all its EndpointSlices.

    A pod with an IPv4 and an IPv6 address is in two of them, and one pod all the same. An endpoint without a pod is "".
    """
    return frozenset(
        (endpoint.get("targetRef") or {}).get("name", "")
        for piece in slices
        if labels(piece).get(SERVICE_NAME) == service
        for endpoint in piece.get("endpoints") or []
        if endpoint["addresses"] and (endpoint.get("conditions") or {}).get("ready")
    )


def is_over(pod: Json) -> bool:
    """It has ended and never runs again: a Job's, or one that was evicted. What such a pod says counts for nothing."""
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def is_ready(pod: Json) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def only_hash(pods: Iterable[Json]) -> str:
    """The pod template hash that all of them have; "" when there is none, or while they are being replaced."""
    return only(labels(pod).get(HASH, "") for pod in pods)


def only(values: Iterable[str]) -> str:
    """The one that all of them are; "" when they are several, or none."""
    found = set(values)
    return found.pop() if len(found) == 1 else ""


def is_complete(deployment: Json) -> bool:
    """Everything that was asked for is observed, updated and available, and nothing else is left."""
    status, wanted = deployment.get("status") or {}, replicas(deployment)
    counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")}
    asked, observed = deployment["metadata"].get("generation"), status.get("observedGeneration")
    current = asked is not None and observed is not None and observed >= asked
    return current and wanted > 0 and counts == {wanted}


def replicas(deployment: Json) -> int:
    wanted = deployment["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)


def owners(item: Json) -> Iterable[Json]:
    return item["metadata"].get("ownerReferences") or []


def owner(pod: Json) -> str:
    """The name of the Deployment behind a pod ("" if there is none): its ReplicaSet is named for it and the hash."""
    for reference in owners(pod):
        if reference.get("controller") and reference["kind"] == "ReplicaSet":
            return str(reference["name"]).removesuffix(f"-{labels(pod).get(HASH, '')}")
    return ""


def changed_by(item: Json | None, *path: str) -> str:
    """Who last wrote the field at `path`, for example `kubectl-edit at 14:02 UTC` (from managedFields)."""
    if item is None:
        return "somebody who deleted it"
    latest = last_change(item, *path)
    return f"{latest[1]} at {latest[0]:%H:%M} UTC" if latest else "somebody"


def last_change(item: Json, *path: str) -> tuple[datetime, str] | None:
    """When the field at `path` was last written, and by whom; None when that is not on record.

    Whatever is strange there is passed over: it is a kindness, and keeps nobody from anything.
    """
    latest: tuple[datetime, str] | None = None
    entries = item["metadata"].get("managedFields")
    for entry in entries if isinstance(entries, list) else ():
        when = _moment(entry.get("time")) if isinstance(entry, dict) and _owns(entry.get("fieldsV1"), path) else None
        if when is not None and (latest is None or when >= latest[0]):
            latest = (when, str(entry.get("manager", "somebody")))
    return latest


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _owns(fields: Any, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(fields, dict) or f"f:{key}" not in fields:
            return False
        fields = fields[f"f:{key}"]
    return True
