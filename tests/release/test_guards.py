"""Guards: what is live goes back by itself, or people are asked, and never is a person's own rollback in question."""

from dataclasses import replace
from datetime import timedelta

import pytest
from examples import ANN, DAN, GUS, KIM, LEE, MOMENT, NOBODY, NOW, OLA, TIMING, app, release, side, snapshot

from bot.release import guards
from bot.release.app import Action, Guard, Http
from bot.release.errors import Refused
from bot.release.guards import RESTARTS
from bot.release.machine import decide, observe
from bot.release.record import Alarm, Cause, Phase
from bot.release.snapshot import Traffic
from bot.release.verbs import Verb, ask

APP = "mochi-x2k/app"
SAID = "3 of 5 answers were 500"


def guard(action=Action.ROLL_BACK, name="errors", **how):
    return Guard(name, Http(), action, **how)


def baking(*alarms, age=MOMENT, **known):
    return release(Phase.BAKING, age=age, alarms=alarms, live_at=NOW - age, **known)


def alarm(of="errors", **known):
    return Alarm(of, SAID, NOW - MOMENT, **known)


def decided(release, *guards, candidate=None, now=NOW):
    seen = replace(snapshot(Traffic.CANDIDATE, candidate), read_at=now)
    return decide(release, app(guards=guards), seen, NOBODY, now)


def test_an_alarm_takes_it_back_at_once_and_says_what_was_measured():
    decision = decided(baking(alarm()), guard())
    assert (decision.phase, decision.cause) == (Phase.REVERTING, Cause.GUARD)
    assert decision.reason == f"guard errors failed: {SAID}"


def test_not_upon_an_old_look():
    old = replace(snapshot(Traffic.CANDIDATE), fresh=False)
    assert decide(baking(alarm()), app(guards=(guard(),)), old, NOBODY, NOW).look


@pytest.mark.parametrize("guards", [(), (guard(Action.WARN),), (guard(name="another"),)])
def test_nothing_else_does(guards):
    """The file may have changed since; what it does not say any more has no consequence."""
    decision = decided(baking(alarm()), *guards)
    assert (decision.acts, decision.reason) == (False, "")


def test_whoever_is_asked_has_time_to_answer_and_then_it_goes_back():
    asking = guard(Action.ASK, answer_within=timedelta(minutes=2))
    until = alarm().at + timedelta(minutes=2)
    decision = decided(baking(alarm()), asking)
    assert (decision.acts, decision.until) == (False, until)
    assert decision.reason == f"guard errors failed: {SAID}; roll back, or keep it?"
    assert not decided(baking(alarm()), asking, now=until - MOMENT).acts
    late = decided(baking(alarm()), asking, now=until)
    assert (late.phase, late.cause) == (Phase.REVERTING, Cause.GUARD)
    assert late.reason == f"guard errors failed: {SAID}; nobody kept it in time"


def test_the_watch_does_not_end_while_an_answer_is_missing():
    long_watched = baking(alarm(), age=TIMING.bake_for)
    assert not decided(long_watched, guard(Action.ASK)).acts
    assert decided(long_watched, guard(Action.WARN)).phase is Phase.DONE


def test_the_most_urgent_is_asked_first():
    slow, quick = guard(Action.ASK), guard(Action.ASK, "quick", answer_within=MOMENT * 5)
    both = baking(alarm(), alarm("quick"))
    assert decided(both, slow, quick).reason.startswith("guard quick failed")
    assert [each.guard for each, _ in guards.asked(app(guards=(slow, quick)), both)] == ["quick", "errors"]


def test_what_is_kept_is_asked_no_more():
    asking = guard(Action.ASK)
    kept = guards.keep(baking(alarm()), app(guards=(asking,)), "errors", KIM)
    assert kept.alarms == (alarm(kept_by=KIM),)
    assert not decided(kept, asking).acts
    assert decided(kept, asking, now=NOW + asking.answer_within).phase is Phase.DONE
    assert guards.raise_alarm(kept, asking, "worse", NOW) is None


@pytest.mark.parametrize(
    ("person", "present", "said"),
    [
        (GUS, baking(alarm()), "Only <@&11> or <@&12> may keep in spite of guard errors"),
        (replace(ANN, roles=KIM.roles), baking(alarm()), "Who asked for a release does not keep it"),
        (KIM, baking(), "Guard errors of mochi #7 asks nothing"),
        (KIM, baking(alarm(kept_by=LEE)), "lee keeps mochi #7 live in spite of guard errors already"),
        (KIM, baking(alarm("another")), "Guard errors of mochi #7 asks nothing"),
        (KIM, replace(baking(alarm()), phase=Phase.DONE), "mochi #7 is live: its guards are over"),
    ],
)
def test_who_may_not_keep_it_and_when(person, present, said):
    with pytest.raises(Refused, match=said):
        guards.keep(present, app(guards=(guard(Action.ASK),)), "errors", person)


def test_one_alarm_leaves_another_as_it_is():
    asking = guard(Action.ASK), guard(Action.ASK, "load")
    kept = guards.keep(baking(alarm(), alarm("load")), app(guards=asking), "load", KIM)
    assert kept.alarms == (alarm(), alarm("load", kept_by=KIM))


@pytest.mark.parametrize("phase", [each for each in Phase if each is not Phase.BAKING])
def test_guards_run_and_ask_only_while_what_is_live_is_watched(phase):
    ours, present = app(guards=(guard(Action.ASK),)), release(phase, alarms=(alarm(),))
    assert guards.watching(ours, present) == guards.asked(ours, present) == ()
    assert guards.raise_alarm(replace(present, alarms=()), guard(), SAID, NOW) is None
    assert guards.watching(ours, baking()) == ours.guards


@pytest.mark.parametrize(("every", "limit"), [(15, 15), (300, 30)])
def test_a_run_is_over_before_the_next_and_takes_no_minutes(every, limit):
    run = guard(every=timedelta(seconds=every))
    assert (run.kind, run.timeout) == ("http", timedelta(seconds=limit))


def test_an_alarm_is_raised_once():
    raised = guards.raise_alarm(baking(), guard(), SAID, NOW)
    assert raised.alarms == (Alarm("errors", SAID, NOW),)
    assert guards.raise_alarm(raised, guard(), "worse", NOW + MOMENT) is None
    assert len(guards.raise_alarm(raised, guard(name="load"), SAID, NOW).alarms) == 2


@pytest.mark.parametrize("action", Action)
def test_what_takes_a_release_back_has_nothing_better_to_go_back_to(action):
    back = baking(alarm(), restores=6)
    assert not decided(back, guard(action), candidate=side(restarts={APP: RESTARTS})).acts
    assert guards.asked(app(guards=(guard(action),)), back) == ()


@pytest.mark.parametrize("person", [DAN, OLA])
def test_a_person_who_rolls_back_needs_no_guard(person):
    ours = app(guards=(guard(Action.ASK),))
    assert ask(baking(alarm(kept_by=KIM)), ours, Verb.ROLL_BACK, person, NOW).phase is Phase.REVERTING


def test_a_container_that_crashes_again_and_again_takes_it_back():
    """Always on. As often as it did before the switch it may."""
    before = {APP: 2}
    assert not decided(baking(restarts_before=before), candidate=side(restarts={APP: 1 + RESTARTS})).acts
    decision = decided(baking(restarts_before=before), candidate=side(restarts={APP: 2 + RESTARTS}))
    assert (decision.phase, decision.cause) == (Phase.REVERTING, Cause.GUARD)
    assert decision.reason == "container mochi-x2k/app has crashed and started again 3 times since the switch"


def test_a_node_that_starts_again_is_no_crash_loop():
    each_once = {f"mochi-{number}/app": 1 for number in range(2 * RESTARTS)}
    assert not decided(baking(), candidate=side(restarts=each_once)).acts


def test_it_is_counted_from_the_switch_on():
    seen = [snapshot(Traffic.CANDIDATE, side(restarts={APP: count})) for count in (5, 7)]
    known = observe(release(Phase.PROMOTING), seen[0], NOW)
    assert (known.restarts_before, known.live_at) == ({APP: 5}, NOW)
    assert observe(known, seen[1], NOW) is known


def test_before_it_is_live_nothing_is_counted():
    assert observe(release(Phase.READY), snapshot(candidate=side(restarts={APP: 4})), NOW).restarts_before == {}
