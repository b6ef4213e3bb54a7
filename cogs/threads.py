"""The thread below a card: opened once, and one line in it for each event, exactly once. The card works without."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import discord
import structlog

from bot.release.app import Mode, Notify
from bot.release.record import Release
from bot.store import Card, Event, Store
from bot.view import View
from cogs import words
from cogs.card import Around, state, version
from cogs.limits import CONTENT, THREAD_NAME
from cogs.posting import nonce
from cogs.text import clip, line, listed
from cogs.thread import Telling, tellings

log = structlog.get_logger()

THREAD_THERE = 160004
"""Discord's code for a message that has a thread already."""
CLOSED = {50083, 160005}
"""And those for a thread that is archived or locked."""
LEFT_ALONE_FOR = 600.0
"""Seconds for which a thread that may not be written into is not tried again."""

_NOT_MENTIONED = discord.AllowedMentions.none()


class Threads:
    def __init__(self, client: discord.Client, guild: int) -> None:
        self._client = client
        self._guild = guild
        self._without: set[int] = set()
        """Messages and channels for which no thread is written into."""

    async def tell(self, store: Store, card: Card, events: Sequence[Event], view: View, around: Around) -> Card:
        """One line for each event that the thread does not have yet."""
        for telling in tellings(events, CONTENT - 600):
            told = telling.told
            if telling.text or telling.ends:
                thread = await self.below(card, view)
                if thread is None:
                    return card
                card = replace(card, thread=thread.id)
                try:
                    said = await self._say(thread, card, telling, view, around)
                except discord.NotFound:  # somebody deleted the thread, and so does not want it
                    self._without.add(card.message)
                except discord.HTTPException as error:
                    if not isinstance(error, discord.Forbidden) and error.code not in CLOSED:
                        raise
                    self._leave(card.message, view.release, error)
                    return card
                else:
                    told = telling.told_by(said)
            card = replace(card, told=told)
            await store.save_card(card)
            if told < telling.told:  # the rest comes in a message of its own
                return await self.tell(store, card, [event for event in events if event.id > told], view, around)
        return card

    async def _say(
        self, thread: discord.abc.Messageable, card: Card, telling: Telling, view: View, around: Around
    ) -> str:
        """What the thread says then. It is less than was to be told when an earlier message got there after all, whose
        answer was lost: both begin behind `card.told`, so they have one nonce, and Discord answers with the earlier.
        """
        text, mentioned = telling.text, _NOT_MENTIONED
        author = view.release.author
        concerns = _concerns(telling, view, around)
        if concerns and view.app.notify is not Notify.OFF and author.is_known:
            text = f"{text}\n{concerns}".strip()
            mentioned = discord.AllowedMentions(
                everyone=False, roles=False, replied_user=False, users=[discord.Object(author.id)]
            )
        if not text:
            return ""
        once = nonce(card.release, "told after", card.told)
        if telling.file is not None:
            name, whole = telling.file
            file = discord.File(BytesIO(whole.encode()), name)
            try:
                return (await thread.send(text, file=file, allowed_mentions=mentioned, nonce=once)).content
            except discord.Forbidden:  # perhaps it is only the file that is
                log.warning("a result may not be attached", release=view.release, file=name)
        return (await thread.send(clip(text, CONTENT), allowed_mentions=mentioned, nonce=once)).content

    def _leave(self, place: int, release: Release, error: Exception) -> None:
        """What is not told now is told when it may be again."""
        log.warning("the thread may not be written into", release=release, error=str(error))
        self._without.add(place)
        asyncio.get_running_loop().call_later(LEFT_ALONE_FOR, self._without.discard, place)

    def of(self, card: Card) -> int | None:
        """Where the card's release is told; None where we may not."""
        return None if {card.message, card.channel} & self._without else card.thread

    async def below(self, card: Card, view: View) -> discord.PartialMessageable | None:
        """None where we may not have one."""
        if {card.message, card.channel} & self._without:
            return None
        if card.thread is not None:
            return self._place(card.thread)
        name = line(words.thread_name(view.release.title, version(view.release)), THREAD_NAME)
        try:
            thread = await self._place(card.channel).get_partial_message(card.message).create_thread(name=name)
        except discord.Forbidden as error:
            self._leave(card.channel, view.release, error)
            return None
        except discord.HTTPException as error:
            if error.code != THREAD_THERE:
                raise
            return self._place(card.message)  # a thread has the id of the message that it begins at
        return self._place(thread.id)

    def _place(self, channel: int) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(channel, guild_id=self._guild)


def _concerns(telling: Telling, view: View, around: Around) -> str:
    """What the author is called for: the end, or a gate that keeps the release back until somebody does something."""
    author = f"<@{view.release.author.id}>"
    if telling.ends:
        return words.over(author, state(view, around).first)
    names = [gate for gate in telling.stuck if gate in view.repeatable and gate not in _only_shown(view)]
    if not names:
        return ""
    acceptable = all(gate in view.acceptable for gate in names)
    return words.did_not_pass(author, view.release.title, listed(names, "and"), acceptable=acceptable)


def _only_shown(view: View) -> set[str]:
    return {gate.name for gate in view.app.gates if gate.mode is Mode.WARN}
