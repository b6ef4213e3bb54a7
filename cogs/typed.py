"""Commands written as text, in the form of slash commands: `deploy image:green app:mochi` as well as `deploy green`."""

import re

from discord.ext.commands import Parameter

_WORD = re.compile(r'"[^"]*"|\S+')


def positional(text: str, parameters: dict[str, Parameter]) -> str:
    """`text` with its values in the order of the command's parameters, as discord.py reads them.

    `key:value` counts where `key` is a parameter, so that `mochi:green` stays an image. Words without a key fill the
    other parameters in order. A last parameter that takes the rest of the line takes it from its key on.
    """
    named: dict[str, str] = {}
    words: list[str] = []
    rest = next((name for name, each in parameters.items() if each.kind is Parameter.KEYWORD_ONLY), None)
    for match in _WORD.finditer(text):
        key, colon, value = match[0].partition(":")
        if colon and key == rest:
            named[key] = (value + text[match.end() :]).strip()
            break
        if colon and value and key in parameters and key not in named:
            named[key] = value.strip('"')
        else:
            words.append(match[0])
    for name in parameters:
        if name not in named and words:
            named[name] = " ".join(words) if name == rest else words.pop(0).strip('"')
            if name == rest:
                words = []
    return " ".join([*_values(named, parameters, rest), *words])


def _values(named: dict[str, str], parameters: dict[str, Parameter], rest: str | None) -> list[str]:
    last = max((index for index, name in enumerate(parameters) if name in named), default=-1)
    found = []
    for name, parameter in list(parameters.items())[: last + 1]:
        if name in named:
            found.append(named[name] if name == rest else _quoted(named[name]))
        elif parameter.annotation in {str, str | None}:
            found.append('""')  # any word would be taken for it; others are skipped by what does not fit them
    return found


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
