"""A Rollout that takes its pod template from a Deployment (`workloadRef`): there an image goes, and there it comes from
when other people change it.
"""

from dataclasses import replace

import pytest
from installed import ready
from rollout import hashes, is_paused, works_towards
from staff import Held
from targets import frozen

import mochi
from bot.clusters.api import ROLLOUT_STATUS
from bot.clusters.argo.reading import template_of
from bot.clusters.reading import replicas
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import KIM, REPOSITORY, SAM

REPLICAS = 2
SHORT = {"scaleDownDelaySeconds": 1}


@pytest.fixture
def backend(on_rollout):
    return replace(on_rollout, in_deployment=True)


async def went_home(bot, installed, rollout, blue):
    await bot.reaches(Phase.REVERTED)
    await installed.serving(REPLICAS)
    shown = await rollout.get()
    assert not is_paused(shown)
    assert works_towards(shown) == shown["status"]["stableRS"] == await rollout.live() == blue


async def test_it_goes_live_and_is_home_by_one_write_while_the_version_before_is_kept(bot, installed, rollout):
    blue, before = await installed.serving(REPLICAS), await rollout.live()
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    green = await installed.serving(REPLICAS, mochi.PREVIEW, instead_of=blue)
    assert await installed.serving(REPLICAS) == blue
    await bot.approve()
    await bot.reaches(Phase.BAKING)
    assert await installed.serving(REPLICAS, instead_of=blue) == green
    since = len(bot.door.sent)
    async with installed.record_endpoints() as serving:
        await bot.ask(Verb.ROLL_BACK, SAM, "wrong prices")
        assert await installed.serving(REPLICAS, instead_of=green) == blue
        await went_home(bot, installed, rollout, before)
        assert all(ready(moment) in (blue, green) for moment in await serving.so_far())
    assert [kind for kind, _, _ in bot.door.sent[since:]][:2] == ["Service", "Deployment"]


@pytest.mark.parametrize("strategy", [SHORT])
async def test_a_version_that_lost_its_pods_comes_up_again_before_it_gets_the_traffic(bot, installed, rollout):
    before = await rollout.live()
    await bot.release("green")
    await rollout.until_set("blue", lambda each: replicas(each) == 0)
    async with installed.record_service() as service, installed.record_endpoints() as serving:
        await bot.ask(Verb.ROLL_BACK, SAM)
        await went_home(bot, installed, rollout, before)
        assert len(hashes(await service.so_far())) == 2
        assert all(len(ready(moment)) == REPLICAS for moment in await serving.so_far())


async def test_a_rejected_release_leaves_the_deployment_as_it_was(bot, installed):
    blue, before = await installed.serving(REPLICAS), template_of(await installed.deployment("mochiapp"))
    for _ in range(2):  # the same image again is paused again
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        await bot.ask(Verb.REJECT, KIM, "the logo is wrong")
        await bot.reaches(Phase.REVERTED)
        assert template_of(await installed.deployment("mochiapp")) == before
    assert await installed.serving(REPLICAS) == blue


CHANGES = {
    "image": lambda installed: installed.set_image("mochiapp", f"{REPOSITORY}:purple"),
    "variable": lambda installed: installed.set_variable("mochiapp", "MOCHI_FLAVOUR", "salt"),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_of_the_deployment_during_the_approval_voids_it(bot, installed, rollout, what):
    blue = await installed.serving(REPLICAS)
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await bot.approve(KIM)
    await CHANGES[what](installed)
    ended = await bot.reaches(Phase.ABANDONED)
    assert "kubectl-set" in ended.reason
    assert await installed.serving(REPLICAS) == blue
    assert ROLLOUT_STATUS.name not in {kind for kind, _, _ in bot.door.sent}


@pytest.mark.parametrize("still", [False, True], ids=["at work", "standing still"])
async def test_a_change_of_the_deployment_between_the_last_look_and_the_promotion_is_never_live(
    bot, installed, rollout, controller, still
):
    """The promotion is bound to what the Rollout says of its Deployment, and a controller that stands still says
    nothing of the change: then it makes a new preview of that, whatever was promoted.
    """
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    green = await rollout.hash_of("green")
    held = Held(bot, ROLLOUT_STATUS, "mochiapp")
    await bot.approve()
    await held.until_decided()
    async with installed.record_service() as service:
        if still:
            await controller.freeze()
        await installed.set_image("mochiapp", f"{REPOSITORY}:purple")
        if not still:
            await rollout.woken(lambda each: is_paused(each) and works_towards(each) != green)
        held.let_go.set()
        if still:
            await rollout.until(lambda each: not is_paused(each))
        controller.thaw()
        purple = await rollout.woken(lambda each: is_paused(each) and works_towards(each) not in {"", green})
        bot.clock.skip(seconds=12)  # until when a switch of ours might still arrive
        await bot.sees(lambda moment: not moment.release.phase.open or moment.release.phase is Phase.BAKING)
        await rollout.annotate()  # one more look of the controller's
        assert works_towards(purple) not in hashes(await service.so_far())


async def test_a_controller_that_stands_still_is_told_and_the_traffic_is_home_all_the_same(
    bot, installed, rollout, controller
):
    blue = await installed.serving(REPLICAS)
    await bot.release("green")
    green = await installed.serving(REPLICAS, instead_of=blue)
    async with frozen(controller):
        await bot.ask(Verb.ROLL_BACK, SAM)
        assert await installed.serving(REPLICAS, instead_of=green) == blue
        assert (await bot.newest()).phase is Phase.REVERTING
    await bot.reaches(Phase.REVERTED)


async def test_a_version_that_is_not_taken_up_is_nudged_for(bot, rollout, controller):
    """The nudge is of the Rollout, the version in the Deployment."""
    async with frozen(controller):
        await bot.deploy("green")
        await bot.sees(lambda moment: moment.seen and "does not answer" in (moment.seen.candidate.trouble or ""))
    await bot.reaches(Phase.READY)
