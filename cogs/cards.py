"""The card of each release on Discord: posted once, edited in place, with its thread, its ping and its reactions.

Drawn from what is stored, whenever something may have changed and again after any failure, so that the card finally
tells the truth whatever Discord did meanwhile. What was done is stored after each step, and what is posted carries a
nonce made from what it is: after a crash in between, Discord answers a repeated step with the message that is there.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import discord
import structlog

from bot.clusters.cluster import label_of
from bot.desk import Desk
from bot.release.app import Notify
from bot.release.guards import told
from bot.release.record import Cause, Phase, Release
from bot.store import Card, Event, StoreError
from bot.view import View
from cogs import words
from cogs.answer import AWAY
from cogs.buttons import CardButtons
from cogs.card import Around, Face, asks_for_approval, face
from cogs.posting import nonce, retry_after, shows
from cogs.text import sentence, stamp
from cogs.threads import Threads

log = structlog.get_logger()

POSTED_WITHIN = 5.0
"""Seconds that a command waits for the card it wants to link to."""
EDITED_TOO_OFTEN = 30046
"""Discord's code for an old message that was edited too often in the last hour."""
MENTIONED_ROLES = 50
REACTED = "+"
"""At the end of a card's fingerprint: the bot's two reactions are below it."""

VOTES_BEGIN = "votes_begin"
"""The event that a release's card takes votes from now on."""

CALLED = "guard:called"
"""The kind of the events that tell for which alarms people were called."""

_NOBODY = discord.AllowedMentions.none()


class Cards:
    """`changed` may be called from the start; nothing is drawn before `open`."""

    def __init__(self, client: discord.Client, guild: int) -> None:
        self._client = client
        self._guild = guild
        self._desk: Desk | None = None
        self._open = False
        self._wanted: dict[str, Release] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._failures: Counter[str] = Counter()
        # What happened to messages: the record of a card is written by whoever draws it, and nobody else.
        self._lost: set[str] = set()
        self._cleared: set[str] = set()
        self._threads = Threads(client, guild)
        self._there: dict[str, asyncio.Event] = {}

    def attend(self, desk: Desk) -> None:
        self._desk = desk

    def open(self) -> None:
        """Discord is there: draw what waited for it."""
        self._open = True
        for label in list(self._wanted):
            self._begin(label)

    def close(self) -> None:
        """Discord is gone; what changes from now on is drawn when it is back."""
        self._open = False
        for timer in self._later.values():
            timer.cancel()
        self._later.clear()

    def changed(self, release: Release) -> None:
        """Draw its card soon; after a failure, when its pause is over. Never blocks, never raises."""
        self._wanted[release.label] = release
        if release.label not in self._later:
            self._begin(release.label)

    def _begin(self, label: str) -> None:
        if timer := self._later.pop(label, None):
            timer.cancel()
        if self._open and label not in self._running:
            self._running[label] = asyncio.create_task(self._work(label), name=f"card of {label}")

    def lost(self, release: Release) -> None:
        """Its message was deleted: void what was voted on it and post it anew."""
        self._lost.add(release.label)
        self.changed(release)

    def cleared(self, release: Release) -> None:
        """Somebody took all reactions off its message: ours go there again."""
        self._cleared.add(release.label)
        self.changed(release)

    async def idle(self) -> None:
        """Until nothing is being drawn."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def posted(self, release: Release) -> str:
        """The address of its card, "" when it is not there within a few seconds. Its thread may come later."""
        there = self._there.setdefault(release.label, asyncio.Event())
        self._wanted[release.label] = release
        self._begin(release.label)  # somebody waits for it
        if task := self._running.get(release.label):
            waiting = asyncio.create_task(there.wait())
            await asyncio.wait([task, waiting], timeout=POSTED_WITHIN, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        self._there.pop(release.label, None)
        return await self.address(release) or ""

    async def address(self, release: Release) -> str | None:
        card = await self._attended.store.card(release)
        return None if card is None else f"https://discord.com/channels/{self._guild}/{card.channel}/{card.message}"

    def roles(self) -> dict[int, str]:
        """The names of the guild's roles by id."""
        guild = self._client.get_guild(self._guild)
        return {role.id: role.name for role in guild.roles} if guild is not None else {}

    @property
    def _attended(self) -> Desk:
        if self._desk is None:
            raise RuntimeError("cards are drawn before anybody attends to them")
        return self._desk

    async def _work(self, label: str) -> None:
        """Draw until nothing newer is wanted."""
        try:
            while self._open and (release := self._wanted.pop(label, None)):
                try:
                    await self._draw(release)
                except (*AWAY, StoreError) as error:
                    log.warning("card not drawn", release=release, error=str(error))
                    self._try_later(release, error)
                    return
                except Exception as error:
                    log.exception("card not drawn", release=release)
                    self._try_later(release, error)
                    return
                self._failures.pop(label, None)
        finally:
            del self._running[label]

    def _try_later(self, release: Release, error: Exception) -> None:
        self._failures[release.label] += 1
        delay = retry_after(error, self._failures[release.label])
        self._wanted.setdefault(release.label, release)
        self._later[release.label] = asyncio.get_running_loop().call_later(delay, self._begin, release.label)

    async def _draw(self, release: Release) -> None:
        desk = self._attended
        before = await self._recorded(release)
        # Read before the release is, so that what is told of an event is true of the release as it is shown.
        events = await desk.store.events(release, before.told if before is not None else 0)
        stored = await desk.release(release.app, release.number)
        if stored is None or stored.app not in desk.apps:
            return
        view = await desk.view(stored)
        around = await self._around(view, self._threads.of(before) if before is not None else None)
        shown = face(view, around)
        card = await self._edit(before, view, shown) if before is not None else await self._post(view, shown)
        card = await self._react(card, stored, shown)
        if before is None or before.shown != card.shown:
            await self._draw_neighbours(stored)
        try:
            card = await self._threads.tell(desk.store, card, events, view, around)
        finally:  # whose turn it is does not wait for a thread
            await self._ping(await desk.store.card(stored) or card, view)

    async def _recorded(self, release: Release) -> Card | None:
        """Its card, without what somebody took away from it meanwhile."""
        store, label = self._attended.store, release.label
        card, lost, cleared = await store.card(release), label in self._lost, label in self._cleared
        if card is not None and (lost or cleared):
            card = replace(card, shown="" if lost else card.shown.removesuffix(REACTED))
            self._lost.discard(label)
            self._cleared.discard(label)
            try:
                await store.save_card(card)
            except BaseException:  # it happened all the same
                self._lost.update({label} if lost else ())
                self._cleared.add(label)
                raise
        return card

    async def _draw_neighbours(self, release: Release) -> None:
        """What another card says of this release: that it was replaced by it, or is live no longer."""
        store, label = self._attended.store, label_of(release.previous)
        before = [await store.release(release.app, release.number - 1), await store.labelled(label) if label else None]
        for neighbour in before:
            if neighbour is not None and (neighbour.replaced_by or neighbour.phase is Phase.DONE):
                self.changed(neighbour)

    async def _around(self, view: View, thread: int | None) -> Around:
        desk, release = self._attended, view.release
        places = {(app.cluster, app.namespace) for app in desk.apps.values()}
        place = "/".join(filter(None, (view.app.cluster, view.app.namespace)))
        successor = None
        if release.replaced_by is not None:
            newer = await desk.release(release.app, release.replaced_by)
            successor = await self.address(newer) if newer is not None else None
        return Around(
            roles=self.roles(),
            place=place if len(places) > 1 else "",
            thread=thread,
            successor=successor,
            taken_over=await self._taken_over(view),
        )

    async def _taken_over(self, view: View) -> int | None:
        release = view.release
        if release.phase is not Phase.DONE or view.current:
            return None
        found: list[int] = []
        number, pages = 1, 1
        while number <= pages:
            page = await self._attended.history(view.app, number)
            newer = [each for each in page.releases if each.number > release.number]
            live = {Phase.PROMOTING, Phase.BAKING, Phase.DONE, Phase.ABANDONED}
            found += [each.number for each in newer if each.was_live and each.phase in live]
            number, pages = number + 1, page.pages if len(newer) == len(page.releases) else 0
        return min(found, default=None)

    # On Discord

    async def _post(self, view: View, shown: Face, lost: Card | None = None) -> Card:
        """Post the card; instead of `lost`, if that cannot be edited any more. Votes on a lost card are void, since
        nobody can see them or take them back.
        """
        release = view.release
        if lost is not None and shown.voting:
            await self._attended.recount(release, ())
        message = await self._place(view.app.channel).send(
            shown.content,
            embed=shown.embed,
            view=CardButtons(release, shown),
            allowed_mentions=_NOBODY,
            nonce=nonce(release.label, "card", lost.message if lost else 0),
        )
        card = lost or Card(release.label, view.app.channel, message.id)
        known = shown.fingerprint if shows(message, shown) else ""
        card = replace(card, channel=view.app.channel, message=message.id, shown=known)
        await self._attended.store.save_card(card)
        if there := self._there.get(release.label):
            there.set()
        return card if known else await self._edit(card, view, shown)

    async def _edit(self, card: Card, view: View, shown: Face) -> Card:
        if card.shown.removesuffix(REACTED) == shown.fingerprint:
            return card
        message = self._message(card)
        try:
            await message.edit(
                content=shown.content,
                embed=shown.embed,
                view=CardButtons(view.release, shown),
                allowed_mentions=_NOBODY,
            )
        except discord.NotFound:
            return await self._post(view, shown, card)
        except discord.HTTPException as error:
            # While votes count on it, an old card is worth waiting for.
            if error.code != EDITED_TOO_OFTEN or shown.voting:
                raise
            return await self._post(view, shown, card)
        reacted = REACTED if card.shown.endswith(REACTED) else ""
        card = replace(card, shown=shown.fingerprint + reacted)
        await self._attended.store.save_card(card)
        return card

    async def _react(self, card: Card, release: Release, shown: Face) -> Card:
        """The two reactions are there exactly while votes count."""
        me = self._client.user
        if card.shown.endswith(REACTED) == shown.voting or me is None:
            return card
        message = self._message(card)
        for emoji in (words.APPROVE, words.VETO):
            try:
                await (message.add_reaction(emoji) if shown.voting else message.remove_reaction(emoji, me))
            except (discord.Forbidden, discord.NotFound) as error:
                log.warning("reaction not set", release=release, error=str(error))
        card = replace(card, shown=card.shown.removesuffix(REACTED) + (REACTED if shown.voting else ""))
        await self._attended.store.save_card(card)
        if shown.voting:
            self._client.dispatch(VOTES_BEGIN, release)
        return card

    async def _ping(self, card: Card, view: View) -> None:
        """Once, when it is somebody's turn, when it went live without them, and for each alarm to be answered: an edit
        notifies nobody.
        """
        release, title = view.release, view.release.title
        if view.app.notify is Notify.OFF:
            return
        if asks_for_approval(release) and not card.pinged:
            preview = f"<{view.preview.url}>" if view.preview is not None else ""
            wanted = {role for need in view.tally.open for role in need.roles}
            if await self._call(card, view, wanted, "turn", lambda roles: words.your_turn(roles, title, preview)):
                await self._attended.store.save_card(replace(card, pinged=True))
        elif release.phase is Phase.ABANDONED and release.cause is Cause.PROMOTED_OUTSIDE and not card.alarmed:
            reason, wanted = sentence(release.reason, 300), set(view.app.approval.roles)
            if await self._call(card, view, wanted, "alarm", lambda roles: words.unapproved(roles, title, reason)):
                await self._attended.store.save_card(replace(card, alarmed=True))
        elif view.to_answer:
            await self._ping_for_guards(card, view)

    async def _ping_for_guards(self, card: Card, view: View) -> None:
        release, store, wanted = view.release, self._attended.store, set(view.app.approval.roles)
        called = {event.detail["guard"] for event in await store.events(release) if event.kind == CALLED}
        for alarm, until in view.to_answer:
            if alarm.guard in called:
                continue
            said = partial(words.guard_asks, title=release.title, reason=sentence(told(alarm), 300), until=stamp(until))
            if await self._call(card, view, wanted, f"guard {alarm.guard}", said):
                await store.note(release, Event(CALLED, "", detail={"guard": alarm.guard}))

    async def _call(self, card: Card, view: View, wanted: set[int], why: str, said: Callable[[str], str]) -> bool:
        """Call those of these roles that there are; False: there is none of them."""
        there = self.roles()
        roles = sorted(wanted & there.keys() if there else wanted)[:MENTIONED_ROLES]
        if not roles:
            return False
        text = said(" ".join(f"<@&{role}>" for role in roles))
        mentioned = discord.AllowedMentions(
            everyone=False, users=False, replied_user=False, roles=[discord.Object(role) for role in roles]
        )
        reference = discord.MessageReference(message_id=card.message, channel_id=card.channel, fail_if_not_exists=False)
        once = nonce(card.release, why, 0)
        thread = await self._threads.below(card, view) if view.app.notify is Notify.THREAD else None
        if thread is not None:
            await thread.send(text, allowed_mentions=mentioned, nonce=once)
        else:
            await self._place(card.channel).send(text, allowed_mentions=mentioned, reference=reference, nonce=once)
        return True

    def _place(self, channel: int) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(channel, guild_id=self._guild)

    def _message(self, card: Card) -> discord.PartialMessage:
        return self._place(card.channel).get_partial_message(card.message)
