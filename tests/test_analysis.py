"""What AnalysisRuns come to on a card. Their shapes are those that Argo Rollouts 1.9.1 left on a real cluster."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clusters.argo.analysis import checks
from bot.release.snapshot import Check, Verdict

HASH = "58d866897f"
BEFORE, AFTER = "pre-promotion analysis", "post-promotion analysis"


def result(phase="Failed", *, name="errors", value="3", **changes):
    measurement = {"phase": phase, "startedAt": "2026-11-26T23:12:46Z", **({"value": value} if value else {})}
    return {"name": name, "phase": phase, "count": 1, "measurements": [measurement], **changes}


def run(phase, *results, sort="PrePromotion", made="2026-11-26T23:12:46Z", message="", metrics=(), **spec):
    labels = {"app": "mochiapp", "rollout-type": sort, "rollouts-pod-template-hash": HASH}
    status = {"phase": phase, "metricResults": list(results), **({"message": message} if message else {})}
    metadata = {"name": f"mochiapp-{HASH}-2-{sort}", "labels": labels, "creationTimestamp": made}
    return {"metadata": metadata, "spec": {"metrics": list(metrics), **spec}, "status": status}


def rollout(current=HASH, **summaries):
    return {"status": {"currentPodHash": current, "blueGreen": summaries}}


def found(*runs, of=None, wanted=HASH):
    return checks(of or rollout(), runs, wanted)


def one(*runs, **changes):
    [check] = found(*runs, **changes)
    return check.verdict, check.detail


ERRORS = {"name": "errors", "successCondition": "result < 1", "failureCondition": "result > 5"}


@pytest.mark.parametrize("phase", ["", None, "Pending", "Running"])
def test_a_run_that_is_under_way_has_said_nothing_yet(phase):
    assert one(run(phase)) == (Verdict.RUNNING, "")


def test_a_run_whose_metrics_were_good_is_a_pass():
    assert one(run("Successful", result("Successful", value="0"))) == (Verdict.PASSED, "")


@pytest.mark.parametrize(
    "called_off",
    [
        run("Successful", result("Successful", message="Metric Terminated"), terminate=True, message="Run Terminated"),
        run("Successful", result("Successful"), terminate=True),
        run("Successful", result("Successful"), message="Run Terminated"),
    ],
)
def test_a_run_that_was_called_off_is_never_a_pass(called_off):
    """The controller takes it for successful, whatever it had measured until then."""
    assert one(called_off) == (Verdict.NONE, "it was called off before it was over")


def test_a_run_that_failed_before_it_was_called_off_has_failed():
    verdict, detail = one(run("Failed", result(value="7"), terminate=True, metrics=[ERRORS]))
    assert (verdict, detail) == (Verdict.FAILED, "errors measured 7, wanted result < 1, fails at result > 5")


@pytest.mark.parametrize("results", [(), (result("Successful", dryRun=True),)])
def test_a_run_in_which_nothing_counts_is_no_pass(results):
    """A dry run lets everything through."""
    assert one(run("Successful", *results)) == (Verdict.NONE, "it measured nothing that counts")


def test_an_inconclusive_run_is_no_pass_and_says_what_it_measured():
    verdict, detail = one(run("Inconclusive", result("Inconclusive"), metrics=[ERRORS]))
    assert (verdict, detail) == (Verdict.NONE, "errors measured 3, wanted result < 1, fails at result > 5")


def test_a_phase_that_is_not_known_is_no_pass():
    assert one(run("Excellent", result("Successful")))[0] is Verdict.NONE


@pytest.mark.parametrize(
    ("metric", "detail"),
    [
        ({"name": "errors", "successCondition": "result < 1"}, "errors measured 3, wanted result < 1"),
        ({"name": "errors", "failureCondition": "result > 2"}, "errors measured 3, fails at result > 2"),
        ({"name": "latency", "successCondition": "result < 9"}, "errors measured 3"),
    ],
)
def test_a_failed_run_names_the_metric_its_value_and_its_condition(metric, detail):
    good = result("Successful", name="latency", value="2")
    assert one(run("Failed", good, result(), metrics=[metric])) == (Verdict.FAILED, detail)


def test_the_value_is_that_of_the_last_measurement_that_failed():
    several = result()
    several["measurements"] = [
        {"phase": "Failed", "value": "6"},
        {"phase": "Failed", "value": "8"},
        {"phase": "Successful", "value": "0"},
    ]
    assert one(run("Failed", several))[1] == "errors measured 8"


def test_a_metric_without_a_value_is_told_in_the_controllers_words():
    """A Job has none."""
    said = 'Metric "probe" assessed Failed due to failed (1) > failureLimit (0)'
    assert one(run("Failed", result(name="probe", value=""), message=said)) == (Verdict.FAILED, said)
    told = result(name="probe", value="", message="the Job failed")
    assert one(run("Failed", told, message=said)) == (Verdict.FAILED, "probe: the Job failed")


def test_a_run_that_could_not_measure_has_failed_as_it_has_for_the_controller():
    away = result("Error", value="", message="connection refused")
    assert one(run("Error", away)) == (Verdict.FAILED, "errors could not be measured: connection refused")
    assert one(run("Error", message="Analysis spec invalid")) == (Verdict.FAILED, "Analysis spec invalid")


def test_a_metric_that_fails_in_a_dry_run_is_not_blamed():
    dry, real = result(name="dry", dryRun=True), result(name="errors", value="9")
    assert one(run("Failed", dry, real))[1] == "errors measured 9"


def test_before_and_after_the_switch_are_two_checks_in_that_order():
    after, before = run("Running", sort="PostPromotion"), run("Successful", result("Successful"))
    assert found(after, before) == (
        Check(BEFORE, "argo", Verdict.PASSED),
        Check(AFTER, "argo", Verdict.RUNNING),
    )


def test_of_several_runs_the_newest_counts():
    old, new = run("Failed", result()), run("Running", made="2026-11-26T23:14:00Z")
    assert one(old, new) == one(new, old) == (Verdict.RUNNING, "")


def test_runs_of_another_version_or_for_something_else_are_not_shown():
    other, step = run("Successful", result("Successful")), run("Failed", sort="Step")
    other["metadata"]["labels"]["rollouts-pod-template-hash"] = "6f9c8"
    assert found(other, step) == ()
    assert found(wanted="", of=rollout("", prePromotionAnalysisRunStatus={"status": "Failed"})) == ()


@pytest.mark.parametrize(
    ("status", "verdict", "detail"),
    [
        ({"name": "r", "status": "Running"}, Verdict.RUNNING, ""),
        ({"name": "r", "status": "Successful"}, Verdict.PASSED, ""),
        ({"name": "r", "status": "Failed", "message": "errors"}, Verdict.FAILED, "errors"),
        ({"name": "r", "status": "Inconclusive", "message": "errors"}, Verdict.NONE, "errors"),
        (
            {"name": "r", "status": "Successful", "message": "Run Terminated"},
            Verdict.NONE,
            "it was called off before it was over",
        ),
    ],
)
def test_without_a_right_to_read_runs_the_rollout_s_summary_tells(status, verdict, detail):
    of = rollout(prePromotionAnalysisRunStatus=status)
    assert found(of=of) == (Check(BEFORE, "argo", verdict, detail),)
    assert found(of=rollout("another", prePromotionAnalysisRunStatus=status)) == ()


def test_a_summary_of_a_run_that_an_abort_has_called_off_is_not_believed():
    of = rollout(postPromotionAnalysisRunStatus={"name": "r", "status": "Running"})
    of["status"]["abort"] = True
    assert found(of=of) == (Check(AFTER, "argo", Verdict.NONE, "it was called off before it was over"),)


def test_the_run_itself_is_asked_before_the_summary():
    of = rollout(prePromotionAnalysisRunStatus={"name": "r", "status": "Successful"})
    assert one(run("Successful", result("Successful"), terminate=True), of=of)[0] is Verdict.NONE


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def places(item, path=()):
    inner = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


SOUND = [
    run("Failed", result(), metrics=[ERRORS]),
    run("Successful", result("Successful"), terminate=True),
    run("Inconclusive", result("Inconclusive"), metrics=[ERRORS]),
]


@given(st.sampled_from(SOUND), st.data(), JUNK)
def test_whatever_stands_in_a_run_it_is_told_and_never_turned_into_a_pass(sound, data, junk):
    """I9. Only of a run that was called off, and whose every trace of that is gone, nobody could know."""
    odd = copy.deepcopy(sound)
    *parents, last = data.draw(st.sampled_from(sorted(places(odd), key=str)))
    item = odd
    for key in parents:
        item = item[key]
    item[last] = junk
    shown = found(odd)
    if sound["status"]["phase"] != "Successful":
        assert all(check.verdict is not Verdict.PASSED for check in shown)
    assert all(isinstance(check.detail, str) for check in shown)
