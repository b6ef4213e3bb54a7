"""What the pod maker reports, without a cluster: the shapes that Greenlight's readiness rules look at."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from pod_status import Report, outcome_of

DIGEST = "sha256:" + "ab" * 32


def statuses(image: str, most: int = 6) -> list[dict]:
    """The first statuses of a pod, each a second later than the one before."""
    seconds = itertools.count()
    pod = {"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": [{"name": "myapp", "image": image}]}}
    report = Report(pod, "10.244.1.1", "10.0.0.1", {DIGEST: "slow"}, lambda: _second(next(seconds)))
    return [status for status, _ in itertools.islice(report.story(1, 1, 1), most)]


def _second(number: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)


def ready(status: dict) -> tuple[str, str]:
    [condition] = [c for c in status["conditions"] if c["type"] == "Ready"]
    return condition["status"], condition["lastTransitionTime"]


@pytest.mark.parametrize(
    ("image", "outcome"),
    [
        ("mochi:crash", "crash"),
        ("registry.example.com:5000/mochi:nopull", "nopull"),
        ("mochi:never", "never"),
        ("registry.example.com:5000/mochi", "ready"),
        ("mochi:crash-fixed", "ready"),
        (f"registry.example.com/mochi@{DIGEST}", "slow"),
        (f"registry.example.com/mochi:crash@{DIGEST}", "slow"),
        ("registry.example.com/mochi@sha256:" + "0" * 64, "ready"),
    ],
)
def test_the_tag_or_what_the_digest_stands_for_decides(image, outcome):
    assert outcome_of(image, {DIGEST: "slow"}) == outcome


def test_a_condition_keeps_its_transition_time_while_it_keeps_its_value():
    crashing = statuses("mochi:crash")
    assert {ready(status) for status in crashing} == {ready(crashing[0])}
    assert crashing[-1]["containerStatuses"][0]["restartCount"] > 1


@pytest.mark.parametrize(("tag", "course"), [("slow", ["False", "True"]), ("flaky", ["True", "False"])])
def test_readiness_that_changes_has_a_new_transition_time(tag, course):
    before, after = (ready(status) for status in statuses(f"mochi:{tag}"))
    assert [before[0], after[0]] == course
    assert after[1] > before[1]


def test_an_image_that_was_not_pulled_has_no_id():
    assert [s["containerStatuses"][0]["imageID"] for s in statuses("mochi:nopull")] == ["", ""]


def test_the_image_id_is_the_digest_that_was_asked_for_or_is_known_for_the_tag():
    ids = {
        statuses(image)[-1]["containerStatuses"][0]["imageID"] for image in ("a.b/mochi:slow", f"a.b/mochi@{DIGEST}")
    }
    assert ids == {f"a.b/mochi@{DIGEST}"}
