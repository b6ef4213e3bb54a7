"""Where a Rollout is: each rule with an object that the real controller left, and their order with all of them."""

import copy
from itertools import combinations

import pytest
from recordings import BLUE, NAMES, objects, recorded

from bot.clusters.api import ROLLOUT
from bot.clusters.argo.state import INCONCLUSIVE, PAUSE, State, is_observed, state
from bot.clusters.errors import Malformed
from bot.clusters.shape import sound

ROWS = {
    "observing": State.OBSERVING,
    "observing-in-a-pause": State.OBSERVING,
    "observing-a-deployment": State.OBSERVING,
    "invalid": State.INVALID,
    "aborted": State.ABORTED,
    "aborted-by-analysis": State.ABORTED,
    "aborted-stranded": State.ABORTED,
    "aborted-stranded-empty": State.ABORTED,
    "abort-lost": State.ABORTED,
    "timed-out": State.TIMED_OUT,
    "frozen": State.FROZEN,
    "frozen-in-a-pause": State.FROZEN,
    "inconclusive": State.UNDECIDED,
    "paused": State.PAUSED,
    "paused-from-a-deployment": State.PAUSED,
    "paused-with-the-old-hash": State.PAUSED,
    "paused-without-hash": State.PAUSED,
    "home-by-the-service": State.PAUSED,
    "active-with-unknown-hash": State.PAUSED,
    "resuming": State.RESUMING,
    "promotion-lost": State.RESUMING,
    "switched-before-the-deadline": State.RESUMING,
    "gate-running": State.ANALYSING,
    "preview-starting": State.STARTING,
    "cut-over-pending": State.STARTING,
    "first-starting": State.STARTING,
    "active-without-hash": State.STARTING,
    "verifying": State.VERIFYING,
    "healthy": State.HEALTHY,
    "live-with-deadline": State.HEALTHY,
    "live-without-deadline": State.HEALTHY,
    "home-for-good": State.HEALTHY,
    "live-with-unready-pods": State.DEGRADED,
}


def test_every_state_was_recorded_and_every_recording_has_its_state():
    assert set(ROWS) == set(NAMES)
    assert set(ROWS.values()) == set(State)


@pytest.mark.parametrize("name", NAMES)
def test_each_recorded_rollout_is_in_its_state(name):
    assert objects(name).state is ROWS[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_phase_that_the_controller_shows_decides_nothing(name):
    """It is late: still Healthy when a new version has come, and the same word for a release and a way back."""
    seen = objects(name)
    for phase in ("Healthy", "Degraded", "Progressing", "Paused", ""):
        seen.rollout["status"]["phase"] = phase
        assert state(seen.rollout, seen.active_hash, seen.workload) is ROWS[name]


# The order of the cases is their meaning: each is put on top of each that is asked later.


def _pause(rollout, reason):
    conditions = rollout["status"].setdefault("pauseConditions", [])
    conditions.append({"reason": reason, "startTime": "2026-11-26T23:12:25Z"})


def _progressing(rollout, reason):
    [progress] = [each for each in rollout["status"]["conditions"] if each["type"] == "Progressing"]
    progress["reason"] = reason


def observing(rollout):
    rollout["metadata"]["generation"] += 1


def invalid(rollout):
    rollout["status"]["conditions"].append({"type": "InvalidSpec", "status": "True", "reason": "InvalidSpec"})


def aborted(rollout):
    rollout["status"]["abort"] = True


def timed_out(rollout):
    _progressing(rollout, "ProgressDeadlineExceeded")


def frozen(rollout):
    rollout["spec"]["paused"] = True


def undecided(rollout):
    _pause(rollout, INCONCLUSIVE)


def paused(rollout):
    _pause(rollout, PAUSE)


def resuming(rollout):
    rollout["status"]["controllerPause"] = True


def analysing(rollout):
    rollout["status"]["currentPodHash"] = "abc"
    rollout["status"]["blueGreen"]["prePromotionAnalysisRunStatus"] = {"name": "gate", "status": "Running"}


def starting(rollout):
    rollout["status"]["currentPodHash"] = "def"


def verifying(rollout):
    rollout["status"]["stableRS"] = "abc"


def healthy(rollout):
    pass


def degraded(rollout):
    rollout["status"]["availableReplicas"] = 1


CASES = {
    observing: State.OBSERVING,
    invalid: State.INVALID,
    aborted: State.ABORTED,
    timed_out: State.TIMED_OUT,
    frozen: State.FROZEN,
    undecided: State.UNDECIDED,
    paused: State.PAUSED,
    resuming: State.RESUMING,
    analysing: State.ANALYSING,
    starting: State.STARTING,
    verifying: State.VERIFYING,
    degraded: State.DEGRADED,
    healthy: State.HEALTHY,
}


@pytest.mark.parametrize(("first", "later"), [*combinations(CASES, 2)], ids=lambda case: case.__name__)
def test_the_first_case_that_applies_is_the_state(first, later):
    rollout = recorded("healthy")["rollout"]
    for case in (later, first):
        case(rollout)
    assert state(rollout, BLUE) is CASES[first]


def test_a_rollout_that_was_told_to_retry_is_not_aborted_any_more():
    """`retry` writes `abort: false`, which stays there."""
    rollout = recorded("healthy")["rollout"]
    rollout["status"]["abort"] = False
    assert state(rollout, BLUE) is State.HEALTHY


def test_an_aborted_rollout_stays_aborted_when_only_its_condition_says_so():
    rollout = recorded("aborted")["rollout"]
    del rollout["status"]["abort"]
    assert state(rollout, BLUE) is State.ABORTED


def test_a_rollout_without_any_status_is_not_observed():
    rollout = recorded("healthy")["rollout"]
    del rollout["status"]
    assert state(rollout, "") is State.OBSERVING


def test_a_rollout_whose_replicas_somebody_else_counts_has_one():
    rollout = recorded("healthy")["rollout"]
    del rollout["spec"]["replicas"]
    rollout["status"] |= {"updatedReplicas": 1, "availableReplicas": 1}
    assert state(rollout, BLUE) is State.HEALTHY


@pytest.mark.parametrize(
    ("noted", "observed", "generation", "expected"),
    [
        ("4", "4", 4, True),
        ("4", "4", 5, False),  # the Deployment has changed, and nobody has noticed
        ("5", "4", 5, False),  # noted on the Rollout, and not taken up
        ("4", "5", 5, False),
        ("", "", 4, False),
    ],
)
def test_a_template_in_a_deployment_is_observed_when_rollout_and_status_name_its_generation(
    noted, observed, generation, expected
):
    rollout = recorded("healthy")["rollout"]
    rollout["spec"] = {"replicas": 2, "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mochi"}}
    rollout["metadata"]["annotations"]["rollout.argoproj.io/workload-generation"] = noted
    rollout["status"]["workloadObservedGeneration"] = observed
    holder = {"metadata": {"name": "mochi", "generation": generation}}
    assert is_observed(rollout, holder) is expected


def test_a_template_in_a_deployment_that_is_not_there_is_not_observed():
    rollout = recorded("healthy")["rollout"]
    rollout["spec"]["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mochi"}
    assert not is_observed(rollout, None)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_passes_the_door_has_a_state(name):
    """A null where the API server's types allow one is no surprise in the middle of a rule."""
    seen, tried = objects(name), 0
    whole = seen.rollout
    for path in _paths(whole):
        broken = copy.deepcopy(whole)
        parent = broken
        for step in path[:-1]:
            parent = parent[step]
        parent[path[-1]] = None
        try:
            sound(ROLLOUT, broken)
        except Malformed:
            continue
        assert state(broken, seen.active_hash, seen.workload) in State
        tried += 1
    assert tried > 40


def _paths(item, path=()):
    for key, value in item.items() if isinstance(item, dict) else enumerate(item):
        if key == "managedFields":
            continue
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*path, key))
