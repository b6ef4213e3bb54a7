"""The sandbox's pods, people who visit them, and the real Prometheus, which counts what they get: a guard asks it."""

import asyncio
from dataclasses import replace

import pytest
from scraped import Target, prometheus
from yarl import URL

from bot.gates import GuardRunner
from bot.gates.prometheus import PrometheusCheck, Server
from bot.release.app import Comparison, Guard, Prometheus
from bot.release.record import Cause, Phase
from bot.release.snapshot import Verdict
from sandbox.cluster.behaviour import INSTANT, Behaviour
from world import NAMESPACE, World, example

pytestmark = pytest.mark.cluster

QUERY = (
    'sum(rate(http_requests_total{release="{label}",code="500"}[1m]))'
    ' / sum(rate(http_requests_total{release="{label}"}[1m]))'
)
ERRORS = Guard("errors", Prometheus(QUERY, Comparison.BELOW, 0.01), failures=2)


async def soon(_):
    await asyncio.sleep(0.1)


@pytest.fixture
async def world(tmp_path):
    """Whoever asks `flaky` by the active Service gets an error."""
    behaviours = {**INSTANT, "flaky": Behaviour(fails_as="mochiapp")}
    made = World(tmp_path / "greenlight.db", replace(example(), guards=(ERRORS,)), behaviours)
    await made.start()
    await made.cluster.pods.start()
    made.production = await made.cluster.proxy.serve("mochiapp", NAMESPACE)
    yield made
    await made.cluster.proxy.stop()
    await made.cluster.pods.stop()
    await made.store.close()


def pods_of(world, release):
    """As a relabelling of what Kubernetes tells of them would have it."""
    pods = world.cluster.objects.items("pods", NAMESPACE, labels=f"greenlight.dev/release={release.label}")
    place = URL(world.cluster.pods.url)
    for pod in pods:
        name = pod["metadata"]["name"]
        path = f"/{NAMESPACE}/{name}/metrics"
        yield Target(place.authority, {"__metrics_path__": path, "release": release.label, "pod": name})


async def watched(world, session, tmp_path, until):
    """What the guard last measured, once `until` is true of its runner, and what became of the release."""
    release, woken = await world.newest(), asyncio.Event()
    with prometheus(tmp_path / "prometheus", *pods_of(world, release)) as url:
        checks = {"prometheus": PrometheusCheck(session, Server(url), None, soon)}
        world.runners = lambda: [
            GuardRunner(world.store, checks, lambda _: woken.set(), lambda _: None, world.clock, soon)
        ]
        await world.restart()
        [runner] = world.controller._attending
        await world.run()
        async with asyncio.timeout(30):
            while not until(runner, woken):
                async with session.get(world.production):
                    await asyncio.sleep(0.02)
        [reading] = runner.readings(world.app, release)
        after = await world.run()
        await runner.close()
    return reading, after


async def test_what_answers_well_stays(world, session, tmp_path):
    release = await world.release_live("green")

    def measured(runner, _):
        return runner.readings(world.app, release)[0].verdict is Verdict.PASSED

    reading, after = await watched(world, session, tmp_path, measured)
    assert (reading.detail, after.phase) == ("0 < 0.01", Phase.BAKING)


async def test_what_answers_with_errors_goes_back_with_the_share_of_them(world, session, tmp_path):
    await world.release_live("flaky")
    reading, release = await watched(world, session, tmp_path, lambda _, woken: woken.is_set())
    assert reading.detail == "1, wanted < 0.01 (2 in a row)"
    assert (release.cause, release.reason) == (Cause.GUARD, f"guard errors failed: {reading.detail}")
    assert world.serving() == {"blue"}
