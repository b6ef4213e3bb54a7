"""A database that is locked, full, read-only or gone under the bot: nothing happens that is not on record, and people
read why. Real files, and SQLite's own errors.
"""

import contextlib
import resource
import shutil
import sqlite3

import pytest
from sqlalchemy import event
from story import running, switches_to

from bot.release.record import Phase
from bot.release.verbs import Verb
from bot.store import Event, StoreError
from world import KIM, LEO


@contextlib.contextmanager
def locked(world):
    """By a program that has begun to write and does not end."""
    with contextlib.closing(sqlite3.connect(world.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@contextlib.contextmanager
def _with_pragma(world, on, off):
    """SQLite itself refuses, on each connection."""
    pool = world.store._engine.sync_engine.pool

    def setting(pragma):
        def prepare(connection, *_):
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        return prepare

    refuse = setting(on)
    event.listen(pool, "checkout", refuse)
    try:
        yield
    finally:
        event.remove(pool, "checkout", refuse)
        event.listen(pool, "checkout", setting(off))


def full(world):
    """No page more than there are, and those are full."""
    with contextlib.closing(sqlite3.connect(world.database, isolation_level=None)) as other:
        pages = other.execute("PRAGMA page_count").fetchone()[0]
        other.execute(f"PRAGMA max_page_count = {pages}")
        row = "INSERT INTO events (at, kind, actor, text, detail) VALUES ('2026-01-05 09:00:00', 'x', 'x', ?, '{}')"
        for size in (1000, 100, 10):
            with contextlib.suppress(sqlite3.OperationalError):
                while True:
                    other.execute(row, ["x" * size])
    return _with_pragma(world, f"max_page_count = {pages}", "max_page_count = 1000000")


def read_only(world):
    return _with_pragma(world, "query_only = ON", "query_only = OFF")


@contextlib.contextmanager
def no_room_in_the_log(world):
    """The kernel lets no file grow any more, as with a quota."""
    log = world.database.with_name(f"{world.database.name}-wal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def moved_away(world):
    """As `mv` does, or `rm` to whoever looks at the path. SQLite itself goes on without a word."""
    elsewhere = world.database.with_name("elsewhere.db")
    world.database.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(world.database)


@contextlib.contextmanager
def replaced(world):
    """By a copy: what is written to the old one now would be lost at the next start."""
    elsewhere = world.database.with_name("elsewhere.db")
    world.database.rename(elsewhere)
    shutil.copy(elsewhere, world.database)
    try:
        yield
    finally:
        elsewhere.rename(world.database)


@contextlib.contextmanager
def without_its_log(world):
    """What was committed stands in the write-ahead log first."""
    log, elsewhere = (world.database.with_name(f"{world.database.name}{end}") for end in ("-wal", "-elsewhere"))
    log.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(log)


TROUBLES = {
    locked: "another program keeps it locked",
    full: "the disk is full",
    read_only: "it may only be read",
    no_room_in_the_log: "the disk does not take or give what it should",
    moved_away: "was deleted or replaced while Greenlight runs",
    replaced: "was deleted or replaced while Greenlight runs",
    without_its_log: "was deleted or replaced while Greenlight runs",
}


@pytest.fixture
async def impatient(monkeypatch, world):
    """How long SQLite waits for a lock is not what is tested."""
    monkeypatch.setattr("bot.store.engine.BUSY_MS", 50)
    await world.restart()
    return world


@pytest.mark.parametrize(("trouble", "said"), TROUBLES.items(), ids=lambda each: getattr(each, "__name__", ""))
async def test_i9_a_switch_that_cannot_be_recorded_is_not_sent_and_people_read_why(impatient, trouble, said):
    """Approved, and everything ready: it waits until the database is back, and then goes on by itself."""
    world = impatient
    await world.deploy()
    await world.approve(KIM)
    release = await world.newest()
    await world.desk.vote(release, LEO, approve=True)
    sent = len(world.api.writes)
    async with running(world) as rest:
        with trouble(world):
            for _ in range(3):
                await rest()
            assert len(world.api.writes) == sent
            assert said in world.controller.moments["mochi"].trouble
            assert str(world.database) in world.controller.moments["mochi"].trouble
            with pytest.raises(StoreError, match=said):
                await world.store.note(release, Event("vote", "nobody will know"))
        await rest()
        await rest()
    assert len(switches_to(world, release)) == 1
    assert await world.phase() is Phase.BAKING
    assert world.controller.moments["mochi"].trouble == ""
    assert "nobody will know" not in {event.text for event in await world.store.events(release)}


async def test_a_write_into_a_file_that_is_gone_when_it_ends_is_not_taken_for_recorded(impatient):
    """The file may go while SQLite is at it; what it says afterwards is true of a file that nobody finds."""
    world = impatient
    release = await world.deploy()
    away = contextlib.ExitStack()

    async def unlucky(connection):
        await world.store._journal(connection, release, [Event("vote", "into the void")])
        away.enter_context(moved_away(world))

    with away, pytest.raises(StoreError, match="was deleted or replaced"):
        await world.store._write(unlucky)


async def test_what_people_ask_meanwhile_is_answered_with_the_reason(impatient):
    """Also when the first thing that is asked opens the file: it is not made anew behind everybody's back."""
    with moved_away(impatient):
        with pytest.raises(StoreError, match="cannot be opened: put it back, or start Greenlight again"):
            await impatient.deploy()
        assert not impatient.database.exists()
    assert impatient.api.writes == []
    assert (await impatient.deploy()).number == 1
    with moved_away(impatient), pytest.raises(StoreError, match="put the same file back, or start Greenlight again"):
        await impatient.desk.ask("mochi", 1, Verb.REJECT, KIM)
