"""I13: of two Greenlights with a memory of their own each, one releases an app, and the other says why it does not. On
two Deployments and on a Rollout, by the same tests.
"""

import asyncio
import re

import pytest
from installed import selectors

import mochi
from bot.clusters.claim import STORE
from bot.clusters.errors import ClusterError
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import KIM, SAM

TAKEN = "Service mochiapp is released by another Greenlight"


@pytest.fixture
def backend(either):
    return either


class Together:
    """Lets the first write of each bot through only when all of them have decided upon theirs."""

    def __init__(self, *bots) -> None:
        self._missing = len(bots)
        self._all = asyncio.Event()
        for bot in bots:
            bot.door.before = self._meeting(bot)

    def _meeting(self, bot):
        async def meet(*_) -> None:
            bot.door.before = None
            self._missing -= 1
            if not self._missing:
                self._all.set()
            async with asyncio.timeout(20):
                await self._all.wait()

        return meet


async def identity(installed) -> str | None:
    return ((await installed.service())["metadata"].get("annotations") or {}).get(STORE)


async def test_i13_a_second_greenlight_on_one_cluster_changes_nothing_and_says_so(bot, hire, installed):
    """Whatever it is asked: to deploy, to tell what is live, or to check the app."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    async with installed.record_service() as service, hire() as other:
        with pytest.raises(ClusterError, match=TAKEN):
            await other.deploy("purple")
        assert (await other.desk.status(other.app)).trouble.startswith(TAKEN)
        with pytest.raises(ClusterError, match=TAKEN):
            await other.cluster.start(other.app)
        assert other.door.sent == []
        assert len(await service.so_far()) == 1
        await bot.approve()
        await bot.reaches(Phase.BAKING)
    assert await identity(installed) == await bot.store.identity()


async def test_i13_of_two_greenlights_that_begin_at_once_one_is_refused_and_stops(hire, installed):
    """Neither sees the other's claim when it decides: the API server takes one of the two writes."""
    async with hire() as one, hire() as other:
        Together(one, other)
        await asyncio.gather(one.deploy("green"), other.deploy("purple"))
        bots = {await bot.store.identity(): bot for bot in (one, other)}
        for bot in bots.values():
            await bot.sees(lambda moment: moment.release.staged or moment.trouble)
        winner = bots.pop(await identity(installed))
        [loser] = bots.values()
        assert (await winner.reaches(Phase.READY)).staged
        assert loser.door.sent == []
        assert len(await loser.events("refused")) == 1
        moment = await loser.sees(lambda moment: moment.trouble.startswith(TAKEN))
        assert not moment.release.staged
        # It ends without having touched what is not its own.
        loser.clock.skip(minutes=11)
        await loser.reaches(Phase.REVERTED)
        assert loser.door.sent == []


async def test_i13_the_claim_outlives_a_release_whatever_becomes_of_it(bot, installed):
    mine = await bot.store.identity()
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    assert await identity(installed) == mine
    await bot.ask(Verb.REJECT, KIM)
    await bot.reaches(Phase.REVERTED, retired=True)
    assert await identity(installed) == mine
    await bot.release("purple")
    await bot.ask(Verb.ROLL_BACK, SAM)
    await bot.reaches(Phase.REVERTED)
    assert await identity(installed) == mine


@pytest.mark.parametrize("phase", [Phase.READY, Phase.BAKING])
async def test_i13_an_app_that_another_has_taken_over_is_neither_switched_nor_taken_back(bot, installed, phase):
    """Even with a release of ours that is approved, or live: there must be one who decides."""
    await (bot.deploy("green") if phase is Phase.READY else bot.release("green"))
    await bot.reaches(phase)
    await installed.patch(f"{installed.services}/{mochi.ACTIVE}", {"metadata": {"annotations": {STORE: "another"}}})
    sent = list(bot.door.sent)
    await (bot.approve() if phase is Phase.READY else bot.ask(Verb.ROLL_BACK, SAM))
    moment = await bot.sees(lambda moment: moment.trouble)
    assert moment.trouble.startswith(f"{TAKEN}, whose database has the id another, ")
    assert bot.door.sent == sent


async def test_i13_the_command_in_the_sentence_hands_an_app_over(bot, hire, installed, backend):
    """What the one before has under way ends there, and writes nothing any more."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    async with hire() as other:
        with pytest.raises(ClusterError) as refused:
            await other.deploy("purple")
        command = re.search(r"kubectl annotate service (\S+) -n (\S+) (\S+)-$", str(refused.value))
        assert command.groups() == (mochi.ACTIVE, installed.target.namespace, STORE)
        await installed.patch(f"{installed.services}/{mochi.ACTIVE}", {"metadata": {"annotations": {STORE: None}}})
        sent = list(bot.door.sent)
        async with installed.record_service() as service:
            theirs = await other.release("purple")
            assert await identity(installed) == await other.store.identity()
            await bot.reaches(Phase.ABANDONED)
            assert backend.went_there(selectors(await service.so_far()), theirs.label)
        assert bot.door.sent == sent
