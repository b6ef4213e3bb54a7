"""Which apps there are in a namespace: a Service with traffic, the Deployment behind it, and what is there of the rest.

Pure, and never sure: what it takes for an app is written into a file that a person reads before anything is done, and
whatever it leaves out is told with the reason. Which Deployment is live is read from the pods behind a Service, as the
bot itself reads it, and only where there are no pods from labels.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.clusters.cluster import LABEL
from bot.clusters.links import best_link
from bot.clusters.reading import matches
from bot.clusters.rights import Behind
from bot.release.app import App, Approval, Native
from bot.release.errors import Refused
from bot.release.image import Image, parse
from bot.setup.behind import keepers, lasting, led_to, own, the_one_behind
from bot.setup.names import free, free_app_name
from bot.setup.objects import Container, Deployment, Objects, Service
from bot.setup.rolled import Rolled, on_argo_rollouts
from bot.setup.sibling import Sibling, are_siblings, sibling

PREVIEW = "-preview"
_SERVICE_LIMIT = 63


@dataclass(frozen=True)
class Found:
    """An app that can be released once `idle` and `preview` are there too."""

    name: str
    namespace: str
    service: Service
    live: Deployment
    container: Container
    image: Image
    """What the container runs today."""
    idle: Deployment | Sibling
    """The other slot: one that exists, or what has to be made."""
    preview: Service | str
    """The Service for the preview: one that exists, or the name of what has to be made."""
    others: tuple[Service, ...] = ()
    """Further Services that select the live pods."""

    @property
    def preview_name(self) -> str:
        return self.preview if isinstance(self.preview, str) else self.preview.name

    @property
    def app(self) -> App:
        """Without what only people know: who may do what, and where the cards go."""
        target = Native(
            service=self.service.name,
            preview=self.preview_name,
            slots=(self.live.name, self.idle.name),
            container=self.container.name if len(self.live.pod.containers) > 1 else None,
        )
        return App(self.name, self.namespace, 0, self.image.name, target, frozenset(), Approval(()))


@dataclass(frozen=True)
class Survey:
    namespace: str
    apps: tuple[Found, ...]
    left_out: tuple[str, ...]
    """A sentence for each Service, Deployment and Rollout that is no part of an app."""
    rolled: tuple[Rolled, ...] = ()

    @property
    def behind(self) -> Mapping[str, Behind]:
        """Of the apps on Argo Rollouts, by their names."""
        return {each.name: each.behind for each in self.rolled}


def survey(namespace: str, objects: Objects) -> Survey:
    behind: dict[str, list[Service]] = {}
    left_out: dict[str, str] = {}
    switched = {name for each in objects.rollouts for name in each.services}
    for service in objects.services:
        if service.name in switched:
            continue
        live = the_one_behind(service, objects)
        if isinstance(live, str):
            left_out[service.name] = live
        else:
            behind.setdefault(live.name, []).append(service)
    deployments = {each.name: each for each in objects.deployments}
    rank = {name: min(_rank(each, objects) for each in services) for name, services in behind.items()}
    apps: list[Found] = []
    refused: list[str] = []
    for name in sorted(behind, key=lambda name: (rank[name], deployments[name].replicas == 0, name)):
        taken = next((app for app in apps if app.idle.name == name), None)
        if taken is not None:
            left_out |= {
                each.name: f"Service {each.name} leads to {name}, which is taken for the other slot of {taken.name}."
                for each in behind[name]
            }
            continue
        found = _app(namespace, deployments[name], behind, objects, apps)
        if isinstance(found, str):
            refused.append(found)
        else:
            apps.append(found)
    for app in apps:
        left_out.pop(app.preview_name, None)
    told = [*objects.strange, *left_out.values(), *refused]
    used = {name for app in apps for name in (app.live.name, app.idle.name)}
    used |= {each.workload for each in objects.rollouts}
    rolled, not_rolled = on_argo_rollouts(namespace, objects, {app.name for app in apps})
    told += not_rolled
    told += [
        f"Deployment {name}: no Service selects its pods, so there is no traffic to switch."
        for name in deployments
        if name not in used and not any(f"Deployment {name}" in sentence for sentence in told)
    ]
    return Survey(namespace, tuple(sorted(apps, key=lambda app: app.name)), tuple(told), rolled)


def _rank(service: Service, objects: Objects) -> tuple[bool, bool, bool, bool, int, str]:
    """What is first is most likely the Service that production uses."""
    linked = link(service.name, objects) is not None
    outside = service.spec.type in {"LoadBalancer", "NodePort"}
    shows_candidates = service.name.removesuffix(PREVIEW) in {each.name for each in objects.services} - {service.name}
    return shows_candidates, service.is_headless, not linked, not outside, len(service.name), service.name


# What belongs to an app. ----------------------------------------------------------------------------------------------


def _app(
    namespace: str, live: Deployment, behind: Mapping[str, Sequence[Service]], objects: Objects, apps: Sequence[Found]
) -> Found | str:
    """Or why this Deployment cannot be released."""
    service, *others = sorted(behind[live.name], key=lambda each: _rank(each, objects))
    container = led_to(service, live.pod.containers)
    try:
        image = parse(container.image)
    except Refused as why:
        return f"Deployment {live.name}: {why}"
    used = {name for app in apps for name in (app.live.name, app.idle.name)}
    slots = [each for each in objects.deployments if each.name not in used and each is not live]
    second = _second(live, service, slots)
    if len(second) > 1:
        both = " and ".join(each.name for each in second[:2])
        return f"Deployment {live.name}: {both} could both be its other slot: delete or rename one."
    for slot in (live, *second):
        if LABEL in slot.match_labels:
            return (
                f"Deployment {slot.name} has {LABEL} in spec.selector, where it can never change: "
                "create it again without that label there."
            )
    idle = second[0] if second else sibling(live, used | {each.name for each in objects.deployments})
    shown = {name for app in apps for name in (app.service.name, app.preview_name)}
    preview = _preview(service, live, idle, objects, shown)
    if not isinstance(preview, str):
        others = [each for each in others if each.name != preview.name]
    name = free_app_name(service.name, {app.name for app in apps})
    return Found(name, namespace, service, live, container, image, idle, preview, tuple(others))


def _second(live: Deployment, service: Service, candidates: Iterable[Deployment]) -> list[Deployment]:
    """The Deployments that can be the other slot. The same image is not enough: a team's workers have it too."""
    alike = [each for each in candidates if _container_names(each) == _container_names(live)]
    named = [each for each in alike if are_siblings(live, each)]
    # The Service would let its pods in, if it had any, and they would do the same.
    idle = [
        each
        for each in alike
        if not each.replicas and matches(own(service.selector), each.labels) and _work(each) == _work(live)
    ]
    return named or idle


def _container_names(slot: Deployment) -> set[str]:
    return {each.name for each in slot.pod.containers}


def _work(slot: Deployment) -> dict[str, tuple[list[str], list[str], set[int]]]:
    return {
        each.name: (each.command, each.args, {port.container_port for port in each.ports})
        for each in slot.pod.containers
    }


def _preview(
    service: Service, live: Deployment, idle: Deployment | Sibling, objects: Objects, used: Collection[str]
) -> Service | str:
    """A Service that shows the other slot, or nothing but what is live under the name that a preview has."""
    slots = {("Deployment", live.name), ("Deployment", idle.name)}
    wanted = f"{service.name[: _SERVICE_LIMIT - len(PREVIEW)].rstrip('-')}{PREVIEW}"
    for each in objects.services:
        usable = each.spec.type != "ExternalName" and each.selector and all(each.selector.values())
        if each is service or each.name in used or not usable:
            continue
        made_by = keepers(each, objects)
        makers = {one.name for one in objects.deployments if matches(lasting(each.selector), one.labels)}
        if each.name == wanted and made_by <= slots and makers <= {live.name, idle.name}:
            return each
        shows_idle = matches(lasting(each.selector), idle.labels) and not matches(each.selector, live.labels)
        if isinstance(idle, Deployment) and shows_idle and made_by <= {("Deployment", idle.name)}:
            return each
    return free(wanted, {*used, *(each.name for each in objects.services)}, _SERVICE_LIMIT)


def preview_link(app: Found, objects: Objects) -> str | None:
    return link(app.preview_name, objects)


def production_link(app: Found, objects: Objects) -> str | None:
    return link(app.service.name, objects)


def link(service: str, objects: Objects) -> str | None:
    services = [each.raw for each in objects.services]
    return best_link(service, objects.ingresses, objects.routes, objects.gateways, services)
