"""The bot as its own process between a Discord and a cluster that answer as late as is asked for."""

import asyncio
import contextlib
import json
import re
import ssl
import sys
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.delay import DelayedPort
from sandbox.bot_process import ROOT, BotProcess
from sandbox.discord import DiscordServer, Message, World
from sandbox.registry import Registry

APPROVE = "✅"
CHANNEL = "releases"
PATIENCE = 120.0
"""Seconds until something that does not come is called missing."""
QUIET_FOR = 0.1
"""Seconds without a byte, after which nothing is under way."""
SWITCH = re.compile(rb"PATCH /api/v1/namespaces/([\w-]+)/services/active\\?")
WORLD = World(
    guild="Bench",
    channels=(CHANNEL,),
    roles=("Developer", "QC", "Lead", "On call"),
    people={"ann": ("Developer",), "kim": ("QC",), "leo": ("Lead",), "sam": ("On call",), "guest": ()},
)

Json = dict[str, Any]
Cluster = Callable[[Registry], AbstractAsyncContextManager[Json]]
"""Runs while it is entered; gives its `kubeconfig`, and what else is to be known of it."""

SLOTS = """service     = "active"
preview     = "preview"
slots       = ["blue", "green"]"""
"""Of an app on two Deployments, as its table has it."""


@dataclass
class Stage:
    """`patched` are the Services that were patched and when each answer was there, by the loop's clock."""

    apps: list[str]
    discord: DiscordServer
    registry: Registry
    bot: BotProcess
    ports: tuple[DelayedPort, DelayedPort]
    http: aiohttp.ClientSession
    """To the API server, as late as the bot's connections."""
    kubeconfig: Path
    """By which others are as late."""
    cluster: Json
    """As it is without any delay."""
    patched: list[tuple[str, float]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def channel(self) -> int:
        return self.discord.channel_id(CHANNEL)

    def rtt(self, seconds: float) -> None:
        for port in self.ports:
            port.rtt = seconds

    async def quiet(self) -> None:
        """Until everybody has finished with what came before, so that it is not measured."""
        for _ in self.ports:  # the second may have woken the first again
            for port in self.ports:
                await port.quiet(QUIET_FOR + port.rtt)

    async def card(self, app: str, sign: str) -> Message:
        def shown() -> Message | None:
            found = self._cards(app)
            return found[-1] if found and found[-1].content.startswith(sign) else None

        return await self.discord.until(shown, within=PATIENCE, what=f"{app} shows {sign}")

    async def ballot(self, app: str) -> Message:
        card = await self.card(app, "🟡")

        def offered() -> Message | None:
            now = self.discord.message(self.channel, card.id)
            return now if WORLD.bot in now.reactions.get(APPROVE, ()) else None

        return await self.discord.until(offered, within=PATIENCE, what=f"{app} can be voted on")

    async def patches(self, app: str, after: float) -> list[float]:
        """When the answers to patches of the app's active Service after that moment were there; one at least."""
        async with asyncio.timeout(PATIENCE):
            while not (found := [when for name, when in self.patched if name == app and when > after]):
                self.news.clear()
                await self.news.wait()
        return found

    async def pods(self, app: str) -> set[str]:
        async with self.http.get(f"/api/v1/namespaces/{app}/pods") as answer:
            return {item["metadata"]["name"] for item in (await answer.json())["items"]}

    async def bare_patch(self, number: int) -> float:
        """Seconds that a client needs which sends nothing but a patch of the same kind, on an open connection."""
        patch = [
            {"op": "test", "path": "/spec/selector", "value": {"color": "blue"}},
            {"op": "add", "path": "/metadata/annotations", "value": {"bench": str(number)}},
        ]
        body, headers = json.dumps(patch), {"Content-Type": "application/json-patch+json"}
        began = asyncio.get_running_loop().time()
        async with self.http.patch("/api/v1/namespaces/bare/services/active", data=body, headers=headers) as answer:
            await answer.read()
        return asyncio.get_running_loop().time() - began

    def chatter(self, app: str, events: int) -> None:
        """So many events about the app's card that mean nothing: a guest's reaction comes and goes."""
        backend, guest = self.discord.env.backend, self.discord.people["guest"].id
        card = self._cards(app)[-1].id
        for number in range(events):
            if number % 2:
                backend.remove_reaction(self.channel, card, "👍", guest)
            else:
                backend.set_reaction(self.channel, card, "👍", guest, True)

    def _cards(self, app: str) -> list[Message]:
        return [each for each in self.discord.messages(self.channel) if each.embeds and f" {app} #" in each.content]


@asynccontextmanager
async def stage(cluster: Cluster, targets: Mapping[str, str]) -> AsyncIterator[Stage]:
    """With these apps, each in the namespace of its name, none of them released yet; what is said of each is where it
    runs, as its table has it.
    """
    with tempfile.TemporaryDirectory(prefix="greenlight-bench-") as folder:
        async with AsyncExitStack() as stack:
            registry = Registry()
            await registry.start()
            stack.push_async_callback(registry.stop)
            discord = DiscordServer(WORLD)
            await discord.start()
            stack.push_async_callback(discord.stop)
            found = await stack.enter_async_context(cluster(registry))
            late = deepcopy(found["kubeconfig"])
            server = late["clusters"][0]["cluster"]
            scheme, _, there = server["server"].partition("://")
            api, people = DelayedPort(there), DelayedPort(_host(discord.api_url))
            for port in (api, people):
                stack.push_async_callback(port.stop)
            server["server"] = f"{scheme}://{await api.start()}"
            delayed = await people.start()
            # Discord tells where to connect to; that has to be late as well.
            discord.gateway.url = f"ws://{delayed}/gateway"
            place = Path(folder)
            (place / "kubeconfig").write_text(json.dumps(late))
            (place / "greenlight.toml").write_text(_configuration(discord, registry, targets))
            settings = {
                "DISCORD_TOKEN": discord.token,
                "DISCORD_API_URL": discord.api_url.replace(_host(discord.api_url), delayed),
                "DISCORD_GATEWAY_URL": discord.gateway.url,
                "GREENLIGHT_CONFIG": str(place / "greenlight.toml"),
                "DATABASE_URL": f"sqlite+aiosqlite:///{place / 'greenlight.db'}",
                "KUBECONFIG": str(place / "kubeconfig"),
                "LOG_LEVEL": "warning",
            }
            bot = BotProcess(settings, place / "bot.log")
            await bot.start()
            stack.push_async_callback(bot.stop)
            http = await stack.enter_async_context(session(late))
            made = Stage([*targets], discord, registry, bot, (api, people), http, place / "kubeconfig", found)

            def passed(request: bytes, when: float) -> None:
                if switch := SWITCH.match(request):
                    made.patched.append((switch[1].decode(), when))
                    made.news.set()

            api.passed = passed
            try:
                await discord.bot_ready("deploy", "rollback")
                yield made
            except (TimeoutError, AssertionError):
                sys.stderr.write(bot.last_lines() + "\n")
                raise


@asynccontextmanager
async def process(*argv: str) -> AsyncIterator[Json]:
    """A cluster in Python, until it is left; what it says of itself on its first line."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    if running.stdin is None or running.stdout is None:
        raise RuntimeError("the cluster's process has no pipes")
    try:
        yield json.loads(await running.stdout.readline() or "{}")
    finally:
        running.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running.wait(), 10)


def session(kubeconfig: Json) -> aiohttp.ClientSession:
    """Its user's; paths are relative to the API server."""
    server, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    authority = server.get("certificate-authority-data")
    trust = ssl.create_default_context(cadata=b64decode(authority).decode()) if authority else True
    headers = {"Authorization": f"Bearer {user['token']}"}
    connector = aiohttp.TCPConnector(ssl=trust)
    return aiohttp.ClientSession(server["server"], headers=headers, connector=connector, raise_for_status=True)


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _configuration(discord: DiscordServer, registry: Registry, targets: Mapping[str, str]) -> str:
    role = discord.role_id
    tables = [
        f"""
[apps.{name}]
namespace   = "{name}"
channel     = {discord.channel_id(CHANNEL)}
image       = "{registry.host}/mochi"
{target}
deployers   = [{role("Developer")}]
rollbackers = [{role("On call")}]
notify      = "off"
approval.require = [{{ roles = [{role("QC")}] }}, {{ roles = [{role("Lead")}] }}]
approval.expires = "2h"
timing.bake_for = "1h"
"""
        for name, target in targets.items()
    ]
    return f'guild = {discord.guild_id}\n{"".join(tables)}\n[registries."{registry.host}"]\ninsecure = true\n'
