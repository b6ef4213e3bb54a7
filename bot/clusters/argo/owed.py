"""An effect that the controller has not shown yet of what it was told, and when it is nudged for that. Pure.

Controllers before 1.10 put the object of their own last write over what others wrote meanwhile, and see it only when
the object changes again. To repeat the write does not help, to change an annotation does.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.clusters.api import Json
from bot.clusters.argo import patches
from bot.clusters.argo.reading import moment
from bot.clusters.reading import annotations

WITHIN = timedelta(seconds=2)
"""After this a write that shows no effect may be lost."""
NUDGES = 3
"""After so many people are told. A controller that is back may still have lost all that was written before, so it is
nudged further on, more and more seldom.
"""
AGAIN, SELDOM = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True)
class Owed:
    what: str
    told_at: datetime
    """When the controller was told, or nudged last."""
    nudges: int
    now: datetime

    @property
    def _in_time_until(self) -> datetime:
        return self.told_at + WITHIN

    @property
    def is_late(self) -> bool:
        return self.nudges > 0 or self.now >= self._in_time_until

    @property
    def is_given_up(self) -> bool:
        """It was nudged often enough, and had its time after the last one too."""
        return self.nudges > NUDGES or (self.nudges == NUDGES and self.now >= self._in_time_until)

    @property
    def needs_nudge(self) -> bool:
        return self.now >= self._nudge_at

    @property
    def look_at(self) -> datetime:
        """When there is something to do or to say, unless the effect comes before."""
        return self._nudge_at if self.is_given_up else self._in_time_until

    @property
    def _nudge_at(self) -> datetime:
        times = self.nudges - NUDGES
        return self._in_time_until if times < 0 else self.told_at + min(AGAIN * 2 ** min(times, 10), SELDOM)


def owed(rollout: Json, what: str, told_at: datetime, now: datetime) -> Owed:
    note = _note(rollout, patches.NUDGED)
    times, nudged_at = note.get("times"), moment(note.get("at"))
    if note.get("for") != what or not isinstance(times, int) or nudged_at is None:
        return Owed(what, told_at, 0, now)
    return Owed(what, nudged_at, times, now)


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
