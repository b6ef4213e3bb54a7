"""The store's database: real SQL in an in-memory SQLite, driven in step instead of in a thread.

`Store` gets an engine that has what it uses of SQLAlchemy's asynchronous one. A transaction stops before it begins and
after it is committed; in between nobody else's turn comes, as SQLite's one writer promises. A crash before is a
transaction that never was, a crash after is one whose caller never heard of it.
"""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import StaticPool

from bot.release.record import Release
from bot.store import tables

_RELEASE: TypeAdapter[Release] = TypeAdapter(Release)


NO_FILE = SimpleNamespace(info={})
"""A connection that has no file beneath it which could be deleted."""


class Database:
    """One for all worlds of a process, since making one takes longer than a run: each world begins with `load`."""

    def __init__(self) -> None:
        self.raw = sqlite3.connect(":memory:", isolation_level=None)
        self.raw.execute("PRAGMA foreign_keys=ON")
        engine = create_engine("sqlite://", creator=lambda: self.raw, poolclass=StaticPool)
        tables.metadata.create_all(engine)
        self.connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self.empty = self.save()
        self._known: dict[str, int] = {}

    def save(self) -> bytes:
        return self.raw.serialize()

    def load(self, content: bytes) -> "Database":
        self.raw.deserialize(content)
        self._known.clear()
        return self

    def copy(self) -> "Kept":
        return Kept(self, self.save())

    def since(self, told: int) -> tuple[list[Release], list[tuple[int, str, str, Any]]]:
        """What was committed: changed records, and events from the one after `told` on: (id, release, kind, detail)."""
        changed = []
        for label, version, record in self.raw.execute("SELECT label, version, record FROM releases ORDER BY number"):
            if self._known.get(label) != version:
                self._known[label] = version
                changed.append(_RELEASE.validate_json(record))
        query = "SELECT id, release, kind, detail FROM events WHERE id > ? ORDER BY id"
        events = [(*each[:3], json.loads(each[3])) for each in self.raw.execute(query, (told,))]
        return changed, events


@dataclass(frozen=True)
class Kept:
    """What the database had in it when a world forked; `back` puts it there again."""

    database: Database
    content: bytes

    def back(self) -> Database:
        return self.database.load(self.content)


class Connection:
    """`AsyncConnection` as far as `Store` knows it."""

    def __init__(self, database: Database) -> None:
        self._connection = database.connection

    async def get_raw_connection(self) -> Any:
        return NO_FILE

    async def execute(self, statement: Any) -> Any:
        return self._connection.execute(statement)

    async def scalar(self, statement: Any) -> Any:
        return self._connection.execute(statement).scalar()


class Engine:
    """`AsyncEngine` as far as `Store` knows it. `stop_at` is where effects wait; `committed` hears of every commit."""

    url = make_url("sqlite://")

    def __init__(
        self,
        database: Database,
        stop_at: Callable[[str], Any],
        lingers: Callable[[], bool],
        fails: Callable[[], Exception | None],
        committed: Callable[[], None],
    ) -> None:
        self.database = database
        self.stop_at = stop_at
        self.lingers = lingers
        self.fails = fails
        self.committed = committed
        self.connection = Connection(database)

    def execution_options(self, **_: Any) -> "Engine":
        return self

    def connect(self) -> "_Reading":
        return _Reading(self)

    def begin(self) -> "_Writing":
        return _Writing(self)

    async def dispose(self) -> None:
        pass


class _Reading:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def __aenter__(self) -> Connection:
        await self._engine.stop_at("before a read of the store")
        return self._engine.connection

    async def __aexit__(self, *_: object) -> None:
        if self._engine.lingers():
            await self._engine.stop_at("after a read of the store")


class _Writing:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def __aenter__(self) -> Connection:
        await self._engine.stop_at("before a write to the store")
        if error := self._engine.fails():
            raise error
        self._engine.database.raw.execute("BEGIN IMMEDIATE")
        return self._engine.connection

    async def __aexit__(self, kind: object, *_: object) -> None:
        self._engine.database.raw.execute("ROLLBACK" if kind else "COMMIT")
        if not kind:
            self._engine.committed()
            await self._engine.stop_at("after a write to the store")
