"""What Discord allows a bot as a whole, and how we stay within it however long something is wrong.

10,000 invalid answers (401, 403, 429) within ten minutes ban the address, and 1,000 IDENTIFYs within a day reset the
token. discord.py repeats what failed without counting either, and resumes a websocket that is closed on it at once, for
as long as that lasts.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import aiohttp
from discord.backoff import ExponentialBackoff

IDENTIFIES_AN_HOUR = 40
"""960 a day."""
HOUR, TEN_MINUTES = 3600.0, 600.0
AT_ONCE = 3
"""Websockets that are opened within ten minutes without a pause: one that drops now and then is resumed at once."""
ANSWER_WITHIN = aiohttp.ClientTimeout(total=10)
"""For each attempt of a call; discord.py's own pauses, as Discord asks for them, do not count."""
LONGEST_PAUSE = 30.0
"""Seconds; discord.py gives up on a connection that takes a minute to open."""
_UNAUTHORISED = 401
_WITH_THEIR_OWN_TOKEN = ("/interactions/", "/webhooks/")


class Backoff(ExponentialBackoff[Any]):
    """discord.py's pauses while Discord cannot be reached, up to a minute instead of 17: it may be needed by then."""

    def __init__(self) -> None:
        super().__init__()
        self._max = 6


class Budget:
    """`clock` tells seconds, as `time.monotonic` does."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._opened: deque[float] = deque()
        self._identified: deque[float] = deque()
        self.revoked = asyncio.Event()
        """Set for good when Discord does not accept the bot's token any more."""

    def trace(self) -> aiohttp.TraceConfig:
        """For the session that carries all of the bot's calls."""
        config = aiohttp.TraceConfig()
        config.on_request_end.append(self._answered)
        return config

    async def _answered(
        self, _session: aiohttp.ClientSession, _context: Any, end: aiohttp.TraceRequestEndParams
    ) -> None:
        ours = not any(part in end.url.path for part in _WITH_THEIR_OWN_TOKEN)
        if end.response.status == _UNAUTHORISED and ours:
            self.revoked.set()

    async def turn(self) -> None:
        """Waits until a websocket may be opened; raises `ClientError` when that is not soon."""
        self.check()
        await asyncio.sleep(self.pause())
        self.opened()

    def check(self) -> None:
        if len(_within(self._identified, self._clock() - HOUR)) >= IDENTIFIES_AN_HOUR:
            raise aiohttp.ClientConnectionError(
                f"{IDENTIFIES_AN_HOUR} sessions were begun within an hour: another would endanger the token"
            )

    def opened(self) -> None:
        self._opened.append(self._clock())

    def identified(self) -> None:
        self._identified.append(self._clock())

    def pause(self) -> float:
        """Seconds before the next websocket."""
        recent = len(_within(self._opened, self._clock() - TEN_MINUTES))
        return 0.0 if recent < AT_ONCE else min(LONGEST_PAUSE, 2.0 ** (min(recent, 40) - AT_ONCE))


def _within(moments: deque[float], since: float) -> deque[float]:
    while moments and moments[0] < since:
        moments.popleft()
    return moments
