"""Many gates at once, as the bot runs them: what they cost its loop and its memory, and whether each has its turn."""

import asyncio
import contextlib
import gc
import logging
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from benchmarks.stage import PATIENCE, process
from bot.clusters.errors import ClusterError
from bot.compose import RealClock
from bot.gates import GateRunner
from bot.gates.finding import Check
from bot.gates.http import HttpCheck, visiting
from bot.gates.prometheus import PrometheusCheck, Server
from bot.release import gates
from bot.release.app import App, Approval, Comparison, Gate, Http, Native, Prometheus
from bot.release.record import Person, Phase, Release, Version
from bot.release.snapshot import Snapshot, Verdict
from bot.store import Store, connect, migrate

SAMPLED_EVERY = 0.005
"""Seconds between two looks at how late the loop is."""
IDLE_FOR = 5.0
ANN = Person(11, "ann")


@dataclass(frozen=True)
class Measured:
    """Seconds, and bytes."""

    lag: Sequence[float]
    """How late the loop came round while the gates ran, again and again."""
    idle: Sequence[float]
    """The same, before."""
    took: Sequence[float]
    """Of each gate, from when it began until its outcome was on record."""
    size: float
    """Of one gate that runs."""


async def measure(releases: int, each: int) -> Measured:
    """So many releases become ready at once, with so many gates each, which all pass."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    async with process("-m", "benchmarks.candidate") as said:
        async with _lab(said["url"], releases, each) as lab:
            idle = await _lag(asyncio.sleep(IDLE_FOR))
            lag = await _lag(lab.through())
            took = [*lab.took.values()]
            if await lab.passed() < releases * each:
                raise RuntimeError(f"of {releases * each} gates {await lab.passed()} have passed")
        async with _lab(f"{said['url']}/hold", releases, each) as lab:
            size = await _size(lab, said["url"], releases * each)
    return Measured(lag, idle, took, size)


class _Lab:
    """Apps whose releases are ready, and the runner of their gates."""

    def __init__(self, store: Store, checks: Mapping[str, Check], apps: Sequence[App]) -> None:
        self.store = store
        self.runner = GateRunner(store, checks, self._wake, RealClock())
        self.apps = {app.name: app for app in apps}
        self.took: dict[tuple[str, str], float] = {}
        self._woken: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._began: dict[str, float] = {}

    async def begin(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for app in self.apps.values():
                tasks.create_task(self._ready(app))

    async def through(self) -> None:
        await self.begin()
        async with asyncio.timeout(PATIENCE):
            while len(self.took) < sum(len(app.gates) for app in self.apps.values()):
                self._news.clear()
                await self._news.wait()

    async def passed(self) -> int:
        return sum(each.verdict is Verdict.PASSED for one in await self.store.current() for each in one.gates)

    def _wake(self, app: str) -> None:
        """What the controller's next look makes of it, as far as it concerns gates."""
        task = asyncio.create_task(self._look(self.apps[app]))
        self._woken.add(task)
        task.add_done_callback(self._woken.discard)

    async def _ready(self, app: App) -> None:
        release = await self.store.newest(app.name)
        if release is None:
            raise LookupError(app.name)
        begun = gates.begin(release, app.gates, datetime.now(UTC))
        self._began[app.name] = asyncio.get_running_loop().time()
        self.runner.attend(app, await self.store.update(begun))

    async def _look(self, app: App) -> None:
        release = await self.store.newest(app.name)
        if release is None:
            raise LookupError(app.name)
        took = asyncio.get_running_loop().time() - self._began[app.name]
        for each in release.gates:
            if each.verdict is not Verdict.RUNNING:
                self.took.setdefault((app.name, each.gate), took)
        self.runner.attend(app, release)
        self._news.set()


@asynccontextmanager
async def _lab(url: str, releases: int, each: int) -> AsyncIterator[_Lab]:
    with tempfile.TemporaryDirectory(prefix="greenlight-bench-") as folder:
        address = f"sqlite+aiosqlite:///{Path(folder) / 'greenlight.db'}"
        await migrate(address)
        async with contextlib.AsyncExitStack() as stack:
            store = Store(connect(address), lambda: datetime.now(UTC))
            stack.push_async_callback(store.close)
            session = await stack.enter_async_context(visiting())
            checks: dict[str, Check] = {
                "http": HttpCheck(session, _nowhere),
                "prometheus": PrometheusCheck(session, Server(url), _nothing),
            }
            apps = [_app(f"app-{number}", f"{url}/healthz", each) for number in range(releases)]
            for app in apps:
                await store.create(app.name, partial(_release, app))
            lab = _Lab(store, checks, apps)
            stack.push_async_callback(lab.runner.close)
            yield lab


async def _lag(work: Coroutine[Any, Any, None]) -> list[float]:
    """How late the loop came round, again and again until the work was done."""
    loop, late = asyncio.get_running_loop(), list[float]()
    task = asyncio.create_task(work)
    gc.collect()
    while not task.done():
        due = loop.time() + SAMPLED_EVERY
        await asyncio.sleep(SAMPLED_EVERY)
        late.append(loop.time() - due)
    await task
    return late


async def _size(lab: _Lab, url: str, wanted: int) -> float:
    """Bytes of a gate while it waits for its answer."""
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        await lab.begin()
        async with aiohttp.ClientSession(url) as asking, asyncio.timeout(PATIENCE):
            while await _number(asking, "/held") < wanted:  # noqa: ASYNC110 - the server is another process
                await asyncio.sleep(0.1)
            gc.collect()
            running, _ = tracemalloc.get_traced_memory()
            await _number(asking, "/go")
        return (running - before) / wanted
    finally:
        tracemalloc.stop()


async def _number(asking: aiohttp.ClientSession, path: str) -> int:
    async with asking.get(path) as answer:
        return int(await answer.json())


def _app(name: str, url: str, gates_each: int) -> App:
    expected, patient = {"status": "ok"}, timedelta(seconds=PATIENCE)
    checks = (
        Http(url=url, json=expected, repeat=5, within=patient),
        Http(url=url, json=expected, repeat=5, within=patient),
        Http(url=url, json=expected, repeat=5, within=patient),
        Prometheus('sum(rate(errors{release="{label}"}[1m]))', Comparison.BELOW, 0.01),
        Prometheus('sum(rate(slow{release="{label}"}[1m]))', Comparison.BELOW, 0.01),
    )
    return App(
        name=name,
        namespace=name,
        channel=500,
        image="registry.example.com/mochi",
        target=Native("active", "preview", ("blue", "green")),
        deployers=frozenset({1001}),
        approval=Approval(()),
        gates=tuple(Gate(f"gate-{n}", checks[n % len(checks)], timeout=patient) for n in range(gates_each)),
    )


def _release(app: App, number: int) -> Release:
    now = datetime.now(UTC)
    digest = "sha256:" + "a" * 64
    label = f"{app.name}-{number}-k3f9q2"
    return Release(
        app=app.name,
        number=number,
        label=label,
        image=f"{app.image}@{digest}",
        asked="mochi:green",
        digests=frozenset({digest}),
        author=ANN,
        slot="green",
        selector={"app": "mochi", "greenlight.dev/release": label},
        previous=Version(f"{app.image}:blue", "blue", {"app": "mochi", "color": "blue"}),
        created_at=now,
        since=now,
        phase=Phase.READY,
        template="6efa784d81b1db20",
        ready_at=now,
    )


async def _nowhere(_: App) -> str:
    raise ClusterError("there is no cluster")


async def _nothing(_: App, __: Release) -> Snapshot:
    raise ClusterError("there is no cluster")
