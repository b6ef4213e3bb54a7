"""Who has kubectl, with two Deployments before him: other images and labels, pods that die, a Service that moves."""

from collections.abc import Callable, Mapping
from typing import Any

from bot.clusters.cluster import LABEL
from bot.clusters.reading import matches, selector, template_labels
from bot.release.record import Phase
from simulation.cluster import ACTIVE, REPOSITORY, digest
from simulation.meddlers import AFTER, ALL, BEFORE, KUBECTL, hurry, named


def _change_slot(world: Any, slot: str, *operations: dict[str, Any]) -> None:
    wanted = selector(world.cluster.service())
    if matches(wanted, template_labels(world.cluster.slot(slot))):
        world.memory[f"live when changed: {slot}"] = True
    world.cluster.patch("deployments", slot, operations, KUBECTL)
    if matches(wanted, template_labels(world.cluster.slot(slot))):
        world.memory[f"live when changed: {slot}"] = True
    world.oracles.others_changed(f"deployments/{slot}")


def _set_image(world: Any, slot: str) -> None:
    path = "/spec/template/spec/containers/0/image"
    _change_slot(world, slot, {"op": "replace", "path": path, "value": f"{REPOSITORY}@{digest('evil')}"})
    hurry(world)


def another_image_on_the_candidate(world: Any) -> None:
    _set_image(world, world.newest.slot)


def another_image_on_the_live_slot(world: Any) -> None:
    _set_image(world, world.newest.previous.slot)


def another_variable_on_the_candidate(world: Any) -> None:
    value = [{"name": "DEBUG", "value": "1"}]
    _change_slot(
        world, world.newest.slot, {"op": "add", "path": "/spec/template/spec/containers/0/env", "value": value}
    )
    hurry(world)


def the_candidate_is_replaced(world: Any) -> None:
    """`kubectl replace` with the manifest of the repository: another image, and the release label is gone."""
    slot = world.newest.slot
    template = world.cluster.slot(slot)["spec"]["template"]
    plain = {key: value for key, value in template_labels(world.cluster.slot(slot)).items() if key != LABEL}
    container = {**template["spec"]["containers"][0], "image": f"{REPOSITORY}@{digest('evil')}"}
    value = {**template, "metadata": {"labels": plain}, "spec": {**template["spec"], "containers": [container]}}
    _change_slot(world, slot, {"op": "replace", "path": "/spec/template", "value": value})
    hurry(world)


def a_tag_moves(world: Any) -> None:
    """In the registry, and pods start anew: what it means now, nobody has seen."""
    for tag in ("green", "purple"):
        world.cluster.tags[tag] = digest("evil")
    pods_of_the_candidate_die(world)
    hurry(world)


def the_candidate_is_scaled_away(world: Any) -> None:
    _change_slot(world, world.newest.slot, {"op": "replace", "path": "/spec/replicas", "value": 0})
    hurry(world)


def the_live_slot_is_scaled_up(world: Any) -> None:
    _change_slot(world, world.newest.previous.slot, {"op": "replace", "path": "/spec/replicas", "value": 2})


def the_live_pods_are_restarted(world: Any) -> None:
    value = {"kubectl.kubernetes.io/restartedAt": str(int(world.time.seconds))}
    path = "/spec/template/metadata/annotations"
    _change_slot(world, world.newest.previous.slot, {"op": "add", "path": path, "value": value})


def pods_of_the_candidate_die(world: Any) -> None:
    for pod in world.cluster.pods(world.newest.slot):
        world.cluster.kill(pod["metadata"]["name"])
    world.oracles.others_changed("pods")


def pods_of_the_previous_die(world: Any) -> None:
    for pod in world.cluster.pods(world.newest.previous.slot):
        world.cluster.kill(pod["metadata"]["name"])
    world.oracles.others_changed("pods")


def the_candidate_becomes_unwell(world: Any) -> None:
    world.cluster.feel(world.newest.slot, well=False)
    world.oracles.others_changed("pods")
    hurry(world)


def _move(world: Any, wanted: dict[str, str]) -> None:
    operation = {"op": "replace", "path": "/spec/selector", "value": dict(wanted)}
    world.cluster.patch("services", ACTIVE, [operation], KUBECTL)
    world.oracles.others_changed(f"services/{ACTIVE}")


def the_traffic_is_moved_to_the_candidate(world: Any) -> None:
    _move(world, world.newest.selector)


def the_traffic_is_moved_back(world: Any) -> None:
    _move(world, world.newest.previous.selector)


def the_traffic_is_moved_and_moved_back(world: Any) -> None:
    """Nothing but the version of the Service tells."""
    present = selector(world.cluster.service())
    _move(world, {"app": "nobody"})
    _move(world, present)


def the_service_is_annotated(world: Any) -> None:
    service = world.cluster.service()
    notes = {**(service["metadata"].get("annotations") or {}), "example.com/owner": "team"}
    operation = {"op": "add", "path": "/metadata/annotations", "value": notes}
    world.cluster.patch("services", ACTIVE, [operation], KUBECTL)
    world.oracles.others_changed(f"services/{ACTIVE} (its annotations)")


SHARP = (
    "another image on the candidate",
    "another variable on the candidate",
    "the candidate is replaced",
    "the service is annotated",
    "the traffic is moved and moved back",
    "pods of the candidate die",
    "a tag moves",
    "the traffic is moved to the candidate",
)
"""Between the last look and the switch."""

DEEDS: Mapping[str, tuple[Callable[[Any], None], frozenset[Phase]]] = named(
    (another_image_on_the_candidate, BEFORE),
    (another_variable_on_the_candidate, BEFORE),
    (the_candidate_is_replaced, BEFORE),
    (another_image_on_the_live_slot, ALL),
    (a_tag_moves, BEFORE),
    (the_candidate_is_scaled_away, BEFORE),
    (the_live_slot_is_scaled_up, BEFORE),
    (the_live_pods_are_restarted, BEFORE),
    (pods_of_the_candidate_die, ALL),
    (pods_of_the_previous_die, ALL),
    (the_candidate_becomes_unwell, BEFORE | AFTER),
    (the_traffic_is_moved_to_the_candidate, BEFORE),
    (the_traffic_is_moved_back, AFTER),
    (the_traffic_is_moved_and_moved_back, BEFORE | AFTER),
    (the_service_is_annotated, ALL),
)
