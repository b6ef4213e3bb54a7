"""What an approval ships: the version that was approved, and never one that arrives before, between or after.

A newer version may arrive at any moment, with a controller that is at work, and with one that stands still from then on
and then sees everything at once. Recorded is every pod hash that the active Service ever selects.
"""

import pytest
from rollout import hashes, is_paused, works_towards
from staff import Held

import mochi
from bot.clusters.api import ROLLOUT_STATUS
from bot.release.record import Cause, Phase
from world import KIM, LEO

pytestmark = pytest.mark.argo


@pytest.fixture
def backend(on_rollout):
    return on_rollout


def promotions(bot):
    return [patch for kind, _, patch in bot.door.sent if kind == ROLLOUT_STATUS.name]


# A pod that is not ready when it is promoted


async def test_a_pause_that_comes_back_for_the_same_version_is_promoted_again(bot, installed, rollout):
    """A pod failed its probe just then: the controller forgets the promotion, and pauses again when it is well."""
    blue = await installed.serving(2)
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    green = await installed.serving(2, mochi.PREVIEW, instead_of=blue)
    held = Held(bot, ROLLOUT_STATUS, "mochiapp")
    await bot.approve()
    await held.until_decided()
    ill = frozenset(sorted(green)[:1])
    await rollout.fail(ill)
    await rollout.until_set("green", lambda each: each["status"].get("availableReplicas") == 1)
    held.let_go.set()
    await rollout.until(lambda each: not is_paused(each) and not each["status"].get("controllerPause"))
    assert await installed.serving(2) == blue
    await rollout.recover(ill)
    await bot.reaches(Phase.BAKING)
    assert await installed.serving(2, instead_of=blue) == green
    assert len(promotions(bot)) == 2
    assert len({vote.person.id for vote in await bot.store.votes(await bot.newest())}) == 2


async def test_a_pause_of_another_version_is_never_promoted(bot, installed, rollout):
    """The promotion was forgotten, and what pauses next is somebody's newer version."""
    blue = await installed.serving(2)
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    green = await installed.serving(2, mochi.PREVIEW, instead_of=blue)
    held = Held(bot, ROLLOUT_STATUS, "mochiapp")
    await bot.approve()
    await held.until_decided()
    async with installed.record_service() as service:
        await rollout.fail(frozenset(sorted(green)[:1]))
        await rollout.until_set("green", lambda each: each["status"].get("availableReplicas") == 1)
        held.let_go.set()
        await rollout.until(lambda each: not is_paused(each) and not each["status"].get("controllerPause"))
        await rollout.bring_up("purple")
        bot.clock.skip(seconds=12)  # until when a switch of ours might still arrive
        ended = await bot.reaches(Phase.ABANDONED)
        assert ended.cause is Cause.FOREIGN
        assert len(hashes(await service.so_far())) == 1
    assert len(promotions(bot)) == 1


# A newer version


WHEN = ("before the last vote", "between the last look and the promotion", "after the promotion")


@pytest.mark.parametrize("still", [False, True], ids=["at work", "standing still"])
@pytest.mark.parametrize("when", WHEN)
async def test_a_newer_version_is_never_live_without_being_approved(bot, installed, rollout, controller, when, still):
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    green = await rollout.hash_of("green")
    held = Held(bot, ROLLOUT_STATUS, "mochiapp")
    await bot.approve(KIM)
    async with installed.record_service() as service:
        if still:
            await controller.freeze()
        if when == WHEN[0]:
            await rollout.set_image("purple")
            if not still:
                await rollout.woken(lambda each: is_paused(each) and works_towards(each) != green)
            held.let_go.set()
            await votes(bot)
        else:
            await bot.approve(LEO)
            await held.until_decided()
            if when == WHEN[1]:
                await rollout.set_image("purple")
                held.let_go.set()
            else:
                held.let_go.set()
                await rollout.until(lambda each: not is_paused(each))
                await rollout.set_image("purple")
        controller.thaw()
        purple = await rollout.woken(lambda each: is_paused(each) and works_towards(each) not in {"", green})
        bot.clock.skip(seconds=12)
        await bot.sees(lambda moment: not moment.release.phase.open or moment.release.phase is Phase.BAKING)
        await rollout.annotate()  # one more look of the controller's
        seen = hashes(await service.so_far())
    assert works_towards(purple) not in seen
    switched = (await bot.newest()).phase is Phase.BAKING
    assert seen[1:] == ([green] if switched else [])
    assert len(promotions(bot)) == (1 if when == WHEN[2] else 0)
    if when != WHEN[2]:
        assert (await bot.newest()).phase is Phase.ABANDONED


async def votes(bot):
    """The last one; the release may have ended by then."""
    await bot.desk.vote(await bot.newest(), LEO, approve=True)


async def test_a_change_that_keeps_the_image_is_another_version_too(bot, installed, rollout):
    """What was approved is the whole pod template."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    held = Held(bot, ROLLOUT_STATUS, "mochiapp")
    await bot.approve()
    await held.until_decided()
    async with installed.record_service() as service:
        await rollout.set_variable("MOCHI_FLAVOUR", "salt")
        held.let_go.set()
        ended = await bot.reaches(Phase.ABANDONED)
        await rollout.woken(lambda each: is_paused(each) and works_towards(each))
        assert len(hashes(await service.so_far())) == 1
    assert "kubectl-set" in ended.reason
    assert promotions(bot) == []


async def test_a_promotion_that_somebody_froze_is_refused_and_waits(bot, rollout):
    """`spec.paused` between the look and the write: 422, and the next look says whose doing it is."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    held = Held(bot, ROLLOUT_STATUS, "mochiapp")
    await bot.approve()
    await held.until_decided()
    await rollout.set_spec(paused=True)
    held.let_go.set()
    await bot.sees(lambda moment: "somebody paused Rollout mochiapp (spec.paused)" in moment.reason)
    await rollout.set_spec(paused=False)
    await bot.reaches(Phase.BAKING)
    assert len(promotions(bot)) == 1
