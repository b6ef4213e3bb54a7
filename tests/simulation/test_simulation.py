"""Lives of the bot among people, faults and crashes: see `__init__.py`, and `make simulate` for many more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.backends import BACKENDS
from simulation.coverage import SELDOM, missing, needed
from simulation.runs import SQL_EVERY, Result, family, named, one, planned, some, sweep
from simulation.stories import told

ROOT = Path(__file__).parents[2]
SEED = 7


def lived(*families):
    result = some(families)
    assert result.failed == {}, "see it: make simulate SEED=<name>"
    return result


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_that_must_hold_is_broken_in_any_life(backend):
    """I1 to I15, after every step, with a crash, meddlers and weather."""
    families = [family(SEED, number, backend) for number in range(1, 16)]
    result = lived(*((name, deaths[::4]) for name, deaths in families))
    assert result.runs > 100
    assert result.counts["crash"] > 80


def test_nothing_that_must_hold_is_broken_on_the_real_store():
    """The real SQL and its transactions, where the other lives have a store in dictionaries."""
    name, deaths = family(SEED, SQL_EVERY)
    assert planned(name).sql
    assert lived((name, deaths[::4])).runs > 5


@pytest.mark.parametrize(("backend", "story"), [(each, story.name) for each in BACKENDS for story in told(each)])
def test_a_story_ends_as_it_should_wherever_the_bot_dies(backend, story):
    """I4: a share of the points here, all of them in `make simulate`."""
    name, steps = sweep(story, SEED, backend)
    result = lived((name, steps[::23]))
    assert result.counts[f"{story}: ended as planned"] == result.runs >= 10


@pytest.mark.parametrize("name", [f"{SEED}-13", f"{SEED}-13@71", named(SEED, 13, "argo"), f"{SEED}-gated@71"])
def test_the_same_seed_is_the_same_life(name):
    """In another process too, with another hash seed: or no failure could be shown again."""
    here = one(name).trace
    assert one(name).trace == here
    command = [sys.executable, "-m", "simulation", "--seed", name]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONHASHSEED": "5"}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
    assert "\n".join(here) in shown.stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_has_to_happen_in_many_lives_is_on_the_list(backend):
    """`make simulate` fails when any of it never happened: an oracle that had nothing to see proves nothing."""
    there = BACKENDS[backend]
    wanted = needed([backend])
    happens = {*there.deeds, *there.weather, *(f"{story.name}: ended as planned" for story in told(backend))}
    assert happens - SELDOM < wanted
    assert set(missing(Result(), [backend])) == wanted
