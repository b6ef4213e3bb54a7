"""The way back of a release on Argo Rollouts: instantly while the version before is kept, by a redeploy afterwards."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from backends import went_home
from installed import ready
from rollout import hash_of, hashes, is_nudge, is_paused, works_towards

import mochi
from bot.clusters.api import APPLICATION, ROLLOUT
from bot.clusters.argo.reading import deadline, template_of
from bot.clusters.argocd import TRACKED
from bot.clusters.errors import Away, Forbidden
from bot.clusters.reading import replicas
from bot.release.record import Cause, Phase
from bot.release.verbs import Verb
from world import SAM

pytestmark = pytest.mark.argo

SHORT = {"scaleDownDelaySeconds": 1}


@pytest.fixture
def backend(on_rollout):
    return on_rollout


def writes(bot, since):
    return [kind for kind, _, patch in bot.door.sent[since:] if not is_nudge(patch)]


async def is_home(bot, installed, rollout, blue):
    await bot.reaches(Phase.REVERTED)
    await installed.serving(2)
    await rollout.woken(
        lambda each: works_towards(each) == each["status"].get("stableRS") == blue and not is_paused(each)
    )
    assert await rollout.live() == blue


async def test_the_traffic_is_home_by_one_write_while_the_version_before_is_kept(bot, argo, installed, rollout):
    blue = await installed.serving(2)
    before = await rollout.live()
    await bot.release("green")
    green = await installed.serving(2, instead_of=blue)
    since = len(bot.door.sent)
    async with installed.record_service() as service, installed.record_endpoints() as serving:
        await bot.ask(Verb.ROLL_BACK, SAM, "wrong prices")
        assert await installed.serving(2, instead_of=green) == blue
        await is_home(bot, installed, rollout, before)
        assert went_home(hashes(await service.so_far()), before, argo)
        assert all(ready(moment) in (blue, green) for moment in await serving.so_far())
    written = ["Service", "Rollout"]
    assert writes(bot, since) in ([written] if argo.leaves_the_service else [written, [*written, "Service"]])


@pytest.mark.parametrize("ill", [1, 2])
async def test_the_traffic_is_home_whatever_has_become_of_the_version_that_is_live(bot, installed, rollout, ill):
    """Argo's own abort would leave it on a version of which one pod is not ready."""
    blue, before = await installed.serving(2), await rollout.live()
    await bot.release("green")
    green = await installed.serving(2, instead_of=blue)
    await rollout.fail(frozenset(sorted(green)[:ill]))
    await installed.serving(2 - ill, instead_of=blue)
    await bot.ask(Verb.ROLL_BACK, SAM)
    assert await installed.serving(2, instead_of=green) == blue
    await is_home(bot, installed, rollout, before)


@pytest.mark.parametrize("strategy", [SHORT])
async def test_a_version_that_lost_its_pods_comes_up_again_before_it_gets_the_traffic(bot, installed, rollout):
    """As a preview, and not before it can carry all that green carries."""
    await bot.release("slow")
    slow = await rollout.live()
    await bot.stays_live()
    bot.clock.skip(minutes=2)
    await rollout.until_set("blue", lambda each: replicas(each) == 0)
    await bot.release("green")
    await rollout.until_set("slow", lambda each: replicas(each) == 0)
    since = len(bot.door.sent)
    async with installed.record_service() as service, installed.record_endpoints() as serving:
        await bot.ask(Verb.ROLL_BACK, SAM)
        await is_home(bot, installed, rollout, slow)
        assert len(hashes(await service.so_far())) == 2
        assert all(len(ready(moment)) == 2 for moment in await serving.so_far())
    assert writes(bot, since) == ["Rollout", "Service"]


@pytest.mark.parametrize("strategy", [SHORT])
@pytest.mark.parametrize("spec", [{"revisionHistoryLimit": 0}])
async def test_a_version_whose_replica_set_is_gone_is_made_anew(bot, installed, rollout):
    await bot.release("green")
    green = await installed.serving(2)
    bot.clock.skip(seconds=30)
    while await rollout.sets_of("blue"):
        await rollout.annotate()  # the controller forgets what it does not need when it looks
    async with installed.record_endpoints() as serving:
        await bot.ask(Verb.ROLL_BACK, SAM)
        await bot.reaches(Phase.REVERTED)
        assert all(len(ready(moment)) == 2 for moment in await serving.so_far())
    assert not await installed.serving(2, instead_of=green) & green
    [blue] = await rollout.sets_of("blue")
    assert await rollout.live() == hash_of(blue)


@pytest.mark.parametrize("strategy", [SHORT])
@pytest.mark.parametrize("spec", [{"revisionHistoryLimit": 0}])
async def test_the_image_of_the_version_before_in_another_pod_template_is_not_that_version(bot, installed, rollout):
    """Nobody has approved it, and it does not get the traffic."""
    template = template_of(await rollout.get())
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await bot.approve()
    await bot.reaches(Phase.BAKING)
    bot.clock.skip(seconds=30)
    while await rollout.sets_of("blue"):
        await rollout.annotate()
    await rollout.set_variable("DATABASE", "new")
    await rollout.bring_up("blue")
    [other] = await rollout.sets_of("blue")
    async with installed.record_service() as service:
        await bot.ask(Verb.ROLL_BACK, SAM)
        await bot.reaches(Phase.REVERTED)
        assert hash_of(other) not in hashes(await service.so_far())
    assert template_of(await rollout.get()) == template


NEAR = (-1.5, -0.2, 0.0, 0.3)
"""Seconds between the deadline and the rollback."""


@pytest.mark.parametrize("strategy", [{"scaleDownDelaySeconds": 8}])
@pytest.mark.parametrize("when", NEAR)
async def test_no_traffic_is_sent_to_pods_that_are_being_taken(bot, installed, rollout, when):
    """Just at the deadline nobody can know whether the pods are still there when the write arrives."""
    before = await rollout.live()
    await bot.release("green")
    goes_at = deadline(await rollout.until_set("blue", deadline))
    await past(goes_at + timedelta(seconds=when))
    async with installed.record_endpoints() as serving:
        await bot.ask(Verb.ROLL_BACK, SAM)
        await is_home(bot, installed, rollout, before)
        assert all(len(ready(moment)) == 2 for moment in await serving.so_far()), serving.moments


async def past(moment):
    """The controller has no other clock than the machine's."""
    await asyncio.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


@pytest.mark.parametrize("strategy", [{"scaleDownDelaySeconds": 86400}])
async def test_pods_that_argo_keeps_longer_than_the_app_asks_for_get_the_traffic_at_once(bot, installed, rollout):
    """They were never given up, so nobody waits until the last of them is ready again."""
    blue = await installed.serving(2)
    await bot.release("green")
    green = await installed.serving(2, instead_of=blue)
    await bot.stays_live()
    bot.clock.skip(hours=1)
    await bot.reaches(Phase.DONE, retired=True)
    ill = frozenset(sorted(blue)[:1])
    await rollout.fail(ill)
    await rollout.until_set("blue", lambda each: each["status"].get("readyReplicas") == 1)
    await bot.ask(Verb.ROLL_BACK, SAM)
    assert await installed.serving(1, instead_of=green) == blue - ill
    await rollout.recover(ill)
    await bot.reaches(Phase.REVERTED)


async def test_it_is_over_though_a_pod_of_the_version_before_never_gets_ready_again(bot, installed, rollout):
    """As one that no node has room for: Argo Rollouts takes the version for stable all the same, and so it may."""
    blue, before = await installed.serving(2), await rollout.live()
    await bot.release("green")
    green = await installed.serving(2, instead_of=blue)
    await rollout.fail(frozenset(sorted(blue)[:1]))
    await rollout.until_set("blue", lambda each: each["status"].get("readyReplicas") == 1)
    await bot.ask(Verb.ROLL_BACK, SAM)
    await installed.serving(1, instead_of=green)
    await bot.reaches(Phase.REVERTED)
    assert works_towards(await rollout.get()) == await rollout.live() == before


@pytest.mark.parametrize("strategy", [SHORT])
@pytest.mark.parametrize("spec", [{"minReadySeconds": 4}])
async def test_it_is_over_though_not_all_pods_that_come_up_again_get_ready(bot, installed, rollout):
    """What is live answers nothing, so the first pod that is ready gets the traffic."""
    await installed.serving(2)
    await rollout.woken(lambda each: (each["status"].get("blueGreen") or {}).get("activeSelector"))
    before = await rollout.live()
    await bot.release("green")
    await rollout.until_set("blue", lambda each: replicas(each) == 0)
    green = await installed.serving(2)
    await rollout.fail(green)
    await bot.ask(Verb.ROLL_BACK, SAM)
    anew = await installed.serving(2, mochi.PREVIEW, instead_of=green)
    await rollout.fail(frozenset(sorted(anew)[:1]))
    await bot.reaches(Phase.REVERTED)
    assert works_towards(await rollout.get()) == await rollout.live() == before


SMALL = {"previewReplicaCount": 1}


# In the sandbox the way home of a small preview does not come to its end; the real controller is what counts.
@pytest.mark.parametrize("target", [pytest.param("real", marks=pytest.mark.cluster)], indirect=True)
@pytest.mark.parametrize("strategy", [SMALL])
async def test_a_smaller_preview_grows_before_it_is_live_and_nobody_shrinks_on_the_way_home(
    bot, argo, installed, rollout
):
    blue, before = await installed.serving(2), await rollout.live()
    async with installed.record_endpoints() as serving:
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        assert len(await installed.serving(1, mochi.PREVIEW, instead_of=blue)) == 1
        await bot.approve()
        await bot.reaches(Phase.BAKING)
        green = await installed.serving(2, instead_of=blue)
        await bot.ask(Verb.ROLL_BACK, SAM)
        assert await installed.serving(2, instead_of=green) == blue
        await is_home(bot, installed, rollout, before)
        assert all(len(ready(moment)) == 2 for moment in await serving.so_far())
    # Where the template has to come before the traffic, it was a small preview for a moment.
    assert not argo.leaves_the_service or await installed.serving(2) == blue


@pytest.mark.parametrize("strategy", [SMALL | SHORT])
async def test_a_way_back_through_a_smaller_preview_grows_before_it_gets_the_traffic(bot, installed, rollout):
    before = await rollout.live()
    await bot.release("green")
    await rollout.until_set("blue", lambda each: replicas(each) == 0)
    async with installed.record_endpoints() as serving:
        await bot.ask(Verb.ROLL_BACK, SAM)
        await is_home(bot, installed, rollout, before)
        assert all(len(ready(moment)) == 2 for moment in await serving.so_far())


async def test_a_version_that_somebody_prepares_beside_the_live_one_is_no_part_of_it(bot, installed, rollout):
    """It stays what they made of it, also when the live one goes back."""
    blue = await installed.serving(2)
    await bot.release("green")
    green = await installed.serving(2, instead_of=blue)
    await rollout.bring_up("purple")
    await bot.ask(Verb.ROLL_BACK, SAM)
    assert await installed.serving(2, instead_of=green) == blue
    await bot.reaches(Phase.REVERTED)
    assert template_of(await rollout.get())["spec"]["containers"][0]["image"].endswith(":purple")
    assert is_paused(await rollout.get())


@pytest.mark.parametrize("strategy", [SHORT])
async def test_a_version_that_somebody_prepares_does_not_stand_in_the_way_of_going_back(bot, installed, rollout):
    before = await rollout.live()
    await bot.release("green")
    await rollout.until_set("blue", lambda each: replicas(each) == 0)
    await rollout.bring_up("purple")
    async with installed.record_endpoints() as serving:
        await bot.ask(Verb.ROLL_BACK, SAM)
        await is_home(bot, installed, rollout, before)
        assert all(len(ready(moment)) == 2 for moment in await serving.so_far())


# A Rollout that cannot be read, or that is none of ours any more


async def refused():
    raise Forbidden("Greenlight may not get rollouts in its namespace")


async def away():
    raise Away("the conversion webhook of Rollouts does not answer")


async def misshapen():
    return {"metadata": {"name": "mochiapp"}, "spec": None}


@pytest.mark.parametrize("answer", [refused, away, misshapen])
async def test_a_rollout_that_cannot_be_read_does_not_keep_the_traffic_from_going_home(bot, installed, rollout, answer):
    """The Service and the pods of the version before can, and nothing else is needed."""
    before = await rollout.live()
    await bot.release("green")
    await settled(rollout)
    since = len(bot.door.sent)
    bot.door.instead[ROLLOUT.name] = answer
    await bot.ask(Verb.ROLL_BACK, SAM)
    await until_live(rollout, before)
    moment = await bot.sees(lambda moment: moment.trouble)
    assert moment.release.phase is Phase.REVERTING
    assert writes(bot, since) == ["Service"]
    del bot.door.instead[ROLLOUT.name]
    bot.clock.skip(minutes=1)
    await is_home(bot, installed, rollout, before)


# The real controller takes the active Service to itself once more when it meets the other strategy: not held there.
@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
async def test_a_rollout_that_was_turned_into_a_canary_does_not_keep_the_traffic_from_going_home(
    bot, installed, rollout
):
    before = await rollout.live()
    await bot.release("green")
    await settled(rollout)
    await rollout.set_spec(strategy={"blueGreen": None, "canary": {}})
    await bot.ask(Verb.ROLL_BACK, SAM)
    await until_live(rollout, before)
    moment = await bot.sees(lambda moment: moment.trouble)
    assert moment.trouble.startswith("Rollout mochiapp is a canary")


async def test_an_application_that_is_read_slowly_does_not_keep_the_traffic_from_going_home(bot, installed, rollout):
    """What it says only decides about the pod template, and it is still used when it comes."""
    asked, come = asyncio.Event(), asyncio.Event()

    async def slow():
        asked.set()
        await come.wait()
        return {"metadata": {"name": "shop", "namespace": "argocd"}, "spec": {"syncPolicy": {"automated": {}}}}

    before = await rollout.live()
    await bot.release("green")
    bot.door.instead[APPLICATION.name] = slow
    tracked = {TRACKED: f"shop:argoproj.io/Rollout:{installed.target.namespace}/mochiapp"}
    await installed.patch(rollout.path, {"metadata": {"annotations": tracked}}, manager="argocd-controller")
    await bot.ask(Verb.ROLL_BACK, SAM)
    await asked.wait()
    await until_live(rollout, before)
    await bot.sees(lambda moment: "Git still asks" in moment.reason)
    come.set()
    bot.clock.skip(minutes=1)
    await is_home(bot, installed, rollout, before)


async def test_a_way_back_whose_rollout_was_deleted_is_given_up(bot, installed, rollout):
    """Its controller takes the hash out of the Service of what is gone."""
    await bot.release("green")
    await rollout.delete()
    while await rollout.live():
        pass
    await bot.ask(Verb.ROLL_BACK, SAM)
    ended = (await bot.sees(lambda moment: not moment.release.phase.open)).release
    assert (ended.phase, ended.cause) == (Phase.ABANDONED, Cause.FOREIGN)
    assert ended.reason.startswith("the active Service was changed by rollouts-controller")


async def settled(rollout):
    """The controller takes what is live for stable: until then it may write the active Service once more by itself."""
    await rollout.woken(lambda each: each["status"].get("stableRS") == works_towards(each) != "")


async def until_live(rollout, wanted):
    async with asyncio.timeout(10):
        while await rollout.live() != wanted:
            pass
