"""Text commands and the reaction flow on dpytest, a second simulation of Discord that knows neither of our others.

Its Discord is of an older time: it has no threads, no partial channels, and reactions without a type.
"""

from dataclasses import replace

import discord
import discord.ext.test as dpytest
import pytest
from discord.ext import commands
from discord.ext.test import backend

from bot.client import Greenlight
from bot.release.app import Approval, Requirement
from bot.release.record import Phase
from world import World, example


class Stage:
    def __init__(self, world, bot, guild, channel, people):
        self.world, self.bot, self.guild, self.channel, self.people = world, bot, guild, channel, people

    async def settle(self):
        await dpytest.run_all_events()
        await self.bot.cards.idle()
        await self.world.run()
        await self.bot.cards.idle()

    async def write(self, who, text):
        """A message that mentions the bot; what the bot posted upon it."""
        await dpytest.empty_queue()
        await dpytest.message(f"<@{self.bot.user.id}> {text}", channel=self.channel, member=self.people[who])
        await self.settle()
        return await self.posted()

    async def posted(self):
        found = []
        while not dpytest.sent_queue.empty():
            found.append((await dpytest.sent_queue.get()).content)
        return found

    async def react(self, who, emoji="✅"):
        card = await self.world.store.card(await self.world.newest())
        message = self.bot._connection._get_message(card.message)
        await dpytest.add_reaction(self.people[who], message, emoji)
        await self.settle()


@pytest.fixture
async def stage(tmp_path, monkeypatch):
    bot = Greenlight(0)
    bot._connection.member_cache_flags = discord.MemberCacheFlags(
        joined=True, voice=False
    )  # dpytest finds its members in the cache
    bot._connection._intents.members = True
    dpytest.configure(bot, guilds=["Team"], text_channels=["mochi"], voice_channels=0, members=list("akls"))
    state = backend.get_state()
    for name in ("parse_message_reaction_add", "parse_message_reaction_remove"):
        _with_type(state, name)
    config = dpytest.get_config()
    guild, channel = config.guilds[0], config.channels[0]
    people = dict(zip(("ann", "kim", "leo", "sam"), config.members, strict=True))
    roles = {name: backend.make_role(name, guild) for name in ("Developer", "QC", "Lead", "On-call")}
    for who, role in zip(people.values(), roles.values(), strict=True):
        await dpytest.add_role(who, role)
    monkeypatch.setattr(bot, "get_partial_messageable", lambda each, **_: bot.get_channel(each))

    world = World(tmp_path / "greenlight.db", example())
    world.app = replace(
        example(),
        channel=channel.id,
        deployers=frozenset({roles["Developer"].id}),
        rollbackers=frozenset({roles["On-call"].id}),
        approval=Approval(tuple(Requirement(frozenset({roles[name].id})) for name in ("QC", "Lead"))),
    )
    bot.guild = discord.Object(guild.id)
    bot.people._guild = bot.cards._guild = guild.id
    world.cards, world.people = bot.cards, bot.people
    await world.start()
    bot.attend(world.desk, world.controller.wake)
    bot.cards._threads._without.add(channel.id)
    monkeypatch.setattr(bot.cards, "_message", lambda card: state._get_message(card.message))
    monkeypatch.setattr(bot, "_sync", _nothing)
    await bot._async_setup_hook()
    await bot.setup_hook()
    votes = bot.get_cog("Votes")
    bot.remove_listener(votes.on_votes_begin, "on_votes_begin")  # dpytest cannot list who has reacted
    await votes.on_ready()
    yield Stage(world, bot, guild, channel, people)
    await bot.cards.idle()
    bot.cards.close()
    await dpytest.empty_queue()
    await world.store.close()


async def _nothing(_):
    """Commands cannot be synced: dpytest has none."""


def _with_type(state, name):
    parse = getattr(state, name)
    setattr(state, name, lambda data: parse({"type": 0, "burst": False, **data}))


async def test_a_release_by_text_and_reactions_goes_live_and_back(stage):
    posted = await stage.write("ann", "deploy image:green app:mochi")
    assert posted[0] == "🔵 mochi #1 (green) is being prepared"
    assert posted[1].startswith("mochi #1 (`mochi:green`) is being prepared: https://discord.com/channels/")
    assert posted[2].endswith("mochi #1 is ready to look at: <http://preview.mochi.example.com/>")
    await stage.react("kim")
    assert await stage.world.phase() is Phase.READY
    await stage.react("leo")
    assert await stage.world.phase() is Phase.BAKING
    assert stage.world.serving() == {"green"}
    posted = await stage.write("sam", "rollback")
    assert posted == ["mochi #1 is being rolled back. Moves traffic back to `mochi:blue` at once."]
    assert stage.world.serving() == {"blue"}


async def test_a_veto_by_reaction_rejects(stage):
    await stage.write("ann", "deploy green")
    await stage.react("leo", "⛔")
    assert await stage.world.phase() is Phase.REVERTED


async def test_a_reaction_of_the_wrong_role_promotes_nothing(stage):
    await stage.write("ann", "deploy green")
    for who in ("ann", "sam", "kim"):
        await stage.react(who)
    assert await stage.world.phase() is Phase.READY


async def test_a_refusal_is_a_sentence(stage):
    with pytest.raises(commands.CommandInvokeError, match="may deploy mochi"):  # dpytest raises it once more
        await stage.write("kim", "deploy green")
    assert (await stage.posted())[0].startswith("Only <@&")
    assert await stage.world.store.newest("mochi") is None


@pytest.mark.parametrize(
    ("text", "title"), [("status", "mochi"), ("releases", "Releases"), ("history", "mochi · releases")]
)
async def test_lists_are_embeds(stage, text, title):
    await dpytest.empty_queue()
    await dpytest.message(f"<@{stage.bot.user.id}> {text}", channel=stage.channel, member=stage.people["sam"])
    await stage.settle()
    assert dpytest.get_embed().title == title
