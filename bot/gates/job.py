"""A Job after the template of a CronJob: it passes when it completes, and fails when a container ends with an error."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bot.clusters.errors import Missing
from bot.clusters.raw import items, mapping, text
from bot.gates.errand import KILLED, Ended, Errand, Jobs, NoVerdictError, cut_short, ends, environment, last_words
from bot.gates.finding import Finding, failed, passed, unclear
from bot.release.app import App, Gate, Job
from bot.release.record import Release

Json = dict[str, Any]


def job_check(jobs: Jobs, inside: Callable[[App], Awaitable[str]], **pace: Any) -> Errand:
    """`inside` tells under which address the cluster itself reaches the app's preview Service."""

    async def spec(app: App, release: Release, gate: Gate) -> Json:
        wanted = gate.check
        if not isinstance(wanted, Job):
            raise TypeError(f"gate {gate.name} is no Job")
        try:
            template = await jobs.template(app, wanted.cronjob)
        except Missing:
            raise NoVerdictError(f"there is no CronJob {wanted.cronjob} in namespace {app.namespace}") from None
        return told(template, environment(release, app, await inside(app)))

    return Errand(jobs, spec, judged, **pace)


def told(template: Json, known: Mapping[str, str]) -> Json:
    """The spec of a `jobTemplate`, with environment variables in each container; what they had of that name goes."""
    spec = dict(mapping(template.get("spec")))
    pod = dict(mapping(mapping(spec.get("template")).get("spec")))
    for key in ("initContainers", "containers"):
        if containers := items(pod, key):
            pod[key] = [_with(dict(mapping(each)), known) for each in containers]
    return {**spec, "template": {**mapping(spec.get("template")), "spec": pod}}


def _with(container: Json, known: Mapping[str, str]) -> Json:
    kept = [each for each in items(container, "env") if mapping(each).get("name") not in known]
    return {**container, "env": [*({"name": name, "value": value} for name, value in known.items()), *kept]}


def judged(_: Release, ended: Ended) -> Finding:
    """What its end means."""
    stopped = next(filter(None, map(cut_short, ended.pods)), "")
    over = [(name, state) for pod in ended.pods for name, state in ends(pod)]
    wrong = [(name, state) for name, state in over if state.get("exitCode") != 0]
    if ended.complete:
        if stopped or wrong or not over:
            return unclear(stopped or "its Job is complete, but its pods do not say that they ended well")
        said = next((each for _, state in over if (each := last_words(text(state.get("message"))))), "")
        return passed(f"exit code 0{': ' + said if said else ''}")
    if stopped or not wrong:
        return unclear(stopped or f"its Job failed without a result ({ended.said})")
    name, state = wrong[0]
    code = state.get("exitCode")
    said = last_words(text(state.get("message"))) or text(state.get("reason"))
    sentence = f"container {name} ended with exit code {code}{': ' + said if said else ''}"
    if not isinstance(code, int) or code > KILLED or state.get("reason") == "OOMKilled":
        return unclear(f"{sentence}: it was killed")
    return failed(sentence)
