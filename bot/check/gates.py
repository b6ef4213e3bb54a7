"""Whether what an app's gates run and ask, and what its guards ask, is there."""

import asyncio
from collections.abc import Iterator

import aiohttp

from bot.check.finding import Finding, fail, ok, warn
from bot.check.prometheus import Live, live, query
from bot.check.visits import visit
from bot.clusters.api import Api
from bot.clusters.errors import ClusterError, Forbidden, Missing
from bot.clusters.jobs import KubeJobs
from bot.gates.prometheus import Server
from bot.release.app import K6, App, Gate, Guard, Http, Job, Mode, Prometheus


async def gates(api: Api, app: App, active: str, preview: str, prometheus: Server | None) -> list[Finding]:
    """All side by side. `active` and `preview` are the names of the two Services; "" when they are not known."""
    jobs = KubeJobs({app.cluster: api})
    checks: tuple[Gate | Guard, ...] = (*app.gates, *app.guards)
    asks = any(isinstance(each.check, Prometheus) for each in checks)
    now = await live(api, app, active) if asks else Live()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def one(gate: Gate | Guard) -> list[Finding]:
            if isinstance(gate.check, Http):
                return [await visit(session, app, gate, gate.check, active if isinstance(gate, Guard) else preview)]
            if isinstance(gate.check, Prometheus):
                return await query(session, prometheus, app, gate, gate.check, now) if prometheus else []
            return await _run(jobs, app, gate) if isinstance(gate, Gate) else []

        found = await asyncio.gather(*map(one, checks))
    return [each for some in found for each in some]


async def _run(jobs: KubeJobs, app: App, gate: Gate) -> list[Finding]:
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
