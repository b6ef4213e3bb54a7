"""A Rollout that an Argo CD Application keeps without healing itself: what one unreadable read of that one costs."""

from contextlib import contextmanager

import pytest

from bot.clusters.application import Applications
from bot.clusters.errors import Away
from bot.release.app import Argo
from bot.release.errors import Refused
from bot.release.record import Phase
from bot.release.verbs import Verb
from mochi_rollout import mochi_rollout
from world import ANN, KIM, NAMESPACE, REPOSITORY, SAM, World, example


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path / "greenlight.db", example(target=Argo("mochiapp", adopt=False)))
    await made.start()
    made.cluster.argocd.install("shop", mochi_rollout(NAMESPACE, image=f"{REPOSITORY}:blue"), self_heal=False)
    made.cluster.settle()
    yield made
    await made.store.close()


@contextmanager
def unreadable(world):
    """The API server does not answer when it is asked for the Application."""
    met = []

    def fault(call):
        if call == "get Application/shop":
            met.append(call)
            raise Away("the API server did not answer")

    world.api.fault = fault
    yield
    world.api.fault = None
    assert met


def rollout(world):
    return world.cluster.objects.get("rollouts", NAMESPACE, "mochiapp")


def image(world):
    [container] = rollout(world)["spec"]["template"]["spec"]["containers"]
    return container["image"]


async def test_a_release_that_is_refused_for_it_is_taken_a_moment_later(world):
    """The mark on the Rollout alone says that an image would be put back."""
    with unreadable(world), pytest.raises(Refused, match="if shop does not heal itself, let Greenlight read it"):
        await world.desk.deploy(world.app, "green", ANN)
    assert (await world.deploy("green")).phase is Phase.READY


@pytest.mark.parametrize("live", [False, True])
async def test_the_template_is_put_back_as_soon_as_it_can_be_read_again(world, live):
    await (world.release_live("green") if live else world.deploy("green"))
    with unreadable(world):
        await world.desk.ask("mochi", 1, *((Verb.ROLL_BACK, SAM) if live else (Verb.REJECT, KIM)))
        assert (await world.run()).phase is Phase.REVERTING
        assert world.serving() == {"blue"}  # the traffic needs none of that
        assert image(world) != f"{REPOSITORY}:blue"
    release = await world.advance(minutes=1)
    assert (release.phase, image(world)) == (Phase.REVERTED, f"{REPOSITORY}:blue")
    assert world.serving() == {"blue"}


async def test_one_that_could_not_be_read_is_asked_for_again_and_one_that_was_read_is_remembered(world):
    applications, item = Applications(world.api), rollout(world)
    with unreadable(world):
        assert await applications.of("mochi", item) is None
    world.api.calls.clear()
    for _ in range(2):
        assert (await applications.of("mochi", item))["metadata"]["name"] == "shop"
    assert world.api.calls == ["get Application/shop"]
    applications.forget("mochi")
    await applications.of("mochi", item)
    assert len(world.api.calls) == 2
