"""The real Prometheus, which counts the requests of two releases: what it answers is what the gate takes it for."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from scraped import BLUE, BLUE_HASH, GREEN, GREEN_HASH, HOSTILE, IDLE, Target, open_shop, prometheus

from bot.gates.prometheus import PrometheusCheck, Server
from bot.release.app import Comparison, Gate, Prometheus
from bot.release.snapshot import Side, Snapshot, Traffic, Verdict
from world import example

pytestmark = pytest.mark.cluster

HASHES = (("green", GREEN_HASH), ("blue", BLUE_HASH))
# As docs/gates.md has it.
QUERY = (
    'sum(rate(http_requests_total{release="{label}",code=~"5.."}[1m]))'
    ' / sum(rate(http_requests_total{release="{label}"}[1m]))'
)
BELOW = Prometheus(QUERY, Comparison.BELOW, 0.015)
# Of `secret`, by bcrypt.
WEB = 'basic_auth_users: {ann: "$2b$05$75OBFMT5/9a3bbTrl/i83.vqkvKV.981Ie6gbFWHx9AsxE3TzZCta"}'


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Iterator[str]:
    """It waits five seconds before it looks for the first time."""
    with open_shop() as shop, prometheus(tmp_path_factory.mktemp("prometheus"), Target(shop.address)) as url:
        assert shop.enough.wait(30), "nothing was scraped"
        yield url


@pytest.fixture
def found(real, session, ready):
    async def seen(_, release):
        sides = [Side(slot, True, 1, 1, True, pod_hash=each) for slot, each in HASHES]
        return Snapshot(Traffic.PREVIOUS, *sides, read_at=release.since, changed_by="")

    async def run(check=BELOW, label=GREEN, live=BLUE, server=None):
        release = replace(ready, label=label, previous=replace(ready.previous, label=live))
        asks = PrometheusCheck(session, server or Server(real), seen, lambda _: asyncio.sleep(0))
        async with asyncio.timeout(20):
            return await asks(example(), release, Gate("errors", check, timeout=timedelta(seconds=1)))

    return run


async def test_a_release_with_few_errors_passes_and_one_with_more_fails(found):
    good, bad = await found(), await found(label=BLUE)
    assert (good.verdict, good.detail) == (Verdict.PASSED, "0.01 < 0.015")
    assert (bad.verdict, bad.detail) == (Verdict.FAILED, "0.02, wanted < 0.015")


async def test_it_has_to_hold_each_time_that_it_is_asked_for(found):
    assert (await found(replace(BELOW, lasts=timedelta(seconds=20)))).verdict is Verdict.PASSED


async def test_it_is_compared_with_what_is_live_by_label_and_by_hash(found):
    for query in (QUERY, QUERY.replace('release="{label}"', 'pod_template_hash="{hash}"')):
        same = Prometheus(query, Comparison.AT_MOST, 0.6, baseline=True)
        better = await found(same)
        assert (better.verdict, better.detail) == (Verdict.PASSED, "0.01 <= 0.012")
    worse = await found(replace(same, query=QUERY, bound=1.2), label=BLUE, live=GREEN)
    assert (worse.verdict, worse.detail) == (Verdict.FAILED, "0.02, wanted <= 0.012")


@pytest.mark.parametrize(
    ("query", "label", "said"),
    [
        (QUERY, "mochi-9-nobody", "the query gives no data"),
        (QUERY, IDLE, "the query gives NaN, which is no number"),
        ('sum(http_requests_total{release="{label}"}) / 0', GREEN, "the query gives +Inf, which is no number"),
        ('rate(http_requests_total{release="{label}"}[1m])', GREEN, "the query gives 2 series where one is wanted"),
        ('http_requests_total{release="{label}"}[1m]', GREEN, "the query gives a matrix, not one number"),
        ('"{label}"', GREEN, "the query gives a string, not one number"),
        ("sum(rate(", GREEN, 'Prometheus refused the query: invalid parameter "query": 1:10: parse error: '),
        ("http_requests_total{release={label}}", GREEN, "Prometheus refused the query: "),
    ],
)
async def test_i9_what_is_no_single_number_is_no_verdict(found, query, label, said):
    finding = await found(replace(BELOW, query=query, comparison=Comparison.AT_LEAST, bound=0), label)
    assert finding.verdict is Verdict.NONE
    assert finding.detail.startswith(said)


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("label", HOSTILE)
async def test_i9_a_label_never_breaks_out_of_the_query(found, label, quote):
    """Half of their requests fail: any other value is that of something else."""
    finding = await found(replace(BELOW, query=QUERY.replace('"{label}"', f"{quote}{{label}}{quote}")), label)
    assert (finding.verdict, finding.detail) == (Verdict.FAILED, "0.5, wanted < 0.015")


@pytest.mark.parametrize("label", HOSTILE)
async def test_i9_nor_out_of_backticks_between_which_nothing_can_be_escaped(found, label):
    finding = await found(replace(BELOW, query=QUERY.replace('"{label}"', "`{label}`")), label)
    assert finding.detail in {"the query gives no data", "0.5, wanted < 0.015"}


async def test_i9_a_prometheus_that_does_not_let_greenlight_in_gives_no_verdict(found, tmp_path):
    web, secret = tmp_path / "web.yml", tmp_path / "secret"
    web.write_text(WEB)
    always = replace(BELOW, query="vector(0)")
    with prometheus(tmp_path / "locked", arguments=[f"--web.config.file={web}"]) as url:
        secret.write_text("secret\n")
        assert (await found(always, server=Server(url, user="ann", password=secret))).verdict is Verdict.PASSED
        for wrong in (Server(url), Server(url, token=secret), Server(url, user="bo", password=secret)):
            finding = await found(always, server=wrong)
            assert finding.verdict is Verdict.NONE
            assert "does not let Greenlight in (401)" in finding.detail


async def test_i9_a_prometheus_that_is_gone_gives_no_verdict(found, tmp_path):
    with prometheus(tmp_path / "gone") as url:
        pass
    finding = await found(server=Server(url))
    assert finding.verdict is Verdict.NONE
    assert "cannot be reached" in finding.detail
