"""Discord for one bot in another process: REST and gateway on one loopback port, and the people who use it."""

from collections.abc import Callable
from typing import TypeVar

import discord
from aiohttp import web
from aiohttp.typedefs import Handler
from simcord.builders import ChannelHandle

from sandbox.discord.environment import RemoteEnv
from sandbox.discord.faults import Faults
from sandbox.discord.gateway import Gateway
from sandbox.discord.messages import Message, seen
from sandbox.discord.people import PATIENCE, Person
from sandbox.discord.rest import PREFIX, Rest
from sandbox.discord.world import World

T = TypeVar("T")

HUMAN = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    read_message_history=True,
    add_reactions=True,
    use_application_commands=True,
)


class DiscordServer:
    """The world exists from construction, with all ids; the network from `start` to `stop`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.env = RemoteEnv()
        self.token = world.token
        backend = self.env.backend
        backend.bot_user.name = world.bot
        self._guild = self.env.create_guild(world.guild)
        self._channels = {
            name: self._guild.create_text_channel(name, topic=world.topics.get(name)) for name in world.channels
        }
        self._roles = {
            name: self._guild.create_role(name, permissions=HUMAN, color=world.colours.get(name, 0), mentionable=True)
            for name in world.roles
        }
        self.people = {
            name: Person(
                self.env,
                self._guild.add_member(self.env.create_user(name), roles=[self._roles[role] for role in roles]),
            )
            for name, roles in world.people.items()
        }
        self.faults = Faults()
        self.gateway = Gateway(
            backend, token=world.token, privileged=world.privileged_intents, on_change=self.env.changes.announce
        )
        self.rest = Rest(self.env, self.gateway, token=world.token, faults=self.faults)
        self._runner: web.AppRunner | None = None
        self._host = ""
        self.down = False
        """While true, every connection breaks that is there or is opened, as if there were no Discord."""
        self.turned_away = 0
        """How many requests have met that."""

    # Places

    @property
    def api_url(self) -> str:
        """For `discord.http.Route.BASE`."""
        return f"http://{self._host}{PREFIX}"

    @property
    def gateway_url(self) -> str:
        """For `DiscordWebSocket.DEFAULT_GATEWAY`."""
        return f"ws://{self._host}/gateway"

    @property
    def guild_id(self) -> int:
        return self._guild.id

    def channel_id(self, name: str) -> int:
        return self._channels[name].id

    def role_id(self, name: str) -> int:
        return self._roles[name].id

    def channel(self, channel_id: int) -> ChannelHandle:
        """A channel or thread as simcord's page takes it."""
        return ChannelHandle(self.env, self._guild, self.env.backend.get_channel(channel_id))

    def threads(self, channel_id: int) -> dict[str, int]:
        """The ids of the channel's threads by their names."""
        channels = self.env.backend.channels.values()
        return {channel.name or "": channel.id for channel in channels if channel.parent_id == channel_id}

    # Life

    async def start(self, port: int = 0, *, host: str = "127.0.0.1") -> None:
        """Listen; with port 0 on a free one."""
        app = web.Application(client_max_size=32 << 20, middlewares=[self._unless_down])
        app.router.add_get("/gateway", self.gateway.serve)
        app.router.add_route("*", PREFIX + "/{path:.*}", self.rest.serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        name = self._runner.addresses[0]
        self._host = f"{name[0]}:{name[1]}"
        self.gateway.url = self.gateway_url

    def go_down(self) -> None:
        self.down = True
        self.gateway.cut()

    def come_back(self) -> None:
        self.down = False

    @web.middleware
    async def _unless_down(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.down:
            self.turned_away += 1
            self.env.changes.announce()
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return await handler(request)

    async def stop(self) -> None:
        self.rest.close()
        await self.gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def bot_ready(self, *commands: str, within: float = 30.0) -> None:
        """Wait until the bot has identified and registered these slash commands."""

        def ready() -> bool:
            known = {name for scope in self.env.backend.commands.values() for name, _type in scope}
            return self.gateway.connected and known.issuperset(commands)

        await self.until(ready, within=within, what="the bot is ready")

    # Looking

    def messages(self, channel_id: int) -> list[Message]:
        """What everybody sees in a channel or thread, oldest first."""
        stored = self.env.backend.messages.get(channel_id, {}).values()
        return [seen(self.env.backend, message) for message in stored if not message.is_ephemeral]

    def message(self, channel_id: int, message_id: int) -> Message:
        return seen(self.env.backend, self.env.backend.get_message(channel_id, message_id))

    async def until(self, condition: Callable[[], T | None], *, within: float = PATIENCE, what: str) -> T:
        """The first true value of `condition`, looked at after every change; `TimeoutError` names `what`."""
        return await self.env.changes.until(condition, within=within, what=what)

    # Administration, as a guild's owner does it by hand

    def grant(self, person: str, role: str) -> None:
        held = self._role_ids(person)
        self._set_roles(person, [*held, self.role_id(role)])

    def revoke(self, person: str, role: str) -> None:
        self._set_roles(person, [held for held in self._role_ids(person) if held != self.role_id(role)])

    def leave(self, person: str) -> None:
        """The person leaves the guild."""
        self.env.backend.remove_member(self.guild_id, self.people[person].id)

    def delete_message(self, channel_id: int, message_id: int) -> None:
        self.env.backend.delete_message(channel_id, message_id)

    def _role_ids(self, person: str) -> list[int]:
        return self.env.backend.get_member(self.guild_id, self.people[person].id).role_ids

    def _set_roles(self, person: str, role_ids: list[int]) -> None:
        member = self.people[person].id
        self.env.backend.edit_member(self.guild_id, member, {"role_ids": role_ids})
