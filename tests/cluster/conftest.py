"""The tier on the real control plane: it is collected only when it is asked for, by path or by `-m cluster`."""

import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # mochi.py stands there, and pytest adds only the directories it collects from

from built import running  # noqa: E402 - the line above is for these
from control_plane import NODE, ControlPlane  # noqa: E402
from pod_maker import PodMaker  # noqa: E402


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return None if _asked_for(config) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cluster)


def _asked_for(config: pytest.Config) -> bool:
    words = str(config.option.markexpr).split()
    by_mark = "cluster" in words and "not" not in words
    paths = (Path(argument.partition("::")[0]).absolute() for argument in config.args)
    return by_mark or any(path.resolve().is_relative_to(HERE) for path in paths)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """One for the whole session; what it costs stands in README.md."""
    yield from running()


@pytest.fixture(scope="session")
def pod_maker(control_plane: ControlPlane) -> Iterator[PodMaker]:
    """Makes every pod of the control plane; tests may add to its `digests`."""
    maker = PodMaker(control_plane.url, control_plane.admin_token, control_plane.ssl_context, node=NODE)
    maker.start()
    yield maker
    maker.stop()


@pytest.fixture
def namespace(control_plane: ControlPlane, pod_maker: PodMaker) -> Iterator[str]:
    """A fresh one, in which pods come to life; deleted afterwards without waiting until it is empty."""
    name = f"mochi-{secrets.token_hex(4)}"
    control_plane.request(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    )
    yield name
    control_plane.request("DELETE", f"/api/v1/namespaces/{name}")
    pod_maker.check()


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[aiohttp.ClientSession]:
    """The API as its admin sees it; paths are relative to the server."""
    connector = aiohttp.TCPConnector(ssl=control_plane.ssl_context)
    headers = {"Authorization": f"Bearer {control_plane.admin_token}"}
    async with aiohttp.ClientSession(control_plane.url, headers=headers, connector=connector) as session:
        yield session
