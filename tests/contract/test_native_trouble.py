"""Images that do not start, objects that cannot be released, rights that are missing: each ends in a sentence."""

import re

import pytest
from installed import Mochi

import mochi
from bot.clusters.errors import ClusterError, Unfit
from bot.clusters.reading import replicas, selector
from bot.release.record import Cause, Phase
from world import REPOSITORY


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("crash", r"pod mochiapp-green-\w+-\w+: crashes at start, \d+ times so far \(exit code 1: .+\)"),
        ("nopull", r"pod mochiapp-green-\w+-\w+: cannot pull the image \(Back-off pulling image .+\)"),
    ],
)
async def test_an_image_that_does_not_start_ends_put_back_with_what_its_pod_says(
    bot, target, installed, image, sentence
):
    """Within seconds, not at a deadline; and the Service has its own selector again."""
    await bot.deploy(image)
    if image == "crash":
        await bot.sees(lambda moment: "crash" in moment.reason)
        target.crash_again()
    release = await bot.reaches(Phase.REVERTED, retired=True)
    assert (release.cause, release.was_live) == (Cause.FAILED, False)
    assert re.fullmatch(sentence, release.reason)
    assert selector(await installed.service()) == {"app": "mochi"}
    assert replicas(await installed.deployment(mochi.IDLE)) == 0


async def test_a_service_without_a_selector_is_refused_with_the_fix(target, hire):
    objects = mochi.mochi(target.namespace, live_image=f"{REPOSITORY}:blue")
    [active] = [item for item in objects if (item["kind"], item["metadata"]["name"]) == ("Service", mochi.ACTIVE)]
    del active["spec"]["selector"]
    await target.apply(objects)
    async with hire() as bot:
        with pytest.raises(ClusterError, match=r"^Service mochiapp has no selector, .*: give it the labels of .*"):
            await bot.deploy("green")
        assert await bot.store.newest(bot.app.name) is None


async def test_an_empty_value_in_a_selector_is_refused_with_the_fix(bot, installed):
    await installed.select(mochi.ACTIVE, tier="")
    with pytest.raises(ClusterError, match=r"^Service mochiapp selects tier with an empty value: give it a value or"):
        await bot.deploy("green")


async def test_a_service_that_routes_to_both_slots_is_refused_with_the_fix(bot, installed):
    await installed.scale(mochi.IDLE, 1)
    await installed.serving(3)
    with pytest.raises(ClusterError, match=r"^Service mochiapp routes to both slots: scale the one that is not live"):
        await bot.deploy("green")
    assert bot.door.sent == []


async def test_pods_of_somebody_else_behind_the_service_are_named(target, bot, installed):
    [extra, *_] = mochi.mochi(target.namespace, live_image=f"{REPOSITORY}:blue", replicas=1)
    extra["metadata"]["name"] = "mochiapp-canary"
    for labels in (extra["spec"]["selector"]["matchLabels"], extra["spec"]["template"]["metadata"]["labels"]):
        labels["color"] = "canary"
    await target.apply([extra])
    await installed.serving(3)
    with pytest.raises(Unfit, match="routes to pods of mochiapp-canary, which is neither of the slots"):
        await bot.deploy("green")


GONE = {
    "Service mochiapp-preview is not in namespace {}: create it there, or name another in `preview` of [apps.mochi].": [
        ("services", mochi.PREVIEW)
    ],
    "Service mochiapp and Deployment mochiapp-green are not in namespace {}: create them there, or name others in "
    "`service` and `slots` of [apps.mochi].": [("services", mochi.ACTIVE), ("deployments", mochi.IDLE)],
    "Nothing of mochi is in namespace {}, if there is such a namespace: create its Services and Deployments there, or "
    "set `namespace` in [apps.mochi] to where they are.": [
        ("services", mochi.ACTIVE),
        ("services", mochi.PREVIEW),
        ("deployments", mochi.LIVE),
        ("deployments", mochi.IDLE),
    ],
}


@pytest.mark.parametrize("said", GONE, ids=["one", "two", "all"])
async def test_objects_that_are_not_there_are_named_with_what_to_do(target, bot, installed, said):
    for plural, name in GONE[said]:
        async with target.session.delete(f"{getattr(installed, plural)}/{name}", raise_for_status=True):
            pass
    with pytest.raises(Unfit, match=f"^{re.escape(said.format(target.namespace))}$"):
        await bot.deploy("green")


async def test_slots_that_select_each_others_pods_are_refused_before_anything_is_written(target, hire):
    """Nobody can say any more whose pod a pod is: an orphan is adopted by whichever Deployment is quicker."""
    objects = mochi.mochi(target.namespace, live_image=f"{REPOSITORY}:blue")
    for slot in (item for item in objects if item["kind"] == "Deployment"):
        slot["spec"]["selector"]["matchLabels"] = slot["spec"]["template"]["metadata"]["labels"] = {"app": "mochi"}
    await target.apply(objects)
    await Mochi(target).serving(2)
    named = r"^Deployments mochiapp-blue and mochiapp-green select each other's pods: create the one that is not live"
    async with hire() as bot:
        with pytest.raises(Unfit, match=named):
            await bot.deploy("green")
        assert bot.door.sent == []


async def test_a_candidate_that_falls_ill_while_it_is_waited_for_is_not_switched_to(bot, target, installed):
    """I1: the approvals are there, the pods are not: nothing happens until they are."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await installed.scale(mochi.IDLE, 0)
    await bot.sees(lambda moment: moment.seen and not moment.seen.candidate.ready)
    async with installed.record_service() as service:
        await bot.approve()
        waiting = await bot.sees(lambda moment: moment.reason)
        assert waiting.reason == "mochiapp-green has 0 of 0 pods ready"
        assert len(await service.so_far()) == 1
        await installed.scale(mochi.IDLE, 2)
        await bot.reaches(Phase.BAKING)
