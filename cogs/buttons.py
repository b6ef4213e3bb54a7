"""The buttons below a card. What one means stands in its custom id, so that it still works after a restart."""

import re
from enum import StrEnum
from typing import Any, Self

import discord

from bot.release.record import Release
from bot.release.verbs import Verb
from cogs import words
from cogs.card import Face

AGAIN = "again"
PRESSED = "release_button"
"""The event that a press becomes: the interaction, the app, the number and the action."""
ID = r"greenlight:(?P<app>[^:]{1,64}):(?P<number>\d{1,9}):(?P<action>[a-z_]{1,20})"

_STYLES = {
    Verb.PROMOTE: discord.ButtonStyle.success,
    Verb.ROLL_BACK: discord.ButtonStyle.danger,
    Verb.REJECT: discord.ButtonStyle.danger,
}


def custom_id(app: str, number: int, action: str) -> str:
    return f"greenlight:{app}:{number}:{action}"


def verb_of(action: str) -> Verb | None:
    return Verb.__members__.get(action.upper())


class ReleaseButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=ID):
    """`action` is a verb's name in lower case, or `again`."""

    def __init__(self, app: str, number: int, action: str) -> None:
        verb = verb_of(action)
        label = words.VERB_BUTTONS.get(verb, words.AGAIN_BUTTON) if verb else words.AGAIN_BUTTON
        style = _STYLES.get(verb, discord.ButtonStyle.secondary) if verb else discord.ButtonStyle.secondary
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=custom_id(app, number, action), row=1))
        self._pressed = (app, number, action)

    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction,  # noqa: ARG003 - discord.py's signature
        item: discord.ui.Item[Any],  # noqa: ARG003 - the same
        match: re.Match[str],
        /,
    ) -> Self:
        return cls(match["app"], int(match["number"]), match["action"])

    async def callback(self, interaction: discord.Interaction) -> None:
        interaction.client.dispatch(PRESSED, interaction, *self._pressed)


GATE_PRESSED = "gate_button"
"""The event that a press becomes: the interaction, the app, the number, what is asked for, and the gate or guard."""
GATE_ID = (
    r"greenlight:(?P<app>[^:]{1,32}):(?P<number>\d{1,9}):(?P<wish>again|accept|stop|keep):(?P<gate>[a-z0-9-]{1,32})"
)


def gate_id(app: str, number: int, wish: "Wish", gate: str) -> str:
    return f"greenlight:{app}:{number}:{wish}:{gate}"


class Wish(StrEnum):
    AGAIN = "again"
    ACCEPT = "accept"
    STOP = "stop"
    KEEP = "keep"
    """What is live, in spite of a guard."""


_WISHES = {
    Wish.AGAIN: words.repeat_gate,
    Wish.ACCEPT: words.accept_gate,
    Wish.STOP: words.stop_gate,
    Wish.KEEP: words.keep_guard,
}
"""What a button is called, by the name of its gate or guard."""


class GateButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=GATE_ID):
    def __init__(self, app: str, number: int, wish: Wish, gate: str, row: int | None = None) -> None:
        super().__init__(
            discord.ui.Button(label=_WISHES[wish](gate), custom_id=gate_id(app, number, wish, gate), row=row)
        )
        self._pressed = (app, number, wish, gate)

    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction,  # noqa: ARG003 - discord.py's signature
        item: discord.ui.Item[Any],  # noqa: ARG003 - the same
        match: re.Match[str],
        /,
    ) -> Self:
        return cls(match["app"], int(match["number"]), Wish(match["wish"]), match["gate"])

    async def callback(self, interaction: discord.Interaction) -> None:
        interaction.client.dispatch(GATE_PRESSED, interaction, *self._pressed)


class CardButtons(discord.ui.View):
    """The rows below a card."""

    def __init__(self, release: Release, face: Face) -> None:
        super().__init__(timeout=None)
        for link in face.links:
            self.add_item(discord.ui.Button(label=link.label, url=link.url, row=0))
        for action in [verb.name.lower() for verb in face.verbs] + [AGAIN] * face.again:
            self.add_item(ReleaseButton(release.app, release.number, action))
        if face.keep:
            self.add_item(GateButton(release.app, release.number, Wish.KEEP, face.keep, row=1))
        asked = ((Wish.AGAIN, face.repeatable), (Wish.ACCEPT, face.acceptable), (Wish.STOP, face.stoppable))
        for row, (wish, gates) in enumerate(asked, start=2):
            for gate in gates:
                self.add_item(GateButton(release.app, release.number, wish, gate, row))

    def is_dispatchable(self) -> bool:
        # The custom ids say it all: discord.py need not remember this view for every card there ever was.
        return False
