"""What a state is that can be recorded: its name, the rule that tells it, and the way into it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from deployed import Mochiapp
from hold import Hold
from state import State

from rollouts import Rollouts

Json = dict[str, Any]


class Scene(Protocol):
    """What a row may use; it is cleared up behind it."""

    rollouts: Rollouts
    metric_url: str
    """Answers `{"errors": 3}`."""

    async def hold(self, app: Mochiapp, *triggers: str) -> Hold: ...

    async def install(self, *, live: bool = True, templates: tuple[Json, ...] = (), **manifest: Any) -> Mochiapp: ...


Play = Callable[[Scene], Awaitable[Mochiapp]]
Holds = Callable[[State], object]


@dataclass(frozen=True)
class Row:
    number: int
    name: str
    sentence: str
    holds: Holds
    """Whether it is this state: a caught one may have passed while it was being read."""
    play: Play


ROWS: dict[str, Row] = {}


def row(number: int, name: str, sentence: str, holds: Holds) -> Callable[[Play], Play]:
    def added(play: Play) -> Play:
        ROWS[name] = Row(number, name, sentence, holds, play)
        return play

    return added
