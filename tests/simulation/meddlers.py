"""Everybody else: roles that change, votes that come and go, bad weather. Who has kubectl stands with each backend.

A meddler strikes once, in a moment that he was given: when a release comes to a phase, or while a write of the bot is
on its way, which is the moment between its look and its effect.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.release.app import Gate, Guard
from bot.release.record import Phase
from simulation.guild import ANN, BEEP, BO, GUEST, KIM, LEO
from simulation.stories import (
    Wish,
    accepts,
    deploys,
    is_in,
    is_stopped_by,
    keeps,
    react,
    repeats,
    stops,
    unreact,
    votes,
)

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


def hurry(world: Any) -> None:
    """Sometimes new pods are there at once."""
    if world.chances.random() < 0.7:
        world.cluster.settle()


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


Deeds = Mapping[str, tuple[Callable[[Any], None], frozenset[Phase]]]


def named(*deeds: tuple[Callable[[Any], None], frozenset[Phase]]) -> Deeds:
    """Each by what it does, and the phases in which it may come."""
    return {deed.__name__.replace("_", " "): (deed, phases) for deed, phases in deeds}


ON_DISCORD = named(
    (a_role_is_taken_away, frozenset({Phase.READY, Phase.PROMOTING})),
    (a_voter_leaves, frozenset({Phase.READY, Phase.PROMOTING})),
    (everybody_takes_his_vote_back, frozenset({Phase.READY, Phase.PROMOTING})),
    (a_vote_on_every_card, ALL),
    (discord_goes_away, ALL),
)

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
    chances, deeds, weather = world.chances, world.backend.deeds, world.backend.weather
    if sharply:
        name = chances.choice(world.backend.sharp)
        world.actors.append(Meddler(name, deeds[name][0], at_once=True, phases=SWITCH))
        return
    for _ in range(chances.choice((0, 1, 1, 1, 2, 3))):
        name = chances.choice(list(deeds))
        deed, phases = deeds[name]
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
        for what in chances.sample(sorted(weather), chances.choice((1, 1, 2, 3))):
            world.weather.setdefault(what, weather[what])


def about(gate: Gate, chances: Any) -> list[Wish]:
    """What people do about a gate: wait until it is over and press what is offered, or press what is not."""
    name, offered = gate.name, is_stopped_by(gate.name)
    wishes = [repeats(ANN, name, offered, patience=60, tries=3)] if chances.random() < 0.6 else []
    if chances.random() < 0.2:
        wishes.append(stops(chances.choice((ANN, KIM, GUEST)), name, is_in(1, Phase.READY), patience=60, tries=2))
    if chances.random() < 0.7:
        when = offered if chances.random() < 0.7 else is_in(1, Phase.READY)
        who = chances.choice((KIM, LEO, BO, ANN, GUEST, BEEP))
        wishes.append(accepts(who, name, when, patience=90, tries=3, why=chances.choice(("known", "known", " "))))
    return wishes


def in_spite_of(guard: Guard, chances: Any) -> list[Wish]:
    """Somebody would have it stay live, whether or not that is asked of him."""
    if chances.random() < 0.3:
        return []
    who = chances.choice((KIM, LEO, ANN, GUEST, BEEP))
    return [keeps(who, guard.name, is_in(1, Phase.BAKING), patience=300, tries=4)]
