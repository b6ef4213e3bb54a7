"""Queries over the tables. Times are aware UTC.

Every call may raise `StoreError`. A write that was cancelled may still have happened (aiosqlite runs it in a thread),
so writes are shielded: the caller who is cancelled leaves, the write ends.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import TypeAdapter
from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.release.approvals import Vote
from bot.release.record import Cause, Release
from bot.store import tables
from bot.store.engine import FILES, READS_ONLY, disconnect
from bot.store.trouble import told

log = structlog.get_logger()

PAGE = 10
IDENTITY = "identity"
_RELEASE: TypeAdapter[Release] = TypeAdapter(Release)
_VOTE: TypeAdapter[Vote] = TypeAdapter(Vote)
_T = TypeVar("_T")


class Taken(Exception):
    """The app has an open release already; `open` is that release."""

    def __init__(self, present: Release) -> None:
        super().__init__(f"{present.title} is open")
        self.open = present


class Outdated(Exception):
    """The record was changed since it was read: read it again and decide again. Nothing was written."""


@dataclass(frozen=True)
class Event:
    """One line of the journal. `kind` is a word for machines, `text` a sentence for the thread ("": not for people)."""

    kind: str
    text: str
    actor: str = "greenlight"
    detail: dict[str, Any] = field(default_factory=dict)
    at: datetime | None = None
    id: int = 0


@dataclass(frozen=True)
class Card:
    """Where a release is shown. `shown` is the fingerprint of what, `told` the last event in the thread."""

    release: str
    channel: int
    message: int
    thread: int | None = None
    shown: str = ""
    told: int = 0
    pinged: bool = False
    """People were called to approve it."""
    alarmed: bool = False
    """They were called because it went live without them."""


@dataclass(frozen=True)
class Page:
    releases: Sequence[Release]
    number: int
    pages: int


class Store:
    def __init__(self, engine: AsyncEngine, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._place = Path(engine.url.database) if engine.url.database else None
        self._reading = engine.execution_options(**{READS_ONLY: True})
        self._now = now
        self._writing = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """After the writes that are under way, whoever has stopped waiting for them."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        await disconnect(self._engine)

    # Releases

    async def create(
        self, app: str, make: Callable[[int], Release], *events: Event, replacing: Release | None = None
    ) -> Release:
        """Store the release that `make` builds from its number; `replacing` is ended in the same transaction.

        Raises `Taken` when another release of the app is open, `Outdated` when `replacing` is no longer as it was read.
        """

        async def work(connection: AsyncConnection) -> Release:
            highest = await connection.scalar(
                select(func.max(tables.releases.c.number)).where(tables.releases.c.app == app)
            )
            release = make((highest or 0) + 1)
            if replacing is not None:
                text = f"replaced by #{release.number}"
                ended = replace(replacing, replaced_by=release.number if replacing.cause is Cause.REPLACED else None)
                await self._change(connection, ended, [Event("replaced", text, actor=release.author.name)])
            await connection.execute(insert(tables.releases).values(**_columns(release)))
            await self._journal(connection, release, events)
            return release

        try:
            return await self._write(work)
        except IntegrityError as error:
            present = await self.newest(app)
            if present is None:
                raise
            raise Taken(present) from error

    async def update(self, release: Release, *events: Event) -> Release:
        """Store a changed record with its events.

        Raises `Outdated` unless it is based on what is stored, and when another release was opened meanwhile.
        """

        async def work(connection: AsyncConnection) -> Release:
            return await self._change(connection, release, events)

        try:
            return await self._write(work)
        except IntegrityError as error:
            raise Outdated(f"another release of {release.app} is open") from error

    async def newest(self, app: str) -> Release | None:
        query = select(tables.releases.c.record).where(tables.releases.c.app == app)
        return await self._one(query.order_by(tables.releases.c.number.desc()).limit(1))

    async def release(self, app: str, number: int) -> Release | None:
        query = select(tables.releases.c.record)
        return await self._one(query.where(tables.releases.c.app == app, tables.releases.c.number == number))

    async def labelled(self, label: str) -> Release | None:
        return await self._one(select(tables.releases.c.record).where(tables.releases.c.label == label))

    async def shown_at(self, message: int, channel: int | None = None) -> Release | None:
        """The release whose card is this message (in this channel, if one is named): votes count nowhere else."""
        joined = tables.releases.join(tables.cards, tables.cards.c.release == tables.releases.c.label)
        query = select(tables.releases.c.record).select_from(joined).where(tables.cards.c.message == message)
        return await self._one(query if channel is None else query.where(tables.cards.c.channel == channel))

    async def current(self) -> Sequence[Release]:
        """The newest release of every app that has one. What cannot be read is left out: it concerns its app only."""
        newest = select(func.max(tables.releases.c.id)).group_by(tables.releases.c.app)
        query = select(tables.releases.c.label, tables.releases.c.record).where(tables.releases.c.id.in_(newest))
        found = []
        async with self._read() as connection:
            rows = (await connection.execute(query)).all()
        for row in rows:
            try:
                found.append(_RELEASE.validate_json(row.record))
            except ValueError:
                log.exception("unreadable record", release=row.label)
        return found

    async def history(
        self, app: str, page: int = 1, *, author: int | None = None, since: datetime | None = None
    ) -> Page:
        """Newest first, ten a page; a page that does not exist is the nearest one that does."""
        conditions = [tables.releases.c.app == app]
        if author is not None:
            conditions.append(tables.releases.c.author == author)
        if since is not None:
            conditions.append(tables.releases.c.created_at >= since)
        async with self._read() as connection:
            count = await connection.scalar(select(func.count()).select_from(tables.releases).where(*conditions)) or 0
        pages = max(1, -(-count // PAGE))
        number = min(max(1, page), pages)
        query = select(tables.releases.c.record).where(*conditions).order_by(tables.releases.c.number.desc())
        return Page(await self._many(query.limit(PAGE).offset((number - 1) * PAGE)), number, pages)

    async def last_live(self, app: str, digests: Iterable[str]) -> Release | None:
        """The newest release of any of these digests that had been live."""
        wanted = frozenset(digests)
        query = select(tables.releases.c.record).where(tables.releases.c.app == app)
        found = await self._many(query.order_by(tables.releases.c.number.desc()))
        return next((release for release in found if release.was_live and release.digests & wanted), None)

    async def adopted(self, app: str, selector: Mapping[str, str]) -> Release | None:
        """The newest release that somebody else began and whose pods are among those that this selects."""
        query = select(tables.releases.c.record).where(tables.releases.c.app == app)
        found = await self._many(query.order_by(tables.releases.c.number.desc()))
        mine = (release for release in found if release.begun_by and release.selector)
        return next((release for release in mine if release.selector.items() <= selector.items()), None)

    # Votes: each change of them makes a new version of the release, so that nothing is ever decided upon old votes.
    # All raise `Outdated` unless the release is as it is stored, and answer with its new version.

    async def cast(self, release: Release, vote: Vote, *events: Event) -> Release:
        async def work(connection: AsyncConnection) -> Release:
            key = {"release": release.label, "person": vote.person.id, "approve": vote.approve}
            record = _VOTE.dump_json(vote).decode()
            write = upsert(tables.votes).values(**key, record=record)
            await connection.execute(write.on_conflict_do_update(index_elements=list(key), set_={"record": record}))
            return await self._change(connection, release, events)

        return await self._write(work)

    async def withdraw(self, release: Release, person: int, *events: Event, approve: bool) -> Release:
        """The events are written only if there was such a vote."""

        async def work(connection: AsyncConnection) -> Release:
            votes = tables.votes.c
            mine = (votes.release == release.label, votes.person == person, votes.approve == approve)
            gone = await connection.execute(delete(tables.votes).where(*mine))
            return await self._change(connection, release, events) if gone.rowcount else release

        return await self._write(work)

    async def recount(self, release: Release, votes: Iterable[Vote], *events: Event) -> Release:
        """Replace all votes on the release by these."""
        counted = {(vote.person.id, vote.approve): vote for vote in votes}

        async def work(connection: AsyncConnection) -> Release:
            await connection.execute(delete(tables.votes).where(tables.votes.c.release == release.label))
            for (person, approve), vote in counted.items():
                record = _VOTE.dump_json(vote).decode()
                row = {"release": release.label, "person": person, "approve": approve, "record": record}
                await connection.execute(insert(tables.votes).values(**row))
            return await self._change(connection, release, events)

        return await self._write(work)

    async def votes(self, release: Release) -> tuple[Vote, ...]:
        query = select(tables.votes.c.record).where(tables.votes.c.release == release.label)
        async with self._read() as connection:
            return tuple(_VOTE.validate_json(row.record) for row in await connection.execute(query))

    async def polled(self, app: str, number: int | None = None) -> tuple[Release, tuple[Vote, ...]] | None:
        """A release (by default the newest one) and its votes, as they were at one moment."""
        releases, votes = tables.releases, tables.votes
        newest = select(func.max(releases.c.number)).where(releases.c.app == app).scalar_subquery()
        query = select(releases.c.record, votes.c.record.label("vote")).select_from(
            releases.outerjoin(votes, votes.c.release == releases.c.label)
        )
        query = query.where(releases.c.app == app, releases.c.number == (newest if number is None else number))
        async with self._read() as connection:
            rows = (await connection.execute(query)).all()
        if not rows:
            return None
        return _RELEASE.validate_json(rows[0].record), tuple(_VOTE.validate_json(row.vote) for row in rows if row.vote)

    # Journal

    async def note(self, release: Release, *events: Event) -> None:
        async def work(connection: AsyncConnection) -> None:
            await self._journal(connection, release, events)

        await self._write(work)

    async def events(self, release: Release, after: int = 0) -> Sequence[Event]:
        """In the order in which they were written, from the one after id `after`."""
        table = tables.events.c
        query = select(tables.events).where(table.release == release.label, table.id > after).order_by(table.id)
        async with self._read() as connection:
            return [_event(row) for row in await connection.execute(query)]

    # Cards and odds and ends

    async def card(self, release: Release) -> Card | None:
        query = select(tables.cards).where(tables.cards.c.release == release.label)
        async with self._read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else Card(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name

    async def save_card(self, card: Card) -> None:
        async def work(connection: AsyncConnection) -> None:
            values = {column.name: getattr(card, column.name) for column in tables.cards.columns}
            write = upsert(tables.cards).values(**values)
            await connection.execute(write.on_conflict_do_update(index_elements=["release"], set_=values))

        await self._write(work)

    async def get_meta(self, key: str) -> str | None:
        async with self._read() as connection:
            return await connection.scalar(select(tables.meta.c.value).where(tables.meta.c.key == key))

    async def set_meta(self, key: str, value: str) -> None:
        async def work(connection: AsyncConnection) -> None:
            write = upsert(tables.meta).values(key=key, value=value)
            await connection.execute(write.on_conflict_do_update(index_elements=["key"], set_={"value": value}))

        await self._write(work)

    async def identity(self) -> str:
        """What tells this store from every other as long as its file lives; a copy of the file is the same store."""

        async def work(connection: AsyncConnection) -> str:
            once = upsert(tables.meta).values(key=IDENTITY, value=secrets.token_hex(8)).on_conflict_do_nothing()
            await connection.execute(once)
            found = await connection.scalar(select(tables.meta.c.value).where(tables.meta.c.key == IDENTITY))
            return str(found)

        return await self._write(work)

    # How it is done

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncConnection]:
        with told(self._place):
            async with self._reading.connect() as connection:
                yield connection

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        async def transaction() -> _T:
            with told(self._place):
                async with self._writing, self._engine.begin() as connection:
                    files = (await connection.get_raw_connection()).info.get(FILES)
                    if files is not None:
                        files.check()
                    result = await work(connection)
                if files is not None:
                    files.check()  # what went into a file that nobody finds any more is not on record
                return result

        task = asyncio.create_task(transaction())
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever was to hear of it may have left, which is no error

    async def _change(self, connection: AsyncConnection, release: Release, events: Iterable[Event]) -> Release:
        changed = replace(release, version=release.version + 1)
        same = (tables.releases.c.label == release.label, tables.releases.c.version == release.version)
        result = await connection.execute(update(tables.releases).where(*same).values(**_columns(changed)))
        if not result.rowcount:
            raise Outdated(f"{release.title} was changed meanwhile")
        await self._journal(connection, release, events)
        return changed

    async def _journal(self, connection: AsyncConnection, release: Release, events: Iterable[Event]) -> None:
        for event in events:
            row = {"release": release.label, "at": event.at or self._now(), "kind": event.kind}
            row |= {"actor": event.actor[:128], "text": event.text, "detail": event.detail}
            await connection.execute(insert(tables.events).values(**row))

    async def _one(self, query: Any) -> Release | None:
        found = await self._many(query)
        return found[0] if found else None

    async def _many(self, query: Any) -> list[Release]:
        async with self._read() as connection:
            return [_RELEASE.validate_json(row.record) for row in await connection.execute(query)]


def _columns(release: Release) -> dict[str, Any]:
    return {
        "app": release.app,
        "number": release.number,
        "label": release.label,
        "phase": release.phase.value,
        "open": release.phase.open,
        "version": release.version,
        "author": release.author.id,
        "created_at": release.created_at,
        "record": _RELEASE.dump_json(release).decode(),
    }


def _event(row: Row[Any]) -> Event:
    at = row.at if row.at.tzinfo else row.at.replace(tzinfo=UTC)  # SQLite keeps no offset
    return Event(kind=row.kind, text=row.text, actor=row.actor, detail=row.detail, at=at, id=row.id)
