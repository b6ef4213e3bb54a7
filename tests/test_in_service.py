"""Apps that could not begin a release are told once, and when they can again."""

import pytest
from structlog.testing import capture_logs

from bot.clusters.errors import Away, Busy, ClusterError, Unfit
from bot.in_service import InService
from world import NAMESPACE


@pytest.fixture
def service(world):
    return InService(world.backend)


def take_away(world):
    world.cluster.objects.delete("services", NAMESPACE, "mochiapp-preview")


async def test_an_app_that_is_out_of_service_is_logged_once_with_the_sentence_of_deploy(world, service):
    preview = world.cluster.objects.get("services", NAMESPACE, "mochiapp-preview")
    take_away(world)
    with capture_logs() as logged:
        await service.look(world.app)
        await service.look(world.app)
    with pytest.raises(Unfit) as refused:
        await world.backend.start(world.app)
    assert service.why_not(world.app) == str(refused.value)
    [line] = logged
    assert (line["log_level"], line["app"], line["reason"]) == ("warning", "mochi", str(refused.value))
    with capture_logs() as logged:
        world.cluster.apply([{key: preview[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": NAMED}])
        await service.look(world.app)
    assert [line["event"] for line in logged] == ["app is in service again"]
    assert service.why_not(world.app) == ""


NAMED = {"name": "mochiapp-preview", "namespace": NAMESPACE}


@pytest.mark.parametrize("why", [Away("no answer"), Busy("too much to do"), ClusterError("no credentials yet")])
async def test_what_the_cluster_lacks_says_nothing_about_the_app(world, service, why):
    """Who maintains the app could do nothing about it; what was known of the app stays."""

    def fails(_):
        raise why

    world.api.fault = fails
    with capture_logs() as logged:
        await service.look(world.app)
    assert logged == []
    assert service.why_not(world.app) == ""
    world.api.fault = None
    take_away(world)
    await service.look(world.app)
    known = service.why_not(world.app)
    world.api.fault = fails
    await service.look(world.app)
    assert service.why_not(world.app) == known != ""


async def test_status_says_at_once_that_an_app_is_in_service_again(world):
    """It is looked at every few minutes only: nobody should read for so long what was mended."""
    await world.release_live("green")
    await world.advance(minutes=10)
    preview = world.cluster.objects.get("services", NAMESPACE, "mochiapp-preview")
    take_away(world)
    await world.desk._keep_links(world.app)
    assert "Service mochiapp-preview is not in" in (await world.desk.status(world.app)).trouble
    world.cluster.apply([{key: preview[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": NAMED}])
    assert (await world.desk.status(world.app)).trouble == ""


async def test_an_app_with_a_release_under_way_is_left_to_that_release(world):
    """It has looked by itself, and while it goes on the objects are not as a start wants them."""
    await world.deploy("green")
    world.api.calls.clear()
    take_away(world)
    with capture_logs() as logged:
        await world.desk._keep_links(world.app)
    assert [line for line in logged if line["event"] == "app is out of service"] == []
