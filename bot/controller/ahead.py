"""What an attempt reads while that upon which it will act is still being recorded: to read takes as long as to record.

It is read in the attempt that acts, never before it; the record is read when it is complete.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from bot.clusters.cluster import View
from bot.release.record import Person, Release

_T = TypeVar("_T")


@dataclass
class Expected:
    """Somebody's word on a release is being recorded, and its traffic may be moved upon it."""

    release: Release
    voters: frozenset[int]
    """Whose roles will be asked for."""
    recorded: asyncio.Event = field(default_factory=asyncio.Event)
    """Or it could not be."""
    trouble: str = ""
    """Why it could not be."""


class Ahead:
    """A look at what is expected, and at the roles of its voters, that began at `began`. Each is used once."""

    def __init__(
        self,
        expected: Expected,
        began: datetime,
        look: Coroutine[Any, Any, View],
        people: Coroutine[Any, Any, Mapping[int, Person]] | None,
    ) -> None:
        self.expected = expected
        self.began = began
        self._look: asyncio.Task[View] | None = _begun(look)
        self._people: asyncio.Task[Mapping[int, Person]] | None = _begun(people) if people is not None else None

    def look(self) -> "asyncio.Task[View] | None":
        found, self._look = self._look, None
        return found

    def people(self) -> "asyncio.Task[Mapping[int, Person]] | None":
        found, self._people = self._people, None
        return found

    def cancel(self) -> None:
        """What was not used is not needed."""
        for task in (self.look(), self.people()):
            if task is not None:
                task.cancel()


def _begun(reading: Coroutine[Any, Any, _T]) -> "asyncio.Task[_T]":
    task = asyncio.create_task(reading)
    task.add_done_callback(_heard)
    return task


def _heard(task: "asyncio.Task[Any]") -> None:
    """That a reading failed which nobody needed is no news."""
    if not task.cancelled():
        task.exception()
