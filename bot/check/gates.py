"""Whether what an app's gates run is there."""

from collections.abc import Iterator

from bot.check.finding import Finding, fail, ok, warn
from bot.clusters.api import Api
from bot.clusters.errors import ClusterError, Forbidden, Missing
from bot.clusters.jobs import KubeJobs
from bot.release.app import K6, App, Gate, Job, Mode


async def gates(api: Api, app: App) -> list[Finding]:
    """Nothing of gates that run nothing in the cluster."""
    jobs = KubeJobs({app.cluster: api})
    return [found for gate in app.gates for found in await _gate(jobs, app, gate)]


async def _gate(jobs: KubeJobs, app: App, gate: Gate) -> list[Finding]:
    try:
        if isinstance(gate.check, K6):
            return list(_script(app, gate, gate.check, await jobs.keys(app, gate.check.configmap)))
        if isinstance(gate.check, Job):
            await jobs.template(app, gate.check.cronjob)
            return [_good(app, gate, f"runs what CronJob {gate.check.cronjob} runs.")]
    except Forbidden:
        return []  # the rights say which one is missing
    except Missing:
        return [_none(app, gate)]
    except ClusterError as why:
        return [_wrong(app, gate, f"cannot be looked at: {why}.", "Check again.")]
    return []


def _script(app: App, gate: Gate, wanted: K6, keys: frozenset[str]) -> Iterator[Finding]:
    if wanted.key in keys:
        yield _good(app, gate, f"runs {wanted.key} of ConfigMap {wanted.configmap}.")
    else:
        there = ", ".join(sorted(keys)) or "nothing"
        fix = f"Put the script there, or name another key for gate {gate.name} of [apps.{app.name}]."
        yield _wrong(app, gate, f"has no script: ConfigMap {wanted.configmap} has no {wanted.key}, but {there}.", fix)


def _none(app: App, gate: Gate) -> Finding:
    if isinstance(gate.check, K6):
        made = f"kubectl -n {app.namespace} create configmap {gate.check.configmap} --from-file={gate.check.key}"
        sentence = f"has no script: there is no ConfigMap {gate.check.configmap} in namespace {app.namespace}."
        return _wrong(app, gate, sentence, f"Make it: {made}")
    called = gate.check.cronjob if isinstance(gate.check, Job) else ""
    fix = "Make it there; with `suspend: true` it never runs by itself."
    return _wrong(app, gate, f"has nothing to run: there is no CronJob {called} in namespace {app.namespace}.", fix)


def _good(app: App, gate: Gate, what: str) -> Finding:
    return ok(f"app {app.name}", f"gate {gate.name}", what)


def _wrong(app: App, gate: Gate, what: str, fix: str) -> Finding:
    told = warn if gate.mode is Mode.WARN else fail
    return told(f"app {app.name}", f"gate {gate.name}", what, fix)
