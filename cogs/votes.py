"""Votes: the reactions on the cards of releases, as they come, and as Discord lists them after the bot was away.

Reactions count on the message on record only, whatever else looks like it. Raw events are used, since a card need not
be in any cache.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary

import discord
import structlog
from discord.ext import commands

from bot.desk import Desk
from bot.ports import Unreachable
from bot.release.approvals import Vote
from bot.release.record import Person, Phase, Release
from bot.store import Card, StoreError
from cogs import words
from cogs.answer import AWAY
from cogs.cards import Cards
from cogs.people import People, person

log = structlog.get_logger()

AGAIN_AFTER = 10.0
"""Seconds until the reactions are listed again when Discord did not answer."""
COUNT_AGAIN = "count_again"
"""Our own event that this is due."""
LEFT_ALONE_FOR = 600.0
"""Seconds for which no reaction is taken off in a channel where that was forbidden: whoever plays with reactions there
must not bring us the 10,000 refusals for which Discord bans an address."""
_VARIATION = "\ufe0f"
_MEANS = {words.APPROVE: True, words.VETO: False}


class Votes(commands.Cog):
    def __init__(
        self, client: commands.Bot, guild: int, desk: Desk, cards: Cards, people: People, wake: Callable[[str], None]
    ) -> None:
        self._client = client
        self._guild = guild
        self._desk = desk
        self._cards = cards
        self._people = people
        self._wake = wake
        self._session = 0
        self._hearing = False
        """Whether the gateway is there, with our guild: without it, what is listed may change unheard."""
        self._doubts = 0
        """How often something happened to votes that is not in the store. A listing that began before may lack it."""
        self._away = False
        """Whether our guild is not there, although Discord is."""
        self._left_alone: set[int] = set()
        """Channels in which no reaction is taken off: we may not."""
        self._again: asyncio.TimerHandle | None = None
        # Votes on one card are taken in turn, and never while they are being listed.
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    @commands.Cog.listener()
    async def on_raw_reaction_add(self, event: discord.RawReactionActionEvent) -> None:
        approve = self._meaning(event)
        if approve is None:
            return
        refused = None
        async with self._recording(event.message_id), self._turn(event.message_id):
            release = await self._voted_on(event.channel_id, event.message_id)
            if release is None:
                return
            voter = person(event.member) if event.member is not None else await self._member(event.user_id)
            if voter is None:
                return
            refused = await self._desk.vote(release, voter, approve)
            self._desk.redraw(release)
        if refused:  # outside its turn: nobody's vote waits for Discord to answer
            await self._take_off(event)

    @commands.Cog.listener()
    async def on_raw_reaction_remove(self, event: discord.RawReactionActionEvent) -> None:
        approve = self._meaning(event)
        if approve is None:
            return
        async with self._recording(event.message_id), self._turn(event.message_id):
            release = await self._voted_on(event.channel_id, event.message_id)
            if release is None:
                return
            await self._desk.withdraw(release, event.user_id, approve)
            self._cards.changed(release)

    @commands.Cog.listener()
    async def on_raw_reaction_clear(self, event: discord.RawReactionClearEvent) -> None:
        await self._recount_at(event.channel_id, event.message_id)

    @commands.Cog.listener()
    async def on_raw_reaction_clear_emoji(self, event: discord.RawReactionClearEmojiEvent) -> None:
        await self._recount_at(event.channel_id, event.message_id)

    @commands.Cog.listener()
    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        """Somebody deleted a card: it is posted again, and what was voted on it is void."""
        await self._lost(event.channel_id, event.message_id)

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        for message in event.message_ids:
            await self._lost(event.channel_id, message)

    @commands.Cog.listener()
    async def on_votes_begin(self, release: Release) -> None:
        """Whoever was quicker than the record of the card was not heard."""
        async with self._recording(release):
            if not await self._recount(release):
                self._doubtful()

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        await self._catch_up()

    @commands.Cog.listener()
    async def on_resumed(self) -> None:
        await self._catch_up()

    @commands.Cog.listener()
    async def on_count_again(self) -> None:
        if self._hearing:
            await self._count()

    @commands.Cog.listener()
    async def on_guild_unavailable(self, guild: discord.Guild) -> None:
        """Discord is there, but for our guild: nothing that happens in it is heard."""
        if guild.id == self._guild:
            log.warning("Discord has an outage that takes our server out", guild=guild.id)
            self._away = True
            await self.on_disconnect()

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """The bot was taken out of it: as long as it is not invited again, that is no different."""
        if guild.id == self._guild:
            log.error("the bot is no longer in the server: invite it again", guild=guild.id)
            self._away = True
            await self.on_disconnect()

    @commands.Cog.listener()
    async def on_guild_available(self, guild: discord.Guild) -> None:
        if guild.id == self._guild and self._away:
            await self._catch_up()

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        await self.on_guild_available(guild)

    @commands.Cog.listener()
    async def on_guild_role_delete(self, role: discord.Role) -> None:
        """Open cards say whether anybody is left who can approve."""
        if role.guild.id == self._guild:
            for release in await self._desk.store.current():
                if release.app in self._desk.apps and release.phase.open:
                    self._cards.changed(release)

    @commands.Cog.listener()
    async def on_disconnect(self) -> None:
        self._session += 1
        self._hearing = False
        if self._again is not None:
            self._again.cancel()
        self._people.counted = False
        self._cards.close()

    async def _catch_up(self) -> None:
        """From now on everything that happens in our guild is heard; what happened before is listed."""
        guild = self._client.get_guild(self._guild)
        self._away = guild is None or guild.unavailable
        if self._away:
            log.warning("our server is not there yet", guild=self._guild)
            return
        self._hearing = True
        await self._count()

    async def _count(self) -> None:
        """List the votes on every open card again, then let the controller ask for roles, and draw what changed.

        Nothing else is drawn: the controller looks at each app when it starts, and says what its card lacks.
        """
        session, doubts = self._session, self._doubts
        try:
            current = [release for release in await self._desk.store.current() if release.app in self._desk.apps]
            waiting = [release for release in current if release.phase in {Phase.READY, Phase.PROMOTING}]
            counted = all([await self._recount(release) for release in waiting])
        except Exception:
            log.exception("votes not listed")
            current, counted = [], False
        if session != self._session:
            return  # Discord went away meanwhile, and the next session lists them again
        if not counted:
            self._doubtful()
        elif doubts == self._doubts:
            self._people.counted = True
        self._cards.open()
        for release in current:
            self._wake(release.app)

    async def _lost(self, channel: int, message: int) -> None:
        async with self._recording(message):
            release = await self._voted_on(channel, message)
            if release is not None:
                async with self._turn(message):
                    await self._desk.recount(release, ())  # it may rest a while before it is posted again
                self._cards.lost(release)

    async def _recount_at(self, channel: int, message: int) -> None:
        async with self._recording(message):
            release = await self._voted_on(channel, message)
            if release is None:
                return
            if not await self._recount(release):
                self._doubtful()
            self._cards.cleared(release)

    async def _recount(self, release: Release) -> bool:
        """Whether the votes in the store are now those that Discord lists."""
        card = await self._desk.store.card(release)
        if card is None:
            return True
        async with self._turn(card.message):
            try:
                votes = await self._listed(card)
            except discord.NotFound as error:
                log.warning("a card is gone: its votes are void", release=release, error=str(error))
                votes = []
                self._cards.lost(release)
            except discord.Forbidden as error:
                # It is there, and may even be edited: to post it anew would help nobody.
                log.warning(
                    "a card may not be read, so its votes are void: give the bot View Channel and Read Message History",
                    release=release,
                    channel=card.channel,
                    error=str(error),
                )
                votes = []
            except (*AWAY, Unreachable) as error:
                log.warning("votes not listed", release=release, error=str(error))
                return False
            await self._desk.recount(release, votes)
        return True

    async def _listed(self, card: Card) -> list[Vote]:
        channel = self._client.get_partial_messageable(card.channel, guild_id=self._guild)
        message = await channel.fetch_message(card.message)
        voters: dict[bool, list[int]] = defaultdict(list)
        for reaction in message.reactions:
            approve = _MEANS.get(str(reaction.emoji).removesuffix(_VARIATION))
            if approve is not None:
                voters[approve] += [user.id async for user in reaction.users(limit=None) if user != self._client.user]
        people = await self._people.members({each for ids in voters.values() for each in ids})
        return [
            Vote(people[each], approve)
            for approve, ids in voters.items()
            for each in dict.fromkeys(ids)
            if each in people
        ]

    async def _voted_on(self, channel: int, message: int) -> Release | None:
        release = await self._desk.store.shown_at(message, channel)
        return release if release is not None and release.app in self._desk.apps else None

    async def _member(self, user: int) -> Person | None:
        try:
            return (await self._people.members({user})).get(user)
        except Unreachable:
            return None

    async def _take_off(self, event: discord.RawReactionActionEvent) -> None:
        """Why it does not count is in the journal, so the thread will tell; without the right to, it stays there."""
        if event.channel_id in self._left_alone:
            return
        channel = self._client.get_partial_messageable(event.channel_id, guild_id=self._guild)
        try:
            message = channel.get_partial_message(event.message_id)
            await message.remove_reaction(event.emoji, discord.Object(event.user_id))
        except AWAY as error:
            log.info("reaction stays", message=event.message_id, channel=event.channel_id, error=str(error))
            if isinstance(error, discord.Forbidden):
                self._left_alone.add(event.channel_id)
                later = asyncio.get_running_loop().call_later
                later(LEFT_ALONE_FOR, self._left_alone.discard, event.channel_id)

    def _meaning(self, event: discord.RawReactionActionEvent) -> bool | None:
        mine = self._client.user is not None and event.user_id == self._client.user.id
        if mine or event.guild_id != self._guild:
            return None
        return _MEANS.get(str(event.emoji).removesuffix(_VARIATION))

    @asynccontextmanager
    async def _recording(self, where: Release | int) -> AsyncIterator[None]:
        """What cannot be recorded now is listed again with all other votes, and nothing is switched before. `where` is
        the release or its message. No turn may be held outside of it, since the listing takes them all.
        """
        try:
            yield
        except StoreError as error:
            log.warning("a vote is not recorded", where=where, reason=str(error))
            self._doubtful()
            with suppress(StoreError):
                release = where if isinstance(where, Release) else await self._desk.store.shown_at(where)
                if release is not None:
                    self._desk.report(release, str(error))
        except Exception:
            self._doubtful()
            raise

    def _doubtful(self) -> None:
        """The votes in the store may not be those on the cards: whatever was listed until now says nothing about it."""
        self._doubts += 1
        self._people.counted = False
        self._count_again()

    def _count_again(self) -> None:
        """Soon, while anything is heard: otherwise the next session lists them."""
        if self._again is not None:
            self._again.cancel()
        if self._hearing:
            self._again = asyncio.get_running_loop().call_later(AGAIN_AFTER, self._client.dispatch, COUNT_AGAIN)

    def _turn(self, message: int) -> asyncio.Lock:
        return self._turns.setdefault(message, asyncio.Lock())
