"""Greenlight without Discord, in this process: the real parts against a target, and people who ask it for things."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.adopting import Adopting
from bot.clusters.api import Api, Json, Kind, KubeApi, Listing, Patch, Patience
from bot.clusters.both import BothBackends
from bot.controller import Controller, Moment
from bot.desk import Desk
from bot.release.app import App
from bot.release.record import Person, Phase, Release
from bot.release.verbs import Verb
from bot.store import Event, Store, connect
from world import ANN, BO, GUEST, KIM, LEO, SAM, Crowd, Guild, Shelf

PATIENCE = 20.0
"""Seconds until a phase that does not come is called missing."""


class Clock:
    """The real one, which a test may put forward."""

    def __init__(self) -> None:
        self._skipped = timedelta()
        self._bell: asyncio.Event | None = None

    def now(self) -> datetime:
        return datetime.now(UTC) + self._skipped

    async def wait(self, bell: asyncio.Event, until: datetime | None) -> None:
        self._bell = bell
        seconds = None if until is None else max(0.0, (until - self.now()).total_seconds())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await bell.wait()

    def skip(self, **time: float) -> None:
        self._skipped += timedelta(**time)
        if self._bell is not None:
            self._bell.set()


class Door:
    """The way to the cluster, at which a test may do something before a write goes through."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self.before: Callable[[Kind, str, Patch], Awaitable[None]] | None = None
        self.instead: dict[str, Callable[[], Awaitable[Json]]] = {}
        """By kind, what is answered when one is read by name."""
        self.sent: list[tuple[str, str, Patch]] = []
        """Kind, name and patch of every write that the API server took."""
        self.read: list[str] = []
        """The kinds of all reads, but for watches."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        self.read.append(kind.name)
        instead = self.instead.get(kind.name)
        return await (instead() if instead else self._api.get(kind, namespace, name))

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> Listing:
        self.read.append(kind.name)
        return await self._api.list(kind, namespace, labels=labels)

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Patch) -> Json:
        if self.before is not None:
            await self.before(kind, name, patch)
        written = await self._api.patch(kind, namespace, name, patch)
        self.sent.append((kind.name, name, patch))
        return written

    def watch(self, kind: Kind, namespace: str, resource_version: str) -> AsyncIterator[Json]:
        return self._api.watch(kind, namespace, resource_version)


class Held:
    """Keeps a bot's write to one object back, from before its request is sent until it is let go."""

    def __init__(self, bot: "Greenlight", kind: Kind, name: str) -> None:
        self._what = kind, name
        self.decided, self.let_go = asyncio.Event(), asyncio.Event()
        bot.door.before = self._before

    async def _before(self, kind: Kind, name: str, patch: Patch) -> None:
        if (kind, name) == self._what:
            self.decided.set()
            await self.let_go.wait()

    async def until_decided(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.decided.wait()


class News:
    """`Cards`: what would be drawn anew wakes whoever waits for it."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()

    def changed(self, release: Release) -> None:
        self.arrived.set()


class Greenlight:
    """Deploys, votes and rolls back like people do, and waits until it shows."""

    def __init__(self, app: App, api: KubeApi, store: Store, store_id: str, clock: Clock) -> None:
        self.app = app
        self.store = store
        self.clock = clock
        self.door = Door(api)
        self.crowd = Crowd(ANN, KIM, LEO, SAM, BO, GUEST)
        self._news = News()
        apps = {app.name: app}
        door: Api = self.door
        self.cluster = BothBackends(door, [app], clock.now, self._changed, store_id)
        adopting = Adopting(store, self.cluster, Guild(self.crowd), {LEO.name: LEO.id}, clock)
        self.controller = Controller(apps, store, self.cluster, self.crowd, self._news, clock, adopting)
        self.desk = Desk(apps, store, self.cluster, Shelf(), self.controller, clock)
        self._work: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def working(self) -> AsyncIterator["Greenlight"]:
        self._work = [asyncio.create_task(self.cluster.follow()), asyncio.create_task(self.controller.run())]
        try:
            yield self
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    # A query that is cancelled loses its connection, and pytest reports that.
                    while running := [*self.controller._running.values()]:
                        await asyncio.wait(running)
            for task in self._work:
                task.cancel()
            await asyncio.gather(*self._work, return_exceptions=True)

    # What people ask

    async def deploy(self, image: str = "green", author: Person = ANN, *, replace: bool = False) -> Release:
        return await self.desk.deploy(self.app, image, author, replace=replace)

    async def approve(self, *people: Person) -> None:
        release = await self.newest()
        for person in people or (KIM, LEO):
            refusal = await self.desk.vote(release, person, approve=True)
            assert refusal is None, refusal

    async def ask(self, verb: Verb, actor: Person, reason: str = "") -> Release:
        return await self.desk.ask(self.app.name, (await self.newest()).number, verb, actor, reason)

    async def release(self, image: str = "green", *, replace: bool = False) -> Release:
        """All the way until it is live."""
        await self.deploy(image, replace=replace)
        await self.reaches(Phase.READY)
        await self.approve()
        return await self.reaches(Phase.BAKING)

    async def stays_live(self) -> Moment:
        """The watch after the switch is over, and it is known until when the version before it is warm."""
        self.clock.skip(seconds=self.app.timing.bake_for.total_seconds() + 1)
        await self.reaches(Phase.DONE)
        return await self.sees(lambda moment: moment.until)

    # What comes of it

    async def reaches(self, phase: Phase, *, retired: bool | None = None) -> Release:
        """The newest release, once it is in that phase; fails as soon as it has ended in another."""

        def there(moment: Moment) -> bool:
            release = moment.release
            lost = release.phase in {Phase.REVERTED, Phase.ABANDONED} and release.phase is not phase
            assert not lost, f"{release.title} ended as {release.phase}: {release.reason}"
            return release.phase is phase and retired in (None, release.retired)

        return (await self.sees(there)).release

    async def sees(self, holds: Callable[[Moment], object], *, within: float = PATIENCE) -> Moment:
        """What the controller saw of the newest release, at the first moment at which `holds` is true of it."""
        newest = await self.newest()
        try:
            async with asyncio.timeout(within):
                while True:
                    self._news.arrived.clear()
                    moment = self.controller.moments.get(self.app.name)
                    if moment is not None and moment.release.label == newest.label and holds(moment):
                        return moment
                    await self._heard()
        except TimeoutError:
            seen = self.controller.moments.get(self.app.name)
            story = "\n".join(f"{event.kind}: {event.text} {event.detail or ''}" for event in await self.events())
            raise AssertionError(f"It did not come to it. Last seen: {seen}\n{story}") from None

    async def has(self, number: int) -> Release:
        """The newest release, once it is that one."""
        async with asyncio.timeout(PATIENCE):
            while (found := await self.store.newest(self.app.name)) is None or found.number < number:
                self._news.arrived.clear()
                await self._heard()
        assert found.number == number
        return found

    async def newest(self) -> Release:
        release = await self.store.newest(self.app.name)
        assert release is not None
        return release

    async def events(self, kind: str = "") -> Sequence[Event]:
        return [event for event in await self.store.events(await self.newest()) if kind in ("", event.kind)]

    def _changed(self, namespace: str) -> None:
        self.controller.changed(self.app.cluster, namespace)

    async def _heard(self) -> None:
        news = asyncio.ensure_future(self._news.arrived.wait())
        try:
            done, _ = await asyncio.wait({news, *self._work}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {news}:
                task.result()  # whatever has ended the bot's own work
        finally:
            news.cancel()


@asynccontextmanager
async def greenlight(
    app: App, kubeconfig: Path, database: Path, patience: Patience | None = None
) -> AsyncIterator[Greenlight]:
    """At work for `app`, with the credentials of the kubeconfig and a SQLite file, already migrated, as its memory."""
    url, clock = f"sqlite+aiosqlite:///{database}", Clock()
    store = Store(connect(url), clock.now)
    api = await KubeApi.connect(kubeconfig=str(kubeconfig), patience=patience)
    try:
        async with Greenlight(app, api, store, await store.identity(), clock).working() as bot:
            yield bot
    finally:
        await api.close()
        await store.close()
