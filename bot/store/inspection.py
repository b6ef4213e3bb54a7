"""What a database is like, without changing it: also while a bot works on it, and before there is one."""

import asyncio
import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from alembic.script import ScriptDirectory

from bot.store.engine import BUSY_MS, alembic_config, sqlite_file
from bot.store.store import IDENTITY
from bot.store.trouble import newer, unusable


@dataclass(frozen=True)
class Inspection:
    place: str
    """The file; "" for a database in memory."""
    exists: bool
    missing: int
    """Migrations that the next start will apply, all of them to a database that does not exist."""
    identity: str = ""
    """What its store is told from others by, "" before its first start."""


async def inspect(url: str) -> Inspection:
    """Raises `Unusable`, with the sentence that `migrate` would raise it with where that is known beforehand."""
    return await asyncio.to_thread(_inspect, url)


def _inspect(url: str) -> Inspection:
    script = ScriptDirectory.from_config(alembic_config(url))
    revisions = [each.revision for each in script.walk_revisions()]  # newest first
    place = sqlite_file(url)
    if place is None:
        return Inspection("", exists=False, missing=len(revisions))
    try:
        if not place.exists():
            return Inspection(str(place), exists=False, missing=len(revisions))
        present, identity = _read(place)
    except (sqlite3.Error, OSError) as error:
        raise unusable(place, error) from error
    if present is not None and present not in revisions:
        raise newer(place)
    missing = len(revisions) if present is None else revisions.index(present)
    return Inspection(str(place), exists=True, missing=missing, identity=identity)


def _read(place: Path) -> tuple[str | None, str]:
    """The newest migration that was applied, if any was, and the identity."""
    if place.is_dir():
        raise IsADirectoryError("is a folder")
    if not os.access(place, os.W_OK):
        raise PermissionError("may only be read")
    with contextlib.closing(sqlite3.connect(place.absolute().as_uri() + "?mode=ro", uri=True)) as database:
        database.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        [[sound]] = database.execute("PRAGMA quick_check(1)").fetchall()
        if sound != "ok":
            raise sqlite3.DatabaseError(f"is damaged ({' '.join(str(sound).split())})")
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" not in tables:
            if tables:
                raise sqlite3.DatabaseError("holds tables of something else")
            return None, ""
        version = database.execute("SELECT version_num FROM alembic_version").fetchone()
        wanted = "SELECT value FROM meta WHERE key = ?"
        identity = database.execute(wanted, (IDENTITY,)).fetchone() if "meta" in tables else None
        return version and str(version[0]), str(identity[0]) if identity else ""
