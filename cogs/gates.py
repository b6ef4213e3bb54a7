"""The buttons of a card's gates: to have one run again, and to accept one that did not pass, with a reason."""

import re
from typing import Any

import discord
from discord.ext import commands

from bot.desk import Desk
from bot.release.errors import Refused
from bot.release.gates import accept
from cogs import words
from cogs.answer import Pressed, answering, taking
from cogs.buttons import GATE_ID, Wish, gate_id
from cogs.limits import INPUT_PLACEHOLDER, MODAL_TITLE
from cogs.people import person
from cogs.presses import FORM_WITHIN, REASON_LIMIT, typed
from cogs.text import clip, line

_FORM = re.compile(rf"form:{GATE_ID}")


class Gates(commands.Cog):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @commands.Cog.listener()
    async def on_gate_button(
        self, interaction: discord.Interaction, app: str, number: int, wish: Wish, gate: str
    ) -> None:
        request = Pressed(interaction)
        async with answering(request):
            if wish is Wish.ACCEPT:
                await self._ask_why(interaction, app, number, gate)
                return
            async with taking(request):
                release = await self._desk.repeat_gate(app, number, gate, request.person)
            self._desk.redraw(release)
            await request.answer(words.gate_repeated(release.title, gate))

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """The form that asks for the reason was filled in."""
        data: Any = interaction.data or {}
        match = _FORM.fullmatch(str(data.get("custom_id", "")))
        if interaction.type is not discord.InteractionType.modal_submit or match is None:
            return
        request = Pressed(interaction)
        async with answering(request):
            async with taking(request):
                why = line(typed(data), REASON_LIMIT)
                number, gate = int(match["number"]), match["gate"]
                release = await self._desk.accept_gate(match["app"], number, gate, request.person, why)
            self._desk.redraw(release)
            await request.answer(words.gate_accepted(release.title, match["gate"]))

    async def _ask_why(self, interaction: discord.Interaction, app: str, number: int, gate: str) -> None:
        release = await self._desk.release(app, number)
        if release is None or app not in self._desk.apps:
            raise Refused(words.OLD_BUTTON)
        accept(release, self._desk.apps[app], gate, person(interaction.user), "it may")  # else for nothing
        form = discord.ui.Modal(
            title=clip(words.accept_gate(gate), MODAL_TITLE),
            timeout=FORM_WITHIN,
            custom_id=f"form:{gate_id(app, number, Wish.ACCEPT, gate)}",
        )
        why = discord.ui.TextInput[Any](
            custom_id="reason", style=discord.TextStyle.short, required=True, max_length=REASON_LIMIT
        )
        hint = clip(words.ACCEPT_HINT, INPUT_PLACEHOLDER)
        form.add_item(discord.ui.Label(text=words.ACCEPT_REASON, description=hint, component=why))
        await interaction.response.send_modal(form)
