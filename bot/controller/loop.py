"""The loop: look, decide, write the intent to the store, act, write the outcome.

One attempt per app at a time. It is level-triggered: an attempt starts from what is stored and what the cluster shows,
so a crash needs no recovery code; the first attempt after a restart is an ordinary one. Whatever people ask changes the
record in the store and rings the bell; an attempt that was under way finds its record outdated and starts again.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from bot.clusters.cluster import Cluster, View, Write
from bot.clusters.errors import Away, ClusterError, Malformed, Missing, Pending, Stale, Unfit
from bot.controller import journal
from bot.controller.ahead import Ahead, Expected
from bot.controller.drawing import Drawing
from bot.controller.pauses import RETRY, Pauses
from bot.ports import Adopting, Attending, Cards, Clock, People, Unreachable
from bot.release import gates
from bot.release.app import App
from bot.release.approvals import Ballots
from bot.release.machine import Decision, advance, decide, fulfil, observe, sent
from bot.release.record import Person, Phase, Release
from bot.release.snapshot import Snapshot, Traffic
from bot.store import Event, Outdated, Store, StoreError

log = structlog.get_logger()

STEPS = 30
"""Decisions in one attempt; a release needs a dozen, more would be two rules at odds."""
RESYNC = timedelta(minutes=1)
"""An open release is looked at this often even if nothing is heard."""
GAP = 2 * RESYNC
"""An open release at which nobody has looked for so long was not looked at."""
LAST_WRITE = 4.0
"""Seconds for the answer to a write that is on its way when the bot is stopped; then its fate is unknown."""
ROLES_WITHIN = 5.0
"""Seconds for reading the voters' roles."""
RECORDED_WITHIN = timedelta(seconds=2)
"""For storing an intent; what was looked at longer ago is not acted upon (see `SETTLE`)."""
NO_ROLES = "Discord roles cannot be checked right now"

_Work = Callable[[App], Awaitable[datetime | None]]


@dataclass(frozen=True)
class Moment:
    """What the last attempt for an app saw: for the card, kept in memory only."""

    release: Release
    seen: Snapshot | None = None
    reason: str = ""
    until: datetime | None = None
    trouble: str = ""


class Controller:
    """Moves every release on, until it is cancelled."""

    def __init__(
        self,
        apps: Mapping[str, App],
        store: Store,
        cluster: Cluster,
        people: People,
        cards: Cards,
        clock: Clock,
        adopting: Adopting | None = None,
        attending: Iterable[Attending] = (),
    ) -> None:
        self._apps = apps
        self._store = store
        self._cluster = cluster
        self._people = people
        self._drawing = Drawing(cards)
        self._clock = clock
        self._adopting = adopting
        self._attending = tuple(attending)
        self._bell = asyncio.Event()
        self._woken: set[str] = set()
        self._due: dict[str, datetime] = {}
        self._resting: dict[str, Release | None] = {}
        """Apps that have nothing left to do, with their newest release."""
        self._stirred: set[str] = set()
        """Those of them in whose namespace something happened that may be another version."""
        self._unadopted: dict[str, str] = {}
        """By app, why it could not be told whether there is another version."""
        self._refused: set[str] = set()
        """Apps of which a write failed: no event in the namespace tells that it would be taken now, only time does."""
        self._unheeded: set[str] = set()
        """Those of them in whose namespace something happened since the last attempt began."""
        self._pauses = Pauses(clock)
        self._looked: dict[str, datetime] = {}
        """When each app was last looked at afresh: events that keep coming must not keep that away."""
        self._attended: dict[str, tuple[datetime, datetime]] = {}
        """Since when, without a gap, and when last something could be decided about each app."""
        self._running: dict[str, asyncio.Task[None]] = {}
        self._sending: set[str] = set()
        """Apps of which a write is on its way."""
        self._expected: dict[str, Expected] = {}
        self._stopping = False
        self._probes: list[asyncio.Event] = []
        self.moments: dict[str, Moment] = {}

    async def turn(self) -> None:
        """Until the loop has come round once more; one that hangs or has ended never does."""
        probe = asyncio.Event()
        self._probes.append(probe)
        self._bell.set()
        await probe.wait()

    def wake(self, app: str) -> None:
        """Somebody wants something of the app: look at it soon."""
        self._pauses.over(app)
        self._ring(app)

    def _ring(self, app: str) -> None:
        self._resting.pop(app, None)
        self._refused.discard(app)
        self._woken.add(app)
        self._bell.set()

    @contextlib.contextmanager
    def expecting(self, release: Release, voters: Iterable[int] = ()) -> Iterator[None]:
        """While that is recorded upon which the release's traffic may be moved: the attempt to move it begins, and
        looks at the cluster, and at these voters' roles, until it is.
        """
        expected = self._expected[release.app] = Expected(release, frozenset(voters))
        self._drawing.wait(release.app)
        self._ring(release.app)
        try:
            yield
        except StoreError as error:  # nothing is moved upon it
            expected.trouble = str(error)
            self._drawing.go_on(release.app)
            raise
        finally:
            expected.recorded.set()

    def changed(self, cluster: str, namespace: str) -> None:
        """Something happened in the namespace: wakes its apps, but those that have nothing left to do or must wait."""
        for app in self._apps.values():
            if (app.cluster, app.namespace) != (cluster, namespace):
                continue
            if app.name in self._refused:
                self._unheeded.add(app.name)
            elif app.name not in self._resting:
                self._ring(app.name)
            elif app.adopts:
                self._stirred.add(app.name)
                self._bell.set()

    def report(self, release: Release, trouble: str) -> None:
        """Something that people asked of the release cannot be recorded: its card says why, until it is looked at."""
        if release.app in self._apps and release.phase.open:  # what is said of an old card concerns nobody
            self._show(self._apps[release.app], release, trouble=trouble)

    def redraw(self, release: Release) -> None:
        """Its card may be out of date."""
        self._drawing.draw(release)

    async def run(self) -> None:
        """Until cancelled."""
        for name in self._apps:
            self.wake(name)
        try:
            while True:
                self._bell.clear()
                while self._probes:
                    self._probes.pop().set()
                now = self._clock.now()
                due = {name for name, when in self._due.items() if when <= now}
                for name in (self._woken | due) - self._running.keys():
                    attempt = partial(self.attempt, unheard=name not in self._woken)
                    self._woken.discard(name)
                    self._stirred.discard(name)
                    self._due.pop(name, None)
                    self._begin_with(self._apps[name], attempt)
                for name in self._stirred - self._running.keys():
                    self._stirred.discard(name)
                    self._begin_with(self._apps[name], self.look_beside)
                await self._clock.wait(self._bell, min(self._due.values(), default=None))
        finally:
            await self._end()

    async def _end(self) -> None:
        """A write that was sent is waited for, a little; all else is only waiting, and is cut off."""
        self._stopping = True
        for name, task in self._running.items():
            if name not in self._sending:
                task.cancel()
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=LAST_WRITE)
            for task in late:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        self._stopping = False

    def _begin_with(self, app: App, work: _Work) -> None:
        self._running[app.name] = asyncio.create_task(self._attend(app, work), name=f"release {app.name}")

    async def _attend(self, app: App, work: _Work) -> None:
        """One attempt, whatever becomes of it; sets when the next is due."""
        try:
            until = await work(app)
            if until is not None:
                self._due[app.name] = until
        except Exception as error:
            reference = secrets.token_hex(2)
            log.exception("attempt failed", app=app.name, ref=reference)
            moment = self.moments.get(app.name)
            if moment:
                self._show(app, moment.release, trouble=f"something broke on our side (ref {reference})")
            self._due[app.name] = self._pauses.later(app.name, repr(error), moment.release if moment else None)
        finally:
            del self._running[app.name]
            self._bell.set()

    async def attempt(self, app: App, *, unheard: bool = False) -> datetime | None:
        """Move the app's newest release as far as it goes now; when to try again, None for when something happens.

        `unheard`: it is time that brought it here, no event, so the cache may have missed something.
        """
        release: Release | None = None
        self._unheeded.discard(app.name)
        ahead = await self._ahead(app)
        try:
            polled = await self._store.polled(app.name)
            if polled is None:
                self._resting[app.name], until = None, None
            else:
                release, votes = polled
                fits = ahead if ahead is not None and ahead.expected.release.label == release.label else None
                until = await self._move(app, release, Ballots(votes), fits, unheard=unheard)
        except Outdated:
            self._ring(app.name)
            return None
        except Pending as error:
            if (moved := await self._as_stored(app, release)) is not None:  # it may have moved on until here
                self._show(app, moved)
            return self._pauses.later(app.name, str(error), release)
        except (ClusterError, StoreError) as error:
            return await self._stuck(app, release, error)
        finally:
            if ahead is not None:
                ahead.cancel()
                if ahead.expected.trouble:
                    self.report(ahead.expected.release, ahead.expected.trouble)
            self._drawing.go_on(app.name)
        self._pauses.over(app.name)
        self._refused.discard(app.name)
        if app.name in self._unheeded:
            self._ring(app.name)
        again = await self.look_beside(app) if app.adopts else None
        return min(filter(None, (until, again)), default=None)

    async def look_beside(self, app: App) -> datetime | None:
        """Whether somebody else brings another version up, which then is the app's newest release; when to look again,
        None for when something happens. An open release is in the way: what becomes of it comes first.
        """
        if self._adopting is None:
            return None
        beside = f"{app.name}, beside its newest release"
        try:
            resting = app.name in self._resting
            newest = self._resting[app.name] if resting else await self._store.newest(app.name)
            if newest and self._is_live_again(app, newest):
                self._ring(app.name)
                return None
            opened = None if newest and newest.phase.open else await self._adopting.adopt(app, newest)
        except (ClusterError, StoreError) as error:
            if self._unadopted.get(app.name) != str(error):
                log.warning("other versions cannot be looked for", app=app.name, reason=str(error))
            self._unadopted[app.name] = str(error)
            if isinstance(error, (Unfit, Missing, Malformed)):
                return None  # whoever mends it changes something that is watched
            return self._pauses.later(beside, str(error), None)
        self._unadopted.pop(app.name, None)
        self._pauses.over(beside)
        if opened is not None:
            if newest is not None:
                self.redraw(newest)
            self.wake(app.name)
        return None

    def _is_live_again(self, app: App, newest: Release) -> bool:
        """It was taken back, and as far as is heard it has the traffic all the same."""
        heard = self._cluster.seen(app, newest) if newest.phase is Phase.REVERTED else None
        return heard is not None and heard.snapshot.traffic is Traffic.CANDIDATE

    async def _ahead(self, app: App) -> Ahead | None:
        """What was read until that is recorded upon which this attempt will act; None when it acts upon nothing new.

        What takes longer to record is acted upon when it is: whoever recorded it rings then.
        """
        expected = self._expected.pop(app.name, None)
        if expected is None or expected.recorded.is_set():
            return None
        began, people = self._clock.now(), self._people.people(expected.voters) if expected.voters else None
        ahead = Ahead(expected, began, self._cluster.look(app, expected.release), people)
        try:
            async with asyncio.timeout(RECORDED_WITHIN.total_seconds()):
                await expected.recorded.wait()
        except TimeoutError:
            ahead.cancel()
        except BaseException:
            ahead.cancel()
            raise
        if self._clock.now() - began > RECORDED_WITHIN:
            ahead.cancel()
        return ahead

    async def _stuck(self, app: App, release: Release | None, error: ClusterError | StoreError) -> datetime:
        """Say what stands in the way, in the log and on the card; when to try again."""
        moment = self.moments.get(app.name)
        shown = release or (moment.release if moment else None)
        if shown is None or self._trouble(shown) != str(error):
            what = "cluster trouble" if isinstance(error, ClusterError) else "store trouble"
            about = {"release": shown} if shown else {"app": app.name}
            log.warning(what, **about, reason=str(error))
        shown = await self._as_stored(app, shown)
        if shown is not None:
            self._show(app, shown, trouble=str(error))
        return self._pauses.later(app.name, str(error), shown)

    async def _as_stored(self, app: App, known: Release | None) -> Release | None:
        """The newest release; while it cannot be read, what was read last is the best that is known."""
        if known is None:
            return None
        with contextlib.suppress(StoreError):
            return await self._store.newest(app.name) or known
        return known

    async def _move(
        self, app: App, release: Release, ballots: Ballots, ahead: Ahead | None, *, unheard: bool
    ) -> datetime | None:
        """Decide and act until there is only waiting left.

        Changes of phase are stored together with what follows from them: an approval is consumed by the very
        transaction that records the intent to switch.
        """
        stored, refused = release, set[tuple[str, str]]()
        view = self._heard(app, release, unheard=unheard)
        pending: list[Event] = []
        for _ in range(STEPS):
            if view is None:
                view = await self._cluster.look(app, release)
                self._looked[app.name] = self._clock.now()
            now, view = self._clock.now(), view.of(release)
            release = observe(release, view.snapshot, now)
            write = await self._planned(view.of(release).upkeep, stored, release, pending)
            if write is not None:
                if view.snapshot.fresh_at(now):
                    stored = release = await self._begin(release, pending, "keep up", write, view.snapshot)
                    pending = []
                    await self._send(release, write, refused, now)
                view = await self._cluster.look(app, release)
                continue
            decision = decide(release, app, view.snapshot, ballots, now, self._looking_since(app, now))
            if decision.look:
                view, checked = await self._look(app, release, ballots, ahead)
                if checked.votes != ballots.votes:
                    lost = journal.lost(app, release, ballots, checked)
                    stored = await self._store.recount(stored, checked.votes, *lost)
                    release = replace(release, version=stored.version)
                ballots = checked
            elif decision.phase is not None:
                pending.append(journal.moved(release, decision))
                release = advance(release, decision, now)
                log.info("phase", release=release, reason=release.reason)
            elif decision.order is not None:
                plan = partial(view.of(release).plan, decision.order, actor=journal.actor(release))
                write = await self._planned(plan, stored, release, pending)
                if write is None:
                    release = fulfil(release, decision.order)
                    continue
                release = sent(release, decision.order, view.snapshot, now)
                stored = release = await self._begin(release, pending, decision.order, write, view.snapshot)
                pending, view = [], None
                await self._send(release, write, refused, now)
            else:
                release = await self._rest(app, stored, release, pending)
                self._show(app, release, view.snapshot, decision.reason, decision.until)
                soon = bool(ballots.trouble)
                until = self._next(release, decision, soon=soon, rests=not view.needs_upkeep)
                return min(filter(None, (until, view.snapshot.again_at)), default=None)
        raise RuntimeError(f"{release.title} does not come to rest in {release.phase}")

    def _heard(self, app: App, release: Release, *, unheard: bool) -> View | None:
        """What the watches have heard, None to look afresh: a watch may be silent, or lie, and not know it.

        So what time brings is not asked of them, nor is anything else for longer than a minute, whatever they hear.
        """
        now = self._clock.now()
        overdue = release.phase.open and now >= self._looked.setdefault(app.name, now) + RESYNC
        return None if unheard or overdue else self._cluster.seen(app, release)

    def _looking_since(self, app: App, now: datetime) -> datetime:
        since, last = self._attended.get(app.name, (now, now))
        since = now if now - last > GAP else since
        self._attended[app.name] = (since, now)
        return since

    async def _keep(self, stored: Release, release: Release, pending: Sequence[Event]) -> Release:
        return await self._store.update(release, *pending) if pending or release != stored else release

    async def _rest(self, app: App, stored: Release, release: Release, pending: Sequence[Event]) -> Release:
        """Store what was decided; from now on only others move the release on: people, pods and gates."""
        if due := gates.due(app, release):
            release = gates.begin(release, due, self._clock.now())
            pending = [*pending, journal.begun(due)]
        release = await self._keep(stored, release, pending)
        for each in self._attending:
            each.attend(app, release)
        return release

    async def _planned(
        self, plan: Callable[[], Write | None], stored: Release, release: Release, pending: Sequence[Event]
    ) -> Write | None:
        try:
            return plan()
        except ClusterError:  # what was decided until here holds all the same
            await self._keep(stored, release, pending)
            raise

    async def _begin(
        self, release: Release, pending: Sequence[Event], order: str, write: Write, seen: Snapshot
    ) -> Release:
        """Store what leads to the write, and that it is about to be sent."""
        release = await self._store.update(release, *pending, journal.intent(release, order, write))
        trouble = self._trouble(release)  # over once it is written
        self._show(self._apps[release.app], release, seen, trouble=trouble)
        return release

    def _next(self, release: Release, decision: Decision, *, soon: bool, rests: bool) -> datetime | None:
        """When to look again while nothing is heard."""
        if not release.phase.open:
            if rests and decision.until is None and (not decision.reason or release.retired):
                self._resting[release.app] = release
            return decision.until
        resync = self._clock.now() + (RETRY if soon else RESYNC)
        return min(decision.until or resync, resync)

    async def _look(self, app: App, release: Release, ballots: Ballots, ahead: Ahead | None) -> tuple[View, Ballots]:
        """Read the cluster, and where votes decide also the voters' roles, afresh and side by side."""
        look = (ahead.look() if ahead else None) or self._cluster.look(app, release)
        if release.phase not in {Phase.READY, Phase.PROMOTING} or not ballots.votes:
            return await look, ballots
        return await asyncio.gather(look, self._check(ballots, ahead))

    async def _check(self, ballots: Ballots, ahead: Ahead | None = None) -> Ballots:
        begun, now = ahead.people() if ahead else None, self._clock.now()
        try:
            async with asyncio.timeout(ROLES_WITHIN):
                known: Mapping[int, Person] = {}
                if ahead is not None and begun is not None:
                    known, now = await begun, ahead.began
                # Asked for nobody more, it still tells whether all votes are on record.
                missing = {vote.person.id for vote in ballots.votes} - known.keys()
                people = {**known, **await self._people.people(missing)}
        except (Unreachable, TimeoutError):
            return replace(ballots, trouble=NO_ROLES)
        votes = (replace(vote, person=people[vote.person.id]) for vote in ballots.votes if vote.person.id in people)
        return Ballots(tuple(votes), checked_at=now)

    async def _send(self, release: Release, write: Write, refused: set[tuple[str, str]], decided: datetime) -> None:
        """Every write that was begun gets exactly one outcome in the journal, unless the process dies first.

        Refused once, because somebody was quicker, it is decided anew; `refused` are the objects for which this attempt
        has done so. Refused again, it is a rule of the cluster (an admission policy answers 422 as well).
        """
        began = self._clock.now()
        if began - decided > RECORDED_WITHIN:
            why = "it took too long to record it, so everything is looked at again"
            await self._store.note(release, Event("failed", "", detail={"write": write.why, "error": why}))
            return
        self._sending.add(release.app)
        try:
            await self._cluster.send(write)
        except Stale as error:
            known = self._trouble(release) == str(error)
            again = known or (write.kind, write.name) in refused
            text = f"could not {write.why}: {error}" if again and not known else ""
            await self._store.note(release, Event("refused", text, detail={"write": write.why, "error": str(error)}))
            if again:
                self._refused.add(release.app)
                raise ClusterError(str(error)) from error
            refused.add((write.kind, write.name))
            log.info("write refused, looking again", release=release, write=write.why)
        except ClusterError as error:
            self._refused.add(release.app)
            if isinstance(error, Away):
                await self._store.note(release, Event("unknown", "", detail={"write": write.why, "error": str(error)}))
            else:
                # People read it once, not every few seconds.
                text = "" if self._trouble(release) == str(error) else f"could not {write.why}: {error}"
                detail = {"write": write.why, "error": str(error)}
                await self._store.note(release, Event("failed", text, detail=detail))
            raise
        except (Exception, asyncio.CancelledError) as error:
            await self._store.note(release, Event("unknown", "", detail={"write": write.why, "error": repr(error)}))
            raise
        else:
            took = (self._clock.now() - began) / timedelta(milliseconds=1)
            await self._store.note(
                release, Event("written", f"{write.why} ({took:.0f} ms)", actor=journal.actor(release))
            )
            log.info("written", release=release, write=write.why, ms=round(took))
        finally:
            self._sending.discard(release.app)
        if self._stopping:  # what becomes of it is on record, and nothing more is begun
            raise asyncio.CancelledError

    def _trouble(self, release: Release) -> str:
        """What the last attempt for this release failed of."""
        moment = self.moments.get(release.app)
        return moment.trouble if moment and moment.release.label == release.label else ""

    def _show(
        self,
        app: App,
        release: Release,
        seen: Snapshot | None = None,
        reason: str = "",
        until: datetime | None = None,
        trouble: str = "",
    ) -> None:
        """Keep the moment, and have the card drawn again; what was seen last stays while nothing can be seen."""
        before = self.moments.get(app.name)
        if seen is None and before is not None and before.release.label == release.label:
            seen = before.seen
            until = until or (before.until if before.release.phase is release.phase else None)
        self.moments[app.name] = Moment(release, seen, reason, until, trouble)
        self.redraw(release)
