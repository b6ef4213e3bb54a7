"""Several clusters: what happens to one takes only its own apps out, and they say which cluster it is."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import role
from staff import PATIENCE, News
from targets import Sandbox

import mochi
from bot.clusters.errors import ClusterError
from bot.compose import Parts, assemble
from bot.controller import Moment
from bot.release.record import Phase
from bot.settings import load
from bot.store import migrate
from sandbox.registry import Registry
from world import ANN, DEVELOPER, QC

NAMESPACE, TOKEN = "mochi", "not-a-token"


class Bot:
    """Greenlight's real parts but for Discord, with mochi on eu-1 and dango on eu-2."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._news = parts.controller._drawing._cards = News()

    async def deploy(self, app: str) -> None:
        await self.parts.desk.deploy(self.parts.desk.apps[app], "green", ANN)

    async def sees(self, app: str, holds: Callable[[Moment], object]) -> Moment:
        async with asyncio.timeout(PATIENCE):
            while True:
                self._news.arrived.clear()
                moment = self.parts.controller.moments.get(app)
                if moment is not None and holds(moment):
                    return moment
                await self._news.arrived.wait()

    async def reaches(self, app: str, phase: Phase) -> None:
        await self.sees(app, lambda moment: moment.release.phase is phase)


@pytest.fixture
async def clusters() -> AsyncIterator[dict[str, Sandbox]]:
    async with AsyncExitStack() as stack:
        made = {}
        for name in ("eu-1", "eu-2"):
            made[name] = await stack.enter_async_context(Sandbox(NAMESPACE).running())
            await made[name].apply(mochi.mochi(NAMESPACE, live_image="registry.example.com/mochi:blue"))
        yield made


@pytest.fixture
async def files(clusters: dict[str, Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """One kubeconfig with a context, and a file of its own for the other cluster."""
    registry = Registry()
    await registry.start()
    for cluster in clusters.values():
        cluster.knows(registry.digests)
    app = f"""
namespace = "{NAMESPACE}"
image = "{registry.host}/mochi"
service = "mochiapp"
preview = "mochiapp-preview"
slots = ["mochiapp-blue", "mochiapp-green"]
deployers = [{DEVELOPER}]
approval.require = [{{ roles = [{QC}] }}]
"""
    (tmp_path / "greenlight.toml").write_text(f"""
guild = 1
[registries."{registry.host}"]
insecure = true
[clusters.eu-1]
context = "{(context := "blue-sky")}"
[clusters.eu-2]
kubeconfig = "eu-2"
[apps.mochi]
cluster = "eu-1"
channel = 1
{app}
[apps.dango]
cluster = "eu-2"
channel = 2
{app}""")
    made: dict[str, Any] = {name: await cluster.kubeconfig(role.rules()) for name, cluster in clusters.items()}
    made["eu-1"]["contexts"][0]["name"] = context
    del made["eu-1"]["current-context"]
    (tmp_path / "kubeconfig").write_text(json.dumps(made["eu-1"]))
    (tmp_path / "eu-2").write_text(json.dumps(made["eu-2"]))
    for name, value in {
        "DISCORD_TOKEN": TOKEN,
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
        "GREENLIGHT_CONFIG": str(tmp_path / "greenlight.toml"),
        "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / secrets.token_hex(4)}.db",
    }.items():
        monkeypatch.setenv(name, value)
    yield tmp_path
    await registry.stop()


@pytest.fixture
async def bot(files: Path) -> AsyncIterator[Bot]:
    settings = load()
    await migrate(settings.database_url)
    async with assemble(settings) as parts:
        work = [asyncio.create_task(each) for each in (parts.cluster.follow(), parts.controller.run())]
        yield Bot(parts)
        while running := [*parts.controller._running.values()]:
            await asyncio.wait(running)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)


async def test_each_app_is_released_on_its_own_cluster(bot, clusters):
    """The names are the same on both: a write that went to the wrong one would be taken there."""
    await bot.deploy("mochi")
    await bot.reaches("mochi", Phase.READY)
    running = {
        name: [pod["spec"]["containers"][0]["image"] for pod in cluster.cluster.objects.items("pods", NAMESPACE)]
        for name, cluster in clusters.items()
    }
    assert len(running["eu-1"]) == 4
    assert running["eu-2"] == ["registry.example.com/mochi:blue"] * 2
    assert await bot.parts.desk.newest("dango") is None


async def test_a_cluster_that_is_away_takes_only_its_own_apps_out(bot, clusters):
    await bot.deploy("dango")
    await bot.reaches("dango", Phase.READY)
    await clusters["eu-2"].cluster.stop()
    bot.parts.controller.wake("dango")
    away = await bot.sees("dango", lambda moment: moment.trouble)
    assert away.trouble.startswith("the API server of eu-2 cannot be reached at http://127.0.0.1:")
    assert away.release.phase is Phase.READY
    await bot.deploy("mochi")
    await bot.reaches("mochi", Phase.READY)


async def test_a_cluster_whose_credentials_are_wrong_is_named_and_works_as_soon_as_they_are_right(bot, files):
    """Without a restart: the other cluster's releases go on meanwhile."""
    right = (files / "eu-2").read_text()
    (files / "eu-2").write_text("{}")
    with pytest.raises(ClusterError, match=r"^no credentials for eu-2: \S*/eu-2 cannot be used: "):
        await bot.deploy("dango")
    await bot.deploy("mochi")
    await bot.reaches("mochi", Phase.READY)
    (files / "eu-2").write_text(right)
    await bot.deploy("dango")
    await bot.reaches("dango", Phase.READY)
