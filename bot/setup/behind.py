"""Who has the traffic of a Service: the one Deployment behind it, or a sentence why there is none. Pure.

It is read from the pods, as the bot itself reads it, and where there are none from the labels that they would have.
"""

from collections.abc import Mapping, Sequence

from bot.clusters.cluster import LABEL
from bot.clusters.reading import HASH, matches
from bot.setup.objects import ROLLOUT_HASH, Container, Deployment, Objects, Service
from bot.setup.sibling import SLOT, are_siblings


def the_one_behind(service: Service, objects: Objects) -> Deployment | str:
    made_by = keepers(service, objects)
    wrong = _nothing_to_switch(service) or _no_deployments(service, made_by, objects)
    if wrong:
        return wrong
    names = {name for _, name in made_by}
    found = [each for each in objects.deployments if each.name in names]
    if not names:
        found = [each for each in objects.deployments if matches(lasting(service.selector), each.labels)]
        found = [each for each in found if each.replicas] or found
    if len(found) == 1:
        return found[0]
    if not found:
        nobody = "no pods, and no Deployment makes any"
        return f"Service {service.name} leads to {f'Deployment {min(names)}, which is unknown' if names else nobody}."
    first, second, *_ = found
    fix = "scale the one that is not live to 0" if are_siblings(first, second) else "give each a Service"
    both = f"Deployment {first.name} and Deployment {second.name}"
    return f"Service {service.name} leads to {both}, so it cannot be said which is live: {fix}."


def keepers(service: Service, objects: Objects) -> frozenset[tuple[str, str]]:
    """Kind and name of what made the pods that a Service selects."""
    return frozenset(
        pod.keeper for pod in objects.pods if not pod.is_over and matches(service.selector, pod.metadata.labels)
    )


def led_to(service: Service, containers: Sequence[Container]) -> Container:
    """The container that a Service leads to; where ports do not tell, the first."""
    names = {port.target_port for port in service.spec.ports if isinstance(port.target_port, str)}
    numbers = {port.target_port or port.port for port in service.spec.ports} - names
    for container in containers:
        if any(port.name in names or port.container_port in numbers for port in container.ports):
            return container
    return containers[0]


def lasting(selector: Mapping[str, str]) -> dict[str, str]:
    """Without the hash, which templates do not have."""
    return {key: value for key, value in selector.items() if key != HASH}


def own(selector: Mapping[str, str]) -> dict[str, str]:
    """The app's own labels, without what tells its versions and slots apart."""
    return {key: value for key, value in lasting(selector).items() if key not in {LABEL, SLOT}}


def _nothing_to_switch(service: Service) -> str:
    called = f"Service {service.name}"
    if service.spec.type == "ExternalName":
        return f"{called} is of type ExternalName: it leads out of the cluster, and there is nothing to switch."
    if not service.selector:
        return f"{called} has no selector, so there is nothing to switch: give it the labels of the app's pods."
    if ROLLOUT_HASH in service.selector:
        return f"{called} is switched by a Rollout that is not seen here."
    empty = next((key for key, value in service.selector.items() if not value), None)
    return f"{called} selects {empty} with an empty value: give it a value or remove it." if empty is not None else ""


def _no_deployments(service: Service, made_by: frozenset[tuple[str, str]], objects: Objects) -> str:
    called = f"Service {service.name}"
    others = sorted(f"{kind} {name}" for kind, name in made_by if kind != "Deployment")
    rollouts = sorted(name for kind, name in made_by if kind == "Rollout")
    if rollouts:
        rollout = next((each for each in objects.rollouts if each.name == rollouts[0]), None)
        why = "which is not seen here"
        if rollout is not None:
            why = "which switches Services of its own" if rollout.services else "which is not blueGreen"
        return f"{called} leads to Rollout {rollouts[0]}, {why}."
    if others and len(others) == len(made_by):
        return f"{called} leads to {others[0]}: Greenlight releases Deployments and Rollouts."
    if others:
        return f"{called} leads to {others[0]} beside a Deployment's pods: give those other labels."
    return ""
