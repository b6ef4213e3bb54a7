"""The buttons of a card's gates and guards: to stop a gate, to have it run again, to accept one that did not pass
(with a reason), and to keep what is live in spite of a guard.
"""

import re

import discord
from discord.ext import commands

from bot.desk import Desk
from bot.release.errors import Refused
from bot.release.gates import accept
from cogs import words
from cogs.answer import Pressed, answering, taking
from cogs.buttons import GATE_ID, Wish, gate_id
from cogs.people import person
from cogs.presses import REASON_LIMIT, filled_in, reason_form, typed
from cogs.text import line

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
            does, said = {
                Wish.AGAIN: (self._desk.repeat_gate, words.gate_repeated),
                Wish.STOP: (self._desk.stop_gate, words.gate_stopped),
                Wish.KEEP: (self._desk.keep, words.guard_kept),
            }[wish]
            async with taking(request):
                release = await does(app, number, gate, request.person)
            self._desk.redraw(release)
            await request.answer(said(release.title, gate))

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """The form that asks for the reason was filled in."""
        match = filled_in(interaction, _FORM)
        if match is None:
            return
        request = Pressed(interaction)
        async with answering(request):
            async with taking(request):
                why = line(typed(interaction.data), REASON_LIMIT)
                number, gate = int(match["number"]), match["gate"]
                release = await self._desk.accept_gate(match["app"], number, gate, request.person, why)
            self._desk.redraw(release)
            await request.answer(words.gate_accepted(release.title, match["gate"]))

    async def _ask_why(self, interaction: discord.Interaction, app: str, number: int, gate: str) -> None:
        release = await self._desk.release(app, number)
        if release is None or app not in self._desk.apps:
            raise Refused(words.OLD_BUTTON)
        accept(release, self._desk.apps[app], gate, person(interaction.user), "it may")  # else for nothing
        about = gate_id(app, number, Wish.ACCEPT, gate)
        form = reason_form(words.accept_gate(gate), about, words.ACCEPT_REASON, words.ACCEPT_HINT, required=True)
        await interaction.response.send_modal(form)
