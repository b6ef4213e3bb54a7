"""A gate of kind prometheus blocks when it should: one number, each time, that is as wanted, or no pass."""

import json
import ssl
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from answering import hangs_up, make_certificate, says
from hypothesis import given
from hypothesis import strategies as st

from bot.gates.prometheus import EVERY, PrometheusCheck, Server, filled
from bot.release.app import Comparison, Gate, Prometheus
from bot.release.snapshot import Verdict
from world import example

QUERY = 'sum(rate(errors{release="{label}",app="{app}",namespace="{namespace}"}[1m]))'
BELOW = Prometheus(QUERY, Comparison.BELOW, 0.01)


def result(kind, found):
    return says(json.dumps({"status": "success", "data": {"resultType": kind, "result": found}}))


def number(value):
    """As Prometheus 2 and 3 answer an instant query."""
    return result("vector", [{"metric": {}, "value": [1767603600.123, value]}])


NO_DATA = result("vector", [])


class Pauses:
    """Time that passes at once; `most` of them, then the test has waited for good."""

    def __init__(self):
        self.count = 0

    async def __call__(self, seconds):
        assert seconds == EVERY.total_seconds()
        self.count += 1
        assert self.count < 100


@pytest.fixture
def pauses():
    return Pauses()


@pytest.fixture
def found(server, session, pauses, ready):
    async def run(check=BELOW, release=ready, known=None, within=timedelta(minutes=5)):
        gate = Gate("errors", check, timeout=within)
        asks = PrometheusCheck(session, known or Server(server.url), pauses)
        return await asks(example(), release, gate)

    return run


async def test_a_value_as_wanted_is_a_pass(server, found, ready, pauses):
    server.answers = [number("0.004")]
    finding = await found()
    assert (finding.verdict, finding.detail) == (Verdict.PASSED, "0.004 < 0.01")
    [request] = server.asked
    assert request.path == "/api/v1/query"
    expected = f'sum(rate(errors{{release="{ready.label}",app="mochi",namespace="mochi"}}[1m]))'
    assert request.query["query"] == expected
    assert pauses.count == 0


@pytest.mark.parametrize(
    ("answer", "verdict", "said"),
    [
        (number("0.02"), Verdict.FAILED, "0.02, wanted < 0.01"),
        (number("0.01"), Verdict.FAILED, "0.01, wanted < 0.01"),
        (number("+Inf"), Verdict.NONE, "the query gives +Inf, which is no number"),
        (number("NaN"), Verdict.NONE, "the query gives NaN, which is no number"),
        (NO_DATA, Verdict.NONE, "the query gives no data"),
        (
            result("vector", [{"value": [0, "0"]}, {"value": [0, "0"]}]),
            Verdict.NONE,
            "the query gives 2 series where one is wanted",
        ),
        (result("matrix", []), Verdict.NONE, "the query gives a matrix, not one number"),
        (result("scalar", [0, "0.001"]), Verdict.PASSED, "0.001 < 0.01"),
        (
            says('{"status": "error", "error": "parse error at 3"}', 400),
            Verdict.NONE,
            "Prometheus refused the query: parse error at 3",
        ),
        (says("<html>", 200), Verdict.NONE, "Prometheus answered 200 with what is no result"),
        (says("[]", 404), Verdict.NONE, "Prometheus answered 404 with what is no result"),
        (says(status=302, Location="https://login.example.com"), Verdict.NONE, "answered 302 with what is no result"),
        (number("many"), Verdict.NONE, "with what is no result"),
        (hangs_up, Verdict.NONE, "Prometheus cannot be reached"),
    ],
)
async def test_i9_nothing_but_a_value_as_wanted_is_a_pass(server, found, answer, verdict, said):
    server.answers = [answer]
    finding = await found(within=timedelta(seconds=1))
    assert finding.verdict is verdict
    assert said in finding.detail


async def test_data_that_is_not_there_yet_is_waited_for(server, found, pauses):
    server.answers = [NO_DATA, number("NaN"), number("0.001")]
    assert (await found()).verdict is Verdict.PASSED
    assert pauses.count == 2


async def test_it_has_to_hold_for_as_long_as_is_wanted(server, found, pauses):
    lasting = replace(BELOW, lasts=timedelta(seconds=20))
    server.answers = [number("0.001")]
    assert (await found(lasting)).verdict is Verdict.PASSED
    assert pauses.count == 4
    server.answers = [number("0.001"), number("0.001"), number("0.5")]
    assert (await found(lasting)).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("live", "candidate", "verdict", "said"),
    [
        ("100", "119", Verdict.PASSED, "119 <= 120"),
        ("100", "121", Verdict.FAILED, "121, wanted <= 120"),
        ("0", "0", Verdict.PASSED, "0 <= 0"),
        ("0", "1", Verdict.FAILED, "1, wanted <= 0"),
    ],
)
async def test_it_is_compared_with_what_is_live(server, found, ready, live, candidate, verdict, said):
    times = Prometheus(QUERY, Comparison.AT_MOST, 1.2, baseline=True)
    server.answers = [number(candidate), number(live)]
    finding = await found(times, replace(ready, previous=replace(ready.previous, label="mochi-6-aaaaaa")))
    assert (finding.verdict, finding.detail) == (verdict, said)
    assert ["mochi-6-aaaaaa" in request.query["query"] for request in server.asked] == [False, True]


async def test_what_was_there_before_greenlight_is_nothing_to_compare_with(server, found):
    server.answers = [number("1")]
    finding = await found(Prometheus(QUERY, Comparison.AT_MOST, 1.2, baseline=True))
    assert finding.verdict is Verdict.NONE
    assert "nothing to compare with" in finding.detail


async def test_it_says_who_it_is_by_what_the_files_hold_at_that_moment(server, found, tmp_path):
    secret = tmp_path / "secret"
    server.answers = [number("0")]
    for word in ("one", "two"):
        secret.write_text(f"{word}\n")
        await found(known=Server(server.url, token=secret))
    await found(known=Server(server.url, user="ann", password=secret))
    said = [request.headers["Authorization"] for request in server.asked]
    assert said == ["Bearer one", "Bearer two", "Basic YW5uOnR3bw=="]


async def test_a_secret_that_cannot_be_read_is_no_verdict(server, found, tmp_path):
    finding = await found(known=Server(server.url, token=tmp_path / "none"))
    assert finding.verdict is Verdict.NONE
    assert "Prometheus cannot be asked" in finding.detail


async def test_its_certificate_has_to_be_vouched_for_by_whom_the_file_names(session, ready, tmp_path):
    key, certificate = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    app = web.Application()
    app.router.add_get("/api/v1/query", number("0"))
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    url = str(server.make_url("/"))
    gate = Gate("errors", BELOW)
    unknown = await PrometheusCheck(session, Server(url))(example(), ready, gate)
    known = await PrometheusCheck(session, Server(url, ca=certificate))(example(), ready, gate)
    await server.close()
    assert (unknown.verdict, known.verdict) == (Verdict.NONE, Verdict.PASSED)
    assert "certificate of Prometheus is not right" in unknown.detail


async def test_without_a_prometheus_there_is_no_verdict(session, ready):
    finding = await PrometheusCheck(session, None)(example(), ready, Gate("errors", BELOW))
    assert finding.verdict is Verdict.NONE


@given(st.text())
def test_a_value_never_leaves_the_quotes_that_it_is_filled_into(label):
    """PromQL's strings are Go's: a backslash escapes."""
    query = filled('x{release="{label}"}', example(), label)
    inner = query.removeprefix('x{release="').removesuffix('"}')
    # Every quote is escaped, and no backslash is left over to escape the one that ends the string.
    assert '"' not in inner.replace("\\\\", "").replace('\\"', "")
    assert "\n" not in inner
    assert not inner.replace("\\\\", "").endswith("\\")
