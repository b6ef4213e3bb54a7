"""A release on Argo Rollouts, from deploy to live and back, in one process with the controller of the target."""

from dataclasses import replace

import pytest
from installed import Mochi

import mochi
from bot.release.app import Argo
from bot.release.record import Phase
from bot.release.verbs import Verb
from mochi_rollout import mochi_rollout
from world import KIM, LEO, REPOSITORY, SAM

REPLICAS = 2


@pytest.fixture
def app(app):
    return replace(app, target=Argo("mochiapp", adopt=False))  # what others begin is in test_argo_outside.py


@pytest.fixture
async def installed(request, target):
    if target.name == "real":
        request.getfixturevalue("rollouts_controller")
    await target.apply(mochi_rollout(target.namespace, image=f"{REPOSITORY}:blue", replicas=REPLICAS))
    made = Mochi(target)
    await made.serving(REPLICAS)
    return made


RULES = [
    {
        "apiGroups": ["argoproj.io"],
        "resources": ["rollouts", "rollouts/status"],
        "verbs": ["get", "list", "watch", "patch"],
    },
    {"apiGroups": ["apps"], "resources": ["replicasets", "deployments"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch", "patch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
]


@pytest.fixture
async def bot(hire, installed):
    async with hire(RULES) as made:
        yield made


async def test_from_deploy_to_live_and_back(bot, installed):
    blue = await installed.serving(REPLICAS)
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    green = await installed.serving(REPLICAS, mochi.PREVIEW, instead_of=blue)
    assert await installed.serving(REPLICAS) == blue
    await bot.approve(KIM, LEO)
    await bot.reaches(Phase.BAKING)
    assert await installed.serving(REPLICAS, instead_of=blue) == green
    await bot.ask(Verb.ROLL_BACK, SAM, "wrong prices")
    await bot.reaches(Phase.REVERTED)
    assert await installed.serving(REPLICAS, instead_of=green) == blue


class Rollout:
    """What other people do with it, and what it says."""

    def __init__(self, installed: Mochi) -> None:
        self._installed = installed
        namespace = installed.target.namespace
        self.path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/mochiapp"

    async def get(self):
        return await self._installed.get(self.path)

    async def set_image(self, tag: str):
        image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"{REPOSITORY}:{tag}"}]
        json_patch = "application/json-patch+json"
        return await self._installed.patch(self.path, image, manager="kubectl-set", content_type=json_patch)

    async def promote(self, *, manager: str = "kubectl-argo-rollouts"):
        return await self._installed.patch(
            f"{self.path}/status", {"status": {"pauseConditions": None}}, manager=manager
        )

    async def abort(self):
        return await self._installed.patch(
            f"{self.path}/status", {"status": {"abort": True}}, manager="kubectl-argo-rollouts"
        )


@pytest.fixture
def rollout(installed):
    return Rollout(installed)


async def test_a_rejected_release_leaves_the_rollout_as_it_was(bot, installed, rollout):
    blue, before = await installed.serving(REPLICAS), (await rollout.get())["spec"]["template"]
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await bot.ask(Verb.REJECT, KIM, "the logo is wrong")
    await bot.reaches(Phase.REVERTED)
    assert (await rollout.get())["spec"]["template"] == before
    assert await installed.serving(REPLICAS) == blue


async def test_the_same_image_again_after_a_rejection_is_paused_again(bot, installed):
    for _ in range(2):
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        await bot.ask(Verb.REJECT, KIM)
        await bot.reaches(Phase.REVERTED)


async def test_a_second_release_goes_on_where_the_first_one_is_live(bot, installed):
    await bot.release("green")
    await bot.stays_live()
    bot.clock.skip(minutes=2)
    await bot.release("blue")
    await bot.ask(Verb.ROLL_BACK, SAM)
    await bot.reaches(Phase.REVERTED)


async def test_a_version_that_arrives_during_the_approval_voids_it(bot, installed, rollout):
    blue = await installed.serving(REPLICAS)
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await rollout.set_image("purple")
    ended = await bot.reaches(Phase.ABANDONED)
    assert "kubectl-set" in ended.reason
    assert await installed.serving(REPLICAS) == blue


async def test_a_promotion_by_somebody_else_is_told(bot, installed, rollout):
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await rollout.promote()
    ended = await bot.reaches(Phase.ABANDONED)
    assert ended.reason == "promoted outside by somebody"


async def test_an_abort_by_somebody_else_ends_the_release(bot, installed, rollout):
    blue = await installed.serving(REPLICAS)
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await rollout.abort()
    ended = await bot.reaches(Phase.REVERTED)
    assert ended.reason.startswith("Argo Rollouts aborted it")
    assert await installed.serving(REPLICAS) == blue
