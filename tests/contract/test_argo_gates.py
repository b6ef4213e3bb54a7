"""What Argo Rollouts analyses, as the card is told: with what was measured where that may be read."""

import pytest
from rollout import hashes

from bot.clusters.reading import replicas
from bot.release.record import Cause, Phase
from bot.release.snapshot import Verdict
from bot.release.verbs import Verb
from world import SAM

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


@pytest.fixture
def strategy():
    return {"prePromotionAnalysis": {"templates": [{"templateName": "probe"}]}}


@pytest.fixture
def backend(on_rollout, sandbox):
    sandbox.cluster.apply([{**TEMPLATE, "metadata": {"name": "probe", "namespace": sandbox.namespace}}])
    return on_rollout


def without_runs(rules):
    return [{**rule, "resources": [each for each in rule["resources"] if each != "analysisruns"]} for rule in rules]


# Nothing answers a measurement of the real controller; what its runs leave is recorded in tests/argo/recorded.
@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
@pytest.mark.parametrize("may_read", [True, False])
async def test_a_gate_that_fails_is_told_with_what_it_measured_as_far_as_that_may_be_read(
    installed, sandbox, backend, hire, may_read
):
    analyses = sandbox.cluster.analyses
    analyses.expect("error-rate", "Running")
    async with hire(backend.rules() if may_read else without_runs(backend.rules())) as bot:
        await bot.deploy("green")
        under_way = "the analysis before the promotion is under way"
        moment = await bot.sees(lambda moment: moment.seen and moment.seen.checks and moment.reason == under_way)
        assert [(each.name, each.verdict) for each in moment.seen.checks] == [
            ("pre-promotion analysis", Verdict.RUNNING)
        ]
        analyses.expect("error-rate", "Failed", value="[0.42]")
        moment = await bot.sees(lambda moment: moment.seen.checks and moment.seen.checks[0].verdict is Verdict.FAILED)
        measured = "error-rate measured [0.42], wanted result[0] < 0.05"
        assessed = 'Metric "error-rate" assessed Failed due to failed (1) > failureLimit (0)'
        if may_read:
            moment = await bot.sees(lambda moment: moment.seen.checks and moment.seen.checks[0].detail == measured)
        else:
            assert moment.seen.checks[0].detail == assessed
        ended = await bot.sees(lambda moment: moment.release.phase is Phase.REVERTED)
        assert ended.release.cause is Cause.FAILED


@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
@pytest.mark.parametrize("which", ["prePromotionAnalysis", "postPromotionAnalysis"])
@pytest.mark.parametrize("strategy", [{"scaleDownDelaySeconds": 1}])
async def test_a_way_back_that_argo_aborts_ends_and_says_so(bot, installed, rollout, sandbox, which):
    """Its pods are gone, so it comes up like any other version; what fails there keeps the traffic where it is."""
    blue = await rollout.live()
    await bot.release("green")
    green = await rollout.live()
    await rollout.until_set("blue", lambda each: replicas(each) == 0)
    await rollout.set_spec(strategy={"blueGreen": {which: {"templates": [{"templateName": "probe"}]}}})
    sandbox.cluster.analyses.expect("error-rate", "Failed", value="[0.42]")
    async with installed.record_service() as service:
        await bot.ask(Verb.ROLL_BACK, SAM)
        ended = await bot.reaches(Phase.ABANDONED)
        bot.clock.skip(minutes=5)
        for _ in range(5):
            await bot.controller.turn()
        # Once more than once, where it is looked at between the controller's two writes.
        assert len(hashes(await service.so_far())) <= 5
    assert ended.cause is Cause.STUCK
    assert ended.reason.startswith("could not be taken back: Argo Rollouts aborted mochi:blue (RolloutAborted")
    assert ended.reason.endswith("once its analysis can pass, deploy mochi:blue")
    assert await rollout.live() == green != blue
