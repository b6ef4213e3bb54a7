"""`python -m benchmarks`: the tables. What is measured and what is aimed at stands in README.md beside this."""

import asyncio
from statistics import median

import click

from benchmarks import argo, gates
from benchmarks.people import Row, measure, p99

HIDDEN_FROM = 0.020
"""Seconds of round trip from which on there is something that the bot's own work can hide behind."""
GATES_EACH = 5


@click.command()
@click.option("--each", default=20, show_default=True, help="Releases that are measured for every round trip.")
@click.option("--argo-each", default=20, show_default=True, help="The same on the real control plane.")
@click.option("--gated", default=200, show_default=True, help=f"Releases with {GATES_EACH} gates each, all at once.")
def benchmarks(each: int, argo_each: int, gated: int) -> None:
    """How long from what people do until the traffic has moved, as ratios within one run, and what many gates cost. 0
    leaves a table out.
    """
    if each:
        _people(each)
    if argo_each:
        try:
            _argo(argo_each)
        except argo.NotBuilt:
            click.echo("Argo Rollouts beside it is left out: the real control plane is not built (make test-cluster).")
    if gated:
        _gates(gated)


def _people(each: int) -> None:
    votes, rollbacks = asyncio.run(measure(each))
    click.echo(f"{'':25}{'round trip':>11}{'median':>11}{'p99':>11}{'bare patch':>12}{'ratio':>8}   aimed at")
    for row in votes:
        most = 2.2 if row.rtt >= HIDDEN_FROM else 6.0
        tail = row.p99 / median(row.took)
        click.echo(f"{_line(row)}   ≤ {most}x {_met(row.ratio, most)}, p99 {tail:.1f}x median ≤ 3x {_met(tail, 3.0)}")
    for row, vote in zip(rollbacks, votes, strict=True):
        beside = median(row.took) / median(vote.took)
        click.echo(f"{_line(row)}   {beside:.2f}x a vote ≤ 1x {_met(beside, 1.0)}")
    click.echo("Each rollback was one write to its Service and started no pod.")


def _line(row: Row) -> str:
    figures = (row.rtt, median(row.took), row.p99, median(row.bare))
    return f"{row.what:25}{''.join(f'{_ms(figure):>11}' for figure in figures)}{row.ratio:8.2f}x"


def _argo(rounds: int) -> None:
    measured = asyncio.run(argo.measure(rounds))
    click.echo(f"\nOn a real kube-apiserver with Argo Rollouts {measured.argo}, {rounds} of each, in turn:")
    click.echo(f"{'':33}{'round trip':>11}{'median':>11}{'p99':>11}{'most':>11}")
    for rtt, took in measured.took.items():
        for way in argo.WAYS:
            figures = (rtt, median(took[way]), p99(took[way]), max(took[way]))
            click.echo(f"{way:33}{''.join(f'{_ms(figure):>11}' for figure in figures)}")
        for way, beside, most in argo.AIMED_AT:
            ratio = median(took[way]) / median(took[beside])
            click.echo(f"   {way} is {ratio:.2f}x {beside} ≤ {most}x {_met(ratio, most)}")


def _gates(releases: int) -> None:
    measured = asyncio.run(gates.measure(releases, GATES_EACH))
    click.echo(f"\n{releases} releases with {GATES_EACH} gates each, all at once:")
    lag, idle, size = p99(measured.lag), p99(measured.idle), measured.size / 1024
    click.echo(f"{'loop lag, p99':33}{_ms(lag):>11}, idle {_ms(idle)}   ≤ 50 ms {_met(lag, 0.050)}")
    click.echo(f"{'memory of a gate that runs':33}{size:7.1f} KiB   ≤ 32 KiB {_met(size, 32)}")
    middle, slowest = median(measured.took), max(measured.took)
    ratio = slowest / middle
    click.echo(
        f"{'from its begin until on record':33}{middle:9.1f} s, the slowest {slowest:.1f} s: {ratio:.1f}x   "
        f"≤ 3x {_met(ratio, 3.0)}"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _met(value: float, most: float) -> str:
    return "met" if value <= most else "MISSED"


if __name__ == "__main__":
    benchmarks(prog_name="python -m benchmarks")
