"""Which repository a bare tag is of, for an app whose table names none: that of what is live, when it can be told."""

import asyncio

import pytest

from bot import repositories
from bot.clusters.errors import Away, ClusterError
from bot.release.app import Argo, Native
from bot.release.errors import Refused
from bot.repositories import Repositories
from sandbox.cluster import PatchType
from world import NAMESPACE, REPOSITORY, World, example

TARGETS = [Native("mochiapp", "mochiapp-preview", ("mochiapp-blue", "mochiapp-green")), Argo("mochiapp")]


@pytest.fixture(params=TARGETS, ids=["deployments", "rollout"])
async def world(request, tmp_path):
    made = World(tmp_path / "greenlight.db", example(target=request.param, image=""))
    await made.start()
    yield made
    await made.store.close()


@pytest.fixture
def known(world):
    return Repositories(world.backend)


def is_away(world):
    def fault(call):
        raise Away("the API server did not answer")

    world.api.fault = fault


async def test_it_is_that_of_what_is_live(world, known):
    assert await known.of(world.app) == REPOSITORY
    release = await world.deploy("green")
    assert release.image.partition("@")[0] == REPOSITORY


async def test_the_one_that_the_table_names_is_asked_of_nobody(world, known):
    is_away(world)
    named = example(target=world.app.target, image="registry.example.com/other")
    assert await known.of(named) == await known.at_once(named) == "registry.example.com/other"


async def test_who_asks_for_a_release_hears_why_it_cannot_be_told(world, known):
    is_away(world)
    with pytest.raises(ClusterError, match="did not answer"):
        await known.of(world.app)


async def test_who_types_hears_nothing_until_it_can_be_told_and_then_what_was_known_last(world, known):
    is_away(world)
    assert await known.at_once(world.app) == ""
    assert await world.desk.suggest_images(world.app, "gr") == []
    world.api.fault = None
    assert await known.at_once(world.app) == REPOSITORY
    is_away(world)
    assert await known.at_once(world.app) == REPOSITORY


async def test_who_types_waits_for_no_cluster(world, known, monkeypatch):
    monkeypatch.setattr(repositories, "SOON", 0.01)

    async def never(app):
        await asyncio.Event().wait()

    monkeypatch.setattr(world.backend, "start", never)
    assert await known.at_once(world.app) == ""


async def test_what_is_live_under_a_name_that_is_no_image_has_none(world, known):
    """Whoever wrote it into the cluster was held to no grammar."""
    plural, name = ("rollouts", "mochiapp") if isinstance(world.app.target, Argo) else ("deployments", "mochiapp-blue")
    path = "/spec/template/spec/containers/0/image"
    change = [{"op": "replace", "path": path, "value": "Registry.Example.com/Mochi:blue"}]
    world.cluster.objects.patch(plural, NAMESPACE, name, change, PatchType.JSON, manager="kubectl-set")
    world.cluster.settle()
    if plural == "rollouts":
        ended = {"status": {"pauseConditions": None}}
        world.cluster.objects.patch(plural, NAMESPACE, name, ended, PatchType.MERGE, subresource="status", manager="k")
        world.cluster.settle()
    with pytest.raises(Refused):
        await known.of(world.app)
    assert await known.at_once(world.app) == ""
