"""What a person sees in a browser: pages of pods, through Services and Ingresses."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from mochi import mochi
from sandbox.cluster import Behaviour, Cluster


async def look(url: str, **headers) -> tuple[int, dict]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/version", headers=headers) as answer:
        return answer.status, await answer.json(content_type=None) if answer.status != 404 else {}


@pytest.fixture
async def shop() -> AsyncIterator[Cluster]:
    """Blue is live, green stands beside it; time stands still, so nothing moves unless a test says so."""
    cluster = Cluster()
    app = mochi(
        "mochi", live_image="r/mochi:blue", idle_image="r/mochi:green", selector={"app": "mochi", "color": "blue"}
    )
    cluster.apply(app)
    cluster.settle()
    await cluster.start()
    yield cluster
    await cluster.stop()


def scale_green(cluster: Cluster, replicas: int) -> None:
    patch = {"spec": {"replicas": replicas}}
    cluster.objects.patch("deployments", "mochi", "mochiapp-green", patch, subresource="scale")
    cluster.settle()


def point_at(cluster: Cluster, color: str) -> None:
    patch = [{"op": "replace", "path": "/spec/selector/color", "value": color}]
    cluster.objects.patch("services", "mochi", "mochiapp", patch, "application/json-patch+json")
    cluster.settle()


async def test_production_turns_from_blue_to_green_and_back(shop):
    scale_green(shop, 2)
    url = await shop.proxy.serve("mochiapp", "mochi")
    seen = []
    for color in ("blue", "green", "blue"):
        point_at(shop, color)
        status, version = await look(url)
        seen.append((status, version["version"], version["color"]))
    assert [version for _, version, _ in seen] == ["blue", "green", "blue"]
    assert seen[0][2] == seen[2][2] != seen[1][2]


async def test_traffic_is_spread_over_the_ready_pods_only(shop):
    url = await shop.proxy.serve("mochiapp", "mochi")
    names = {pod["metadata"]["name"] for pod in shop.objects.items("pods", "mochi", "color=blue")}
    assert {(await look(url))[1]["pod"] for _ in range(6)} == names


async def test_a_pod_that_is_not_ready_gets_no_request(shop):
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "r/mochi:crash"}]
    shop.objects.patch("deployments", "mochi", "mochiapp-blue", patch, "application/json-patch+json")
    shop.settle()
    url = await shop.proxy.serve("mochiapp", "mochi")
    pods = len(shop.objects.items("pods", "mochi", "color=blue"))
    assert {(await look(url))[0] for _ in range(pods)} == {200}


async def test_a_service_without_ready_endpoints_answers_503_and_says_so(shop):
    url = await shop.proxy.serve("mochiapp-preview", "mochi")
    status, version = await look(url)
    assert (status, version["state"]) == (503, "unavailable")
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 503
        assert "Service mochiapp-preview has no ready endpoint" in await answer.text()
    scale_green(shop, 1)
    assert (await look(url))[1]["version"] == "green"


async def test_an_ingress_host_leads_to_its_service(shop):
    scale_green(shop, 1)
    url = await shop.proxy.serve_ingresses()
    assert (await look(url, Host="mochi.example.com"))[1]["version"] == "blue"
    assert (await look(url, Host="preview.mochi.example.com:8080"))[1]["version"] == "green"
    assert (await look(url, Host="unknown.example.com"))[0] == 404


async def test_a_page_shows_its_version_and_its_pod(shop):
    url = await shop.proxy.serve("mochiapp", "mochi")
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        page = await answer.text()
    assert answer.content_type == "text/html"
    assert '<h1 id="version">blue</h1>' in page
    assert any(pod["metadata"]["name"] in page for pod in shop.objects.items("pods", "mochi"))


async def test_a_version_by_digest_shows_the_tag_it_stands_for():
    digest = "sha256:" + "c" * 64
    cluster = Cluster(digests={digest: "green"})
    cluster.apply(mochi("mochi", live_image=f"r/mochi@{digest}"))
    cluster.settle()
    await cluster.start()
    try:
        assert (await look(await cluster.proxy.serve("mochiapp", "mochi")))[1]["version"] == "green"
    finally:
        await cluster.stop()


async def test_a_version_may_break_under_one_services_name_alone():
    """What no look at the preview shows."""
    broken = Behaviour(fails_as="mochiapp")
    cluster = Cluster(behaviours={"flaky": Behaviour(crash="it is another repository's"), "mochi:flaky": broken})
    cluster.apply(mochi("mochi", live_image="r/mochi:flaky"))
    scale_green(cluster, 1)
    await cluster.start()
    try:
        production, preview = [await cluster.proxy.serve(name, "mochi") for name in ("mochiapp", "mochiapp-preview")]
        status, version = await look(production)
        assert (status, version["state"], version["headline"]) == (500, "unavailable", "Error 500")
        status, version = await look(preview)
        assert (status, version["state"], version["version"]) == (200, "serving", "flaky")
        async with aiohttp.ClientSession() as session, session.get(production) as page:
            assert page.status == 500
        async with aiohttp.ClientSession() as session, session.get(f"{production}/healthz") as probe:
            assert probe.status == 200
    finally:
        await cluster.stop()


async def test_hostile_names_stay_text():
    cluster = Cluster(digests={"sha256:" + "d" * 64: "</script><b>x"})
    cluster.apply(mochi("mochi", live_image="r/mochi@sha256:" + "d" * 64))
    cluster.settle()
    await cluster.start()
    try:
        url = await cluster.proxy.serve("mochiapp", "mochi")
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            page = await answer.text()
        assert "<b>x" not in page.replace("<\\/script><b>x", "")
        assert page.count("</script>") == 1
    finally:
        await cluster.stop()


async def test_a_stopped_proxy_leaves_no_port_behind(shop):
    url = await shop.proxy.serve("mochiapp", "mochi")
    await shop.proxy.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await look(url)
