"""One contract, two clusters: tests with a `target` run on the sandbox, and with `-m cluster` on the real thing."""

import asyncio
import json
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "cluster"))  # the real control plane and what goes with it

from backends import BACKENDS, Backend, OnDeployments, OnRollout  # noqa: E402 - the line above is for what follows
from installed import Mochi  # noqa: E402
from rollout import Rollout, harmful  # noqa: E402
from staff import Greenlight, greenlight  # noqa: E402
from targets import SLOW, Real, RealRollouts, RolloutController, Sandbox, SandboxRollouts, Target  # noqa: E402

import versions  # noqa: E402
from bot.clusters.argo.reading import HASH  # noqa: E402
from bot.release.app import App, Timing  # noqa: E402
from bot.store import migrate  # noqa: E402
from built import running, with_rollouts  # noqa: E402
from control_plane import NODE, ControlPlane  # noqa: E402
from pod_maker import PodMaker  # noqa: E402
from rollouts import Rollouts  # noqa: E402
from versions import Version  # noqa: E402
from world import REPOSITORY, TAGS, digest, example  # noqa: E402

REPLICAS = 2


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `-m` naming it, the real control plane is left alone."""
    if "cluster" in str(config.option.markexpr).split():
        return
    real = [item for item in items if item.path.is_relative_to(HERE) and item.get_closest_marker("cluster")]
    items[:] = [item for item in items if item not in real]
    config.hook.pytest_deselected(items=real)


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    yield from running()


@pytest.fixture(scope="session")
def maker(plane: ControlPlane) -> Iterator[PodMaker]:
    maker = PodMaker(plane.url, plane.admin_token, plane.ssl_context, node=NODE, slow_for=SLOW)
    maker.start()
    yield maker
    maker.stop()


@pytest.fixture(scope="session")
def rollouts_controller(plane: ControlPlane) -> Rollouts:
    return with_rollouts(plane)


@pytest.fixture(params=["sandbox", pytest.param("real", marks=pytest.mark.cluster)])
async def target(request: pytest.FixtureRequest) -> AsyncIterator[Target]:
    """A fresh namespace, in which images do what their tags say, whether they are named by tag or by digest."""
    namespace = f"mochi-{secrets.token_hex(4)}"
    if request.param == "sandbox":
        made: Sandbox | Real = Sandbox(namespace)
    else:
        made = Real(namespace, request.getfixturevalue("plane"), request.getfixturevalue("maker"))
    made.knows({digest(tag): tag for tag in TAGS})
    async with made.running():
        yield made


@pytest.fixture
async def sandbox(target: Target) -> Sandbox:
    """For what only the sandbox can be asked: its log of writes, its faults."""
    assert isinstance(target, Sandbox)
    return target


@pytest.fixture
def backend() -> Backend:
    """What the app runs on; a file of tests may have another one."""
    return OnDeployments()


@pytest.fixture
def strategy() -> dict[str, Any]:
    """What a Rollout's blueGreen strategy has of its own; a test may name another."""
    return {}


@pytest.fixture
def spec() -> dict[str, Any]:
    """What a Rollout's spec has of its own; a test may name another."""
    return {}


@pytest.fixture
def argo(request: pytest.FixtureRequest, target: Target) -> Version:
    """The controller at work, by what is to be expected where not all versions are alike."""
    if target.name == "sandbox":
        return versions.SIMULATED
    rollouts: Rollouts = request.getfixturevalue("rollouts_controller")
    return versions.of(rollouts.version)


@pytest.fixture
def on_rollout(argo: Version, strategy: dict[str, Any], spec: dict[str, Any]) -> OnRollout:
    """A backend with its controller at work."""
    return OnRollout(strategy, spec, version=argo)


@pytest.fixture(params=BACKENDS, ids=lambda each: each.name)
def either(request: pytest.FixtureRequest, target: Target) -> Backend:
    """Each backend in turn, with its controller at work: for tests that are the same on all."""
    made: Backend = request.param
    if isinstance(made, OnRollout) and target.name == "real":
        request.getfixturevalue("rollouts_controller")
    return made


@pytest.fixture
def controller(request: pytest.FixtureRequest, target: Target) -> Iterator[RolloutController]:
    """Argo's, which a test may freeze; it is at work again afterwards."""
    made: RolloutController
    if isinstance(target, Sandbox):
        made = SandboxRollouts(target)
    else:
        made = RealRollouts(request.getfixturevalue("rollouts_controller"), target.namespace)
    yield made
    made.thaw()


@pytest.fixture
async def installed(target: Target, backend: Backend) -> Mochi:
    """Mochi: blue live with two pods behind a Service that selects only `app: mochi`, and nothing of green."""
    await target.apply(backend.manifests(target.namespace, f"{REPOSITORY}:blue"))
    made = Mochi(target)
    await made.serving(REPLICAS)
    if isinstance(backend, OnRollout):
        await made.selecting(HASH)
    return made


@pytest.fixture
def rollout(installed: Mochi) -> Rollout:
    return Rollout(installed)


@pytest.fixture
def app(target: Target, backend: Backend) -> App:
    timing = Timing(
        stage_within=timedelta(seconds=30),
        promote_within=timedelta(seconds=15),
        grace=timedelta(seconds=1),
        bake_for=timedelta(minutes=1),
        warm_for=timedelta(minutes=10),
    )
    return replace(backend.policy(example(timing=timing)), namespace=target.namespace)


@pytest.fixture(scope="session")
def empty_memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as the migrations leave it: running them takes longer than most tests do."""
    made = tmp_path_factory.mktemp("memory") / "greenlight.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{made}"))
    return made


Hire = Callable[..., AbstractAsyncContextManager[Greenlight]]


@pytest.fixture
def hire(target: Target, backend: Backend, app: App, tmp_path: Path, empty_memory: Path) -> Hire:
    """Another Greenlight with a memory of its own; `rules` are its rights, by default those of the shipped Role."""

    policy = app

    @asynccontextmanager
    async def hired(rules: list[dict[str, Any]] | None = None, app: App = policy) -> AsyncIterator[Greenlight]:
        place = tmp_path / secrets.token_hex(4)
        place.mkdir()
        memory, kubeconfig = place / "greenlight.db", place / "kubeconfig"
        shutil.copy(empty_memory, memory)
        kubeconfig.write_text(json.dumps(await target.kubeconfig(backend.rules() if rules is None else rules)))
        async with greenlight(app, kubeconfig, memory) as bot:
            yield bot

    return hired


@pytest.fixture
async def bot(hire: Hire, installed: Mochi) -> AsyncIterator[Greenlight]:
    """Greenlight at work, with exactly the shipped rights."""
    async with hire() as made:
        yield made
        assert not harmful(made.door.sent)
