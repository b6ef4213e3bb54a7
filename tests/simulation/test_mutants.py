"""Each way in which the bot is broken on purpose is seen: a mutant that lives means that an oracle is missing."""

import inspect
from collections.abc import Iterator
from functools import partial

import pytest

from bot.release.record import Phase
from bot.release.verbs import Verb
from simulation.backends import BACKENDS
from simulation.gates import FAILS, IS_SLOW, NOTHING, RATE, SMOKE, Gated, Guarded
from simulation.guild import BO, GUEST, SAM
from simulation.meddlers import Meddler
from simulation.memory import Shelf
from simulation.mutants import MUTANTS, ON_ARGO, at_work
from simulation.oracles import Violation
from simulation.runs import named, planned, some
from simulation.stories import STORIES, is_asked, is_in, keeps, presses
from simulation.world import World

SEED = 1
FAMILIES = 100
LIVES = 400


def deed(backend: str, name: str, phase: Phase, *, at_once: bool = False, wait: float = 0) -> Meddler:
    return Meddler(name, BACKENDS[backend].deeds[name][0], at_once, frozenset({phase}), wait)


native_deed, argo_deed = partial(deed, "native"), partial(deed, "argo")


RARE = {
    "a late switch is not waited for": (
        "native",
        "rolled back",
        [native_deed("everybody takes his vote back", Phase.PROMOTING, at_once=True)],
        {"a write comes late": 0.5},
    ),
    "roles are asked and not believed": (
        "native",
        "promoted",
        [native_deed("a role is taken away", Phase.READY, wait=3)],
        {},
    ),
    "candidates without pods are ready": (
        "native",
        "promoted",
        [native_deed("pods of the candidate die", Phase.READY, wait=1.5)],
        {},
    ),
    "who took it back is overruled": (
        "native",
        "promoted",
        [native_deed("the traffic is moved back", Phase.PROMOTING, wait=0.05)],
        {"an answer is lost": 0.6},
    ),
    "the next promotion overrules who took it back": (
        "argo",
        "promoted",
        [argo_deed("the traffic is moved back", Phase.PROMOTING, wait=0.3)],
        {"an answer is lost": 0.6, "an answer is slow": 0.3},
    ),
    "one pause is like another": (
        "argo",
        "promoted",
        [argo_deed("the traffic is moved back", Phase.PROMOTING, wait=0.3)],
        {"an answer is lost": 0.6, "an answer is slow": 0.2},
    ),
    "the way back goes through the controller": (
        "argo",
        "promoted",
        [
            argo_deed("the controller dies", Phase.BAKING, wait=1),
            presses(SAM, 1, Verb.ROLL_BACK, is_in(1, Phase.BAKING), patience=10),
        ],
        {},
    ),
    "a late nudge is one more": (
        "argo",
        "promoted",
        [argo_deed("the controller freezes", Phase.PROMOTING, at_once=True)],
        {"a write comes late": 0.9, "an answer is slow": 0.1},
    ),
    "what was replaced is left over": (
        "argo",
        "superseded",
        [presses(BO, 2, Verb.ABANDON, is_in(2, Phase.STAGING))],
        {"a write is lost": 0.5},
    ),
    "a verdict of another candidate counts": ("native", "superseded", [], {}),
    "what comes after the time limit counts": ("native", "promoted", [], {}),
    "a guard that cannot tell takes it back": ("native", "promoted", [], {}),
    "anybody keeps what is live": ("native", "promoted", [keeps(GUEST, RATE.name, is_asked(RATE.name))], {}),
}
"""Several things have to meet for these, so here they do more often than chance would have them."""
CHECKS: dict[str, tuple[Gated, Guarded]] = {
    "a verdict of another candidate counts": (((SMOKE, (IS_SLOW,)),), ()),
    "what comes after the time limit counts": (((SMOKE, (IS_SLOW,)),), ()),
    "a guard that cannot tell takes it back": ((), ((RATE, (NOTHING,)),)),
    "anybody keeps what is live": ((), ((RATE, (FAILS,)),)),
}
"""What those of them that are about gates and guards have of these."""
SLOW = {"no version of the record", "what comes late is let in"}
"""Seen after some hundred lives: `make simulate ARGUMENTS="--mutant '…'"`."""


def families(backend: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Calm lives, and sharp ones, in which somebody strikes at the switch; each without a crash and with two."""
    for number in range(4 * FAMILIES):
        name = named(SEED, number, backend)
        plan = planned(name)
        if (plan.sharp or plan.calm) and not plan.sql:
            yield name, (60 + number % 97, 160 + number % 89)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_asked_as_what_it_takes_the_place_of(mutant):
    """Or it dies of a TypeError, whatever the oracles see."""
    for where, what, instead in MUTANTS[mutant]():
        present = inspect.getattr_static(where, what)
        if inspect.isfunction(present) and inspect.isfunction(instead):
            takes, asked = inspect.signature(instead).parameters, inspect.signature(present).parameters
            anything = any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in takes.values())
            assert anything or list(takes) == list(asked)


@pytest.mark.parametrize("mutant", sorted(MUTANTS.keys() - RARE.keys() - SLOW))
def test_a_mutant_is_seen(mutant):
    """And the bot as it is lives well in the very lives that show it."""
    for each in families("argo" if mutant in ON_ARGO else "native"):
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
    backend, story, actors, weather = RARE[mutant]
    world = World(f"{SEED}-{mutant}-{number}", Shelf(), backend)
    world.actors, world.weather = [*STORIES[story].wishes(), *actors], dict(weather)
    world.checked(*CHECKS.get(mutant, ((), ())))
    with at_work(mutant if mutated else ""):
        try:
            world.run()
        except Violation:
            return world.oracles.failures
    return []
