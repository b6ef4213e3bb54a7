"""`workloadRef`: the template is in a Deployment without replicas, and that is where an image goes."""

from collections.abc import AsyncIterator

import pytest

from mochi_rollout import CONTAINER, ROLLOUT, mochi_rollout
from rollout_cluster import NAMESPACE, RolloutCluster, image, rollout_cluster

GENERATION = "rollout.argoproj.io/workload-generation"


def manifests() -> list[dict]:
    rollout, *rest = mochi_rollout(NAMESPACE, image=image("blue"))
    spec = rollout["spec"]
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "mochi-template", "namespace": NAMESPACE},
        "spec": {"replicas": 0, "selector": spec.pop("selector"), "template": spec.pop("template")},
    }
    spec["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mochi-template"}
    return [deployment, rollout, *rest]


@pytest.fixture
async def argo() -> AsyncIterator[RolloutCluster]:
    async with rollout_cluster(install=False) as made:
        made.cluster.apply(manifests())
        made.cluster.settle()
        yield made


async def set_image(argo: RolloutCluster, tag: str) -> None:
    change = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image(tag)}
    await argo.done("deployments", "mochi-template", [change])


async def test_it_runs_what_the_deployment_says_and_stores_no_template_of_its_own(argo):
    rollout = await argo.rollout()
    assert (await argo.phase(), await argo.selected()) == (("Healthy", ""), "blue")
    assert {"template", "selector"} & rollout["spec"].keys() == set()
    assert rollout["metadata"]["annotations"][GENERATION] == "1"
    assert rollout["status"]["workloadObservedGeneration"] == "1"
    (pod, _) = await argo.pods("blue")
    assert pod["spec"]["containers"][0]["name"] == CONTAINER


async def test_an_image_of_the_deployment_is_an_update_of_the_rollout(argo):
    generation = (await argo.rollout())["metadata"]["generation"]
    await set_image(argo, "green")
    rollout = await argo.rollout()
    assert (await argo.pauses(), await argo.selected(), await argo.previewed()) == (["BlueGreenPause"], "blue", "green")
    assert rollout["metadata"]["generation"] == generation
    assert rollout["metadata"]["annotations"][GENERATION] == rollout["status"]["workloadObservedGeneration"] == "2"
    await argo.promote()
    assert await argo.selected() == "green"


async def test_a_change_that_nobody_has_looked_at_shows_in_the_generation_of_the_workload(argo):
    """The Rollout's own generation says nothing: it is the annotation that is ahead of the status."""
    seen = []
    unsubscribe = argo.cluster.objects.subscribe(
        lambda change: seen.append(change.after) if change.plural == "rollouts" else None
    )
    await set_image(argo, "green")
    unsubscribe()
    first = seen[0]
    assert first["metadata"]["annotations"][GENERATION] == "2"
    assert first["status"]["workloadObservedGeneration"] == "1"
    assert first["status"]["phase"] == "Healthy"
    assert first["status"]["observedGeneration"] == str(first["metadata"]["generation"])


async def test_without_its_deployment_it_is_invalid(argo):
    await argo.delete("rollouts", ROLLOUT)
    body = manifests()[1]
    body["spec"]["workloadRef"]["name"] = "gone"
    await argo.create("rollouts", body)
    phase, message = await argo.phase()
    assert phase == "Degraded"
    assert "spec.workloadRef" in message
    assert '"gone" not found' in message


async def test_a_template_beside_the_reference_is_invalid(argo):
    await argo.delete("rollouts", ROLLOUT)
    body = manifests()[1]
    body["spec"]["template"] = mochi_rollout(NAMESPACE, image=image("blue"))[0]["spec"]["template"]
    await argo.create("rollouts", body)
    assert "template must be empty for workload reference rollout" in (await argo.phase())[1]


async def test_only_known_workloads_can_be_referred_to(argo):
    await argo.delete("rollouts", ROLLOUT)
    body = manifests()[1]
    body["spec"]["workloadRef"] = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x"}
    await argo.create("rollouts", body)
    assert "workload of type apps/StatefulSet is not supported" in (await argo.phase())[1]
