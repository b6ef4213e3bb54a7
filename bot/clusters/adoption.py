"""Where a new release of an app begins: which slot is live, which is idle, what the Service must say meanwhile. Pure.

An app that Greenlight has never released is adopted without downtime. Its Service often selects nothing but
`app: mochi`, which would let candidate pods take traffic the moment they exist. So before anything is staged the
Service is narrowed to the pods that are live: by a label that only the live slot's pods have, else by their
pod-template-hash. Live pods are never changed. When nothing comes of the release, the selector is given back.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from bot.clusters.api import Json
from bot.clusters.claim import check_claim
from bot.clusters.cluster import LABEL, Start
from bot.clusters.errors import ClusterError
from bot.clusters.reading import (
    HASH,
    Selector,
    container,
    labels,
    matches,
    name,
    owner,
    pods_behind,
    selector,
    template_labels,
)
from bot.release.app import App
from bot.release.record import Version

BEFORE = "greenlight.dev/selector-before"
"""Annotation of an adopted Service: the selector that it had, as JSON."""


@dataclass(frozen=True)
class Found:
    """The objects of an app, as read together."""

    service: Json
    preview: Json
    slots: Sequence[Json]
    pods: Sequence[Json]
    slices: Sequence[Json]


def start(app: App, found: Found, store_id: str) -> Start:
    """Raises `ClusterError` with the fix when the objects do not allow a blue-green release."""
    check_claim(found.service, store_id)
    for service in (found.service, found.preview):
        _usable(service)
    for slot in found.slots:
        _released_by_label(slot)
    live, idle = _live_and_idle(app, found)
    present = selector(found.service)
    before = _given_back(found.service, present)
    narrowed = present
    if matches(present, {**template_labels(idle), LABEL: ""}):
        before, narrowed = present, _narrow(present, live, idle, found)
    own = {key: value for key, value in present.items() if template_labels(idle).get(key) == value and key != HASH}
    own.pop(LABEL, None)
    behind = [pod for pod in found.pods if matches(present, labels(pod))]
    return Start(
        slot=name(idle),
        selector=own,
        live=Version(
            image=container(live, app.target.container)[1]["image"],
            slot=name(live),
            selector=dict(narrowed),
            before=None if before is None else dict(before),
            digests=frozenset(filter(None, (_digest(image) for image in _images(live, behind, app.target.container)))),
        ),
        live_ready=len(pods_behind(found.slices, name(found.service))),
    )


def _usable(service: Json) -> None:
    present = selector(service)
    if not present:
        raise ClusterError(
            f"Service {name(service)} has no selector, so there is nothing to switch: "
            "give it the labels of the app's pods."
        )
    for key, value in present.items():
        if not value:
            raise ClusterError(
                f"Service {name(service)} selects {key} with an empty value: give it a value or remove it."
            )


def _released_by_label(slot: Json) -> None:
    fixed = slot["spec"]["selector"].get("matchLabels") or {}
    if LABEL in fixed:
        raise ClusterError(
            f"Deployment {name(slot)} has {LABEL} in spec.selector, where it can never change: "
            "create it again without that label there."
        )


def _live_and_idle(app: App, found: Found) -> tuple[Json, Json]:
    """Which slot is live is read from the Service and the pods behind it, never from a name."""
    service, present = name(found.service), selector(found.service)
    behind = {owner(pod) for pod in found.pods if matches(present, labels(pod))}
    strangers = sorted(behind - set(app.target.slots))
    if strangers:
        whose = strangers[0] or "no Deployment"
        raise ClusterError(
            f"Service {service} routes to pods of {whose}, "
            f"which is neither of the slots {' and '.join(app.target.slots)}."
        )
    if len(behind) > 1:
        raise ClusterError(f"Service {service} routes to both slots: scale the one that is not live to 0.")
    if not behind:
        wanted = {key: value for key, value in present.items() if key != HASH}
        behind = {name(slot) for slot in found.slots if matches(wanted, template_labels(slot))}
    if len(behind) != 1:
        raise ClusterError(
            f"Service {service} has no pods, so it cannot be said which slot is live: start one of them."
        )
    live = behind.pop()
    first, second = found.slots
    return (first, second) if name(first) == live else (second, first)


def _narrow(present: Selector, live: Json, idle: Json, found: Found) -> Selector:
    behind = [pod for pod in found.pods if matches(present, labels(pod))]
    theirs = template_labels(idle)
    for key, value in sorted(template_labels(live).items()):
        if key != LABEL and theirs.get(key) != value and all(labels(pod).get(key) == value for pod in behind):
            return {**present, key: value}
    hashes = {labels(pod).get(HASH) for pod in behind}
    only = hashes.pop() if len(hashes) == 1 else None
    if only is None:
        raise ClusterError(
            f"{name(live)} is being rolled out, so its pods cannot be told apart from the new ones: "
            "try again when it is done."
        )
    return {**present, HASH: only}


def _given_back(service: Json, present: Selector) -> Selector | None:
    """The selector before an adoption that is still in force (an earlier release was replaced before it went live)."""
    text = (service["metadata"].get("annotations") or {}).get(BEFORE)
    try:
        before = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(before, dict) or not all(isinstance(value, str) for value in before.values()):
        return None  # somebody wrote it by hand
    if LABEL in present or present == before or before.items() - present.items():
        return None
    return before


def _images(live: Json, behind: Sequence[Json], wanted: str | None) -> list[str]:
    _, present = container(live, wanted)
    statuses = [status for pod in behind for status in (pod.get("status") or {}).get("containerStatuses") or []]
    return [present["image"], *(s.get("imageID", "") for s in statuses if s.get("name") == present["name"])]


def _digest(image: str) -> str | None:
    return image.rpartition("@")[2] if "@sha256:" in image else None
