"""Each way in which the bot is broken on purpose is seen: a mutant that lives means that an oracle is missing."""

import pytest

from simulation.mutants import MUTANTS
from simulation.runs import some

SEED = 1
WITHIN = {
    "no fresh check": 8,
    "no version in the patch": 300,
    "journal after the write": 1,
    "no lock": 14,
    "no look after the switch": 300,
    "going back is not journalled": 4,
    "a role that was taken away counts": 1,
    "the template is not bound": 300,
    "approval by tag": 300,
    "colour only selector": 300,
    "an old card acts": 115,
    "old buttons act": 5,
}
"""Which run of the seed sees each mutant. The very same runs are well without it."""


@pytest.mark.parametrize("mutant", WITHIN)
def test_a_mutant_is_seen(mutant):
    name = f"{SEED}-{WITHIN[mutant] - 1}"
    assert some([name], mutant).failed, f"nobody saw it: make simulate SEED={name} ARGUMENTS='--mutant \"{mutant}\"'"
    assert some([name]).failed == {}


def test_every_mutant_is_tried():
    assert WITHIN.keys() <= MUTANTS.keys()
