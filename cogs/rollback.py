"""`/rollback`: put an app back as it was before its newest release, in whatever phase that is."""

from discord import Interaction, app_commands
from discord.ext import commands

from bot.desk import Desk
from bot.release.approvals import holds
from bot.release.verbs import Verb
from cogs import words
from cogs.answer import request_of, taking
from cogs.apps import choices, meant
from cogs.cards import Cards
from cogs.people import person
from cogs.presses import REASON_LIMIT, way_back
from cogs.text import code, line


class Rollback(commands.Cog):
    def __init__(self, desk: Desk, cards: Cards) -> None:
        self._desk = desk
        self._cards = cards

    @commands.hybrid_command(description=words.ROLLBACK)  # type: ignore[arg-type]  # mypy cannot infer its type variables
    @app_commands.describe(app=words.APP, reason=words.ROLLBACK_REASON)
    async def rollback(self, ctx: commands.Context[commands.Bot], app: str | None = None, *, reason: str = "") -> None:
        request = request_of(ctx)
        async with taking(request):  # a rollback is safe twice, and nothing missing blocks it
            chosen = meant(self._desk.apps, app, request.channel)
            before = await self._desk.newest(chosen.name)
            kind = way_back(await self._desk.view(before)) if before is not None else ""
            asked = await self._desk.roll_back(chosen, request.person, line(reason, REASON_LIMIT))
        title = asked.title
        if asked.restores is not None and (before is None or asked.number != before.number):
            title, kind = f"{asked.app} #{asked.restores}", words.back_by_redeploy(code(asked.asked, 60))
        self._cards.changed(asked)
        await request.answer(words.done(Verb.ROLL_BACK, title, kind))

    @rollback.autocomplete("app")
    async def apps(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Those that this person may roll back."""
        who = person(interaction.user)
        return choices(self._desk.apps, typed, lambda app: holds(who, app.may_roll_back))
