"""How one person's request is acknowledged and answered, whether it was typed as a command, pressed or written.

Discord wants an answer to an interaction within 3 seconds, so it is acknowledged before anything is done. Answers to
interactions go to that person only; an answer to a written message is a reply that notifies nobody.
"""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import discord
import structlog
from discord.ext import commands
from discord.utils import MISSING

from bot.clusters.errors import ClusterError
from bot.registry import RegistryError
from bot.release.errors import Refused
from bot.release.record import Person
from bot.store import StoreError
from cogs import words
from cogs.limits import CONTENT
from cogs.people import person
from cogs.text import plain, sentence

log = structlog.get_logger()

TAKEN_WITHIN = 3.0
"""Seconds after which Discord takes no first answer to an interaction any more, so nobody need go on trying."""
ANSWERED_WITHIN = 60.0
AWAY = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)
"""What a call to Discord may raise that is not our fault."""


class Request(ABC):
    """One request: who asked, where, and the one answer to it."""

    @property
    @abstractmethod
    def person(self) -> Person: ...

    @property
    @abstractmethod
    def channel(self) -> int:
        """The text channel, also for a request out of one of its threads."""

    @abstractmethod
    async def take(self) -> bool:
        """Acknowledge. False: Discord did not confirm it. Then do only what may safely be done twice, since another
        process may have taken it (40060), or the person saw it fail and asks again (10062).
        """

    async def answer(
        self, content: str | None = None, *, embed: discord.Embed | None = None, view: discord.ui.View | None = None
    ) -> None:
        """Never raises: that an answer is lost changes nothing of what was done."""
        try:
            async with asyncio.timeout(ANSWERED_WITHIN):
                await self._answer(content, [embed] if embed is not None else [], view or MISSING)
        except AWAY as error:
            log.warning("answer lost", error=str(error))

    @abstractmethod
    async def _answer(self, content: str | None, embeds: list[discord.Embed], view: discord.ui.View) -> None: ...


class Pressed(Request):
    """A slash command, a button or a form."""

    def __init__(self, interaction: discord.Interaction) -> None:
        self._interaction = interaction

    @property
    def person(self) -> Person:
        return person(self._interaction.user)

    @property
    def channel(self) -> int:
        return text_channel(self._interaction.channel)

    async def take(self) -> bool:
        if self._interaction.response.is_done():
            return True
        try:
            async with asyncio.timeout(TAKEN_WITHIN):
                await self._interaction.response.defer(ephemeral=True, thinking=True)
        except AWAY as error:
            log.warning("not acknowledged", interaction=self._interaction.id, error=str(error))
            return False
        return True

    async def _answer(self, content: str | None, embeds: list[discord.Embed], view: discord.ui.View) -> None:
        if not self._interaction.response.is_done():
            with suppress(discord.HTTPException):  # Discord may think that it was acknowledged all the same
                await self._interaction.response.send_message(content, embeds=embeds, view=view, ephemeral=True)
                return
        await self._interaction.edit_original_response(content=content, embeds=embeds, view=view)


class Written(Request):
    """A message that mentions the bot."""

    def __init__(self, message: discord.Message) -> None:
        self._message = message

    @property
    def person(self) -> Person:
        return person(self._message.author)

    @property
    def channel(self) -> int:
        return text_channel(self._message.channel)

    async def take(self) -> bool:
        return True

    async def _answer(self, content: str | None, embeds: list[discord.Embed], view: discord.ui.View) -> None:
        await self._message.reply(content or "", embeds=embeds, view=view, mention_author=False)


def request_of(ctx: commands.Context[commands.Bot]) -> Request:
    return Pressed(ctx.interaction) if ctx.interaction is not None else Written(ctx.message)


def text_channel(place: object) -> int:
    """The id of a channel, of a thread that of its parent; 0 when Discord did not say."""
    return int(getattr(place, "parent_id", None) or getattr(place, "id", None) or 0)


@asynccontextmanager
async def taking(request: Request) -> AsyncIterator[None]:
    """Acknowledge beside what is done inside, which waits for nobody: for what may safely be done twice."""
    acknowledged = asyncio.create_task(request.take())
    try:
        yield
    finally:
        await acknowledged


@asynccontextmanager
async def answering(request: Request) -> AsyncIterator[None]:
    """Whatever goes wrong inside is told to the person: discord.py would only log it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the last wall before a person who waits for an answer
        await request.answer(explain(error))


class OtherGuild(commands.CheckFailure):
    """Somebody wrote to the bot elsewhere than in its guild."""


def explain(error: BaseException) -> str:
    """The sentence for the person; what is our fault is logged with its reference."""
    cause = _cause(error)
    match cause:
        case Refused():
            log.info("refused", reason=str(cause))
            return sentence(str(cause), CONTENT)
        case ClusterError() | RegistryError() | StoreError():
            log.warning("could not do what was asked", reason=str(cause))
            return sentence(str(cause), CONTENT)
        case OtherGuild():
            return words.OTHER_GUILD
        case commands.CommandNotFound():
            return words.NO_SUCH_COMMAND
        case commands.UserInputError():
            return words.not_understood(plain(str(cause), 200))
    reference = secrets.token_hex(2)
    log.error("broke", ref=reference, exc_info=cause)
    return words.broke(reference)


def _cause(error: BaseException) -> BaseException:
    """What the command raised, out of discord.py's wrappings."""
    while isinstance(original := getattr(error, "original", None), BaseException):
        error = original
    return error
