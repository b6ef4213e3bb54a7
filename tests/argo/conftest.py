"""The app on the real Argo Rollouts controller; tests that need it have the marker `cluster`."""

import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "cluster"))  # the real control plane and what goes with it

from deployed import Mochiapp, deployed  # noqa: E402 - the line above is for what follows
from hold import Notifications  # noqa: E402
from mochiapp import BLUE, rollout  # noqa: E402

import versions  # noqa: E402
from built import running, with_rollouts  # noqa: E402
from control_plane import NODE, ControlPlane  # noqa: E402
from pod_maker import PodMaker  # noqa: E402
from rollouts import Rollouts  # noqa: E402
from versions import Version  # noqa: E402

Json = dict[str, Any]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `-m` naming it, the real control plane is left alone."""
    if "cluster" in str(config.option.markexpr).split():
        return
    real = [item for item in items if item.path.is_relative_to(HERE) and item.get_closest_marker("cluster")]
    items[:] = [item for item in items if item not in real]
    config.hook.pytest_deselected(items=real)


@pytest.fixture(scope="session")
def argo_plane() -> Iterator[ControlPlane]:
    yield from running()


@pytest.fixture(scope="session")
def argo_pods(argo_plane: ControlPlane) -> Iterator[PodMaker]:
    maker = PodMaker(argo_plane.url, argo_plane.admin_token, argo_plane.ssl_context, node=NODE)
    maker.start()
    yield maker
    maker.stop()


@pytest.fixture(scope="session")
def installed_rollouts(argo_plane: ControlPlane, argo_pods: PodMaker) -> Rollouts:
    return with_rollouts(argo_plane)


@pytest.fixture
def rollouts(installed_rollouts: Rollouts) -> Iterator[Rollouts]:
    """The controller, at work; a test may freeze it, or kill it and start it again."""
    yield installed_rollouts
    installed_rollouts.thaw()


@pytest.fixture(scope="session")
def argo(installed_rollouts: Rollouts) -> Version:
    """What is to be expected of this version, where not all are alike."""
    return versions.of(installed_rollouts.version)


@pytest.fixture(scope="session")
def notifications(installed_rollouts: Rollouts) -> Notifications:
    """By which a test holds the controller in the middle of a pass."""
    return Notifications(installed_rollouts.plane)


Install = Callable[..., Awaitable[Mochiapp]]


@pytest.fixture
async def install(argo_pods: PodMaker, rollouts: Rollouts) -> AsyncIterator[Install]:
    """The app in a fresh namespace, live on blue unless `live` is false; the rest goes to the manifest."""
    async with AsyncExitStack() as stack:

        async def installed(*, live: bool = True, templates: tuple[Json, ...] = (), **manifest: Any) -> Mochiapp:
            namespace = f"mochi-{secrets.token_hex(4)}"
            made = deployed(rollouts, namespace, rollout(**manifest), templates)
            app = await stack.enter_async_context(made)
            if live:
                await app.live_on(BLUE)
            return app

        yield installed
    argo_pods.check()
