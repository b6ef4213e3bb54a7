"""A table for people, in a code block: the one place on Discord where columns stand one below the other."""

from collections.abc import Sequence

from cogs import words
from cogs.limits import length
from cogs.text import line

CELL = 80
FENCE = "```"


def table(rows: Sequence[Sequence[str]], room: int) -> str:
    """At most `room` characters: rows that do not fit are counted. A row of one cell is a heading."""
    cells = [[_inside(cell) for cell in row] for row in rows]
    columns = [row for row in cells if len(row) > 1]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    lines = [_line(row, widths) for row in cells]
    shown = len(lines)
    while shown and length(_block(lines, shown)) > room:
        shown -= 1
    return _block(lines, shown)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    if len(row) == 1:
        return row[0]
    return " ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _block(lines: Sequence[str], shown: int) -> str:
    left = [words.more_rows(len(lines) - shown)] if shown < len(lines) else []
    return "\n".join([FENCE, *lines[:shown], *left, FENCE])


def _inside(text: str) -> str:
    """Nothing ends the block but its end."""
    return line(text, CELL).replace("`", "'")
