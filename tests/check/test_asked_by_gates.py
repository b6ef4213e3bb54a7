"""What gates ask is asked once: whether Prometheus answers, whether it understands each query, whether addresses do."""

import json
import ssl
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from answering import hangs_up, make_certificate, says
from checked_team import ArgoTeam, Team

from bot.check.finding import State
from bot.clusters.argo.reading import HASH as ARGO_HASH
from bot.clusters.cluster import LABEL
from bot.clusters.reading import HASH, labels
from world import NAMESPACE

QUERY = 'sum(rate(errors{release="{label}",hash="{hash}"}[1m]))'
GATE, SERVER = ("app mochi", "gate errors"), ("Prometheus", "server")


def result(kind, found):
    return says(json.dumps({"status": "success", "data": {"resultType": kind, "result": found}}))


def gives(*values):
    return result("vector", [{"metric": {}, "value": [1767603600.123, value]} for value in values])


# As Prometheus 2.42 answers `sum(rate(`.
UNCLOSED = 'invalid parameter "query": 1:10: parse error: unclosed left parenthesis'
REFUSED = says(json.dumps({"status": "error", "errorType": "bad_data", "error": UNCLOSED}), 400)


class Asked:
    """A Prometheus: `there` answers whoever only wants to know that, `answer` the queries of gates."""

    url = ""

    def __init__(self):
        self.there = self.answer = gives("0.004")
        self.queries = []
        self.said = []

    async def handle(self, request):
        self.said.append(request.headers.get("Authorization"))
        if request.query["query"] == "vector(1)":
            return await self.there(request)
        self.queries.append(request.query["query"])
        return await self.answer(request)


@asynccontextmanager
async def listening(handle, path="/{path:.*}"):
    app = web.Application()
    app.router.add_get(path, handle)
    async with TestServer(app) as server:
        yield str(server.make_url("/")).rstrip("/")


@pytest.fixture
async def prometheus():
    made = Asked()
    async with listening(made.handle, "/api/v1/query") as made.url:
        yield made


@pytest.fixture
def gated(team):
    """The team's file with one more gate, and where Prometheus is."""
    before = (team.folder / "greenlight.toml").read_text()

    def write(gate, url="", more="", of="gates"):
        server = f'[prometheus]\nurl = "{url}"\n{more}' if url else ""
        (team.folder / "greenlight.toml").write_text(f"{before}\n[[apps.mochi.{of}]]\n{gate}\n{server}")

    return write


def errors(query=QUERY, more=""):
    return f"name = 'errors'\nkind = 'prometheus'\nquery = '''{query}'''\npass = '< 0.01'\n{more}"


def asks(url="", more=""):
    where = f"url = '{url}'" if url else "path = '/healthz'"
    return f"name = 'smoke'\nkind = 'http'\n{where}\n{more}"


def told(found):
    return {
        (each.part, each.about): each
        for each in found
        if each.about.startswith(("gate", "guard")) or each.part == SERVER[0]
    }


def live_pods(team):
    return team.cluster.objects.items("pods", NAMESPACE, "app=mochi")


# Queries --------------------------------------------------------------------------------------------------------------


async def test_a_query_is_asked_once_about_what_is_live(checked, team, gated, prometheus):
    gated(errors(QUERY.replace("{label}", "x")), prometheus.url)
    found = await checked()
    assert found.wrong == []
    assert {key: each.sentence for key, each in told(found).items()} == {
        SERVER: f"{prometheus.url} answers.",
        GATE: "is 0.004 for what is live; < 0.01 is wanted.",
    }
    [pod_hash] = {labels(pod)[HASH] for pod in live_pods(team)}
    assert prometheus.queries == [f'sum(rate(errors{{release="x",hash="{pod_hash}"}}[1m]))']


async def test_of_what_was_live_before_greenlight_there_is_no_label_and_that_is_no_fault(checked, gated, prometheus):
    gated(errors(), prometheus.url)
    prometheus.answer = gives()
    found = await checked()
    assert found.wrong == []
    said = "is understood by Prometheus; about what is live: what is live has no {label} to be asked about."
    assert told(found)[GATE].sentence == said
    assert 'release="none"' in prometheus.queries[0]


async def test_a_release_that_is_live_is_asked_about_by_its_label(checked, team, gated, prometheus):
    stamp = {"spec": {"template": {"metadata": {"labels": {LABEL: "mochi-6-aaaaaa"}}}}}
    await team.change("deployments", "mochiapp-blue", stamp)
    gated(errors(), prometheus.url)
    await checked()
    assert 'release="mochi-6-aaaaaa"' in prometheus.queries[0]


@pytest.mark.parametrize("answer", [gives(), gives("NaN")], ids=["no data", "NaN"])
async def test_that_there_is_no_data_is_a_note_and_no_fault(checked, gated, prometheus, answer):
    gated(errors("sum(errors)"), prometheus.url)
    prometheus.answer = answer
    found = await checked()
    assert found.wrong == []
    assert told(found)[GATE].sentence.startswith("is understood by Prometheus; about what is live: the query gives ")


@pytest.mark.parametrize("mode", ["block", "ask", "warn"])
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (REFUSED, f"Prometheus refused the query: {UNCLOSED}."),
        (result("matrix", []), "the query gives a matrix, not one number."),
    ],
)
async def test_a_query_that_can_never_give_a_number_fails_with_the_fix(
    checked, gated, prometheus, answer, sentence, mode
):
    gated(errors("sum(rate(", f'mode = "{mode}"'), prometheus.url)
    prometheus.answer = answer
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about) == GATE
    assert (wrong.sentence, wrong.state) == (sentence, State.WARN if mode == "warn" else State.FAIL)
    assert wrong.fix.startswith("Put `query` of gate errors of [apps.mochi] right")


async def test_several_series_are_told_with_what_makes_one_of_them(checked, gated, prometheus):
    gated(errors("errors"), prometheus.url)
    prometheus.answer = gives("0", "1")
    [wrong] = (await checked()).wrong
    assert wrong.sentence == "the query gives 2 series where one is wanted, for what is live."
    assert (wrong.state, "sum(…)" in wrong.fix) == (State.WARN, True)


# Prometheus itself ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["block", "warn"])
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (says("Unauthorized", 401), "Prometheus does not let Greenlight in (401): look at `token`"),
        (says("<html>"), "Prometheus answered 200 with what is no result."),
        (says("starting", 503), "Prometheus answered 503."),
        (hangs_up, "Prometheus cannot be reached: "),
    ],
    ids=["401", "html", "503", "gone"],
)
async def test_a_prometheus_that_cannot_be_asked_is_one_finding(checked, gated, prometheus, answer, sentence, mode):
    gated(errors(more=f'mode = "{mode}"'), prometheus.url)
    prometheus.there = prometheus.answer = answer
    [wrong] = (await checked()).wrong
    assert ((wrong.part, wrong.about), wrong.state) == (SERVER, State.WARN if mode == "warn" else State.FAIL)
    assert wrong.sentence.startswith(sentence)
    assert wrong.fix


async def test_it_is_asked_with_its_token(checked, team, gated, prometheus):
    (team.folder / "secret").write_text("one\n")
    gated(errors(), prometheus.url, f"token = '{team.folder / 'secret'}'")
    assert (await checked()).wrong == []
    assert set(prometheus.said) == {"Bearer one"}


@pytest.mark.parametrize("known", [False, True])
async def test_its_certificate_is_held_against_its_ca(checked, team, gated, prometheus, known):
    key, certificate = make_certificate(team.folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    app = web.Application()
    app.router.add_get("/api/v1/query", prometheus.handle)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    gated(errors(), str(server.make_url("/")), f"ca = '{certificate}'" if known else "")
    wrong = (await checked()).wrong
    await server.close()
    assert [each.sentence.partition(": ")[0] for each in wrong] == ["the certificate of Prometheus is not right"][
        known:
    ]


async def test_an_address_inside_the_cluster_is_no_fault_from_outside(checked, gated, monkeypatch):
    gated(errors(), "http://prometheus.monitoring.svc:9090")
    found = await checked()
    assert found.wrong == []
    assert "is an address inside a cluster, which cannot be reached from here" in told(found)[SERVER].sentence
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    [wrong] = (await checked()).wrong
    assert ((wrong.part, wrong.about), wrong.state) == (SERVER, State.FAIL)


async def test_where_no_gate_asks_it_nothing_is_said_of_it(checked, gated, prometheus):
    gated(asks(), prometheus.url)
    assert SERVER not in told(await checked())
    assert prometheus.said == []


# Addresses ------------------------------------------------------------------------------------------------------------

SMOKE = ("app mochi", "gate smoke")


async def test_of_a_path_of_the_preview_it_is_said_that_it_is_not_tried_from_here(checked, gated):
    gated(asks())
    found = await checked()
    assert found.wrong == []
    assert told(found)[SMOKE].sentence == (
        "asks Service mochiapp-preview for /healthz by its address inside the cluster, which is not tried from here."
    )


async def test_an_address_that_answers_is_right_whatever_it_answers(checked, gated):
    """Without a release there is nobody behind a preview."""
    async with listening(says("nobody", 503)) as url:
        gated(asks(f"{url}/healthz"))
        found = await checked()
    assert found.wrong == []
    assert told(found)[SMOKE].sentence == f"{url}/healthz answers 503 now; 200 is wanted."


async def test_an_address_that_does_not_answer_is_told(checked, gated):
    for url in ("http://127.0.0.1:1/healthz", "https://greenlight.invalid/"):
        gated(asks(url))
        [wrong] = (await checked()).wrong
        assert ((wrong.part, wrong.about), wrong.state) == (SMOKE, State.WARN)
        assert wrong.sentence.startswith(f"{url} cannot be reached from here: ")


async def test_an_address_that_sends_elsewhere_is_told_with_where_it_leads(checked, gated):
    async with listening(says(status=301, Location="/sign-in")) as url:
        gated(asks(f"{url}/healthz"))
        [wrong] = (await checked()).wrong
        assert wrong.sentence == f"{url}/healthz answers 301 and sends elsewhere, which no gate follows."
        assert wrong.fix == f"Name where it leads: {url}/sign-in"
        gated(asks(f"{url}/healthz", "expect = { status = 301 }"))
        assert (await checked()).wrong == []


# Guards ---------------------------------------------------------------------------------------------------------------

PUBLIC = ("app mochi", "guard smoke")


async def test_a_guards_query_is_asked_about_what_is_live(checked, gated, prometheus):
    gated(errors("up{hash='{hash}'}"), prometheus.url, of="guards")
    found = await checked()
    assert found.wrong == []
    assert told(found)[("app mochi", "guard errors")].sentence == "is 0.004 for what is live; < 0.01 is wanted."


@pytest.mark.parametrize(("action", "state"), [("ask", State.FAIL), ("warn", State.WARN)])
async def test_a_guards_query_that_can_never_give_a_number_is_told_as_loudly_as_what_follows(
    checked, gated, prometheus, action, state
):
    prometheus.answer = REFUSED
    gated(errors(more=f"action = '{action}'"), prometheus.url, of="guards")
    [wrong] = (await checked()).wrong
    assert (wrong.about, wrong.state) == ("guard errors", state)
    assert wrong.fix.startswith("Put `query` of guard errors of [apps.mochi] right;")


async def test_a_prometheus_that_only_guards_ask_is_asked_for(checked, gated, prometheus):
    prometheus.there = says("no", 401)
    gated(errors(), prometheus.url, of="guards")
    [wrong] = (await checked()).wrong
    assert ((wrong.part, wrong.about), wrong.state) == (SERVER, State.FAIL)


async def test_what_is_live_has_to_answer_a_guard_as_it_wants_now(checked, gated):
    """A version as good as that one would be taken back."""
    async with listening(says("nobody", 503)) as url:
        gated(asks(f"{url}/healthz"), of="guards")
        [wrong] = (await checked()).wrong
        assert ((wrong.part, wrong.about), wrong.state) == (PUBLIC, State.WARN)
        assert wrong.sentence == f"{url}/healthz answers 503 now; 200 is wanted."
        gated(asks(f"{url}/healthz", "expect = { status = 503 }"), of="guards")
        assert (await checked()).wrong == []


async def test_an_address_of_a_guard_that_does_not_answer_is_told_with_what_follows(checked, gated):
    gated(asks("http://127.0.0.1:1/healthz"), of="guards")
    [wrong] = (await checked()).wrong
    assert wrong.about == "guard smoke"
    assert wrong.fix.endswith("What a guard cannot reach is no good version to it.")


async def test_a_path_of_a_guard_is_one_of_the_active_service(checked, gated):
    gated(asks(), of="guards")
    assert "asks Service mochiapp for /healthz by its address" in told(await checked())[PUBLIC].sentence


class TestOnARollout:
    @pytest.fixture
    def runs_on(self) -> type[Team]:
        return ArgoTeam

    async def test_what_is_live_is_asked_about_by_the_rollouts_hash(self, checked, team, gated, prometheus):
        gated(errors(QUERY.replace("{label}", "x")), prometheus.url)
        found = await checked()
        assert (found.wrong, told(found)[GATE].state) == ([], State.OK)
        [pod_hash] = {labels(pod)[ARGO_HASH] for pod in live_pods(team)}
        assert prometheus.queries == [f'sum(rate(errors{{release="x",hash="{pod_hash}"}}[1m]))']
