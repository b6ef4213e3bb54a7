"""The store without SQL, for the many runs: the same promises, kept in dictionaries.

`test_memory.py` holds it against the real `Store` on SQLite, operation by operation. A share of all runs uses the real
one, so that the real SQL and its transactions are under fire too.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Self

from sqlalchemy import make_url

from bot.release.approvals import Vote
from bot.release.record import Cause, Release
from bot.store import Card, Event, Outdated, Page, Store, Taken
from bot.store.store import PAGE
from simulation.database import NO_FILE


class Shelf:
    """What outlives a crash. Everything in it is immutable, so a copy is shallow."""

    def __init__(self) -> None:
        self.releases: dict[str, Release] = {}
        """By label, in the order of their numbers."""
        self.votes: dict[str, dict[tuple[int, bool], Vote]] = {}
        self.events: list[tuple[str, Event]] = []
        self.cards: dict[str, Card] = {}
        self.meta: dict[str, str] = {}
        self.changed: list[Release] = []
        """Since somebody looked last."""

    def copy(self) -> "Shelf":
        other = Shelf()
        other.releases, other.cards, other.meta = dict(self.releases), dict(self.cards), dict(self.meta)
        other.votes = {label: dict(votes) for label, votes in self.votes.items()}
        other.events = list(self.events)
        return other

    def back(self) -> "Shelf":
        return self

    def put(self, release: Release) -> None:
        self.releases[release.label] = release
        self.changed.append(release)

    def since(self, told: int) -> tuple[list[Release], list[tuple[int, str, str, Any]]]:
        """What changed: records, and events from the one after `told` on as (id, release, kind, detail)."""
        changed, self.changed = self.changed, []
        events = [(told + 1 + n, label, each.kind, each.detail) for n, (label, each) in enumerate(self.events[told:])]
        return changed, events


class Doors:
    """`Store`'s engine, as far as it opens and commits; see `database.Engine`."""

    url = make_url("sqlite://")

    def __init__(
        self,
        stop_at: Callable[[str], Any],
        lingers: Callable[[], bool],
        fails: Callable[[], Exception | None],
        committed: Callable[[], None],
    ) -> None:
        self.stop_at, self.lingers, self.fails, self.committed = stop_at, lingers, fails, committed

    def execution_options(self, **_: Any) -> "Doors":
        return self

    def begin(self) -> "_Writing":
        return _Writing(self)

    async def dispose(self) -> None:
        pass


class _Writing:
    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def __aenter__(self) -> Self:
        await self._doors.stop_at("before a write to the store")
        if error := self._doors.fails():
            raise error
        return self

    async def get_raw_connection(self) -> Any:
        return NO_FILE

    async def __aexit__(self, kind: object, *_: object) -> None:
        if not kind:
            self._doors.committed()
            await self._doors.stop_at("after a write to the store")


class MemoryStore(Store):
    """Each write checks all before it changes anything, so that it happens whole or not at all."""

    def __init__(self, doors: Any, shelf: Shelf, now: Callable[[], datetime]) -> None:
        super().__init__(doors, now)
        self._shelf = shelf
        self._stop_at, self._lingers = doors.stop_at, doors.lingers

    async def _read(self, answer: Callable[[], Any]) -> Any:
        await self._stop_at("before a read of the store")
        found = answer()
        if self._lingers():
            await self._stop_at("after a read of the store")
        return found

    # Releases

    async def create(
        self, app: str, make: Callable[[int], Release], *events: Event, replacing: Release | None = None
    ) -> Release:
        async def work(_: Any) -> Release | None:
            shelf = self._shelf
            release = make(max((each.number for each in shelf.releases.values() if each.app == app), default=0) + 1)
            ended = None
            if replacing is not None:
                self._current(replacing)
                ended = replace(replacing, replaced_by=release.number if replacing.cause is Cause.REPLACED else None)
            if release.phase.open and self._others_open(release, ended):
                return None
            if ended is not None:
                text = f"replaced by #{release.number}"
                self._put(ended, [Event("replaced", text, actor=release.author.name)])
            shelf.put(release)
            self._tell(release, events)
            return release

        made = await self._write(work)
        if made is None:
            present = await self.newest(app)
            assert present is not None
            raise Taken(present)
        return made

    async def update(self, release: Release, *events: Event) -> Release:
        async def work(_: Any) -> Release:
            self._current(release)
            if release.phase.open and self._others_open(release):
                raise Outdated(f"another release of {release.app} is open")
            return self._put(release, events)

        return await self._write(work)

    async def newest(self, app: str) -> Release | None:
        return await self._read(lambda: self._newest(app))

    async def release(self, app: str, number: int) -> Release | None:
        def answer() -> Release | None:
            found = (each for each in self._shelf.releases.values() if (each.app, each.number) == (app, number))
            return next(found, None)

        return await self._read(answer)

    async def labelled(self, label: str) -> Release | None:
        return await self._read(lambda: self._shelf.releases.get(label))

    async def shown_at(self, message: int, channel: int | None = None) -> Release | None:
        shelf = self._shelf

        def answer() -> Release | None:
            cards = (each for each in shelf.cards.values() if each.message == message)
            found = (shelf.releases[each.release] for each in cards if channel in {None, each.channel})
            return next(found, None)

        return await self._read(answer)

    async def current(self) -> Sequence[Release]:
        def answer() -> list[Release]:
            return list({each.app: each for each in self._shelf.releases.values()}.values())

        return await self._read(answer)

    async def history(
        self, app: str, page: int = 1, *, author: int | None = None, since: datetime | None = None
    ) -> Page:
        def answer() -> Page:
            found = [
                each
                for each in reversed(self._shelf.releases.values())
                if each.app == app and author in {None, each.author.id} and (since is None or each.created_at >= since)
            ]
            pages = max(1, -(-len(found) // PAGE))
            number = min(max(1, page), pages)
            return Page(found[(number - 1) * PAGE : number * PAGE], number, pages)

        return await self._read(answer)

    async def last_live(self, app: str, digests: Iterable[str]) -> Release | None:
        wanted = frozenset(digests)

        def answer() -> Release | None:
            found = (each for each in reversed(self._shelf.releases.values()) if each.app == app)
            return next((each for each in found if each.was_live and each.digests & wanted), None)

        return await self._read(answer)

    async def adopted(self, app: str, selector: Mapping[str, str]) -> Release | None:
        def answer() -> Release | None:
            found = (each for each in reversed(self._shelf.releases.values()) if each.app == app and each.begun_by)
            return next((each for each in found if each.selector.items() <= selector.items()), None)

        return await self._read(answer)

    # Votes

    async def cast(self, release: Release, vote: Vote, *events: Event) -> Release:
        async def work(_: Any) -> Release:
            self._current(release)
            self._shelf.votes.setdefault(release.label, {})[vote.person.id, vote.approve] = vote
            return self._put(release, events)

        return await self._write(work)

    async def withdraw(self, release: Release, person: int, *events: Event, approve: bool) -> Release:
        async def work(_: Any) -> Release:
            votes = self._shelf.votes.get(release.label, {})
            if (person, approve) not in votes:
                return release
            self._current(release)
            del votes[person, approve]
            return self._put(release, events)

        return await self._write(work)

    async def recount(self, release: Release, votes: Iterable[Vote], *events: Event) -> Release:
        counted = {(vote.person.id, vote.approve): vote for vote in votes}

        async def work(_: Any) -> Release:
            self._current(release)
            self._shelf.votes[release.label] = counted
            return self._put(release, events)

        return await self._write(work)

    async def votes(self, release: Release) -> tuple[Vote, ...]:
        return await self._read(lambda: tuple(self._shelf.votes.get(release.label, {}).values()))

    async def polled(self, app: str, number: int | None = None) -> tuple[Release, tuple[Vote, ...]] | None:
        def answer() -> tuple[Release, tuple[Vote, ...]] | None:
            newest = self._newest(app) if number is None else None
            numbered = (each for each in self._shelf.releases.values() if (each.app, each.number) == (app, number))
            found = newest or next(numbered, None)
            return None if found is None else (found, tuple(self._shelf.votes.get(found.label, {}).values()))

        return await self._read(answer)

    # Journal and cards

    async def note(self, release: Release, *events: Event) -> None:
        async def work(_: Any) -> None:
            self._tell(release, events)

        await self._write(work)

    async def events(self, release: Release, after: int = 0) -> Sequence[Event]:
        def answer() -> list[Event]:
            found = enumerate(self._shelf.events[after:], after + 1)
            return [replace(each, id=key) for key, (label, each) in found if label == release.label]

        return await self._read(answer)

    async def card(self, release: Release) -> Card | None:
        return await self._read(lambda: self._shelf.cards.get(release.label))

    async def save_card(self, card: Card) -> None:
        async def work(_: Any) -> None:
            self._shelf.cards[card.release] = card

        await self._write(work)

    async def get_meta(self, key: str) -> str | None:
        return await self._read(lambda: self._shelf.meta.get(key))

    async def set_meta(self, key: str, value: str) -> None:
        async def work(_: Any) -> None:
            self._shelf.meta[key] = value

        await self._write(work)

    # How it is done

    def _newest(self, app: str) -> Release | None:
        return next((each for each in reversed(self._shelf.releases.values()) if each.app == app), None)

    def _others_open(self, release: Release, ended: Release | None = None) -> bool:
        labels = {release.label, ended.label if ended is not None and not ended.phase.open else ""}
        found = self._shelf.releases.values()
        return any(each.app == release.app and each.phase.open and each.label not in labels for each in found)

    def _current(self, release: Release) -> None:
        known = self._shelf.releases.get(release.label)
        if known is None or known.version != release.version:
            raise Outdated(f"{release.title} was changed meanwhile")

    def _put(self, release: Release, events: Iterable[Event]) -> Release:
        changed = replace(release, version=release.version + 1)
        self._shelf.put(changed)
        self._tell(changed, events)
        return changed

    def _tell(self, release: Release, events: Iterable[Event]) -> None:
        for event in events:
            self._shelf.events.append((release.label, replace(event, at=event.at or self._now())))
