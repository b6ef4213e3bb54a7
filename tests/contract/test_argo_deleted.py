"""A Rollout that is deleted in the middle of a release, and made anew: the new one is nobody's release, whatever its
pod template says, and nothing of it goes live upon approvals that were given before.
"""

import pytest
from rollout import is_paused, works_towards
from staff import Held

import mochi
from bot.clusters.api import ROLLOUT_STATUS
from bot.clusters.argo.reading import template_of
from bot.release.record import Cause, Phase
from mochi_rollout import rollout as manifest
from world import REPOSITORY

REPLICAS = 2


@pytest.fixture
def backend(on_rollout):
    return on_rollout


async def is_gone(rollout):
    """Its ReplicaSets too, which the garbage collector takes."""
    while await rollout.sets_of("blue") or await rollout.sets_of("green"):
        pass


async def is_made_anew(installed, rollout, **spec):
    """As it was at first, but for what is named; returns when that is live."""
    made = manifest(installed.target.namespace, image=f"{REPOSITORY}:blue")
    await installed.target.apply([{**made, "spec": {**made["spec"], **spec}}])
    await rollout.woken(is_live)
    await installed.serving(REPLICAS)


def is_live(rollout):
    """Whatever comes before all pods are available is a first version too, and goes live without a pause."""
    status = rollout.get("status") or {}
    active = (status.get("blueGreen") or {}).get("activeSelector", "")
    return works_towards(rollout) == active != "" and status.get("availableReplicas") == REPLICAS


def promotions(bot):
    return [patch for kind, _, patch in bot.door.sent if kind == ROLLOUT_STATUS.name]


@pytest.mark.parametrize("phase", [Phase.READY, Phase.BAKING])
async def test_one_that_is_missing_is_named_and_one_that_is_made_anew_is_no_part_of_the_release(
    bot, installed, rollout, phase
):
    await (bot.deploy("green") if phase is Phase.READY else bot.release("green"))
    await bot.reaches(phase)
    sent = len(bot.door.sent)
    await rollout.delete()
    moment = await bot.sees(lambda moment: moment.trouble)
    assert moment.trouble.startswith(f"Rollout mochiapp is not in namespace {installed.target.namespace}: create it")
    assert moment.release.phase is phase
    await is_gone(rollout)
    await is_made_anew(installed, rollout)
    ended = await bot.reaches(Phase.ABANDONED)
    assert " was changed by " in ended.reason
    assert len(bot.door.sent) == sent
    bot.clock.skip(minutes=1)
    await bot.deploy("purple")
    await bot.reaches(Phase.READY)


async def test_one_that_is_made_anew_with_what_waits_for_approval_goes_live_by_itself_and_that_is_told(
    bot, installed, rollout
):
    """The first version of a Rollout is live without a pause."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    template = template_of(await rollout.get())
    await rollout.delete()
    await is_gone(rollout)
    await is_made_anew(installed, rollout, template=template)
    ended = await bot.reaches(Phase.ABANDONED)
    assert ended.cause in {Cause.PROMOTED_OUTSIDE, Cause.FOREIGN}
    assert promotions(bot) == []


async def test_the_same_version_in_another_rollout_is_not_what_was_approved(bot, installed, rollout):
    """Template and hash are the same, to the letter; nobody has seen what else there is in the other one."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    shown = await rollout.get()
    held = Held(bot, ROLLOUT_STATUS, "mochiapp")
    await bot.approve()
    await held.until_decided()
    await rollout.delete()
    await is_gone(rollout)
    await is_made_anew(installed, rollout)
    live = await installed.serving(REPLICAS)
    await rollout.set_template(template_of(shown), manager="kubectl-replace")
    anew = await rollout.woken(lambda each: is_paused(each) and works_towards(each))
    assert works_towards(anew) == works_towards(shown)
    await installed.serving(REPLICAS, mochi.PREVIEW, instead_of=live)
    held.let_go.set()
    ended = await bot.sees(lambda moment: not moment.release.phase.open)
    assert ended.release.phase is Phase.ABANDONED
    assert promotions(bot) == []
    assert await installed.serving(REPLICAS) == live
