"""A simcord world whose bot lives in another process: real time, and its answers are waited for.

simcord expects the bot in its own event loop, where it sees when every task of the bot rests ("settling"), and moves a
clock of its own. Neither is possible over a socket. So nothing is attached here: a client that never connects only
lends simcord its message classes, the clock is the machine's, and settling means that an interaction was answered.
Private names of simcord are touched in this file and in `page.py`; the version is pinned for that reason.
"""

# ruff: noqa: SLF001 - see above

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import discord
from simcord._clock import Clock
from simcord._dpy_internals import get_state
from simcord.backend import Backend
from simcord.backend.models import Interaction
from simcord.env import Env
from simcord.preview import Preview

T = TypeVar("T")

ANSWER_WITHIN = 3.0
"""Seconds that Discord gives a bot for its first answer to an interaction."""

KEPT_ENTRIES = 4000
"""simcord records everything for ever; a demo may stay open for days."""


class RealClock:
    """The machine's clock in the shape of simcord's."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def now(self) -> datetime:
        return datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        raise RuntimeError(f"real time cannot be moved by {seconds:g} s")


class Changes:
    """Wakes whoever waits for something in the world to become true."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def announce(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def until(self, condition: Callable[[], T | None], *, within: float, what: str) -> T:
        """The first true value of `condition`; `TimeoutError` that names `what` after `within` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while not (value := condition()):
            waiter = loop.create_future()
            self._waiting.add(waiter)
            try:
                async with asyncio.timeout_at(deadline):
                    await waiter
            except TimeoutError:
                if last := condition():
                    return last
                raise TimeoutError(f"{what}: not within {within:g} s") from None
            finally:
                self._waiting.discard(waiter)
        return value


class RemoteEnv(Env):
    """A simcord environment around a bot that is reached over HTTP and a websocket."""

    def __init__(self) -> None:
        super().__init__(discord.Client(intents=discord.Intents.none()), check_errors=False)
        self.backend = Backend(clock=cast(Clock, RealClock()))
        self.backend.subscribers.append(self._noticed)
        self.changes = Changes()
        self.display_revision = 0
        self.pages: list[Preview] = []
        self.asked: Interaction | None = None
        # What attaching a bot would have set: pages compare the generation, messages their client's state.
        self._started = True
        self._generation = 1
        self._message_states.add(get_state(self.bot))

    @property
    def last_asked(self) -> Interaction:
        """The interaction that was sent to the bot last."""
        if self.asked is None:
            raise LookupError("nobody has asked the bot anything yet")
        return self.asked

    @property
    def busy(self) -> bool:
        """Whether a page holds simcord's one operation, waiting for the bot's answer."""
        return self._operation_task is not None

    def noticed_request(self, method: str) -> None:
        """A REST call of the bot was carried out: whoever waits looks again, pages are drawn anew if it wrote."""
        if method != "GET":
            self.display_revision += 1
        self._trim()
        self.changes.announce()

    def _noticed(self, _event: str, _payload: Mapping[str, Any]) -> None:
        self.display_revision += 1
        self.changes.announce()

    def _trim(self) -> None:
        for record in (self.backend.transcript, self.backend.http_requests):
            if len(record) > KEPT_ENTRIES:
                del record[: KEPT_ENTRIES // 2]

    def _end_operation(self) -> None:
        super()._end_operation()
        # Whoever waits for `busy` to pass is told, as with any other change.
        self.changes.announce()

    def _notify_dispatch_observers(self, interaction: Interaction) -> None:
        self.asked = interaction
        super()._notify_dispatch_observers(interaction)

    def _mark_mutation(self) -> None:
        for page in self.pages:
            page._mark_action_dispatched()

    async def _settle_internal(
        self,
        *,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - simcord's signature
        idle: float = 0.05,  # noqa: ARG002 - simcord's signature
        dispatch: str | None = None,
        _deadline: float | None = None,
    ) -> None:
        """Wait for the bot only where a page shows the answer; people in tests wait by themselves, without a lock."""
        asked = self.asked
        if dispatch != "INTERACTION_CREATE" or asked is None:
            return
        if any(page._active_action is not None for page in self.pages):
            # No answer is an answer too: the page then says that the bot did not respond.
            with contextlib.suppress(TimeoutError):
                await self.changes.until(lambda: asked.responded, within=ANSWER_WITHIN, what="the bot's answer")
