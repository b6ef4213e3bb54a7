"""How a bot reaches its world: each effect stops before it happens and after, and may fail, be lost or come late."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from bot.clusters.api import Json, Kind, Listing, Patch
from bot.clusters.errors import Away, Gone
from bot.clusters.reading import labels
from bot.ports import Unreachable
from bot.registry import RegistryError, Resolved
from bot.release.approvals import Vote
from bot.release.image import Image
from bot.release.record import Person, Phase, Release
from bot.store import StoreError
from simulation.objects import EPOCH

LATE_WITHIN = 10.0
"""Seconds in which a request that nobody waits for any more may still arrive: no call lives longer."""


class Clock:
    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time())

    async def wait(self, bell: asyncio.Event, until: datetime | None) -> None:
        if until is None:
            await bell.wait()
            return
        try:
            async with asyncio.timeout_at((until - EPOCH).total_seconds()):
                await bell.wait()
        except TimeoutError:
            pass


class Api:
    """`bot.clusters.api.Api` over the world's objects."""

    def __init__(self, world: Any, bot: Any) -> None:
        self._world = world
        self._bot = bot
        self._stop_at = bot.loop.stop_at

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        what = f"get {kind.name}/{name}"
        await self._stop_at(f"before {what}")
        self._may_fail(what)
        found = self._world.cluster.objects.get(kind.plural, name)
        self._world.oracles.read(self._bot, kind.plural, name, found)
        if self._world.lingers():
            await self._stop_at(f"after {what}")
        return found

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> Listing:
        what = f"list {kind.name}"
        await self._stop_at(f"before {what}")
        self._may_fail(what)
        objects = self._world.cluster.objects
        items = [item for item in objects.kinds.get(kind.plural, {}).values() if _wanted(item, labels)]
        answer = Listing(items, str(objects.version))
        self._world.oracles.listed(self._bot, kind.plural, labels, items)
        if self._world.lingers():
            await self._stop_at(f"after {what}")
        return answer

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Patch) -> Json:
        world, bot, what = self._world, self._bot, f"patch {kind.name}/{name}"
        request = (kind.resource, name, tuple(patch))
        world.oracles.sent(bot, *request)
        bot.in_flight = request
        await self._stop_at(f"before {what}")
        bot.in_flight = None
        try:
            written = self._sent(request)
        finally:
            await self._stop_at(f"after {what}")
            world.oracles.answered(bot)
        world.oracles.read(bot, kind.plural, name, written)
        return written

    def _sent(self, request: tuple[str, str, Any]) -> Json:
        """What becomes of a write on its way."""
        unheard = Away(f"no answer: patch {request[1]}")
        if self._world.chance("a write is lost"):
            raise unheard
        if self._world.chance("a write comes late"):
            self._world.later(*request)
            raise unheard
        written = self._world.arrive(*request)
        if self._world.chance("an answer is lost"):
            raise unheard
        return written

    def watch(self, kind: Kind, namespace: str, resource_version: str) -> "Watching":
        return Watching(self._world, self._bot, kind.plural, int(resource_version) - 1000)

    def _may_fail(self, what: str) -> None:
        if self._world.chance("a read fails"):
            raise Away(f"no answer: {what}")


class Watching:
    """A watch from one version on; it hears when its turn comes, which may be long after things happened."""

    def __init__(self, world: Any, bot: Any, plural: str, at: int) -> None:
        self._world, self._bot, self._plural, self._at = world, bot, plural, at
        self._waits: asyncio.Future[None] | None = None
        self._ends: Exception | None = None
        bot.watching[plural] = self

    def __aiter__(self) -> "Watching":
        return self

    async def __anext__(self) -> Json:
        while True:
            if self._ends:
                raise self._ends
            log = self._world.cluster.objects.log
            while self._at < len(log) and self._heard_to > self._at:
                plural, kind, item = log[self._at]
                self._at += 1
                if plural == self._plural:
                    return {"type": kind, "object": item}
            self._waits = asyncio.Future(loop=self._bot.loop)
            await self._waits

    _heard_to = 0

    @property
    def behind(self) -> bool:
        return any(each[0] == self._plural for each in self._world.cluster.objects.log[max(self._at, self._heard_to) :])

    def hear(self) -> None:
        self._heard_to = len(self._world.cluster.objects.log)
        self._wake()

    def end(self, *, gone: bool) -> None:
        self._ends = Gone("too old") if gone else StopAsyncIteration()
        self._wake()

    def _wake(self) -> None:
        if self._waits and not self._waits.done():
            self._waits.set_result(None)


class People:
    """Roles by REST; nobody's while the reactions were not listed since the bot began, as `cogs/people.py` has it."""

    def __init__(self, world: Any, bot: Any) -> None:
        self._world, self._bot = world, bot
        self.counted = False

    async def people(self, ids: Collection[int]) -> Mapping[int, Person]:
        if not self.counted:
            raise Unreachable("the reactions were not listed yet")
        await self._bot.loop.stop_at("before reading roles")
        if self._world.discord_is_away or self._world.chance("roles cannot be read"):
            raise Unreachable("Discord is away")
        members = self._world.guild.members
        found = {each: members[each] for each in ids if each in members}
        self._world.oracles.roles_read(self._bot, ids, found)
        await self._bot.loop.stop_at("after reading roles")
        return found

    async def members(self, ids: Collection[int]) -> Mapping[int, Person]:
        members = self._world.guild.members
        return {each: members[each] for each in ids if each in members}


class Registry:
    def __init__(self, world: Any, bot: Any) -> None:
        self._world, self._bot = world, bot

    async def resolve(self, image: Image) -> Resolved:
        await self._bot.loop.stop_at("before asking the registry")
        if self._world.chance("the registry is away"):
            raise RegistryError("away")
        found = Resolved(image.digest or self._world.cluster.tags[image.tag or ""])
        await self._bot.loop.stop_at("after asking the registry")
        return found

    async def suggest(self, image: Image, typed: str) -> list[str]:
        return []


class Cards:
    """Draws what `changed` asks for, as `cogs/cards.py` does: posts once, edits, tries again after a failure."""

    def __init__(self, world: Any, bot: Any) -> None:
        self._world, self._bot = world, bot
        self._wanted: dict[str, Release] = {}
        self._running: dict[str, Any] = {}
        self._drawn: dict[str, str] = {}

    def changed(self, release: Release) -> None:
        if self._drawn.get(release.label) == release.phase:
            return
        self._wanted[release.label] = release
        if release.label not in self._running:
            self._running[release.label] = self._bot.loop.create_task(self._work(release.label))

    async def _work(self, label: str) -> None:
        try:
            while release := self._wanted.pop(label, None):
                try:
                    await self._draw(release)
                except (Unreachable, StoreError):
                    self._bot.loop.call_later(10, self._again, release)
                    return
        finally:
            del self._running[label]

    def _again(self, release: Release) -> None:
        self._drawn.pop(release.label, None)
        self.changed(release)

    async def _draw(self, release: Release) -> None:
        world, bot = self._world, self._bot
        stored = await bot.store.release(release.app, release.number)
        await bot.loop.stop_at("before drawing a card")
        if world.discord_is_away or world.chance("a card is not drawn"):
            raise Unreachable("Discord is away")
        guild, new = world.guild, release.label not in world.guild.cards
        message = guild.post(release.label)
        guild.faces[release.label] = self._drawn[release.label] = stored.phase
        await bot.loop.stop_at("after drawing a card")
        if new or await bot.store.card(release) is None:
            await bot.store.save_card(bot.card(release.label, message))
            bot.loop.create_task(bot.session.votes_begin(stored))


class Session:
    """What `cogs/votes.py` does: reactions become votes, in turn; after a start all are listed again, and as often as
    something happened to votes that may not be in the store.
    """

    def __init__(self, world: Any, bot: Any) -> None:
        self._world, self._bot = world, bot
        self._turn = asyncio.Lock()
        self._doubts = 0
        self._again: asyncio.TimerHandle | None = None

    async def begin(self) -> None:
        bot, doubts = self._bot, self._doubts
        try:
            current = await bot.store.current()
            waiting = [release for release in current if release.phase in {Phase.READY, Phase.PROMOTING}]
            counted = all([await self._recount(release) for release in waiting])
        except StoreError:
            current, counted = [], False
        if not counted:
            self._doubtful()
        elif doubts == self._doubts:
            bot.people.counted = True
        for release in current:
            bot.controller.wake(release.app)

    async def votes_begin(self, release: Release) -> None:
        async with self._recording():
            if not await self._recount(release):
                self._doubtful()

    async def reacted(self, message: int, voter: Person, approve: bool) -> None:
        """`voter` has the roles of that moment; the gateway tells them with the reaction."""
        world, bot, refusal = self._world, self._bot, None
        async with self._recording(), self._turn:
            release = await bot.store.shown_at(message)
            if release is None:
                return
            refusal = await bot.desk.vote(release, voter, approve)
            world.oracles.voted(message, voter, approve, counts=refusal is None)
        if refusal:
            await bot.loop.stop_at("before taking a reaction off")
            world.guild.reactions.discard((message, voter.id, approve))
            world.oracles.withdrawn(message, voter.id, approve)

    async def unreacted(self, message: int, person: int, approve: bool) -> None:
        async with self._recording(), self._turn:
            release = await self._bot.store.shown_at(message)
            if release is not None:
                await self._bot.desk.withdraw(release, person, approve)
                self._world.oracles.withdrawn(message, person, approve)

    async def _recount(self, release: Release) -> bool:
        """Whether the votes in the store are now those that Discord lists."""
        world, bot = self._world, self._bot
        card = await bot.store.card(release)
        if card is None:
            return True
        async with self._turn:
            await bot.loop.stop_at("before listing reactions")
            if world.discord_is_away or world.chance("reactions are not listed"):
                return False
            members, there = world.guild.members, frozenset(world.guild.reactions)
            votes = [
                Vote(members[person], approve)
                for message, person, approve in sorted(there)
                if message == card.message and person in members
            ]
            await bot.loop.stop_at("after listing reactions")
            await bot.desk.recount(release, votes)
            world.oracles.recounted(card.message, there)
        return True

    @asynccontextmanager
    async def _recording(self) -> AsyncIterator[None]:
        """What cannot be recorded now is listed again with all other votes, and nothing is switched before."""
        try:
            yield
        except StoreError:
            self._doubtful()

    def _doubtful(self) -> None:
        loop = self._bot.loop
        self._doubts += 1
        self._bot.people.counted = False
        if self._again is not None:
            self._again.cancel()
        self._again = loop.call_later(10, lambda: loop.create_task(self.begin()))


_QUERIES: dict[str, dict[str, frozenset[str]]] = {}
_ANY: frozenset[str] = frozenset()


def _wanted(item: Json, query: str) -> bool:
    if query and query not in _QUERIES:
        key, among, values = query.partition(" in ")
        pairs = [(key, values.strip("()"))] if among else [each.partition("=")[::2] for each in query.split(",")]
        _QUERIES[query] = {key: frozenset(values.split(",")) if values else _ANY for key, values in pairs}
    present = labels(item)
    return not query or all(
        present.get(key) in values if values else key in present for key, values in _QUERIES[query].items()
    )
