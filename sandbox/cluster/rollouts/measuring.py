"""AnalysisRuns: measurements are taken, counted against the limits of their metric, and make the run's outcome.

Nothing is measured here: what a metric yields is on order (`expect`). Source: analysis/analysis.go of Argo Rollouts
1.9.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.cluster.controllers import earliest
from sandbox.cluster.objects import Objects, timestamp
from sandbox.cluster.patches import PatchType, copied
from sandbox.cluster.rollouts.analysis import OVER, phase
from sandbox.cluster.rollouts.keys import MANAGER

Json = dict[str, Any]

RUNNING = "Running"
_RETRY = timedelta(seconds=10)
_SECOND = timedelta(seconds=1)
_ERROR_LIMIT = 4
_KEPT = 10
_WORST = ("Successful", "Inconclusive", "Error", "Failed")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNITS = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}


@dataclass(frozen=True)
class Measurement:
    """What a metric yields: a phase (Running: it has not come back yet), a value, and a message where it has one."""

    phase: str = "Successful"
    value: str = ""
    message: str = ""


class AnalysisRuns:
    """The AnalysisRun controller. A metric of which nothing is expected yields a success at once."""

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None
        self._expected: dict[str, Measurement] = {}

    def expect(self, metric: str, phase: str, *, value: str = "", message: str = "") -> None:
        """What this metric measures from now on, in every run: Running, Successful, Failed, Error, Inconclusive."""
        self._expected[metric] = Measurement(phase, value, message)
        self.wake()

    def step(self, objects: Objects, now: datetime) -> datetime | None:
        due = [self._one(objects, run, now) for run in objects.items("analysisruns") if phase(run) not in OVER]
        return earliest(due)

    def _one(self, objects: Objects, run: Json, now: datetime) -> datetime | None:
        if "deletionTimestamp" in run["metadata"]:
            return None
        status: Json = copied(run.get("status") or {})
        results = {result["name"]: result for result in status.get("metricResults") or ()}
        stopping = _is_stopping(run, results)
        due = [self._measure(metric, results, now, stopping=stopping) for metric in run["spec"]["metrics"]]
        status["metricResults"] = list(results.values())
        status.setdefault("startedAt", timestamp(now))
        _assess(run, status, results)
        if status["phase"] in OVER:
            status.setdefault("completedAt", timestamp(now))
        if status != run.get("status"):
            namespace, name = run["metadata"]["namespace"], run["metadata"]["name"]
            patch = {"status": status}
            objects.patch("analysisruns", namespace, name, patch, PatchType.MERGE, manager=MANAGER)
        return None if status["phase"] in OVER else earliest(due)

    def _measure(self, metric: Json, results: dict[str, Json], now: datetime, *, stopping: bool) -> datetime | None:
        """One measurement, if it is time for it; answers when it is time for the next."""
        result = results.get(metric["name"])
        if result and result["phase"] in OVER:
            return None
        last = ((result or {}).get("measurements") or [None])[-1]
        if last and last["phase"] == RUNNING:
            self._finish(metric, result or {}, last, now, stopping=stopping)
        elif stopping:
            return None
        elif last is None:
            result = results[metric["name"]] = {"name": metric["name"], "phase": RUNNING, "measurements": []}
            self._begin(metric, result, now)
        elif (again := _next(metric, result or {}, last)) is not None:
            if again > now:
                return again
            self._begin(metric, result or {}, now)
        if result is None:
            return None
        result["phase"] = _metric_phase(metric, result, stopping=stopping)
        if result["phase"] in OVER:
            return None
        return _next(metric, result, result["measurements"][-1])

    def _begin(self, metric: Json, result: Json, now: datetime) -> None:
        taken = {"phase": RUNNING, "startedAt": timestamp(now)}
        result["measurements"] = [*result["measurements"], taken][-_KEPT:]
        self._finish(metric, result, taken, now, stopping=False)

    def _finish(self, metric: Json, result: Json, taken: Json, now: datetime, *, stopping: bool) -> None:
        found = self._expected.get(metric["name"], Measurement())
        if stopping and found.phase == RUNNING:
            found = Measurement("Successful", message="Metric Terminated")
        if found.phase == RUNNING:
            return
        taken |= {"phase": found.phase, "finishedAt": timestamp(now)}
        taken |= {key: value for key, value in (("value", found.value), ("message", found.message)) if value}
        _count(result, found)


def _count(result: Json, found: Measurement) -> None:
    name = found.phase.lower()
    result[name] = result.get(name, 0) + 1
    if found.phase == "Error":
        result["consecutiveError"] = result.get("consecutiveError", 0) + 1
        result.pop("consecutiveSuccess", None)
    else:
        result["count"] = result.get("count", 0) + 1
        result.pop("consecutiveError", None)
        if found.phase == "Successful":
            result["consecutiveSuccess"] = result.get("consecutiveSuccess", 0) + 1
        else:
            result.pop("consecutiveSuccess", None)
    if found.message:
        result["message"] = found.message


def _is_stopping(run: Json, results: dict[str, Json]) -> bool:
    """Called off, or one metric has decided it already."""
    decided = any(result["phase"] in {"Failed", "Error", "Inconclusive"} for result in results.values())
    return bool(run["spec"].get("terminate")) or decided


def _next(metric: Json, result: Json, last: Json) -> datetime | None:
    """When the next measurement is due; None when none is, or the last one is still under way."""
    if "finishedAt" not in last:
        return None
    ended = datetime.strptime(last["finishedAt"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    if last["phase"] == "Error":
        return ended + _RETRY
    if (wanted := _wanted(metric)) is not None and result.get("count", 0) >= wanted:
        return None
    # Times have whole seconds: a shorter interval would be over at once.
    return ended + max(_seconds(metric["interval"]), _SECOND) if metric.get("interval") else None


def _wanted(metric: Json) -> int | None:
    """How many measurements; None: until it is called off."""
    if metric.get("count") is not None:
        return int(metric["count"])
    return None if metric.get("interval") else 1


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(str(text))))


def _verdict(metric: Json, result: Json) -> tuple[str, str]:
    """The phase that a limit of the metric demands, and why; empty when none is passed."""
    failed, unclear, errors = (result.get(key, 0) for key in ("failed", "inconclusive", "consecutiveError"))
    limits = [int(metric.get(key) or 0) for key in ("failureLimit", "inconclusiveLimit")]
    error_limit = int(metric.get("consecutiveErrorLimit", _ERROR_LIMIT))
    if errors > error_limit:
        return "Error", f"consecutiveErrors ({errors}) > consecutiveErrorLimit ({error_limit})"
    if unclear > limits[1]:
        return "Inconclusive", f"inconclusive ({unclear}) > inconclusiveLimit ({limits[1]})"
    if limits[0] >= 0 and failed > limits[0]:
        return "Failed", f"failed ({failed}) > failureLimit ({limits[0]})"
    return "", ""


def _metric_phase(metric: Json, result: Json, *, stopping: bool) -> str:
    if result["measurements"][-1]["phase"] == RUNNING:
        return RUNNING
    if verdict := _verdict(metric, result)[0]:
        return verdict
    wanted = _wanted(metric)
    enough = wanted is not None and result.get("count", 0) >= wanted
    return "Successful" if enough or stopping else RUNNING


def _assess(run: Json, status: Json, results: dict[str, Json]) -> None:
    """The worst of its metrics, once all of them are over."""
    worst, message = "", "Run Terminated" if run["spec"].get("terminate") else ""
    summary = {"count": len(run["spec"]["metrics"])}
    complete = True
    for metric in run["spec"]["metrics"]:
        result = results.get(metric["name"])
        if result is None or result["phase"] not in OVER:
            complete = False
            continue
        verdict, why = _verdict(metric, result)
        key = (verdict or "Successful").lower()
        summary[key] = summary.get(key, 0) + 1
        if not worst or _WORST.index(result["phase"]) > _WORST.index(worst):
            worst = result["phase"]
            if why:
                message = f'Metric "{metric["name"]}" assessed {worst} due to {why}'
                if result.get("message"):
                    message += f': "Error Message: {result["message"]}"'
    status["runSummary"], status["dryRunSummary"] = summary, {}
    if _is_stopping(run, results):
        status["phase"] = worst or "Successful"
    elif complete and worst:
        status["phase"] = worst
    else:
        status["phase"], message = RUNNING, ""
    if message:
        status["message"] = message
