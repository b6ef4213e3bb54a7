"""A world with its cluster, guild and database, and the bots that live and die in it.

The world takes one step at a time, and chance says which: an effect of the bot goes on, a controller of the cluster
works, a watch hears, somebody does something, or time passes. Before each step the oracles have had their say about
the one before. The same seed is the same life, whatever the machine.
"""

import random
import sqlite3
from asyncio import events
from collections import Counter
from collections.abc import Collection, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.exc import OperationalError

from bot.adopting import Adopting
from bot.clusters.errors import ClusterError
from bot.controller import Controller
from bot.desk import Desk
from bot.gates import GateRunner, GuardRunner
from bot.registry import RegistryError
from bot.release.errors import Refused
from bot.release.record import Phase, Release
from bot.store import Card, Store, StoreError
from simulation.backends import BACKENDS
from simulation.database import Database, Engine
from simulation.gates import Gated, Guarded, Lab, Run
from simulation.guild import Guild
from simulation.memory import Doors, MemoryStore, Shelf
from simulation.objects import EPOCH
from simulation.ports import LATE_WITHIN, Api, Cards, Clock, People, Registry, Session, Watching
from simulation.scheduler import Loop, Time

STORE_ID = "simulated"
LONGEST = 6 * 3600.0
"""Seconds of a world after which whatever has not ended never will."""
STEPS = 20_000
PROMPT = 5.0
"""Seconds for which the cluster may leave something undone while nobody looks."""
STEPS_AT_ONCE = 50
"""There are states in which a controller answers each of its own writes with another."""


class Bot:
    """One process of Greenlight: its parts put together, and its first tasks."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.loop = Loop(world.time, world.broken)
        self.clock = Clock(self.loop)
        self.in_flight: tuple[str, str, Any] | None = None
        """(resource, name, patch)"""
        self.watching: dict[str, Watching] = {}
        self.busy: set[str] = set()
        apps = {world.app.name: world.app}
        with self.loop.running():
            self.store = world.store_for(self)
            self.cards = Cards(world, self)
            self.people = People(world, self)
            self.session = Session(world, self)
            api = Api(world, self)
            self.cluster = world.backend.bot(api, apps.values(), self.clock.now, self._changed, STORE_ID)
            adopting = Adopting(self.store, self.cluster, self.people, {}, self.clock) if world.adopts else None
            self.lab = Lab(world, self)
            kinds = {gate.kind: self.lab.check for gate in world.app.gates}
            left = {"k6": self.lab.cut_off}
            gates = GateRunner(self.store, kinds, self._wake, self.clock, left, world.token)
            parts = (apps, self.store, self.cluster, self.people, self.cards, self.clock, adopting)
            of_live = {guard.kind: self.lab.guard for guard in world.app.guards}
            guards = GuardRunner(self.store, of_live, self._wake, self.cards.changed, self.clock)
            self.controller = Controller(*parts, [gates, guards])
            self.desk = Desk(
                apps, self.store, self.cluster, Registry(world, self), self.controller, self.clock, world.token
            )
            for work in (self.controller.run(), self.cluster.follow(), self.session.begin()):
                self.loop.create_task(work)

    def _changed(self, namespace: str) -> None:
        self.controller.changed(self.world.app.cluster, namespace)

    def _wake(self, app: str) -> None:
        self.controller.wake(app)

    def card(self, label: str, message: int) -> Card:
        return Card(label, self.world.app.channel, message)

    def begin(self, what: str, work: Coroutine[Any, Any, Any]) -> None:
        """Somebody wants something of the bot."""
        self.busy.add(what)
        self.loop.create_task(self._do(what, work))

    async def _do(self, what: str, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except Refused as refused:
            self.world.counts[f"refused: {what}"] += 1
            self.world.said[what] = str(refused)
        except (ClusterError, RegistryError, StoreError) as error:
            self.world.counts[f"failed: {what}"] += 1
            self.world.said[what] = str(error)
        finally:
            self.busy.discard(what)


@dataclass(frozen=True)
class Late:
    """A request on its way whom nobody waits for any more."""

    request: tuple[str, str, Any]
    until: float


class World:
    def __init__(self, seed: str, shelf: Database | Shelf, backend: str = "native") -> None:
        self.seed = seed
        self.backend = BACKENDS[backend]
        self.chances = random.Random(seed)
        self.time = Time()
        self.cluster = self.backend.cluster(self)
        self.cluster.loses = self.loses
        self.guild = Guild()
        self.app = self.backend.app
        self.ways: dict[str, tuple[str, ...]] = {}
        """By gate and guard, how its runs end."""
        self.jobs: dict[Run, Lab] = {}
        """What gates have running in the cluster, and whose it is."""
        self.shelf: Any = shelf
        self.late: list[Late] = []
        self.tokens = 0
        self.counts: Counter[str] = Counter()
        self.trace: list[str] = []
        self.weather: dict[str, float] = {}
        """What may go wrong, and how often."""
        self.said: dict[str, str] = {}
        self.memory: dict[str, Any] = {}
        """What people remember, whatever becomes of bots."""
        self.actors: list[Any] = []
        """Those who may do something: see `stories.py` and `meddlers.py`."""
        self.oracles = self.backend.oracles(self)
        self.bot: Bot | None = None
        self.graves: list[Bot] = []
        self.died: tuple[tuple[str, str, Any] | None, list[str]] | None = None
        """Of the bot that died last: its write in flight, and what it waited for."""
        self.down_until: float | None = None
        self.steps = 0
        self.longest_down = 30.0
        self.adopts = False
        """Whether what others begin becomes a release."""
        self.crash_at: set[int] = set()

    def checked(self, gates: Gated, guards: Guarded = ()) -> None:
        """Its app has these, before any bot begins."""
        self.app = replace(self.app, gates=tuple(each for each, _ in gates), guards=tuple(each for each, _ in guards))
        self.ways = {each.name: ways for each, ways in (*gates, *guards)}

    def store_for(self, bot: Bot) -> Store:
        parts = bot.loop.stop_at, self.lingers, self.store_fails, self.oracles.committed
        if isinstance(self.shelf, Shelf):
            return MemoryStore(Doors(*parts), self.shelf, bot.clock.now)
        engine: Any = Engine(self.shelf, *parts)
        return Store(engine, bot.clock.now)

    def store_fails(self) -> Exception | None:
        if not self.chance("the store fails"):
            return None
        self.oracles.unheard += 1
        return OperationalError("BEGIN IMMEDIATE", None, sqlite3.OperationalError("database is locked"))

    # What the parts ask

    def seconds(self) -> float:
        return self.time.seconds

    def token(self) -> str:
        self.tokens += 1
        return f"t{self.tokens}"

    def chance(self, what: str) -> bool:
        often = self.weather.get(what)
        if often is None or self.chances.random() >= often:
            return False
        self.counts[what] += 1
        self.note(what)
        return True

    def lingers(self) -> bool:
        """Whether the answer of a read is on its way for long enough that something may happen meanwhile."""
        return self.chances.random() < 0.25

    def loses(self) -> bool:
        return self.chance("the controller loses a write")

    def note(self, what: str) -> None:
        self.trace.append(what)

    @property
    def newest(self) -> Release | None:
        return self.oracles.newest

    @property
    def discord_is_away(self) -> bool:
        return self.time.seconds < self.guild.away_until

    def broken(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None:
            self.oracles.fail("I9", f"an error got away: {error!r} ({context.get('message')})")

    # Requests to the cluster

    def arrive(self, resource: str, name: str, patch: Any, *, late: bool = False) -> Any:
        """A write of the bot reaches the API server; raises what that answers."""
        plural, _, subresource = resource.partition("/")
        before = self.cluster.objects.get(plural, name)
        after = self.cluster.patch(plural, name, patch, "greenlight", subresource)
        self.note(f"written {resource if subresource else name}")
        self.oracles.written(resource, name, patch, before, after, late=late)
        return after

    def later(self, *request: Any) -> None:
        within = self.chances.random() * LATE_WITHIN
        self.late.append(Late(request, self.time.seconds + within))

    def _arrives(self, index: int) -> None:
        late = self.late.pop(index)
        self.counts["a write came late"] += 1
        try:
            self.arrive(*late.request, late=True)
        except ClusterError:
            self.note("a late write was refused")

    # Life and death

    def start(self) -> None:
        self.down_until = None
        self.bot = Bot(self)
        events._set_running_loop(self.bot.loop)
        self.oracles.began()
        self.note("the bot starts")
        self.bot.loop.settle()

    def fork(self) -> "World":
        """The world as it is now, without its bot: so the bot can die here in one life and go on in another."""
        other = World.__new__(World)
        other.__dict__.update(self.__dict__)
        other.time = Time(self.time.seconds)
        other.cluster = self.cluster.copy(other.seconds)
        other.cluster.loses = other.loses
        other.guild = self.guild.copy()
        other.shelf = self.shelf.copy()
        other.late, other.trace, other.actors = list(self.late), list(self.trace), list(self.actors)
        other.said, other.memory, other.counts = dict(self.said), dict(self.memory), Counter()
        other.jobs = dict(self.jobs)
        other.oracles = self.oracles.copy(other)
        other.bot, other.graves = None, []
        other.died = self.bot and (self.bot.in_flight, [what for what, _ in self.bot.loop.waiting])
        return other

    def crash(self) -> None:
        """All that the bot has not written is gone."""
        bot = self.bot
        assert bot is not None
        self.died = bot.in_flight, [what for what, _ in bot.loop.waiting]
        bot.loop.drop()
        events._set_running_loop(None)
        self.graves.append(bot)
        self.bot = None
        self.mourn()

    def mourn(self) -> None:
        """The bot has died: what it had in flight may still arrive, and after a while it is started again."""
        assert self.died is not None
        in_flight, waiting = self.died
        self.note(f"THE BOT DIES at step {self.steps}, waiting {', '.join(waiting) or 'for something to happen'}")
        if in_flight is not None and self.chances.random() < 0.7:
            self.later(*in_flight)
            self.counts["a write in flight at a crash"] += 1
        self.oracles.ended()
        self.counts["crash"] += 1
        roll, long = self.chances.random(), self.chances.random()
        down_for = 0 if roll < 0.4 else 30 * long if roll < 0.9 else self.longest_down * long
        self.down_until = self.time.seconds + down_for

    def run(self, fork_at: Collection[int] = ()) -> "list[World]":
        """Until everything has ended; the forks of the steps asked for. Raises `Violation`."""
        forks = []
        try:
            if self.down_until is None:
                self.start()
            while not self.over():
                if self.steps in fork_at and self.bot is not None:
                    forks.append(self.fork())
                self.turn()
            for bot in (*self.graves, self.bot):
                for error in bot.loop.unheard if bot is not None else ():
                    self.broken({"exception": error, "message": "nobody asked what became of a task"})
            self.oracles.at_the_end()
        finally:
            events._set_running_loop(None)
            for bot in (*self.graves, self.bot):
                if bot is not None:
                    bot.loop.bury()
        return forks

    def over(self) -> bool:
        if self.steps > STEPS or self.time.seconds > LONGEST:
            self.oracles.fail("I4", f"it does not end: {self.newest and self.newest.phase}")
            raise self.oracles.violation()
        return self._nothing_left

    _nothing_left = False

    def turn(self) -> None:
        """One step."""
        self.steps += 1
        bot = self.bot
        if self.steps in self.crash_at and bot is not None:
            self.crash()
            return
        if bot is None:
            self._without_bot()
        else:
            self._with_bot(bot)
            bot.loop.settle()
        if self.oracles.failures:
            raise self.oracles.violation()

    def _with_bot(self, bot: Bot) -> None:
        chances, waiting = self.chances, bot.loop.waiting
        if bot.in_flight is not None and chances.random() < 0.5 and self._act(at_once=True):
            return
        roll = chances.random()
        if waiting and roll < 0.92:
            self._goes_on(bot)
        elif not self._surroundings(bot) and not self._act():
            if waiting:
                self._goes_on(bot)
            else:
                self._time_passes(bot)

    def _without_bot(self) -> None:
        assert self.down_until is not None
        if self.chances.random() < 0.3 or not (self._surroundings(None) or self._act()):
            if self.chances.random() < 0.5:
                if self.down_until - self.time.seconds > PROMPT:
                    self._catches_up()
                self.time.seconds = max(self.time.seconds, self.down_until)
                self._too_late()
                self.start()
            else:
                self.time.seconds = min(self.down_until, self.time.seconds + 5)
                self._too_late()

    def _catches_up(self) -> None:
        """What the cluster's controllers have to do they do in time, whether the bot is there or not."""
        for _ in range(STEPS_AT_ONCE):
            if not self.cluster.work:
                return
            self.note(self.cluster.step(0))
            self.oracles.looked()

    def _goes_on(self, bot: Bot) -> None:
        self.time.seconds += 0.03 * self.chances.random()
        if self.weather and self.chance("an answer is slow"):
            self.time.seconds += 6 * self.chances.random()
        self._too_late()
        what = bot.loop.go_on(int(self.chances.random() * len(bot.loop.waiting)))
        self.trace.append(what)

    def _surroundings(self, bot: Bot | None) -> bool:
        """The cluster does something by itself: everything that is due, on a quiet day, or one thing alone."""
        work, late = self.cluster.work, self.late
        deaf = [each for each in bot.watching.values() if each.behind] if bot else []
        chances, together = self.chances.random, self.chances.random() < 0.7
        pick = int(chances() * (bool(work) + bool(late) + bool(deaf)))
        if work and pick == 0:
            for _ in range(len(work) if together else 1):
                self.note(self.cluster.step(int(chances() * len(work)), whole=together))
                self.oracles.looked()
        elif late and pick == bool(work):
            self._arrives(int(chances() * len(late)))
        elif deaf:
            self._hears(deaf if together else deaf[int(chances() * len(deaf)) :][:1])
        return bool(work or late or deaf)

    def _hears(self, watches: list[Watching]) -> None:
        if self.chance("a watch lies silent"):
            return
        for watching in watches:
            if self.chance("a watch is broken off"):
                watching.end(gone=self.chances.random() < 0.5)
            else:
                watching.hear()

    def _act(self, *, at_once: bool = False) -> bool:
        """Somebody does something, if anybody wants to."""
        ready = [actor for actor in self.actors if actor.wants(self, at_once)]
        if not ready:
            return False
        actor = ready[int(self.chances.random() * len(ready))]
        self.note(actor.name)
        actor.act(self)
        self.oracles.looked()
        return True

    def _time_passes(self, bot: Bot) -> None:
        """To when something is due; nothing is: it has ended."""
        moments = [late.until for late in self.late]
        if self.cluster.timers:
            moments.append(self.cluster.timers[0][0])
        dues = [due for actor in self.actors if (due := actor.due(self)) is not None]
        moments += dues
        timer = bot.loop.next_timer
        if timer is not None:
            moments.append(timer)
        newest = self.newest
        if not moments or (newest is not None and self._has_ended(newest) and not dues and not self.late):
            self._nothing_left = True
            return
        self.time.seconds = max(self.time.seconds, min(moments))
        self._too_late()

    def _has_ended(self, newest: Release) -> bool:
        """Whether nothing is left to be done, or what is left is in somebody's way for good."""
        if newest.phase.open:
            return False
        patience = 4200 if newest.phase is Phase.DONE else 1800  # the bot may have been away for minutes of it
        if self.guild.faces.get(newest.label) != newest.phase and self.time.seconds < LONGEST / 2:
            return False  # the card is not drawn yet
        given_up = self.time.seconds > (newest.since - EPOCH).total_seconds() + patience
        return newest.retired or newest.phase is Phase.ABANDONED or given_up

    def _too_late(self) -> None:
        """What has been on its way for too long arrives now or never; and what the cluster has to do by now."""
        if self.cluster.timers:
            self.cluster.ring()
        if not self.late:
            return
        for index in reversed(range(len(self.late))):
            if self.late[index].until <= self.time.seconds:
                self._arrives(index)
