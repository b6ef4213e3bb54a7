"""How the bot reaches Discord."""

import discord
import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.client import Greenlight, point_at


@pytest.fixture
def _discords_own(monkeypatch):
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)


@pytest.mark.usefixtures("_discords_own")
def test_the_bot_can_be_pointed_at_another_discord():
    point_at("http://127.0.0.1:8080/api/v10/", "ws://127.0.0.1:8080/gateway")
    assert Route("GET", "/users/@me").url == "http://127.0.0.1:8080/api/v10/users/@me"
    assert yarl.URL("ws://127.0.0.1:8080/gateway") == DiscordWebSocket.DEFAULT_GATEWAY


@pytest.mark.usefixtures("_discords_own")
def test_without_an_address_it_stays_with_discords_own():
    before = (Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY)
    point_at(None, None)
    assert before == (Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY)


async def test_no_privileged_intent_is_asked_for():
    asked = Greenlight(1).intents
    assert not asked.members
    assert not asked.message_content
    assert not asked.presences
    assert {name for name, on in asked if on} == {"guilds", "guild_messages", "guild_reactions"}


async def test_nobody_is_mentioned_unless_it_is_said_whom():
    assert Greenlight(1).allowed_mentions.to_dict() == discord.AllowedMentions.none().to_dict()


async def test_a_bot_that_attends_to_nobody_does_not_start():
    with pytest.raises(RuntimeError, match="whom to attend to"):
        await Greenlight(1).setup_hook()
