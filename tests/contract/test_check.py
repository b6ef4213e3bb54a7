"""What `greenlight check` asks of a cluster: each right by itself, where a real API server answers, and whether
credentials are taken at all. On two Deployments and on a Rollout, by the same tests.
"""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.check.cluster import cluster
from bot.check.finding import State
from bot.clusters.api import KubeApi
from bot.clusters.errors import Forbidden

OPTIONAL = {"analysisruns", "ingresses", "httproutes", "gateways", "horizontalpodautoscalers"}
OF_ALL = {"API server", "clock", "rights"}
TOLD = {"deployments": OF_ALL | {"slots"}, "rollout": OF_ALL | {"rollout", "rollback"}}
WRONG = {"deployments": set(), "rollout": {"rollback"}}
"""What the example could do better is no matter of rights."""
WITHIN = 20.0
"""Seconds in which an API server has learned of a Role that was changed."""


@pytest.fixture
def backend(either):
    return either


@pytest.fixture
def found(tmp_path, app):
    """What is found with these credentials, by what it is about."""
    looked_up = replace(app, links={"production": "http://127.0.0.1:9/", "preview": "http://127.0.0.1:9/"})

    async def find(kubeconfig):
        place = tmp_path / "kubeconfig"
        place.write_text(json.dumps(kubeconfig))
        api = KubeApi(kubeconfig=str(place))
        try:
            told = await cluster("cluster", api, [looked_up], lambda: datetime.now(UTC), None)
        finally:
            await api.close()
        return [each for each in told if each.about not in {"production", "preview"}]

    return find


def wrong(findings):
    return [each for each in findings if each.state is not State.OK]


async def test_the_shipped_role_is_all_that_is_needed_and_no_more(found, target, installed, backend):
    """S15: neither a right is missing, nor one too many."""
    told = await found(await target.kubeconfig(backend.rules()))
    assert {each.about for each in wrong(told)} == WRONG[backend.name]
    assert {each.about for each in told} == TOLD[backend.name]


async def test_each_right_is_asked_for_and_named_with_the_rule_to_add(found, target, installed, backend):
    """Take away one verb on one resource, and that is what is told; a status is a resource of its own, and the card
    alone suffers from some.
    """
    rules = backend.rules()
    kubeconfig = await target.kubeconfig(rules)
    every = [
        rule | {"resources": [resource], "verbs": [verb]}
        for rule in rules
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    for lost in every:
        await target.restrict([rule for rule in every if rule != lost])
        [resource], [verb] = lost["resources"], lost["verbs"]
        names = f", resourceNames: [{', '.join(lost['resourceNames'])}]" if "resourceNames" in lost else ""
        state = State.WARN if resource in OPTIONAL else State.FAIL
        rule = f"resources: [{resource}]{names}, verbs: [{verb}]}}"
        async with asyncio.timeout(WITHIN):
            while True:
                told = [each for each in wrong(await found(kubeconfig)) if each.about == "rights"]
                if [(each.state, each.fix.partition(", ")[2]) for each in told] == [(state, rule)]:
                    break
        assert told[0].sentence.startswith(f"Greenlight may not {verb} ")


async def test_s15_an_administrator_may_more_than_is_needed(found, target, installed, backend):
    told = wrong(await found(await target.kubeconfig([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])))
    [too_wide] = [each for each in told if each.about not in WRONG[backend.name]]
    assert (too_wide.about, too_wide.state) == (f"namespace {target.namespace}", State.WARN)
    assert "change any Service, change any Deployment" in too_wide.sentence
    assert "run commands in pods" in too_wide.sentence
    assert ("deploy/examples/mochi-argo/role.yaml" in too_wide.fix) is (backend.name == "rollout")


async def test_credentials_that_are_not_taken_are_told_at_the_first_question(found, target, installed, backend):
    """Also where everybody may ask: whoever shows a wrong token is turned away."""
    kubeconfig = await target.kubeconfig(backend.rules())
    kubeconfig["users"][0]["user"]["token"] = "not-a-token"
    with pytest.raises(Forbidden, match="does not take Greenlight's credentials"):
        await found(kubeconfig)
