"""Rollouts that allow no release, and images that do not start: each ends in a sentence, and the traffic stays."""

import re

import pytest
from rollout import hashes, is_paused
from targets import frozen

import mochi
from bot.clusters.argo.reading import HASH
from bot.clusters.errors import Unfit
from bot.release.record import Cause, Phase

REPLICAS = 2


@pytest.fixture
def backend(on_rollout):
    return on_rollout


# What is refused before anything is written


def strategy_with(**changes):
    """Merged into what it has."""

    async def change(rollout):
        await rollout.set_spec(strategy={"blueGreen": changes})

    return change


async def freeze(rollout):
    await rollout.set_spec(paused=True)


async def make_invalid(rollout):
    await rollout.set_spec(minReadySeconds=600)
    await rollout.woken(lambda each: "InvalidSpec" in {cause["type"] for cause in each["status"]["conditions"]})


BY_ITSELF = (
    "Rollout mochiapp promotes by itself whatever is ready (autoPromotionEnabled), so approvals would mean nothing: "
    "set spec.strategy.blueGreen.autoPromotionEnabled to false."
)
NO_PREVIEW = (
    "Rollout mochiapp has no previewService, so nobody could look at a version before it is live: make a Service like "
    "mochiapp for that, and name it in spec.strategy.blueGreen.previewService."
)
PAUSED = (
    "Rollout mochiapp was paused by somebody (spec.paused), so nothing in it moves: let it go on: kubectl patch "
    """rollout mochiapp -n {} --type merge -p '{{"spec":{{"paused":false}}}}'"""
)
INVALID = (
    'Argo Rollouts does not take Rollout mochiapp as it is (The Rollout "mochiapp" is invalid: '
    "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds): mend what it names."
)
REFUSED = {
    "promotes by itself": (strategy_with(autoPromotionEnabled=True), BY_ITSELF),
    "promotes by default": (strategy_with(autoPromotionEnabled=None), BY_ITSELF),
    "no preview": (strategy_with(previewService=None), NO_PREVIEW),
    "paused": (freeze, PAUSED),
    "invalid": (make_invalid, INVALID),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_rollout_that_allows_no_release_is_refused_with_the_fix(bot, target, rollout, what):
    spoil, sentence = REFUSED[what]
    await spoil(rollout)
    with pytest.raises(Unfit, match=f"^{re.escape(sentence.format(target.namespace))}$"):
        await bot.deploy("green")
    assert bot.door.sent == []
    assert await bot.store.newest(bot.app.name) is None


@pytest.mark.parametrize("service", [mochi.ACTIVE, mochi.PREVIEW])
async def test_a_service_that_lost_its_hash_is_refused_with_the_hash_to_put_back(
    bot, target, installed, rollout, controller, service
):
    """Its controller, when it is at work, puts a hash there by itself: that of its newest version."""
    live = await rollout.live()
    async with frozen(controller):
        await installed.select(service, **{HASH: None})
        with pytest.raises(Unfit) as refused:
            await bot.deploy("green")
        put_back = f"""kubectl patch service {service} -n {target.namespace} --type merge -p '{{"spec":{{"selector":"""
        assert str(refused.value) == (
            f"the selector of Service {service} lost its label {HASH}: it lets in pods of any version: find out who "
            f"""took it, then put it back: {put_back}{{"{HASH}":"{live}"}}}}}}'"""
        )
        assert bot.door.sent == []
        await installed.select(service, **{HASH: live})
    await bot.deploy("green")
    await bot.reaches(Phase.READY)


async def test_a_controller_that_has_not_taken_up_the_last_change_is_asked_for(bot, rollout, controller):
    async with frozen(controller):
        await rollout.set_spec(replicas=3)
        with pytest.raises(Unfit, match=r"^Argo Rollouts has not taken up .* its controller is not running: kubectl "):
            await bot.deploy("green")
        assert bot.door.sent == []
    await rollout.woken(lambda each: each["status"]["observedGeneration"] == str(each["metadata"]["generation"]))
    await bot.deploy("green")
    await bot.reaches(Phase.READY)


# Images that do not start


SAID = {
    "crash": r"pod mochiapp-\w+-\w+: crashes at start, \d+ times so far \(exit code 1: .+\)",
    "nopull": r"pod mochiapp-\w+-\w+: cannot pull the image \(Back-off pulling image .+\)",
}


@pytest.mark.parametrize("image", SAID)
async def test_an_image_that_does_not_start_ends_put_back_with_what_its_pod_says(
    bot, target, installed, rollout, image
):
    """Within seconds, not at a deadline; the traffic never moves."""
    blue = await installed.serving(REPLICAS)
    async with installed.record_service() as service:
        await bot.deploy(image)
        if image == "crash":
            await bot.sees(lambda moment: "crash" in moment.reason)
            target.crash_again()
        release = await bot.reaches(Phase.REVERTED, retired=True)
        assert (release.cause, release.was_live) == (Cause.FAILED, False)
        assert re.fullmatch(SAID[image], release.reason)
        assert len(hashes(await service.so_far())) == 1
    assert await installed.serving(REPLICAS) == blue
    assert not is_paused(await rollout.get())


@pytest.mark.parametrize("spec", [{"progressDeadlineSeconds": 1, "minReadySeconds": 0}])
async def test_a_rollout_that_made_no_progress_in_its_own_time_says_so_and_ends_at_ours(bot, installed, rollout):
    """Argo Rollouts only says it: the version may still become ready, and is waited for as long as the app says."""
    blue = await installed.serving(REPLICAS)
    async with installed.record_service() as service:
        await bot.deploy("never")
        await bot.sees(lambda moment: moment.reason.startswith("Argo Rollouts says: ProgressDeadlineExceeded"))
        bot.clock.skip(seconds=31)
        release = await bot.reaches(Phase.REVERTED, retired=True)
        assert (release.cause, release.was_live) == (Cause.LATE, False)
        assert release.reason.startswith("not ready in time: Argo Rollouts says: ProgressDeadlineExceeded")
        assert len(hashes(await service.so_far())) == 1
    assert await installed.serving(REPLICAS) == blue


@pytest.mark.parametrize("spec", [{"progressDeadlineSeconds": 1, "progressDeadlineAbort": True}])
async def test_a_version_that_argo_gives_up_at_its_own_deadline_is_put_back(bot, installed, rollout):
    blue = await installed.serving(REPLICAS)
    async with installed.record_service() as service:
        await bot.deploy("never")
        release = await bot.reaches(Phase.REVERTED, retired=True)
        assert release.cause is Cause.FAILED
        assert re.match(r"Argo Rollouts aborted it \((RolloutAborted|ProgressDeadlineExceeded): ", release.reason)
        assert len(hashes(await service.so_far())) == 1
    assert await installed.serving(REPLICAS) == blue


async def test_a_pod_template_that_somebody_changes_while_it_is_prepared_is_not_put_to_the_vote(bot, rollout):
    """It has the image and the label of the release, and is not what was deployed."""
    await bot.deploy("never")
    await bot.sees(lambda moment: moment.release.staged)
    await rollout.set_variable("DATABASE", "new")
    ended = (await bot.sees(lambda moment: not moment.release.phase.open)).release
    assert (ended.phase, ended.cause) == (Phase.ABANDONED, Cause.FOREIGN)
    assert " was changed by kubectl-set at " in ended.reason
    assert ended.reason.endswith(" while it was being prepared")
