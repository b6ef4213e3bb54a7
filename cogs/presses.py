"""What happens when somebody presses a button of a card, and the forms that ask back before something dangerous.

Like a button, a form carries in its custom id what it is about: it may be filled in after a restart.
"""

import asyncio
import re
from typing import Any

import discord
import structlog
from discord.ext import commands

from bot.desk import Desk
from bot.release.errors import Refused
from bot.release.record import Phase
from bot.release.verbs import Verb, ask
from bot.view import Kind, View
from cogs import words
from cogs.answer import AWAY, TAKEN_WITHIN, Pressed, answering, taking
from cogs.buttons import AGAIN, ID, custom_id, verb_of
from cogs.card import image_name
from cogs.cards import Cards
from cogs.limits import INPUT_PLACEHOLDER, MODAL_TITLE
from cogs.people import person
from cogs.text import clip, code, line

log = structlog.get_logger()

REASON_LIMIT = 200
FORM_WITHIN = 15 * 60.0
"""Seconds that Discord lets somebody fill in a form."""

_FAILS = 500
"""From here on, a status says that Discord fails; below, that it refuses."""
_ASKS_BACK = {Verb.ROLL_BACK, Verb.REJECT}
# Twice is once: the second finds the release on its way back already.
_SAFE_UNCONFIRMED = {Verb.ROLL_BACK, Verb.REJECT, Verb.ABANDON}
_FORM = re.compile(rf"form:{ID}")


class Presses(commands.Cog):
    def __init__(self, desk: Desk, cards: Cards) -> None:
        self._desk = desk
        self._cards = cards

    @commands.Cog.listener()
    async def on_release_button(self, interaction: discord.Interaction, app: str, number: int, action: str) -> None:
        """A button of a card, be it old or no longer fitting; always answered."""
        request = Pressed(interaction)
        async with answering(request):
            view = await self._view(app, number)
            verb = verb_of(action)
            if verb in _ASKS_BACK:
                await self._ask_back(request, interaction, view, verb)
                return
            taken = await request.take()
            if not taken and verb not in _SAFE_UNCONFIRMED:
                raise Refused(words.NOT_ANSWERED)
            if verb is not None:
                await self._do(request, view, verb, "")
            elif action == AGAIN:
                await self._again(request, view)
            else:
                raise Refused(words.OLD_BUTTON)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """A form that was filled in; forms survive a restart, as buttons do."""
        match = filled_in(interaction, _FORM)
        if match is None:
            return
        request = Pressed(interaction)
        async with answering(request):
            async with taking(request):  # all forms are about verbs that are safe unconfirmed
                verb = verb_of(match["action"])
                if verb not in _ASKS_BACK:
                    raise Refused(words.OLD_BUTTON)
                view = await self._view(match["app"], int(match["number"]))
                await self._ask(request, view, verb, line(typed(interaction.data), REASON_LIMIT))
            await self._say_done(request, view, verb)

    async def _ask_back(self, request: Pressed, interaction: discord.Interaction, view: View, verb: Verb) -> None:
        """Show the form. While Discord fails, a rollback is not kept waiting for one that nobody sees."""
        _check(view, verb, interaction)
        try:
            async with asyncio.timeout(TAKEN_WITHIN):
                await interaction.response.send_modal(_form(view, verb))
        except AWAY as error:
            log.warning("form not shown", interaction=interaction.id, error=str(error))
            refused = isinstance(error, discord.HTTPException) and error.status < _FAILS  # such as: taken by another
            if refused or verb is not Verb.ROLL_BACK:
                raise Refused(words.NOT_ANSWERED) from error
            await self._do(request, view, verb, "")

    async def _view(self, app: str, number: int) -> View:
        release = await self._desk.release(app, number) if app in self._desk.apps else None
        if release is None:
            raise Refused(words.OLD_BUTTON)
        return await self._desk.view(release)

    async def _do(self, request: Pressed, view: View, verb: Verb, reason: str) -> None:
        await self._ask(request, view, verb, reason)
        await self._say_done(request, view, verb)

    async def _ask(self, request: Pressed, view: View, verb: Verb, reason: str) -> None:
        release = await self._desk.ask(view.release.app, view.release.number, verb, request.person, reason)
        self._desk.redraw(release)

    async def _say_done(self, request: Pressed, view: View, verb: Verb) -> None:
        # A version that is brought back by a release of its own is taken back all the same.
        await request.answer(words.done(verb, view.release.title, way_back(view) if verb is Verb.ROLL_BACK else ""))

    async def _again(self, request: Pressed, view: View) -> None:
        if not view.current:
            raise Refused(words.not_newest(view.release.title))
        same = view.release  # its very content, whatever its tag means by now
        release = await self._desk.deploy(view.app, same.image, request.person, called=same.asked)
        url = await self._cards.posted(release)
        await request.answer(words.started(release.title, code(release.asked, 100), url))


def way_back(view: View) -> str:
    """Which kind of rollback it would be now."""
    if view.release.phase in {Phase.STAGING, Phase.READY}:
        return words.BACK_BEFORE_SWITCH
    previous = code(image_name(view.way_back.previous), 60)
    match view.way_back.kind:
        case Kind.INSTANT:
            return words.back_at_once(previous)
        case Kind.REDEPLOY:
            return words.back_by_redeploy(previous)
        case Kind.NONE:
            return words.BACK_SOMEHOW


def _check(view: View, verb: Verb, interaction: discord.Interaction) -> None:
    """Raises what asking would raise now, before somebody fills in a form for nothing."""
    if not view.current and verb not in view.buttons:
        raise Refused(words.not_newest(view.release.title))
    ask(view.release, view.app, verb, person(interaction.user), view.release.since)


def _form(view: View, verb: Verb) -> discord.ui.Modal:
    title = view.release.title
    rollback = verb is Verb.ROLL_BACK
    heading = words.roll_back_form(title) if rollback else words.reject_form(title)
    hint = way_back(view).replace("`", "") if rollback else words.REJECT_HINT
    return reason_form(heading, custom_id(view.release.app, view.release.number, verb.name.lower()), words.REASON, hint)


def reason_form(title: str, about: str, label: str, hint: str, *, required: bool = False) -> discord.ui.Modal:
    """Asks for one line of text; `about` is what it is about, as in a button's custom id."""
    form = discord.ui.Modal(title=clip(title, MODAL_TITLE), timeout=FORM_WITHIN, custom_id=f"form:{about}")
    reason = discord.ui.TextInput[Any](
        custom_id="reason", style=discord.TextStyle.short, required=required, max_length=REASON_LIMIT
    )
    form.add_item(discord.ui.Label(text=label, description=clip(hint, INPUT_PLACEHOLDER), component=reason))
    return form


def filled_in(interaction: discord.Interaction, form: re.Pattern[str]) -> re.Match[str] | None:
    """What it is about, if it is such a form that somebody has filled in."""
    data: Any = interaction.data or {}
    submitted = interaction.type is discord.InteractionType.modal_submit
    return form.fullmatch(str(data.get("custom_id", ""))) if submitted else None


def typed(data: Any) -> str:
    """The text of the form's only input, however Discord nests it."""
    if isinstance(data, dict):
        if isinstance(data.get("value"), str):
            return str(data["value"])
        data = [data.get("component"), *(data.get("components") or [])]
    if isinstance(data, list):
        return next((found for found in map(typed, data) if found), "")
    return ""
