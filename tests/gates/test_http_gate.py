"""A gate of kind http blocks when it should: nothing but the answer that is wanted, each time, is a pass."""

import asyncio
import ssl
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from answering import garbage, hangs, hangs_up, make_certificate, says

from bot.clusters.errors import Unfit
from bot.gates.http import HttpCheck, visiting
from bot.release.app import Gate, Guard, Http
from bot.release.snapshot import Verdict
from world import example

SOON = timedelta(seconds=0.2)


def in_charset(name):
    async def answer(_):
        return web.Response(body=b"ok", headers={"Content-Type": f"text/plain; charset={name}"})

    return answer


@pytest.fixture
def found(server, session):
    """What a gate with this check comes to, when its path is asked for at the server."""

    async def inside(_):
        return server.url

    async def run(**wanted):
        gate = Gate("smoke", Http(**wanted))
        return await HttpCheck(session, inside)(example(), None, gate)

    return run


async def test_an_answer_as_expected_is_a_pass(server, found):
    server.answers = [says('{"status": "ok", "up": true}', X_Version="2")]
    finding = await found(path="/healthz", headers={"X-Version": "2"}, body="ok", json={"status": "ok", "up": True})
    assert finding.verdict is Verdict.PASSED
    assert [request.path for request in server.asked] == ["/healthz"]


async def test_it_is_asked_for_as_often_as_is_wanted_and_each_answer_counts(server, found):
    server.answers = [says(), says(), says(status=500), says()]
    finding = await found(repeat=5)
    assert (finding.verdict, finding.detail) == (
        Verdict.FAILED,
        f"answer 3 of 5: {server.url}/ answered 500, not 200",
    )
    server.asked.clear()
    assert (await found(repeat=5)).verdict is Verdict.PASSED
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    ("answer", "wanted", "verdict", "said"),
    [
        (says(status=500), {}, Verdict.FAILED, "answered 500, not 200"),
        (says(status=204), {}, Verdict.FAILED, "answered 204, not 200"),
        (says(status=404), {}, Verdict.NONE, "answered 404, not 200"),
        (says(status=302, Location="https://login.example.com/"), {}, Verdict.NONE, "it sends to login.example.com"),
        (says(), {"headers": {"X-Version": "2"}}, Verdict.FAILED, 'its header X-Version is null, not "2"'),
        (says("fine"), {"body": "ok"}, Verdict.FAILED, '"ok" is not in its answer'),
        (says("fine"), {"json": {"status": "ok"}}, Verdict.NONE, "its answer is not JSON"),
        (says("[]"), {"json": {"status": "ok"}}, Verdict.NONE, "its answer is no JSON object"),
        (says("{}"), {"json": {"status": "ok"}}, Verdict.FAILED, 'its status is null, not "ok"'),
        (says('{"up": 1}'), {"json": {"up": True}}, Verdict.FAILED, "its up is 1, not true"),
        (says('{"up": null}'), {"json": {"up": False}}, Verdict.FAILED, "its up is null, not false"),
        (says("[" * 60_000), {"json": {"status": "ok"}}, Verdict.NONE, "its answer is not JSON"),
        (in_charset("no-such"), {"body": "ok!"}, Verdict.FAILED, '"ok!" is not in its answer'),
        (in_charset("base64"), {"body": "ok!"}, Verdict.FAILED, '"ok!" is not in its answer'),
        (says('{"db": {"up": 1}}'), {"json": {"db": {"up": True}}}, Verdict.FAILED, 'its db is {"up": 1}'),
        (hangs, {"within": SOON}, Verdict.NONE, "did not answer within 0.2 s"),
        (hangs_up, {}, Verdict.NONE, "cannot be reached"),
    ],
)
async def test_i9_whatever_else_comes_is_no_pass(server, found, answer, wanted, verdict, said):
    server.answers = [answer]
    finding = await found(**wanted)
    assert finding.verdict is verdict
    assert said in finding.detail


async def test_an_answer_without_end_is_looked_at_as_far_as_it_matters(server, found):
    async def endless(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"ok" * 10_000)

    server.answers = [endless]
    assert (await found(body="ok")).verdict is Verdict.PASSED


async def test_an_answer_that_comes_in_pieces_is_looked_at_whole(server, found):
    """A proxy, or the app itself, sends what it has as soon as it has it."""

    async def piecemeal(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        for piece in (b'{"status":', b' "o', b'k"}'):
            await answer.write(piece)
            await asyncio.sleep(0.01)  # else they travel together
        await answer.write_eof()
        return answer

    server.answers = [piecemeal]
    assert (await found(json={"status": "ok"})).verdict is Verdict.PASSED
    assert (await found(body="ok")).verdict is Verdict.PASSED


async def test_an_answer_that_breaks_off_is_no_pass(server, found):
    async def breaks_off(request):
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"ok")
        request.transport.close()
        return answer

    server.answers = [breaks_off]
    assert (await found(body="ok")).verdict is Verdict.NONE


async def test_each_answer_is_asked_for_by_a_connection_of_its_own(server):
    """An open one leads to the pod that it led to, whatever the Service says by now."""
    ports = []

    async def inside(_):
        return server.url

    async def candidate(request):
        ports.append(request.transport.get_extra_info("peername"))
        return await says()(request)

    server.answers = [candidate]
    async with visiting() as session:
        assert (
            await HttpCheck(session, inside)(example(), None, Gate("smoke", Http(repeat=3)))
        ).verdict is Verdict.PASSED
    assert len(set(ports)) == 3


@pytest.mark.parametrize("answer", [says(), says(status=500), says(status=302, Location="/login"), hangs, garbage])
async def test_what_an_address_holds_that_others_should_not_read_is_not_shown(server, session, answer):
    """Everybody reads the card and the thread."""
    server.answers = [answer]
    url = server.url.replace("://", "://ann:hunter2@") + "/healthz?token=hunter2"
    finding = await HttpCheck(session, None)(example(), None, Gate("smoke", Http(url=url, within=SOON)))
    assert "hunter2" not in finding.detail
    assert f"{server.url}/healthz?…" in finding.detail


async def test_nobody_there_is_no_verdict(session):
    check = HttpCheck(session, None)
    gate = Gate("smoke", Http(url="http://127.0.0.1:9/", within=SOON))
    finding = await check(example(), None, gate)
    assert finding.verdict is Verdict.NONE
    assert "cannot be reached" in finding.detail


async def test_a_certificate_that_nobody_vouches_for_is_no_verdict(session, tmp_path):
    key, certificate = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = TestServer(web.Application(), scheme="https")
    await server.start_server(ssl=context)
    gate = Gate("smoke", Http(url=str(server.make_url("/"))))
    finding = await HttpCheck(session, None)(example(), None, gate)
    await server.close()
    assert finding.verdict is Verdict.NONE
    assert "certificate" in finding.detail


async def test_a_preview_service_that_cannot_be_asked_for_is_no_verdict(session):
    async def inside(_):
        raise Unfit("Service mochiapp-preview has no port", "give it one")

    finding = await HttpCheck(session, inside)(replace(example()), None, Gate("smoke", Http()))
    assert finding.verdict is Verdict.NONE
    assert finding.detail.startswith("Service mochiapp-preview has no port")
    assert not finding.asked


async def test_a_kubernetes_that_does_not_say_where_to_ask_is_told_before_the_time_is_over(session):
    """Whoever runs it would take that for an address that does not answer."""

    async def inside(_):
        await asyncio.Event().wait()

    guard = Guard("public", Http(), every=SOON)
    async with asyncio.timeout(SOON.total_seconds()):
        finding = await HttpCheck(session, inside)(example(), None, guard)
    assert (finding.verdict, finding.asked) == (Verdict.NONE, False)
    assert finding.detail == "Kubernetes did not say in time where to ask"


async def test_a_gate_does_not_wait_for_those_that_hang(server):
    """However many they are: it would run out of its own time."""

    async def candidate(request):
        return await (hangs if request.path == "/hangs" else says())(request)

    async def inside(_):
        return server.url

    server.answers = [candidate]
    async with visiting() as session, asyncio.TaskGroup() as tasks:
        check = HttpCheck(session, inside)
        stuck = Gate("load", Http(path="/hangs"))
        waiting = [tasks.create_task(check(example(), None, stuck)) for _ in range(150)]
        async with asyncio.timeout(10):
            while len(server.asked) < len(waiting):  # noqa: ASYNC110 - the server says nothing
                await asyncio.sleep(0)
            finding = await check(example(), None, Gate("smoke", Http(within=timedelta(seconds=5))))
        for each in waiting:
            each.cancel()
    assert finding.verdict is Verdict.PASSED
