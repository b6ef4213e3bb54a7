"""Everybody else: people with kubectl, pods that die, roles that change, votes that come and go, bad weather.

A meddler strikes once, in a moment that he was given: when a release comes to a phase, or while a write of the bot is
on its way, which is the moment between its look and its effect.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.clusters.cluster import LABEL
from bot.clusters.reading import matches, selector, template_labels
from bot.release.record import Phase
from simulation.cluster import ACTIVE, REPOSITORY, digest
from simulation.guild import ANN, BEEP, BO, GUEST, KIM, LEO
from simulation.stories import deploys, is_in, react, unreact, votes

KUBECTL = "kubectl"


@dataclass(frozen=True)
class Meddler:
    name: str
    deed: Callable[[Any], None]
    at_once: bool
    """He strikes while a write is on its way."""
    phases: frozenset[Phase]
    wait: float = 0.0

    def wants(self, world: Any, at_once: bool) -> bool:
        if self.at_once:
            return at_once and not self._struck(world) and self._in_phase(world)
        due = self.due(world)
        return due is not None and due <= world.time.seconds

    def due(self, world: Any) -> float | None:
        if self.at_once or self._struck(world) or not self._in_phase(world):
            return None
        return world.memory.setdefault(("due", self.name), world.time.seconds + self.wait)

    def act(self, world: Any) -> None:
        world.memory["struck", self.name] = True
        world.counts[self.name] += 1
        self.deed(world)

    def _struck(self, world: Any) -> bool:
        return ("struck", self.name) in world.memory

    def _in_phase(self, world: Any) -> bool:
        newest = world.newest
        return newest is not None and newest.phase in self.phases


# Deeds in the cluster


def _change_slot(world: Any, slot: str, *operations: dict[str, Any]) -> None:
    wanted = selector(world.cluster.service())
    if matches(wanted, template_labels(world.cluster.slot(slot))):
        world.memory[f"live when changed: {slot}"] = True
    world.cluster.patch("deployments", slot, operations, KUBECTL)
    if matches(wanted, template_labels(world.cluster.slot(slot))):
        world.memory[f"live when changed: {slot}"] = True
    world.oracles.others_changed(f"deployments/{slot}")


def _hurry(world: Any) -> None:
    """Sometimes new pods are there at once."""
    if world.chances.random() < 0.7:
        while world.cluster.work:
            world.cluster.step(0)


def _set_image(world: Any, slot: str) -> None:
    path = "/spec/template/spec/containers/0/image"
    _change_slot(world, slot, {"op": "replace", "path": path, "value": f"{REPOSITORY}@{digest('evil')}"})
    _hurry(world)


def another_image_on_the_candidate(world: Any) -> None:
    _set_image(world, world.newest.slot)


def another_image_on_the_live_slot(world: Any) -> None:
    _set_image(world, world.newest.previous.slot)


def another_variable_on_the_candidate(world: Any) -> None:
    value = [{"name": "DEBUG", "value": "1"}]
    _change_slot(
        world, world.newest.slot, {"op": "add", "path": "/spec/template/spec/containers/0/env", "value": value}
    )
    _hurry(world)


def the_candidate_is_replaced(world: Any) -> None:
    """`kubectl replace` with the manifest of the repository: another image, and the release label is gone."""
    slot = world.newest.slot
    template = world.cluster.slot(slot)["spec"]["template"]
    plain = {key: value for key, value in template_labels(world.cluster.slot(slot)).items() if key != LABEL}
    container = {**template["spec"]["containers"][0], "image": f"{REPOSITORY}@{digest('evil')}"}
    value = {**template, "metadata": {"labels": plain}, "spec": {**template["spec"], "containers": [container]}}
    _change_slot(world, slot, {"op": "replace", "path": "/spec/template", "value": value})
    _hurry(world)


def a_tag_moves(world: Any) -> None:
    """In the registry, and pods start anew: what it means now, nobody has seen."""
    for tag in ("green", "purple"):
        world.cluster.tags[tag] = digest("evil")
    pods_of_the_candidate_die(world)
    _hurry(world)


def the_candidate_is_scaled_away(world: Any) -> None:
    _change_slot(world, world.newest.slot, {"op": "replace", "path": "/spec/replicas", "value": 0})
    _hurry(world)


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
    _hurry(world)


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


# Deeds on Discord


def a_role_is_taken_away(world: Any) -> None:
    person = world.guild.members.get(LEO.id, LEO)
    world.guild.members[LEO.id] = type(person)(LEO.id, LEO.name, frozenset())


def a_voter_leaves(world: Any) -> None:
    world.guild.members.pop(KIM.id, None)


def everybody_takes_his_vote_back(world: Any) -> None:
    for message, person, approve in sorted(world.guild.reactions):
        unreact(world, message, person, approve)


def a_vote_on_every_card(world: Any) -> None:
    """Of the author, of a bot, of somebody without a role."""
    for message in sorted(world.guild.cards.values()):
        for person in (ANN, BEEP, GUEST):
            react(world, message, person.id, True)


def discord_goes_away(world: Any) -> None:
    world.guild.away_until = world.time.seconds + 120 * world.chances.random()


BEFORE = frozenset({Phase.STAGING, Phase.READY, Phase.PROMOTING})
AFTER = frozenset({Phase.PROMOTING, Phase.BAKING, Phase.DONE, Phase.REVERTING})
ALL = frozenset(Phase)
SWITCH = frozenset({Phase.PROMOTING})

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

_DEEDS: Sequence[tuple[Callable[[Any], None], frozenset[Phase]]] = (
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
    (a_role_is_taken_away, frozenset({Phase.READY, Phase.PROMOTING})),
    (a_voter_leaves, frozenset({Phase.READY, Phase.PROMOTING})),
    (everybody_takes_his_vote_back, frozenset({Phase.READY, Phase.PROMOTING})),
    (a_vote_on_every_card, ALL),
    (discord_goes_away, ALL),
)
DEEDS = {deed.__name__.replace("_", " "): (deed, phases) for deed, phases in _DEEDS}

WEATHER = {
    "an answer is lost": 0.1,
    "a write comes late": 0.1,
    "a write is lost": 0.1,
    "a read fails": 0.02,
    "an answer is slow": 0.02,
    "a watch lies silent": 0.3,
    "a watch is broken off": 0.1,
    "roles cannot be read": 0.2,
    "reactions are not listed": 0.2,
    "a card is not drawn": 0.2,
    "the registry is away": 0.3,
    "the store fails": 0.05,
}


def meddle(world: Any, *, sharply: bool) -> None:
    """As chance wants: nobody, somebody, or several, in good weather or bad; or one alone, in the worst moment."""
    chances = world.chances
    if sharply:
        name = chances.choice(SHARP)
        world.actors.append(Meddler(name, DEEDS[name][0], at_once=True, phases=SWITCH))
        return
    for _ in range(chances.choice((0, 1, 1, 1, 2, 3))):
        name = chances.choice(list(DEEDS))
        deed, phases = DEEDS[name]
        when = frozenset({chances.choice(sorted(phases))})
        world.actors.append(Meddler(name, deed, chances.random() < 0.5, when, 40 * chances.random() ** 3))
    if chances.random() < 0.2:
        world.actors.append(deploys(BO, "purple", is_in(1, *ALL), patience=60, tries=2))
    if chances.random() < 0.1:  # while the last writes of the one before may still be on their way
        world.actors.append(deploys(BO, "purple", is_in(1, Phase.REVERTED), patience=3, tries=3))
        world.weather["a write comes late"] = 0.3
    if chances.random() < 0.2:
        world.actors.append(votes(BO, 1, is_in(1, Phase.READY), patience=20))
    if chances.random() < 0.5:
        for what in chances.sample(sorted(WEATHER), chances.choice((1, 1, 2, 3))):
            world.weather.setdefault(what, WEATHER[what])
