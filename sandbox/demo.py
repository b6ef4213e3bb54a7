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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import click

from sandbox.apps import APPS, DANGO, IMAGES, MOCHI, NAMESPACE, DemoApp
from sandbox.bot_process import BotProcess
from sandbox.cluster import INSTANT, LIFELIKE, Behaviour, Cluster, wall_clock
from sandbox.cluster.errands import k6_here
from sandbox.discord import DiscordServer, Message, World
from sandbox.discord.page import Pages
from sandbox.page.server import PageServer
from sandbox.registry import Registry

WORLD = World(
    guild="Mochi Ltd",
    channels=(*(app.name for app in APPS), "general"),
    topics={"general": "Everything else", **{app.name: f"Releases of {app.name}" for app in APPS}},
    roles=("Developer", "QC", "Lead", "On call"),
    colours={"Developer": 0x3B82F6, "QC": 0x8B5CF6, "Lead": 0xD97706, "On call": 0xDB2777},
    people={"ann": ("Developer",), "kim": ("QC",), "leo": ("Lead",), "sam": ("On call",), "guest": ()},
)
TRY = (
    f"Type /deploy image:{MOCHI.next} in #{MOCHI.name} as ann (developer). "
    "Then react ✅ as kim (QC) and as leo (Lead). Press Roll back.\n"
    f"The same on {DANGO.runs_on}: /deploy image:{DANGO.next} in #{DANGO.name}.\n"
    f"In #{MOCHI.name} image:slow does not pass its gate, and image:flaky is taken back by its guard."
)
USUAL_PORT = 8090
READY_WITHIN = 45.0
SHOWN_THREADS = 2


class DemoError(Exception):
    """The demo cannot go on; its text says why."""


@dataclass(frozen=True)
class Sites:
    """Where an app answers."""

    production: str
    preview: str


def configuration(discord: DiscordServer, registry: str, sites: Mapping[DemoApp, Sites], *, fast: bool) -> str:
    """The demo's greenlight.toml: what a team writes, with times that one can watch pass."""
    apps = "\n".join(_tables(app, discord, registry, sites[app], fast=fast) for app in APPS)
    return f"""\
guild = {discord.guild_id}

{apps}
[registries."{registry}"]
insecure = true
"""


def _tables(app: DemoApp, discord: DiscordServer, registry: str, sites: Sites, *, fast: bool) -> str:
    role = discord.role_id
    return f"""\
[apps.{app.name}]
{app.table(f"{registry}/{app.name}")}\
channel     = {discord.channel_id(app.name)}
deployers   = [{role("Developer")}]
rollbackers = [{role("Developer")}, {role("QC")}, {role("Lead")}, {role("On call")}]

[apps.{app.name}.links]
production = "{sites.production}"
preview    = "{sites.preview}"

[apps.{app.name}.approval]
require = [
    {{ roles = [{role("QC")}], count = 1 }},
    {{ roles = [{role("Lead")}], count = 1 }},
]
expires = "30m"

[apps.{app.name}.timing]
stage_within   = "2m"
promote_within = "30s"
grace          = "3s"
bake_for       = "{"5s" if fast else "1m"}"
warm_for       = "10m"

{app.gates}
{app.guards(sites.production)}"""


def _pods(*, fast: bool) -> Mapping[str, Behaviour]:
    """How pods are, by tag. One version of mochi passes every check, and breaks once it is production."""
    usual = INSTANT if fast else LIFELIKE
    flaky = replace(usual[""], fails_as=MOCHI.active, fails_after=0.0 if fast else 6.0)
    return {**usual, f"{MOCHI.name}:flaky": flaky}


class Demo:
    """The running parts, for whoever opened the demo: the command line, the pictures, a test."""

    def __init__(self, folder: Path, *, fast: bool = False, behaviours: Mapping[str, Behaviour] | None = None) -> None:
        self.folder = folder
        self.discord = DiscordServer(WORLD)
        self.registry = Registry(IMAGES)
        pods = behaviours or _pods(fast=fast)
        self.cluster = Cluster(now=wall_clock, behaviours=pods, digests=self.registry.digests, k6=k6_here())
        self.sites: dict[DemoApp, Sites] = {}
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
        for app in APPS:
            self.cluster.apply(app.manifests(f"{self.registry.host}/{app.name}"))
            served = [await self.cluster.proxy.serve(each, NAMESPACE) for each in (app.active, app.preview)]
            self.sites[app] = Sites(*(f"{url}/" for url in served))
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
        text = configuration(self.discord, self.registry.host, self.sites, fast=self._fast)
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
            "apps": await asyncio.gather(*map(self._app, APPS)),
            "channels": [place async for place in self._places()],
        }

    def cards(self, app: DemoApp) -> list[Message]:
        """The messages of the bot that show a release of the app, oldest first."""
        messages = self.discord.messages(self.discord.channel_id(app.name))
        return [message for message in messages if message.author == WORLD.bot and message.embeds]

    async def live(self, app: DemoApp) -> str | None:
        """The version that production answers with; None while nothing answers."""
        version: str | None = (await self._site(self.sites[app].production))["version"]
        return version

    async def channel_page(self, channel_id: int) -> str:
        """The address of one channel's page alone."""
        return await self._pages.url(channel_id)

    async def _app(self, app: DemoApp) -> Mapping[str, Any]:
        sites = self.sites[app]
        production, preview = await asyncio.gather(self._site(sites.production), self._site(sites.preview))
        return {
            "name": app.name,
            "runs_on": app.runs_on,
            "next": app.next,
            "also": "image:slow, image:flaky" if app.gates else "image:crash, /status",
            "channel": str(self.discord.channel_id(app.name)),
            "production": production,
            "preview": preview,
            "step": step(app, self.cards(app), production["version"]),
        }

    async def _site(self, url: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = {}
        if self._session is not None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
                async with self._session.get(f"{url}version") as response:
                    answer = await response.json()
        return {"url": url, "version": answer.get("version"), "colour": answer.get("color")}

    async def _places(self) -> AsyncIterator[Mapping[str, Any]]:
        """The channels, each before its newest threads."""
        for name in WORLD.channels:
            channel = self.discord.channel_id(name)
            yield await self._place(channel, name, within=None)
            threads = list(self.discord.threads(channel).items())
            for thread_name, thread in reversed(threads[-SHOWN_THREADS:]):
                yield await self._place(thread, thread_name, within=channel)

    async def _place(self, channel: int, name: str, *, within: int | None) -> Mapping[str, Any]:
        return {
            "id": str(channel),
            "name": name,
            "within": None if within is None else str(within),
            "url": await self._pages.url(channel),
            "messages": len(self.discord.messages(channel)),
        }


def step(app: DemoApp, cards: list[Message], live: str | None) -> str:
    """How far the visitor has come with an app: "deploy", "approve", "rollback" or "done"."""
    if live not in (None, app.live):
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
