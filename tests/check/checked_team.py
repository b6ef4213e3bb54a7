"""A team that is set up rightly: Discord, registry and cluster as real servers, and the files that lead to them."""

import json
from pathlib import Path
from typing import Any

import discord
import pytest

import mochi
from bot.clusters.argo.discovery import behind
from bot.clusters.rights import rules
from bot.compose import RealClock
from bot.policy import read_policy
from bot.settings import Settings, load
from mochi_rollout import mochi_rollout
from sandbox.cluster import Cluster, wall_clock
from sandbox.discord import DiscordServer, World
from sandbox.registry import Registry
from world import NAMESPACE

BOT, TOKEN = "system:serviceaccount:mochi:greenlight", "the-bots-token"
WORLD = World(
    guild="Mochi Ltd",
    channels=("mochi", "general"),
    roles=("Developer", "QC", "Lead", "On call"),
    people={"ann": ("Developer",)},
)


class Team:
    """Everything is as it should be, until a test spoils it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.discord = DiscordServer(WORLD)
        self.registry = Registry()
        self.cluster = Cluster(now=wall_clock)
        self.environment: dict[str, str] = {}
        self.now = RealClock().now

    async def start(self) -> None:
        await self.registry.start()
        await self.cluster.start()
        await self.discord.start()
        self.cluster.apply(self.objects())
        await self.settled()
        await self.cluster.proxy.serve(mochi.ACTIVE, NAMESPACE)
        links = {name: await self.cluster.proxy.serve(name, NAMESPACE) for name in (mochi.ACTIVE, mochi.PREVIEW)}
        self.configure(links=f'production = "{links[mochi.ACTIVE]}/"\npreview = "{links[mochi.PREVIEW]}/"')
        self.may(self.allowed())
        self.environment = {
            "DISCORD_TOKEN": self.discord.token,
            "DISCORD_API_URL": self.discord.api_url,
            "DISCORD_GATEWAY_URL": self.discord.gateway_url,
            "GREENLIGHT_CONFIG": str(self.folder / "greenlight.toml"),
            "DATABASE_URL": f"sqlite+aiosqlite:///{self.folder / 'greenlight.db'}",
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "DOCKER_CONFIG": str(self.folder),
        }

    def objects(self) -> list[dict[str, Any]]:
        return mochi.mochi(NAMESPACE, live_image=f"{self.registry.host}/mochi:blue")

    def allowed(self) -> list[dict[str, Any]]:
        """The rules of the Role that the app needs."""
        return rules(read_policy(self.folder / "greenlight.toml").apps.values())

    async def stop(self) -> None:
        for part in (self.discord, self.cluster, self.registry):
            await part.stop()

    async def settled(self) -> None:
        """Until the controllers have nothing left to do."""
        with self.cluster.paused():
            self.cluster.settle()

    def configure(self, more: str = "", **changes: Any) -> None:
        """Writes greenlight.toml; `more` is added to the app's table."""
        role = self.discord.role_id
        values = {
            "channel": self.discord.channel_id("mochi"),
            "image": f"{self.registry.host}/mochi",
            "deployers": role("Developer"),
            "qc": role("QC"),
            "links": "",
        } | changes
        self._values = values
        (self.folder / "greenlight.toml").write_text(f"""
guild = {self.discord.guild_id}
[registries."{self.registry.host}"]
insecure = true
[apps.mochi]
namespace   = "{NAMESPACE}"
channel     = {values["channel"]}
{f'image = "{values["image"]}"' if values["image"] else ""}
{self.place()}
deployers   = [{values["deployers"]}]
rollbackers = [{role("On call")}]
{more}
[apps.mochi.approval]
require = [{{ roles = [{values["qc"]}] }}, {{ roles = [{role("Lead")}] }}]
[apps.mochi.links]
{values["links"]}
""")

    def place(self) -> str:
        return 'service = "mochiapp"\npreview = "mochiapp-preview"\nslots = ["mochiapp-blue", "mochiapp-green"]'

    def reconfigure(self, more: str = "", **changes: Any) -> None:
        self.configure(more, **(self._values | changes))

    def may(self, allowed: list[dict[str, Any]]) -> None:
        """What the bot's credentials allow, instead of what they allowed before."""
        self.cluster.access.tokens[TOKEN] = BOT
        self.cluster.access.reset(BOT)
        self.cluster.access.restrict(BOT, allowed, NAMESPACE)
        config = self.cluster.kubeconfig()
        config["users"][0]["user"]["token"] = TOKEN
        (self.folder / "kubeconfig").write_text(json.dumps(config))

    async def change(self, plural: str, name: str, patch: dict[str, Any]) -> None:
        """As somebody else does it with kubectl."""
        objects = self.cluster.objects
        objects.patch(plural, NAMESPACE, name, patch, "application/merge-patch+json", manager="kubectl")
        await self.settled()

    async def replace(self, plural: str, name: str, *items: dict[str, Any]) -> None:
        """Deleted, and created as given."""
        self.cluster.objects.delete(plural, NAMESPACE, name)
        await self.settled()
        self.cluster.apply(items)
        await self.settled()

    def manifest(self, kind: str, name: str) -> dict[str, Any]:
        [found] = [each for each in self.objects() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        return found

    # Discord

    def allow(self, permissions: discord.Permissions) -> None:
        """What the bot's own role allows everywhere."""
        self.bots_role.permissions = permissions.value

    @property
    def bots_role(self) -> Any:
        backend = self.discord.env.backend
        [role] = backend.get_member(self.discord.guild_id, backend.bot_user.id).role_ids
        return backend.get_guild(self.discord.guild_id).roles[role]

    def role(self, name: str) -> Any:
        return self.discord.env.backend.get_guild(self.discord.guild_id).roles[self.discord.role_id(name)]

    # Asking

    def settings(self, monkeypatch: pytest.MonkeyPatch) -> Settings:
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        return load()


class ArgoTeam(Team):
    """The same on Argo Rollouts, with nothing in the file that can be read from the Rollout."""

    def objects(self) -> list[dict[str, Any]]:
        keep = {"scaleDownDelaySeconds": 3600}
        return mochi_rollout(NAMESPACE, image=f"{self.registry.host}/mochi:blue", blue_green=keep)

    def place(self) -> str:
        return 'rollout = "mochiapp"'

    def configure(self, more: str = "", **changes: Any) -> None:
        super().configure(more, **({"image": ""} | changes))

    def allowed(self) -> list[dict[str, Any]]:
        apps = read_policy(self.folder / "greenlight.toml").apps.values()
        [rollout] = [each for each in self.objects() if each["kind"] == "Rollout"]
        return rules(apps, {app.name: behind(rollout) for app in apps})
