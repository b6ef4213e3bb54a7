"""Watches: what a client sees, when it may go on, and how a stream ends."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from kubernetes_asyncio import client, watch
from kubernetes_asyncio.client.exceptions import ApiException

from sandbox.cluster import Cluster, wall_clock

PATIENCE = 5.0


def config(name: str, **labels) -> dict:
    return {"metadata": {"name": name, "labels": labels}}


@pytest.fixture
async def session(served: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {served.token}"}
    async with aiohttp.ClientSession(served.url, headers=headers) as made:
        yield made


async def events(session: aiohttp.ClientSession, path: str, count: int, **query) -> list[dict]:
    """The first `count` events of a raw watch; fewer if it ends before."""
    found: list[dict] = []
    async with asyncio.timeout(PATIENCE), session.get(path, params={"watch": "true", **query}) as answer:
        assert answer.status == 200
        async for line in answer.content:
            found.append(json.loads(line))
            if len(found) == count:
                break
    return found


def shown(found: list[dict]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in found]


async def test_a_watch_goes_on_from_the_version_of_a_list(api, served):
    core = client.CoreV1Api(api)
    served.objects.create("configmaps", "mochi", config("before"))
    version = (await core.list_namespaced_config_map("mochi")).metadata.resource_version
    served.objects.create("configmaps", "mochi", config("a"))
    served.objects.create("configmaps", "default", config("elsewhere"))
    served.objects.create("services", "mochi", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    served.objects.patch("configmaps", "mochi", "a", {"data": {"k": "v"}})
    served.objects.delete("configmaps", "mochi", "a")
    found = []
    async with watch.Watch() as watching:
        stream = watching.stream(core.list_namespaced_config_map, "mochi", resource_version=version, timeout_seconds=5)
        async with asyncio.timeout(PATIENCE):
            async for event in stream:
                found.append((event["type"], event["object"].metadata.name))
                if len(found) == 3:
                    break
    assert found == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_without_a_version_the_present_state_comes_first(served, session):
    served.objects.create("configmaps", "mochi", config("a"))
    path = "/api/v1/namespaces/mochi/configmaps"
    reading = asyncio.create_task(events(session, path, 2))
    await served.server.until_watching(1)
    served.objects.create("configmaps", "mochi", config("b"))
    assert shown(await reading) == [("ADDED", "a"), ("ADDED", "b")]


async def test_an_object_that_leaves_the_selector_is_deleted_for_that_watch(served, session):
    version = str(served.objects.version)
    served.objects.create("configmaps", "mochi", config("a", side="blue"))
    served.objects.patch("configmaps", "mochi", "a", config("a", side="green"))
    served.objects.patch("configmaps", "mochi", "a", {"data": {"k": "v"}})
    served.objects.patch("configmaps", "mochi", "a", config("a", side="blue"))
    path = "/api/v1/namespaces/mochi/configmaps"
    found = await events(session, path, 3, resourceVersion=version, labelSelector="side=blue")
    assert [event["type"] for event in found] == ["ADDED", "DELETED", "ADDED"]


async def test_one_object_is_watched_by_its_name(served, session):
    version = str(served.objects.version)
    for name in ("a", "b"):
        served.objects.create("configmaps", "mochi", config(name))
    path = "/api/v1/namespaces/mochi/configmaps"
    found = await events(session, path, 1, resourceVersion=version, fieldSelector="metadata.name=b")
    assert shown(found) == [("ADDED", "b")]


async def test_a_compacted_version_is_told_as_410_in_the_stream(api, served, session):
    version = str(served.objects.version)
    served.objects.create("configmaps", "mochi", config("a"))
    served.objects.compact()
    path = "/api/v1/namespaces/mochi/configmaps"
    (event,) = await events(session, path, 9, resourceVersion=version)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    core = client.CoreV1Api(api)
    async with watch.Watch() as watching:
        stream = watching.stream(core.list_namespaced_config_map, "mochi", resource_version=version, timeout_seconds=5)
        with pytest.raises(ApiException) as error:
            await anext(stream)
    assert error.value.status == 410


async def test_a_watch_ends_after_its_time_with_a_bookmark_if_asked(served, session):
    version = str(served.objects.version)
    served.objects.create("services", "mochi", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    path = "/api/v1/namespaces/mochi/configmaps"
    plain = await events(session, path, 9, resourceVersion=version, timeoutSeconds="0.05")
    assert plain == []
    found = await events(session, path, 9, resourceVersion=version, timeoutSeconds="0.05", allowWatchBookmarks="true")
    assert found[-1]["type"] == "BOOKMARK"
    assert int(found[-1]["object"]["metadata"]["resourceVersion"]) > int(version)


async def test_bookmarks_come_while_nothing_happens():
    cluster = Cluster(now=wall_clock, anonymous=True, bookmark_every=0.02)
    await cluster.start()
    try:
        version = str(cluster.objects.version)
        async with aiohttp.ClientSession(cluster.url) as session:
            found = await events(session, "/api/v1/services", 2, resourceVersion=version, allowWatchBookmarks="true")
        assert [event["type"] for event in found] == ["BOOKMARK", "BOOKMARK"]
    finally:
        await cluster.stop()


async def test_initial_events_end_with_an_annotated_bookmark(served, session):
    served.objects.create("configmaps", "mochi", config("a"))
    path = "/api/v1/namespaces/mochi/configmaps"
    query = {
        "sendInitialEvents": "true",
        "allowWatchBookmarks": "true",
        "resourceVersionMatch": "NotOlderThan",
    }
    found = await events(session, path, 2, **query)
    assert shown(found) == [("ADDED", "a"), ("BOOKMARK", "")]
    assert found[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_open_watches_can_be_dropped_and_muted(served, session):
    path = "/api/v1/namespaces/mochi/configmaps"
    version = str(served.objects.version)
    async with session.get(path, params={"watch": "1", "resourceVersion": version}) as answer:
        served.server.mute_watches()
        served.objects.create("configmaps", "mochi", config("a"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer.content.readline(), 0.05)
        served.server.mute_watches(muted=False)
        line = await asyncio.wait_for(answer.content.readline(), PATIENCE)
        assert json.loads(line)["type"] == "ADDED"
        served.server.drop_watches()
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(answer.content.readline(), PATIENCE)


async def test_a_watch_goes_when_its_client_goes(served, session):
    answer = await session.get("/api/v1/services", params={"watch": "1"})
    await served.server.until_watching(1)
    answer.close()
    await served.server.until_watching(0)
