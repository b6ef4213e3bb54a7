"""Where a value stands in a TOML file, as its author would look for it: line, table, key.

tomllib tells no lines of values, so the text is read for headers and keys once more. A key inside an inline table or a
list has the line of what holds it; text that only looks like a key, inside a multi-line string, may be taken for one.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence

Loc = tuple[str | int, ...]
"""The way to a value: keys of tables, indices of lists."""

_BARE = r"[A-Za-z0-9_-]+"
_KEY = rf"""(?:{_BARE}|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER_LINE = re.compile(rf"\s*\[(?P<many>\[?)\s*(?P<name>{_DOTTED})\s*\]")
_VALUE_LINE = re.compile(rf"\s*({_DOTTED})\s*=")


class TomlPlaces:
    def __init__(self, name: str, text: str, depth: Callable[[Loc], int]) -> None:
        """`depth` says how many of a path's parts belong into the header."""
        self._name = name
        self._depth = depth
        self._lines = _key_lines(text)

    def line(self, loc: Loc) -> int | None:
        """Of the value, or of the nearest thing around it that has a line."""
        around = (loc[:end] for end in range(len(loc), 0, -1))
        # What is written as a list in one value has one line; what has headers of its own, `[[…]]`, has one each.
        known = (each for part in around for each in (part, _names(part)) if each in self._lines)
        return next((self._lines[each] for each in known), None)

    def of(self, loc: Loc) -> str:
        """Such as `greenlight.toml:12: [apps.mochi] slots[1]`."""
        loc = tuple(part for part in loc if part != "[key]")  # pydantic's word for "the key itself is wrong"
        line = self.line(loc)
        depth = min(self._depth(loc), len(loc) - 1)
        key = ""
        for part in loc[depth:]:
            key += f"[{part}]" if isinstance(part, int) else f".{_quoted(part)}" if key else _quoted(part)
        return f"{self._name}{f':{line}' if line else ''}: {f'{header(loc[:depth])} ' if depth else ''}{key}"


def header(table: Sequence[str | int]) -> str:
    """A table's name as it stands in the file: `[apps.mochi.timing]`."""
    return f"[{'.'.join(_quoted(str(part)) for part in table)}]"


def _names(loc: Loc) -> Loc:
    return tuple(part for part in loc if isinstance(part, str))


def _key_lines(text: str) -> dict[Loc, int]:
    lines: dict[Loc, int] = {}
    table: Loc = ()
    met: Counter[Loc] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if match := _HEADER_LINE.match(line):
            table = _parts(match["name"])
            lines.setdefault(table, number)
            if match["many"]:
                met[table] += 1
                table = (*table, met[table] - 1)
                lines.setdefault(table, number)
        elif match := _VALUE_LINE.match(line):
            lines.setdefault(table + _parts(match[1]), number)
    return lines


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(key.strip("\"'") for key in re.findall(_KEY, dotted))


def _quoted(name: str) -> str:
    return name if re.fullmatch(_BARE, name) else json.dumps(name)
