"""The bot on Discord: its connection, its commands, and an answer to everybody whatever goes wrong.

No privileged intent is asked for: a message that mentions the bot carries its text without one.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import discord
import discord.client
import structlog
import yarl
from discord import app_commands
from discord.ext import commands
from discord.ext.commands.view import StringView
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.budget import ANSWER_WITHIN, Backoff, Budget
from bot.desk import Desk
from cogs import words
from cogs.answer import OtherGuild, Pressed, Written, explain
from cogs.buttons import GateButton, ReleaseButton
from cogs.cards import Cards
from cogs.deploy import Deploy
from cogs.gates import Gates
from cogs.history import History, PageButton
from cogs.people import People
from cogs.presses import Presses
from cogs.rollback import Rollback
from cogs.status import StatusOf
from cogs.typed import positional
from cogs.votes import Votes

log = structlog.get_logger()

# The bot never speaks; discord.py would warn about it at every start.
discord.VoiceClient.warn_nacl = False
discord.VoiceClient.warn_dave = False
# There is no other way to tell it how long to wait.
discord.client.ExponentialBackoff = Backoff  # type: ignore[assignment, attr-defined]


def point_at(api_url: str | None, gateway_url: str | None) -> None:
    """Another Discord than Discord's own, for the whole process: an API proxy, or a sandbox. None leaves it as it is.

    `api_url` ends with the version (`…/api/v10`). A session is resumed where that gateway said, as with Discord's own.
    """
    if api_url is not None:
        Route.BASE = api_url.rstrip("/")
    if gateway_url is not None:
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)


class Greenlight(commands.Bot):
    """Works in one guild. `cards` and `people` are what the controller needs of Discord; `attend` before the start."""

    def __init__(self, guild: int) -> None:
        intents = discord.Intents(guilds=True, guild_messages=True, guild_reactions=True)
        self.budget = Budget()
        super().__init__(
            http_trace=self.budget.trace(),
            command_prefix=commands.when_mentioned,
            intents=intents,
            help_command=None,
            tree_cls=Tree,
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            max_messages=None,
            strip_after_prefix=True,
        )
        self._stay_within_budget()
        self.guild = discord.Object(guild)
        self.people = People(self, guild)
        self.cards = Cards(self, guild)
        self._desk: Desk | None = None
        self._wake: Callable[[str], None] = lambda _: None
        self.add_check(self._in_guild)

    def attend(self, desk: Desk, wake: Callable[[str], None]) -> None:
        """Whom the commands, votes and cards are about; `wake` has the controller look at an app."""
        self._desk, self._wake = desk, wake
        self.cards.attend(desk)

    @property
    def connected(self) -> bool:
        """Whether the gateway is open and has told what there is; discord.py itself stays ready while it is away."""
        return self.is_ready() and not self.is_closed() and self.ws.open

    async def forget_login(self) -> None:
        """After a login that Discord broke off: what it has opened is closed, so that another can begin."""
        await self.http.close()
        self.http.connector = discord.utils.MISSING

    def _stay_within_budget(self) -> None:
        request, open_one = self.http.request, self.http.ws_connect

        async def in_time(route: Route, **options: Any) -> Any:
            try:
                return await request(route, timeout=ANSWER_WITHIN, **options)
            except RuntimeError as error:
                if not self.is_closed():
                    raise
                raise aiohttp.ClientConnectionError("the bot has left Discord") from error  # no news to anybody

        async def in_turn(url: str, **options: Any) -> aiohttp.ClientWebSocketResponse:
            await self.budget.turn()
            return await open_one(url, **options)

        self.http.request, self.http.ws_connect = in_time, in_turn  # type: ignore[method-assign]

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        await super().before_identify_hook(shard_id, initial=initial)
        self.budget.identified()

    async def connect(self, *, reconnect: bool = True) -> None:
        """As discord.py does, but an event that it cannot read costs a session, not the bot.

        Raises `ConnectionClosed` and `PrivilegedIntentsRequired`: Discord does not want the bot back like this.
        """
        while not self.is_closed():
            try:
                await super().connect(reconnect=reconnect)
            except (discord.ConnectionClosed, discord.PrivilegedIntentsRequired):
                raise
            except Exception:
                log.exception("the connection to Discord broke")
                self.dispatch("disconnect")
                if self.ws is not None:
                    await self.ws.close()

    async def setup_hook(self) -> None:
        desk = self._desk
        if desk is None:
            raise RuntimeError("the bot was started before it was told whom to attend to")
        if not self.cogs:  # a start that Discord broke off is begun again
            await self._add_commands(desk)
        await self._sync(desk)

    async def _add_commands(self, desk: Desk) -> None:
        self.add_dynamic_items(ReleaseButton, GateButton, PageButton)
        for cog in (
            Deploy(desk, self.cards),
            Rollback(desk, self.cards),
            StatusOf(desk, self.cards),
            History(desk, self.cards),
            Presses(desk, self.cards),
            Gates(desk),
            Votes(self, self.guild.id, desk, self.cards, self.people, self._wake),
        ):
            await self.add_cog(cog)
        # Hybrid commands arrive as global ones; Discord is told them for our guild only.
        self.tree.copy_global_to(guild=self.guild)
        self.tree.clear_commands(guild=None)

    async def _sync(self, desk: Desk) -> None:
        """Tell Discord the commands, only when they are others than it was told."""
        mine = [command.to_dict(self.tree) for command in self.tree.get_commands(guild=self.guild)]
        fingerprint = hashlib.sha256(json.dumps(mine, sort_keys=True).encode()).hexdigest()
        key = f"commands:{self.guild.id}"
        known = {command.name for command in await self.tree.fetch_commands(guild=self.guild)}
        if await desk.store.get_meta(key) == fingerprint and known == {command["name"] for command in mine}:
            return
        await self.tree.sync(guild=self.guild)
        await desk.store.set_meta(key, fingerprint)
        log.info("commands told to Discord", guild=self.guild.id, count=len(mine))

    async def get_context(self, origin: Any, /, *, cls: Any = commands.Context) -> Any:
        """As discord.py does, but a command written as text may be in the form of a slash command."""
        ctx = await super().get_context(origin, cls=cls)
        if ctx.interaction is None and ctx.command is not None:
            ctx.view = StringView(positional(ctx.view.read_rest(), ctx.command.clean_params))
        return ctx

    async def on_command_error(self, ctx: commands.Context[Any], error: commands.CommandError, /) -> None:
        request = Pressed(ctx.interaction) if ctx.interaction is not None else Written(ctx.message)
        await request.answer(explain(error))

    async def on_error(self, event_method: str, /, *_: Any, **__: Any) -> None:
        log.exception("an event was not handled", event_name=event_method)  # noqa: LOG004 - called inside a handler

    async def close(self) -> None:
        self.cards.close()
        await super().close()

    async def _in_guild(self, ctx: commands.Context[Any]) -> bool:
        if ctx.guild is None or ctx.guild.id != self.guild.id:
            raise OtherGuild
        return True


class Tree(app_commands.CommandTree[Greenlight]):
    async def interaction_check(self, interaction: discord.Interaction[Greenlight], /) -> bool:
        if interaction.guild_id == interaction.client.guild.id:
            return True
        if interaction.type is not discord.InteractionType.autocomplete:
            await Pressed(interaction).answer(words.OTHER_GUILD)
        return False

    async def on_error(
        self, interaction: discord.Interaction[Greenlight], error: app_commands.AppCommandError, /
    ) -> None:
        if interaction.type is discord.InteractionType.autocomplete:
            log.warning("no choices", error=str(error))
            return
        await Pressed(interaction).answer(explain(error))
