"""`python -m benchmarks`: the table. What is measured and what is aimed at stands in README.md beside this."""

import asyncio
from statistics import median

import click

from benchmarks.people import Row, measure

HIDDEN_FROM = 0.020
"""Seconds of round trip from which on there is something that the bot's own work can hide behind."""


@click.command()
@click.option("--each", default=20, show_default=True, help="Releases that are measured for every round trip.")
def benchmarks(each: int) -> None:
    """How long from what people do until the traffic has moved, as ratios to a bare patch in the same run."""
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
    return f"{row.what:25}{''.join(f'{figure * 1000:8.1f} ms' for figure in figures)}{row.ratio:8.2f}x"


def _met(value: float, most: float) -> str:
    return "met" if value <= most else "MISSED"


if __name__ == "__main__":
    benchmarks(prog_name="python -m benchmarks")
