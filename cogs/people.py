"""People of the guild as the core knows them, with their roles as they are now."""

import asyncio
from collections.abc import Collection, Mapping

import discord

from bot.ports import Unreachable
from bot.release.record import Person


def person(member: discord.Member | discord.User) -> Person:
    """Roles by id; somebody outside the guild has none.

    Those that no person of the team gives do not count (S1): `@everyone`, and the managed ones of integrations,
    subscribers and boosters.
    """
    held = getattr(member, "roles", ())
    roles = frozenset(role.id for role in held if not role.is_default() and not role.managed)
    return Person(member.id, member.display_name, roles, bot=member.bot)


class People:
    """Asks Discord by REST, each time: a cache would need a privileged intent, and would be late."""

    def __init__(self, client: discord.Client, guild: int) -> None:
        self._client = client
        self._guild = guild
        self.counted = False
        """Whether the votes in the store are those on the cards. While they are not, nobody's roles are told, so that
        nothing is promoted on a vote that was taken back while the bot was away."""

    async def people(self, ids: Collection[int]) -> Mapping[int, Person]:
        if not self.counted:
            raise Unreachable("the reactions on the open cards were not listed yet")
        return await self.members(ids)

    async def members(self, ids: Collection[int]) -> Mapping[int, Person]:
        """Those of `ids` who are in the guild; raises `Unreachable`."""
        guild = self._client.get_guild(self._guild)
        if guild is None or guild.unavailable:
            raise Unreachable("Discord has not sent the server's data yet")
        # Shielded: discord.py never lifts its pause for everything again when whoever met the limit stops waiting.
        asking = asyncio.gather(*(_member(guild, each) for each in ids))
        try:
            found = await asyncio.shield(asking)
        except Exception as error:  # an answer that cannot be understood is none
            raise Unreachable(str(error) or repr(error)) from error
        except asyncio.CancelledError:
            asking.add_done_callback(_heard)
            raise
        return {each.id: each for each in found if each is not None}


def _heard(asked: "asyncio.Future[list[Person | None]]") -> None:
    """Nobody waits for the answer any more; that it failed is no news then."""
    if not asked.cancelled():
        asked.exception()


async def _member(guild: discord.Guild, each: int) -> Person | None:
    try:
        return person(await guild.fetch_member(each))
    except discord.NotFound:
        return None
