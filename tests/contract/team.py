"""A team around a target: Discord on the wire, a registry, and the bot as its own process, unmodified."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from backends import BACKENDS, Backend
from targets import Target

from sandbox.bot_process import BotProcess
from sandbox.discord import DiscordServer, Message, World
from sandbox.registry import Registry

WORLD = World(
    guild="Mochi Ltd",
    channels=("mochi", "general"),
    roles=("Developer", "QC", "Lead", "On call"),
    people={"ann": ("Developer",), "kim": ("QC",), "leo": ("Lead",), "sam": ("On call",), "guest": ()},
)
APPROVE, VETO = "✅", "⛔"
START_WITHIN, SHOW_WITHIN = 45.0, 30.0


async def until(condition: Callable[[], object], *, within: float) -> None:
    """For what no event tells of: what another process writes into a file."""
    async with asyncio.timeout(within):
        while True:
            if condition():
                return
            await asyncio.sleep(0.05)


class Killable(BotProcess):
    def send(self, kind: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(kind)

    async def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is said to anybody."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()


class Team:
    def __init__(self, target: Target, folder: Path, backend: Backend = BACKENDS[0], **environment: str) -> None:
        self.target = target
        self.backend = backend
        self.folder = folder
        self.discord = DiscordServer(WORLD)
        self.registry = Registry()
        self.log = folder / "bot.log"
        self.environment = environment
        """More of it than every bot has."""
        self._environment: dict[str, str] = {}
        self.bot: Killable

    @property
    def channel(self) -> int:
        return self.discord.channel_id("mochi")

    def person(self, name: str) -> Any:
        return self.discord.people[name]

    def image(self, tag: str) -> str:
        return f"{self.registry.host}/mochi:{tag}"

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator["Team"]:
        """Everything but the bot, which `start_bot` starts."""
        async with AsyncExitStack() as stack:
            await self.registry.start()
            stack.push_async_callback(self.registry.stop)
            stack.push_async_callback(self.discord.stop)
            await self.discord.start()
            self.target.knows(self.registry.digests)
            yield self

    async def start_bot(self) -> None:
        """Returns when it has logged in and told Discord its commands."""
        await self.launch_bot()
        try:
            await self.discord.bot_ready("deploy", "rollback", within=START_WITHIN)
        except TimeoutError:
            raise AssertionError(f"The bot did not come up:\n{self.bot.last_lines()}") from None

    @asynccontextmanager
    async def hired(self, environment: dict[str, str]) -> AsyncIterator[None]:
        """With the bot at work as somebody else has set it up."""
        self._environment = environment
        await self.start_bot()
        yield
        await self.bot.stop()
        assert await self.bot.ended() == 0, self.bot.last_lines()
        assert self.discord.token not in self.log.read_text()

    async def launch_bot(self) -> None:
        """Returns as soon as there is a process."""
        if not self._environment:
            self._environment = await self._settings() | self.environment
        self.bot = Killable(self._environment, self.log)
        await self.bot.start()

    async def said(self, words: str) -> None:
        """Until its log has these words."""
        await until(lambda: self.log.exists() and words in self.log.read_text(), within=START_WITHIN)

    async def card(self, sign: str, *words: str) -> Message:
        """The newest card, once its first line begins with the sign and has the words in it."""

        def shown() -> Message | None:
            cards = [message for message in self.discord.messages(self.channel) if message.embeds]
            first_line = cards[-1].content if cards else ""
            return cards[-1] if first_line.startswith(sign) and all(word in first_line for word in words) else None

        try:
            return await self.discord.until(shown, within=SHOW_WITHIN, what=f"a card with {sign}")
        except TimeoutError:
            seen = "\n".join(message.text for message in self.discord.messages(self.channel))
            raise AssertionError(f"No card shows {sign} {words}:\n{seen}\n{self.bot.last_lines()}") from None

    async def ballot(self, *words: str) -> Message:
        """The card that asks for approval, once the two reactions are below it that people press."""
        card = await self.card("🟡", *words)

        def offered() -> Message | None:
            now = self.discord.message(self.channel, card.id)
            return now if all(WORLD.bot in now.reactions.get(emoji, ()) for emoji in (APPROVE, VETO)) else None

        return await self.discord.until(offered, within=SHOW_WITHIN, what="the reactions to vote with")

    async def _settings(self) -> dict[str, str]:
        """Writes the bot's files as an operator would; the environment that points at them."""
        kubeconfig, config = self.folder / "kubeconfig", self.folder / "greenlight.toml"
        kubeconfig.write_text(json.dumps(await self.target.kubeconfig(self._rules())))
        config.write_text(self._configuration())
        return {
            "DISCORD_TOKEN": self.discord.token,
            "DISCORD_API_URL": self.discord.api_url,
            "DISCORD_GATEWAY_URL": self.discord.gateway_url,
            "GREENLIGHT_CONFIG": str(config),
            "DATABASE_URL": f"sqlite+aiosqlite:///{self.folder / 'greenlight.db'}",
            "KUBECONFIG": str(kubeconfig),
            "DOCKER_CONFIG": str(self.folder),
        }

    def _rules(self) -> list[dict[str, Any]]:
        """Of the bot's Role."""
        return self.backend.rules()

    def _configuration(self) -> str:
        id_of = self.discord.role_id
        return f"""\
guild = {self.discord.guild_id}

[apps.mochi]
namespace   = "{self.target.namespace}"
channel     = {self.channel}
image       = "{self.registry.host}/mochi"
{self.backend.target}
deployers   = [{id_of("Developer")}]
rollbackers = [{id_of("On call")}]

[apps.mochi.approval]
require = [
    {{ roles = [{id_of("QC")}], count = 1 }},
    {{ roles = [{id_of("Lead")}], count = 1 }},
]

[apps.mochi.timing]
grace    = "3s"
bake_for = "5m"

[registries."{self.registry.host}"]
insecure = true
"""
