"""A team whose bot is killed at a chosen effect, by SIGKILL, and started again; people wait for it and try again.

Effects are what outlives the process: writes to the store, to the cluster, to Discord. Each has a moment before, when
it was asked for and is not done, and one after, when it is done and the bot has not heard of it.
"""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from backends import Backend
from installed import Mochi
from nursery import Birth, ask
from targets import Sandbox
from team import APPROVE, START_WITHIN, VETO, WORLD, Team, until

import mochi
from bot.clusters.reading import labels, matches, selector
from sandbox.bot_process import ROOT
from sandbox.discord import Message

ENDS_WITHIN = 90.0


@dataclass(frozen=True)
class Point:
    """The `number`th effect of its kind, from 1."""

    kind: str
    moment: str
    number: int

    def __str__(self) -> str:
        return f"{self.moment} {self.kind} write {self.number}"


class Nursery:
    """The process that bots are forked from."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Nursery"]:
        path = os.pathsep.join((str(ROOT), str(Path(__file__).parent)))
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nursery", stdin=pipe, stdout=pipe, env={**os.environ, "PYTHONPATH": path}
        )
        self._turn = asyncio.Lock()
        try:
            yield self
        finally:
            self._process.kill()
            await self._process.wait()

    async def born(self, birth: Birth) -> int:
        async with self._turn:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(ask(birth))
            return int(await asyncio.wait_for(self._process.stdout.readline(), START_WITHIN))


class Onlooker:
    """After every change of any object: what the active Service could route to, by tag, has to be `allowed` (I3)."""

    def __init__(self, target: Sandbox, tags: Mapping[str, str]) -> None:
        self.allowed = {"blue"}
        self.strangers: list[set[str]] = []
        self._objects, self._namespace, self._tags = target.cluster.objects, target.namespace, tags
        self._objects.subscribe(self._look)

    def _look(self, change: Any) -> None:
        if change.plural not in {"services", "pods"}:
            return
        services = {each["metadata"]["name"]: each for each in self._objects.items("services", self._namespace)}
        if mochi.ACTIVE not in services:
            return
        wanted = selector(services[mochi.ACTIVE])
        behind = [pod for pod in self._objects.items("pods", self._namespace) if matches(wanted, labels(pod))]
        images = [pod["spec"]["containers"][0]["image"] for pod in behind]
        served = {self._tags.get(image.partition("@")[2], image.rpartition(":")[2]) for image in images}
        if not served <= self.allowed:
            self.strangers.append(served)


class Mortals(Team):
    def __init__(
        self, target: Sandbox, folder: Path, nursery: Nursery, memory: bytes, point: Point | None, backend: Backend
    ) -> None:
        super().__init__(target, folder, backend)
        self.sandbox = target
        self.point = point
        self.met: Counter[str] = Counter()
        self.deaths = 0
        self._nursery = nursery
        self._pid: int | None = None
        self._alive = asyncio.Event()
        self._dying: asyncio.Task[None] | None = None
        self.onlooker = Onlooker(target, self.registry.digests)
        (folder / "greenlight.db").write_bytes(memory)
        self._tap(self.discord.rest, "serve", "Discord", lambda method, _: method != "GET")
        self._tap(target.cluster.server, "_handle", "cluster", lambda method, _: method == "PATCH")

    def _tap(self, server: Any, name: str, kind: str, is_effect: Callable[[str, str], bool]) -> None:
        serve = getattr(server, name)

        async def tapped(request: web.Request) -> web.StreamResponse:
            if not is_effect(request.method, request.path):
                return await serve(request)
            number = self._count(kind)
            if self.point == Point(kind, "before", number):
                await self._kill()
                return web.Response(status=503)
            response = await asyncio.shield(serve(request))
            if self.point == Point(kind, "after", number):
                await self._kill()
            return response

        setattr(server, name, tapped)

    @property
    def recorded(self) -> int:
        """Writes to the store, as far as they were counted."""
        return (self.folder / "writes").stat().st_size

    def _count(self, kind: str) -> int:
        self.met[kind] += 1
        return self.met[kind]

    # Life and death

    async def install(self) -> None:
        """Blue is live; a Rollout's controller knows it, or the first release might find it at work."""
        await self.target.apply(self.backend.manifests(self.target.namespace, self.image("blue")))
        await Mochi(self.target).serving(2)

    async def start_bot(self) -> None:
        if not self._environment:
            self._environment = await self._settings() | self.environment
        dies = ("count", 0) if self.point is None else None
        if self.point and self.point.kind == "store" and not self.deaths:
            dies = (self.point.moment, self.point.number)
        birth = Birth(str(self.folder), str(self.log), {"PATH": os.environ["PATH"], **self._environment}, dies)
        self._pid = await self._nursery.born(birth)
        self._dying = asyncio.create_task(self._watch(self._pid))
        with contextlib.suppress(TimeoutError):
            await self.discord.bot_ready("deploy", "rollback", within=START_WITHIN)
            self._alive.set()

    async def _kill(self) -> None:
        assert self._pid is not None
        os.kill(self._pid, signal.SIGKILL)
        await asyncio.shield(self._dead)

    async def _watch(self, pid: int) -> None:
        """Until the process is gone; then another one takes its place."""
        loop = asyncio.get_running_loop()
        self._dead = loop.create_future()
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._dead.set_result(None)
        else:
            loop.add_reader(descriptor, lambda: self._dead.done() or self._dead.set_result(None))
            try:
                await asyncio.shield(self._dead)
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)
        self._alive.clear()
        self.deaths += 1
        await self.discord.until(lambda: not self.discord.gateway.connected, what="Discord sees it gone")
        await self.start_bot()

    async def end(self) -> None:
        if self._dying is not None:
            self._dying.cancel()
            await asyncio.gather(self._dying, return_exceptions=True)
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def _configuration(self) -> str:
        """With a watch after the switch that is over soon."""
        return super()._configuration().replace('bake_for = "5m"', 'bake_for = "1s"')

    # What people do

    async def persist(self, step: Callable[[], Awaitable[Any]]) -> None:
        """A person's step; when the bot dies over it, it is tried again when it is back."""
        for _ in range(2):
            await asyncio.wait_for(self._alive.wait(), ENDS_WITHIN)
            dead, deaths = self._dead, self.deaths
            trying = asyncio.ensure_future(step())
            await asyncio.wait({trying, dead}, return_when=asyncio.FIRST_COMPLETED, timeout=ENDS_WITHIN)
            if not dead.done() and trying.exception():  # a connection may be seen to end before the process is
                await asyncio.wait({dead}, timeout=1)
            if not dead.done():
                await trying
                return
            trying.cancel()
            await asyncio.gather(trying, return_exceptions=True)
            await self.discord.until(partial(self._died_after, deaths), within=ENDS_WITHIN, what="it is gone")

    def _died_after(self, deaths: int) -> bool:
        return self.deaths > deaths

    async def deploy(self) -> None:
        await self.persist(lambda: self.person("ann").slash(self.channel, "deploy", image="green"))

    async def vote(self, *people: str, emoji: str = APPROVE) -> None:
        """Reactions stay on the message, so nobody votes twice."""
        waiting = await self.discord.until(self._ballot, within=ENDS_WITHIN, what=f"{self.point}: a card to vote on")
        if emoji == APPROVE:
            self.onlooker.allowed.add("green")
        for name in people:
            await self.person(name).react(waiting, emoji)

    def _ballot(self) -> Message | None:
        cards = [message for message in self.discord.messages(self.channel) if message.embeds]
        shown = [card for card in cards if card.content.startswith("🟡 mochi #1 (green)")]
        offered = [card for card in shown if all(WORLD.bot in card.reactions.get(each, ()) for each in (APPROVE, VETO))]
        return offered[-1] if offered else None

    async def roll_back(self) -> None:
        async def press() -> None:
            [card] = [message for message in self.discord.messages(self.channel) if message.embeds]
            if "Roll back" not in card.labels:
                return
            form = await self.person("sam").click(card, "Roll back")
            if form.modal is not None:
                await self.person("sam").submit_modal(form, reason="wrong prices")

        await self.persist(press)

    # What comes of it

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "greenlight.db")) as raw:
            return raw.execute(query).fetchall()

    async def rests(self, phase: str, *, retired: bool = False) -> None:
        """Until the release is in that phase, everything is told, and a bot is there that has seen it."""

        def rested() -> bool:
            found = self.rows(
                "SELECT record, told, (SELECT max(id) FROM events WHERE events.release = releases.label) "
                "FROM releases JOIN cards ON cards.release = releases.label"
            )
            return all(
                json.loads(record)["phase"] == phase and told == last and json.loads(record)["retired"] >= retired
                for record, told, last in found or [('{"phase": ""}', 0, 1)]
            )

        try:
            await until(rested, within=ENDS_WITHIN)
            await asyncio.wait_for(self._alive.wait(), ENDS_WITHIN)
            await until(rested, within=ENDS_WITHIN)
        except TimeoutError:
            seen = "\n".join(message.text for message in self.discord.messages(self.channel))
            told = self.rows("SELECT kind, text FROM events ORDER BY id")
            raise AssertionError(
                f"{self.point}: it does not end as {phase}\n{seen}\n{told}\n{self.last_lines()}"
            ) from None

    def last_lines(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-30:])

    def audit(self, sign: str, switches: int) -> None:
        """I2, I3, I4, I13, I14, I15, after everything has come to rest."""
        at = f"killed {self.point}"
        [(record,)] = self.rows("SELECT record FROM releases")
        release = json.loads(record)
        previous, label = release["previous"], release["label"]
        service = self.sandbox.cluster.objects.get("services", self.sandbox.namespace, mochi.ACTIVE)
        assert selector(service) in (previous["selector"], previous["before"]), at
        assert self.onlooker.strangers == [], at

        writes = [write for write in self.sandbox.cluster.server.writes if write.user_agent == "greenlight"]
        taken = [(write.path, json.loads(write.body)) for write in writes if write.status == 200]
        assert sum(self.backend.is_switch(path, patch, label) for path, patch in taken) == switches, at

        journal = self.rows("SELECT kind, detail FROM events ORDER BY id")
        intents = [json.loads(detail)["patch"] for kind, detail in journal if kind == "intent"]
        ended = sum(kind in {"written", "refused", "unknown", "failed"} for kind, _ in journal)
        assert all(patch in intents for _, patch in taken), at
        assert len(intents) - self.deaths <= ended <= len(intents), at

        cards = [message for message in self.discord.messages(self.channel) if message.embeds]
        assert [card.content[: len(sign)] for card in cards] == [sign], (at, [card.text for card in cards])
        assert label in cards[0].embed["footer"]["text"], at
        pings = [message for message in self.discord.messages(self.channel) if message.pinged & {"QC", "Lead"}]
        assert len(pings) <= 1, at  # none when everybody has voted before it could be sent
