"""Everything on one machine: a registry, a cluster, Discord, the real bot between them, and a page to try it on."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import webbrowser
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import click

from sandbox import mochi
from sandbox.bot_process import BotProcess
from sandbox.cluster import INSTANT, LIFELIKE, Behaviour, Cluster, wall_clock
from sandbox.discord import DiscordServer, Message, World
from sandbox.discord.page import Pages
from sandbox.page.server import PageServer
from sandbox.registry import Registry

WORLD = World(
    guild="Mochi Ltd",
    channels=("mochi", "general"),
    topics={"mochi": "Releases of mochi", "general": "Everything else"},
    roles=("Developer", "QC", "Lead", "On call"),
    colours={"Developer": 0x3B82F6, "QC": 0x8B5CF6, "Lead": 0xD97706, "On call": 0xDB2777},
    people={"ann": ("Developer",), "kim": ("QC",), "leo": ("Lead",), "sam": ("On call",), "guest": ()},
)
CHANNEL = "mochi"
TRY = (
    "Type /deploy image:green in #mochi as ann (developer). "
    "Then react ✅ as kim (QC) and as leo (Lead). Press Roll back."
)
USUAL_PORT = 8090
READY_WITHIN = 45.0
SHOWN_THREADS = 2
FIRST_LIVE = "blue"


class DemoError(Exception):
    """The demo cannot go on; its text says why."""


def configuration(discord: DiscordServer, registry: str, production: str, preview: str, *, fast: bool) -> str:
    """The demo's greenlight.toml: what a team writes, with times that one can watch pass."""
    role = discord.role_id
    return f"""\
guild = {discord.guild_id}

[apps.mochi]
namespace   = "{mochi.NAMESPACE}"
channel     = {discord.channel_id(CHANNEL)}
image       = "{registry}/mochi"
service     = "{mochi.ACTIVE}"
preview     = "{mochi.PREVIEW}"
slots       = ["{mochi.LIVE}", "{mochi.IDLE}"]
container   = "{mochi.CONTAINER}"
deployers   = [{role("Developer")}]
rollbackers = [{role("Developer")}, {role("QC")}, {role("Lead")}, {role("On call")}]

[apps.mochi.links]
production = "{production}"
preview    = "{preview}"

[apps.mochi.approval]
require = [
    {{ roles = [{role("QC")}], count = 1 }},
    {{ roles = [{role("Lead")}], count = 1 }},
]
expires = "30m"

[apps.mochi.timing]
stage_within   = "2m"
promote_within = "30s"
grace          = "3s"
bake_for       = "{"5s" if fast else "1m"}"
warm_for       = "10m"

[registries."{registry}"]
insecure = true
"""


class Demo:
    """The running parts, for whoever opened the demo: the command line, the pictures, a test."""

    def __init__(self, folder: Path, *, fast: bool = False, behaviours: Mapping[str, Behaviour] | None = None) -> None:
        self.folder = folder
        self.discord = DiscordServer(WORLD)
        self.registry = Registry()
        pods = behaviours or (INSTANT if fast else LIFELIKE)
        self.cluster = Cluster(now=wall_clock, behaviours=pods, digests=self.registry.digests)
        self.production = ""
        self.preview = ""
        self.page = PageServer(self.state)
        self._fast = fast
        self._pages = Pages(self.discord)
        self._session: aiohttp.ClientSession | None = None
        self.bot: BotProcess | None = None

    async def start(self, stack: AsyncExitStack, port: int) -> None:
        """Start all parts, the bot last; each is stopped by the stack. `DemoError` when the bot does not come up."""
        await self.registry.start()
        stack.push_async_callback(self.registry.stop)
        stack.push_async_callback(self.cluster.stop)
        await self.cluster.start()
        self.cluster.apply(mochi.manifests(f"{self.registry.host}/mochi:{FIRST_LIVE}"))
        self.production = await self.cluster.proxy.serve(mochi.ACTIVE, mochi.NAMESPACE) + "/"
        self.preview = await self.cluster.proxy.serve(mochi.PREVIEW, mochi.NAMESPACE) + "/"
        stack.push_async_callback(self.discord.stop)
        await self.discord.start()
        self._session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)))
        stack.push_async_callback(self._pages.close)
        stack.push_async_callback(self.page.stop)
        await self._listen(port)
        self.bot = BotProcess(self._settings(), self.folder / "bot.log")
        stack.push_async_callback(self.bot.stop)
        await self.bot.start()
        await self._bot_is_up(self.bot)

    async def _listen(self, port: int) -> None:
        try:
            await self.page.start(port or USUAL_PORT)
        except OSError as why:
            if port:
                raise DemoError(f"Port {port} cannot be used ({why.strerror}): choose another with --port.") from None
            await self.page.start(0)

    def _settings(self) -> Mapping[str, str]:
        """Writes the bot's files, as an operator would, and answers its environment."""
        kubeconfig, config = self.folder / "kubeconfig", self.folder / "greenlight.toml"
        kubeconfig.write_text(json.dumps(self.cluster.kubeconfig()), encoding="utf-8")
        kubeconfig.chmod(0o600)
        text = configuration(self.discord, self.registry.host, self.production, self.preview, fast=self._fast)
        config.write_text(text, encoding="utf-8")
        return {
            "DISCORD_TOKEN": self.discord.token,
            "DISCORD_API_URL": self.discord.api_url,
            "DISCORD_GATEWAY_URL": self.discord.gateway_url,
            "GREENLIGHT_CONFIG": str(config),
            "DATABASE_URL": f"sqlite+aiosqlite:///{self.folder / 'greenlight.db'}",
            "KUBECONFIG": str(kubeconfig),
            "DOCKER_CONFIG": str(self.folder),
        }

    async def _bot_is_up(self, bot: BotProcess) -> None:
        ready = asyncio.ensure_future(self.discord.bot_ready("deploy", "rollback", "status", within=READY_WITHIN))
        ended = asyncio.ensure_future(bot.ended())
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise DemoError(f"The bot stopped while it started (exit {ended.result()}):\n{bot.last_lines()}")
            if ready.exception() is not None:
                raise DemoError(f"The bot did not come up within {READY_WITHIN:g} s:\n{bot.last_lines()}")
        finally:
            for task in (ready, ended):
                task.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)

    # What the page is told

    async def state(self) -> Mapping[str, Any]:
        production, preview = await self._site(self.production), await self._site(self.preview)
        return {
            "people": [
                {
                    "id": str(person.id),
                    "name": name,
                    "title": ", ".join(WORLD.people[name]) or "no role",
                    "colour": self._pages.colour(name),
                }
                for name, person in self.discord.people.items()
            ],
            "channels": [place async for place in self._places()],
            "production": production,
            "preview": preview,
            "step": step(self.cards(), production["version"]),
        }

    def cards(self) -> list[Message]:
        """The messages of the bot that show a release, oldest first."""
        messages = self.discord.messages(self.discord.channel_id(CHANNEL))
        return [message for message in messages if message.author == WORLD.bot and message.embeds]

    async def channel_page(self, channel_id: int) -> str:
        """The address of one channel's page alone."""
        return await self._pages.url(channel_id)

    async def _site(self, url: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = {}
        if self._session is not None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
                async with self._session.get(f"{url}version") as response:
                    answer = await response.json()
        return {"url": url, "version": answer.get("version"), "colour": answer.get("color")}

    async def _places(self) -> AsyncIterator[Mapping[str, Any]]:
        for name in WORLD.channels:
            channel = self.discord.channel_id(name)
            yield await self._place(channel, name, thread=False)
            threads = list(self.discord.threads(channel).items())
            for thread_name, thread in reversed(threads[-SHOWN_THREADS:]):
                yield await self._place(thread, thread_name, thread=True)

    async def _place(self, channel: int, name: str, *, thread: bool) -> Mapping[str, Any]:
        return {
            "id": str(channel),
            "name": name,
            "thread": thread,
            "url": await self._pages.url(channel),
            "messages": len(self.discord.messages(channel)),
        }


def step(cards: list[Message], live: str | None) -> str:
    """How far the visitor has come: "deploy", "approve", "rollback" or "done"."""
    if live not in (None, FIRST_LIVE):
        return "rollback"
    if any(card.content.startswith("🟠") and "rolled back" in card.content for card in cards):
        return "done"
    return "approve" if cards and cards[-1].content.startswith(("🔵", "🟡")) else "deploy"


@asynccontextmanager
async def running(
    *, port: int = 0, fast: bool = False, behaviours: Mapping[str, Behaviour] | None = None
) -> AsyncIterator[Demo]:
    """The demo from its first socket to its last file; port 0 is the usual one, or any that is free.

    `behaviours` says by tag how pods start, in place of what `fast` says.
    """
    folder = Path(tempfile.mkdtemp(prefix="greenlight-demo-"))
    try:
        async with AsyncExitStack() as stack:
            demo = Demo(folder, fast=fast, behaviours=behaviours)
            await demo.start(stack, port)
            yield demo
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def run(*, port: int, fast: bool, browser: bool) -> None:
    """Run until Ctrl-C, SIGTERM or SIGHUP. `DemoError` when the bot fails."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(kind, stopped.set)
    click.echo("Starting a registry, a cluster, Discord and the bot …", err=True)
    async with _interrupted_by(stopped), running(port=port, fast=fast) as demo:
        click.echo(f"\n  {click.style(demo.page.url, bold=True)}\n\n{TRY}\nCtrl-C ends it.", err=False)
        if browser and _has_browser():
            await asyncio.to_thread(webbrowser.open, demo.page.url)
        if demo.bot is not None:
            await _until_over(stopped, demo.bot)


@asynccontextmanager
async def _interrupted_by(stopped: asyncio.Event) -> AsyncIterator[None]:
    """Ctrl-C while things still start ends the start, not only what comes after it."""
    task = asyncio.current_task()
    started = False

    async def interrupt() -> None:
        await stopped.wait()
        if task is not None and not started:
            task.cancel()

    watcher = asyncio.create_task(interrupt())
    try:
        yield
    except asyncio.CancelledError:
        if not stopped.is_set():
            raise
    finally:
        started = True
        watcher.cancel()


async def _until_over(stopped: asyncio.Event, bot: BotProcess) -> None:
    asked, ended = asyncio.ensure_future(stopped.wait()), asyncio.ensure_future(bot.ended())
    try:
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done() and not stopped.is_set():
            raise DemoError(f"The bot has stopped (exit {ended.result()}):\n{bot.last_lines()}")
    finally:
        for task in (asked, ended):
            task.cancel()
        await asyncio.gather(asked, ended, return_exceptions=True)


def _has_browser() -> bool:
    if os.environ.get("CI") or not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
