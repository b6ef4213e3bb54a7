"""The faults of the sandbox's API server do to a client what their names say."""

import asyncio
import json

import aiohttp
import pytest

from sandbox.cluster import Cluster

SERVICES = "/api/v1/namespaces/mochi/services"
WEB = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}


@pytest.fixture
async def http(served: Cluster):
    headers = {"Authorization": f"Bearer {served.token}"}
    async with aiohttp.ClientSession(served.url, headers=headers) as session:
        yield session


async def test_what_is_answered_with_an_error_afterwards_is_done(http, served):
    served.server.faults.answer_afterwards(504, "POST")
    async with http.post(SERVICES, json=WEB) as answer:
        assert answer.status == 504
    assert served.objects.get("services", "mochi", "web")


async def test_a_trickle_is_whole_and_slow(http, served):
    served.server.faults.trickle(0.0001, "GET")
    async with http.get(SERVICES) as answer:
        assert (await answer.json())["items"] == []
    served.server.faults.trickle(3600, "GET")
    with pytest.raises(TimeoutError):
        async with http.get(SERVICES, timeout=aiohttp.ClientTimeout(total=0.2)) as answer:
            await answer.read()


async def test_chunks_are_cut(http, served):
    served.server.faults.cut("GET")
    async with http.get(SERVICES) as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_page_and_a_redirect_come_from_something_else(http, served):
    served.server.faults.page(502, "GET")
    async with http.get(SERVICES) as answer:
        assert (answer.status, answer.content_type) == (502, "text/html")
    served.server.faults.redirect("http://sso.example/", "POST")
    async with http.post(SERVICES, json=WEB, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (307, "http://sso.example/")
    assert served.objects.items("services", "mochi") == []


async def test_a_watch_lies_and_says_what_it_is_told_to(http, served):
    async with http.get(SERVICES, params={"watch": "true", "resourceVersion": str(served.objects.version)}) as watch:
        await served.server.until_watching(1)
        served.server.lie_on_watches()
        served.objects.create("services", "mochi", WEB)
        await asyncio.sleep(0)
        await served.server.say_on_watches(b'{"type": "ODD"}\n')
        assert json.loads(await watch.content.readline()) == {"type": "ODD"}
