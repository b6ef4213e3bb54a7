"""Discord on the wire, for an unmodified discord.py bot: `DiscordServer(World(...))`.

The bot needs two addresses and nothing else: `discord.http.Route.BASE` and `DiscordWebSocket.DEFAULT_GATEWAY`.
"""

from sandbox.discord.messages import Button, Message
from sandbox.discord.people import Person, Reply
from sandbox.discord.server import DiscordServer
from sandbox.discord.world import World

__all__ = ["Button", "DiscordServer", "Message", "Person", "Reply", "World"]
