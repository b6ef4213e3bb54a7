"""Many lives: each is a story, with crashes, weather and meddlers as its seed wants, and its seed is all it needs."""

import gc
import logging
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import structlog

from simulation import mutants
from simulation.database import Database
from simulation.meddlers import meddle
from simulation.memory import Shelf
from simulation.oracles import Violation
from simulation.stories import STORIES
from simulation.world import APP, World

SQL_EVERY = 40
"""Of so many runs one is on the real SQL: it takes as long as all the others."""
CALM_EVERY = 4
"""Of so many runs one is undisturbed but for its crash, so that its end is certain."""
BATCH = 50
_DATABASE: list[Database] = []


@dataclass(frozen=True)
class Run:
    """One life. `crash_at` are steps of the world at which the bot dies."""

    name: str
    """What replays it: `make simulate SEED=<name>`."""
    story: str
    crash_at: frozenset[int]
    sql: bool = False
    calm: bool = False


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


def planned(name: str) -> Run:
    """`7-12` is the twelfth run of seed 7; `7-promoted-120` is the story of seed 7 with a crash at step 120."""
    _, _, rest = name.partition("-")
    if not rest.isdecimal():
        story, _, step = rest.rpartition("-")
        return Run(name, story, frozenset({int(step)} if int(step) else ()), calm=True)
    number, chances = int(rest), random.Random(name)
    crashes = chances.choice((1, 1, 1, 2))
    return Run(
        name,
        list(STORIES)[number % len(STORIES)],
        frozenset(chances.randrange(1, 400) for _ in range(crashes)),
        sql=number % SQL_EVERY == 0,
        calm=number // len(STORIES) % CALM_EVERY == 0,
    )


def live(run: Run) -> World:
    """One world, lived to its end. Raises `Violation`, which has the `world`."""
    seed, _, rest = run.name.partition("-")
    # Runs that differ in nothing but where they crash are the same until they do.
    world = World(run.name if rest.isdecimal() else f"{seed}-{run.story}", database() if run.sql else Shelf())
    world.app = APP
    story = STORIES[run.story]
    world.actors = story.wishes()
    if not run.calm:
        meddle(world)
        world.longest_down = 2400.0
    world.crash_at = set(run.crash_at)
    world.run()
    newest = world.newest
    if run.calm and (newest.phase, newest.number) != (story.ends, story.number):
        world.oracles.fail("I4", f"{newest.title} ended as {newest.phase} ({newest.reason}), not as {story.ends}")
        raise world.oracles.violation()
    world.counts[f"{run.story}: ended as planned"] += (newest.phase, newest.number) == (story.ends, story.number)
    return world


def some(names: Iterable[str], mutant: str = "") -> Result:
    """Live these runs, one after the other."""
    result = Result()
    with mutants.at_work(mutant):
        for name in names:
            try:
                world = live(planned(name))
            except Violation as violation:
                result.failed[name] = str(violation)
                result.runs += 1
                continue
            result.runs += 1
            result.steps += world.steps
            result.counts += world.counts
    gc.collect()
    return result


def many(names: Iterable[str], processes: int, mutant: str = "") -> Iterator[Result]:
    """The same on several cores; a result for every batch."""
    left = iter(names)
    batches = iter(lambda: list(islice(left, BATCH)), [])
    with ProcessPoolExecutor(processes, initializer=_prepare) as pool:
        yield from pool.map(partial(some, mutant=mutant), batches)


def points(story: str, seed: int) -> list[str]:
    """The names of the runs in which the bot dies at each step of a story that it would take undisturbed."""
    world = live(planned(f"{seed}-{story}-0"))
    return [f"{seed}-{story}-{step}" for step in range(1, world.steps + 1)]


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
