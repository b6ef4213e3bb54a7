"""One bot at a time on one database: the lock that it holds while it runs, and who holds it.

Two bots on one token and one file would both answer each press and both send each write. The kernel gives the lock back
when the process ends, however it ends. The file beside it only tells people whose it is.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

import filelock
import structlog

from bot.store.engine import sqlite_file
from bot.store.trouble import Unusable

log = structlog.get_logger()

WAIT = 15.0
"""Seconds to wait for a bot that is on its way out: it has ten to stop."""
EVERY = 0.2


@asynccontextmanager
async def exclusive(url: str, now: Callable[[], datetime], wait: float = WAIT) -> AsyncIterator[None]:
    """Be the only bot on the database. Raises `Unusable` when another one still is after `wait` seconds."""
    place = sqlite_file(url)
    if place is None:
        yield
        return
    holder = place.with_name(f"{place.name}.running")
    lock = filelock.FileLock(f"{holder}.lock")
    try:
        await _acquire(lock, holder, wait)
        # Said for people only, so whatever keeps it from being written is no reason not to start.
        with suppress(OSError):
            holder.write_text(f"host {socket.gethostname()}, process {os.getpid()}, since {now():%Y-%m-%d %H:%M} UTC")
        try:
            yield
        finally:
            with suppress(OSError):
                holder.unlink()
    finally:
        lock.release()


async def _acquire(lock: filelock.BaseFileLock, holder: Path, wait: float) -> None:
    loop = asyncio.get_running_loop()
    deadline, said = loop.time() + wait, False
    while True:
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            if loop.time() >= deadline:
                raise Unusable(
                    f"DATABASE_URL: {holder.with_suffix('')}: another Greenlight is running on it ({_who(holder)}): "
                    "stop that one first. Two would both do what is asked of one."
                ) from None
        except OSError as error:
            raise Unusable(
                f"DATABASE_URL: {holder.with_suffix('')}: {error.strerror} ({error.filename}): "
                "Greenlight must be able to write in this folder."
            ) from error
        else:
            return
        if not said:
            log.warning("another Greenlight is running on this database: waiting for it to stop", who=_who(holder))
            said = True
        await asyncio.sleep(EVERY)


def _who(holder: Path) -> str:
    try:
        return holder.read_text("utf-8").strip() or "it does not say where"
    except OSError:
        return "it does not say where"
