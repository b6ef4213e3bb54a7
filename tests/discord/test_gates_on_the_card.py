"""Gates as people see them: a row each, a button to repeat one that did not pass, and a form to accept one."""

from dataclasses import replace

import discord
import pytest

from bot.gates import runner
from bot.gates.finding import Finding, Report
from bot.release import gates
from bot.release.app import Gate, Http, Mode, Notify
from bot.release.record import Phase
from bot.release.snapshot import Verdict
from cogs.text import stamp

SMOKE, LOAD = Gate("smoke", Http()), Gate("load", Http(), Mode.ASK)


@pytest.fixture
async def gated(stage):
    """Deployed, with both gates running; nobody ends them but the test."""
    stage.world.app = replace(stage.world.app, gates=(SMOKE, LOAD))
    await stage.restart()
    await stage.deploy()
    return stage


async def ends(stage, gate, verdict, detail, report=None):
    """As the runner writes it down."""
    release = await stage.world.newest()
    run = gates.result_of(gate, release)
    told = runner._told(run, Finding(verdict, detail, report))
    await stage.world.store.update(gates.end(release, run, verdict, detail, stage.world.clock.now()), told)
    stage.world.controller.wake("mochi")
    await stage.settle()
    stage.bot.cards.changed(await stage.world.newest())
    await stage.settle()


async def rows(stage):
    [embed] = (await stage.card()).embeds
    [field] = [each for each in embed.fields if each.name == "Gates"]
    return field.value.split("\n")


async def link(stage):
    """Behind the row of a gate that is over."""
    return f" · <#{(await stage.world.store.card(await stage.world.newest())).thread}>"


async def approved(stage):
    await stage.react(stage.kim)
    await stage.react(stage.leo)


async def test_each_gate_has_a_row_with_what_it_measured(gated):
    begun = stamp((await gated.world.newest()).gates[0].began_at)
    assert await rows(gated) == [f"⏳ {name} (http) is running, begun {begun}" for name in ("smoke", "load")]
    await ends(gated, SMOKE, Verdict.PASSED, "5 answers as expected")
    await ends(gated, LOAD, Verdict.FAILED, "p(95) 412 ms, wanted < 300 ms")
    assert await rows(gated) == [
        "✅ smoke (http) passed: 5 answers as expected" + await link(gated),
        r"❌ load (http) failed: p(95) 412 ms, wanted \< 300 ms" + await link(gated),
    ]


async def test_a_gate_that_failed_is_the_first_thing_to_read_also_while_votes_are_missing(gated):
    await ends(gated, SMOKE, Verdict.FAILED, "3 of 5 answers were 500")
    said = "🟡 mochi #1 (green) cannot be promoted yet: gate smoke failed: 3 of 5 answers were 500"
    assert (await gated.card()).content.startswith(said)


async def test_a_row_says_how_long_its_gate_took(gated):
    await gated.world.advance(seconds=62)
    await ends(gated, SMOKE, Verdict.PASSED, "all well")
    await ends(gated, LOAD, Verdict.NONE, "there is no data")
    assert await rows(gated) == [
        "✅ smoke (http) passed after 1 min: all well" + await link(gated),
        "❔ load (http) has no verdict after 1 min: there is no data" + await link(gated),
    ]


REPORT = Report('{"label": "mochi-1"}', (("✗", "http_req_duration p(95)", "412 ms ≥ 300 ms"), ("checks",)))
TABLE = "gate load failed: p(95) 412 ms\n```\n✗ http_req_duration p(95) 412 ms ≥ 300 ms\nchecks\n```"


async def files(stage):
    """What is attached in the thread, by name."""
    card = await stage.world.store.card(await stage.world.newest())
    [thread] = [each for each in stage.channel.threads if each.id == card.thread]
    found = [each for message in thread.history() for each in message.attachments]
    return {each.filename: (await each.read()).decode() for each in found}


async def test_the_whole_result_is_in_the_thread_as_a_table_and_as_a_file(gated):
    await ends(gated, LOAD, Verdict.FAILED, "p(95) 412 ms", REPORT)
    assert TABLE in await gated.thread()
    assert await files(gated) == {"load.json": '{"label": "mochi-1"}'}
    assert (await rows(gated))[1] == "❌ load (http) failed: p(95) 412 ms" + await link(gated)


async def test_a_result_that_came_while_discord_was_away_is_told_after_the_restart(gated):
    async def meanwhile():
        release = await gated.world.newest()
        run = gates.result_of(LOAD, release)
        told = runner._told(run, Finding(Verdict.FAILED, "p(95) 412 ms", REPORT))
        ended = gates.end(release, run, Verdict.FAILED, "p(95) 412 ms", gated.world.clock.now())
        await gated.world.store.update(ended, told)

    await gated.restart(meanwhile=meanwhile)
    assert (await gated.thread()).count(TABLE) == 1
    assert await files(gated) == {"load.json": '{"label": "mochi-1"}'}


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.NONE])
async def test_who_asked_is_called_once_when_a_gate_did_not_pass(gated, verdict):
    """Else the release waits for somebody who looks at the card by chance, until it expires."""
    await ends(gated, SMOKE, verdict, "answered 500")
    fix = "repeat it on the card, or take the release back."
    call = f"<@{gated.ann.id}> mochi #1 waits for gate smoke, which did not pass: {fix}"
    assert (await gated.thread()).count(call) == 1
    await gated.restart()
    assert (await gated.thread()).count(call) == 1


async def test_who_asked_is_called_below_a_whole_result_and_told_that_it_may_be_accepted(gated):
    await ends(gated, LOAD, Verdict.FAILED, "p(95) 412 ms", REPORT)
    thread = await gated.thread()
    assert f"<@{gated.ann.id}> mochi #1 waits for gate load" in thread.partition(TABLE)[2]
    assert "repeat it on the card, have it accepted, or take" in thread


async def test_nobody_is_called_for_a_gate_that_passed_or_that_only_warns(gated):
    await ends(gated, SMOKE, Verdict.PASSED, "5 answers")
    gated.world.app = replace(gated.world.app, gates=(SMOKE, replace(LOAD, mode=Mode.WARN)))
    await gated.restart()
    await ends(gated, LOAD, Verdict.FAILED, "p(95) 412 ms")
    assert "did not pass" not in await gated.thread()


async def test_nobody_is_called_for_a_gate_that_runs_again_by_then(gated):
    async def meanwhile():
        release, now = await gated.world.newest(), gated.world.clock.now()
        run = gates.result_of(SMOKE, release)
        told = runner._told(run, Finding(Verdict.FAILED, "answered 500"))
        ended = await gated.world.store.update(gates.end(release, run, Verdict.FAILED, "answered 500", now), told)
        await gated.world.store.update(gates.begin(ended, [SMOKE], now))

    await gated.restart(meanwhile=meanwhile)
    thread = await gated.thread()
    assert "gate smoke failed: answered 500" in thread
    assert "did not pass" not in thread


async def test_with_notify_off_nobody_is_called_for_a_gate(gated):
    gated.world.app = replace(gated.world.app, notify=Notify.OFF)
    await gated.restart()
    await ends(gated, SMOKE, Verdict.FAILED, "answered 500")
    assert "did not pass" not in await gated.thread()


async def test_where_no_file_may_be_attached_the_table_is_told_without(gated):
    for role in gated.env.backend.get_guild(gated.guild.id).roles.values():
        role.permissions &= ~discord.Permissions(attach_files=True, administrator=True).value
    await ends(gated, LOAD, Verdict.FAILED, "p(95) 412 ms", REPORT)
    assert TABLE in await gated.thread()
    assert await files(gated) == {}
    assert (await rows(gated))[1].endswith(await link(gated))


async def test_where_there_may_be_no_thread_the_card_works_without(stage):
    stage.env.inject_error("POST", "/channels/*/messages/*/threads", status=403, code=50013, times=None)
    stage.world.app = replace(stage.world.app, gates=(SMOKE, LOAD))
    await stage.restart()
    await stage.deploy()
    await ends(stage, LOAD, Verdict.FAILED, "p(95) 412 ms", REPORT)
    assert (await rows(stage))[1] == "❌ load (http) failed: p(95) 412 ms"


async def test_an_approved_release_says_which_gate_it_waits_for(gated):
    await approved(gated)
    assert (await gated.card()).content == "🟡 mochi #1 (green) cannot be promoted yet: gate smoke is running"
    await ends(gated, SMOKE, Verdict.NONE, "nobody answered")
    assert "cannot be promoted yet: gate smoke came to no verdict: nobody answered" in (await gated.card()).content
    assert await gated.phase() is Phase.READY
    assert gated.world.serving() == {"blue"}


async def test_a_gate_that_did_not_pass_is_repeated_by_whoever_deploys_or_approves(gated):
    await ends(gated, SMOKE, Verdict.FAILED, "answered 500")
    await ends(gated, LOAD, Verdict.PASSED, "212 ms")
    assert "Repeat smoke" in gated.labels(await gated.card())
    assert "Repeat load" not in gated.labels(await gated.card())
    await gated.world.advance(minutes=1)
    answer = await gated.press(gated.guest, "Repeat smoke")
    assert "may repeat gate smoke of mochi" in answer.response.content
    answer = await gated.press(gated.ann, "Repeat smoke")
    assert answer.response.content == "Gate smoke of mochi #1 runs again."
    assert answer.ephemeral
    assert (await rows(gated))[0].startswith("⏳ smoke (http) is running, begun ")
    await approved(gated)
    await ends(gated, SMOKE, Verdict.PASSED, "all well")
    assert gated.world.serving() == {"green"}


async def test_a_gate_that_runs_is_stopped_by_whoever_deploys_or_approves(gated):
    await ends(gated, SMOKE, Verdict.PASSED, "all well")
    labels = gated.labels(await gated.card())
    assert ("Stop load" in labels, "Stop smoke" in labels) == (True, False)
    answer = await gated.press(gated.guest, "Stop load")
    assert "may stop gate load of mochi" in answer.response.content
    answer = await gated.press(gated.kim, "Stop load")
    assert (answer.response.content, answer.ephemeral) == ("Gate load of mochi #1 is stopped; it has no verdict.", True)
    assert (await rows(gated))[1] == "❔ load (http) has no verdict: stopped by kim" + await link(gated)
    assert "kim stopped gate load: no verdict" in await gated.thread()
    labels = gated.labels(await gated.card())
    assert {"Repeat load", "Accept load anyway"} <= set(labels)
    assert "Stop load" not in labels
    await approved(gated)
    assert gated.world.serving() == {"blue"}


async def test_a_gate_that_asks_is_accepted_with_a_reason_that_is_on_the_card(gated):
    await approved(gated)
    await ends(gated, SMOKE, Verdict.FAILED, "answered 500")
    await ends(gated, LOAD, Verdict.FAILED, "412 ms")
    labels = gated.labels(await gated.card())
    assert "Accept load anyway" in labels
    assert "Accept smoke anyway" not in labels
    answer = await gated.press(gated.ann, "Accept load anyway")
    assert answer.modal is None
    assert (
        "Who asked for a release does not accept" in answer.response.content or "may accept" in answer.response.content
    )
    shown = await gated.press(gated.kim, "Accept load anyway")
    assert shown.modal["title"] == "Accept load anyway"
    answer = await gated.fill(gated.kim, shown, "the database was\nbeing **copied**")
    assert answer.response.content == "Gate load of mochi #1 is accepted; it is on the card with your reason."
    assert "accepted by kim: the database was being" in (await rows(gated))[1]
    assert "Accept load anyway" not in gated.labels(await gated.card())
    assert gated.world.serving() == {"blue"}
    await gated.world.advance(minutes=1)
    await gated.press(gated.kim, "Repeat smoke")
    await ends(gated, SMOKE, Verdict.PASSED, "all well")
    assert gated.world.serving() == {"green"}


async def test_the_buttons_still_work_after_a_restart(gated):
    await ends(gated, SMOKE, Verdict.FAILED, "answered 500")
    await gated.restart()
    await gated.world.advance(minutes=1)
    answer = await gated.press(gated.kim, "Repeat smoke")
    assert answer.response.content == "Gate smoke of mochi #1 runs again."


async def test_gates_of_a_release_that_is_over_have_no_buttons(gated):
    await ends(gated, SMOKE, Verdict.FAILED, "answered 500")
    shown = await gated.press(gated.kim, "Reject")
    await gated.fill(gated.kim, shown, "")
    assert [label for label in gated.labels(await gated.card()) if "smoke" in label] == []


async def test_ten_gates_with_long_names_and_words_are_readable_and_within_discords_limits(stage):
    many = tuple(Gate(f"{number}-{'n' * 28}", Http(), Mode.ASK) for number in range(12))
    stage.world.app = replace(stage.world.app, gates=many)
    await stage.restart()
    await stage.deploy()
    assert len([label for label in stage.labels(await stage.card()) if label.startswith("Stop")]) == 5
    for gate in many:
        await ends(stage, gate, Verdict.FAILED, "w" * 500)
    found = await rows(stage)
    assert len(found) == 11
    assert found[-1] == "… and 2 more"
    end = "…" + await link(stage)
    assert all(len(row) <= 100 and row.endswith(end) for row in found[:-1])
