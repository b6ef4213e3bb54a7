"""A Discord guild with people of several roles, the whole bot in it, and a simulated cluster behind, in one process.

Everything that the bot sends is checked against Discord's limits before the simulated Discord takes it, which has few.
"""

import re
from contextlib import asynccontextmanager
from dataclasses import replace

from discord.ext import commands
from simcord import Env
from simcord.http import router

from bot.client import Greenlight
from bot.clusters.errors import ClusterError
from bot.registry import RegistryError
from bot.release.app import Approval, Requirement
from bot.release.errors import Refused
from bot.release.verbs import Verb
from bot.store import StoreError
from cogs.answer import OtherGuild
from cogs.limits import (
    validate_command,
    validate_message,
    validate_reactions,
    validate_response,
    validate_thread,
)
from world import DEVELOPER, LEAD, ON_CALL, QC, World, example

# Its default of 50 ms is most of the time that a test takes.
Env._settle_internal.__kwdefaults__["idle"] = 0.002

PEOPLE = {
    "ann": ("Developer",),
    "kim": ("QC",),
    "leo": ("Lead",),
    "sam": ("On-call",),
    "bo": ("Developer", "QC", "Lead"),
    "guest": (),
}
ROLES = {"Developer": DEVELOPER, "QC": QC, "Lead": LEAD, "On-call": ON_CALL}
APPROVE, VETO = "✅", "⛔"
EXPECTED = (
    Refused,
    ClusterError,
    RegistryError,
    StoreError,
    OtherGuild,
    commands.UserInputError,
    commands.CommandNotFound,
)
"""What people are answered with a sentence; anything else that a command raises is a bug."""


class Stage:
    def __init__(self, tmp_path):
        self.world = World(tmp_path / "greenlight.db", example())
        self.env = Env(Greenlight(1), check_errors=False)
        self.guild = self.env.create_guild("Team")
        self.channel = self.guild.create_text_channel("mochi")
        self.elsewhere = self.guild.create_text_channel("lobby")
        self.roles = {name: self.guild.create_role(name) for name in ROLES}
        for name, roles in PEOPLE.items():
            member = self.guild.add_member(self.env.create_user(name), roles=[self.roles[role] for role in roles])
            setattr(self, name, member)
        self.world.app = self.app()
        self.sent = []
        self.expects_bugs = False

    def app(self, **changes):
        """The example app, with the channel and the roles of this guild."""
        role = {mark: self.roles[name].id for name, mark in ROLES.items()}
        sound = replace(
            example(),
            channel=self.channel.id,
            deployers=frozenset({role[DEVELOPER]}),
            rollbackers=frozenset({role[ON_CALL]}),
            approval=Approval((Requirement(frozenset({role[QC]})), Requirement(frozenset({role[LEAD]})))),
        )
        return replace(sound, **changes)

    @property
    def bot(self):
        return self.env.bot

    def _build(self):
        """A new bot, the Discord side of what the world builds next."""
        bot = Greenlight(self.guild.id)
        self.world.cards, self.world.people = bot.cards, bot.people
        return bot

    async def start(self, **objects):
        bot = self._build()
        await self.world.start(**objects)
        bot.attend(self.world.desk, self.world.controller.wake)
        self.env.bot = bot
        await self.env.start()
        await self.settle()

    async def restart(self, *, meanwhile=None):
        """The process dies and starts again; `meanwhile` happens while there is none."""
        await self.settle()
        bot = self._build()
        old, self.env.bot.cards._open = self.world.store, False
        if meanwhile is not None:
            self.env.backend.subscribers.remove(self.env._gateway_feed)
            await meanwhile()
            self.env.backend.subscribers.append(self.env._gateway_feed)
        await old.close()
        self.world.build()
        await self.world.desk._refresh_links(self.world.app)  # as its `keep_links` does from the start
        bot.attend(self.world.desk, self.world.controller.wake)
        await self.env.restart_bot(bot)
        await self.settle()

    async def disconnect(self):
        """The gateway drops."""
        await self.bot.get_cog("Votes").on_disconnect()

    async def resume(self):
        """The gateway is there again."""
        await self.bot.get_cog("Votes").on_resumed()
        await self.settle()

    async def settle(self):
        """Until nobody has anything left to do."""
        await self.env.settle()
        await self.bot.cards.idle()
        await self.world.run()
        await self.bot.cards.idle()
        await self.env.settle()

    async def advance(self, **time):
        await self.world.advance(**time)
        await self.settle()

    # What people do

    async def slash(self, who, name, /, *, channel=None, **options):
        result = await who.slash(channel or self.channel, name, **options)
        await self.settle()
        return result

    async def write(self, who, text, channel=None):
        """A message that mentions the bot; what it replied."""
        channel = channel or self.channel
        asked = await who.send(channel, f"<@{self.bot.user.id}> {text}")
        await self.settle()
        replies = [each for each in channel.history() if each.reference and each.reference.message_id == asked.id]
        return replies[-1] if replies else None

    async def press(self, who, verb, *, message=None):
        label = verb if isinstance(verb, str) and not isinstance(verb, Verb) else LABELS[verb]
        result = await who.click(message or await self.card(), label=label)
        await self.settle()
        return result

    async def press_stale(self, who, message, action):
        """Press a button that the message had, or never had, by its custom id or what stands at the end of one; what
        the bot answers.
        """
        custom_id = action if ":" in action else f"greenlight:mochi:1:{action}"
        stored = self.env.backend.get_message(message.channel.id, message.id)
        now = stored.components
        button = {"type": 2, "id": 2, "style": 2, "label": "x", "custom_id": custom_id}
        stored.components = [{"type": 1, "id": 1, "components": [button]}]
        result = await who.click(message, label="x")
        stored.components = now
        await self.settle()
        assert result.ephemeral
        return result.response.content

    async def roll_back(self, who, reason="", *, message=None):
        """Press Roll back and fill in the form."""
        shown = await self.press(who, Verb.ROLL_BACK, message=message)
        return await self.fill(who, shown, reason)

    async def fill(self, who, shown, reason):
        result = await who.submit_modal(shown, {"reason": reason} if reason else {})
        await self.settle()
        return result

    async def react(self, who, emoji=APPROVE, *, message=None):
        await who.react(message or await self.card(), emoji)
        await self.settle()

    async def unreact(self, who, emoji=APPROVE):
        await who.unreact(await self.card(), emoji)
        await self.settle()

    async def deploy(self, image="green", who=None, **options):
        return await self.slash(who or self.ann, "deploy", image=image, **options)

    async def go_live(self, image="green"):
        await self.deploy(image)
        await self.react(self.kim)
        await self.react(self.leo)

    # What they see

    async def card(self, number=None):
        """The message on record for the newest release, or for that number."""
        store = self.world.store
        release = await (self.world.newest() if number is None else store.release("mochi", number))
        card = await store.card(release)
        return next(each for each in self.channel.history() if each.id == card.message)

    async def thread(self, number=None):
        """The text of the release's thread."""
        store = self.world.store
        release = await (self.world.newest() if number is None else store.release("mochi", number))
        card = await store.card(release)
        found = next(each for each in self.channel.threads if each.id == card.thread)
        return "\n".join(message.content for message in found.history())

    async def reactions(self, number=None):
        """Who has reacted how: emoji to names."""
        card = await self.card(number)
        stored = self.env.backend.get_message(card.channel.id, card.id)
        names = {user.id: user.name for user in self.env.backend.users.values()}
        return {emoji: {names[each] for each in who} for emoji, who in _reactions(stored) if who}

    @property
    def messages(self):
        """Bodies of all messages that the bot posted, in order; answers to interactions are none."""
        return [body for method, path, body in self.sent if method == "POST" and path.endswith("/messages")]

    async def phase(self):
        return await self.world.phase()

    def labels(self, message):
        return [button.label for row in message.components for button in row.children]


LABELS = {
    Verb.PROMOTE: "Promote",
    Verb.REJECT: "Reject",
    Verb.ABANDON: "Abandon",
    Verb.ROLL_BACK: "Roll back",
    Verb.RELEASE_CAPACITY: "Release capacity",
}


def _reactions(stored):
    return [(each.emoji, each.user_ids) for each in stored.reactions]


@asynccontextmanager
async def opened(tmp_path, monkeypatch, *, target=None, **objects):
    """A stage with the bot on it; at the end, what the bot did wrong fails the test."""
    stage = Stage(tmp_path)
    if target is not None:
        stage.world.app = stage.app(target=target)
    _check_everything(monkeypatch, stage)
    await stage.start(**objects)
    yield stage
    unexpected = [error for error in map(_cause, stage.env.errors) if not isinstance(error, EXPECTED)]
    await stage.env.shutdown()
    await stage.world.store.close()
    assert stage.expects_bugs or not unexpected, unexpected


def _cause(error):
    while isinstance(original := getattr(error, "original", None), BaseException):
        error = original
    return error


def _check_everything(monkeypatch, stage):
    dispatch = router.dispatch

    def checked(backend, method, path, *, json=None, **rest):
        _check(method, path, json or {})
        stage.sent.append((method, path, json))
        if rest.get("files"):
            _check_files(backend, path)
        return dispatch(backend, method, path, json=json, **rest)

    monkeypatch.setattr(router, "dispatch", checked)


def _check_files(backend, path):
    """simcord asks for no permission to attach them."""
    place = int(re.fullmatch(r"/channels/(\d+)/messages", path)[1])
    backend.require_permissions(backend.get_channel(place).guild_id, backend.bot_user.id, place, "attach_files")


def _check(method, path, body):
    if re.fullmatch(r"/channels/\d+/messages(/\d+)?", path) and method in {"POST", "PATCH"}:
        validate_message(body)
        if method == "POST":
            assert body.get("enforce_nonce"), "a message that is posted twice after a lost answer is seen twice"
        assert not (body.get("allowed_mentions") or {"parse": ["everyone"]}).get("parse"), "it may mention anybody"
    elif path.endswith("/threads"):
        validate_thread(body)
    elif path.endswith("/callback"):
        validate_response(body)
    elif re.fullmatch(r"/webhooks/\d+/[^/]+(/messages/[^/]+)?", path) and method in {"POST", "PATCH"}:
        validate_message(body)
    elif path.endswith("/commands") and method == "PUT":
        for command in body:
            validate_command(command)
    elif "/reactions/" in path and method == "PUT":
        validate_reactions([path])
