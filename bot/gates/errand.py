"""A gate that is a Job: made once for each run, found again by its name after a restart, looked at until it ended.

It ends by its own deadline even if nobody looks. What is not its own end, as it was meant to be, is no verdict: it was
deleted, taken over, cut short, its pod is gone or cannot start.
"""

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from bot.clusters.errors import Away, Busy, ClusterError, Missing, Stale
from bot.clusters.raw import items, mapping, text
from bot.gates.finding import Finding, cut, unclear
from bot.release import gates
from bot.release.app import App, Gate
from bot.release.record import Release

log = structlog.get_logger()

Json = dict[str, Any]

MANAGED_BY, OF_RELEASE, OF_GATE = "app.kubernetes.io/managed-by", "greenlight.dev/gate-of", "greenlight.dev/gate"
"""Labels of the Job and its pods. Not the one by which traffic finds a release: its pods serve nobody."""
EVERY = 2.0
"""Seconds between two looks."""
LOOKS_WITHOUT_POD = 15
LOOKS_TO_CUT_OFF = 5
KEPT_FOR = 3600
"""Seconds for which a Job that ended can be looked at with kubectl."""
SHOWN = 200
LONGEST_NAME = 63
"""The name of a Job becomes a label of its pods."""
CANNOT_START = {
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
}
"""Waiting reasons that nobody has to wait for: within a gate's time-out they do not end by themselves."""
KILLED = 128
"""Exit codes above it are signals, to whoever runs a command by `sh`."""


class Jobs(Protocol):
    """The door to the cluster. Everything may raise any `ClusterError`."""

    async def job(self, app: App, name: str) -> Json: ...

    async def create(self, app: App, job: Json) -> None:
        """Raises `Stale` when its name is taken, or it is not valid."""

    async def delete(self, app: App, name: str) -> None: ...

    async def pods(self, app: App, job: Json) -> list[Json]: ...

    async def template(self, app: App, cronjob: str) -> Json:
        """The `jobTemplate` of a CronJob."""

    async def keys(self, app: App, configmap: str) -> frozenset[str]: ...


@dataclass(frozen=True)
class Ended:
    """A Job that ended."""

    complete: bool
    said: str
    """Why it failed, in the words of Kubernetes."""
    pods: Sequence[Json]


class NoVerdictError(Exception):
    """The text says why."""


Spec = Callable[[App, Release, Gate], Awaitable[Json]]
"""The `spec` of the Job, of which `bounded` takes what it may keep. Raises `NoVerdictError` and `ClusterError`."""
Judge = Callable[[Release, Ended], Finding]


class Errand:
    """A `Check` by a Job. `pause` waits so many seconds."""

    def __init__(
        self, jobs: Jobs, spec: Spec, judge: Judge, pause: Callable[[float], Awaitable[Any]] = asyncio.sleep
    ) -> None:
        self._jobs = jobs
        self._spec = spec
        self._judge = judge
        self._pause = pause

    async def __call__(self, app: App, release: Release, gate: Gate) -> Finding:
        try:
            return await self._ran(app, release, gate)
        except (NoVerdictError, ClusterError) as why:
            with suppress(ClusterError):  # its own deadline ends it too
                await self._taken_away(app, release, gate)
            return unclear(str(why))

    async def cut_off(self, app: App, release: Release, gate: Gate) -> None:
        """Delete what runs for a gate that nobody waits for any more. Never raises: its own deadline ends it too.

        It is looked for a few times: the request that makes it may still be on its way.
        """
        trouble = ""
        for _ in range(LOOKS_TO_CUT_OFF):
            try:
                if await self._taken_away(app, release, gate):
                    return
            except (Away, Busy) as why:
                trouble = str(why)
            except ClusterError as why:
                trouble = str(why)
                break
            await self._pause(EVERY)
        if trouble:
            log.warning("a gate's Job goes on until its deadline", job=name_of(release, gate), reason=trouble)

    async def _taken_away(self, app: App, release: Release, gate: Gate) -> bool:
        """False when there is no Job. Raises `ClusterError`."""
        name = name_of(release, gate)
        try:
            found = await self._jobs.job(app, name)
            if _is_ours(found, release, gate) and _end(found) is None:
                await self._jobs.delete(app, name)
        except Missing:
            return False
        return True

    async def _ran(self, app: App, release: Release, gate: Gate) -> Finding:
        now, name = asyncio.get_running_loop().time, name_of(release, gate)
        seconds = gate.timeout.total_seconds()
        limit = now() + max(seconds - EVERY, seconds / 2)
        uid, without_pod, trouble = "", 0, "it did not begin"
        while now() < limit:
            try:
                job = await self._there(app, release, gate, name, known=bool(uid))
                pods = await self._jobs.pods(app, job)
            except (Away, Busy) as why:
                trouble = str(why)
                await self._pause(EVERY)
                continue
            metadata = mapping(job.get("metadata"))
            if not _is_ours(job, release, gate):
                raise NoVerdictError(f"Job {name} is not of Greenlight's making")
            if metadata.get("deletionTimestamp") or (uid and text(metadata.get("uid")) != uid):
                raise NoVerdictError(f"Job {name} was deleted before it ended")
            uid = text(metadata.get("uid"))
            if (ended := _end(job)) is not None:
                complete, reason, said = ended
                if reason == "DeadlineExceeded":
                    raise NoVerdictError(f"it was not through after {seconds:g} s, and was stopped")
                return self._judge(release, Ended(complete, said, pods))
            without_pod = 0 if pods else without_pod + 1
            if without_pod > LOOKS_WITHOUT_POD:
                raise NoVerdictError(f"no pod was made for it; kubectl describe job {name} says why")
            trouble = _trouble(pods)
            await self._pause(EVERY)
        raise NoVerdictError(f"it was not through after {seconds:g} s: {trouble}")

    async def _there(self, app: App, release: Release, gate: Gate, name: str, *, known: bool) -> Json:
        """The Job, made if it is not there yet."""
        with suppress(Missing):
            return await self._jobs.job(app, name)
        if known:
            raise NoVerdictError(f"Job {name} was deleted before it ended")
        job = bounded(await self._spec(app, release, gate), app, release, gate)
        try:
            await self._jobs.create(app, job)
        except Stale as why:
            refused = str(why)
        else:
            refused = f"Job {name} was deleted before it ended"
        try:
            # It is there: made now, or by a request whose answer was lost.
            return await self._jobs.job(app, name)
        except Missing:
            raise NoVerdictError(refused) from None


def name_of(release: Release, gate: Gate) -> str:
    """The same for one run of a gate, and for no other."""
    run = gates.result_of(gate, release)
    if run is None:
        raise ValueError(f"gate {gate.name} of {release.title} has not begun")
    told = f"{release.label} {gate.name} {run.template} {run.began_at.isoformat()}"
    unique = hashlib.sha256(told.encode()).hexdigest()[:10]
    readable = f"{release.label}-{gate.name}"[: LONGEST_NAME - len(unique) - 1].rstrip("-.")
    return f"{readable}-{unique}"


def labels_of(release: Release, gate: Gate) -> Mapping[str, str]:
    return {MANAGED_BY: "greenlight", OF_RELEASE: release.label, OF_GATE: gate.name}


def environment(release: Release, app: App, preview: str) -> Mapping[str, str]:
    """What every container of a gate is told."""
    return {
        "PREVIEW_URL": preview,
        "RELEASE_LABEL": release.label,
        "RELEASE_IMAGE": release.image,
        "RELEASE_APP": app.name,
        "RELEASE_NAMESPACE": app.namespace,
    }


_TAKEN = ("parallelism", "completions", "completionMode", "successPolicy")
"""What a Job may say for itself. Whatever would start a pod again, or let it live longer, it may not."""


def bounded(spec: Json, app: App, release: Release, gate: Gate) -> Json:
    """The Job with this spec: once, for no longer than the gate may take. Raises `NoVerdictError` for one whose pods
    the active Service would find.
    """
    template, mine = mapping(spec.get("template")), labels_of(release, gate)
    metadata = mapping(template.get("metadata"))
    pod = dict(mapping(template.get("spec")))
    # With another policy the kubelet would run it again, and the first result be lost.
    pod["restartPolicy"] = "Never"
    own = {key: value for key, value in mapping(metadata.get("labels")).items() if key not in _TRAFFIC}
    live = release.previous.selector
    if live and live.items() <= own.items():
        shown = ", ".join(f"{key}={value}" for key, value in sorted(live.items()))
        raise NoVerdictError(f"its pods would get live traffic: leave one of the labels {shown} out of its template")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name_of(release, gate), "namespace": app.namespace, "labels": dict(mine)},
        "spec": {
            **{key: spec[key] for key in _TAKEN if key in spec},
            "backoffLimit": 0,
            "activeDeadlineSeconds": max(1, math.ceil(gate.timeout.total_seconds())),
            "ttlSecondsAfterFinished": KEPT_FOR,
            "template": {"metadata": {**metadata, "labels": {**own, **mine}}, "spec": pod},
        },
    }


_TRAFFIC = {"greenlight.dev/release", "rollouts-pod-template-hash"}
"""By these Services find pods; those of a gate are none of theirs."""


def last_words(message: str) -> str:
    """The last line of a termination message, cut."""
    lines = [" ".join(line.split()) for line in message.splitlines() if line.strip()]
    return cut(lines[-1] if lines else "", SHOWN)


def cut_short(pod: Json) -> str:
    """What ended a pod from outside; "" when nothing did."""
    status = mapping(pod.get("status"))
    if reason := text(status.get("reason")):
        return f"its pod was stopped ({reason}: {last_words(text(status.get('message')))})"
    for condition in items(status, "conditions"):
        if mapping(condition).get("type") == "DisruptionTarget" and mapping(condition).get("status") == "True":
            return f"its pod was stopped ({text(mapping(condition).get('reason'))})"
    return "its pod was deleted" if mapping(pod.get("metadata")).get("deletionTimestamp") else ""


def ends(pod: Json) -> list[tuple[str, Mapping[str, Any]]]:
    """How the containers of a pod ended, those that did, by name; but for sidecars, which the kubelet ends."""
    spec, status = mapping(pod.get("spec")), mapping(pod.get("status"))
    sidecars = {mapping(each).get("name") for each in items(spec, "initContainers") if _is_sidecar(mapping(each))}
    told = [*items(status, "initContainerStatuses"), *items(status, "containerStatuses")]
    states = [(text(mapping(each).get("name")), mapping(mapping(each).get("state"))) for each in told]
    ended = [(name, mapping(state.get("terminated"))) for name, state in states if state.get("terminated")]
    return [(name, state) for name, state in ended if name not in sidecars]


def _is_sidecar(container: Mapping[str, Any]) -> bool:
    return container.get("restartPolicy") == "Always"


def _is_ours(job: Json, release: Release, gate: Gate) -> bool:
    found = mapping(mapping(job.get("metadata")).get("labels"))
    return all(found.get(key) == value for key, value in labels_of(release, gate).items())


def _end(job: Json) -> tuple[bool, str, str] | None:
    """Whether it is complete, the reason, and what is said of it; None while it runs."""
    for each in items(mapping(job.get("status")), "conditions"):
        condition = mapping(each)
        if condition.get("type") in {"Complete", "Failed"} and condition.get("status") == "True":
            reason, message = text(condition.get("reason")), last_words(text(condition.get("message")))
            return condition["type"] == "Complete", reason, f"{reason}: {message}"
    return None


def _trouble(pods: Sequence[Json]) -> str:
    """What keeps its pods from running. Raises `NoVerdictError` when that will not end."""
    for pod in pods:
        status = mapping(pod.get("status"))
        for each in (*items(status, "initContainerStatuses"), *items(status, "containerStatuses")):
            waiting = mapping(mapping(mapping(each).get("state")).get("waiting"))
            reason, message = text(waiting.get("reason")), last_words(text(waiting.get("message")))
            if reason in CANNOT_START:
                raise NoVerdictError(f"its container cannot start ({reason}: {message})")
        for each in items(status, "conditions"):
            condition = mapping(each)
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                return f"its pod cannot be scheduled ({last_words(text(condition.get('message')))})"
    return "it still runs" if pods else "no pod was made for it"
