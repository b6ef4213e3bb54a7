"""`/deploy`: begin a release."""

import structlog
from discord import Interaction, app_commands
from discord.ext import commands

from bot.desk import AlreadyOpen, Desk
from bot.release.approvals import holds
from bot.release.errors import Refused
from cogs import words
from cogs.answer import explain, request_of, text_channel
from cogs.apps import choices, meant
from cogs.cards import Cards
from cogs.limits import CHOICE, CHOICES
from cogs.people import person
from cogs.text import code

log = structlog.get_logger()


class Deploy(commands.Cog):
    def __init__(self, desk: Desk, cards: Cards) -> None:
        self._desk = desk
        self._cards = cards

    @commands.hybrid_command(description=words.DEPLOY)  # type: ignore[arg-type]  # mypy cannot infer its type variables
    @app_commands.describe(image=words.DEPLOY_IMAGE, app=words.APP, replace=words.DEPLOY_REPLACE)
    async def deploy(
        self, ctx: commands.Context[commands.Bot], image: str, app: str | None = None, replace: bool = False
    ) -> None:
        request = request_of(ctx)
        if not await request.take():
            raise Refused(words.NOT_ANSWERED)
        chosen = meant(self._desk.apps, app, request.channel)
        try:
            release = await self._desk.deploy(chosen, image.strip(), request.person, replace=replace)
        except AlreadyOpen as error:
            url = await self._cards.address(error.release)
            await request.answer(words.with_link(explain(error), url) if url else explain(error))
            return
        url = await self._cards.posted(release)
        await request.answer(words.started(release.title, code(release.asked, 100), url))

    @deploy.autocomplete("app")
    async def apps(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Those that this person may deploy."""
        who = person(interaction.user)
        return choices(self._desk.apps, typed, lambda app: holds(who, app.deployers))

    @deploy.autocomplete("image")
    async def images(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Tags of the app that is meant, newest first; none for somebody who may not deploy it."""
        try:
            app = meant(self._desk.apps, interaction.namespace.app, text_channel(interaction.channel))
        except Refused:
            return []
        if not holds(person(interaction.user), app.deployers):
            return []
        found = await self._desk.suggest_images(app, typed.strip())
        return [app_commands.Choice(name=tag, value=tag) for tag in found if 0 < len(tag) <= CHOICE][:CHOICES]
