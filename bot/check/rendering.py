"""Findings as people and as scripts read them."""

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby

import click

from bot.check.finding import Finding, State

WIDEST = 100
_MARKS = {State.OK: "ok  ", State.WARN: "warn", State.FAIL: "FAIL"}
_COLOURS = {State.OK: "green", State.WARN: "yellow", State.FAIL: "red"}
_ABOUT = 24
_PASTED = " " * 8


def table(findings: Sequence[Finding], width: int = WIDEST) -> str:
    """Grouped by part in the order of the findings, a mark on each, its fix on a line of its own, then what is to be
    copied as it is; without colours it says the same.
    """
    column = min(_ABOUT, max((len(each.about) for each in findings), default=0))
    lines: list[str] = []
    for part, found in groupby(findings, key=lambda each: each.part):
        lines += ["", part] if lines else [part]
        for each in found:
            lines += _lines(each, column, width)
    return "\n".join([*lines, "", _summary(findings)])


def as_json(findings: Iterable[Finding]) -> str:
    """A list of objects with the keys part, about, state (ok, warn, fail), sentence, fix and paste ("" for none)."""
    return json.dumps([asdict(each) for each in findings], indent=2, ensure_ascii=False)


def something_fails(findings: Iterable[Finding]) -> bool:
    return any(each.state is State.FAIL for each in findings)


def _lines(finding: Finding, column: int, width: int) -> list[str]:
    mark = click.style(_MARKS[finding.state], fg=_COLOURS[finding.state])
    indent = " " * (2 + 4 + 2 + column + 2)
    about = "".join(each if each.isprintable() else "?" for each in finding.about).ljust(column)
    long = [] if len(about) <= column else [f"  {mark}  {about}"]
    first = indent if long else f"  {mark}  {about}  "
    told = _wrapped(finding.sentence, width - len(indent))
    lines = [*long, first + told[0], *(indent + more for more in told[1:])]
    if finding.fix:
        fix = _wrapped(f"fix: {finding.fix}", width - len(indent))
        lines += [indent + fix[0], *(f"{indent}     {more}" for more in fix[1:])]
    return [*lines, *(f"{_PASTED}{_visible(line)}" for line in finding.paste.splitlines())]


def _wrapped(text: str, width: int) -> list[str]:
    text = _visible(text)
    # What is to be copied (an address, a rule) stays whole, be it wider than the table.
    return textwrap.wrap(text, max(width, 30), break_long_words=False, break_on_hyphens=False) or [""]


def _visible(text: str) -> str:
    """Names come from outside: they must not steer a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _summary(findings: Sequence[Finding]) -> str:
    failing = sum(each.state is State.FAIL for each in findings)
    warnings = sum(each.state is State.WARN for each in findings)
    worth = f"{warnings} warning{'s' if warnings != 1 else ''}"
    if failing:
        return f"{failing} of {len(findings)} {'fails' if failing == 1 else 'fail'}" + (
            f", {worth}." if warnings else "."
        )
    return f"All is right, with {worth}." if warnings else "All is right."
