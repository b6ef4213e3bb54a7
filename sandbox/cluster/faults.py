"""What can go wrong on the way to an API server, on order: for tests of clients that have to survive it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class Effect(Enum):
    ANSWER = auto()  # a status instead of doing anything
    PAGE = auto()  # a page of something that stands between, instead of doing anything
    RESET = auto()  # the connection dies before anything is done
    HOLD = auto()  # the request waits, then is served
    SILENCE = auto()  # nothing is done and no answer ever comes
    LOSE = auto()  # it is done, but the connection dies before the answer
    AFTERWARDS = auto()  # it is done, and then answered with an error
    TRUNCATE = auto()  # it is done, and half of the answer comes
    CUT = auto()  # the same, of an answer that is sent in chunks
    TRICKLE = auto()  # it is done, and the answer comes byte by byte


@dataclass
class Fault:
    """What happens to the next `times` requests whose method and `path?query` match."""

    effect: Effect
    method: str
    path: re.Pattern[str]
    times: int
    status: int = 0
    seconds: float = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    # Set when the fault has met a request.
    met: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, method: str, target: str) -> bool:
        return self.times > 0 and self.method in {"", method} and bool(self.path.search(target))


class Faults:
    """The faults that are waiting for their request. `method` "" is any; `path` is a regular expression to search."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def answer(
        self, status: int, method: str = "", path: str = "", *, times: int = 1, headers: Mapping[str, str] | None = None
    ) -> Fault:
        """429 and 503 come with `Retry-After: 1`, unless `headers` says what else."""
        retry = {"Retry-After": "1"} if status in {429, 503} else {}
        return self._add(
            Effect.ANSWER, method, path, times, status=status, headers=retry if headers is None else headers
        )

    def page(self, status: int, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        """HTML, as a proxy shows it that wants people to log in, or whose server is away."""
        return self._add(Effect.PAGE, method, path, times, status=status, body="<html><h1>Please log in</h1></html>")

    def redirect(self, to: str, method: str = "", path: str = "", *, status: int = 307, times: int = 1) -> Fault:
        return self._add(Effect.ANSWER, method, path, times, status=status, headers={"Location": to})

    def reset(self, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Effect.RESET, method, path, times)

    def delay(self, seconds: float, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Effect.HOLD, method, path, times, seconds=seconds)

    def hold(self, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        """The request waits until the fault's `released` is set; a write then happens even if its client has gone."""
        return self._add(Effect.HOLD, method, path, times)

    def silence(self, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Effect.SILENCE, method, path, times)

    def lose_answer(self, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Effect.LOSE, method, path, times)

    def answer_afterwards(self, status: int, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        """A 500 or 504 of a request that was carried out all the same."""
        return self._add(Effect.AFTERWARDS, method, path, times, status=status)

    def truncate(self, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Effect.TRUNCATE, method, path, times)

    def cut(self, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Effect.CUT, method, path, times)

    def trickle(self, seconds: float, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        """Between two bytes so many seconds: whoever waits for the next one alone waits for very long."""
        return self._add(Effect.TRICKLE, method, path, times, seconds=seconds)

    def clear(self) -> None:
        for fault in self._waiting:
            fault.released.set()
        self._waiting.clear()

    def take(self, method: str, target: str) -> Fault | None:
        """The first fault for a request, which then counts as used once."""
        for fault in self._waiting:
            if fault.matches(method, target):
                fault.times -= 1
                fault.met.set()
                return fault
        return None

    def _add(self, effect: Effect, method: str, path: str, times: int, **more: Any) -> Fault:
        fault = Fault(effect, method, re.compile(path), times, **more)
        self._waiting.append(fault)
        return fault
