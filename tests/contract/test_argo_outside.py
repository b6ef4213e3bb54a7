"""What others bring up on Argo Rollouts is noticed, becomes one release, and costs nothing while nobody does."""

import asyncio
from dataclasses import replace

import pytest
import structlog
from rollout import is_nudge, works_towards

import mochi
from bot.clusters.api import ROLLOUT, SERVICE
from bot.clusters.argocd import TRACKED
from bot.clusters.errors import Forbidden
from bot.release.record import Cause, Phase
from bot.release.verbs import Verb
from world import KIM, SAM

pytestmark = pytest.mark.argo

REPLICAS = 2


@pytest.fixture
def backend(on_rollout):
    return replace(on_rollout, adopt=True)


async def with_variable(rollout):
    return await rollout.set_variable("DATABASE", "new")


async def at_rest(bot):
    """Everything was listed, and nothing is left to do."""
    while bot.cluster.trouble or bot.app.name not in bot.controller._resting or bot.controller._running:
        await bot.controller.turn()


async def test_a_version_that_somebody_else_brings_up_waits_for_the_same_approvals(bot, installed, rollout):
    blue = await installed.serving(REPLICAS)
    await at_rest(bot)
    await rollout.bring_up("green")
    release = await bot.has(1)
    assert release.begun_by.startswith("kubectl-set at ")
    await bot.reaches(Phase.READY)
    green = await installed.serving(REPLICAS, mochi.PREVIEW, instead_of=blue)
    assert await installed.serving(REPLICAS) == blue
    await bot.approve()
    await bot.reaches(Phase.BAKING)
    assert await installed.serving(REPLICAS, instead_of=blue) == green


async def test_what_others_bring_up_is_noticed_after_a_release_of_ours_has_come_to_rest(bot, installed, rollout):
    await bot.release("green")
    await bot.stays_live()
    bot.clock.skip(hours=2)
    await bot.reaches(Phase.DONE, retired=True)
    await at_rest(bot)
    await rollout.bring_up("purple")
    assert (await bot.has(2)).asked == "mochi:purple"
    await bot.reaches(Phase.READY)


async def test_a_version_that_was_rejected_is_taken_away_and_not_adopted_again(bot, installed, rollout):
    before = (await rollout.get())["spec"]["template"]["spec"]["containers"][0]["image"]
    await rollout.bring_up("green")
    await bot.has(1)
    await bot.reaches(Phase.READY)
    await bot.ask(Verb.REJECT, KIM, "the logo is wrong")
    await bot.reaches(Phase.REVERTED, retired=True)
    await at_rest(bot)
    assert (await rollout.get())["spec"]["template"]["spec"]["containers"][0]["image"] == before
    assert (await bot.newest()).number == 1


CHANGED = {"another image": lambda rollout: rollout.set_image("purple"), "a variable": with_variable}


@pytest.mark.parametrize("change", CHANGED)
async def test_what_somebody_else_sets_while_a_version_is_rejected_stays(bot, installed, rollout, change):
    """For a moment the controller calls it by the hash of the version before it."""
    await rollout.bring_up("green")
    await bot.has(1)
    await bot.reaches(Phase.READY)
    green = (await rollout.get())["status"]["currentPodHash"]

    async def just_set():
        del bot.door.instead[ROLLOUT.name]
        found = await CHANGED[change](rollout)
        return found | {"status": found["status"] | {"observedGeneration": str(found["metadata"]["generation"])}}

    bot.door.instead[ROLLOUT.name] = just_set
    await bot.ask(Verb.REJECT, KIM)
    while bot.door.instead:
        await bot.controller.turn()
    await rollout.woken(lambda each: works_towards(each) not in {"", green})
    await bot.has(2)
    await bot.reaches(Phase.READY)
    assert [patch for kind, _, patch in bot.door.sent if kind == ROLLOUT.name and not is_nudge(patch)] == []


async def test_a_version_that_git_asks_for_waits_for_a_commit_when_it_is_rejected_and_is_over_with_the_next(
    bot, installed, rollout
):
    tracked = {TRACKED: f"shop:argoproj.io/Rollout:{installed.target.namespace}/mochiapp"}
    await installed.patch(rollout.path, {"metadata": {"annotations": tracked}}, manager="argocd-controller")
    await rollout.bring_up("green")
    await bot.has(1)
    await bot.reaches(Phase.READY)
    await bot.ask(Verb.REJECT, KIM)
    moment = await bot.sees(lambda moment: moment.reason)
    assert moment.reason == (
        "Git still asks for mochi:green: revert that commit, so that Argo CD's application shop does not bring it up "
        "again"
    )
    await rollout.bring_up("purple")
    assert (await bot.has(2)).asked == "mochi:purple"


async def test_a_rollout_that_promotes_by_itself_is_named_as_who_promoted_and_in_the_log_with_the_fix(
    bot, installed, rollout
):
    await rollout.bring_up("green")
    await bot.has(1)
    await bot.reaches(Phase.READY)
    with structlog.testing.capture_logs() as logged:
        await rollout.set_spec(strategy={"blueGreen": {"autoPromotionEnabled": True}})
        ended = await bot.reaches(Phase.ABANDONED)
        assert ended.cause is Cause.PROMOTED_OUTSIDE
        assert ended.reason == "promoted outside by Rollout mochiapp itself (autoPromotionEnabled)"
        await at_rest(bot)
    [said] = [each["reason"] for each in logged if each["event"] == "other versions cannot be looked for"]
    assert said.startswith("Rollout mochiapp promotes by itself whatever is ready (autoPromotionEnabled)")
    assert said.endswith("set spec.strategy.blueGreen.autoPromotionEnabled to false.")


async def test_what_could_not_be_read_for_a_missing_right_is_adopted_when_the_role_is_mended(bot, installed, rollout):
    """A Role is not watched, and whoever mends it changes nothing else."""
    await at_rest(bot)
    asked = asyncio.Event()

    async def refused():
        asked.set()
        raise Forbidden("Greenlight may not get services in its namespace")

    bot.door.instead[SERVICE.name] = refused
    await rollout.bring_up("green")
    await asked.wait()
    await at_rest(bot)
    del bot.door.instead[SERVICE.name]
    bot.clock.skip(minutes=10)
    assert (await bot.has(1)).asked == "mochi:green"


async def test_a_promotion_by_somebody_else_closes_the_release_and_a_rollback_still_works(bot, installed, rollout):
    blue = await installed.serving(REPLICAS)
    await rollout.bring_up("green")
    await bot.has(1)
    await bot.reaches(Phase.READY)
    await rollout.promote()
    ended = await bot.reaches(Phase.ABANDONED)
    assert ended.cause is Cause.PROMOTED_OUTSIDE
    green = await installed.serving(REPLICAS, instead_of=blue)
    await bot.desk.roll_back(bot.app, SAM)
    await bot.sees(lambda moment: moment.release.phase is Phase.REVERTED)
    assert await installed.serving(REPLICAS, instead_of=green) == blue


@pytest.mark.parametrize("ended", ["rejected", "expired", "rolled back"])
async def test_a_version_that_was_taken_back_and_is_pushed_again_is_told_loudly(bot, installed, rollout, ended):
    """As long as its pods are kept, Argo switches to it without a pause: nobody can be asked, but all are told."""
    blue = await installed.serving(REPLICAS)
    await rollout.bring_up("green")
    await bot.has(1)
    await bot.reaches(Phase.READY)
    if ended == "rejected":
        await bot.ask(Verb.REJECT, KIM, "the logo is wrong")
    elif ended == "expired":
        bot.clock.skip(minutes=40)
    else:
        await bot.approve()
        await bot.reaches(Phase.BAKING)
        await bot.ask(Verb.ROLL_BACK, SAM)
    await bot.reaches(Phase.REVERTED)
    await rollout.set_image("green")
    await rollout.woken(lambda each: each["status"].get("stableRS") == works_towards(each) != "")
    # Where it was heard of before it was live, that is a release of its own.
    while (closed := await bot.newest()).phase is not Phase.ABANDONED:
        await bot.controller.turn()
    assert closed.cause is Cause.PROMOTED_OUTSIDE
    assert closed.reason.startswith("promoted outside by somebody")
    green = await installed.serving(REPLICAS, instead_of=blue)
    await bot.desk.roll_back(bot.app, SAM)
    await bot.sees(lambda moment: moment.release.phase is Phase.REVERTED)
    assert await installed.serving(REPLICAS, instead_of=green) == blue


async def test_a_version_that_was_rolled_back_does_not_come_again_by_the_abort_of_the_next(bot, installed, rollout):
    """The fix was pushed before the rollback, so Argo still takes green for stable, and returns to it."""
    blue, before = await installed.serving(REPLICAS), await rollout.live()
    await rollout.bring_up("green")
    await bot.has(1)
    await bot.reaches(Phase.READY)
    await bot.approve()
    await bot.reaches(Phase.BAKING)
    green = await installed.serving(REPLICAS, instead_of=blue)
    await rollout.bring_up("purple")
    await bot.ask(Verb.ROLL_BACK, SAM, "wrong prices")
    await installed.serving(REPLICAS, instead_of=green)
    await bot.has(2)
    await bot.reaches(Phase.READY)
    await rollout.abort()
    ended = await bot.reaches(Phase.REVERTED)
    assert (ended.number, ended.cause) == (2, Cause.FAILED)
    assert ended.reason.startswith("Argo Rollouts aborted it")  # seen before or after it gave the traffic to green
    assert await installed.serving(REPLICAS, instead_of=green) == blue
    shown = await rollout.get()
    assert works_towards(shown) == shown["status"]["stableRS"] == await rollout.live() == before


async def test_i12_an_app_at_rest_reads_nothing_whatever_else_happens_in_its_namespace(bot, installed, rollout):
    """Only what is heard of its own Rollout makes it look."""
    await at_rest(bot)
    bot.door.read.clear()
    namespace = installed.target.namespace
    [backend] = bot.cluster._used
    _, _, heard, _, _ = backend._watches.heard(namespace)
    for name in ("stranger", "another"):
        await installed.target.apply([mochi._service(namespace, name, {"app": name})])
        while name not in heard:
            await bot.controller.turn()
        await at_rest(bot)
    assert bot.door.read == []
    await rollout.bring_up("green")
    await bot.has(1)
    assert bot.door.read != []
