"""An app that Greenlight has never released: its first release begins without downtime, and can be taken back whole."""

import json
from dataclasses import replace
from typing import Any

import pytest
from installed import Mochi, names, ready, selectors

import mochi
from bot.clusters.adoption import BEFORE
from bot.clusters.cluster import LABEL
from bot.clusters.errors import ClusterError
from bot.clusters.reading import HASH, template_labels
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import KIM, REPOSITORY, SAM, digest

PROXY = "registry.example.com/proxy:1"


async def test_the_service_is_narrowed_without_one_endpoint_coming_or_going(bot, installed):
    """The Service selects only `app: mochi`, which the pods of green would match as well."""
    live = await installed.pods_of("blue")
    before = await installed.deployment(mochi.LIVE)
    async with installed.record_service() as service, installed.record_endpoints() as serving:
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        assert selectors(await service.so_far()) == [{"app": "mochi"}, {"app": "mochi", "color": "blue"}]
        assert {ready(moment) for moment in await serving.so_far()} == {names(live)}
    assert _uids(await installed.pods_of("blue")) == _uids(live)
    assert (await installed.deployment(mochi.LIVE))["spec"] == before["spec"]
    kept = (await installed.service())["metadata"]["annotations"][BEFORE]
    assert json.loads(kept) == {"app": "mochi"}


async def test_live_pods_without_a_label_of_their_own_are_told_apart_by_the_hash_of_their_template(target, hire, app):
    """An idle slot beside a Deployment that was there alone: all that the live pods have for themselves is a hash."""
    objects = mochi.mochi(target.namespace, live_image=f"{REPOSITORY}:blue", idle_image=f"{REPOSITORY}:old")
    await target.apply([_without_color(item) for item in objects])
    installed = Mochi(target)
    live = await installed.serving(2)
    async with hire() as bot, installed.record_service() as service, installed.record_endpoints() as serving:
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        [first, second] = selectors(await service.so_far())
        assert (first, second.keys()) == ({"app": "mochi"}, {"app", HASH})
        assert {ready(moment) for moment in await serving.so_far()} == {live}
        await bot.approve()
        await bot.reaches(Phase.BAKING)
    assert await installed.serving(2) & live == frozenset()


async def test_live_pods_that_were_restarted_during_an_adoption_keep_the_traffic(target, hire):
    """`kubectl rollout restart` gives the live pods another hash, by which alone they had been told apart."""
    objects = mochi.mochi(target.namespace, live_image=f"{REPOSITORY}:blue", idle_image=f"{REPOSITORY}:old")
    await target.apply([_without_color(item) for item in objects])
    installed = Mochi(target)
    before = await installed.serving(2)
    async with hire() as bot:
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        await installed.restart(mochi.LIVE)
        restarted = await installed.serving(2, instead_of=before)
        assert (await bot.newest()).phase is Phase.READY
        await bot.ask(Verb.REJECT, KIM)
        await bot.reaches(Phase.REVERTED, retired=True)
    assert await installed.serving(2) == restarted
    assert (await installed.service())["spec"]["selector"] == {"app": "mochi"}


async def test_the_selector_of_a_service_that_tells_the_slots_apart_is_not_touched_before_the_switch(target, hire):
    """And a rollback gives it back the very selector that the team wrote."""
    colour = {"app": "mochi", "color": "blue"}
    await target.apply(mochi.mochi(target.namespace, live_image=f"{REPOSITORY}:blue", selector=colour))
    installed = Mochi(target)
    live = await installed.serving(2)
    async with hire() as bot, installed.record_service() as service:
        release = await bot.release("green")
        assert await installed.serving(2) & live == frozenset()
        await bot.ask(Verb.ROLL_BACK, SAM)
        await bot.reaches(Phase.REVERTED)
        assert await installed.serving(2) == live
        assert selectors(await service.so_far()) == [colour, release.selector, colour]
        assert len(await service.so_far()) == 4  # the first of three writes claims it


async def test_of_several_containers_only_the_one_that_the_policy_names_is_changed(target, app, hire):
    objects = [_with_sidecar(item) for item in mochi.mochi(target.namespace, live_image=f"{REPOSITORY}:blue")]
    await target.apply(objects)
    installed = Mochi(target)
    await installed.serving(2)
    async with hire() as bot:
        named = r"^Deployment mochiapp-\w+ has several containers \(proxy, myapp\): set `container` to one of them\.$"
        with pytest.raises(ClusterError, match=named):
            await bot.deploy("green")
    async with hire(app=replace(app, target=replace(app.target, container="myapp"))) as bot:
        await bot.release("green")
    spec = (await installed.deployment(mochi.IDLE))["spec"]["template"]["spec"]
    images = {container["name"]: container["image"] for container in spec["containers"]}
    assert images == {"proxy": PROXY, "myapp": f"{REPOSITORY}@{digest('green')}"}


async def test_an_autoscaled_slot_keeps_the_number_of_pods_that_its_autoscaler_chose(target, hire, app):
    objects = mochi.mochi(
        target.namespace, live_image=f"{REPOSITORY}:blue", selector={"app": "mochi", "color": "blue"}, replicas=3
    )
    await target.apply([*objects, _autoscaler(target.namespace, mochi.IDLE)])
    installed = Mochi(target)
    await installed.scale(mochi.IDLE, 1)
    await installed.serving(3)
    async with hire() as bot, installed.record_deployment(mochi.IDLE) as slot:
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        assert {each["spec"]["replicas"] for [each] in await slot.so_far()} == {1}
    assert len(await installed.serving(1, mochi.PREVIEW)) == 1


async def test_a_release_that_was_never_live_leaves_everything_as_it_was(bot, installed):
    """Slot empty, preview back on what is live, and the Service with the selector that it had before its adoption."""
    live = names(await installed.pods_of("blue"))
    async with installed.record_service() as service, installed.record_endpoints() as serving:
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        await bot.ask(Verb.REJECT, KIM, "logo is wrong")
        release = await bot.reaches(Phase.REVERTED, retired=True)
        assert (release.by, release.was_live) == (KIM, False)
        narrow = {"app": "mochi", "color": "blue"}
        assert selectors(await service.so_far()) == [{"app": "mochi"}, narrow, {"app": "mochi"}]
        assert {ready(moment) for moment in await serving.so_far()} == {live}
    assert (await installed.deployment(mochi.IDLE))["spec"]["replicas"] == 0
    assert (await installed.service(mochi.PREVIEW))["spec"]["selector"] == narrow
    assert await installed.serving(2, mochi.PREVIEW) == live


async def test_an_app_can_be_adopted_again_after_a_release_that_came_to_nothing(bot, installed):
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await bot.ask(Verb.REJECT, KIM)
    await bot.reaches(Phase.REVERTED, retired=True)
    release = await bot.release("purple")
    assert template_labels(await installed.deployment(mochi.IDLE))[LABEL] == release.label
    assert names(await installed.pods_of("green")) == await installed.serving(2)
    assert release.image == f"{REPOSITORY}@{digest('purple')}"


def _uids(pods: list[Any]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def _without_color(item: Any) -> Any:
    """The manifest without the label that the example's slots differ by; the idle slot has one of its own instead."""
    text = json.loads(json.dumps(item))
    spec = text["spec"]
    if item["kind"] == "Deployment":
        labels = {"app": "mochi"} | ({"slot": "b"} if item["metadata"]["name"] == mochi.IDLE else {})
        spec["selector"]["matchLabels"] = spec["template"]["metadata"]["labels"] = labels
    if item["kind"] == "Service":
        spec["selector"] = {"app": "mochi"}
    return text


def _with_sidecar(item: Any) -> Any:
    changed = json.loads(json.dumps(item))
    if item["kind"] == "Deployment":
        changed["spec"]["template"]["spec"]["containers"].insert(0, {"name": "proxy", "image": PROXY})
    return changed


def _autoscaler(namespace: str, deployment: str) -> Any:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": deployment, "namespace": namespace},
        "spec": {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 5},
    }
