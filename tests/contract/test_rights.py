"""S15: the shipped Role opens what a release needs, by name where something is changed, and nothing else."""

import asyncio
import json
import re

import pytest
import role
import yaml
from staff import PATIENCE, Greenlight

import mochi
from bot.clusters import rights
from bot.clusters.api import DEPLOYMENT, POD, SERVICE, Kind, KubeApi
from bot.clusters.errors import ClusterError, Forbidden, Missing
from bot.release.machine import DRAIN
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import KIM, REPOSITORY, SAM, digest, example

TOUCH = ({"op": "add", "path": "/metadata/labels/touched", "value": "yes"},)
CONFIG_MAP = Kind("ConfigMap", "v1", "configmaps")
NEEDED = sorted(role.granted(right.rule for right in rights.rights(example()) if not right.without))
"""What no release is possible without."""


@pytest.fixture
async def api(target, installed, tmp_path):
    """As the bot, with the rights that it is shipped with."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(await target.kubeconfig(role.rules())))
    made = await KubeApi.connect(kubeconfig=str(kubeconfig))
    yield made
    await made.close()


@pytest.mark.parametrize("name", [mochi.ACTIVE, mochi.PREVIEW])
async def test_the_two_services_of_the_app_may_be_changed(api, target, name):
    await api.patch(SERVICE, target.namespace, name, TOUCH)


@pytest.mark.parametrize("name", [mochi.LIVE, mochi.IDLE])
async def test_the_two_slots_of_the_app_may_be_changed(api, target, name):
    await api.patch(DEPLOYMENT, target.namespace, name, TOUCH)


@pytest.mark.parametrize(("kind", "name"), [(SERVICE, "database"), (DEPLOYMENT, "database"), (POD, "any")])
async def test_whatever_else_is_there_may_not_be_changed(api, target, kind, name):
    with pytest.raises(Forbidden, match=rf"^Greenlight may not patch {kind.name} {target.namespace}/{name} on"):
        await api.patch(kind, target.namespace, name, TOUCH)


async def test_other_kinds_and_other_namespaces_may_not_even_be_read(api, target):
    with pytest.raises(Forbidden):
        await api.list(CONFIG_MAP, target.namespace)
    with pytest.raises(Forbidden):
        await api.list(POD, "kube-system")


@pytest.mark.parametrize("missing", [SERVICE, DEPLOYMENT])
async def test_a_missing_object_is_not_a_missing_right(api, target, installed, missing):
    name = {SERVICE: mochi.PREVIEW, DEPLOYMENT: mochi.IDLE}[missing]
    path = missing.path(target.namespace, name)
    async with target.session.delete(path, raise_for_status=True):
        pass
    with pytest.raises(Missing, match=rf"get {missing.name} {re.escape(target.namespace)}/{name}"):
        await api.get(missing, target.namespace, name)


async def test_what_only_makes_the_card_better_may_be_left_out(target, hire, installed):
    """As the comment in the manifest promises."""
    async with hire([right.rule for right in NEEDED]) as bot:
        await bot.release("green")
        assert await installed.serving(2) == {pod["metadata"]["name"] for pod in await installed.pods_of("green")}


async def test_s15_every_right_is_used_and_no_other_is_asked_for(target, hire, installed):
    """Two releases: the first is taken back, the second stays until the pods before it are taken away."""
    async with hire() as bot:
        links = await bot.cluster.links(bot.app)
        assert links.production == f"https://{mochi.PRODUCTION_HOST}/"
        await bot.release("green")
        await bot.ask(Verb.ROLL_BACK, SAM)
        await bot.reaches(Phase.REVERTED)
        bot.clock.skip(seconds=DRAIN.total_seconds())
        await bot.reaches(Phase.REVERTED, retired=True)
        await bot.release("purple")
        await bot.stays_live()
        bot.clock.skip(seconds=bot.app.timing.warm_for.total_seconds())
        await bot.reaches(Phase.DONE, retired=True)
        async with asyncio.timeout(PATIENCE):
            # What was asked a moment ago may not be in the log of the real one yet.
            while role.granted(role.rules()) - target.asked():
                await installed.service()
    assert target.asked() == role.granted(role.rules())


@pytest.mark.parametrize("missing", NEEDED, ids=str)
async def test_s15_a_right_that_is_missing_is_named_with_the_rule_to_add(hire, target, installed, missing):
    """At the latest when it is needed, as a sentence for the person who deploys; the rule is there to be copied."""
    async with hire(role.without(missing)) as bot:
        said = await complaint(bot, missing)
    what = f"in {target.namespace}" if not missing.name else f"{target.namespace}/{missing.name}"
    sentence = rf"Greenlight may not {missing.verb} \w+ {what} on \w+: add to its Role in {target.namespace}: `"
    assert re.match(sentence, said)
    assert yaml.safe_load(said.split("`")[1]) == [missing.rule]


@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
async def test_i10_a_right_to_watch_that_is_missing_keeps_nobody_from_going_back(sandbox, bot, installed):
    """Though the version before has to be deployed anew. (A right that goes away is for the sandbox alone.)"""
    green = await bot.release("green")
    await bot.stays_live()
    await bot.deploy("purple")
    await bot.reaches(Phase.READY)
    await bot.ask(Verb.REJECT, KIM)
    await bot.reaches(Phase.REVERTED, retired=True)
    sandbox.cluster.access.deny("watch", "pods")
    sandbox.cluster.server.drop_watches()
    await noticed(bot)
    with pytest.raises(ClusterError, match=r"^Greenlight may not watch pods in \S+ on sandbox: add to its Role"):
        await bot.deploy("purple")
    opened = await bot.desk.roll_back(bot.app, SAM)
    assert (opened.restores, opened.image) == (green.number, f"{REPOSITORY}@{digest('blue')}")


async def complaint(bot: Greenlight, missing: role.Right) -> str:
    """What people are told on the way from `/deploy` until the old pods are taken away."""
    try:
        if missing.verb in {"list", "watch"}:
            await noticed(bot)
        await bot.deploy("green")
    except ClusterError as error:
        return str(error)
    moment = await bot.sees(lambda moment: moment.trouble or moment.release.phase is Phase.READY)
    if not moment.trouble:
        await bot.approve()
        await bot.reaches(Phase.BAKING)
        await bot.stays_live()
        bot.clock.skip(seconds=bot.app.timing.warm_for.total_seconds())
        moment = await bot.sees(lambda moment: moment.trouble)
    return moment.trouble


async def noticed(bot: Greenlight) -> None:
    """A watch learns that there is no right to it a moment after the bot has started."""
    async with asyncio.timeout(PATIENCE):
        while not (await bot.cluster.start(bot.app)).unheard:
            pass
