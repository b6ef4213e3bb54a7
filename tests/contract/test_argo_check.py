"""What `greenlight check` finds of an app on Argo Rollouts: each right by itself, where a real API server answers."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from backends import OnRollout
from installed import Mochi

from bot.check.cluster import cluster
from bot.check.finding import State
from bot.clusters.api import KubeApi
from bot.release.app import Argo
from world import REPOSITORY

REPLICAS = 2
OPTIONAL = {"analysisruns", "ingresses", "httproutes", "gateways"}
WITHIN = 20.0
"""Seconds in which an API server has learned of a Role that was changed."""


@pytest.fixture
async def installed(request, target):
    if target.name == "real":
        request.getfixturevalue("rollouts_controller")
    await target.apply(OnRollout().manifests(target.namespace, f"{REPOSITORY}:blue"))
    made = Mochi(target)
    await made.serving(REPLICAS)
    return made


@pytest.fixture
def found(tmp_path, app):
    """What is found with these credentials; addresses are the file's."""
    links = {"production": "http://127.0.0.1:9/", "preview": "http://127.0.0.1:9/"}
    on_argo = replace(app, target=Argo("mochiapp"), image="", links=links)

    async def find(kubeconfig):
        place = tmp_path / "kubeconfig"
        place.write_text(json.dumps(kubeconfig))
        api = KubeApi(kubeconfig=str(place))
        try:
            told = await cluster("cluster", api, [on_argo], lambda: datetime.now(UTC), None)
        finally:
            await api.close()
        return [each for each in told if each.about not in {"production", "preview"}]

    return find


def wrong(findings):
    return [each for each in findings if each.state is not State.OK]


async def test_the_shipped_role_is_all_that_is_needed_and_no_more(found, target, installed):
    """S15: neither a right is missing, nor one too many. What the example could do better is no matter of rights."""
    told = await found(await target.kubeconfig(OnRollout().rules()))
    assert {each.about for each in wrong(told)} == {"rollback"}
    assert {each.about for each in told} == {"API server", "clock", "rights", "rollout", "rollback"}


async def test_each_right_is_asked_for_and_named_with_the_rule_to_add(found, target, installed):
    """Take away one verb on one resource, and that is what is told; a status is a resource of its own."""
    rules = OnRollout().rules()
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
