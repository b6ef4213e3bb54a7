"""Job → Pod: one after the other until one succeeds, or as many failed as may, or its time is over.

What of the real Job controller is not here: parallel pods, indices, pod failure policies, pauses between attempts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.cluster.controllers import (
    MANAGER,
    PerNamespace,
    by_owner,
    condition,
    earliest,
    is_active,
    owner_reference,
)
from sandbox.cluster.objects import Objects, timestamp
from sandbox.cluster.patches import Json, copied


class Jobs(PerNamespace):
    """The Job controller, and the one that deletes what ended (ttlSecondsAfterFinished)."""

    def look(self, objects: Objects, namespace: str, now: datetime) -> datetime | None:
        owned = by_owner(objects.items("pods", namespace))
        jobs = objects.items("jobs", namespace)
        return earliest([_one(objects, job, owned.get(job["metadata"]["uid"], []), now) for job in jobs])


def _one(objects: Objects, job: Json, pods: list[Json], now: datetime) -> datetime | None:
    metadata, spec, status = job["metadata"], job["spec"], job["status"]
    if "deletionTimestamp" in metadata:
        return None
    if ended := condition(job, "Complete") or condition(job, "Failed"):
        return _outlived(objects, job, ended, now)
    started = _time(status["startTime"]) if "startTime" in status else now
    over = started + timedelta(seconds=spec["activeDeadlineSeconds"]) if "activeDeadlineSeconds" in spec else None
    active = [pod for pod in pods if is_active(pod)]
    succeeded = sum(pod["status"].get("phase") == "Succeeded" for pod in pods)
    # Whatever it once made and is neither of the two has failed, also what somebody deleted.
    failed = sum(status.get(key, 0) for key in ("active", "failed", "succeeded")) - len(active) - succeeded
    counts = {"active": len(active), "succeeded": succeeded, "failed": failed}
    if succeeded:
        _report(objects, job, counts, started, now, ("Complete", "CompletionsReached", "Reached completions"))
        return None
    if failed > spec["backoffLimit"]:
        why = ("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        _report(objects, job, counts, started, now, why)
        return None
    if over is not None and over <= now:
        for pod in active:
            objects.delete("pods", metadata["namespace"], pod["metadata"]["name"])
        counts = {"failed": failed + len(active)}
        why = ("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
        _report(objects, job, counts, started, now, why)
        return None
    if not active:
        _born(objects, job)
        counts["active"] = 1
    _report(objects, job, counts, started, now)
    return over


def _outlived(objects: Objects, job: Json, ended: Json, now: datetime) -> datetime | None:
    """Deletes what ended as long ago as it says."""
    if "ttlSecondsAfterFinished" not in job["spec"]:
        return None
    end = _time(ended["lastTransitionTime"]) + timedelta(seconds=job["spec"]["ttlSecondsAfterFinished"])
    if now < end:
        return end
    objects.delete("jobs", job["metadata"]["namespace"], job["metadata"]["name"], propagation="Background")
    return None


def _report(
    objects: Objects,
    job: Json,
    counts: dict[str, int],
    started: datetime,
    now: datetime,
    ended: tuple[str, str, str] | None = None,
) -> None:
    status: Json = {**{key: value for key, value in counts.items() if value}, "startTime": timestamp(started)}
    if ended:
        kind, reason, message = ended
        since = timestamp(now)
        told = {"status": "True", "lastProbeTime": since, "lastTransitionTime": since}
        first = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
        status["conditions"] = [{"type": each, **told, "reason": reason, "message": message} for each in (first, kind)]
        if kind == "Complete":
            status["completionTime"] = since
    if status != job["status"]:
        metadata = job["metadata"]
        body = {**job, "status": status}
        objects.replace("jobs", metadata["namespace"], metadata["name"], body, subresource="status", manager=MANAGER)


def _born(objects: Objects, job: Json) -> None:
    metadata, template = job["metadata"], copied(job["spec"]["template"])
    own = {"batch.kubernetes.io/controller-uid": metadata["uid"], "batch.kubernetes.io/job-name": metadata["name"]}
    own |= {"controller-uid": metadata["uid"], "job-name": metadata["name"]}
    body = {
        "metadata": {
            **template["metadata"],
            "labels": {**(template["metadata"].get("labels") or {}), **own},
            "generateName": f"{metadata['name']}-",
            "ownerReferences": [owner_reference(job)],
        },
        "spec": template["spec"],
    }
    objects.create("pods", metadata["namespace"], body, manager=MANAGER)


def _time(written: str) -> datetime:
    return datetime.strptime(written, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
