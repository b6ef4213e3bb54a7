"""A gate of kind prometheus blocks when it should: one number, each time, that is as wanted, or no pass."""

import asyncio
import json
import re
import ssl
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from answering import garbage, hangs_up, make_certificate, says
from hypothesis import given
from hypothesis import strategies as st

from bot.clusters.errors import Away, Forbidden
from bot.gates.prometheus import EVERY, PrometheusCheck, Server, filled
from bot.release.app import Comparison, Gate, Prometheus
from bot.release.snapshot import Side, Snapshot, Traffic, Verdict
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


def shows(*hashes):
    """A cluster in which the candidate's pods and those of the live version have these, in turn; "" is none."""
    left = list(hashes)

    async def seen(_, release):
        candidate, live = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(candidate, Exception):
            raise candidate
        sides = (Side(name, True, 1, 1, True, pod_hash=each) for name, each in (("green", candidate), ("blue", live)))
        return Snapshot(Traffic.PREVIOUS, *sides, read_at=release.since, changed_by="")

    return seen


async def not_asked(app, release):
    raise AssertionError("a query without {hash} needs nothing of the cluster")


@pytest.fixture
def pauses():
    return Pauses()


@pytest.fixture
def found(server, session, pauses, ready):
    async def run(check=BELOW, release=ready, known=None, within=timedelta(minutes=5), seen=not_asked):
        gate = Gate("errors", check, timeout=within)
        asks = PrometheusCheck(session, known or Server(server.url), seen, pauses)
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
        (says("Unauthorized", 401), Verdict.NONE, "Prometheus does not let Greenlight in (401): look at `token`"),
        (says("<html>", 403), Verdict.NONE, "Prometheus does not let Greenlight in (403): look at `token`"),
        (says("not yet", 503), Verdict.NONE, "Prometheus answered 503"),
        (says("[]", 404), Verdict.NONE, "Prometheus answered 404 with what is no result"),
        (says(status=302, Location="https://login.example.com"), Verdict.NONE, "answered 302 with what is no result"),
        (number("many"), Verdict.NONE, "with what is no result"),
        (number(value=False), Verdict.NONE, "with what is no result"),
        (result("vector", [{"metric": {}, "value": "10"}]), Verdict.NONE, "with what is no result"),
        (result("scalar", [0, "0", "0.5"]), Verdict.NONE, "with what is no result"),
        (says("[" * 60_000), Verdict.NONE, "with what is no result"),
        (hangs_up, Verdict.NONE, "Prometheus cannot be reached"),
    ],
)
async def test_i9_nothing_but_a_value_as_wanted_is_a_pass(server, found, answer, verdict, said):
    server.answers = [answer]
    finding = await found(within=timedelta(seconds=1))
    assert finding.verdict is verdict
    assert said in finding.detail


async def test_an_answer_that_comes_in_pieces_is_looked_at_whole(server, found):
    """Whatever stands before Prometheus passes on what it has."""

    async def piecemeal(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        for piece in (b'{"status": "success", "data": {"resultType": "scalar",', b' "result": [0, "0.001"]}}'):
            await answer.write(piece)
            await asyncio.sleep(0.01)  # else they travel together
        await answer.write_eof()
        return answer

    server.answers = [piecemeal]
    assert (await found()).verdict is Verdict.PASSED


async def test_data_that_is_not_there_yet_is_waited_for(server, found, pauses):
    server.answers = [NO_DATA, number("NaN"), says("it is starting", 503), says("slowly", 429), number("0.001")]
    assert (await found()).verdict is Verdict.PASSED
    assert pauses.count == 4


async def test_what_is_answered_as_an_error_is_no_result_whatever_it_holds(server, found):
    async def confused(request):
        answer = await number("0.001")(request)
        answer.set_status(404)
        return answer

    server.answers = [confused]
    assert (await found()).detail == "Prometheus answered 404 with what is no result"


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
    said = "what is live was there before Greenlight, so it has no label to compare with; its pods have a {hash}"
    assert finding.detail == said


HASHED = replace(BELOW, query='errors{pod_template_hash="{hash}"}')


async def test_the_pods_hash_is_filled_in_and_needs_no_label(server, found):
    """So what was there before Greenlight can be compared with as well."""
    server.answers = [number("100"), number("100")]
    finding = await found(replace(HASHED, baseline=True, bound=1.2), seen=shows(("5d4c7f", "77bf6d")))
    assert (finding.verdict, finding.detail) == (Verdict.PASSED, "100 < 120")
    asked = [request.query["query"] for request in server.asked]
    assert asked == ['errors{pod_template_hash="5d4c7f"}', 'errors{pod_template_hash="77bf6d"}']


async def test_pods_that_are_not_there_yet_or_are_being_replaced_are_waited_for(server, found, pauses):
    """While there are several hashes none of them says it all."""
    server.answers = [number("0")]
    away = Away("the API server cannot be reached")
    assert (await found(HASHED, seen=shows(("", ""), (away, ""), ("5d4c7f", "")))).verdict is Verdict.PASSED
    assert pauses.count == 2
    finding = await found(replace(HASHED, baseline=True), seen=shows(("5d4c7f", "")), within=timedelta(seconds=1))
    assert finding.verdict is Verdict.NONE
    assert finding.detail == "the pods of blue have no pod template hash in common"


async def test_i9_a_hash_that_cannot_be_read_is_no_verdict(server, found):
    finding = await found(HASHED, seen=shows((Forbidden("no right to list pods"), "")))
    assert finding.verdict is Verdict.NONE
    assert finding.detail.startswith("the pods' hash cannot be told: ")
    assert server.asked == []


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


@pytest.mark.parametrize("answer", [says("[]", 404), says(status=500), hangs_up, garbage])
async def test_what_its_address_holds_that_others_should_not_read_is_not_shown(server, found, answer):
    server.answers = [answer]
    finding = await found(known=Server(server.url.replace("://", "://ann:hunter2@")), within=timedelta(seconds=1))
    assert finding.verdict is Verdict.NONE
    assert "hunter2" not in finding.detail
    assert "query=" not in finding.detail


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
    unknown = await PrometheusCheck(session, Server(url), not_asked)(example(), ready, gate)
    known = await PrometheusCheck(session, Server(url, ca=certificate), not_asked)(example(), ready, gate)
    await server.close()
    assert (unknown.verdict, known.verdict) == (Verdict.NONE, Verdict.PASSED)
    assert "certificate of Prometheus is not right" in unknown.detail


async def test_without_a_prometheus_there_is_no_verdict(session, ready):
    finding = await PrometheusCheck(session, None, not_asked)(example(), ready, Gate("errors", BELOW))
    assert finding.verdict is Verdict.NONE


@given(st.text(), st.sampled_from("\"'`"), st.sampled_from(["label", "hash"]))
def test_a_value_never_leaves_the_quotes_that_it_is_filled_into(value, quote, name):
    """PromQL's strings are Go's: a backslash escapes, but for between backticks, where nothing does."""
    query = filled(f"x{{release={quote}{{{name}}}{quote}}}", example(), value, value)
    inner = query.removeprefix(f"x{{release={quote}").removesuffix(f"{quote}}}")
    assert quote not in inner
    assert "\n" not in inner
    if quote != "`":
        # A backslash is there only with the two digits that it needs, so that none escapes the quote at the end.
        assert re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), inner) == value


def test_what_was_filled_in_is_not_filled_in_again():
    assert filled("{label}", example(), "{app}") == "{app}"
