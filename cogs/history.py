"""`/history`: the releases of an app, ten a page, newest first."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import discord
from discord import Interaction, app_commands
from discord.ext import commands

from bot.desk import Desk
from bot.duration import parse_duration
from bot.release.app import App
from bot.release.errors import Refused
from bot.release.record import Release
from cogs import words
from cogs.answer import Pressed, answering, request_of
from cogs.apps import choices, meant
from cogs.card import GREY, origin
from cogs.cards import Cards
from cogs.limits import DESCRIPTION, TITLE
from cogs.outcome import outcome
from cogs.text import clip, code, line, listed, person_name, plain, stamp

TURNED = "history_page"
"""The event that a press of Newer or Older becomes."""
_PAGES = 10**6
_ID = r"history:(?P<app>[^:]{1,64}):(?P<page>\d{1,7}):(?P<author>\d{1,20}):(?P<since>\d{1,12})"
_LINE = 300


class PageButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=_ID):
    """Newer or Older; `author` and `since` (seconds since 1970) are 0 for none."""

    def __init__(self, label: str, app: str, page: int, author: int, since: int) -> None:
        custom_id = f"history:{app}:{page}:{author}:{since}"
        super().__init__(discord.ui.Button(label=label, custom_id=custom_id))
        self._asked = (app, page, author, since)

    @classmethod
    async def from_custom_id(
        cls,
        interaction: Interaction,  # noqa: ARG003 - discord.py's signature
        item: discord.ui.Item[Any],
        match: re.Match[str],
        /,
    ) -> Self:
        label = getattr(item, "label", None) or words.OLDER
        return cls(label, match["app"], int(match["page"]), int(match["author"]), int(match["since"]))

    async def callback(self, interaction: Interaction) -> None:
        interaction.client.dispatch(TURNED, interaction, *self._asked)


class Turner(discord.ui.View):
    """The buttons below a page."""

    def __init__(self, app: str, page: int, pages: int, author: int, since: int) -> None:
        super().__init__(timeout=None)
        if page > 1:
            self.add_item(PageButton(words.NEWER, app, page - 1, author, since))
        if page < pages:
            self.add_item(PageButton(words.OLDER, app, page + 1, author, since))

    def is_dispatchable(self) -> bool:
        return False  # as below a card: the custom ids say it all


class History(commands.Cog):
    def __init__(self, desk: Desk, cards: Cards) -> None:
        self._desk = desk
        self._cards = cards

    @commands.hybrid_command(description=words.HISTORY)  # type: ignore[arg-type]  # mypy cannot infer its type variables
    @app_commands.describe(
        app=words.APP, page=words.HISTORY_PAGE, person=words.HISTORY_PERSON, since=words.HISTORY_SINCE
    )
    async def history(
        self,
        ctx: commands.Context[commands.Bot],
        app: str | None = None,
        page: int | None = None,
        person: discord.User | None = None,
        since: str | None = None,
    ) -> None:
        request = request_of(ctx)
        await request.take()
        chosen = meant(self._desk.apps, app, request.channel)
        start = _start(since, ctx.message.created_at) if since else None
        seconds = int(start.timestamp()) if start is not None else 0
        embed, view = await self._page(chosen, min(page or 1, _PAGES), person.id if person else 0, max(0, seconds))
        await request.answer(embed=embed, view=view)

    @history.autocomplete("app")
    async def apps(self, _: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        return choices(self._desk.apps, typed)

    @commands.Cog.listener()
    async def on_history_page(self, interaction: Interaction, app: str, page: int, author: int, since: int) -> None:
        async with answering(Pressed(interaction)):
            embed, view = await self._page(meant(self._desk.apps, app, 0), page, author, since)
            await interaction.response.edit_message(embed=embed, view=view)

    async def _page(self, app: App, number: int, author: int, since: int) -> tuple[discord.Embed, Turner]:
        start = datetime.fromtimestamp(since, UTC) if since else None
        page = await self._desk.history(app, number, author=author or None, since=start)
        lines = [await self._line(release) for release in page.releases]
        embed = discord.Embed(
            title=clip(words.history_title(app.name, page.number, page.pages), TITLE),
            description=clip("\n".join(lines) or words.NO_HISTORY, DESCRIPTION),
            colour=GREY,
        )
        return embed, Turner(app.name, page.number, page.pages, author, since)

    async def _line(self, release: Release) -> str:
        approvers = listed([person_name(each.name) for each in release.approvers], most=3)
        begun = origin(release, person_name(release.author.name), plain(release.begun_by, 60))
        text = words.history_line(outcome(release), stamp(release.created_at), begun, approvers)
        url = await self._cards.address(release)
        return words.with_card(clip(text, _LINE), url) if url else clip(text, _LINE)


def _start(text: str, now: datetime) -> datetime:
    """A date, or an age such as `7d`; raises `Refused`."""
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        return now - min(parse_duration(text.strip()), timedelta(days=20_000))
    except ValueError:
        raise Refused(words.bad_date(code(line(text, 40), 42))) from None
