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

_OTHERS = ("SQLITE_CANTOPEN", "SQLITE_NOTADB")
"""What a file that was never ours answers at the start."""


class Unusable(Exception):
    """The database cannot be used; the text is one line that says why, and how to mend it."""


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
        raise StoreError(
            f"The database {place or 'in memory'} cannot be used: {_fix(error) or _cause(error)}."
        ) from error


def unusable(place: object, error: Exception) -> Unusable:
    """Of a database that cannot even be opened: it may be the wrong file, then nothing but another name helps."""
    said = None if _code(error).startswith(_OTHERS) else _fix(error)
    if said is None:
        why = getattr(_cause(error), "strerror", None) or _cause(error)
        said = f"{why}: name a file there that Greenlight may write and that is its own, or none that exists"
    return Unusable(f"DATABASE_URL: {place}: {said}.")


def newer(place: object) -> Unusable:
    return Unusable(
        f"DATABASE_URL: {place}: was made by a newer Greenlight: run that one, or go back to a copy of the file from "
        "before."
    )


def _cause(error: Exception) -> BaseException:
    return (error.orig or error) if isinstance(error, DBAPIError) else error


def _code(error: Exception) -> str:
    return str(getattr(_cause(error), "sqlite_errorname", ""))


def _fix(error: Exception) -> str | None:
    return next((fix for known, fix in _FIXES.items() if _code(error).startswith(known)), None)


def _identity(place: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(place)  # noqa: PTH116 - asked for before and after every write: a fifth of the time
    except OSError:
        return None
    return found.st_dev, found.st_ino
