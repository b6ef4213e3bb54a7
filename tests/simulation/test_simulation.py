"""Lives of the bot among people, faults and crashes: see `__init__.py`, and `make simulate` for many more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.runs import live, planned, points, silence, some
from simulation.stories import STORIES

ROOT = Path(__file__).parents[2]
RUNS = 120


@pytest.fixture(autouse=True)
def quiet():
    import structlog  # noqa: PLC0415

    before = structlog.get_config()
    silence()
    yield
    structlog.configure(**before)


def test_nothing_that_must_hold_is_broken_in_any_life():
    """I1 to I15, after every step; `see it: make simulate SEED=<name>`."""
    assert some(f"7-{number}" for number in range(RUNS)).failed == {}


@pytest.mark.parametrize("story", STORIES)
def test_a_story_ends_as_it_should_wherever_the_bot_dies(story):
    """I4: a share of the points here, all of them in `make simulate`."""
    result = some(points(story, 7)[::20])
    assert result.failed == {}
    assert result.counts[f"{story}: ended as planned"] == result.runs > 10


def test_the_same_seed_is_the_same_life():
    """In another process too, with another hash seed: or no failure could be shown again."""
    here = live(planned("7-13")).trace
    assert live(planned("7-13")).trace == here
    command = [sys.executable, "-m", "simulation", "--seed", "7-13"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONHASHSEED": "5"}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
    assert "\n".join(here) in shown.stdout
