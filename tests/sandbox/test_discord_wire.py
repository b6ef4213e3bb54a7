"""An unmodified discord.py bot against the simulated Discord, over real HTTP and a real websocket."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO

import aiohttp
import discord
import pytest
import yarl
from discord import app_commands
from discord.ext import commands
from discord.gateway import DiscordWebSocket

from sandbox.discord import DiscordServer, World
from sandbox.discord.gateway import DISALLOWED_INTENTS

WORLD = World(
    channels=("mochi", "general"),
    roles=("Developer", "QC"),
    people={"ann": ("Developer",), "kim": ("QC",), "guest": ()},
)


class Press(discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=r"press:(?P<number>\d+)"):
    def __init__(self, number: int) -> None:
        super().__init__(discord.ui.Button(label="Roll back", custom_id=f"press:{number}"))

    @classmethod
    async def from_custom_id(cls, _interaction, _item, match: re.Match[str]) -> "Press":
        return cls(int(match["number"]))

    async def callback(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Reason())


class Reason(discord.ui.Modal, title="Roll back"):
    reason = discord.ui.TextInput(label="Reason", custom_id="reason", required=False)

    async def on_submit(self, interaction: discord.Interaction) -> None:
        assert interaction.message is not None
        await interaction.response.edit_message(content=f"rolled back: {self.reason.value}", view=None)


class Bot(commands.Bot):
    """A bot with one of everything that Greenlight uses."""

    def __init__(self, *, members: bool = False) -> None:
        intents = discord.Intents.none()
        intents.guilds = intents.guild_messages = intents.guild_reactions = True
        intents.members = members
        super().__init__(commands.when_mentioned, intents=intents, help_command=None)
        self.votes: asyncio.Queue[discord.RawReactionActionEvent] = asyncio.Queue()
        self.resumed = asyncio.Event()

        @self.hybrid_command(description="Release a version")
        async def deploy(context: commands.Context[Bot], image: str) -> None:
            await context.defer(ephemeral=True)
            view = discord.ui.View(timeout=None).add_item(Press(7))
            embed = discord.Embed(title=f"mochi #7 · {image}", description="waiting")
            card = await context.channel.send(f"{image} is waiting", embed=embed, view=view)
            await card.add_reaction("✅")
            thread = await card.create_thread(name=f"mochi #7 {image}")
            await thread.send("asked by ann")
            await context.send(f"started {image}", ephemeral=True)

        @deploy.autocomplete("image")
        async def tags(_interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
            return [app_commands.Choice(name=tag, value=tag) for tag in ("green", "grey", "blue") if typed in tag]

    async def setup_hook(self) -> None:
        self.add_dynamic_items(Press)
        await self.tree.sync()

    async def on_raw_reaction_add(self, vote: discord.RawReactionActionEvent) -> None:
        if self.user is not None and vote.user_id != self.user.id:
            self.votes.put_nowait(vote)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """discord.py waits 5 s before a second IDENTIFY; nobody counts ours."""

    async def on_resumed(self) -> None:
        self.resumed.set()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    server = DiscordServer(WORLD)
    await server.start()
    monkeypatch.setattr(discord.http.Route, "BASE", server.api_url)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(server.gateway_url))
    yield server
    assert server.rest.gaps == []
    await server.stop()


@asynccontextmanager
async def running(server: DiscordServer) -> AsyncIterator[Bot]:
    bot = Bot()
    running = asyncio.create_task(bot.start(server.token))
    try:
        await server.bot_ready("deploy")
        yield bot
    finally:
        await bot.close()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def bot(server: DiscordServer) -> AsyncIterator[Bot]:
    async with running(server) as bot:
        yield bot


async def soon(awaitable):
    async with asyncio.timeout(10):
        return await awaitable


async def a_card(server: DiscordServer):
    channel = server.channel_id("mochi")
    await server.people["ann"].slash(channel, "deploy", image="green")
    return next(message for message in server.messages(channel) if message.embeds)


@pytest.mark.usefixtures("bot")
async def test_a_command_is_deferred_and_then_answered_to_the_one_who_asked(server):
    ann, guest, channel = server.people["ann"], server.people["guest"], server.channel_id("mochi")
    reply = await ann.slash(channel, "deploy", image="green")
    assert (reply.deferred, reply.ephemeral, reply.text.strip()) == (True, True, "started green")
    assert reply.message in ann.messages(channel)
    assert reply.message not in guest.messages(channel)
    assert reply.message not in server.messages(channel)


@pytest.mark.usefixtures("bot")
async def test_choices_come_from_the_bot(server):
    typed = await server.people["ann"].autocomplete(server.channel_id("mochi"), "deploy", "image", "gr")
    assert typed == ["green", "grey"]


@pytest.mark.usefixtures("bot")
async def test_a_card_shows_text_embed_button_reaction_and_thread(server):
    card = await a_card(server)
    assert (card.author, card.content, card.embed["title"]) == ("Greenlight", "green is waiting", "mochi #7 · green")
    assert card.labels == ("Roll back",)
    assert card.reactions == {"✅": frozenset({"Greenlight"})}
    [thread] = server.threads(card.channel_id).items()
    assert thread[0] == "mochi #7 green"
    await server.until(lambda: [m.content for m in server.messages(thread[1])][-1:] == ["asked by ann"], what="a line")


@pytest.mark.usefixtures("bot")
async def test_a_press_opens_a_form_and_its_answer_edits_the_card(server):
    card = await a_card(server)
    ann = server.people["ann"]
    shown = await ann.click(card, "Roll back")
    assert shown.modal is not None
    assert shown.modal["title"] == "Roll back"
    reply = await ann.submit_modal(shown, reason="wrong logo")
    assert reply.message is not None
    after = server.message(card.channel_id, card.id)
    assert (after.content, after.buttons, after.edited) == ("rolled back: wrong logo", (), True)


async def test_a_reaction_arrives_with_the_roles_of_its_member(server, bot):
    card = await a_card(server)
    await server.people["kim"].react(card, "✅")
    vote = await soon(bot.votes.get())
    assert vote.member is not None
    assert [role.name for role in vote.member.roles] == ["@everyone", "QC"]


async def test_reactions_made_while_the_bot_was_away_are_listed_in_pages_by_id(server):
    async with running(server):
        card = await a_card(server)
    for person in server.people.values():
        await person.react(card, "✅")
    async with running(server) as later:
        partial = later.get_partial_messageable(card.channel_id).get_partial_message(card.id)
        message = await partial.fetch()
        names = {user.name async for user in message.reactions[0].users()}
        route = f"/channels/{card.channel_id}/messages/{card.id}/reactions/%E2%9C%85"
        first = await later.http.request(discord.http.Route("GET", route), params={"limit": 3})
        rest = await later.http.request(discord.http.Route("GET", route), params={"after": first[-1]["id"]})
    assert names == {"Greenlight", "ann", "kim", "guest"}
    assert [len(first), len(rest)] == [3, 1]
    ids = [int(user["id"]) for user in first + rest]
    assert ids == sorted(ids)


async def test_a_role_that_was_revoked_is_gone_when_asked_afresh(server, bot):
    guild = bot.get_guild(server.guild_id)
    assert guild is not None
    server.revoke("kim", "QC")
    kim = await guild.fetch_member(server.people["kim"].id)
    assert [role.name for role in kim.roles] == ["@everyone"]
    server.grant("kim", "Developer")
    assert "Developer" in [role.name for role in (await guild.fetch_member(kim.id)).roles]


async def test_a_mention_is_read_without_a_privileged_intent_and_other_text_is_not(server, bot):
    heard = asyncio.Queue()
    bot.add_listener(heard.put, "on_message")
    ann, channel = server.people["ann"], server.channel_id("mochi")
    await ann.send(channel, "between us")
    assert (await soon(heard.get())).content == ""
    await ann.send(channel, f"<@{bot.user.id}> deploy blue")
    await server.until(lambda: server.messages(channel)[-1].content == "started blue", what="the answer")


async def test_a_dropped_socket_is_resumed_and_misses_nothing(server, bot):
    card = await a_card(server)
    server.gateway.cut()
    await server.people["kim"].react(card, "✅")
    vote = await soon(bot.votes.get())
    await soon(bot.resumed.wait())
    assert vote.message_id == card.id
    assert (server.gateway.identified, server.gateway.resumed) == (1, 1)


async def test_a_forgotten_session_is_refused_and_begun_anew(server, bot):
    card = await a_card(server)
    server.gateway.forget()
    await server.until(lambda: server.gateway.identified == 2, what="a second IDENTIFY")
    await server.until(lambda: server.gateway.connected, what="a new session")
    await server.people["kim"].react(card, "✅")
    assert (await soon(bot.votes.get())).message_id == card.id
    assert server.gateway.resumed == 0


async def test_a_session_that_discord_wants_resumed_is_resumed_and_a_guild_goes_out_and_comes_back(server, bot):
    server.gateway.invalidate(resumable=True)
    await soon(bot.resumed.wait())
    guild = bot.get_guild(server.guild_id)
    server.gateway.guild_away(server.guild_id)
    await soon(bot.wait_for("guild_unavailable"))
    assert guild.unavailable
    server.gateway.guild_back(server.guild_id)
    await soon(bot.wait_for("guild_available"))
    assert not bot.get_guild(server.guild_id).unavailable


async def test_a_page_from_in_front_of_discord_is_no_limit_that_is_waited_for(server, bot):
    """Cloudflare's 429 for a banned address: HTML, and no `Via`."""
    server.faults.add("GET", "/channels/*", status=429, html=True, retry_after=1)
    with pytest.raises(discord.HTTPException) as failure:
        await bot.fetch_channel(server.channel_id("general"))
    assert failure.value.status == 429
    assert "Via" not in failure.value.response.headers
    assert await bot.fetch_channel(server.channel_id("general"))


async def test_the_same_nonce_sends_one_message(server, bot):
    channel = bot.get_partial_messageable(server.channel_id("general"))
    first = await channel.send("once", nonce="n-1")
    again = await channel.send("once", nonce="n-1")
    other = await channel.send("once", nonce="n-2")
    assert first.id == again.id != other.id
    assert len(server.messages(server.channel_id("general"))) == 2


async def test_an_answer_that_is_lost_after_the_write_does_not_write_twice(server, bot, monkeypatch):
    monkeypatch.setattr("discord.http.asyncio.sleep", _no_pause)
    server.faults.add("POST", "/channels/*/messages", status=502, applied=True)
    channel = server.channel_id("general")
    await bot.get_partial_messageable(channel).send("once")
    assert [message.content for message in server.messages(channel)] == ["once"]


@pytest.mark.parametrize("status", [429, 500, 503, None])
async def test_a_fault_hits_the_next_call_only(server, bot, monkeypatch, status):
    monkeypatch.setattr("discord.http.asyncio.sleep", _no_pause)
    server.faults.add("GET", "/channels/*", status=status)
    asked = server.channel_id("general")
    # discord.py repeats all of these but 503 by itself; a cut connection it repeats on ECONNRESET only.
    try:
        channel = await bot.fetch_channel(asked)
    except (discord.DiscordServerError, aiohttp.ClientError):
        assert status in (503, None)
        channel = await bot.fetch_channel(asked)
    assert channel.id == asked


async def test_a_file_is_sent_with_its_message(server, bot):
    channel = server.channel_id("general")
    await bot.get_partial_messageable(channel).send("report", file=discord.File(BytesIO(b"{}"), "report.json"))
    [message] = server.messages(channel)
    assert message.files == ("report.json",)


async def test_a_message_with_a_file_is_sent_once_too(server, bot):
    channel = server.channel_id("general")
    for _ in range(2):
        file = discord.File(BytesIO(b"{}"), "report.json")
        await bot.get_partial_messageable(channel).send("report", file=file, nonce="n-1")
    [message] = server.messages(channel)
    assert message.files == ("report.json",)


async def test_a_file_is_refused_where_the_bot_may_not_attach_any(server, bot):
    channel = server.channel_id("general")
    for role in server.env.backend.get_guild(server.guild_id).roles.values():
        role.permissions &= ~discord.Permissions(attach_files=True, administrator=True).value
    with pytest.raises(discord.Forbidden) as failure:
        await bot.get_partial_messageable(channel).send("x", file=discord.File(BytesIO(b"{}"), "report.json"))
    assert failure.value.code == 50013
    assert server.messages(channel) == []


async def test_an_error_carries_discords_own_code(server, bot):
    with pytest.raises(discord.NotFound) as failure:
        await bot.get_partial_messageable(server.channel_id("general")).fetch_message(1)
    assert failure.value.code == 10008


@pytest.mark.usefixtures("server")
async def test_a_wrong_token_does_not_log_in():
    bot = Bot()
    with pytest.raises(discord.LoginFailure):
        await bot.login("stolen")
    await bot.close()


async def test_a_privileged_intent_that_was_not_granted_closes_the_connection(server):
    bot = Bot(members=True)
    with pytest.raises(discord.PrivilegedIntentsRequired):
        await soon(bot.start(server.token))
    await bot.close()
    assert DISALLOWED_INTENTS == 4014


@pytest.mark.usefixtures("bot")
async def test_a_person_can_only_do_what_the_app_offers(server):
    card = await a_card(server)
    with pytest.raises(LookupError, match=r"no button 'Promote' on the message; there are Roll back"):
        await server.people["ann"].click(card, "Promote")


_sleep = asyncio.sleep


async def _no_pause(_seconds: float) -> None:
    await _sleep(0)


async def test_a_bot_is_told_that_there_is_room_for_more_than_one_call(server):
    """Told nothing, discord.py sends one call of a route after the other: roles would be read in turn."""
    buckets = set()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bot {server.token}"}) as session:
        for name in ("ann", "kim"):
            url = f"{server.api_url}/guilds/{server.guild_id}/members/{server.people[name].id}"
            async with session.get(url, raise_for_status=True) as answer:
                assert int(answer.headers["X-RateLimit-Remaining"]) > 1
                buckets.add(answer.headers["X-RateLimit-Bucket"])
    assert len(buckets) == 1
