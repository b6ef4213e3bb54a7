"""`/status` of one app, and `/releases`, the board of all."""

import discord
from discord import Interaction, app_commands
from discord.ext import commands

from bot.desk import Desk
from bot.release.record import Release
from bot.view import Live, Status
from cogs import words
from cogs.answer import request_of
from cogs.apps import choices, meant
from cogs.card import BLUE, GREEN, GREY, Around, live_name, state
from cogs.cards import Cards
from cogs.limits import DESCRIPTION, FIELD_VALUE, TITLE, length
from cogs.outcome import outcome
from cogs.text import clip, code, line, person_name, sentence, stamp

_BOARD_LINE = 200


class StatusOf(commands.Cog, name="Status"):
    def __init__(self, desk: Desk, cards: Cards) -> None:
        self._desk = desk
        self._cards = cards

    @commands.hybrid_command(description=words.STATUS)  # type: ignore[arg-type]  # mypy cannot infer its type variables
    @app_commands.describe(app=words.APP)
    async def status(self, ctx: commands.Context[commands.Bot], app: str | None = None) -> None:
        request = request_of(ctx)
        await request.take()
        found = await self._desk.status(meant(self._desk.apps, app, request.channel))
        await request.answer(embed=await self._status(found))

    @commands.hybrid_command(description=words.RELEASES)  # type: ignore[arg-type]  # mypy cannot infer its type variables
    async def releases(self, ctx: commands.Context[commands.Bot]) -> None:
        request = request_of(ctx)
        await request.take()
        lines = [await self._board_line(name) for name in self._desk.apps]
        embed = discord.Embed(title=words.BOARD_TITLE, description=_fitting(lines), colour=BLUE)
        await request.answer(embed=embed)

    @status.autocomplete("app")
    async def apps(self, _: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        return choices(self._desk.apps, typed)

    async def _status(self, found: Status) -> discord.Embed:
        colour = BLUE if found.open else GREEN if found.live else GREY
        embed = discord.Embed(title=line(found.app.name, TITLE), colour=colour)
        if found.trouble:
            embed.description = words.waits_because(sentence(found.trouble, 500))
        fields = {
            words.STATUS_LIVE: _live(found.live),
            words.STATUS_OPEN: await self._open(found.open),
            words.STATUS_ADDRESSES: _addresses(found),
            words.STATUS_LATEST: "\n".join([await self._linked(release) for release in found.recent]),
        }
        for name, value in fields.items():
            if value:
                embed.add_field(name=name, value=clip(value, FIELD_VALUE), inline=False)
        return embed

    async def _open(self, release: Release | None) -> str:
        if release is None:
            return words.NO_OPEN_RELEASE
        shown = state(await self._desk.view(release), Around(self._cards.roles()))
        return await self._with_link(release, shown.first, _BOARD_LINE)

    async def _board_line(self, app: str) -> str:
        release = await self._desk.newest(app)
        if release is None:
            return words.board_empty(app)
        shown = state(await self._desk.view(release), Around(self._cards.roles()))
        return await self._with_link(release, shown.first, _BOARD_LINE)

    async def _linked(self, release: Release) -> str:
        return await self._with_link(release, outcome(release), 110)

    async def _with_link(self, release: Release, text: str, limit: int) -> str:
        url = await self._cards.address(release)
        return words.with_card(clip(text, limit), url) if url else clip(text, limit)


def _live(live: Live | None) -> str:
    if live is None or not live.image:
        return words.NOTHING_LIVE
    digest = live.image.partition("@")[2][:19]
    parts = [code(live_name(live), 100) + (f" {code(digest, 30)}" if digest else "")]
    parts += [words.since(stamp(live.since))] if live.since else []
    parts += [words.by(person_name(live.by))] if live.by else []
    parts += [words.progress(live.ready, live.wanted or live.ready)] if live.ready is not None else []
    return ", ".join(parts)


def _addresses(found: Status) -> str:
    links = {words.PRODUCTION: found.production, words.PREVIEW: found.preview}
    return "\n".join(f"{name}: {line(link.url, 400)}" for name, link in links.items() if link is not None)


def _fitting(lines: list[str]) -> str:
    """As many as an embed takes, and how many there are besides."""
    shown = list(lines)
    while length("\n".join(shown)) > DESCRIPTION - len(words.and_more(len(lines))) - 1:
        shown.pop()
    return "\n".join([*shown, *([words.and_more(len(lines) - len(shown))] if len(shown) < len(lines) else [])])
