"""The real k6, run by the Job that the gate makes: with its command, environment, files and termination message."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from mochi_jobs import LOAD, candidate, config_map, placed

import built
from bot.gates.k6 import NO_THRESHOLD
from bot.release.snapshot import Verdict
from sandbox.cluster import errands

pytestmark = pytest.mark.cluster

SCRIPT = """
import http from 'k6/http';
import { check } from 'k6';
import { Counter, Gauge, Rate, Trend } from 'k6/metrics';
import { path } from './where.js';
const price = JSON.parse(open('./price.json'));
const never = { trend: new Trend('no_trend'), rate: new Rate('no_rate'), gauge: new Gauge('no_gauge') };
const errors = new Counter('errors');
export const options = {
  scenarios: { some: { executor: 'shared-iterations', vus: 2, iterations: 6, exec: 'look' } },
  thresholds: { THRESHOLDS },
};
export function look() {
  const answer = http.get(__ENV.PREVIEW_URL + path);
  check(answer, { 'it is grün': (r) => r.status === 200 && __ENV.PRICE === price.costs });
}
"""
ALL_WELL = (
    "http_req_duration: ['p(95)<5000', 'p(99.5)<6000'], http_req_failed: ['rate<0.01'], checks: ['rate==1'], "
    "http_reqs: ['count>=6'], errors: ['count<1']"
)


@pytest.fixture
async def place(tmp_path, ready):
    async with placed(tmp_path, ready, built.k6()) as made:
        made.gate = replace(LOAD, timeout=timedelta(seconds=60))
        yield made


async def result(place, thresholds, script=SCRIPT):
    files = {"where.js": "export const path = '/version';", "price.json": '{"costs": "$(VUS) $5"}'}
    place.cluster.apply([config_map(**{"load.js": script.replace("THRESHOLDS", thresholds)}, **files)])
    return await place.run(place.gate)


async def test_thresholds_that_hold_pass_with_value_and_threshold(place):
    finding = await result(place, ALL_WELL)
    assert finding.verdict is Verdict.PASSED, finding.detail
    assert "checks rate 100 % == 100 %" in finding.detail
    assert "http_reqs count 6 >= 6" in finding.detail
    assert "http_req_duration p(99.5) " in finding.detail
    assert ("✓", "http_reqs count", "6 >= 6") in finding.report.rows
    assert finding.report.rows[-2:] == (("checks",), ("✓", "it is grün", "6 of 6"))
    assert json.loads(finding.report.raw)["label"] == "mochi-7-k3f9q2"


async def test_a_candidate_that_is_slow_crosses_a_threshold(place):
    """`slow` answers after 0.4 s."""
    candidate(place.cluster, "registry.example.com/mochi:slow")
    finding = await result(place, "http_req_duration: ['p(95)<300'], http_req_failed: ['rate<0.01']")
    assert finding.verdict is Verdict.FAILED, finding.detail
    assert re.fullmatch(r"http_req_duration p\(95\) [0-9.]+ ms ≥ 300 ms", finding.detail)


@pytest.mark.parametrize(
    "threshold",
    [
        "no_trend: ['p(95)<300']",
        "no_rate: ['rate<0.01']",
        "no_gauge: ['value<5']",
        "'http_req_failed{scenario:none}': ['rate<0.1']",
    ],
)
async def test_a_metric_without_a_sample_is_no_verdict_though_k6_lets_it_pass(place, threshold):
    finding = await result(place, threshold)
    assert finding.verdict is Verdict.NONE
    assert finding.detail.startswith("there is no data for ")


async def test_a_script_without_a_threshold_is_refused_before_it_makes_load(place):
    finding = await result(place, "")
    assert (finding.verdict, finding.detail) == (Verdict.NONE, NO_THRESHOLD)


ABORTED = """
import exec from 'k6/execution';
export const options = { thresholds: { iterations: ['count>0'] } };
export default function () { exec.test.abort('enough') }
"""
UNKNOWN = """
export const options = { thresholds: { nothing_of_that_name: ['count>0'] } };
export default function () {}
"""


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("export const options = {", "107: its script threw an exception: could not initialize"),
        ("import './none.js'", "107: its script threw an exception: could not initialize"),
        (ABORTED, "108: its script stopped it"),
        (UNKNOWN, "104: its options are not valid"),
    ],
)
async def test_a_script_that_does_not_come_to_its_end_is_no_verdict(place, script, expected):
    finding = await result(place, "", script)
    assert finding.verdict is Verdict.NONE
    assert finding.detail.startswith(f"k6 ended with exit code {expected}"), finding.detail


async def test_a_variable_that_would_switch_thresholds_off_does_not(place):
    """k6 takes K6_NO_THRESHOLDS from its environment."""
    check = replace(place.gate.check, env={**place.gate.check.env, "K6_NO_THRESHOLDS": "true", "K6_NO_SUMMARY": "true"})
    place.gate = replace(place.gate, check=check)
    finding = await result(place, "http_reqs: ['count<1']")
    assert finding.verdict is not Verdict.PASSED
    assert "http_reqs count 6" in finding.detail or "no summary" in finding.detail


async def test_thresholds_that_do_not_fit_into_the_message_are_no_verdict(place):
    many = ", ".join(f"'http_req_duration{{name:{'x' * 40}{n}}}': ['p(95)<300']" for n in range(60))
    finding = await result(place, many)
    assert (finding.verdict, finding.detail) == (
        Verdict.NONE,
        "60 thresholds are more than fit into 4096 bytes: set fewer",
    )


async def test_k6_ends_when_its_job_is_deleted(place, monkeypatch):
    """A load that nobody waits for any more is none."""
    ended, started, process = asyncio.Event(), asyncio.Event(), errands._process

    async def watched(*told):
        started.set()
        try:
            return await process(*told)
        finally:
            ended.set()

    monkeypatch.setattr(errands, "_process", watched)
    slow = SCRIPT.replace("iterations: 6", "iterations: 100000, maxDuration: '10m'")
    running = asyncio.create_task(result(place, ALL_WELL, slow))
    async with asyncio.timeout(20):
        await started.wait()
        place.delete_job()
        await ended.wait()
        finding = await running
    assert (finding.verdict, "deleted" in finding.detail) == (Verdict.NONE, True)
