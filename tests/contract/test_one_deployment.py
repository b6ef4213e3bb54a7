"""One Deployment, one Service, and what `greenlight init` prints for them: enough for releases, harmless to others."""

import json
from dataclasses import replace

import pytest
import yaml
from installed import Mochi, names, ready, selectors

import mochi
from bot.clusters.api import KubeApi
from bot.clusters.cluster import LABEL
from bot.clusters.reading import HASH, owner, selector
from bot.policy import read_policy
from bot.release.record import Phase
from bot.release.verbs import Verb
from bot.setup.look import look
from bot.setup.manifests import Account, manifests
from bot.setup.policy_file import People, policy_file
from bot.setup.survey import survey
from watching import until
from world import DEVELOPER, KIM, LEAD, QC, REPOSITORY, digest

LIVE, IDLE, PREVIEW = "mochi", "mochi-b", "mochi-preview"
PEOPLE = People(guild=1, channel=500, deployers=(DEVELOPER,), approvers=(QC, LEAD))


@pytest.fixture
async def alone(target):
    """A team that has never heard of blue and green: one Deployment with two pods, one Service."""
    await target.apply(mochi.alone(target.namespace, image=f"{REPOSITORY}:blue"))
    made = Mochi(target)
    await made.serving(2, LIVE)
    return made


@pytest.fixture
async def printed(target, alone, tmp_path):
    """The policy's app and the manifests, as `init` makes them of what it sees."""
    kubeconfig = tmp_path / "admin"
    kubeconfig.write_text(json.dumps(target.admin_kubeconfig()))
    api = await KubeApi.connect(kubeconfig=str(kubeconfig))
    objects = await look(api, target.namespace)
    await api.close()
    found = survey(target.namespace, objects)
    file = tmp_path / "greenlight.toml"
    file.write_text(policy_file(found, objects, PEOPLE), "utf-8")
    app = read_policy(file).apps["mochi"]
    items = list(yaml.safe_load_all(manifests(found, objects, Account(target.namespace, "greenlight"))))
    return app, items


async def test_the_first_releases_of_an_app_that_had_one_deployment(target, alone, printed, hire, app):
    """With exactly the printed Role, and at no moment a pod behind the Service that was neither live nor approved."""
    policy, items = printed
    before = await alone.deployment(LIVE)
    await target.apply(_objects(items))
    blue = await alone.serving(2, LIVE)
    async with (
        hire(_rules(items), app=replace(policy, timing=app.timing)) as bot,
        alone.record_service(LIVE) as service,
        alone.record_endpoints(LIVE) as serving,
    ):
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        assert (await bot.newest()).slot == IDLE
        green = await alone.serving(2, PREVIEW)
        assert await alone.serving(2, LIVE) == blue
        assert (await alone.deployment(LIVE))["spec"] == before["spec"]
        await bot.approve()
        release = await bot.reaches(Phase.BAKING)
        assert await alone.serving(2, LIVE) == green

        await bot.ask(Verb.ROLL_BACK, KIM)
        await bot.reaches(Phase.REVERTED)
        assert await alone.serving(2, LIVE) == blue
        first, narrowed, switched, back = selectors(await service.so_far())
        assert (first, narrowed.keys()) == ({"app": "mochi"}, {"app", HASH})
        assert switched == release.selector == {"app": "mochi", LABEL: release.label}
        assert back == narrowed
        assert all(ready(moment, LIVE) <= blue | green for moment in await serving.so_far())


async def test_the_two_slots_take_turns(target, alone, printed, hire, app):
    """The second release goes to the Deployment that the team began with."""
    policy, items = printed
    await target.apply(_objects(items))
    async with hire(_rules(items), app=replace(policy, timing=app.timing)) as bot:
        await bot.release("green")
        await bot.stays_live()
        bot.clock.skip(hours=1)
        await bot.sees(lambda moment: moment.release.retired)
        second = await bot.release("purple")
        assert (second.slot, second.image) == (LIVE, f"{REPOSITORY}@{digest('purple')}")
        pods = await alone.serving(2, LIVE)
        assert {owner(pod) for pod in await alone.pods_with(second.label)} == {LIVE}
        assert names(await alone.pods_with(second.label)) == pods
        assert selector(await alone.service(LIVE)) == second.selector


async def test_selectors_that_overlap_take_no_pods_from_each_other(target, alone, printed):
    """Kubernetes' documentation warns of it, and the live selector cannot be changed: the pods' owners decide."""
    _, items = printed
    await target.apply([item for item in items if item["kind"] == "Deployment"])
    live = await alone.serving(2, LIVE)
    await alone.scale(IDLE, 3)
    await until(target.session, alone.deployments, lambda items: _available(items) == {LIVE: 2, IDLE: 3})
    assert await _pods(alone) == {LIVE: live, IDLE: (await alone.serving(5, LIVE)) - live}

    await alone.restart(LIVE)
    restarted = (await alone.serving(5, LIVE, instead_of=live)) - (await _pods(alone))[IDLE]
    await until(target.session, alone.deployments, lambda items: _available(items) == {LIVE: 2, IDLE: 3})
    assert (await _pods(alone))[LIVE] == restarted

    async with target.session.delete(f"{alone.deployments}/{IDLE}", raise_for_status=True):
        pass
    assert await alone.serving(2, LIVE) == restarted
    assert _available([await alone.deployment(LIVE)]) == {LIVE: 2}


def _objects(items):
    return [item for item in items if item["kind"] in {"Deployment", "Service"}]


def _rules(items):
    [role] = [item for item in items if item["kind"] == "Role"]
    return role["rules"]


def _available(deployments):
    """Of each Deployment the pods that it counts as its own, all of them available."""
    counted = {}
    for each in deployments:
        status = each.get("status") or {}
        counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")}
        if status.get("observedGeneration") == each["metadata"]["generation"] and len(counts) == 1:
            counted[each["metadata"]["name"]] = counts.pop()
    return counted


async def _pods(alone):
    found = (await alone.get(alone.pods))["items"]
    present = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
    return {name: names([pod for pod in present if owner(pod) == name]) for name in {owner(pod) for pod in present}}
