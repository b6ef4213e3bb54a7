"""What k6 would say where there is no k6: as fast as the pods behind the preview Service answer.

Its thresholds are read out of the script's text; what it reports is what a script of Greenlight's would have it write
into the termination message.
"""

from __future__ import annotations

import json
import re

from sandbox.cluster.behaviour import Images
from sandbox.cluster.errors import ApiError
from sandbox.cluster.objects import Objects
from sandbox.cluster.patches import Json
from sandbox.cluster.selectors import selects

_SERVICE = re.compile(r"http://([a-z0-9-]+)\.([a-z0-9-]+)\.svc")
_METRIC = re.compile(r"['\"]?(http_req_duration|http_req_failed|checks)['\"]?\s*:\s*\[([^\]]*)\]")
_THRESHOLD = re.compile(r"['\"]\s*([a-z]+(?:\([0-9.]+\))?)\s*(<=|>=|<|>|==)\s*([0-9.]+)\s*['\"]")
_CHECK = re.compile(r"\bcheck\([^,]+,\s*\{\s*['\"]([^'\"]+)['\"]")
_QUICK = 12.0
_NO_THRESHOLD = "its script sets no threshold: such a gate could not fail"
_THRESHOLDS_FAILED, _SCRIPT_EXCEPTION = 99, 107
_SAMPLES = 600


def outcome_of(objects: Objects, images: Images, namespace: str, spec: Json) -> tuple[int, str]:
    """Exit code and termination message of a pod with this spec."""
    env = {each["name"]: each.get("value", "") for each in spec["containers"][0].get("env") or ()}
    volumes = [each["configMap"]["name"] for each in spec.get("volumes") or () if "configMap" in each]
    script = "\n".join(text for name in volumes for text in _data(objects, namespace, name).values())
    slow, failing = _preview(objects, images, env.get("PREVIEW_URL", ""))
    measured = {"http_req_duration": slow, "http_req_failed": failing, "checks": 1 - failing}
    rows = []
    for metric, listed in _METRIC.findall(script):
        unit = "ms" if metric == "http_req_duration" else "%"
        for what, operator, bound in _THRESHOLD.findall(listed):
            value = measured[metric]
            rows.append(
                [metric, f"{what}{operator}{bound}", _holds(value, operator, float(bound)), value, _SAMPLES, unit]
            )
    if not rows:
        return _SCRIPT_EXCEPTION, f"Error: {_NO_THRESHOLD}\n"
    passes = round(_SAMPLES * (1 - failing))
    checks = [[name, passes, _SAMPLES - passes] for name in _CHECK.findall(script)]
    report = {"checks": checks, "label": env.get("RELEASE_LABEL", ""), "thresholds": rows}
    return (0 if all(row[2] for row in rows) else _THRESHOLDS_FAILED), json.dumps(report)


def _data(objects: Objects, namespace: str, name: str) -> dict[str, str]:
    try:
        return objects.get("configmaps", namespace, name).get("data") or {}
    except ApiError:
        return {}


def _preview(objects: Objects, images: Images, url: str) -> tuple[float, float]:
    """Milliseconds for an answer, and the share of requests that fail."""
    match = _SERVICE.match(url)
    if not match:
        return _QUICK, 1.0
    try:
        selector = objects.get("services", match[2], match[1])["spec"].get("selector") or {}
    except ApiError:
        return _QUICK, 1.0
    pods = [
        pod
        for pod in objects.items("pods", match[2])
        if selects({"matchLabels": selector}, pod["metadata"].get("labels") or {})
    ]
    took = [images.behaviour(pod["spec"]["containers"][0]["image"]).answers_after for pod in pods]
    return _QUICK + 1000 * max(took, default=0.0), 0.0 if pods else 1.0


def _holds(value: float, operator: str, bound: float) -> bool:
    return {
        "<": value < bound,
        "<=": value <= bound,
        ">": value > bound,
        ">=": value >= bound,
        "==": value == bound,
    }[operator]
