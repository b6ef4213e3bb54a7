"""What is remembered of a Rollout's versions: whose each is, and with which pod template it ran."""

from dataclasses import replace

import pytest

from bot.clusters.cluster import LABEL
from bot.release.app import Argo
from bot.release.record import Phase
from bot.release.verbs import Verb
from sandbox.cluster import PatchType
from world import ANN, KIM, LEO, NAMESPACE, REPOSITORY, SAM, World, digest, example


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path / "greenlight.db", example(target=Argo("mochiapp", adopt=False)))
    await made.start()
    yield made
    await made.store.close()


@pytest.fixture
def adopts(world):
    world.app = replace(world.app, target=Argo("mochiapp"))
    world.build()


def template(world):
    return world.cluster.objects.get("rollouts", NAMESPACE, "mochiapp")["spec"]["template"]


def container(world):
    return template(world)["spec"]["containers"][0]


def write(world, wanted, manager="kubectl-replace"):
    """Somebody else puts a whole template there."""
    patch = [{"op": "replace", "path": "/spec/template", "value": wanted}]
    world.cluster.objects.patch("rollouts", NAMESPACE, "mochiapp", patch, PatchType.JSON, manager=manager)
    world.cluster.settle()


def change(world, **changes):
    """`kubectl set image` and the like: everything else stays in the template, a stamp too."""
    made = template(world)
    made["spec"]["containers"][0] |= changes
    write(world, made, "kubectl-set")


def promote(world):
    patch = {"status": {"pauseConditions": None}}
    world.cluster.objects.patch(
        "rollouts", NAMESPACE, "mochiapp", patch, PatchType.MERGE, subresource="status", manager="kubectl-argo-rollouts"
    )
    world.cluster.settle()


def flavour(of):
    return {"env": [{"name": "FLAVOUR", "value": of}]}


# Whose it is


async def test_what_was_set_upon_a_release_is_not_that_release_though_it_bears_its_stamp(world):
    """The version to go back to has its own name, and is nobody's release."""
    await world.release_live("green")
    await world.advance(minutes=6)
    change(world, image=f"{REPOSITORY}:purple")
    promote(world)
    await world.advance(minutes=1)
    assert template(world)["metadata"]["annotations"][LABEL] == (await world.newest()).label
    release = await world.deploy("blue")
    assert (release.number, release.previous.asked, release.previous.label) == (2, "mochi:purple", "")
    await world.approve(KIM, LEO)
    await world.desk.roll_back(world.app, SAM)
    await world.run()
    assert (await world.phase(), world.serving()) == (Phase.REVERTED, {"purple"})


async def test_what_comes_back_from_a_release_of_ours_has_the_author_of_that(world, adopts):
    """Whoever asked for it does not approve it, whichever way it has come."""
    await world.deploy("green", ANN)
    stamped = template(world)
    await world.desk.ask("mochi", 1, Verb.REJECT, KIM)
    await world.run()
    await world.advance(minutes=2)  # while its pods are kept, Argo Rollouts takes it up again without a pause
    write(world, stamped)
    release = await world.run()
    assert (release.number, release.author.id, release.phase) == (2, ANN.id, Phase.READY)


async def test_what_was_set_upon_a_release_of_ours_has_nobody_of_it_for_an_author(world, adopts):
    await world.deploy("green", ANN)
    change(world, image=f"{REPOSITORY}:purple")
    release = await world.run()
    assert (release.number, release.asked, release.author.is_known) == (2, "mochi:purple", False)


# With which words it ran


async def test_what_is_deployed_is_what_is_live_with_another_image_whatever_somebody_prepares_there(world):
    """Their image and their variable are another release, which nobody has asked for here."""
    change(world, image=f"{REPOSITORY}:purple", **flavour("salt"))
    release = await world.deploy("green")
    assert release.phase is Phase.READY
    assert container(world)["image"] == f"{REPOSITORY}@{digest('green')}"
    assert "env" not in container(world)
    assert template(world)["metadata"]["annotations"][LABEL] == release.label
    await world.approve(KIM, LEO)
    assert world.serving() == {"green"}


async def test_a_release_that_takes_another_back_writes_the_whole_template_that_ran(world, adopts):
    """Its image alone would run with the variables of the version after it."""
    change(world, image=f"{REPOSITORY}:green", **flavour("salt"))
    await world.run()
    await world.approve(KIM, LEO)
    await world.advance(minutes=6)
    await world.deploy("purple")
    assert container(world)["env"] == flavour("salt")["env"]
    await world.desk.ask("mochi", 2, Verb.REJECT, KIM)
    await world.run()
    assert world.serving() == {"green"}
    await world.desk.roll_back(world.app, SAM)
    release = await world.run()
    assert (release.number, release.restores) == (3, 1)
    assert "env" not in container(world)
    assert world.serving() == {"blue"}
