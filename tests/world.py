"""A whole Greenlight in one process: the real controller, store and backend, over the sandbox's cluster without HTTP.

Time is virtual and stands still until `advance`. Writes that reach the cluster are kept in `writes`, in order, each
with how many ready pods the active Service would reach after it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bot.adopting import Adopting
from bot.clusters.api import ENDPOINT_SLICE, POD, SERVICE, Json, Kind, Listing, Patch
from bot.clusters.argo import ArgoCluster
from bot.clusters.errors import Away, ClusterError, Forbidden, Gone, Missing, Stale
from bot.clusters.native import NativeCluster
from bot.clusters.reading import labels, matches, pods_behind, selector
from bot.controller import Controller
from bot.desk import Desk
from bot.opening import Opening
from bot.ports import Attending, Unreachable
from bot.registry import ImageNotFound, Resolved
from bot.release.app import App, Approval, Argo, Native, Requirement, Timing
from bot.release.image import Image
from bot.release.record import Person, Phase, Release
from bot.store import Store, connect, migrate
from mochi import mochi
from mochi_rollout import mochi_rollout
from sandbox.cluster import ApiError, Cluster, PatchType
from sandbox.cluster.behaviour import INSTANT, Behaviour

NAMESPACE = "mochi"
REPOSITORY = "registry.example.com/mochi"
DEVELOPER, QC, LEAD, ON_CALL = 1001, 1002, 1003, 1004
ANN = Person(11, "ann", frozenset({DEVELOPER}))
KIM = Person(12, "kim", frozenset({QC}))
LEO = Person(13, "leo", frozenset({LEAD}))
SAM = Person(14, "sam", frozenset({ON_CALL}))
BO = Person(15, "bo", frozenset({DEVELOPER, QC, LEAD}))
GUEST = Person(16, "guest")
TAGS = ("blue", "green", "purple", "crash", "slow", "nopull", "flaky", "never")


def digest(tag: str) -> str:
    return "sha256:" + tag.encode().hex().ljust(64, "0")


def example(**changes: Any) -> App:
    """The app of most tests: QC and Lead approve, developers deploy, on-call people roll back."""
    app = App(
        name="mochi",
        namespace=NAMESPACE,
        channel=500,
        image=REPOSITORY,
        target=Native("mochiapp", "mochiapp-preview", ("mochiapp-blue", "mochiapp-green")),
        deployers=frozenset({DEVELOPER}),
        rollbackers=frozenset({ON_CALL}),
        approval=Approval((Requirement(frozenset({QC})), Requirement(frozenset({LEAD})))),
        timing=Timing(),
    )
    return replace(app, **changes)


@dataclass(frozen=True)
class Sent:
    """A write as the cluster took it."""

    kind: str
    name: str
    patch: Patch
    ready_before: int
    """Pods that the active Service would have reached after this write, ready at that moment."""


@dataclass
class InProcessApi:
    """`bot.clusters.api.Api` over the sandbox's objects. `fault` is called before every call and may raise."""

    cluster: Cluster
    writes: list[Sent] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    fault: Any = None
    after: Any = None
    """Called after every write, with it: to kill, or to lose the answer."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        self._note(f"get {kind.name}/{name}")
        with _named():
            return self.cluster.objects.get(kind.plural, namespace, name)

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> Listing:
        self._note(f"list {kind.name}")
        with _named():
            found = self.cluster.objects.items(kind.plural, namespace, labels)
        return Listing(found, str(self.cluster.objects.version))

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Patch) -> Json:
        self._note(f"patch {kind.name}/{name}")
        with _named():
            written = self.cluster.objects.patch(
                kind.plural,
                namespace,
                name,
                [dict(op) for op in patch],
                PatchType.JSON,
                subresource=kind.subresource,
                manager="greenlight",
            )
        sent = Sent(kind.name, name, patch, self._reached(namespace, written) if kind == SERVICE else -1)
        self.writes.append(sent)
        if self.after:
            self.after(sent)
        return written

    async def watch(self, kind: Kind, namespace: str, resource_version: str) -> AsyncIterator[Json]:
        raise Gone("there is no watch in process")
        yield {}

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if self.fault:
            self.fault(call)

    def _reached(self, namespace: str, service: Json) -> int:
        pods = self.cluster.objects.items(POD.plural, namespace)
        behind = [pod for pod in pods if matches(selector(service), labels(pod))]
        conditions = (condition for pod in behind for condition in pod["status"].get("conditions", []))
        return sum(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


@contextmanager
def _named() -> Iterator[None]:
    kinds: dict[int, type[ClusterError]] = {403: Forbidden, 404: Missing, 409: Stale, 422: Stale, 410: Gone}
    try:
        yield
    except ApiError as error:
        raise kinds.get(error.status, Away)(error.message) from error


class Clock:
    """Virtual: a wait ends when the bell is rung; `World.advance` rings it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def now(self) -> datetime:
        return self._cluster.now()

    async def wait(self, bell: asyncio.Event, until: datetime | None) -> None:
        await bell.wait()


class Crowd:
    """Discord's members: `roles` says who has which now; whoever is not in it has left."""

    def __init__(self, *people: Person) -> None:
        self.members = {person.id: person for person in people}
        self.away = False
        self.asked = 0

    async def people(self, ids: Collection[int]) -> Mapping[int, Person]:
        self.asked += 1
        if self.away:
            raise Unreachable
        return {key: self.members[key] for key in ids if key in self.members}


class Guild:
    """Its members, who can be read whether or not votes can be counted."""

    def __init__(self, people: Any) -> None:
        self._people = people

    async def members(self, ids: Collection[int]) -> Mapping[int, Person]:
        found: Mapping[int, Person] = await self._people.people(ids)
        return found


class Drawn:
    """Which cards were to be drawn again."""

    def __init__(self) -> None:
        self.releases: list[Release] = []

    def changed(self, release: Release) -> None:
        self.releases.append(release)


class Shelf:
    """The registry: tags with their digests; `away` makes it fail, `mirror` then says what a tag means."""

    def __init__(self) -> None:
        self.tags = {tag: digest(tag) for tag in TAGS}
        self.away: Exception | None = None
        self.mirror = ""

    async def resolve(self, image: Image) -> Resolved:
        if self.away:
            raise self.away
        if image.digest:
            return Resolved(image.digest)
        if image.tag not in self.tags:
            raise ImageNotFound(f"`{image.short}` is not in {image.registry}.")
        return Resolved(self.tags[image.tag], mirror=self.mirror)

    async def suggest(self, image: Image, typed: str) -> list[str]:
        return [tag for tag in self.tags if typed in tag][:25]


class World:
    migrated: bytes = b""
    """A database just migrated: made once, since migrating takes longer than most tests."""

    def __init__(self, database: Path, app: App, behaviours: Mapping[str, Behaviour] = INSTANT) -> None:
        self.app = app
        self.database = database
        self.shelf = Shelf()
        tags = {value: tag for tag, value in self.shelf.tags.items()}
        self.cluster = Cluster(behaviours=behaviours, digests=tags, seed=1)
        self.api = InProcessApi(self.cluster)
        self.clock = Clock(self.cluster)
        self.crowd = Crowd(ANN, KIM, LEO, SAM, BO, GUEST)
        self.cards: Any = Drawn()
        self.people: Any = self.crowd
        self.named = {"leo": LEO.id}
        """The people of the configuration, by the names that pod templates may call them."""
        self.store_id = "0a1b2c3d4e5f6071"
        self.runners: Callable[[], Sequence[Attending]] = tuple
        """Makes what runs the checks of a bot, once its store is there."""

    @property
    def url(self) -> str:
        return f"sqlite+aiosqlite:///{self.database}"

    def build(self) -> None:
        """The bot's parts, new: what a restart makes."""
        apps = {self.app.name: self.app}
        self.store = Store(connect(self.url), self.clock.now)
        made = ArgoCluster if isinstance(self.app.target, Argo) else NativeCluster
        self.backend: Any = made(self.api, apps.values(), self.clock.now, lambda _: None, self.store_id)
        tokens = iter(f"t{number}" for number in range(10_000))
        opening = Opening(self.store, lambda: next(tokens))
        guild = Guild(self.people) if isinstance(self.people, Crowd) else self.people
        self.adopting = Adopting(self.store, self.backend, guild, self.named, self.clock, opening)
        parts = (apps, self.store, self.backend, self.people, self.cards, self.clock, self.adopting)
        self.controller = Controller(*parts, self.runners())
        self.desk = Desk(apps, self.store, self.backend, self.shelf, self.controller, self.clock, lambda: next(tokens))

    async def start(self, **objects: Any) -> None:
        if not World.migrated:
            await migrate(self.url)
            World.migrated = self.database.read_bytes()
        self.database.write_bytes(World.migrated)
        if isinstance(self.app.target, Argo):
            self.cluster.apply(mochi_rollout(NAMESPACE, **{"image": f"{REPOSITORY}:blue"} | objects))
        else:
            self.cluster.apply(mochi(NAMESPACE, **{"live_image": f"{REPOSITORY}:blue"} | objects))
        self.cluster.settle()
        self.build()

    async def restart(self) -> None:
        await self.store.close()
        self.build()

    async def run(self, turns: int = 12) -> Release | None:
        """Let everybody work until nothing changes any more; the newest release."""
        for _ in range(turns):
            before = (self.cluster.objects.version, await self.store.newest(self.app.name))
            self.cluster.settle()
            await self.controller.attempt(self.app)
            if before == (self.cluster.objects.version, await self.store.newest(self.app.name)):
                break
        return await self.store.newest(self.app.name)

    async def advance(self, **time: float) -> Release | None:
        self.cluster.advance(timedelta(**time).total_seconds())
        return await self.run()

    # Shorthands for what people do

    async def deploy(self, image: str = "green", author: Person = ANN, *, replace: bool = False) -> Release:
        release = await self.desk.deploy(self.app, image, author, replace=replace)
        return await self.run() or release

    async def approve(self, *people: Person) -> Release:
        release = await self.newest()
        for person in people:
            await self.desk.vote(release, person, True)
        return await self.run() or release

    async def release_live(self, image: str = "green") -> Release:
        await self.deploy(image)
        return await self.approve(KIM, LEO)

    async def newest(self) -> Release:
        release = await self.store.newest(self.app.name)
        assert release is not None
        return release

    async def phase(self) -> Phase:
        return (await self.newest()).phase

    # What is true in the cluster

    @property
    def service(self) -> Json:
        return self.cluster.objects.get("services", NAMESPACE, "mochiapp")

    def serving(self) -> set[str]:
        """The images behind the active Service's ready endpoints, by tag."""
        slices = self.cluster.objects.items(ENDPOINT_SLICE.plural, NAMESPACE)
        pods = {pod["metadata"]["name"]: pod for pod in self.cluster.objects.items(POD.plural, NAMESPACE)}
        images = {pods[pod]["spec"]["containers"][0]["image"] for pod in pods_behind(slices, "mochiapp")}
        tags = {value: tag for tag, value in self.shelf.tags.items()}
        return {tags.get(image.partition("@")[2], image.rpartition(":")[2]) for image in images}

    def switches(self) -> list[Sent]:
        return [sent for sent in self.api.writes if sent.name == "mochiapp"]
