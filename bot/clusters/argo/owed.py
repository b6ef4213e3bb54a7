"""An effect that the controller has not shown yet of what it was told, and when it is nudged for that. Pure.

Controllers up to 1.9.1 put the object of their own last write over what others wrote meanwhile, and see it only when
the object changes again. To repeat the write does not help, to change an annotation does.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.clusters.api import Json
from bot.clusters.argo import patches
from bot.clusters.argo.reading import annotations, moment

WITHIN = timedelta(seconds=2)
"""After this a write that shows no effect may be lost."""
NUDGES = 3


@dataclass(frozen=True)
class Owed:
    what: str
    due: datetime
    """Until then the effect may come without being asked for once more."""
    nudges: int
    now: datetime

    @property
    def is_due(self) -> bool:
        return self.now >= self.due

    @property
    def needs_nudge(self) -> bool:
        return self.is_due and self.nudges < NUDGES

    @property
    def is_late(self) -> bool:
        return self.is_due or self.nudges > 0

    @property
    def is_given_up(self) -> bool:
        """It was nudged often enough, and had its time after the last one too."""
        return self.is_due and self.nudges >= NUDGES


def owed(rollout: Json, what: str, told_at: datetime | None, now: datetime) -> Owed:
    """`told_at` None: nobody knows any more when it was told, so it is due."""
    note = _note(rollout, patches.NUDGED)
    times = note.get("times")
    if note.get("for") != what or not isinstance(times, int):
        return Owed(what, now if told_at is None else told_at + WITHIN, 0, now)
    told_at = moment(note.get("at")) or told_at
    return Owed(what, now if told_at is None else told_at + WITHIN, times, now)


def written(holder: Json) -> tuple[int, datetime] | None:
    """The generation that our last change of the pod template made, and when."""
    note = _note(holder, patches.WRITTEN)
    generation, at = note.get("generation"), moment(note.get("at"))
    return (generation, at) if isinstance(generation, int) and at else None


def _note(item: Json, key: str) -> Json:
    """One of our annotations that hold JSON; empty when it is not there, or is not as we write it."""
    try:
        found = json.loads(annotations(item).get(key, ""))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
