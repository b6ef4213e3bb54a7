"""Discord is away altogether: what was decided is done, what needs Discord waits, and all is told when it is back."""

import asyncio
from types import SimpleNamespace

import discord
import pytest
import yarl
from discord.gateway import DiscordWebSocket
from pydantic import SecretStr
from team import APPROVE, WORLD

from bot import compose
from bot.client import Greenlight
from bot.release.app import Approval, Requirement
from bot.release.record import Person
from bot.store import StoreError
from sandbox.discord import DiscordServer
from world import World, example

ATTEMPTS = 3
"""An hour is no different: each attempt fails like the one before, and the pauses between them grow to about a minute
(`tests/discord/test_refused.py`)."""


async def test_while_discord_is_away_traffic_goes_back_by_itself_and_the_card_tells_it_afterwards(night):
    """I10, I15: the pods of the new version go while nobody can be told."""
    await night.start_bot()
    await night.live()
    night.discord.go_down()
    await night.mochi.scale("mochiapp-green", 0)
    assert await night.mochi.serving(2, instead_of=night.green) == night.blue
    await night.sees(lambda: night.discord.turned_away >= ATTEMPTS, "attempts to come back")
    night.discord.gateway.forget_sessions()  # Discord keeps none for that long
    night.discord.come_back()
    await night.card("🟠", "was rolled back")
    await night.says("back as it was")
    night.orderly(moves=2)


async def test_a_bot_that_starts_without_discord_comes_when_it_is_back(night):
    """It does what it can until then: here, to go on trying."""
    night.discord.go_down()
    starting = asyncio.create_task(night.start_bot())
    await night.discord.until(lambda: night.discord.turned_away >= 3, within=60, what="attempts to log in")
    night.discord.come_back()
    await starting
    await night.live()
    night.orderly(moves=1)


async def test_a_bot_whose_token_is_wrong_from_the_start_ends_with_a_sentence(night):
    night.discord.faults.add(status=401, times=None)
    await night.launch_bot()
    assert "Discord does not accept the token" in await night.ends()
    assert len(night.discord.faults.met) == 1


@pytest.mark.parametrize("body", [{"status": 403, "html": True}, {"status": 200, "html": True}], ids=["403", "200"])
async def test_a_page_that_stands_in_for_discord_at_the_start_is_waited_out(night, body):
    """A firewall's or a proxy's: it says nothing about the bot's rights."""
    night.discord.faults.add(times=2, **body)
    await night.start_bot()
    await night.deploy()


@pytest.fixture
async def here(tmp_path, monkeypatch):
    """The bot in this process, so that it takes a gateway for silent after two seconds and not after a minute."""
    server = DiscordServer(WORLD)
    server.gateway.heartbeat_ms = 300
    await server.start()
    monkeypatch.setattr(discord.http.Route, "BASE", server.api_url)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(server.gateway_url))
    client = Greenlight(server.guild_id)
    client._connection.heartbeat_timeout = 2.0
    qc, lead = (Requirement(frozenset({server.role_id(name)})) for name in ("QC", "Lead"))
    deployers = frozenset({server.role_id("Developer")})
    app = example(channel=server.channel_id("mochi"), deployers=deployers, approval=Approval((qc, lead)))
    world = World(tmp_path / "greenlight.db", app)
    world.cards, world.people = client.cards, client.people
    await world.start()
    client.attend(world.desk, world.controller.wake)
    running = asyncio.create_task(client.start(server.token))
    await server.bot_ready("deploy")
    yield server, world
    await client.close()
    events = [task for task in asyncio.all_tasks() if task.get_name().startswith("discord.py")]
    await asyncio.gather(running, *events, return_exceptions=True)
    await client.cards.idle()
    await world.store.close()
    await server.stop()


async def test_a_login_that_the_database_broke_off_leaves_no_session_behind(monkeypatch):
    """Votes could not be read while the bot came up: it logs in again until they can, for as long as that takes."""
    server = DiscordServer(WORLD)
    await server.start()
    monkeypatch.setattr(discord.http.Route, "BASE", server.api_url)
    client = Greenlight(server.guild_id)
    sessions = []

    async def reads() -> None:
        sessions.append(client.http._HTTPClient__session)
        if len(sessions) < 3:
            raise StoreError("The database is locked.")

    async def connects() -> None:
        """It is the login that is at stake."""

    monkeypatch.setattr(client, "setup_hook", reads)
    monkeypatch.setattr(client, "connect", connects)
    settings = SimpleNamespace(token=SecretStr(server.token), guild=server.guild_id)
    await compose._stay_on_discord(client, settings)
    assert [session.closed for session in sessions] == [True, True, False]
    await client.close()
    await server.stop()


async def voters(world, *names):
    return {vote.person.name for vote in await world.store.votes(await world.newest())} == set(names)


async def soon(holds):
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110 - another connection's database has no event to wait for
            await asyncio.sleep(0.02)


async def test_a_gateway_that_only_seems_to_be_there_is_given_up_and_what_it_kept_back_is_heard(here):
    """A half-open connection: no answer to a heartbeat, no event, and no end of it either."""
    server, world = here
    ann = Person(server.people["ann"].id, "ann", world.app.deployers)
    await world.deploy(author=ann)
    card = await server.until(
        lambda: next((each for each in server.messages(server.channel_id("mochi")) if APPROVE in each.reactions), None),
        what="a card to vote on",
    )
    listed = ("GET", f"/channels/{card.channel_id}/messages/{card.id}")
    await server.until(lambda: listed in server.rest.calls, what="its reactions were listed")
    await server.people["leo"].react(card, APPROVE)
    await soon(lambda: voters(world, "leo"))
    server.gateway.hush()
    await server.people["kim"].react(card, APPROVE)

    await soon(lambda: voters(world, "leo", "kim"))
    assert (server.gateway.opened, server.gateway.resumed, server.gateway.identified) == (2, 1, 1)


async def test_a_gateway_that_takes_a_websocket_and_says_nothing_is_given_up(here):
    server, _ = here
    server.gateway.silent = True
    opened = server.gateway.opened
    server.gateway.cut()
    await server.until(lambda: server.gateway.opened >= opened + 2, within=30, what="another attempt")
    server.gateway.silent = False
    await server.until(lambda: server.gateway.resumed, within=30, what="a session again")
