"""A release on Argo Rollouts, from deploy to live and back, in one process with the controller of the target."""

import pytest
from rollout import hash_of, hashes, is_paused, works_towards

import mochi
from bot.clusters.api import ROLLOUT
from bot.clusters.argo.reading import template_of
from bot.clusters.errors import Forbidden
from bot.clusters.reading import replicas
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import ANN, KIM, LEO, SAM

pytestmark = pytest.mark.argo

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


async def paused(bot, installed, rollout):
    """The newest release waits, its pods are behind the preview alone, and nothing else has changed."""
    await bot.reaches(Phase.READY)
    shown = await rollout.get()
    assert is_paused(shown)
    assert works_towards(shown) != await rollout.live()
    return await installed.serving(REPLICAS, mochi.PREVIEW, instead_of=await installed.serving(REPLICAS))


async def test_the_same_image_again_after_a_rejection_is_paused_again(bot, installed, rollout):
    async with installed.record_service() as service:
        for _ in range(2):
            await bot.deploy("green")
            await paused(bot, installed, rollout)
            await bot.ask(Verb.REJECT, KIM)
            await bot.reaches(Phase.REVERTED)
        assert len(hashes(await service.so_far())) == 1


async def test_an_image_that_was_aborted_is_paused_again_though_its_pods_are_still_there(bot, installed, rollout):
    """Argo Rollouts itself would switch to it without a pause, until it has scaled them down."""
    async with installed.record_service() as service:
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        await rollout.abort()
        await bot.reaches(Phase.REVERTED)
        await bot.deploy("green")
        await paused(bot, installed, rollout)
        assert len(hashes(await service.so_far())) == 1
    await bot.approve()
    await bot.reaches(Phase.BAKING)


async def test_an_image_that_was_replaced_before_it_was_live_is_paused_again(bot, installed, rollout):
    """v2 waits, v3 takes its place, and then v2 that of v3."""
    async with installed.record_service() as service:
        for image in ("green", "purple", "green"):
            await bot.deploy(image, replace=True)
            await paused(bot, installed, rollout)
        assert len(hashes(await service.so_far())) == 1


async def test_an_image_that_was_live_before_is_paused_again_though_its_pods_are_still_there(bot, installed, rollout):
    """v2, v3, v2: nothing of the first time counts for the second, neither pods nor approvals."""
    await bot.release("green")
    await bot.stays_live()
    bot.clock.skip(minutes=2)
    await bot.release("purple")
    await bot.stays_live()
    [green] = await rollout.sets_of("green")
    assert replicas(green) == REPLICAS
    bot.clock.skip(minutes=2)
    async with installed.record_service() as service:
        await bot.deploy("green")
        await paused(bot, installed, rollout)
        assert len(hashes(await service.so_far())) == 1
    await bot.approve()
    await bot.reaches(Phase.BAKING)
    assert await rollout.live() not in {hash_of(green), ""}


async def test_what_a_release_was_to_take_the_place_of_goes_with_it(bot, installed, rollout):
    """It was never staged itself: what is there is what the one before it has staged."""
    before = template_of(await rollout.get())
    await bot.deploy("green")
    await bot.reaches(Phase.READY)

    async def refuse(kind, name, patch):
        if kind == ROLLOUT:
            raise Forbidden("not today")

    bot.door.before = refuse
    await bot.deploy("purple", replace=True)
    await bot.sees(lambda moment: "not today" in moment.trouble)
    await bot.ask(Verb.ABANDON, ANN)
    await bot.reaches(Phase.REVERTING)
    bot.door.before = None
    bot.controller.wake(bot.app.name)
    await bot.reaches(Phase.REVERTED)
    shown, live = await rollout.get(), await rollout.live()
    assert template_of(shown)["spec"]["containers"][0]["image"] == before["spec"]["containers"][0]["image"]
    await rollout.woken(lambda each: works_towards(each) == live and not is_paused(each))


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
