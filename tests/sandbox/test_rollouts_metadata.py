"""Labels and annotations that pods bear only while they are the preview, or have the traffic."""

from collections.abc import AsyncIterator

import pytest

from mochi_rollout import ROLLOUT
from rollout_cluster import HASH, RolloutCluster, rollout_cluster

METADATA = {
    "activeMetadata": {"labels": {"role": "live"}},
    "previewMetadata": {"labels": {"role": "preview"}, "annotations": {"example.com/by": "argo"}},
}


@pytest.fixture
async def argo() -> AsyncIterator[RolloutCluster]:
    async with rollout_cluster(blue_green=METADATA) as made:
        yield made


async def roles(argo: RolloutCluster, tag: str) -> set[str | None]:
    return {pod["metadata"]["labels"].get("role") for pod in await argo.pods(tag)}


async def test_pods_change_their_role_with_the_promotion_and_keep_running(argo):
    assert await roles(argo, "blue") == {"live"}
    await argo.set_image("green")
    assert (await roles(argo, "blue"), await roles(argo, "green")) == ({"live"}, {"preview"})
    names = {pod["metadata"]["name"] for pod in await argo.pods("green")}
    await argo.promote()
    assert (await roles(argo, "blue"), await roles(argo, "green")) == ({None}, {"live"})
    pods = await argo.pods("green")
    assert {pod["metadata"]["name"] for pod in pods} == names
    assert not [pod for pod in pods if "example.com/by" in (pod["metadata"].get("annotations") or {})]


async def test_the_hash_is_that_of_the_template_without_its_role(argo):
    await argo.set_image("green")
    await argo.promote()
    await argo.set_image("blue")
    assert (len(await argo.listed("replicasets")), await argo.selected()) == (2, "blue")


async def test_an_undo_in_the_pause_makes_a_third_version(argo):
    """It writes back the template of a set, role and all: that is another hash, and another preview."""
    await argo.set_image("green")
    stored = (await argo.sets())["blue"]["spec"]["template"]
    del stored["metadata"]["labels"][HASH]
    await argo.write_template(stored)
    sets = await argo.listed("replicasets")
    assert (len(sets), await argo.pauses()) == (3, ["BlueGreenPause"])
    current = (await argo.status())["currentPodHash"]
    (third,) = [item for item in sets if item["metadata"]["name"] == f"{ROLLOUT}-{current}"]
    assert third["spec"]["template"]["metadata"]["labels"]["role"] == "preview"


async def test_an_undo_after_the_promotion_finds_the_old_set(argo):
    """By then it has lost its role."""
    await argo.set_image("green")
    await argo.promote()
    stored = (await argo.sets())["blue"]["spec"]["template"]
    del stored["metadata"]["labels"][HASH]
    await argo.write_template(stored)
    assert (len(await argo.listed("replicasets")), await argo.selected()) == (2, "blue")
