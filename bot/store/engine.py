"""Opening the database, and bringing its tables up to date.

SQLite runs with a write-ahead log and `synchronous=FULL`: with NORMAL a committed "promoting" can vanish with the
power. A transaction begins IMMEDIATE, so that it never has to be repeated because somebody else wrote in between.
"""

import asyncio
import contextlib
import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiosqlite
import filelock
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import migrations
from bot.store.trouble import Files, Unusable, newer, unusable

BUSY_MS = 5_000
FILES = "files"
"""Under which a connection's `info` has the files that it opened."""
READS_ONLY = "reads_only"
"""The execution option of a connection that only reads, each time for itself: there is no transaction to begin."""
WORKERS = "workers"
"""The option under which an engine has the threads of its connections."""
ENDS_WITHIN = 2.0
"""Seconds for one of them."""
LOCK_FOR = 60.0
"""Seconds to wait for another process that is migrating the same database."""


def connect(url: str) -> AsyncEngine:
    """Never makes a database: that is `migrate`'s, so that one that was deleted is missed."""
    place, workers = sqlite_file(url), set[threading.Thread]()
    opened = {} if place is None else {"async_creator": partial(_open, f"file:{quote(str(place))}?mode=rw", workers)}
    engine = create_async_engine(url, execution_options={WORKERS: workers}, **opened)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare)
        event.listen(engine.sync_engine, "begin", _begin)
    return engine


async def disconnect(engine: AsyncEngine) -> None:
    """Let go of all connections, and wait for the threads that serve them.

    One whose caller was cancelled ends by itself, and would complain on the error stream if the event loop were closed
    by then.
    """
    workers: set[threading.Thread] = engine.sync_engine.get_execution_options()[WORKERS]
    await engine.dispose()
    while workers:  # one may be opened meanwhile, by somebody who was cut off
        await asyncio.to_thread(workers.pop().join, ENDS_WITHIN)


async def migrate(url: str) -> None:
    """Apply what is missing of `migrations/`, under a lock; does nothing on a database that is up to date.

    Raises `Unusable`.
    """
    place = make_url(url).database
    try:
        await asyncio.to_thread(_upgrade, url)
    except CommandError as error:  # Alembic finds no such revision among ours
        raise newer(place) from error
    except filelock.Timeout as error:
        raise Unusable(
            f"DATABASE_URL: {place}: another process has been migrating it for {LOCK_FOR:.0f} s: stop it."
        ) from error
    except (DBAPIError, sqlite3.Error, OSError) as error:
        raise unusable(place, error) from error


def sqlite_file(url: str) -> Path | None:
    """The file behind the address, None when there is none."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in {None, "", ":memory:"}:
        return None
    return Path(str(parsed.database))


def alembic_config(url: str) -> Config:
    """`url` may name the asynchronous driver; migrations run on the synchronous one."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent))
    plain = make_url(url)
    plain = plain.set(drivername=plain.get_backend_name())
    settings.set_main_option("sqlalchemy.url", plain.render_as_string(hide_password=False).replace("%", "%%"))
    return settings


def _upgrade(url: str) -> None:
    place = sqlite_file(url)
    settings = alembic_config(url)
    if place is None:
        command.upgrade(settings, "head")
        return
    with filelock.FileLock(f"{place}.lock", timeout=LOCK_FOR):
        command.upgrade(settings, "head")
        # It stays on in the file. To turn it on is refused at once while anybody else is connected, so not later.
        with contextlib.closing(sqlite3.connect(place)) as raw:
            raw.execute("PRAGMA journal_mode=WAL")
            raw.execute("BEGIN IMMEDIATE")  # a file that may only be read is told now and not at the first write


async def _open(address: str, workers: set[threading.Thread]) -> aiosqlite.Connection:
    connection = aiosqlite.connect(address, uri=True)
    # As SQLAlchemy does: one that leaks must not keep the process. Before 0.22 the connection was the thread.
    thread: Any = getattr(connection, "_thread", connection)
    thread.daemon = True
    workers.difference_update([each for each in workers if not each.is_alive()])
    try:
        return await connection
    finally:  # one that nobody waits for any more ends by itself, too
        if thread.is_alive():
            workers.add(thread)


def _prepare(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.execute("SELECT count(*) FROM sqlite_master")  # opens the write-ahead log
    cursor.execute("PRAGMA database_list")
    place = cursor.fetchone()[2]
    cursor.close()
    if place:
        record.info[FILES] = Files.of(Path(place))


def _begin(connection: Any) -> None:
    # SQLAlchemy announces a transaction for single reads too; those must not wait for whoever writes. Its own option
    # for that (`isolation_level`) would ask SQLite twice more for each of them, as the driver is set like that already.
    if not connection.get_execution_options().get(READS_ONLY):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
