"""Live many lives, or one again with all that happened in it."""

import itertools
import os
import sys
import time
from collections.abc import Collection, Iterator, Sequence

import click

from simulation import mutants
from simulation.backends import BACKENDS
from simulation.coverage import missing
from simulation.runs import Result, family, many, one, planned, silence, sweep
from simulation.stories import told

FAILURES_SHOWN = 5
ENOUGH = 10_000
"""Runs in which everything that can happen has to have happened."""


@click.command(help=__doc__)
@click.option("--runs", default=20_000, show_default=True)
@click.option("--seed", default="1", help="A number for many runs, or the name of one run, to see it.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
@click.option("--backend", default="both", show_default=True, type=click.Choice(["both", *BACKENDS]))
@click.option("--mutant", default="", type=click.Choice(["", *mutants.MUTANTS]), help="Break the bot like this.")
def main(runs: int, seed: str, processes: int, backend: str, mutant: str) -> None:
    silence(for_good=True)
    backends = tuple(BACKENDS) if backend == "both" else (backend,)
    sys.exit(again(seed, mutant) if "-" in seed else several(runs, int(seed), processes, backends, mutant))


def several(runs: int, seed: int, processes: int, backends: Sequence[str], mutant: str) -> int:
    began, result = time.monotonic(), Result()
    # Each point at which one of the stories can crash, then whatever chance wants, until there are enough.
    sweeps = (sweep(story.name, seed, backend) for backend in backends for story in told(backend))
    families = itertools.chain(sweeps, by_chance(seed, backends, turns=runs // 20))
    for each in many(families, processes, mutant):
        result.add(each)
        if len(result.failed) >= FAILURES_SHOWN or result.runs >= runs:
            break
    took = time.monotonic() - began
    for what, count in sorted(result.counts.items()):
        click.echo(f"{count:9}  {what}")
    click.echo(
        f"{result.runs} runs, {result.steps} steps, {took:.0f} s: "
        f"{result.runs / took / processes:.0f} runs a second and process."
    )
    for name, why in list(result.failed.items())[:FAILURES_SHOWN]:
        click.echo(f"\n{planned(name).story}: {why}\n    see it: make simulate SEED={name}")
    never = missing(result, backends) if runs >= ENOUGH else []
    for what in never:
        click.echo(f"It never happened: {what}.")
    return 1 if result.failed or never else 0


def by_chance(seed: int, backends: Sequence[str], turns: int) -> Iterator[tuple[str, Collection[int]]]:
    for number in range(turns):
        yield from (family(seed, number, backend) for backend in backends)


def again(name: str, mutant: str) -> int:
    world = one(name, mutant)
    for line in (planned(name), *world.trace, "; ".join(world.oracles.failures) or "All is well."):
        click.echo(line)
    return int(bool(world.oracles.failures))


if __name__ == "__main__":
    main(prog_name="make simulate")
