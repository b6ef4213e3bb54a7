"""The AnalysisRuns of a Rollout: when one is started, what its outcome does, and when it is called off.

Source: rollout/analysis.go of Argo Rollouts 1.9.1, for blueGreen.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.cluster.controllers import owned_by, owner_reference
from sandbox.cluster.errors import ApiError
from sandbox.cluster.patches import Json, PatchType
from sandbox.cluster.rollouts import replica_sets, spec
from sandbox.cluster.rollouts.keys import HASH, MANAGER, REVISION, annotation, pod_hash
from sandbox.cluster.rollouts.look import Look

OVER = frozenset({"Successful", "Failed", "Error", "Inconclusive"})
_HISTORY = 5


def find(look: Look) -> None:
    """Sort out which runs are the present ones: those that the Rollout's status names."""
    known = spec.blue_green_status(look.rollout)
    names = {when: (known.get(f"{when}PromotionAnalysisRunStatus") or {}).get("name") for when in ("pre", "post")}
    for run in owned_by(look.rollout, look.objects.items("analysisruns", look.namespace)):
        if run["metadata"]["name"] == names["pre"]:
            look.pre = run
        elif run["metadata"]["name"] == names["post"]:
            look.post = run
        else:
            look.other_runs.append(run)


def phase(run: Json | None) -> str:
    found: str = ((run or {}).get("status") or {}).get("phase", "")
    return found


def passed_before_promotion(look: Look) -> bool:
    wanted = spec.blue_green(look.rollout).get("prePromotionAnalysis")
    return not wanted or phase(look.pre) == "Successful"


def reconcile(look: Look) -> None:
    first_deploy = not look.status.get("stableRS")
    # The deadline counts as it was when this reconciliation began.
    skipped = look.status.get("promoteFull") or replica_sets.has_deadline(look.new) or first_deploy
    if look.is_aborted or skipped or replica_sets.is_rollback_within_window(look):
        _note(look)
        _cancel(look, [look.pre, look.post, *look.other_runs])
        return
    look.pre = _reconcile_one(look, "pre", look.pre)
    _obey(look, look.pre, "pre")
    look.post = _reconcile_one(look, "post", look.post)
    _obey(look, look.post, "post")
    _note(look)
    present = {run["metadata"]["name"] for run in (look.pre, look.post) if run}
    others = [run for run in look.other_runs if run["metadata"]["name"] not in present]
    _cancel(look, others)
    _forget(look, others)


def _reconcile_one(look: Look, when: str, run: Json | None) -> Json | None:
    wanted = spec.analysis(look.rollout, when)
    if not wanted or _is_skipped(look, when, run):
        _cancel(look, [run])
        return run if wanted else None
    if spec.pause_condition(look.rollout, spec.INCONCLUSIVE) or not _needs_new(look, run):
        return run
    return _create(look, when, wanted)


def _is_skipped(look: Look, when: str, run: Json | None) -> bool:
    """Not yet time for it, or not any more."""
    hash_, active = pod_hash(look.new), spec.blue_green_status(look.rollout).get("activeSelector", "")
    elsewhere = active not in {"", hash_} if when == "pre" else active == hash_
    if look.status.get("stableRS", "") == hash_ or not hash_ or not elsewhere:
        return True
    if run is not None:
        return False
    preview = spec.preview_replicas(look.rollout)
    if when == "pre" and preview is not None:
        new = look.target
        return (new["spec"]["replicas"], new["status"].get("availableReplicas", 0)) != (preview, preview)
    return not replica_sets.is_saturated(look)


def _needs_new(look: Look, run: Json | None) -> bool:
    if run is None:
        return True
    if look.status.get("controllerPause") and not spec.pause_condition(look.rollout, spec.BLUE_GREEN_PAUSE):
        return phase(run) == "Inconclusive"
    return look.status.get("abortedAt") is not None


def _obey(look: Look, run: Json | None, when: str) -> None:
    if phase(run) == "Inconclusive":
        look.add_pause.append(spec.INCONCLUSIVE)
    elif phase(run) in {"Error", "Failed"}:
        why = ((run or {}).get("status") or {}).get("message", "")
        look.abort_now = True
        look.abort_message = f"Blue/green {when}-promotion analysis phase error/failed" + (f": {why}" if why else "")


def _note(look: Look) -> None:
    for when, run in (("pre", look.pre), ("post", look.post)):
        if run is not None:
            status = run.get("status") or {}
            found = {"name": run["metadata"]["name"], "status": status.get("phase", "")}
            if status.get("message"):
                found["message"] = status["message"]
            look.run_status[f"{when}PromotionAnalysisRunStatus"] = found


def _cancel(look: Look, runs: Sequence[Json | None]) -> None:
    for run in runs:
        if run is not None and phase(run) not in OVER and not run["spec"].get("terminate"):
            name, patch = run["metadata"]["name"], {"spec": {"terminate": True}}
            look.objects.patch("analysisruns", look.namespace, name, patch, PatchType.MERGE, manager=MANAGER)


def _create(look: Look, when: str, wanted: Json) -> Json:
    number = annotation(look.rollout, REVISION)
    labels = {HASH: pod_hash(look.new), "rollout-type": f"{when.capitalize()}Promotion"}
    about = wanted.get("analysisRunMetadata") or {}
    labels |= about.get("labels") or {}
    labels |= look.rollout["spec"]["selector"].get("matchLabels") or {}
    name = base = f"{look.name}-{pod_hash(look.new)}-{number}-{when}"
    body: Json = {
        "metadata": {
            "labels": labels,
            "annotations": {REVISION: number, **(about.get("annotations") or {})},
            "ownerReferences": [owner_reference(look.rollout)],
        },
        "spec": {"metrics": _metrics(look, wanted)},
    }
    if arguments := _arguments(look, wanted):
        body["spec"]["args"] = arguments
    count = 0
    while True:
        body["metadata"]["name"] = name
        try:
            return look.objects.create("analysisruns", look.namespace, body, manager=MANAGER)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        known = look.objects.get("analysisruns", look.namespace, name)
        if phase(known) not in OVER and known["spec"] == body["spec"] and owned_by(look.rollout, [known]):
            return known
        count += 1
        name = f"{base}.{count}"


def _metrics(look: Look, wanted: Json) -> list[Json]:
    found: list[Json] = []
    for reference in wanted["templates"]:
        template = look.objects.get("analysistemplates", look.namespace, reference["templateName"])
        found += template["spec"]["metrics"]
    return found


def _arguments(look: Look, wanted: Json) -> list[Json]:
    found = []
    for argument in wanted.get("args") or ():
        source = argument.get("valueFrom") or {}
        match source.get("podTemplateHashValue"):
            case "Latest":
                found.append({"name": argument["name"], "value": pod_hash(look.new)})
            case "Stable":
                found.append({"name": argument["name"], "value": pod_hash(look.stable)})
            case _:
                found.append(argument)
    return found


def _forget(look: Look, runs: list[Json]) -> None:
    hashes = {pod_hash(item) for item in look.sets}
    kept = {True: 0, False: 0}
    for run in sorted(runs, key=lambda r: (r["metadata"]["creationTimestamp"], r["metadata"]["name"]), reverse=True):
        if "deletionTimestamp" in run["metadata"]:
            continue
        good = phase(run) == "Successful"
        if pod_hash(run) in hashes and (phase(run) not in OVER or kept[good] < _HISTORY):
            kept[good] += phase(run) in OVER
            continue
        look.objects.delete("analysisruns", look.namespace, run["metadata"]["name"])
