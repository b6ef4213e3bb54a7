"""Load, made by k6 in a Job: its exit code and its thresholds, one by one, have to say the same.

k6 runs the script of a ConfigMap by a script of ours (`report.js`), which writes what became of the thresholds into the
container's termination message: that stands in the pod's status, so neither logs nor Secrets have to be read.
"""

import json
import math
import operator
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

from bot.clusters.errors import Missing
from bot.clusters.raw import text
from bot.gates.errand import Ended, Errand, Jobs, NoVerdictError, cut_short, ends, environment, last_words
from bot.gates.finding import Finding, Report, cut, failed, passed, unclear
from bot.release.app import K6, App, Gate
from bot.release.record import Release

Json = dict[str, Any]

CONTAINER = "k6"
SCRIPTS = "/scripts"
MESSAGE = "/dev/termination-log"
LONGEST = 4096
"""Bytes of a termination message; the kubelet cuts what is longer."""
SHOWN = 600
PASSED, THRESHOLDS = 0, 99
"""k6's exit codes that are a result."""
CODES = {
    97: "a run in the cloud failed",
    98: "a run in the cloud could not be followed",
    100: "setup() took too long",
    101: "teardown() took too long",
    102: "something took too long",
    103: "it was stopped by its REST API",
    104: "its options are not valid",
    105: "it was stopped from outside",
    106: "its REST API could not start",
    107: "its script threw an exception",
    108: "its script stopped it",
    109: "k6 itself broke",
    110: "its script marked it as failed",
}
GOOD, BAD = "✓", "✗"
NO_THRESHOLD = "its script sets no threshold: such a gate could not fail"
HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "===": operator.eq,
    "!=": operator.ne,
}
_EXPRESSION = re.compile(r"\s*([a-z]+(?:\([0-9.]+\))?)\s*(<=|<|>=|>|===|==|!=)\s*([0-9.eE+-]+)\s*")


def k6_check(jobs: Jobs, inside: Callable[[App], Awaitable[str]], **pace: Any) -> Errand:
    """`inside` tells under which address the cluster itself reaches the app's preview Service."""

    async def spec(app: App, release: Release, gate: Gate) -> Json:
        wanted = gate.check
        if not isinstance(wanted, K6):
            raise TypeError(f"gate {gate.name} is no load")
        try:
            keys = await jobs.keys(app, wanted.configmap)
        except Missing:
            raise NoVerdictError(f"there is no ConfigMap {wanted.configmap} in namespace {app.namespace}") from None
        if wanted.key not in keys:
            known = ", ".join(sorted(keys)) or "nothing"
            raise NoVerdictError(f"ConfigMap {wanted.configmap} has no {wanted.key}; it has {last_words(known)}")
        return _spec(wanted, environment(release, app, await inside(app)))

    return Errand(jobs, spec, judged, **pace)


def _spec(wanted: K6, known: Mapping[str, str]) -> Json:
    own = {"HOME": "/tmp", "K6_AUTO_EXTENSION_RESOLUTION": "false", "K6_NO_USAGE_REPORT": "true"}  # noqa: S108 - its own
    env = {**own, **wanted.env, **known, "GREENLIGHT_REPORT": MESSAGE}
    container = {
        "name": CONTAINER,
        "image": wanted.image,
        "command": ["sh", "-c", command(wanted.key)],
        "env": [{"name": name, "value": value.replace("$", "$$")} for name, value in env.items()],
        "terminationMessagePath": MESSAGE,
        # What k6 says when it ends before there is a summary.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": "50m", "memory": wanted.memory},
            "limits": {"cpu": wanted.cpu, "memory": wanted.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "scripts", "mountPath": SCRIPTS, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - its own
        ],
    }
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "scripts", "configMap": {"name": wanted.configmap}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }
    return {"template": {"spec": pod}}


def command(key: str) -> str:
    """k6 reads our script from its input: so it needs no place in the cluster, and k6 hears that it has to stop."""
    ours = resources.files("bot.gates").joinpath("report.js").read_text("utf-8")
    filled = {"SCRIPT": f"{SCRIPTS}/{key}", "NO_THRESHOLD": NO_THRESHOLD, "LONGEST": LONGEST}
    ours = re.sub(rf"\b({'|'.join(filled)})\b", lambda match: json.dumps(filled[match[0]]), ours)
    # That a variable of the pod's would switch thresholds off is overruled.
    run = "exec k6 run --quiet --no-color --log-format=raw --address= --no-thresholds=false --summary-mode=compact -"
    return f"{run} <<'GREENLIGHT'\n{ours}GREENLIGHT\n"


def judged(release: Release, ended: Ended) -> Finding:
    """What its end means."""
    if stopped := next(filter(None, map(cut_short, ended.pods)), ""):
        return unclear(stopped)
    over = [state for pod in ended.pods for name, state in ends(pod) if name == CONTAINER]
    if len(over) != 1 or len(ended.pods) != 1:
        return unclear(f"its Job ended without a result ({ended.said})")
    [state] = over
    code, message = state.get("exitCode"), text(state.get("message"))
    if state.get("reason") == "OOMKilled":
        return unclear("k6 was killed: it needs more memory than the gate's `memory`")
    if NO_THRESHOLD in message:
        return unclear(NO_THRESHOLD)
    if code not in {PASSED, THRESHOLDS} or ended.complete != (code == PASSED):
        said = last_words(message)
        why = CODES.get(code, "") if isinstance(code, int) else ""
        return unclear(f"k6 ended with exit code {code}" + "".join(f": {each}" for each in (why, said) if each))
    return verdict(release.label, message, passed_by_k6=code == PASSED)


def verdict(label: str, message: str, *, passed_by_k6: bool) -> Finding:
    """What the report of a run says that came to its end."""
    try:
        report = json.loads(message)
        if report["label"] != label:
            return unclear(f"the result is of {last_words(str(report['label']))}, not of {label}")
        if "many" in report:
            return unclear(f"{report['many']} thresholds are more than fit into {LONGEST} bytes: set fewer")
        rows = [_Row(*row) for row in report["thresholds"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return unclear(f"k6 left no summary that can be read: {last_words(message) or 'nothing'}")
    if not rows:
        return unclear(NO_THRESHOLD)
    table = (*(row.cells for row in rows), *_checks(report))
    return replace(_weighed(rows, passed_by_k6=passed_by_k6), report=Report(message, table))


def _weighed(rows: Sequence["_Row"], *, passed_by_k6: bool) -> Finding:
    if doubt := next(filter(None, (row.doubt for row in rows)), ""):
        return unclear(doubt)
    wrong = [row for row in rows if not row.ok]
    if passed_by_k6 != (not wrong):
        return unclear("k6's exit code and its summary contradict each other")
    shown = cut("; ".join(map(str, wrong or rows)), SHOWN)
    return failed(shown) if wrong else passed(shown)


def _checks(report: Json) -> Iterator[tuple[str, ...]]:
    """What became of the script's checks, which decide nothing by themselves."""
    found = report.get("checks")
    if not isinstance(found, list):
        yield ("the checks did not fit into the report",)
        return
    sound = [each for each in found if isinstance(each, list) and [type(part) for part in each] == [str, int, int]]
    if sound:
        yield ("checks",)
    for name, passes, fails in sound:
        yield GOOD if passes and not fails else BAD, name, f"{passes} of {passes + fails}"


class _Row:
    """What became of one threshold. Raises TypeError and ValueError for what is none."""

    def __init__(self, metric: str, expression: str, ok: bool, value: Any, samples: Any, unit: str) -> None:
        match = _EXPRESSION.fullmatch(expression)
        if not match or not isinstance(ok, bool) or not isinstance(metric, str):
            raise ValueError(expression)
        self.ok, self._metric, self._unit = ok, metric, unit
        self._what, self._operator, bound = match.groups()
        self._bound = float(bound)
        self._samples = samples
        known = isinstance(value, int | float) and not isinstance(value, bool)
        self._value = float(value) if known else math.nan

    @property
    def doubt(self) -> str:
        """Why it is no result, whatever k6 makes of it; "" when it is one."""
        named = f"{self._metric} {self._what}"
        if self._samples == 0 or not math.isfinite(self._value):
            return f"there is no data for {named}: k6 took not one sample"
        if HOLDS[self._operator](self._value, self._bound) != self.ok:
            return f"k6 contradicts itself: {self}"
        return ""

    def __str__(self) -> str:
        return " ".join(self.cells[1:])

    @property
    def cells(self) -> tuple[str, ...]:
        operator = self._operator
        if not self.ok:
            operator = {"<": "≥", "<=": ">", ">": "≤", ">=": "<"}.get(operator, f"not {operator}")
        compared = f"{self._shown(self._value)} {operator} {self._shown(self._bound)}"
        return GOOD if self.ok else BAD, f"{self._metric} {self._what}", compared

    def _shown(self, value: float) -> str:
        if self._unit == "%" and self._what == "rate":
            return f"{value * 100:.4g} %"
        return f"{value:.4g} ms" if self._unit == "ms" else f"{value:.6g}"
