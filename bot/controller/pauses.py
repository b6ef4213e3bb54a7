"""How long an app waits after trouble."""

from datetime import datetime, timedelta

from bot.ports import Clock
from bot.release.record import Phase, Release

RETRY = timedelta(seconds=3)
"""After trouble; doubled each time that the same trouble is met, up to `LONGEST`, or `LONGEST_SWITCHING`."""
LONGEST = timedelta(minutes=1)
LONGEST_SWITCHING = timedelta(seconds=12)
"""While traffic waits to be moved."""
SWITCHING = {Phase.PROMOTING, Phase.BAKING, Phase.REVERTING}


class Pauses:
    """By app, or whatever else can be in trouble of its own: the trouble, and how long it waits for that to be over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[str, timedelta]] = {}

    def over(self, name: str) -> None:
        """The next trouble is a new one."""
        self._known.pop(name, None)

    def later(self, name: str, trouble: str, release: Release | None) -> datetime:
        """When to try again: the longer the same trouble lasts, the later."""
        known, pause = self._known.get(name, ("", RETRY))
        longest = LONGEST_SWITCHING if release and release.phase in SWITCHING else LONGEST
        pause = min(2 * pause, longest) if known == trouble else RETRY
        self._known[name] = (trouble, pause)
        return self._clock.now() + pause
