"""Each way in which the bot is broken on purpose is seen: a mutant that lives means that an oracle is missing."""

from collections.abc import Iterator

import pytest

from bot.release.record import Phase
from simulation.meddlers import DEEDS, Meddler
from simulation.memory import Shelf
from simulation.mutants import MUTANTS, at_work
from simulation.oracles import Violation
from simulation.runs import planned, some
from simulation.stories import STORIES
from simulation.world import World

SEED = 1
FAMILIES = 100
LIVES = 400


def deed(name: str, phase: Phase, *, at_once: bool = False, wait: float = 0) -> Meddler:
    return Meddler(name, DEEDS[name][0], at_once, frozenset({phase}), wait)


RARE = {
    "a late switch is not waited for": (
        "rolled back",
        [deed("everybody takes his vote back", Phase.PROMOTING, at_once=True)],
        {"a write comes late": 0.5},
    ),
    "candidates without pods are ready": (
        "promoted",
        [deed("pods of the candidate die", Phase.READY, wait=1.5)],
        {},
    ),
    "who took it back is overruled": (
        "promoted",
        [deed("the traffic is moved back", Phase.PROMOTING, wait=0.05)],
        {"an answer is lost": 0.6},
    ),
}
"""Several things have to meet for these, so here they do more often than chance would have them."""
SLOW = {"no version of the record", "what comes late is let in"}
"""Seen after some hundred lives: `make simulate ARGUMENTS="--mutant '…'"`."""


def families() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Calm lives, and sharp ones, in which somebody strikes at the switch; each without a crash and with two."""
    for number in range(4 * FAMILIES):
        name = f"{SEED}-{number}"
        plan = planned(name)
        if (plan.sharp or plan.calm) and not plan.sql:
            yield name, (60 + number % 97, 160 + number % 89)


@pytest.mark.parametrize("mutant", sorted(MUTANTS.keys() - RARE.keys() - SLOW))
def test_a_mutant_is_seen(mutant):
    """And the bot as it is lives well in the very lives that show it."""
    for each in families():
        failed = some([each], mutant).failed
        if failed:
            print(f"{mutant}: make simulate SEED={next(iter(failed))}: {failed}")  # noqa: T201 - pytest shows it with -s
            assert some([each]).failed == {}
            return
    pytest.fail(f"nobody saw it in {FAMILIES} families")


@pytest.mark.parametrize("mutant", RARE)
def test_a_mutant_that_seldom_does_harm_is_seen(mutant):
    for number in range(LIVES):
        failed = lived(mutant, number, mutated=True)
        if failed:
            print(f"{mutant}: life {number}: {failed}")  # noqa: T201 - pytest shows it with -s
            assert lived(mutant, number, mutated=False) == []
            return
    pytest.fail(f"nobody saw it in {LIVES} lives")


def lived(mutant: str, number: int, *, mutated: bool) -> list[str]:
    story, actors, weather = RARE[mutant]
    world = World(f"{SEED}-{mutant}-{number}", Shelf())
    world.actors, world.weather = [*STORIES[story].wishes(), *actors], dict(weather)
    with at_work(mutant if mutated else ""):
        try:
            world.run()
        except Violation:
            return world.oracles.failures
    return []
