"""One call to an API server that fails in every way: one `ClusterError`, in time, and never a second write."""

import asyncio
import json

import pytest
from aiohttp import web
from api_faults import NAMESPACE, SHORT, cluster, kubeconfig, reached
from hypothesis import given
from hypothesis import strategies as st

import mochi
from bot.clusters.api import SERVICE, Patience, parsed
from bot.clusters.errors import Away, Busy, Forbidden, Gone, Missing, Stale

TOUCH = [{"op": "add", "path": "/metadata/annotations", "value": {"example.com/touched": "yes"}}]


@pytest.fixture
async def served():
    async with cluster() as made:
        yield made


@pytest.fixture
async def api(served, tmp_path):
    async with reached(kubeconfig(tmp_path / "kubeconfig", served), SHORT) as made:
        yield made


def annotations(served):
    return served.objects.get("services", NAMESPACE, mochi.ACTIVE)["metadata"].get("annotations") or {}


FAULTS = {
    "reset": (lambda faults, *where: faults.reset(*where, times=2), Away, "cannot be reached at"),
    "silence": (lambda faults, *where: faults.silence(*where), Away, "did not answer in time"),
    "slow": (lambda faults, *where: faults.trickle(0.05, *where), Away, "did not answer in time"),
    "truncated": (lambda faults, *where: faults.truncate(*where), Away, "cannot be reached at"),
    "chunks cut": (lambda faults, *where: faults.cut(*where), Away, "cannot be reached at"),
    "lost answer": (lambda faults, *where: faults.lose_answer(*where, times=2), Away, "cannot be reached at"),
    "500 after it was done": (lambda faults, *where: faults.answer_afterwards(500, *where), Away, "answered 500"),
    "504 after it was done": (lambda faults, *where: faults.answer_afterwards(504, *where), Away, "answered 504"),
    "500": (lambda faults, *where: faults.answer(500, *where), Away, "answered 500"),
    "503": (lambda faults, *where: faults.answer(503, *where), Away, "answered 503"),
    "409": (lambda faults, *where: faults.answer(409, *where), Stale, "refused to"),
    "422": (lambda faults, *where: faults.answer(422, *where), Stale, "refused to"),
    "410": (lambda faults, *where: faults.answer(410, *where), Gone, "too old to"),
    "404": (lambda faults, *where: faults.answer(404, *where), Missing, "not found"),
    "401": (lambda faults, *where: faults.answer(401, *where, times=2), Forbidden, "does not take Greenlight's"),
    "429": (lambda faults, *where: faults.answer(429, *where), Busy, "has too much to do"),
    "429 that says nothing": (
        lambda faults, *where: faults.answer(429, *where, headers={}),
        Busy,
        "has too much to do",
    ),
    "a proxy's page": (lambda faults, *where: faults.page(200, *where), Away, "something between answers"),
    "a proxy's 502": (lambda faults, *where: faults.page(502, *where), Away, "answered 502"),
    "redirect": (
        lambda faults, *where: faults.redirect("http://login.example.com/", *where),
        Away,
        "login.example.com",
    ),
}
DONE_ALL_THE_SAME = {"slow", "truncated", "chunks cut", "lost answer", "500 after it was done", "504 after it was done"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_i9_a_read_that_fails_is_one_cluster_error_and_the_next_one_works(served, api, fault):
    arrange, error, words = FAULTS[fault]
    arrange(served.server.faults, "GET", "/services/")
    with pytest.raises(error, match=words) as raised:
        await api.get(SERVICE, NAMESPACE, mochi.ACTIVE)
    assert type(raised.value) is error
    served.server.faults.clear()
    assert (await api.get(SERVICE, NAMESPACE, mochi.ACTIVE))["metadata"]["name"] == mochi.ACTIVE


@pytest.mark.parametrize("fault", FAULTS)
async def test_i2_a_write_that_fails_is_one_cluster_error_and_is_not_sent_again(served, api, fault):
    """Its error says what is known: `Away` when it may have happened, and only then may it have happened."""
    arrange, error, words = FAULTS[fault]
    arrange(served.server.faults, "PATCH", "/services/")
    with pytest.raises(error, match=words) as raised:
        await api.patch(SERVICE, NAMESPACE, mochi.ACTIVE, TOUCH)
    assert type(raised.value) is error
    done = fault in DONE_ALL_THE_SAME
    assert bool(annotations(served)) is done
    assert len(served.server.writes) == done
    assert not done or error is Away


async def test_a_reset_connection_is_tried_again_for_reads_alone(served, api):
    """A kept connection that the server has closed meanwhile is no news; for a write it would be a second one."""
    await api.get(SERVICE, NAMESPACE, mochi.ACTIVE)
    served.server.faults.reset("GET")
    await api.get(SERVICE, NAMESPACE, mochi.ACTIVE)
    served.server.faults.lose_answer("PATCH")
    with pytest.raises(Away):
        await api.patch(SERVICE, NAMESPACE, mochi.ACTIVE, TOUCH)
    assert len(served.server.writes) == 1


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_what_was_not_admitted_is_sent_again_when_the_api_server_says(served, tmp_path, method):
    """429 of API priority and fairness comes before anything is done, so a write as well."""
    served.server.faults.answer(429, method, "/services/")
    async with reached(kubeconfig(tmp_path / "kubeconfig", served)) as api:
        if method == "GET":
            await api.get(SERVICE, NAMESPACE, mochi.ACTIVE)
        else:
            await api.patch(SERVICE, NAMESPACE, mochi.ACTIVE, TOUCH)
            assert [write.status for write in served.server.writes] == [200]


@pytest.mark.parametrize("retry_after", ["3600", "1" * 400, "-1", "²", "Wed, 21 Oct 2026 07:28:00 GMT", "soon", ""])
async def test_a_wait_that_is_too_long_or_no_number_is_not_waited_for(served, tmp_path, retry_after):
    served.server.faults.answer(429, "GET", "/services/", times=50, headers={"Retry-After": retry_after})
    async with reached(kubeconfig(tmp_path / "kubeconfig", served)) as api, asyncio.timeout(5):
        with pytest.raises(Busy, match=r"has too much to do and does not get Service mochi/mochiapp"):
            await api.get(SERVICE, NAMESPACE, mochi.ACTIVE)


async def test_a_write_waits_less_than_the_look_that_it_was_decided_on_may_grow_old(served, tmp_path):
    fault = served.server.faults.answer(429, "PATCH", "/services/", times=50)
    async with reached(kubeconfig(tmp_path / "kubeconfig", served), Patience(write=1.5)) as api:
        with pytest.raises(Busy, match=r"before 1 s have passed \(429\)$"):
            await api.patch(SERVICE, NAMESPACE, mochi.ACTIVE, TOUCH)
    assert fault.times == 48


async def test_a_connection_that_takes_everything_and_answers_nothing_is_given_up(served, tmp_path):
    """Half-open: it accepts, and not even the end of the connection ever comes."""
    holding = asyncio.Event()

    async def deaf(reader, writer):
        await holding.wait()
        writer.close()

    listening = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    place = kubeconfig(tmp_path / "kubeconfig", served, server=f"http://127.0.0.1:{port}")
    async with reached(place, SHORT) as api, asyncio.timeout(5):
        with pytest.raises(Away, match="did not answer in time"):
            await api.get(SERVICE, NAMESPACE, mochi.ACTIVE)
        with pytest.raises(Away, match="did not answer in time"):
            await anext(api.watch(SERVICE, NAMESPACE, "1"))
    holding.set()
    listening.close()
    await listening.wait_closed()


async def test_s21_no_redirect_is_followed_with_a_token_or_with_a_write(served, api):
    """Not to the same place either: an API server does not redirect, what stands before it does."""
    asked = []

    async def trap(request):
        asked.append(request.path)
        return web.json_response({"metadata": {}})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", trap)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    for status in (301, 302, 303, 307, 308):
        there = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        served.server.faults.redirect(there, "PATCH", status=status)
        served.server.faults.redirect(f"{served.url}/api/v1/namespaces/mochi/services/mochiapp", "GET", status=status)
        with pytest.raises(Away, match=r"was sent on to 127\.0\.0\.1 and not followed"):
            await api.patch(SERVICE, NAMESPACE, mochi.ACTIVE, TOUCH)
        with pytest.raises(Away, match=r"was sent on to 127\.0\.0\.1 and not followed"):
            await api.get(SERVICE, NAMESPACE, mochi.ACTIVE)
    await runner.cleanup()
    assert (asked, served.server.writes) == ([], [])


async def test_a_netrc_of_the_operator_is_not_meant_for_the_cluster(served, api, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert await api.get(SERVICE, NAMESPACE, mochi.ACTIVE)


class Odd:
    """An API server that answers everything with the same bytes."""

    def __init__(self) -> None:
        self.body = b""

    async def start(self) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request):
        return web.Response(body=self.body, content_type="application/json")


ODD = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b'{"metadata":',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"metadata": {"name": "\\ud800"}}',
    b'{"n": ' + b"9" * 5000 + b"}",
]
ODD_LISTS = [
    b"{}",
    b'{"metadata": {"resourceVersion": "3"}}',
    b'{"items": {}}',
    b'{"items": [null]}',
    b'{"items": "abc"}',
    b'{"items": [], "metadata": []}',
    b'{"items": [], "metadata": {"continue": "again"}}',
]
ODD_EVENTS = [
    b'{"type": "ADDED"}\n',
    b'{"type": "ADDED", "object": null}\n',
    b'{"type": "ADDED", "object": {"metadata": []}}\n',
    b'{"type": "ERROR", "object": "gone"}\n',
    b'{"type": "ERROR", "object": {"code": "many"}}\n',
    b'{"type": "ERROR"}\n',
]


@pytest.fixture
async def odd(served, tmp_path):
    server = Odd()
    place = kubeconfig(tmp_path / "odd", served, server=await server.start())
    async with reached(place, Patience(call=5)) as api:
        yield server, api
    await server.stop()


@pytest.mark.parametrize("body", ODD, ids=lambda body: repr(body[:20]))
async def test_i9_an_answer_that_is_no_object_is_one_cluster_error(odd, body):
    server, api = odd
    server.body = body
    for call in (
        api.get(SERVICE, NAMESPACE, "x"),
        api.list(SERVICE, NAMESPACE),
        api.patch(SERVICE, NAMESPACE, "x", []),
    ):
        with pytest.raises(Away, match="sent an answer that cannot be read"):
            await call
    if body:
        with pytest.raises(Away, match="sent an answer that cannot be read"):
            await anext(api.watch(SERVICE, NAMESPACE, "1"))


@pytest.mark.parametrize("body", ODD_LISTS)
async def test_i9_a_list_that_is_none_or_has_no_end_is_one_cluster_error(odd, body):
    server, api = odd
    server.body = body
    with pytest.raises(Away, match=r"cannot be read|does not come to an end"):
        await api.list(SERVICE, NAMESPACE)


@pytest.mark.parametrize("body", ODD_EVENTS)
async def test_i9_an_event_that_is_none_is_one_cluster_error(odd, body):
    server, api = odd
    server.body = body
    with pytest.raises(Away, match="sent an answer that cannot be read"):
        await anext(api.watch(SERVICE, NAMESPACE, "1"))


async def test_an_event_without_an_end_is_not_kept_in_memory(odd):
    server, api = odd
    server.body = b'{"type": "ADDED", "object": "' + b"a" * 10_000_000
    with pytest.raises(Away, match="sent an answer that cannot be read"):
        await anext(api.watch(SERVICE, NAMESPACE, "1"))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_parsed_can_be_stored_and_sent(data):
    try:
        found = parsed(data)
    except (ValueError, RecursionError):
        return
    assert isinstance(found, dict)
    json.dumps(found, ensure_ascii=False).encode()


async def test_however_many_watches_there_are_calls_come_through(served, tmp_path):
    """Four for each namespace, and each holds a connection for as long as the bot lives: a bounded pool would be full
    with twenty-five namespaces, and the first release would wait for ever."""
    async with reached(kubeconfig(tmp_path / "kubeconfig", served), Patience()) as api:

        async def watch() -> None:
            async for _ in api.watch(SERVICE, NAMESPACE, str(served.objects.version)):
                pass

        watching = [asyncio.create_task(watch()) for _ in range(101)]
        await served.server.until_watching(101)
        assert (await api.get(SERVICE, NAMESPACE, mochi.ACTIVE))["metadata"]["name"] == mochi.ACTIVE
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
