"""What the AnalysisRuns of a version came to, as checks for the card. Pure, and never at a loss for an odd object.

A run that is called off counts as successful for Argo Rollouts, and so does one that measured nothing for good: neither
has said anything about the version, so neither is a pass here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bot.clusters.api import Json
from bot.clusters.argo.reading import HASH
from bot.clusters.argo.state import current_hash
from bot.release.snapshot import Check, Verdict

KIND = "argo"
TYPE = "rollout-type"
"""Label of an AnalysisRun: for what the Rollout started it."""
SORTS = (
    ("PrePromotion", "prePromotionAnalysisRunStatus", "pre-promotion analysis"),
    ("PostPromotion", "postPromotionAnalysisRunStatus", "post-promotion analysis"),
)
CALLED_OFF = "Run Terminated"
WAS_CALLED_OFF = "it was called off before it was over"
MEASURED_NOTHING = "it measured nothing that counts"


def checks(rollout: Json, runs: Iterable[Json], wanted: str) -> tuple[Check, ...]:
    """Of the version with the pod hash `wanted`, the newest run of each sort. What cannot be read of a run itself, the
    Rollout's own summary tells, as far as it goes.
    """
    if not wanted:
        return ()
    mine = [run for run in runs if _label(run, HASH) == wanted]
    found = []
    for sort, summary, called in SORTS:
        newest = max((run for run in mine if _label(run, TYPE) == sort), key=_age, default=None)
        status = _part(_part(_part(rollout, "status"), "blueGreen"), summary)
        if newest is not None:
            found.append(Check(called, KIND, *_of_run(newest)))
        elif status and current_hash(rollout) == wanted:
            found.append(Check(called, KIND, *_of_summary(status, aborted=bool(_part(rollout, "status").get("abort")))))
    return tuple(found)


def _of_run(run: Json) -> tuple[Verdict, str]:
    status = _part(run, "status")
    verdict, said = _of_phase(_text(status.get("phase"))), _text(status.get("message"))
    if verdict is Verdict.RUNNING:
        return verdict, ""
    results = [each for each in _list(status.get("metricResults")) if not each.get("dryRun")]
    if verdict is Verdict.PASSED:
        if _part(run, "spec").get("terminate") or said == CALLED_OFF:
            return Verdict.NONE, WAS_CALLED_OFF
        measured = any(each.get("phase") == "Successful" for each in results)
        return (verdict, "") if measured else (Verdict.NONE, MEASURED_NOTHING)
    culprit = next((each for each in results if each.get("phase") == status.get("phase")), None)
    if culprit is None:
        return verdict, said
    metrics = _list(_part(run, "spec").get("metrics"))
    metric = next((each for each in metrics if each.get("name") == culprit.get("name")), {})
    return verdict, _measured(culprit, metric) or said


def _of_summary(status: Mapping[str, Any], *, aborted: bool) -> tuple[Verdict, str]:
    """An abort calls off what is running, and the summary stays as it was."""
    verdict, said = _of_phase(_text(status.get("status"))), _text(status.get("message"))
    if verdict is Verdict.RUNNING:
        return (Verdict.NONE, WAS_CALLED_OFF) if aborted else (verdict, "")
    return (Verdict.NONE, WAS_CALLED_OFF) if verdict is Verdict.PASSED and said == CALLED_OFF else (verdict, said)


def _of_phase(phase: str) -> Verdict:
    """A run that broke (`Error`) is taken for failed by the controller, too."""
    if phase in {"", "Pending", "Running"}:
        return Verdict.RUNNING
    known = {"Successful": Verdict.PASSED, "Failed": Verdict.FAILED, "Error": Verdict.FAILED}
    return known.get(phase, Verdict.NONE)


def _measured(result: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    """As in `errors measured 3, wanted result < 1, fails at result > 5`; "" when no measurement has a value."""
    name, phase = _text(result.get("name")), result.get("phase")
    taken = [each for each in _list(result.get("measurements")) if each.get("phase") == phase]
    last = taken[-1] if taken else {}
    value, message = _text(last.get("value")), _text(last.get("message") or result.get("message"))
    if not value and message:
        return f"{name} could not be measured: {message}" if phase == "Error" else f"{name}: {message}"
    if not value:
        return ""
    wanted, fails = _text(metric.get("successCondition")), _text(metric.get("failureCondition"))
    parts = (f"{name} measured {value}", wanted and f"wanted {wanted}", fails and f"fails at {fails}")
    return ", ".join(filter(None, parts))


def _age(run: Json) -> tuple[str, str]:
    metadata = _part(run, "metadata")
    return _text(metadata.get("creationTimestamp")), _text(metadata.get("name"))


def _label(run: Json, key: str) -> object:
    return _part(_part(run, "metadata"), "labels").get(key)


def _part(item: object, key: str) -> Mapping[str, Any]:
    found = item.get(key) if isinstance(item, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _list(items: object) -> list[Mapping[str, Any]]:
    return [each for each in items if isinstance(each, Mapping)] if isinstance(items, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
