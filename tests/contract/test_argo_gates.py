"""What Argo Rollouts analyses, as the card is told: with what was measured where that may be read."""

from dataclasses import replace

import pytest
from installed import Mochi
from test_argo_release import RULES

from bot.release.app import Argo
from bot.release.record import Cause, Phase
from bot.release.snapshot import Verdict
from mochi_rollout import mochi_rollout
from world import REPOSITORY

REPLICAS = 2
MEASURED = {
    "name": "error-rate",
    "successCondition": "result[0] < 0.05",
    "provider": {"prometheus": {"address": "http://prometheus:9090", "query": "errors"}},
}
TEMPLATE = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AnalysisTemplate",
    "metadata": {"name": "probe"},
    "spec": {"metrics": [MEASURED]},
}
MAY_READ = {"apiGroups": ["argoproj.io"], "resources": ["analysisruns"], "verbs": ["list", "watch"]}


@pytest.fixture
def app(app):
    return replace(app, target=Argo("mochiapp"))


@pytest.fixture
async def analysed(target, sandbox):
    """Before the promotion something is measured, and the test says what."""
    namespace = target.namespace
    sandbox.cluster.apply([{**TEMPLATE, "metadata": {"name": "probe", "namespace": namespace}}])
    strategy = {"prePromotionAnalysis": {"templates": [{"templateName": "probe"}]}}
    image = f"{REPOSITORY}:blue"
    await target.apply(mochi_rollout(namespace, image=image, replicas=REPLICAS, blue_green=strategy))
    await Mochi(target).serving(REPLICAS)
    return sandbox.cluster.analyses


# Nothing answers a measurement of the real controller; what its runs leave is recorded in tests/argo/recorded.
@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
@pytest.mark.parametrize("may_read", [True, False])
async def test_a_gate_that_fails_is_told_with_what_it_measured_as_far_as_that_may_be_read(analysed, hire, may_read):
    analysed.expect("error-rate", "Running")
    async with hire([*RULES, *([MAY_READ] if may_read else [])]) as bot:
        await bot.deploy("green")
        moment = await bot.sees(lambda moment: moment.seen and moment.seen.checks)
        assert [(each.name, each.verdict) for each in moment.seen.checks] == [
            ("pre-promotion analysis", Verdict.RUNNING)
        ]
        assert moment.reason == "the analysis before the promotion is under way"
        analysed.expect("error-rate", "Failed", value="[0.42]")
        moment = await bot.sees(lambda moment: moment.seen.checks and moment.seen.checks[0].verdict is Verdict.FAILED)
        measured = "error-rate measured [0.42], wanted result[0] < 0.05"
        assessed = 'Metric "error-rate" assessed Failed due to failed (1) > failureLimit (0)'
        if may_read:
            moment = await bot.sees(lambda moment: moment.seen.checks and moment.seen.checks[0].detail == measured)
        else:
            assert moment.seen.checks[0].detail == assessed
        ended = await bot.sees(lambda moment: moment.release.phase is Phase.REVERTED)
        assert ended.release.cause is Cause.FAILED
