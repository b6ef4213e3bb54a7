"""What can go wrong on the way to an API server, on order: for tests of clients that have to survive it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from enum import Enum, auto


class Effect(Enum):
    ANSWER = auto()  # a status instead of doing anything
    RESET = auto()  # the connection dies before anything is done
    HOLD = auto()  # the request waits, then is served
    SILENCE = auto()  # nothing is done and no answer ever comes
    LOSE = auto()  # it is done, but the connection dies before the answer
    TRUNCATE = auto()  # it is done, and half of the answer comes


@dataclass
class Fault:
    """What happens to the next `times` requests whose method and `path?query` match."""

    effect: Effect
    method: str
    path: re.Pattern[str]
    times: int
    status: int = 0
    seconds: float = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    # Set when the fault has met a request.
    met: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, method: str, target: str) -> bool:
        return self.times > 0 and self.method in {"", method} and bool(self.path.search(target))


class Faults:
    """The faults that are waiting for their request. `method` "" is any; `path` is a regular expression to search."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def answer(self, status: int, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Fault(Effect.ANSWER, method, re.compile(path), times, status=status))

    def reset(self, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Fault(Effect.RESET, method, re.compile(path), times))

    def delay(self, seconds: float, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Fault(Effect.HOLD, method, re.compile(path), times, seconds=seconds))

    def hold(self, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        """The request waits until the fault's `released` is set; a write then happens even if its client has gone."""
        return self._add(Fault(Effect.HOLD, method, re.compile(path), times))

    def silence(self, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Fault(Effect.SILENCE, method, re.compile(path), times))

    def lose_answer(self, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Fault(Effect.LOSE, method, re.compile(path), times))

    def truncate(self, method: str = "", path: str = "", *, times: int = 1) -> Fault:
        return self._add(Fault(Effect.TRUNCATE, method, re.compile(path), times))

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

    def _add(self, fault: Fault) -> Fault:
        self._waiting.append(fault)
        return fault
