"""The Job controller of the sandbox: what it makes of pods that end, in virtual time."""

import pytest

from sandbox.cluster import ApiError, Behaviour, Cluster

BEHAVIOURS = {"": Behaviour(ready_after=5.0), "bad": Behaviour(crash="no"), "lasts": Behaviour(ready_after=3600.0)}


def job(image, **spec):
    pod = {"restartPolicy": "Never", "containers": [{"name": "one", "image": f"registry.example.com/one:{image}"}]}
    metadata = {"name": "one", "namespace": "mochi"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {**spec, "template": {"spec": pod}}}


@pytest.fixture
def cluster():
    return Cluster(behaviours=BEHAVIOURS)


def started(cluster, *items):
    cluster.apply(items)
    cluster.settle()
    return cluster


def conditions(cluster):
    status = cluster.objects.get("jobs", "mochi", "one")["status"]
    return [(each["type"], each["reason"]) for each in status.get("conditions", ())]


def pods(cluster):
    return cluster.objects.items("pods", "mochi")


def test_a_job_is_complete_when_its_pod_succeeded(cluster):
    started(cluster, job("ok"))
    assert (conditions(cluster), cluster.objects.get("jobs", "mochi", "one")["status"]["active"]) == ([], 1)
    cluster.advance(6)
    assert conditions(cluster) == [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]
    [pod] = pods(cluster)
    assert pod["status"]["phase"] == "Succeeded"
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "one"


def test_it_tries_as_often_as_its_backoff_limit_says(cluster):
    started(cluster, job("bad", backoffLimit=2)).advance(1)
    assert conditions(cluster) == [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]
    ends = [pod["status"]["containerStatuses"][0]["state"]["terminated"] for pod in pods(cluster)]
    assert [(end["exitCode"], end["message"]) for end in ends] == [(1, "no")] * 3


def test_a_pod_that_somebody_deletes_has_failed(cluster):
    started(cluster, job("lasts", backoffLimit=0))
    cluster.objects.delete("pods", "mochi", pods(cluster)[0]["metadata"]["name"], grace=0)
    cluster.settle()
    assert conditions(cluster)[-1] == ("Failed", "BackoffLimitExceeded")
    assert pods(cluster) == []


def test_its_deadline_ends_it_and_its_pods(cluster):
    started(cluster, job("lasts", activeDeadlineSeconds=60)).advance(59)
    assert conditions(cluster) == []
    cluster.advance(62)
    assert conditions(cluster)[-1] == ("Failed", "DeadlineExceeded")
    assert pods(cluster) == []


def test_it_goes_as_long_after_its_end_as_it_says_and_its_pods_with_it(cluster):
    started(cluster, job("ok", ttlSecondsAfterFinished=100)).advance(50)
    assert len(pods(cluster)) == 1
    cluster.advance(100)
    with pytest.raises(ApiError, match="not found"):
        cluster.objects.get("jobs", "mochi", "one")
    assert pods(cluster) == []


def test_a_pod_that_always_restarts_is_none_for_a_job(cluster):
    wrong = job("ok")
    wrong["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    with pytest.raises(ApiError, match="restartPolicy"):
        cluster.apply([wrong])
