"""What is read from a Rollout instead of being named in the file, and what of it allows no release as it stands. Pure.

Each fault is a sentence with its fix: it puts one app out of service and no other. The first is the one to mend first.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bot.clusters.api import DEPLOYMENT, Json
from bot.clusters.argo.reading import (
    HASH,
    active_service,
    blue_green,
    container,
    preview_service,
    promotes_itself,
    workload,
)
from bot.clusters.argo.state import condition, current_hash, is_first_coming_up, stable_hash
from bot.clusters.errors import NotThere, Unfit
from bot.clusters.ingress import missing_port
from bot.clusters.raw import items, mapping, text
from bot.clusters.reading import name, selector
from bot.clusters.rights import Behind
from bot.release.app import App

INSTALL = (
    "kubectl create namespace argo-rollouts && kubectl apply -n argo-rollouts "
    "-f https://github.com/argoproj/argo-rollouts/releases/latest/download/install.yaml"
)


@dataclass(frozen=True)
class Found:
    """A Rollout and what is around it in its namespace, as read together. What may not be read is left out."""

    rollout: Json
    rollouts: Sequence[Json]
    """All of the namespace."""
    services: Sequence[Json]
    """At least the two of the Rollout, where they exist."""
    ingresses: Sequence[Any] = ()
    workload: Json | None = None
    """The Deployment that its `workloadRef` names."""

    @property
    def holder(self) -> Json:
        """Whoever has the pod template."""
        return self.rollout if self.workload is None else self.workload


def behind(rollout: Json) -> Behind:
    """The names that rights are about. Raises `Unfit` for a canary."""
    services = active_service(rollout), preview_service(rollout)
    return Behind(tuple(dict.fromkeys(filter(None, services))), workload(rollout))


def is_blue_green(rollout: Json) -> bool:
    return isinstance(mapping(mapping(rollout.get("spec")).get("strategy")).get("blueGreen"), dict)


def fit(app: App, found: Found) -> None:
    """Raises `Unfit`, the first that there is."""
    wrong = next(wrongs(app, found), None)
    if wrong is not None:
        raise wrong


def wrongs(app: App, found: Found) -> Iterator[Unfit]:
    """All that there are."""
    try:
        blue_green(found.rollout)
    except Unfit as why:
        yield why
        return
    ours = [*_of_strategy(found.rollout), *_of_template(app, found), *_of_services(app, found)]
    yield from ours
    yield from _of_ingresses(found)
    yield from _of_progress(app, found.rollout, known=bool(ours))


def self_promotion(rollout: Json) -> Unfit:
    """For one that `promotes_itself`."""
    return Unfit(
        f"Rollout {name(rollout)} promotes by itself whatever is ready (autoPromotionEnabled), so approvals would mean "
        "nothing",
        "set spec.strategy.blueGreen.autoPromotionEnabled to false.",
    )


def not_installed(app: App) -> NotThere:
    """For a 404 where Rollouts are listed."""
    return NotThere(
        f"the cluster of {app.name} knows no Rollouts: Argo Rollouts is not installed there",
        f"install it ({INSTALL}), or name two Deployments in [apps.{app.name}] instead of `rollout`.",
    )


def not_there(app: App, rollouts: Iterable[Json], elsewhere: Iterable[Json] = ()) -> NotThere:
    """For a Rollout that is not among those of its namespace; `elsewhere` are those of others, if they may be read."""
    wanted, table = app.argo.rollout, f"[apps.{app.name}]"
    wrong = f"Rollout {wanted} is not in namespace {app.namespace}"
    places = sorted({text(each["metadata"].get("namespace")) for each in elsewhere if name(each) == wanted})
    if places:
        return NotThere(f"{wrong}, but in {' and in '.join(places)}", f'set `namespace = "{places[0]}"` in {table}.')
    others = sorted(name(each) for each in rollouts)
    there = f" (there is {', '.join(others)})" if others else ""
    return NotThere(wrong, f"create it there, or name another in `rollout` or `namespace` of {table}{there}.")


# What the Rollout says ------------------------------------------------------------------------------------------------


def _of_strategy(rollout: Json) -> Iterator[Unfit]:
    called, keys = f"Rollout {name(rollout)}", "spec.strategy.blueGreen"
    active, preview = active_service(rollout), preview_service(rollout)
    if not active:
        yield Unfit(f"{called} has no activeService", f"name the Service that has the traffic in {keys}.activeService.")
    if not preview:
        wrong = f"{called} has no previewService, so nobody could look at a version before it is live"
        yield Unfit(wrong, f"make a Service like {active} for that, and name it in {keys}.previewService.")
    elif active == preview:
        wrong = f"{called} has Service {active} as activeService and as previewService"
        yield Unfit(wrong, f"make a Service of its own for the preview, and name it in {keys}.previewService.")
    if promotes_itself(rollout):
        yield self_promotion(rollout)


def _of_template(app: App, found: Found) -> Iterator[Unfit]:
    rollout, reference = found.rollout, mapping(found.rollout["spec"].get("workloadRef"))
    called = f"Rollout {name(rollout)}"
    if reference and reference.get("kind") != DEPLOYMENT.name:
        wrong = f"{called} makes its pods by {text(reference.get('kind')) or 'nothing'} {text(reference.get('name'))}"
        yield Unfit(wrong, "let its workloadRef name a Deployment, or put the pod template into the Rollout.")
    elif reference and found.workload is None:
        wrong = f"Deployment {workload(rollout)}, by which {called} makes its pods, is not in namespace {app.namespace}"
        yield Unfit(wrong, "create it there, or name another in spec.workloadRef.")
    elif not mapping(found.holder["spec"].get("template")):
        yield Unfit(f"{called} has no pod template", "give it one, or a workloadRef that names a Deployment.")
    else:
        try:
            container(found.holder, app.argo.container)
        except Unfit as why:
            yield Unfit(why.wrong, f"set `container` in [apps.{app.name}] to one of them.")


def _of_progress(app: App, rollout: Json, *, known: bool) -> Iterator[Unfit]:
    """`known`: why the controller does not take it is told already."""
    called, invalid = f"Rollout {name(rollout)}", condition(rollout, "InvalidSpec")
    if invalid is not None and not known:
        said = " ".join(text(invalid.get("message")).split()) or "it does not say why"
        yield Unfit(f"Argo Rollouts does not take {called} as it is ({said})", "mend what it names.")
    if rollout["spec"].get("paused"):
        go_on = _patch("rollout", name(rollout), app.namespace, {"spec": {"paused": False}})
        yield Unfit(f"{called} was paused by somebody (spec.paused), so nothing in it moves", f"let it go on: {go_on}")


# What is around it ----------------------------------------------------------------------------------------------------


def _of_services(app: App, found: Found) -> Iterator[Unfit]:
    rollout, status = found.rollout, mapping(found.rollout.get("status"))
    selectors = mapping(status.get("blueGreen"))
    known = {name(each): each for each in found.services}
    sides = (
        ("activeService", active_service(rollout), text(selectors.get("activeSelector")) or stable_hash(rollout)),
        ("previewService", preview_service(rollout), text(selectors.get("previewSelector")) or current_hash(rollout)),
    )
    for role, service, lost in sides:
        if not service:
            continue
        if service not in known:
            wrong = f"Service {service}, the {role} of Rollout {name(rollout)}, is not in namespace {app.namespace}"
            yield Unfit(wrong, "create it there, or name another in the Rollout.")
            continue
        for other in _others_of(service, found):
            wrong = f"Service {service} belongs to Rollout {other} as well: they would move each other's traffic"
            yield Unfit(wrong, f"give {name(rollout)} or {other} a Service of its own.")
        present = selector(known[service])
        if not present:
            wrong = f"Service {service} has no selector, so Argo Rollouts has nothing to switch"
            yield Unfit(wrong, "give it the labels of the app's pods.")
        elif not present.get(HASH) and is_first_coming_up(rollout):
            wrong = f"the first version of Rollout {name(rollout)} is still coming up, so nothing is live yet"
            yield Unfit(wrong, "wait until it is.")
        elif stable_hash(rollout) and not present.get(HASH):
            wrong = f"the selector of Service {service} lost its label {HASH}: it lets in pods of any version"
            put_back = _patch("service", service, app.namespace, {"spec": {"selector": {HASH: lost}}})
            yield Unfit(wrong, f"find out who took it, then put it back: {put_back}")


def _others_of(service: str, found: Found) -> Iterator[str]:
    """Further Rollouts that use it, whichever their strategy."""
    for other in found.rollouts:
        strategy = mapping(mapping(other.get("spec")).get("strategy"))
        used = {mapping(strategy.get(kind)).get(key) for kind, key in _USES}
        if service in used and name(other) != name(found.rollout):
            yield name(other)


_USES = (
    ("blueGreen", "activeService"),
    ("blueGreen", "previewService"),
    ("canary", "stableService"),
    ("canary", "canaryService"),
)


def _of_ingresses(found: Found) -> Iterator[Unfit]:
    for service in found.services:
        missing = missing_port(service, found.ingresses)
        if missing and name(service) in {active_service(found.rollout), preview_service(found.rollout)}:
            ingress, port = missing
            wrong = f"Ingress {ingress} leads to port {port} of Service {name(service)}, which has no such port"
            yield Unfit(wrong, f"name one of its ports there{_listed(service)}.")


def _listed(service: Json) -> str:
    ports = map(mapping, items(mapping(service.get("spec")), "ports"))
    shown = ", ".join(str(each.get("name") or each.get("port")) for each in ports)
    return f": {shown}" if shown else ""


def _patch(kind: str, called: str, namespace: str, patch: Json) -> str:
    return f"kubectl patch {kind} {called} -n {namespace} --type merge -p '{json.dumps(patch, separators=(',', ':'))}'"
