"""What Greenlight finds on Discord: application, server, commands, and for each app its channel and roles.

REST only: no session is begun, so a bot that runs meanwhile is not disturbed.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace

import aiohttp
import discord
from discord import app_commands

from bot.check import clocks
from bot.check.finding import Finding, fail, ok, warn
from bot.clusters.api import http_date
from bot.release.app import App, Notify

PART = "Discord"
SCOPES = ("bot", "applications.commands")
PORTAL = "the Discord Developer Portal"


@dataclass(frozen=True)
class Permission:
    flag: str
    shown: str
    """As Discord calls it in its settings."""
    without: str
    """What is missed without it."""
    needed: bool = False
    """Without it the app cannot be released here at all."""


PERMISSIONS = (
    Permission("view_channel", "View Channel", "nobody can release from here", needed=True),
    Permission("send_messages", "Send Messages", "no card can be posted", needed=True),
    Permission("embed_links", "Embed Links", "a card stays empty", needed=True),
    Permission(
        "read_message_history",
        "Read Message History",
        "votes cannot be read again after a restart, and are void then",
        needed=True,
    ),
    Permission("create_public_threads", "Create Public Threads", "cards work, but no thread tells what happened"),
    Permission("send_messages_in_threads", "Send Messages in Threads", "cards work, but their threads stay empty"),
    Permission("add_reactions", "Add Reactions", "people have to put ✅ and ⛔ below a card themselves"),
    Permission("manage_messages", "Manage Messages", "a vote that does not count stays below the card"),
    Permission("attach_files", "Attach Files", "threads tell what k6 measured, without its own report as a file"),
)
"""What the invitation asks for."""


def invitation(application: int, guild: int) -> str:
    wanted = discord.Permissions(**{each.flag: True for each in PERMISSIONS})
    return discord.utils.oauth_url(application, permissions=wanted, guild=discord.Object(guild), scopes=SCOPES)


async def guild(token: str, guild_id: int, apps: Iterable[App], now: Callable[[], datetime]) -> list[Finding]:
    """`bot.client.point_at` says where Discord is."""
    clock = _Clock(now)
    async with discord.Client(intents=discord.Intents(guilds=True), http_trace=clock.trace) as client:
        try:
            await client.login(token)
        except discord.LoginFailure:
            fix = f"Copy it again from {PORTAL} (Bot → Reset Token)."
            return [*clock.findings(), fail(PART, "token", "is not accepted.", fix)]
        link = invitation(client.application_id or 0, guild_id)
        found = [*_application(client, await client.application_info()), ok(PART, "invitation", link)]
        found += clock.findings()
        try:
            server = await client.fetch_guild(guild_id, with_counts=False)
        except (discord.NotFound, discord.Forbidden):
            sentence = f"{guild_id}: the bot is not there, or there is no such server."
            return [*found, fail(PART, "server", sentence, f"Set `guild` to its id, or invite the bot: {link}")]
        me = await server.fetch_member(client.user.id if client.user else 0)
        channels, commands = await asyncio.gather(server.fetch_channels(), _commands(client, server, link))
        found += [ok(PART, "server", server.name), *_too_much(me), *commands]
        known = {channel.id: channel for channel in channels}
        for app in apps:
            found += _app(app, server, known.get(app.channel), me, link)
        return found


def _application(client: discord.Client, info: discord.AppInfo) -> Iterator[Finding]:
    yield ok(PART, "application", f"logged in as {client.user}; no privileged intent is needed.")
    if info.interactions_endpoint_url:
        sentence = "has an Interactions Endpoint URL: commands and buttons go there and never reach the bot."
        yield fail(PART, "application", sentence, f"Clear it in {PORTAL} (General Information).")
    if info.bot_require_code_grant:
        sentence = "requires an OAuth2 code grant: the invitation below will be refused."
        yield warn(PART, "application", sentence, f"Switch that off in {PORTAL} (Bot).")


async def _commands(client: discord.Client, server: discord.Guild, link: str) -> list[Finding]:
    try:
        known = await app_commands.CommandTree(client).fetch_commands(guild=server)
    except discord.Forbidden:
        sentence = "may not be registered: the bot was invited without the scope applications.commands."
        return [fail(PART, "commands", sentence, f"Invite it again, it keeps what it has: {link}")]
    if not known:
        return [ok(PART, "commands", "are not registered yet: `greenlight run` does it at its start.")]
    return [ok(PART, "commands", ", ".join(sorted(f"/{command.name}" for command in known)))]


def _too_much(me: discord.Member) -> Iterator[Finding]:
    if me.guild_permissions.administrator:
        sentence = "the bot is an administrator: whoever gets hold of its token could do everything on the server."
        fix = "Take Administrator away from its roles; it needs only what the invitation names."
        yield warn(PART, "permissions", sentence, fix)


# What belongs to one app ----------------------------------------------------------------------------------------------


def _app(
    app: App, server: discord.Guild, channel: discord.abc.GuildChannel | None, me: discord.Member, link: str
) -> Iterator[Finding]:
    part, table = f"app {app.name}", f"[apps.{app.name}]"
    fix = f"Set `channel` in {table} to the id of a text channel of {server.name}."
    if channel is None:
        yield fail(part, "channel", f"{app.channel} was deleted, or is on another server.", fix)
    elif not isinstance(channel, discord.TextChannel):
        kind = str(channel.type).replace("_", " ")
        yield fail(part, f"#{channel.name}", f"is no text channel but one of the kind {kind}.", fix)
    else:
        yield from _permissions(part, channel, me, link)
    yield from _roles(app, part, server, channel, me)


def _permissions(part: str, channel: discord.TextChannel, me: discord.Member, link: str) -> Iterator[Finding]:
    here, everywhere = channel.permissions_for(me), me.guild_permissions
    about, missing = f"#{channel.name}", [each for each in _missing(here) if each.without]
    if not missing:
        yield ok(part, about, "has all permissions that are needed.")
    for each in missing:
        fix = f"Allow it for the bot's role in {about} (Edit Channel → Permissions)."
        if not getattr(everywhere, each.flag):
            fix = f"Allow it for the bot's role, or invite the bot again: {link}"
        state = fail if each.needed else warn
        yield state(part, about, f"{each.shown} is missing: {each.without}.", fix)


def _missing(here: discord.Permissions) -> list[Permission]:
    """Only what has to be allowed: Discord takes others away with the first two."""
    lost = [each for each in PERMISSIONS if not getattr(here, each.flag)]
    if not here.view_channel:
        return lost[:1]
    return [each for each in lost if here.send_messages or each.flag not in {"embed_links", "attach_files"}]


def _roles(
    app: App,
    part: str,
    server: discord.Guild,
    channel: discord.abc.GuildChannel | None,
    me: discord.Member,
) -> Iterator[Finding]:
    named: Mapping[str, frozenset[int]] = {
        "deployers": app.deployers,
        "rollbackers": app.rollbackers,
        "approval.require": app.approval.roles,
    }
    known = {role.id: role for role in server.roles}
    wrong = False
    for number in sorted(frozenset().union(*named.values())):
        keys = " and ".join(f"`{key}`" for key, roles in named.items() if number in roles)
        fix = f"Put the id of a role of your team into {keys} of [apps.{app.name}]."
        role = known.get(number)
        finding = None
        if role is None:
            finding = fail(part, f"role {number}", f"is no role of {server.name}: nobody has it.", fix)
        elif role.managed:
            sentence = "belongs to an integration, which decides who has it: it does not count."
            finding = fail(part, f"role {role.name}", sentence, fix)
        elif number in app.approval.roles and not _can_be_pinged(app, role, channel, me):
            sentence = "cannot be pinged: those who may approve are not told when it is their turn."
            fix = (
                "Switch on `Allow anyone to @mention this role` for it, allow the bot's role `Mention @everyone, "
                f'@here, and All Roles` in the channel, or set notify = "off" in [apps.{app.name}].'
            )
            finding = warn(part, f"role {role.name}", sentence, fix)
        if finding is not None:
            wrong = True
            yield finding
    if not wrong:
        names = sorted(known[number].name for roles in named.values() for number in roles)
        yield ok(part, "roles", ", ".join(dict.fromkeys(names)))


def _can_be_pinged(app: App, role: discord.Role, channel: discord.abc.GuildChannel | None, me: discord.Member) -> bool:
    if role.mentionable or app.notify is Notify.OFF or channel is None:
        return True
    return channel.permissions_for(me).mention_everyone


class _Clock:
    """Hears what time it is at Discord from the headers of its answers."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._heard: list[Finding] = []
        self.trace = aiohttp.TraceConfig()
        self.trace.on_request_end.append(self._hear)

    def findings(self) -> list[Finding]:
        return self._heard

    async def _hear(self, _: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
        self._heard = clocks.compared(PART, PART, http_date(end.response.headers), self._now())
