"""Whose turn it is: an event loop without sockets, threads or a clock of its own.

What is ready runs in the order in which it became ready, as every asyncio loop promises; libraries rely on it. What a
network decides is left to the simulation: each effect of the bot stops before and after, and waits here until somebody
lets it go on. So every order in which answers can arrive is possible, and no order that cannot occur.
"""

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Time:
    """Seconds since the world began. Shared by all bots of a world, which come and go."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds


class Loop(asyncio.AbstractEventLoop):
    """One bot's event loop; it dies with the bot."""

    def __init__(self, time: Time, broken: Callable[[dict[str, Any]], None]) -> None:
        self._time = time
        self._broken = broken
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[asyncio.TimerHandle] = []
        self.waiting: list[tuple[str, asyncio.Future[None]]] = []
        """The effects that have stopped: what it is, and what lets it go on."""
        self.tasks: list[asyncio.Task[Any]] = []

    # What the simulation does

    def stop_at(self, what: str) -> asyncio.Future[None]:
        """Await it: an effect stops here."""
        future: asyncio.Future[None] = asyncio.Future(loop=self)
        self.waiting.append((what, future))
        return future

    def go_on(self, index: int) -> str:
        """Let one of those that wait go on."""
        waiting = self.waiting
        what, future = waiting[index]
        waiting[index] = waiting[-1]
        waiting.pop()
        if not future.done():
            future.set_result(None)
        return what

    def settle(self) -> None:
        """Run all that is due and ready, until everything waits for an effect or for time."""
        ready, timers = self._ready, self._timers
        while True:
            while timers and timers[0]._when <= self._time.seconds:
                timer = heapq.heappop(timers)
                if not timer._cancelled:
                    ready.append(timer)
            if not ready:
                return
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    @property
    def next_timer(self) -> float | None:
        while self._timers and self._timers[0]._cancelled:
            heapq.heappop(self._timers)
        return self._timers[0]._when if self._timers else None

    @property
    def unheard(self) -> list[BaseException]:
        """Of what tasks died, where nobody asked: asyncio only says so once they are collected as garbage."""
        dead = [task for task in self.tasks if task.done() and not task.cancelled() and task._log_traceback]
        return [error for task in dead if (error := task.exception()) is not None]

    @contextmanager
    def running(self) -> Iterator[None]:
        events._set_running_loop(self)
        try:
            yield
        finally:
            events._set_running_loop(None)

    def drop(self) -> None:
        """The process is gone: no task ever goes on."""
        self._ready.clear()
        self._timers.clear()
        self.waiting.clear()

    def bury(self) -> None:
        """Once the world has ended: what the tasks have open may be closed now, since nobody sees it any more."""
        with self.running():
            for task in self.tasks:
                if not task.done():
                    task._log_destroy_pending = False
                    with suppress(RuntimeError):  # a `finally` that would go on waiting
                        task.get_coro().close()
        self.drop()

    # What asyncio asks of a loop

    def time(self) -> float:
        return self._time.seconds

    def call_soon(self, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self._time.seconds + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        handle._scheduled = True
        heapq.heappush(self._timers, handle)
        return handle

    def _timer_handle_cancelled(self, handle) -> None:
        pass

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro, **more):
        task = asyncio.Task(coro, loop=self, **more)
        self.tasks.append(task)
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context) -> None:
        self._broken(context)

    def default_exception_handler(self, context) -> None:
        self._broken(context)
