"""Gates that are Jobs: each passes when its Job ended well, and blocks in each other way in which a Job can end."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from mochi_jobs import LOAD, MIGRATE, NS, SCRIPT, config_map, cron_job, placed

from bot.clusters.errors import Away, Busy, Missing
from bot.gates.errand import Ended, bounded, name_of
from bot.gates.finding import Report
from bot.gates.job import judged
from bot.gates.k6 import NO_THRESHOLD
from bot.release import gates
from bot.release.snapshot import Verdict
from sandbox.cluster import wall_clock
from world import example

BOTH = pytest.mark.parametrize("gate", [LOAD, MIGRATE], ids=lambda gate: gate.kind)


@pytest.fixture
async def place(tmp_path, ready):
    async with placed(tmp_path, ready) as made:
        yield made


def lasting(gate):
    """The gate with a Job that does not end while a test runs."""
    return replace(gate, check=replace(gate.check, image="grafana/k6:1.4.1")) if gate.kind == "k6" else gate


def make_last(place):
    place.cluster.apply([cron_job("registry.example.com/migrate:lasts")])


# What passes and what fails ---------------------------------------------------------------------------------------


async def test_a_load_within_its_thresholds_passes_with_value_and_threshold(place):
    finding = await place.run(LOAD)
    assert finding.verdict is Verdict.PASSED
    assert finding.detail == "http_req_duration p(95) 12 ms < 300 ms; http_req_failed rate 0 % < 1 %"
    assert finding.report.rows[2:] == (("checks",), ("✓", "it answers", "600 of 600"))


async def test_a_job_that_completes_passes(place):
    finding = await place.run(MIGRATE)
    assert (finding.verdict, finding.detail) == (Verdict.PASSED, "exit code 0")


async def test_a_candidate_that_is_too_slow_fails_with_value_and_threshold(place):
    place.cluster.apply([config_map(**{"load.js": SCRIPT.replace("300", "10")})])
    finding = await place.run(LOAD)
    assert (finding.verdict, finding.detail) == (Verdict.FAILED, "http_req_duration p(95) 12 ms ≥ 10 ms")


async def test_a_job_whose_container_ends_with_an_error_fails_with_its_last_words(place):
    place.cluster.apply([cron_job("registry.example.com/migrate:bad")])
    finding = await place.run(MIGRATE)
    assert finding.verdict is Verdict.FAILED
    assert finding.detail == "container migrate ended with exit code 1: two migrations are missing"


@pytest.mark.parametrize(("code", "verdict"), [(0, Verdict.PASSED), (1, Verdict.FAILED)])
def test_how_a_sidecar_ends_says_nothing_of_the_job(code, verdict):
    """The kubelet stops it once the others have ended, and Kubernetes does not ask for its exit code either."""

    def ended(name, code):
        return {"name": name, "state": {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}}

    pod = {
        "spec": {"initContainers": [{"name": "prepare"}, {"name": "proxy", "restartPolicy": "Always"}]},
        "status": {
            "initContainerStatuses": [ended("prepare", 0), ended("proxy", 143)],
            "containerStatuses": [ended("migrate", code)],
        },
    }
    finding = judged(None, Ended(code == 0, "BackoffLimitExceeded", [pod]))
    assert finding.verdict is verdict


# Each other way is no verdict -------------------------------------------------------------------------------------


@BOTH
async def test_a_job_that_is_deleted_while_it_runs_is_no_verdict(place, gate):
    make_last(place)
    finding = await place.run(lasting(gate), place.delete_job)
    assert finding.verdict is Verdict.NONE
    assert finding.detail.endswith("was deleted before it ended")
    made = [write for write in place.cluster.server.writes if (write.method, write.status) == ("POST", 201)]
    assert len(made) == 1  # another run would be one that nobody asked for


@BOTH
async def test_another_job_in_its_place_is_no_verdict(place, gate):
    """A result of somebody else's would count for the candidate."""
    make_last(place)

    def swap():
        job = place.job
        place.delete_job()
        kept = {key: job["metadata"][key] for key in ("name", "namespace", "labels")}
        place.cluster.objects.create("jobs", NS, {"metadata": kept, "spec": job["spec"]})

    finding = await place.run(lasting(gate), swap)
    assert (finding.verdict, "deleted" in finding.detail) == (Verdict.NONE, True)


@BOTH
async def test_somebody_elses_job_of_that_name_is_no_verdict_and_stays(place, gate):
    name = place.begun(gate)
    pod = {"restartPolicy": "Never", "containers": [{"name": "k6", "image": "other:ok"}]}
    place.cluster.objects.create("jobs", NS, {"metadata": {"name": name}, "spec": {"template": {"spec": pod}}})
    finding = await place.run(gate)
    assert (finding.verdict, finding.detail) == (Verdict.NONE, f"Job {name} is not of Greenlight's making")
    assert place.job["metadata"]["name"] == name


@BOTH
async def test_an_image_that_cannot_be_pulled_is_no_verdict_at_once_and_its_job_goes(place, gate):
    place.cluster.apply([cron_job("registry.example.com/migrate:nopull")])
    if gate.kind == "k6":
        gate = replace(gate, check=replace(gate.check, image="grafana/k6:nopull"))
    finding = await place.run(gate)
    assert finding.verdict is Verdict.NONE
    assert finding.detail.startswith("its container cannot start (ImagePullBackOff: Back-off pulling image")
    assert place.found == []


@BOTH
async def test_an_evicted_pod_is_no_verdict(place, gate):
    make_last(place)

    def evict():
        place.ends(1, "stopped in the middle")
        place.status_of_pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")

    finding = await place.run(lasting(gate), evict)
    assert finding.verdict is Verdict.NONE
    assert finding.detail == "its pod was stopped (Evicted: The node was low on resource: memory.)"


@BOTH
async def test_a_deleted_pod_is_no_verdict(place, gate):
    make_last(place)

    def delete():
        place.cluster.objects.delete("pods", NS, place.pod["metadata"]["name"], grace=0)

    finding = await place.run(lasting(gate), delete)
    assert finding.verdict is Verdict.NONE
    assert "without a result" in finding.detail


@BOTH
async def test_a_pod_out_of_memory_is_no_verdict(place, gate):
    make_last(place)
    finding = await place.run(lasting(gate), lambda: place.ends(137, reason="OOMKilled"))
    assert (finding.verdict, "killed" in finding.detail) == (Verdict.NONE, True)


@BOTH
async def test_a_job_beyond_its_deadline_is_no_verdict_and_ends(place, gate):
    make_last(place)
    finding = await place.run(replace(lasting(gate), timeout=timedelta(seconds=1)))
    assert (finding.verdict, "not through after 1 s" in finding.detail) == (Verdict.NONE, True)
    # Whoever of the two was first: Greenlight, or Kubernetes by the Job's own deadline.
    assert [job for job in place.found if "conditions" not in job["status"]] == []


@BOTH
async def test_a_job_whose_own_deadline_ended_it_is_no_verdict(place, gate):
    make_last(place)

    def end():
        told = {"status": "True", "reason": "DeadlineExceeded", "message": "longer than specified"}
        moment = wall_clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        now = {"lastTransitionTime": moment, "lastProbeTime": moment}
        body = {**place.job, "status": {"conditions": [{"type": "Failed", **told, **now}]}}
        place.cluster.objects.replace("jobs", NS, body["metadata"]["name"], body, subresource="status")

    finding = await place.run(lasting(gate), end)
    assert (finding.verdict, finding.detail) == (Verdict.NONE, "it was not through after 30 s, and was stopped")


@BOTH
async def test_a_job_without_a_pod_is_no_verdict(place, gate):
    """A quota or an admission webhook may refuse the pod for good, and the Job does not say so."""
    with place.cluster.paused():
        finding = await place.run(gate)
    assert finding.verdict is Verdict.NONE
    assert finding.detail.startswith("no pod was made for it; kubectl describe job ")
    assert place.found == []


@BOTH
async def test_a_missing_right_is_no_verdict_and_says_the_rule(place, gate):
    place.cluster.access.deny("create", "jobs")
    finding = await place.run(gate)
    assert finding.verdict is Verdict.NONE
    assert "add to its Role in mochi: `- {apiGroups: [batch], resources: [jobs], verbs: [create]}`" in finding.detail


@BOTH
async def test_a_job_that_the_api_server_refuses_is_no_verdict(place, gate):
    wrong = cron_job()
    wrong["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"] = []
    place.cluster.apply([wrong])
    if gate.kind == "k6":
        gate = replace(gate, check=replace(gate.check, image=" "))
    finding = await place.run(gate)
    assert (finding.verdict, "refused to create jobs" in finding.detail) == (Verdict.NONE, True)


async def test_a_missing_configmap_a_missing_key_and_a_missing_cronjob_are_no_verdict(place):
    place.cluster.apply([config_map(**{"smoke.js": SCRIPT})])
    finding = await place.run(LOAD)
    assert (finding.verdict, finding.detail) == (Verdict.NONE, "ConfigMap mochi-k6 has no load.js; it has smoke.js")
    place.cluster.objects.delete("configmaps", NS, "mochi-k6")
    finding = await place.run(LOAD)
    assert (finding.verdict, finding.detail) == (Verdict.NONE, "there is no ConfigMap mochi-k6 in namespace mochi")
    place.cluster.objects.delete("cronjobs", NS, "mochi-migrate-check")
    finding = await place.run(MIGRATE)
    assert (finding.verdict, finding.detail) == (
        Verdict.NONE,
        "there is no CronJob mochi-migrate-check in namespace mochi",
    )


async def test_a_script_without_a_threshold_is_no_verdict(place):
    place.cluster.apply([config_map(**{"load.js": "export default function () {}"})])
    assert (await place.run(LOAD)).detail == NO_THRESHOLD


def report(rows, label="mochi-7-k3f9q2", **more):
    return json.dumps({"label": label, "thresholds": rows, **more})


GOOD = ["http_req_duration", "p(95)<300", True, 212.3, 40, "ms"]


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (0, "", "k6 left no summary that can be read: nothing"),
        (0, "{", "k6 left no summary that can be read: {"),
        (0, "[]", "k6 left no summary that can be read: []"),
        (0, report([["x"]]), "k6 left no summary that can be read"),
        (0, report([["x", "p(95) is 5", True, 1, 1, "ms"]]), "k6 left no summary that can be read"),
        (0, report([]), NO_THRESHOLD),
        (99, report([]), NO_THRESHOLD),
        (0, report([GOOD], "mochi-6-aaaaaa"), "the result is of mochi-6-aaaaaa, not of mochi-7-k3f9q2"),
        (99, report([GOOD]), "k6's exit code and its summary contradict each other"),
        (
            0,
            report([GOOD, ["checks", "rate>0.9", False, 0.5, 4, "%"]]),
            "k6's exit code and its summary contradict each other",
        ),
        (0, report([["a", "p(95)<300", True, 312, 4, "ms"]]), "k6 contradicts itself: a p(95) 312 ms < 300 ms"),
        (0, report([["a", "p(95)<300", True, 0, 0, "ms"]]), "there is no data for a p(95): k6 took not one sample"),
        (0, report([["a", "value<300", True, None, None, ""]]), "there is no data for a value: k6 took not one sample"),
        (0, report([["a", "value<300", True, float("nan"), None, ""]]), "there is no data for a value"),
        (0, report([], many=90), "90 thresholds are more than fit into 4096 bytes: set fewer"),
        (107, "x\nError: boom\n", "k6 ended with exit code 107: its script threw an exception: Error: boom"),
        (105, report([GOOD]), "k6 ended with exit code 105: it was stopped from outside"),
        (1, "", "k6 ended with exit code 1"),
        (137, report([GOOD]), "k6 ended with exit code 137"),
    ],
)
async def test_whatever_k6_says_that_is_no_clear_result_is_no_verdict(place, code, message, expected):
    finding = await place.run(lasting(LOAD), lambda: place.ends(code, message))
    assert finding.verdict is Verdict.NONE
    assert finding.detail.startswith(expected)


ALL_OF_IT = (
    ("✓", "http_req_duration p(95)", "212.3 ms < 300 ms"),
    ("✗", "checks rate", "50 % ≤ 90 %"),
    ("checks",),
    ("✓", "it is grün", "6 of 6"),
    ("✗", "it has a price", "2 of 6"),
    ("✗", "it was never asked", "0 of 0"),
)


async def test_the_whole_result_is_told_with_k6s_own_report(place):
    rows = [GOOD, ["checks", "rate>0.9", False, 0.5, 4, "%"]]
    checks = [["it is grün", 6, 0], ["it has a price", 2, 4], ["it was never asked", 0, 0]]
    message = report(rows, checks=checks)
    finding = await place.run(lasting(LOAD), lambda: place.ends(99, message))
    assert finding.report == Report(message, ALL_OF_IT)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"checks": []}, ()),
        ({}, (("the checks did not fit into the report",),)),
        ({"checks": [["x"], "y", ["z", "1", 2], None]}, ()),
    ],
)
async def test_checks_that_are_not_there_or_no_checks_leave_the_result_as_it_is(place, more, told):
    finding = await place.run(lasting(LOAD), lambda: place.ends(0, report([GOOD], **more)))
    assert (finding.verdict, finding.report.rows) == (Verdict.PASSED, (ALL_OF_IT[0], *told))


async def test_a_result_that_is_no_verdict_is_told_whole_too(place):
    """Whoever repeats the gate or accepts it wants to know."""
    finding = await place.run(lasting(LOAD), lambda: place.ends(99, report([GOOD], checks=[])))
    assert (finding.verdict, finding.report.rows) == (Verdict.NONE, (ALL_OF_IT[0],))


async def test_the_report_of_another_release_is_not_told(place):
    finding = await place.run(lasting(LOAD), lambda: place.ends(0, report([GOOD], "mochi-6-aaaaaa")))
    assert finding.report is None


async def test_thresholds_that_failed_are_all_told(place):
    rows = [GOOD, ["checks", "rate>0.9", False, 0.5, 4, "%"], ["errors", "count<1", False, 3, None, ""]]
    finding = await place.run(lasting(LOAD), lambda: place.ends(99, report(rows)))
    assert (finding.verdict, finding.detail) == (Verdict.FAILED, "checks rate 50 % ≤ 90 %; errors count 3 ≥ 1")


# The Job itself ---------------------------------------------------------------------------------------------------


@BOTH
async def test_the_job_runs_once_for_no_longer_than_the_gate_and_serves_nobody(place, gate):
    name = place.begun(gate)
    await place.run(gate)
    spec, metadata = place.job["spec"], place.job["metadata"]
    owner = {
        "app.kubernetes.io/managed-by": "greenlight",
        "greenlight.dev/gate-of": "mochi-7-k3f9q2",
        "greenlight.dev/gate": gate.name,
    }
    assert (metadata["name"], metadata["labels"]) == (name, owner)
    assert len(name) <= 63
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 30, 3600)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    labels = spec["template"]["metadata"]["labels"]
    assert owner.items() <= labels.items()
    assert "greenlight.dev/release" not in labels  # by that one its pods would get traffic


@BOTH
async def test_each_container_is_told_what_it_is_about(place, gate):
    await place.run(gate)
    [container] = place.job["spec"]["template"]["spec"]["containers"]
    told = [(each["name"], each["value"]) for each in container["env"]]
    assert len(dict(told)) == len(told)
    assert {
        "PREVIEW_URL": "http://mochiapp-preview.mochi.svc:80",
        "RELEASE_LABEL": "mochi-7-k3f9q2",
        "RELEASE_IMAGE": place.release.image,
        "RELEASE_APP": "mochi",
        "RELEASE_NAMESPACE": "mochi",
    }.items() <= dict(told).items()


async def test_k6_may_do_nothing_but_run(place):
    await place.run(LOAD)
    pod = place.job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "512Mi"}
    # Kubernetes takes $(VUS) for a reference; the file means what it says.
    assert {"name": "PRICE", "value": "$$(VUS) $$5"} in container["env"]


def test_what_would_start_pods_again_is_not_taken_from_a_template(ready):
    release = gates.begin(ready, [MIGRATE], ready.since)
    wild = {"backoffLimitPerIndex": 3, "podFailurePolicy": {"rules": []}, "suspend": True, "manualSelector": True}
    spec = bounded({**wild, "completions": 2, "template": {}}, example(), release, MIGRATE)["spec"]
    assert spec.keys() == {
        "completions",
        "backoffLimit",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
        "template",
    }


async def test_a_job_whose_pods_would_get_the_live_traffic_is_not_even_made(place):
    """Of what was there before Greenlight the Service finds the pods by labels that a template may have, too."""
    job = cron_job()
    labels = job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    labels |= place.release.previous.selector
    place.cluster.apply([job])
    finding = await place.run(MIGRATE)
    assert (finding.verdict, finding.detail) == (
        Verdict.NONE,
        "its pods would get live traffic: leave one of the labels app=mochi, color=blue out of its template",
    )
    assert place.found == []


def test_a_name_is_that_of_one_run(ready):
    one = gates.begin(ready, [LOAD, MIGRATE], ready.since)
    later = gates.begin(one, [LOAD], ready.since + timedelta(seconds=10))
    other = gates.begin(replace(ready, template="changed"), [LOAD], ready.since)
    names = {name_of(one, LOAD), name_of(one, MIGRATE), name_of(later, LOAD), name_of(other, LOAD)}
    assert len(names) == 4
    assert name_of(one, MIGRATE) == name_of(later, MIGRATE)


async def left_running(place, gate):
    """The gate, whose Job is there, and nobody waits for it any more."""
    gate = lasting(gate)
    place.begun(gate)
    task = asyncio.create_task(place.run(gate))
    await place.there()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return gate


@BOTH
async def test_a_job_is_found_again_after_a_restart_and_goes_on(place, gate):
    make_last(place)
    gate = await left_running(place, gate)
    before = place.job["metadata"]["uid"]
    finding = await place.run(gate, lambda: None, lambda: place.ends(0, report([GOOD])))
    assert finding.verdict is Verdict.PASSED
    assert place.job["metadata"]["uid"] == before


@BOTH
@pytest.mark.parametrize("trouble", [Away("no answer"), Busy("too much to do")])
async def test_a_job_goes_on_while_the_api_server_does_not_answer(place, gate, trouble):
    make_last(place)
    gate, job = lasting(gate), place.jobs.job

    async def no_answer(*_):
        raise trouble

    def goes():
        place.jobs.job = no_answer

    def is_back():
        place.jobs.job = job
        place.ends(0, report([GOOD]))

    finding = await place.run(gate, lambda: None, goes, lambda: None, is_back)
    assert finding.verdict is Verdict.PASSED
    assert len(place.found) == 1


@BOTH
async def test_a_job_whose_making_got_no_answer_is_made_once(place, gate):
    made, create = [], place.jobs.create

    async def lost(app, job):
        made.append(job["metadata"]["name"])
        await create(app, job)
        raise Away("no answer")

    place.jobs.create = lost
    finding = await place.run(gate)
    assert (finding.verdict, len(made)) == (Verdict.PASSED, 1)


@BOTH
async def test_a_gate_that_is_cut_off_takes_its_job_along(place, gate):
    make_last(place)
    gate = await left_running(place, gate)
    await place.check(gate).cut_off(example(), place.release, gate)
    assert place.found == []


@BOTH
@pytest.mark.parametrize("first", [Away("no answer"), Busy("too much to do"), Missing("it is still on its way")])
async def test_a_gate_that_is_cut_off_takes_its_job_along_though_it_is_not_found_at_once(place, gate, first):
    make_last(place)
    gate = await left_running(place, gate)
    job, trouble = place.jobs.job, [first]

    async def at_last(*named):
        if trouble:
            raise trouble.pop()
        return await job(*named)

    place.jobs.job = at_last
    await place.check(gate).cut_off(example(), place.release, gate)
    assert place.found == []


async def test_a_job_that_cannot_be_taken_away_is_left_to_its_deadline(place):
    place.begun(LOAD)

    async def away(*_):
        raise Away("no answer")

    place.jobs.job = away
    async with asyncio.timeout(5):
        await place.check(LOAD).cut_off(example(), place.release, LOAD)


@BOTH
async def test_what_ended_stays_to_be_looked_at(place, gate):
    await place.run(gate)
    await place.check(gate).cut_off(example(), place.release, gate)
    assert len(place.found) == 1
