"""What keeps a database that was good from being used now, as a sentence: locked, full, read-only, damaged, deleted."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DBAPIError, IntegrityError

_FIXES = {
    "SQLITE_BUSY": "another program keeps it locked: close whatever has it open",
    "SQLITE_LOCKED": "another program keeps it locked: close whatever has it open",
    "SQLITE_FULL": "the disk is full: make room there",
    "SQLITE_READONLY": "it may only be read: give Greenlight the right to write it, and look at the disk",
    "SQLITE_IOERR": "the disk does not take or give what it should: look at it",
    "SQLITE_CANTOPEN": "it cannot be opened: put it back, or start Greenlight again to begin with an empty one",
    "SQLITE_CORRUPT": "it is damaged: stop Greenlight and put a copy of it back",
    "SQLITE_NOTADB": "it is damaged: stop Greenlight and put a copy of it back",
}


class StoreError(Exception):
    """Nothing can be read or recorded right now; the text says why, and what to do. Nothing is done that is not on
    record, so everything waits until it is over.
    """


@dataclass(frozen=True)
class Files:
    """The files that a connection has open: SQLite goes on writing into files that were deleted or moved under it, and
    what is written there is gone at the next start.
    """

    place: Path
    identities: tuple[tuple[int, int] | None, ...]

    @classmethod
    def of(cls, place: Path) -> "Files":
        log = place.with_name(f"{place.name}-wal")
        return cls(place, tuple(_identity(each) for each in (place, log)))

    def check(self) -> None:
        """Raises `StoreError` unless whoever opens the database now finds the same files."""
        if Files.of(self.place) != self:
            raise StoreError(
                f"The database {self.place} was deleted or replaced while Greenlight runs: "
                "put the same file back, or start Greenlight again to work with what is there now."
            )


@contextmanager
def told(place: Path | None) -> Iterator[None]:
    """Whatever the database answers instead of doing it becomes a `StoreError`."""
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, sqlite3.Error, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorname", "")
        fix = next((fix for known, fix in _FIXES.items() if code.startswith(known)), None)
        raise StoreError(f"The database {place or 'in memory'} cannot be used: {fix or cause}.") from error


def _identity(place: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(place)  # noqa: PTH116 - asked for before and after every write: a fifth of the time
    except OSError:
        return None
    return found.st_dev, found.st_ino
