"""How the bot ends: nothing new is begun, what is under way is finished or handed over, and in ten seconds it is gone.

Whatever does not end in its time is cut off, and at last the process ends itself: a bot that is killed anywhere goes on
where it was, so that is safe, and whoever waits for its place or its database need not wait longer.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()

WITHIN = 9.0
"""Seconds from the signal until the process ends itself; Docker sends SIGKILL after ten."""
PARTS_WITHIN = 5.0
OTHERS_WITHIN = 1.5


async def until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run it until it ends, or until SIGTERM or SIGINT; a second signal changes nothing. Raises what it ends by."""
    task = asyncio.ensure_future(work)
    asked = False

    def stop() -> None:
        nonlocal asked
        if not asked:
            asked = True
            log.info("stopping")
            _end_at_last(0)
            task.cancel()

    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop)
    await asyncio.wait([task])
    if not asked:
        _end_at_last(1)
        task.result()
    elif not task.cancelled() and (error := task.exception()) is not None:
        log.warning("an error while stopping", exc_info=error)


async def together(*work: Awaitable[object]) -> None:
    """Until one of them ends; then all are ended. Raises what the first one ended by."""
    tasks: list[asyncio.Future[object]] = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        _, late = await asyncio.wait(tasks, timeout=PARTS_WITHIN)
        if late:
            log.warning("parts that do not stop", count=len(late))
    for task in ended:
        task.result()


async def let_finish(before: set[asyncio.Task[Any]]) -> None:
    """Wait for whatever is still at work for somebody, a little, then cut it off; `before` are tasks of others."""
    for cut in (False, True):
        at_work = asyncio.all_tasks() - before - {asyncio.current_task()}
        for task in at_work if cut else ():
            task.cancel()
        if at_work:
            await asyncio.wait(at_work, timeout=OTHERS_WITHIN)


def limited(close: Callable[[], Awaitable[object]], seconds: float = OTHERS_WITHIN) -> Callable[[], Awaitable[None]]:
    """The same, given up when it takes longer: whoever is asked to say goodbye may not answer."""

    async def closed() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await close()

    return closed


def _end_at_last(code: int) -> None:
    """In a thread: the loop may be what hangs."""

    def end() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)

    timer = threading.Timer(WITHIN, end)
    timer.daemon = True
    timer.start()
