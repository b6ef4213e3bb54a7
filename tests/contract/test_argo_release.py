"""A release on Argo Rollouts, from deploy to live and back, in one process with the controller of the target."""

import pytest

import mochi
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import KIM, LEO, SAM

REPLICAS = 2


@pytest.fixture
def backend(on_rollout):
    return on_rollout


async def test_from_deploy_to_live_and_back(bot, installed):
    blue = await installed.serving(REPLICAS)
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    green = await installed.serving(REPLICAS, mochi.PREVIEW, instead_of=blue)
    assert await installed.serving(REPLICAS) == blue
    await bot.approve(KIM, LEO)
    await bot.reaches(Phase.BAKING)
    assert await installed.serving(REPLICAS, instead_of=blue) == green
    await bot.ask(Verb.ROLL_BACK, SAM, "wrong prices")
    await bot.reaches(Phase.REVERTED)
    assert await installed.serving(REPLICAS, instead_of=green) == blue


async def test_a_rejected_release_leaves_the_rollout_as_it_was(bot, installed, rollout):
    blue, before = await installed.serving(REPLICAS), (await rollout.get())["spec"]["template"]
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await bot.ask(Verb.REJECT, KIM, "the logo is wrong")
    await bot.reaches(Phase.REVERTED)
    assert (await rollout.get())["spec"]["template"] == before
    assert await installed.serving(REPLICAS) == blue


async def test_the_same_image_again_after_a_rejection_is_paused_again(bot, installed):
    for _ in range(2):
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        await bot.ask(Verb.REJECT, KIM)
        await bot.reaches(Phase.REVERTED)


async def test_a_second_release_goes_on_where_the_first_one_is_live(bot, installed):
    await bot.release("green")
    await bot.stays_live()
    bot.clock.skip(minutes=2)
    await bot.release("blue")
    await bot.ask(Verb.ROLL_BACK, SAM)
    await bot.reaches(Phase.REVERTED)


async def test_a_version_that_arrives_during_the_approval_voids_it(bot, installed, rollout):
    blue = await installed.serving(REPLICAS)
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await rollout.bring_up("purple")
    ended = await bot.reaches(Phase.ABANDONED)
    assert "kubectl-set" in ended.reason
    assert await installed.serving(REPLICAS) == blue


async def test_a_promotion_by_somebody_else_is_told(bot, installed, rollout):
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await rollout.promote()
    ended = await bot.reaches(Phase.ABANDONED)
    assert ended.reason == "promoted outside by somebody"


async def test_an_abort_by_somebody_else_ends_the_release(bot, installed, rollout):
    blue = await installed.serving(REPLICAS)
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await rollout.abort()
    ended = await bot.reaches(Phase.REVERTED)
    assert ended.reason.startswith("Argo Rollouts aborted it")
    assert await installed.serving(REPLICAS) == blue
