"""What the tests of the invariants share: a process that dies at a chosen effect, an onlooker who sees every change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from structlog.testing import capture_logs

from bot.clusters.cluster import LABEL
from bot.clusters.patches import pointer
from bot.clusters.reading import labels, matches, selector
from bot.release.errors import Refused
from bot.release.record import Person, Phase, Release
from bot.release.verbs import Verb
from world import NAMESPACE, SAM, Sent, World

ACTIVE, PREVIEW, BLUE, GREEN = "mochiapp", "mochiapp-preview", "mochiapp-blue", "mochiapp-green"
CLOSED = {Phase.DONE, Phase.REVERTED, Phase.ABANDONED}


class Crash(BaseException):
    """The process is gone: nothing of the bot may catch this."""


class Tripwire:
    """Counts the bot's effects: its writes to the store and to the cluster. After number `at` of them the process dies.

    To die after one is to die before the next: store and cluster are all that outlives a process. After
    `World.restart` it has to be armed again; it goes off once.
    """

    def __init__(self, world: World, at: int | None = None) -> None:
        self.points: list[str] = []
        self.armed = True
        self._world = world
        self._at = at
        self.arm()

    @property
    def sprung(self) -> bool:
        return self._at is not None and len(self.points) > self._at

    def arm(self) -> None:
        self._world.api.after = lambda sent: self._pass(f"{sent.kind}/{sent.name}")
        store: Any = self._world.store
        write = store._write

        async def tripping(work: Any) -> Any:
            result = await write(work)
            self._pass("the store")
            return result

        store._write = tripping

    def _pass(self, point: str) -> None:
        if not self.armed:
            return
        self.points.append(point)
        if self._at is not None and len(self.points) == self._at + 1:
            raise Crash(point)


class Onlooker:
    """Looks at the cluster after every single change of any object: whatever the active Service could route to, by an
    image's tag, has to be in `allowed`; what was not is in `strangers`."""

    def __init__(self, world: World, *allowed: str) -> None:
        self.allowed = set(allowed)
        self.strangers: list[tuple[str, set[str]]] = []
        self.looks = 0
        self._tags = {value: tag for tag, value in world.shelf.tags.items()}
        self._wanted = selector(world.service)
        self._pods = {pod["metadata"]["name"]: pod for pod in world.cluster.objects.items("pods", NAMESPACE)}
        world.cluster.objects.subscribe(self._look)

    def _look(self, change: Any) -> None:
        name = change.after["metadata"]["name"]
        if (change.plural, name) == ("services", ACTIVE):
            self._wanted = selector(change.after)
        elif change.plural == "pods":
            self._pods.pop(name, None)
            self._pods |= {} if change.gone else {name: change.after}
        else:
            return
        self.looks += 1
        behind = [pod for pod in self._pods.values() if matches(self._wanted, labels(pod))]
        images = [pod["spec"]["containers"][0]["image"] for pod in behind]
        served = {self._tags.get(image.partition("@")[2], image.rpartition(":")[2]) for image in images}
        if not served <= self.allowed:
            self.strangers.append((change.plural, served))


async def persist(world: World, trip: Tripwire, step: Callable[[], Awaitable[Any]]) -> None:
    """A step of people who, when the bot died over it, wait for its return and try again."""
    try:
        await step()
    except Crash:
        await world.restart()
        trip.arm()
        await world.run()
        await step()


async def deploy_once(world: World) -> None:
    if await world.store.newest(world.app.name) is None:
        await world.deploy()


async def approve_once(world: World, *people: Person) -> None:
    """Everybody whose vote is missing votes, as long as there is something to vote on."""
    for person in people:
        release = await world.newest()
        if person.id not in {vote.person.id for vote in await world.store.votes(release)}:
            await world.desk.vote(release, person, approve=True)
    await world.run()


async def roll_back_once(world: World) -> None:
    try:
        await world.desk.ask(world.app.name, (await world.newest()).number, Verb.ROLL_BACK, SAM, "too slow")
    except Refused:
        assert await world.phase() in {Phase.REVERTING, Phase.REVERTED}
    await world.run()


def switches_to(world: World, release: Release) -> list[Sent]:
    """The writes that gave the active Service's traffic to the release."""
    given = {"op": "add", "path": pointer("spec", "selector", LABEL), "value": release.label}
    return [sent for sent in world.switches() if given in sent.patch]


def agree(world: World, release: Release) -> bool:
    """Whether the record and the cluster say the same of a release that has ended."""
    present, previous = selector(world.service), release.previous
    match release.phase:
        case Phase.DONE:
            return present == release.selector
        case Phase.REVERTED:
            return present in (previous.selector, previous.before)
        case _:
            return False


async def cached(world: World) -> None:
    """Fill the watch cache with what is so now; it then stays as it is, like one that hears nothing any more."""
    for watch in world.backend._watches.all:
        await watch._list()


def by_hand(world: World, plural: str, name: str, change: dict[str, Any]) -> None:
    """Somebody with kubectl: a merge patch."""
    world.cluster.objects.patch(plural, NAMESPACE, name, change, manager="kubectl")


def scaled_by_hand(world: World, slot: str, count: int) -> None:
    by_hand(world, "deployments", slot, {"spec": {"replicas": count}})
    world.cluster.settle()


def replicas(world: World, slot: str) -> int:
    count: int = world.cluster.objects.get("deployments", NAMESPACE, slot)["spec"]["replicas"]
    return count


@asynccontextmanager
async def running(world: World) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The controller's own loop. Call what is handed out to wake the app and wait until the loop has nothing to do."""
    controller = world.controller
    task = asyncio.create_task(controller.run())

    async def rest() -> None:
        world.cluster.settle()
        controller.wake(world.app.name)
        async with asyncio.timeout(30):
            while controller._woken or controller._running:
                await asyncio.sleep(0)
                if controller._running:
                    await asyncio.wait(list(controller._running.values()))
                assert not task.done(), task

    with capture_logs():  # tracebacks with all locals take seconds to print
        try:
            yield rest
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
