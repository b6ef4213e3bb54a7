"""Analysis before and after the promotion: when it runs, what its outcome does, and what gets round it."""

from collections.abc import AsyncIterator

import pytest

from mochi_rollout import ROLLOUT, mochi_rollout
from rollout_cluster import HASH, NAMESPACE, RolloutCluster, image, rollout_cluster

TEMPLATE = {
    "metadata": {"name": "probe"},
    "spec": {
        "args": [{"name": "hash"}],
        "metrics": [
            {
                "name": "error-rate",
                "successCondition": "result[0] < 0.05",
                "provider": {"prometheus": {"address": "http://prometheus:9090", "query": "errors"}},
            }
        ],
    },
}
ANALYSIS = {
    "templates": [{"templateName": "probe"}],
    "args": [{"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}}],
}


async def installed(argo: RolloutCluster, when: str, **blue_green) -> None:
    await argo.create("analysistemplates", TEMPLATE)
    strategy = {f"{when}PromotionAnalysis": ANALYSIS, **blue_green}
    argo.cluster.apply(mochi_rollout(NAMESPACE, image=image("blue"), blue_green=strategy))
    argo.cluster.settle()


@pytest.fixture
async def before() -> AsyncIterator[RolloutCluster]:
    """Blue is live; an update is analysed before its promotion."""
    async with rollout_cluster(install=False) as argo:
        await installed(argo, "pre")
        yield argo


@pytest.fixture
async def after() -> AsyncIterator[RolloutCluster]:
    """Green has the traffic, its analysis after the promotion is still running: blue is the stable one."""
    async with rollout_cluster(install=False) as argo:
        await installed(argo, "post")
        argo.cluster.analyses.expect("error-rate", "Running")
        await argo.set_image("green")
        await argo.promote()
        assert (await argo.selected(), await argo.stable()) == ("green", "blue")
        yield argo


def expect(argo: RolloutCluster, phase: str, value: str = "", message: str = "") -> None:
    argo.cluster.analyses.expect("error-rate", phase, value=value, message=message)
    argo.cluster.settle()


async def runs(argo: RolloutCluster) -> dict[str, str]:
    return {run["metadata"]["name"]: run["status"]["phase"] for run in await argo.listed("analysisruns")}


async def noted(argo: RolloutCluster, when: str) -> dict | None:
    return (await argo.status())["blueGreen"].get(f"{when}PromotionAnalysisRunStatus")


async def test_the_first_deploy_is_not_analysed(before):
    assert await runs(before) == {}


async def test_a_run_has_the_shape_of_a_real_one(before):
    expect(before, "Failed", value="[0.42]")
    await before.set_image("green")
    (run,) = await before.listed("analysisruns")
    hash_ = await before.hash_of("green")
    assert run["metadata"]["name"] == f"{ROLLOUT}-{hash_}-2-pre"
    assert run["metadata"]["labels"] == {HASH: hash_, "rollout-type": "PrePromotion", "app": "mochi"}
    assert run["metadata"]["annotations"] == {"rollout.argoproj.io/revision": "2"}
    assert run["metadata"]["ownerReferences"][0]["kind"] == "Rollout"
    assert run["spec"]["metrics"] == TEMPLATE["spec"]["metrics"]
    assert run["spec"]["args"] == [{"name": "hash", "value": hash_}]
    now = "2026-01-05T09:00:00Z"
    assert run["status"] == {
        "phase": "Failed",
        "message": 'Metric "error-rate" assessed Failed due to failed (1) > failureLimit (0)',
        "metricResults": [
            {
                "name": "error-rate",
                "phase": "Failed",
                "measurements": [{"phase": "Failed", "startedAt": now, "finishedAt": now, "value": "[0.42]"}],
                "count": 1,
                "failed": 1,
            }
        ],
        "startedAt": now,
        "completedAt": now,
        "runSummary": {"count": 1, "failed": 1},
        "dryRunSummary": {},
    }


async def test_an_update_pauses_only_after_its_analysis_has_passed(before):
    """While it runs the phase is Progressing by design, and a plain promote does nothing."""
    expect(before, "Running")
    await before.set_image("green")
    assert await before.phase() == ("Progressing", "active service cutover pending")
    assert (await before.pauses(), (await noted(before, "pre"))["status"]) == ([], "Running")
    refused = await before.patch(
        "rollouts", ROLLOUT, [{"op": "remove", "path": "/status/pauseConditions"}], subresource="status"
    )
    assert refused.status == 422
    await before.set_status(pauseConditions=None)
    assert await before.selected() == "blue"
    expect(before, "Successful", value="[0.01]")
    assert (await before.pauses(), (await noted(before, "pre"))["status"]) == (["BlueGreenPause"], "Successful")
    await before.promote()
    assert (await before.selected(), await before.phase()) == ("green", ("Healthy", ""))


async def test_a_failed_analysis_aborts_and_says_why(before):
    expect(before, "Failed", value="[0.42]")
    await before.set_image("green")
    status = await before.status()
    reason = 'Metric "error-rate" assessed Failed due to failed (1) > failureLimit (0)'
    assert status["phase"] == "Degraded"
    assert status["message"] == (
        "RolloutAborted: Rollout aborted update to revision 2: "
        f"Blue/green pre-promotion analysis phase error/failed: {reason}"
    )
    assert (status["abort"], "abortedAt" in status) == (True, True)
    assert await before.condition("Progressing") == ("False", "RolloutAborted")
    name = f"{ROLLOUT}-{await before.hash_of('green')}-2-pre"
    assert await noted(before, "pre") == {"name": name, "status": "Failed", "message": reason}
    assert (await before.selected(), await before.deadline("green") is not None) == ("blue", True)


async def test_a_retry_within_the_delay_ships_what_its_analysis_has_failed(before):
    """The worst of all: no pause, no second analysis, Healthy, and an abort flag that is left behind."""
    expect(before, "Failed")
    await before.set_image("green")
    since = before.cluster.objects.version
    await before.retry()
    assert (await before.selected(), await before.stable(), await before.phase()) == (
        "green",
        "green",
        ("Healthy", ""),
    )
    assert not [state for state in before.past(since=since) if state["status"].get("pauseConditions")]
    assert list((await runs(before)).values()) == ["Failed"]
    assert (await before.status())["abort"] is True


async def test_a_retry_after_the_delay_analyses_again_before_there_are_pods(before):
    expect(before, "Failed")
    await before.set_image("green")
    before.cluster.advance(31)
    await before.retry()
    name = f"{ROLLOUT}-{await before.hash_of('green')}-2-pre"
    assert await runs(before) == {name: "Failed", f"{name}.1": "Failed"}
    assert (await before.status())["abort"] is True
    before.cluster.advance(31)
    expect(before, "Successful")
    await before.retry()
    assert (await runs(before))[f"{name}.2"] == "Successful"
    assert (await before.pauses(), await before.selected()) == (["BlueGreenPause"], "blue")


async def test_promote_full_cuts_over_and_the_run_that_was_called_off_counts_as_passed(before):
    expect(before, "Running")
    await before.set_image("green")
    await before.promote_full()
    assert (await before.selected(), await before.stable()) == ("green", "green")
    (run,) = await before.listed("analysisruns")
    assert run["spec"]["terminate"] is True
    assert (run["status"]["phase"], run["status"]["message"]) == ("Successful", "Run Terminated")


async def test_a_run_that_somebody_terminates_counts_as_passed(before):
    expect(before, "Running")
    await before.set_image("green")
    (run,) = await before.listed("analysisruns")
    await before.done("analysisruns", run["metadata"]["name"], {"spec": {"terminate": True}})
    assert (await noted(before, "pre"))["message"] == "Run Terminated"
    assert await before.pauses() == ["BlueGreenPause"]


async def test_an_inconclusive_analysis_pauses_and_a_promote_only_starts_it_again(before):
    expect(before, "Inconclusive", value="[NaN]")
    await before.set_image("green")
    assert await before.phase() == ("Paused", "InconclusiveAnalysisRun")
    await before.promote()
    assert (await before.selected(), len(await runs(before))) == ("blue", 2)
    assert await before.pauses() == ["InconclusiveAnalysisRun"]
    expect(before, "Successful")
    await before.promote()
    assert (await before.pauses(), await before.selected()) == (["BlueGreenPause"], "blue")


async def test_errors_are_tried_again_before_they_count(before):
    expect(before, "Error", message="dial tcp: no such host")
    await before.set_image("green")
    assert list((await runs(before)).values()) == ["Running"]
    before.cluster.advance(40)
    (run,) = await before.listed("analysisruns")
    assert run["status"]["phase"] == "Error"
    assert run["status"]["message"] == (
        'Metric "error-rate" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4): '
        '"Error Message: dial tcp: no such host"'
    )
    assert (await before.status())["abort"] is True


async def test_a_metric_with_an_interval_is_measured_until_it_has_its_count(before):
    template = await before.get("analysistemplates", "probe")
    metric = {**template["spec"]["metrics"][0], "interval": "10s", "count": 3, "failureLimit": 1}
    await before.done("analysistemplates", "probe", {"spec": {"metrics": [metric]}})
    await before.set_image("green")
    before.cluster.advance(10)
    assert list((await runs(before)).values()) == ["Running"]
    before.cluster.advance(10)
    (run,) = await before.listed("analysisruns")
    (result,) = run["status"]["metricResults"]
    assert (run["status"]["phase"], result["count"], len(result["measurements"])) == ("Successful", 3, 3)


async def test_after_the_cut_over_an_analysis_keeps_the_update_unfinished(after):
    assert await after.phase() == ("Progressing", "waiting for analysis to complete")
    assert await after.condition("Completed") == ("False", "RolloutCompleted")
    expect(after, "Successful")
    assert (await after.phase(), await after.stable()) == (("Healthy", ""), "green")


async def test_an_inconclusive_analysis_after_the_cut_over_keeps_the_controller_busy_with_itself(after):
    """Two parts of it disagree about a condition, some twenty writes a second; orders are still obeyed."""
    since = after.cluster.objects.version
    expect(after, "Inconclusive")
    assert await after.phase() == ("Paused", "InconclusiveAnalysisRun")
    written = len(after.past(since=since))
    after.cluster.advance(3)
    assert len(after.past(since=since)) > written + 30
    await after.abort()
    assert (await after.selected(), (await after.phase())[0]) == ("blue", "Degraded")


async def test_a_failed_analysis_after_the_cut_over_brings_the_traffic_back(after):
    expect(after, "Failed")
    assert (await after.selected(), (await after.phase())[0]) == ("blue", "Degraded")
    assert "post-promotion analysis phase error/failed" in (await after.phase())[1]


async def test_an_abort_after_the_cut_over_brings_the_traffic_back_while_every_pod_is_ready(after):
    await after.abort()
    assert (await after.selected(), await after.ready_addresses()) == ("blue", 2)
    assert (await after.phase())[0] == "Degraded"


async def test_an_abort_after_the_cut_over_strands_the_traffic_on_a_sick_version(after):
    """First on what is left of green, and after the delay on nothing at all, with blue at hand."""
    await after.fail("green")
    await after.abort()
    status = await after.status()
    assert (status["phase"], status["message"].partition(":")[0]) == ("Degraded", "RolloutAborted")
    assert (await after.selected(), await after.stable(), await after.ready_addresses()) == ("green", "blue", 1)
    after.cluster.advance(31)
    assert (await after.replicas("green"), await after.replicas("blue")) == (0, 2)
    assert (await after.selected(), await after.ready_addresses()) == ("green", 0)
    after.cluster.advance(3600)
    assert (await after.selected(), await after.ready_addresses()) == ("green", 0)


async def test_a_stranded_abort_ends_when_the_pod_recovers_in_time(after):
    (sick,) = await after.fail("green")
    await after.abort()
    after.cluster.advance(20)
    after.recover(sick)
    assert (await after.selected(), await after.ready_addresses()) == ("blue", 2)


async def test_the_old_set_stays_while_its_successor_is_analysed(after):
    after.cluster.advance(600)
    assert (await after.replicas("blue"), await after.deadline("blue")) == (2, None)


async def test_a_missing_template_makes_the_rollout_invalid_until_it_appears():
    async with rollout_cluster(install=False) as argo:
        strategy = {"prePromotionAnalysis": ANALYSIS}
        argo.cluster.apply(mochi_rollout(NAMESPACE, image=image("blue"), blue_green=strategy))
        argo.cluster.settle()
        phase, message = await argo.phase()
        assert phase == "Degraded"
        assert message.endswith("AnalysisTemplate 'probe' not found")
        await argo.create("analysistemplates", TEMPLATE)
        argo.cluster.advance(20)
        assert await argo.phase() == ("Healthy", "")
