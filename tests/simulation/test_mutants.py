"""Each way in which the bot is broken on purpose is seen: a mutant that lives means that an oracle is missing."""

from collections.abc import Iterator

import pytest

from simulation.mutants import MUTANTS
from simulation.runs import planned, some

SEED = 1
FAMILIES = 100
RARE = {
    "a late switch is not waited for",
    "candidates without pods are ready",
    "no version of the record",
    "what comes late is let in",
    "who took it back is overruled",
}
"""Several things have to meet for these: thousands of lives see them, too many for here. `make simulate
ARGUMENTS="--mutant '…'"` does."""


def families() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Calm lives, and sharp ones, in which somebody strikes at the switch; each without a crash and with two."""
    for number in range(4 * FAMILIES):
        name = f"{SEED}-{number}"
        plan = planned(name)
        if (plan.sharp or plan.calm) and not plan.sql:
            yield name, (60 + number % 97, 160 + number % 89)


@pytest.mark.parametrize("mutant", sorted(MUTANTS.keys() - RARE))
def test_a_mutant_is_seen(mutant):
    """And the bot as it is lives well in the very lives that show it."""
    for each in families():
        failed = some([each], mutant).failed
        if failed:
            print(f"{mutant}: make simulate SEED={next(iter(failed))}: {failed}")  # noqa: T201 - pytest shows it with -s
            assert some([each]).failed == {}
            return
    pytest.fail(f"nobody saw it in {FAMILIES} families")
