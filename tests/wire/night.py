"""A team during a bad night: what people do, what must hold whatever Discord does, and where a test can see it."""

import asyncio
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from installed import Mochi
from targets import Sandbox
from team import APPROVE, VETO, Team

import mochi
from sandbox.discord import Message

SETTLED_WITHIN = 60.0


class Night(Team):
    def __init__(self, target: Sandbox, folder: Path) -> None:
        super().__init__(target, folder)
        self.sandbox = target
        self.mochi = Mochi(target)
        self.expects_the_end = False

    async def install(self) -> None:
        await self.target.apply(mochi.mochi(self.target.namespace, live_image=self.image("blue")))
        self.blue = await self.mochi.serving(2)

    async def go_home(self) -> None:
        """SIGTERM; the bot ends well unless a test expected it to have ended."""
        if self.expects_the_end:
            return
        await self.bot.stop()
        assert await self.bot.ended() == 0, self.bot.last_lines()
        log = self.log.read_text()
        assert "Traceback" not in "".join(line for line in log.splitlines() if "broke" in line), log
        assert "Unclosed" not in log, log

    async def ends(self) -> str:
        """The last line of a bot that ends by itself with exit code 1, as only one does that Discord does not want."""
        self.expects_the_end = True
        async with asyncio.timeout(SETTLED_WITHIN):
            assert await self.bot.ended() == 1
        assert "Traceback" not in self.log.read_text()
        return self.bot.last_lines().splitlines()[-1]

    # What people do

    async def deploy(self, tag: str = "green") -> Message:
        """Ann asks for it; the card, once it asks for approval."""
        await self.person("ann").slash(self.channel, "deploy", image=tag)
        return await self.ballot(f"({tag})")

    async def approve(self, card: Message, *names: str) -> None:
        for name in names or ("kim", "leo"):
            await self.person(name).react(card, APPROVE)

    async def veto(self, card: Message, name: str) -> None:
        await self.person(name).react(card, VETO)

    async def live(self) -> Message:
        """A release that went all the way."""
        await self.approve(await self.deploy())
        card = await self.card("🟢", "is live")
        self.green = await self.mochi.serving(2, instead_of=self.blue)
        return card

    # What is true

    @property
    def moves(self) -> int:
        """How often traffic was moved: a write of the production Service that the cluster took, but for the one that
        narrows its selector before the first release.
        """
        path = f"{self.mochi.services}/{mochi.ACTIVE}"
        taken = [write for write in self.sandbox.cluster.server.writes if write.path == path and write.status == 200]
        return max(0, len(taken) - 1)

    @property
    def cards(self) -> list[Message]:
        return [message for message in self.discord.messages(self.channel) if message.embeds]

    @property
    def pings(self) -> list[Message]:
        return [message for message in self.discord.messages(self.channel) if message.pinged & {"QC", "Lead"}]

    @property
    def told(self) -> list[str]:
        """The lines of the release's thread, without their times."""
        return [
            line.partition("> ")[2]
            for thread in self.discord.threads(self.channel).values()
            for message in self.discord.messages(thread)
            for line in message.content.splitlines()
            if line.startswith("<t:")
        ]

    async def says(self, *lines: str) -> None:
        """Waits until the thread has each of these, and everything else that there is to tell."""
        for line in lines:
            await self.sees(lambda line=line: any(line in said for said in self.told), f"{line!r} in the thread")

    async def sees(self, condition, what: str, within: float = SETTLED_WITHIN):
        try:
            return await self.discord.until(condition, within=within, what=what)
        except TimeoutError:
            raise AssertionError(f"{what}\n{self.told}\n{self.bot.last_lines()}") from None

    def orderly(self, *, moves: int, repeated: Collection[str] = ()) -> None:
        """I2, I15: one card, one ping, so many moves of traffic, each line of the thread once, but for `repeated`."""
        assert self.moves == moves
        assert len(self.cards) == 1, [card.text for card in self.cards]
        assert len(self.pings) == 1, [ping.text for ping in self.pings]
        twice = [line for line, count in Counter(self.told).items() if count > 1 and line not in repeated]
        assert not twice, (
            twice,
            [m.content for t in self.discord.threads(self.channel).values() for m in self.discord.messages(t)],
        )

    async def logged(self, *words: str, within: float = SETTLED_WITHIN) -> str:
        """The first line of the bot's log with all these words in it."""
        async with asyncio.timeout(within):
            while True:
                for line in self.log.read_text().splitlines():
                    if all(word in line for word in words):
                        return line
                await asyncio.sleep(0.05)
