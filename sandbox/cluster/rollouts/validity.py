"""What makes the controller call a Rollout invalid: it says so in a condition and tries again later.

Source: pkg/apis/rollouts/validation of Argo Rollouts 1.9.1; what the API server itself refuses is elsewhere.
"""

from __future__ import annotations

import json
from typing import Any

from sandbox.cluster.errors import ApiError
from sandbox.cluster.objects import Objects
from sandbox.cluster.patches import Json
from sandbox.cluster.rollouts import spec
from sandbox.cluster.rollouts.keys import HASH, MANAGED_BY, annotation
from sandbox.cluster.selectors import selects
from sandbox.cluster.validation import containers

_STRATEGY = "spec.strategy"
_BLUE_GREEN = f"{_STRATEGY}.blueGreen"
_SAME_SERVICE = (
    "This rollout uses the same service for the active and preview services, but two different services are required."
)


def problem(rollout: Json, objects: Objects) -> str:
    """The first thing that is wrong; empty when nothing is."""
    return _spec(rollout) or _strategy(rollout) or _services(rollout, objects) or _templates(rollout, objects)


def workload_problem(rollout: Json, why: str) -> str:
    return _invalid("spec.workloadRef", rollout["spec"]["workloadRef"], why)


def _spec(rollout: Json) -> str:
    found = rollout["spec"]
    selector = found.get("selector")
    if not selector:
        return "spec.selector: Required value: Rollout has missing field '.spec.selector'"
    if not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return _invalid("spec.selector", selector, "empty selector is invalid for deployment")
    template = found.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not selects(selector, labels):
        return _invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    for cause in containers(template.get("spec") or {}, "spec.template.spec"):
        return f"{cause.field}: {cause.message}"
    deadline = int(spec.progress_deadline(rollout).total_seconds())
    if deadline <= (found.get("minReadySeconds") or 0):
        return _invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    return ""


def _strategy(rollout: Json) -> str:
    strategy = rollout["spec"].get("strategy") or {}
    blue_green, canary = strategy.get("blueGreen"), strategy.get("canary")
    if blue_green is None and canary is None:
        missing = "Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'"
        return f"{_STRATEGY}: Required value: {missing}"
    if blue_green is not None and canary is not None:
        found = "blueGreen: true canary: true"
        return _invalid(f"{_STRATEGY}.strategy", found, "Multiple Strategies can not be listed")
    if blue_green is not None and blue_green.get("activeService") == blue_green.get("previewService"):
        return _invalid(f"{_STRATEGY}.activeService", blue_green.get("activeService"), _SAME_SERVICE)
    limit = (blue_green or {}).get("scaleDownDelayRevisionLimit")
    if limit is not None and spec.history_limit(rollout) < limit:
        why = "This rollout's revision history limit can not be smaller than the rollout's scale down limit"
        return _invalid(f"{_STRATEGY}.scaleDownDelayRevisionLimit", limit, why)
    return ""


def _services(rollout: Json, objects: Objects) -> str:
    labels = (rollout["spec"]["template"].get("metadata") or {}).get("labels") or {}
    for which in ("activeService", "previewService"):
        name, field = spec.blue_green(rollout).get(which), f"{_BLUE_GREEN}.{which}"
        if not name:
            continue
        try:
            service = objects.get("services", rollout["metadata"]["namespace"], name)
        except ApiError as error:
            return _invalid(field, name, f'service "{name}" not found' if error.status == 404 else error.message)  # noqa: PLR2004
        for key, value in (service["spec"].get("selector") or {}).items():
            if key != HASH and labels.get(key) != value:
                return _invalid(field, name, f'Service "{name}" has unmatch label "{key}" in rollout')
        if annotation(service, MANAGED_BY) not in {"", rollout["metadata"]["name"]}:
            return _invalid(field, name, f'Service "{name}" is managed by another Rollout')
    return ""


def _templates(rollout: Json, objects: Objects) -> str:
    for when in ("pre", "post"):
        for reference in spec.analysis(rollout, when).get("templates") or ():
            name = reference.get("templateName", "")
            try:
                objects.get("analysistemplates", rollout["metadata"]["namespace"], name)
            except ApiError:
                field = f"{_BLUE_GREEN}.{when}PromotionAnalysis.templates"
                return _invalid(field, name, f"AnalysisTemplate '{name}' not found")
    return ""


def _invalid(field: str, value: Any, why: str) -> str:
    return f"{field}: Invalid value: {json.dumps(value, separators=(',', ':'))}: {why}"
