"""What a kubelet is told of the bot as its own process, while parts of its world are away."""

import asyncio
import socket

import aiohttp
import pytest
from team import Team

import mochi
from bot.__main__ import greenlight

pytestmark = pytest.mark.parametrize("target", ["sandbox"], indirect=True)


@pytest.fixture
async def team(target, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    async with Team(target, tmp_path, GREENLIGHT_HEALTH=address).at_work() as made:
        await target.apply(mochi.mochi(target.namespace, live_image=made.image("blue")))
        await made.start_bot()
        yield made
        await made.bot.stop()


async def says(team: Team, path: str, status: int) -> str:
    """The answer, once it has that status."""
    url = f"http://{team.environment['GREENLIGHT_HEALTH']}{path}"
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as answer:
                text = await answer.text()
                if answer.status == status:
                    return text


async def test_a_bot_at_work_is_alive_and_ready(team, monkeypatch, capsys):
    assert await says(team, "/readyz", 200) == "[+] Discord\n[+] cluster\n"
    monkeypatch.setenv("GREENLIGHT_HEALTH", team.environment["GREENLIGHT_HEALTH"])
    await asyncio.to_thread(greenlight, ["healthcheck"], standalone_mode=False)
    assert capsys.readouterr().out == "ok\n"


async def test_without_discord_it_is_alive_but_not_ready_until_discord_is_back(team):
    """A restart would cure nothing, and what was asked for is still done."""
    await says(team, "/readyz", 200)
    await team.discord.stop()
    assert "[-] Discord: the gateway is not open" in await says(team, "/readyz", 503)
    assert await says(team, "/livez", 200) == "ok\n"


async def test_without_its_cluster_it_is_alive_but_not_ready(team, target):
    await says(team, "/readyz", 200)
    await target.cluster.stop()
    assert "[-] cluster: the API server of" in await says(team, "/readyz", 503)
    assert await says(team, "/livez", 200) == "ok\n"
