"""Argo's controller stands still, at each point of a release: traffic is home all the same, and when it goes on nothing
is live that was not approved.
"""

import asyncio
from datetime import UTC, datetime

import pytest
from backends import went_home
from installed import ready
from rollout import hashes, works_towards
from targets import dead, frozen

import mochi
from bot.clusters.api import ROLLOUT, ROLLOUT_STATUS
from bot.clusters.argo.reading import deadline, template_of
from bot.clusters.errors import Forbidden
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import ANN, KIM, SAM

pytestmark = pytest.mark.argo


@pytest.fixture
def backend(on_rollout):
    return on_rollout


async def past(moment):
    """The controller has no other clock than the machine's."""
    await asyncio.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


def services(bot):
    """The writes to the active Service, but for the claim."""
    return [patch for kind, name, patch in bot.door.sent if kind == "Service" and name == mochi.ACTIVE][1:]


async def test_a_version_that_it_has_not_seen_is_taken_out_again(bot, installed, rollout, controller):
    blue, before = await installed.serving(2), template_of(await rollout.get())
    async with installed.record_service() as service:
        async with frozen(controller):
            await bot.deploy("green")
            await rollout.until(lambda each: template_of(each) != before)
            await bot.ask(Verb.ABANDON, ANN)
            await rollout.until(lambda each: template_of(each) == before)
            assert (await bot.newest()).phase is Phase.REVERTING
        await bot.reaches(Phase.REVERTED)
        assert len(hashes(await service.so_far())) == 1
    assert await installed.serving(2) == blue
    assert await rollout.sets_of("green") == []


async def test_a_version_that_waits_is_taken_out_again(bot, installed, rollout, controller):
    blue, before = await installed.serving(2), template_of(await rollout.get())
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    async with installed.record_service() as service:
        async with frozen(controller):
            await bot.ask(Verb.REJECT, KIM)
            await rollout.until(lambda each: template_of(each) == before)
            assert (await bot.newest()).phase is Phase.REVERTING
        await bot.reaches(Phase.REVERTED)
        assert len(hashes(await service.so_far())) == 1
    assert await installed.serving(2) == blue


async def test_a_promotion_that_it_has_not_carried_out_is_taken_back(bot, installed, rollout, controller):
    """It was told to switch, and then that the version is not wanted: it hears of both, and never switches."""
    blue, before = await installed.serving(2), template_of(await rollout.get())
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    async with installed.record_service() as service:
        async with frozen(controller):
            await bot.approve()
            await bot.sees(lambda moment: moment.seen and "was told to switch" in moment.seen.pending)
            await bot.ask(Verb.ROLL_BACK, SAM)
            await rollout.until(lambda each: template_of(each) == before)
            assert (await bot.newest()).phase is Phase.REVERTING
        bot.clock.skip(seconds=12)  # until when a switch of ours might still arrive
        await bot.reaches(Phase.REVERTED)
        assert len(hashes(await service.so_far())) == 1
    assert await installed.serving(2) == blue


async def test_traffic_comes_home_by_one_write_to_the_service(bot, argo, installed, rollout, controller):
    blue, before = await installed.serving(2), await rollout.live()
    await bot.release("green")
    green = await installed.serving(2, instead_of=blue)
    async with installed.record_service() as service:
        async with frozen(controller):
            await bot.ask(Verb.ROLL_BACK, SAM)
            assert await installed.serving(2, instead_of=green) == blue
            assert len(services(bot)) <= 1  # the traffic may be home before the bot has its answer
            assert (await bot.newest()).phase is Phase.REVERTING
        await bot.reaches(Phase.REVERTED)
        assert went_home(hashes(await service.so_far()), before, argo)
    assert len(services(bot)) == 1 or not argo.leaves_the_service
    assert works_towards(await rollout.get()) == await rollout.live()
    assert await installed.serving(2) == blue


@pytest.mark.parametrize("strategy", [{"scaleDownDelaySeconds": 6}])
async def test_pods_that_outlive_their_deadline_without_it_carry_the_traffic_for_good(
    bot, installed, rollout, controller
):
    """They are made to stay before the traffic is sent to them: it might come back just then, and take them first."""
    blue = await installed.serving(2)
    await bot.release("green")
    green = await installed.serving(2, instead_of=blue)
    goes_at = deadline(await rollout.until_set("blue", deadline))
    async with installed.record_endpoints() as serving:
        async with dead(controller):
            await past(goes_at)
            await bot.ask(Verb.ROLL_BACK, SAM)
            assert await installed.serving(2, instead_of=green) == blue
            kinds = [kind for kind, _, _ in bot.door.sent]
            assert kinds[-3:].index("Rollout") < kinds[-3:].index("Service")
        await bot.reaches(Phase.REVERTED)
        assert all(ready(moment) for moment in await serving.so_far())
    assert await installed.serving(2) == blue


async def refuses_rollouts(kind, name, patch):
    if kind in {ROLLOUT, ROLLOUT_STATUS}:
        raise Forbidden("an admission webhook did not answer")


@pytest.mark.parametrize("strategy", [{"scaleDownDelaySeconds": 6}])
async def test_whoever_may_not_write_the_rollout_takes_the_traffic_home_all_the_same(
    bot, installed, rollout, controller
):
    """Whether the pods stay is one thing, whether people are served is another."""
    blue = await installed.serving(2)
    await bot.release("green")
    green = await installed.serving(2, instead_of=blue)
    goes_at = deadline(await rollout.until_set("blue", deadline))
    async with dead(controller):
        await past(goes_at)
        bot.door.before = refuses_rollouts
        await bot.ask(Verb.ROLL_BACK, SAM)
        assert await installed.serving(2, instead_of=green) == blue
        moment = await bot.sees(lambda moment: moment.trouble)
        assert "did not answer" in moment.trouble
        bot.door.before = None
        bot.clock.skip(minutes=2)
    await bot.reaches(Phase.REVERTED)
