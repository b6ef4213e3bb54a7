"""The cluster as a whole, running by itself on real time as the demo uses it."""

import asyncio
import logging
from collections.abc import Callable

import aiohttp
from kubernetes_asyncio import client, config

from mochi import mochi
from sandbox.cluster import Cluster, Objects

APP = mochi("mochi", live_image="r/mochi:blue", idle_image="r/mochi:green", selector={"app": "mochi", "color": "blue"})


async def until(objects: Objects, holds: Callable[[], bool]) -> None:
    """Returns at the first write after which it holds."""
    seen = asyncio.Event()
    unsubscribe = objects.subscribe(lambda _: seen.set() if holds() else None)
    try:
        if not holds():
            await asyncio.wait_for(seen.wait(), 5)
    finally:
        unsubscribe()


def available(cluster: Cluster, name: str = "mochiapp-blue") -> int:
    count: int = cluster.objects.get("deployments", "mochi", name)["status"].get("availableReplicas", 0)
    return count


async def test_its_kubeconfig_is_all_that_a_client_needs(served: Cluster):
    settings = client.Configuration()
    await config.load_kube_config_from_dict(served.kubeconfig(), client_configuration=settings)
    async with client.ApiClient(settings) as api:
        namespaces = await client.CoreV1Api(api).list_namespace()
    assert "mochi" in [item.metadata.name for item in namespaces.items]


async def test_a_deployment_made_over_http_gets_its_pods_by_itself(api, served: Cluster):
    created = await client.AppsV1Api(api).create_namespaced_deployment("mochi", APP[0])
    assert created.status.observed_generation is None
    await until(served.objects, lambda: available(served) == 2)
    pods = await client.CoreV1Api(api).list_namespaced_pod("mochi", label_selector="app=mochi")
    assert {pod.status.phase for pod in pods.items} == {"Running"}
    log = await client.CoreV1Api(api).read_namespaced_pod_log(pods.items[0].metadata.name, "mochi")
    assert "listening on :8080" in log


async def test_while_it_is_paused_nothing_moves(served: Cluster):
    with served.paused():
        served.apply(APP)
        version = served.objects.version
        async with aiohttp.ClientSession() as session, session.get(f"{served.url}/readyz") as answer:
            assert answer.status == 200  # a round trip: the controllers would have had their turn
        assert served.objects.version == version
    await until(served.objects, lambda: available(served) == 2)


async def test_applying_the_same_again_changes_nothing(served: Cluster):
    served.apply(APP)
    await until(served.objects, lambda: available(served) == 2)
    before = {item["metadata"]["name"]: item for item in served.objects.items("services")}
    served.apply(APP)
    assert {item["metadata"]["name"]: item for item in served.objects.items("services")} == before


async def test_an_object_that_breaks_a_controller_does_not_stop_the_cluster(served: Cluster, caplog):
    breaking = served.controllers[0]
    broken = asyncio.Event()

    def once(*_: object) -> None:
        del breaking.step
        broken.set()
        raise KeyError("surprise")

    breaking.step = once
    with caplog.at_level(logging.CRITICAL):
        served.objects.create("configmaps", "mochi", {"metadata": {"name": "any"}})
        await asyncio.wait_for(broken.wait(), 5)
    served.apply(APP)
    await until(served.objects, lambda: available(served) == 2)


async def test_a_collection_is_deleted_by_its_labels(api, served: Cluster):
    core = client.CoreV1Api(api)
    for name, side in (("a", "x"), ("b", "x"), ("c", "y")):
        served.objects.create("configmaps", "mochi", {"metadata": {"name": name, "labels": {"side": side}}})
    await core.delete_collection_namespaced_config_map("mochi", label_selector="side=x")
    assert [item["metadata"]["name"] for item in served.objects.items("configmaps")] == ["c"]


async def test_every_pod_is_healthy_while_it_is_ready(served: Cluster):
    served.apply(APP)
    await until(served.objects, lambda: available(served) == 2)
    url = await served.proxy.serve("mochiapp", "mochi")
    async with aiohttp.ClientSession() as session, session.get(f"{url}/healthz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok")
