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
from bot.clusters.errors import Unfit
from bot.clusters.reading import (
    HASH,
    Selector,
    annotations,
    container,
    grace_period,
    has_pre_stop,
    labels,
    matches,
    name,
    owner,
    pods_behind,
    selector,
    selects,
    template_labels,
)
from bot.release.app import App
from bot.release.record import Version

BEFORE = "greenlight.dev/selector-before"
"""Annotation of an adopted Service: the selector that it had, as JSON."""
SHORT = 10
"""Fewer seconds than this to end in are too few for requests under way, unless a preStop hook makes time for them."""


@dataclass(frozen=True)
class Found:
    """The objects of an app, as read together."""

    service: Json
    preview: Json
    slots: Sequence[Json]
    pods: Sequence[Json]
    slices: Sequence[Json]


def complete(
    app: App, service: Json | None, preview: Json | None, slots: Sequence[Json | None]
) -> tuple[Json, Json, list[Json]]:
    """The four objects of an app. Raises `Unfit` when one is not there."""
    target = app.native
    present = [slot for slot in slots if slot is not None]
    if service is not None and preview is not None and len(present) == len(slots):
        return service, preview, present
    table, place = f"[apps.{app.name}]", f"namespace {app.namespace}"
    if service is None and preview is None and not present:
        raise Unfit(
            f"Nothing of {app.name} is in {place}, if there is such a namespace",
            f"create its Services and Deployments there, or set `namespace` in {table} to where they are.",
        )
    wanted = [("service", "Service", target.service, service), ("preview", "Service", target.preview, preview)]
    wanted += [("slots", "Deployment", slot, item) for slot, item in zip(target.slots, slots, strict=True)]
    lost = {f"{kind} {called}": f"`{key}`" for key, kind, called, item in wanted if item is None}
    keys = " and ".join(dict.fromkeys(lost.values()))
    are, them, others = ("is", "it", "another") if len(lost) == 1 else ("are", "them", "others")
    raise Unfit(
        f"{' and '.join(lost)} {are} not in {place}",
        f"create {them} there, or name {others} in {keys} of {table}.",
    )


def start(app: App, found: Found, store_id: str) -> Start:
    """Raises `Unfit` when the objects do not allow a blue-green release."""
    check_claim(found.service, store_id)
    for service in (found.service, found.preview):
        _usable(service)
    for slot in found.slots:
        _released_by_label(slot)
        container(slot, app.native.container)
    _of_their_own(*found.slots)
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
            image=container(live, app.native.container)[1]["image"],
            slot=name(live),
            selector=dict(narrowed),
            before=None if before is None else dict(before),
            digests=frozenset(filter(None, (_digest(image) for image in _images(live, behind, app.native.container)))),
        ),
        live_ready=len(pods_behind(found.slices, name(found.service))),
        warnings=tuple(filter(None, (cut_short(live),))),
    )


def cut_short(deployment: Json) -> str:
    """Why requests are lost whenever its pods end, as far as the objects tell; "" when they do not."""
    period = grace_period(deployment)
    if period >= SHORT or has_pre_stop(deployment):
        return ""
    return (
        f"Pods of {name(deployment)} are killed {period} s after they are told to end and have no preStop hook: "
        "connections that are still open are cut when they go."
    )


def overlap(first: Json, second: Json) -> bool:
    """Whether the selector of the first Deployment takes in the pods of the second."""
    return selects(first["spec"]["selector"], template_labels(second))


def _usable(service: Json) -> None:
    present = selector(service)
    if not present:
        raise Unfit(
            f"Service {name(service)} has no selector, so there is nothing to switch",
            "give it the labels of the app's pods.",
        )
    for key, value in present.items():
        if not value:
            raise Unfit(f"Service {name(service)} selects {key} with an empty value", "give it a value or remove it.")


def _released_by_label(slot: Json) -> None:
    fixed = slot["spec"]["selector"].get("matchLabels") or {}
    if LABEL in fixed:
        raise Unfit(
            f"Deployment {name(slot)} has {LABEL} in spec.selector, where it can never change",
            "create it again without that label there.",
        )


def _of_their_own(first: Json, second: Json) -> None:
    """One selector that is wider than the other is lived with: each has ReplicaSets of its own all the same."""
    if overlap(first, second) and overlap(second, first):
        raise Unfit(
            f"Deployments {name(first)} and {name(second)} select each other's pods",
            "create the one that is not live again, with a label in spec.selector and in its template that the other "
            "has not.",
        )


def _live_and_idle(app: App, found: Found) -> tuple[Json, Json]:
    """Which slot is live is read from the Service and the pods behind it, never from a name."""
    service, present = name(found.service), selector(found.service)
    behind = {owner(pod) for pod in found.pods if matches(present, labels(pod))}
    strangers = sorted(behind - set(app.native.slots))
    if strangers:
        whose = strangers[0] or "no Deployment"
        raise Unfit(
            f"Service {service} routes to pods of {whose}, which is neither of the slots "
            f"{' and '.join(app.native.slots)}",
            "narrow its selector to the live slot's pods, or name the Deployment in `slots`.",
        )
    if len(behind) > 1:
        raise Unfit(f"Service {service} routes to both slots", "scale the one that is not live to 0.")
    if not behind:
        wanted = {key: value for key, value in present.items() if key != HASH}
        behind = {name(slot) for slot in found.slots if matches(wanted, template_labels(slot))}
    if len(behind) != 1:
        raise Unfit(f"Service {service} has no pods, so it cannot be said which slot is live", "start one of them.")
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
        raise Unfit(
            f"{name(live)} is being rolled out, so its pods cannot be told apart from the new ones",
            "try again when it is done.",
        )
    return {**present, HASH: only}


def _given_back(service: Json, present: Selector) -> Selector | None:
    """The selector before an adoption that is still in force (an earlier release was replaced before it went live)."""
    text = annotations(service).get(BEFORE)
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
