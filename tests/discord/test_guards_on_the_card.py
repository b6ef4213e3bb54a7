"""Guards as people see them: a row each, and for an alarm that asks a ping, a button and a deadline."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.release import guards
from bot.release.app import Action, Gate, Guard, Http, Notify
from bot.release.gates import end, result_of
from bot.release.guards import told
from bot.release.record import Cause, Phase
from bot.release.snapshot import Check, Verdict
from bot.store import Event, StoreError
from cogs.cards import CALLED
from cogs.text import stamp

PAGE = Guard("page", Http(), Action.ROLL_BACK)
ERRORS = Guard("errors", Http(), Action.ASK, answer_within=timedelta(minutes=4))
SLOW = Guard("slow", Http(), Action.ASK, answer_within=timedelta(minutes=2))
LOG = Guard("log", Http(), Action.WARN)
SMOKE = Gate("smoke", Http())
BAD = "at 4.1 %, wanted < 1 %"


class Measured:
    """What guards measured last, as whoever runs them tells it."""

    def __init__(self):
        self.last = {}

    def readings(self, app, release):
        known = self.last if release.phase is Phase.BAKING else {}
        return tuple(known.get(each.name, Check(each.name, each.kind, Verdict.RUNNING)) for each in app.guards)


@pytest.fixture
async def measured():
    return Measured()


@pytest.fixture
async def live(stage, measured):
    return await watched(stage, measured, PAGE, ERRORS, LOG)


async def watched(stage, measured, *watchers, **changes):
    """Deployed, approved and live, and watched by these guards."""
    stage.world.app = replace(stage.world.app, guards=watchers, **changes)
    await again(stage, measured)
    await stage.go_live()
    assert await stage.phase() is Phase.BAKING
    return stage


async def again(stage, measured):
    await stage.restart()
    stage.world.desk._watch = measured


async def measures(stage, measured, guard, verdict, detail):
    measured.last[guard.name] = Check(guard.name, guard.kind, verdict, detail)
    stage.world.desk.redraw(await stage.world.newest())
    await stage.settle()


async def alarms(stage, guard, detail=BAD):
    """As whoever runs the guard puts it on record."""
    release = guards.raise_alarm(await stage.world.newest(), guard, detail, stage.world.clock.now())
    alarm = guards.alarm_of(guard, release)
    await stage.world.store.update(release, Event("guard:alarm", told(alarm)))
    stage.world.controller.wake("mochi")
    await stage.settle()
    return alarm


async def field(stage, name):
    [embed] = (await stage.card()).embeds
    return next((each.value for each in embed.fields if each.name == name), None)


async def rows(stage, name="Guards"):
    return (await field(stage, name)).split("\n")


async def link(stage):
    """Behind the row of a gate that is over."""
    return f" · <#{(await stage.world.store.card(await stage.world.newest())).thread}>"


async def keeps(stage, who, guard=ERRORS, **where):
    return await stage.press(who, f"Keep despite {guard.name}", **where)


async def keep_buttons(stage):
    return [label for label in stage.labels(await stage.card()) if label.startswith("Keep")]


def calls(stage):
    """The messages by which people were called."""
    return [body for body in stage.messages if "Roll back, or keep it? Unless" in (body["content"] or "")]


def pings(stage):
    return [body["content"] for body in calls(stage)]


async def test_each_guard_has_a_row_with_what_it_measured_last_until_the_watch_is_over(live, measured):
    assert (await rows(live))[0] == "⏳ page (http) is running"
    await measures(live, measured, PAGE, Verdict.PASSED, "12 ms")
    await measures(live, measured, ERRORS, Verdict.FAILED, f"{BAD} (2 in a row)")
    await measures(live, measured, LOG, Verdict.NONE, "nobody answered")
    assert await rows(live) == [
        "✅ page (http) passed: 12 ms",
        r"❌ errors (http) failed: at 4.1 %, wanted \< 1 % (2 in a row)",
        "❔ log (http) has no verdict: nobody answered",
    ]
    since = (await live.world.newest()).since
    assert await field(live, "Watch ends") == stamp(since + live.world.app.timing.bake_for)
    await live.advance(minutes=6)
    assert await live.phase() is Phase.DONE
    assert await field(live, "Guards") is None


async def test_guards_take_the_place_of_gates_while_they_run(stage, measured):
    stage.world.app = replace(stage.world.app, gates=(SMOKE,), guards=(LOG,))
    await again(stage, measured)
    await stage.deploy()
    release = await stage.world.newest()
    now = stage.world.clock.now()
    await stage.world.store.update(end(release, result_of(SMOKE, release), Verdict.PASSED, "all well", now))
    await stage.settle()
    await stage.react(stage.kim)
    assert await rows(stage, "Gates") == ["✅ smoke (http) passed: all well" + await link(stage)]
    assert await field(stage, "Guards") is None
    await stage.react(stage.leo)
    assert await rows(stage) == ["⏳ log (http) is running"]
    assert await field(stage, "Gates") is None
    await alarms(stage, LOG)
    assert await rows(stage) == [r"❌ log (http) failed: at 4.1 %, wanted \< 1 %; only warns"]
    await stage.advance(minutes=6)
    assert await rows(stage, "Gates and guards") == [
        "✅ smoke (http) passed: all well" + await link(stage),
        r"❌ log (http) failed: at 4.1 %, wanted \< 1 %; only warned",
    ]


async def test_without_guards_the_gates_stay_where_they_are(stage, measured):
    stage.world.app = replace(stage.world.app, gates=(SMOKE,))
    await again(stage, measured)
    await stage.deploy()
    release = await stage.world.newest()
    now = stage.world.clock.now()
    await stage.world.store.update(end(release, result_of(SMOKE, release), Verdict.PASSED, "all well", now))
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.BAKING
    assert await rows(stage, "Gates") == ["✅ smoke (http) passed: all well" + await link(stage)]


async def test_an_alarm_that_rolls_back_says_why_with_what_was_measured(live):
    await alarms(live, PAGE, "answered 500, wanted 200")
    assert await live.phase() is Phase.REVERTED
    assert live.world.serving() == {"blue"}
    why = "guard page failed: answered 500, wanted 200"
    card = await live.card()
    assert card.content == f"🟠 mochi #1 (green) was rolled back to `mochi:blue` after 0 s: {why}"
    assert card.embeds[0].title == "mochi #1 · rolled back"
    assert f"Reason: {why}" in card.embeds[0].description
    assert await rows(live) == ["❌ page (http) failed: answered 500, wanted 200; rolled back"]
    thread = await live.thread()
    assert f"> {why}" in thread
    assert f"going back: {why}" in thread
    assert pings(live) == []


async def test_an_alarm_that_asks_calls_those_who_approve_and_says_until_when(live):
    alarm = await alarms(live, ERRORS)
    card, until = await live.card(), stamp(alarm.at + ERRORS.answer_within)
    why = r"guard errors failed: at 4.1 %, wanted \< 1 %"
    assert card.content == f"🟡 mochi #1 (green) is live, but {why}. Roll back, or keep it? It goes back {until}"
    assert card.embeds[0].title == "mochi #1 · live, roll back or keep?"
    assert (await field(live, "Goes back"), await field(live, "Watch ends")) == (until, None)
    assert {"Roll back", "Keep despite errors"} <= set(live.labels(card))
    assert (await rows(live))[1] == r"❌ errors (http) failed: at 4.1 %, wanted \< 1 %; asks"
    [body] = calls(live)
    roles = [live.roles["QC"].id, live.roles["Lead"].id]
    assert {int(role) for role in body["allowed_mentions"]["roles"]} == set(roles)
    assert all(f"<@&{role}>" in body["content"] for role in roles)
    assert f"mochi #1 is live, but {why}" in body["content"]
    assert until in body["content"]
    assert str(body["message_reference"]["message_id"]) == str(card.id)
    assert await live.phase() is Phase.BAKING
    assert live.world.serving() == {"green"}


async def test_people_are_called_once_for_each_alarm_also_after_a_restart(stage, measured):
    await watched(stage, measured, ERRORS, SLOW)
    await alarms(stage, ERRORS)
    assert len(pings(stage)) == 1
    await again(stage, measured)
    await measures(stage, measured, ERRORS, Verdict.FAILED, "9 %")
    await stage.advance(seconds=70)
    assert len(pings(stage)) == 1
    await alarms(stage, SLOW, "3 s")
    assert len(pings(stage)) == 2
    assert "guard slow failed: 3 s" in pings(stage)[1]
    nonces = {body["nonce"] for body in calls(stage)}
    assert len(nonces) == 2, "Discord would answer the second call with the first"


async def test_a_call_of_which_nothing_got_on_record_is_repeated_as_the_same_message(live, measured, monkeypatch):
    """The process died in between: Discord knows it by its nonce."""
    note = live.world.store.note

    async def dies(release, *events):
        if any(event.kind == CALLED for event in events):
            raise StoreError("the disk is gone")
        await note(release, *events)

    with monkeypatch.context() as patched:
        patched.setattr(live.world.store, "note", dies)
        await alarms(live, ERRORS)
        assert len(calls(live)) == 1
    await again(live, measured)
    live.world.controller.wake("mochi")
    await live.settle()
    assert len(calls(live)) == 2
    assert len({body["nonce"] for body in calls(live)}) == 1
    await live.advance(seconds=70)
    assert len(calls(live)) == 2


async def test_an_alarm_that_came_while_nobody_ran_is_called_out_by_the_next_start(live, measured):
    """What was on record before the crash is told after it."""

    async def meanwhile():
        release = guards.raise_alarm(await live.world.newest(), ERRORS, BAD, live.world.clock.now())
        await live.world.store.update(release)

    await live.restart(meanwhile=meanwhile)
    live.world.controller.wake("mochi")
    await live.settle()
    assert len(pings(live)) == 1


async def test_with_notify_off_nobody_is_called(stage, measured):
    await watched(stage, measured, ERRORS, notify=Notify.OFF)
    await alarms(stage, ERRORS)
    assert pings(stage) == []
    assert await keep_buttons(stage) == ["Keep despite errors"]


async def test_with_notify_thread_people_are_called_in_the_thread(stage, measured):
    await watched(stage, measured, ERRORS, notify=Notify.THREAD)
    await alarms(stage, ERRORS)
    assert "Roll back, or keep it?" in await stage.thread()
    assert not any("Roll back, or keep it? Unless" in each.content for each in stage.channel.history())


async def test_an_approver_keeps_it_and_it_stays_live(live, measured):
    await alarms(live, ERRORS)
    answer = await keeps(live, live.kim)
    assert answer.response.content == (
        "mochi #1 stays live in spite of guard errors; everybody reads that you keep it."
    )
    assert answer.ephemeral
    assert (await rows(live))[1] == r"❌ errors (http) failed: at 4.1 %, wanted \< 1 %; kept by @kim"
    assert await keep_buttons(live) == []
    assert (await live.card()).content.startswith("🟢 mochi #1 (green) is live, watching until")
    since = (await live.world.newest()).since
    assert await field(live, "Watch ends") == stamp(since + live.world.app.timing.bake_for)
    assert "kim keeps it live in spite of guard errors" in await live.thread()
    await measures(live, measured, ERRORS, Verdict.PASSED, "at 0.2 %")
    assert (await rows(live))[1] == "✅ errors (http) passed: at 0.2 %; kept by @kim"
    await live.advance(minutes=6)
    assert await live.phase() is Phase.DONE
    assert live.world.serving() == {"green"}
    assert await rows(live) == [r"❌ errors (http) failed: at 4.1 %, wanted \< 1 %; kept by @kim"]


async def test_who_may_not_keep_it_is_told_so_and_nobody_else_is(live):
    await alarms(live, ERRORS)
    before = len(live.messages)
    answer = await keeps(live, live.guest)
    assert "may keep in spite of guard errors what is live of mochi" in answer.response.content
    assert answer.ephemeral
    answer = await keeps(live, live.sam)  # who may roll back
    assert "may keep in spite of guard errors" in answer.response.content
    assert await keep_buttons(live) == ["Keep despite errors"]
    assert len(live.messages) == before


async def test_who_asked_for_it_does_not_keep_it(stage, measured):
    stage.world.app = replace(stage.world.app, guards=(ERRORS,))
    await again(stage, measured)
    await stage.deploy(who=stage.bo)
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    await alarms(stage, ERRORS)
    answer = await keeps(stage, stage.bo)
    assert answer.response.content == "Who asked for a release does not keep it live in spite of guard errors."


async def test_of_several_alarms_the_most_urgent_has_the_button(stage, measured):
    await watched(stage, measured, ERRORS, SLOW)
    first, second = await alarms(stage, ERRORS), await alarms(stage, SLOW, "3 s")
    assert await keep_buttons(stage) == ["Keep despite slow"]
    assert await field(stage, "Goes back") == stamp(second.at + SLOW.answer_within)
    await keeps(stage, stage.leo, SLOW)
    assert await keep_buttons(stage) == ["Keep despite errors"]
    assert await field(stage, "Goes back") == stamp(first.at + ERRORS.answer_within)
    assert "guard errors failed" in (await stage.card()).content


async def test_what_nobody_keeps_goes_back_when_its_time_is_over(live):
    await alarms(live, ERRORS)
    await live.advance(minutes=5)
    assert await live.phase() is Phase.REVERTED
    assert live.world.serving() == {"blue"}
    assert r"guard errors failed: at 4.1 %, wanted \< 1 %; nobody kept it in time" in (await live.card()).content
    assert await rows(live) == [r"❌ errors (http) failed: at 4.1 %, wanted \< 1 %; asked"]
    assert await keep_buttons(live) == []


async def test_a_person_rolls_back_whatever_guards_say(live):
    await alarms(live, ERRORS)
    answer = await live.roll_back(live.sam, "better safe")
    assert "is being rolled back" in answer.response.content
    assert (await live.world.newest()).cause is Cause.ROLLED_BACK
    assert (await live.card()).content.startswith("🟠 mochi #1 (green) was rolled back by @sam to `mochi:blue`")
    assert live.world.serving() == {"blue"}


async def test_the_button_still_works_after_a_restart_and_when_it_is_old_it_says_so(live, measured):
    await alarms(live, ERRORS)
    await again(live, measured)
    await keeps(live, live.kim)
    assert guards.alarm_of(ERRORS, await live.world.newest()).kept_by.name == "kim"
    old = "greenlight:mochi:1:keep:errors"
    said = "kim keeps mochi #1 live in spite of guard errors already."
    assert await live.press_stale(live.leo, await live.card(), old) == said
    await live.roll_back(live.sam)
    answer = await live.press_stale(live.leo, await live.card(), old)
    assert answer.startswith("mochi #1 is ")
    assert answer.endswith("its guards are over.")
    answer = await live.press_stale(live.leo, await live.card(), "greenlight:mocha:1:keep:errors")
    assert answer == "There is no mocha #1."


async def test_a_card_is_never_drawn_with_what_was_decided_before_an_alarm(live):
    """The controller need not have come round since."""
    release = await live.world.newest()
    now = live.world.clock.now()
    asked = await live.world.store.update(guards.raise_alarm(release, ERRORS, BAD, now))
    view = await live.world.desk.view(asked)
    assert view.until == now + ERRORS.answer_within
    await live.settle()
    kept = guards.keep(await live.world.newest(), live.world.app, "errors", replace(release.approvers[0]))
    view = await live.world.desk.view(await live.world.store.update(kept))
    assert (view.until, view.reason, view.to_answer) == (None, "", ())


async def test_twelve_guards_with_long_names_and_words_are_within_discords_limits_and_no_alarm_is_left_out(
    stage, measured
):
    many = tuple(Guard(f"{number}-{'n' * 28}", Http(), Action.ASK) for number in range(12))
    await watched(stage, measured, *many)
    for guard in many:
        await measures(stage, measured, guard, Verdict.PASSED, "w*" * 500)
    await alarms(stage, many[11], "<" * 900)
    await alarms(stage, many[10], "v" * 900)
    found = await rows(stage)
    assert len(found) == 11
    assert found[-1] == "… and 2 more"
    assert all(len(row) <= 100 for row in found)
    assert [row[2:5] for row in found if row.endswith("; asks")] == ["10-", "11-"]
    await keeps(stage, stage.kim, many[10])
    assert len([row for row in await rows(stage) if row.endswith("; kept by @kim")]) == 1
    assert len(pings(stage)) == 2
