"""A version that somebody else brings up, as people on Discord meet it."""

import pytest
from stage import opened

from bot.release.app import Argo
from sandbox.cluster import PatchType
from world import NAMESPACE, REPOSITORY


@pytest.fixture
async def stage(tmp_path, monkeypatch):
    async with opened(tmp_path, monkeypatch, target=Argo("mochiapp")) as made:
        yield made


async def set_image(stage):
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"{REPOSITORY}:green"}]
    objects = stage.world.cluster.objects
    objects.patch("rollouts", NAMESPACE, "mochiapp", patch, PatchType.JSON, manager="kubectl-set")
    stage.world.cluster.settle()
    await stage.settle()


async def test_its_end_is_told_though_there_is_nobody_to_mention(stage):
    """Discord takes no message that mentions nobody's id."""
    await set_image(stage)
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    await stage.roll_back(stage.sam, "upside down")
    assert "was rolled back by @sam" in (await stage.card()).content
    assert (await stage.thread()).endswith("back as it was")
    assert not [body for body in stage.messages if body["allowed_mentions"].get("users")]
