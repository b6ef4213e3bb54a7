"""Reading JSON of which nothing is known: what has the wrong type counts as not there. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def items(holder: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = holder.get(key)
    return value if isinstance(value, list) else []


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def texts(holder: Mapping[str, Any], key: str) -> list[str]:
    return [each for each in items(holder, key) if isinstance(each, str)]
