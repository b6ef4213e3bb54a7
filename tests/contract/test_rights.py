"""S15: the shipped Role opens what a release needs, by name where something is changed, and nothing else."""

import json
import re

import pytest
import role

import mochi
from bot.clusters.api import DEPLOYMENT, POD, SERVICE, Kind, KubeApi
from bot.clusters.errors import Forbidden, Missing

TOUCH = ({"op": "add", "path": "/metadata/labels/touched", "value": "yes"},)
CONFIG_MAP = Kind("ConfigMap", "v1", "configmaps")


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
    better = {"ingresses", "httproutes", "gateways", "horizontalpodautoscalers"}
    needed = [rule for rule in role.rules() if not better & {*rule["resources"]}]
    async with hire(needed) as bot:
        await bot.release("green")
        assert await installed.serving(2) == {pod["metadata"]["name"] for pod in await installed.pods_of("green")}
