"""Many lives: each is a story, with crashes, weather and meddlers as its seed wants, and its seed is all it needs."""

import gc
import logging
import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import structlog

from simulation import mutants
from simulation.database import Database
from simulation.gates import by_chance, guards_by_chance
from simulation.meddlers import about, in_spite_of, meddle
from simulation.memory import Shelf
from simulation.oracles import Violation
from simulation.stories import STORIES, Story, told
from simulation.world import World

SQL_EVERY = 40
"""Of so many runs one is on the real SQL: it takes as long as all the others."""
KINDS, CALM, SHARP = 4, 0, 1
"""Every fourth life is calm, every fourth is sharp."""
DEATHS = 40
"""So many crashes are tried in a life, at chosen steps, as far as it has them."""
_ARGO = "argo-"
_DATABASE: list[Database] = []


@dataclass(frozen=True)
class Plan:
    """What its name says of a life, but for where the bot dies in it."""

    story: str
    backend: str = "native"
    sql: bool = False
    calm: bool = False
    """Nobody disturbs it, so that its end is certain."""
    sharp: bool = False
    """Somebody strikes while the traffic is being moved."""


@dataclass
class Result:
    """What came of some runs: how many, what happened in them how often, and the first that went wrong."""

    runs: int = 0
    steps: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    """The violation of a run by its name."""

    def add(self, other: "Result") -> None:
        self.runs += other.runs
        self.steps += other.steps
        self.counts += other.counts
        self.failed |= other.failed


def planned(name: str) -> Plan:
    """`7-12` is number 12 of seed 7, `7-promoted` a story that nobody disturbs; `@120` after it: the bot dies there.
    `7-argo-12` and `7-argo-promoted` are on Argo Rollouts.
    """
    _, _, what = name.partition("@")[0].partition("-")
    backend = "argo" if what.startswith(_ARGO) else "native"
    what = what.removeprefix(_ARGO)
    if not what.isdecimal():
        return Plan(what, backend, calm=True)
    number = int(what)
    there = told(backend)
    kind = number // len(there) % KINDS
    stories = [story for story in there if story.switches or kind != SHARP]
    return Plan(stories[number % len(stories)].name, backend, number % SQL_EVERY == 0, kind == CALM, kind == SHARP)


def born(name: str) -> World:
    plan = planned(name)
    world = World(name, database() if plan.sql else Shelf(), plan.backend)
    story = STORIES[plan.story]
    world.actors, world.adopts = story.wishes(), story.outside
    world.checked(story.gates, story.guards)
    if not plan.calm:
        if not (story.gates or story.guards):
            _check_by_chance(world, story)
        meddle(world, sharply=plan.sharp)
        world.adopts = world.adopts or (plan.backend == "argo" and world.chances.random() < 0.5)
        world.longest_down = 2400.0
    return world


def _check_by_chance(world: World, story: Story) -> None:
    """With gates and guards, or without, and people who do something about them."""
    chances = random.Random(f"gates of {world.seed}")
    gates, guards = by_chance(chances), guards_by_chance(chances) if story.switches else ()
    world.checked(gates, guards)
    world.actors += [each for gate, _ in gates for each in about(gate, world.chances)]
    world.actors += [each for guard, _ in guards for each in in_spite_of(guard, world.chances)]


def lives(name: str, deaths: Collection[int]) -> Iterator[tuple[str, World]]:
    """A life without a crash, and one for each step at which the bot dies; what is before that step is lived once.

    What went wrong in a world stands in its oracles.
    """
    world = born(name)
    forks = _lived(name, world, frozenset(deaths))
    yield name, world
    for fork in forks:
        again = f"{name}@{fork.steps}"
        fork.chances = random.Random(again)
        fork.shelf = fork.shelf.back()
        fork.mourn()
        if fork.chances.random() < 0.2:
            fork.crash_at = {fork.steps + fork.chances.randrange(1, 200)}
        _lived(again, fork)
        yield again, fork


def _lived(name: str, world: World, deaths: Collection[int] = ()) -> list[World]:
    plan, forks = planned(name), []
    try:
        forks = world.run(deaths)
    except Violation:
        return forks
    story, newest = STORIES[plan.story], world.newest
    as_planned = newest is not None and (newest.phase, newest.number) == (story.ends, story.number)
    if plan.calm and not as_planned:
        ended = f"{newest.title} ended as {newest.phase} ({newest.reason})" if newest is not None else "nothing ended"
        world.oracles.fail("I4", f"{ended}, not as {story.ends}")
    world.counts[f"{plan.story}: ended as planned"] += as_planned
    return forks


def some(families: Iterable[tuple[str, Collection[int]]], mutant: str = "") -> Result:
    """Live these lives, one after the other: each without a crash and with one at each of the steps."""
    result = Result()
    with mutants.at_work(mutant):
        for name, deaths in families:
            for each, world in lives(name, deaths):
                result.runs += 1
                result.steps += world.steps
                result.counts += world.counts
                if world.oracles.failures:
                    result.failed[each] = "; ".join(world.oracles.failures)
    gc.collect()
    return result


def one(name: str, mutant: str = "") -> World:
    """A single life by its name."""
    base, _, step = name.partition("@")
    with mutants.at_work(mutant):
        found = dict(lives(base, {int(step)} if step else ()))
    gc.collect()
    return found[name]


def family(seed: int, number: int, backend: str = "native") -> tuple[str, Collection[int]]:
    name = named(seed, number, backend)
    return name, sorted(random.Random(f"where {name} dies").sample(range(1, 500), DEATHS))


def sweep(story: str, seed: int, backend: str = "native") -> tuple[str, Collection[int]]:
    """The bot dies at each step of a story that it would take undisturbed."""
    return named(seed, story, backend), range(1, 2000)


def named(seed: int, what: int | str, backend: str) -> str:
    return f"{seed}-{_ARGO if backend == 'argo' else ''}{what}"


def many(families: Iterable[tuple[str, Collection[int]]], processes: int, mutant: str = "") -> Iterator[Result]:
    """The same on several cores; a result for each."""
    pool = ProcessPoolExecutor(processes, initializer=_prepare)
    try:
        yield from pool.map(partial(some, mutant=mutant), ([each] for each in families))
    finally:  # whoever has enough does not wait for the rest
        pool.shutdown(cancel_futures=True)


def database() -> Database:
    if not _DATABASE:
        _DATABASE.append(Database())
    _DATABASE[0].load(_DATABASE[0].empty)
    return _DATABASE[0]


def silence(*, for_good: bool = False) -> None:
    """The bot's log, which takes longer than the bot. `for_good`: loggers need not be asked again."""
    structlog.configure(
        processors=[],
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        cache_logger_on_first_use=for_good,
    )


def _prepare() -> None:
    silence(for_good=True)
    gc.disable()  # after each batch is often enough
