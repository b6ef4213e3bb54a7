"""`/rollback`: put an app back as it was before its newest release, in whatever phase that is."""

from discord import Interaction, app_commands
from discord.ext import commands

from bot.desk import Desk
from bot.release.approvals import holds
from bot.release.errors import Refused
from bot.release.machine import Verb
from cogs import words
from cogs.answer import request_of
from cogs.apps import choices, meant
from cogs.cards import Cards
from cogs.people import person
from cogs.presses import REASON_LIMIT, way_back
from cogs.text import line


class Rollback(commands.Cog):
    def __init__(self, desk: Desk, cards: Cards) -> None:
        self._desk = desk
        self._cards = cards

    @commands.hybrid_command(description=words.ROLLBACK)  # type: ignore[arg-type]  # mypy cannot infer its type variables
    @app_commands.describe(app=words.APP, reason=words.ROLLBACK_REASON)
    async def rollback(self, ctx: commands.Context[commands.Bot], app: str | None = None, *, reason: str = "") -> None:
        request = request_of(ctx)
        await request.take()  # a rollback is safe twice, and nothing missing blocks it
        chosen = meant(self._desk.apps, app, request.channel)
        release = await self._desk.newest(chosen.name)
        if release is None:
            raise Refused(words.nothing_to_roll_back(chosen.name))
        kind = way_back(await self._desk.view(release))
        asked = await self._desk.ask(
            chosen.name, release.number, Verb.ROLL_BACK, request.person, line(reason, REASON_LIMIT)
        )
        self._cards.changed(asked)
        await request.answer(words.done(Verb.ROLL_BACK, asked.title, kind))

    @rollback.autocomplete("app")
    async def apps(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Those that this person may roll back."""
        who = person(interaction.user)
        return choices(self._desk.apps, typed, lambda app: holds(who, app.may_roll_back))
