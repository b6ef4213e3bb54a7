"""What the machine does, rule by rule, in the order of the phases. Every combination is in test_every_case.py."""

from dataclasses import replace
from datetime import timedelta

import pytest
from examples import (
    ANN,
    EVERYBODY,
    KIM,
    LEE,
    MOMENT,
    NO_TIME,
    NOBODY,
    NOW,
    TIMING,
    app,
    ballots,
    release,
    side,
    snapshot,
)

from bot.release.app import Approval, Argo, Requirement, Switch, Timing
from bot.release.machine import DRAIN, SETTLE, Decision, Order, advance, decide
from bot.release.record import Cause, Phase
from bot.release.snapshot import FRESH_FOR, Check, Traffic, Verdict

APPROVAL = app().approval
BUTTON = app(approval=replace(APPROVAL, switch=Switch.BUTTON))
BACK = Phase.REVERTING
LIVE = {"traffic": Traffic.CANDIDATE}
AT_ONCE = Timing(warm_for=NO_TIME, bake_for=NO_TIME)
NEVER_LIVE, WENT_LIVE = {}, {"live_at": NOW - timedelta(hours=1)}


def decided(of, seen, votes=NOBODY, policy=None):
    return decide(of, policy or app(), seen, votes, NOW)


def went(decision):
    return decision.phase, decision.cause


# Going back further than the slots reach: a release that restores


def test_a_release_that_restores_needs_no_approval_and_asks_for_no_roles():
    """I10: nobody's permission, and no Discord, stands between a team and the version that worked."""
    restoring = release(Phase.READY, restores=1)
    decision = decided(restoring, snapshot())
    assert (decision.phase, decision.approvers) == (Phase.PROMOTING, (restoring.author,))
    assert decided(release(Phase.PROMOTING, restores=1), snapshot()).order is Order.PROMOTE


@pytest.mark.parametrize("phase", [Phase.READY, Phase.PROMOTING])
def test_a_release_that_restores_waits_for_its_pods_like_any_other(phase):
    decision = decided(release(phase, restores=1), snapshot(candidate=side(ready=1, complete=False)))
    assert not decision.acts


# Any open phase: somebody interfered


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.open])
def test_traffic_that_somebody_moved_elsewhere_is_left_alone_and_the_card_says_who_did_it(phase):
    decision = decided(release(phase), snapshot(Traffic.OTHER), EVERYBODY)
    assert went(decision) == (Phase.ABANDONED, Cause.FOREIGN)
    assert decision.reason == "the active Service was changed by kubectl at 14:02 UTC"


@pytest.mark.parametrize("phase", [Phase.STAGING, Phase.READY])
def test_a_switch_that_nobody_approved_is_left_alone(phase):
    assert went(decided(release(phase), snapshot(**LIVE), EVERYBODY)) == (Phase.ABANDONED, Cause.FOREIGN)


def test_a_switch_back_behind_a_watched_release_is_left_alone():
    assert went(decided(release(Phase.BAKING), snapshot())) == (Phase.ABANDONED, Cause.FOREIGN)


def test_a_switch_that_somebody_undid_is_never_made_again():
    """I2: one approval causes at most one switch."""
    undone = release(Phase.PROMOTING, live_at=NOW - MOMENT)
    assert went(decided(undone, snapshot(), EVERYBODY)) == (Phase.ABANDONED, Cause.FOREIGN)


@pytest.mark.parametrize("phase", [Phase.STAGING, Phase.READY, Phase.PROMOTING])
def test_a_live_version_that_somebody_changed_is_left_alone(phase):
    decision = decided(release(phase), snapshot(previous=side(present=False)), EVERYBODY)
    assert went(decision) == (Phase.ABANDONED, Cause.FOREIGN)
    assert decision.reason == "blue, which is live, was changed by argocd at 14:04 UTC"


def test_a_release_that_somebody_changed_while_it_is_live_is_left_alone():
    decision = decided(release(Phase.BAKING), snapshot(candidate=side(present=False), **LIVE))
    assert went(decision) == (Phase.ABANDONED, Cause.FOREIGN)
    assert decision.reason == "green, which is live, was changed by helm at 14:03 UTC"


@pytest.mark.parametrize("ready", [0, 3])
def test_a_candidate_that_somebody_changed_at_the_very_switch_is_taken_back(ready):
    """I3: the switch was ours, and it must not let in what nobody approved."""
    decision = decided(release(Phase.PROMOTING), snapshot(candidate=side(ready, present=False), **LIVE))
    assert went(decision) == (BACK, Cause.FOREIGN)
    assert decision.reason == "green was changed by helm at 14:03 UTC at the last moment"


def test_a_live_side_that_somebody_emptied_is_taken_back_like_any_other():
    """I1: who did it does not matter while nobody is served."""
    empty = release(Phase.BAKING, live_at=NOW - TIMING.grace, empty_since=NOW - TIMING.grace)
    assert went(decided(empty, snapshot(candidate=side(0, present=False), **LIVE))) == (BACK, Cause.EMPTY)


def test_what_is_approved_is_the_template_that_was_there_when_approval_was_asked_for():
    asked = advance(release(staged=True), decided(release(staged=True), snapshot(candidate=side(template="t1"))), NOW)
    assert (asked.phase, asked.template) == (Phase.READY, "t1")


def test_a_promise_to_promote_ends_with_the_approval_that_it_was_given_on():
    lost = Decision(phase=Phase.READY, reason="an approval was lost before the switch")
    assert not advance(release(Phase.PROMOTING, promote_asked=True), lost, NOW).promote_asked


@pytest.mark.parametrize("votes", [NOBODY, ballots(trouble="away")])
def test_a_switch_that_may_still_arrive_is_waited_for_before_anything_is_given_up(votes):
    """I4: an answer was lost, and then the approval: whatever comes next must know where the traffic is."""
    on_its_way = release(Phase.PROMOTING, switch_sent_at=NOW - MOMENT)
    assert decided(on_its_way, snapshot(), votes).until == NOW - MOMENT + SETTLE
    settled = release(Phase.PROMOTING, switch_sent_at=NOW - SETTLE)
    assert decided(settled, snapshot(), votes).phase is Phase.READY
    assert decided(settled, snapshot(age=MOMENT), votes).look  # it may have arrived since that look began


# A release controller of the cluster's own: what it gave up, what it owes, and whom it obeyed

ABORTED = "its analysis failed: success-rate is 0.91"
OWED = "it was told to switch, and has not yet"


def told(seen=None, **changes):
    return replace(seen or snapshot(), **changes)


@pytest.mark.parametrize("phase", [Phase.STAGING, Phase.READY])
def test_a_promotion_behind_our_back_is_said_to_be_one_and_by_whom(phase):
    seen = told(snapshot(**LIVE), promoted_by="argocd at 14:05 UTC")
    decision = decided(release(phase, staged=True), seen, EVERYBODY)
    assert went(decision) == (Phase.ABANDONED, Cause.PROMOTED_OUTSIDE)
    assert decision.reason == "promoted outside by argocd at 14:05 UTC"


def test_a_promotion_of_what_was_approved_is_no_other_than_ours():
    """Somebody was quicker than we were: the quorum is there, and the traffic is where it was to go."""
    seen = told(snapshot(**LIVE), promoted_by="argocd at 14:05 UTC")
    assert decided(release(Phase.PROMOTING), seen) == Decision(phase=Phase.BAKING)


@pytest.mark.parametrize(
    ("phase", "traffic"),
    [
        (Phase.STAGING, Traffic.PREVIOUS),
        (Phase.READY, Traffic.PREVIOUS),
        (Phase.PROMOTING, Traffic.PREVIOUS),
        (Phase.PROMOTING, Traffic.CANDIDATE),
        (Phase.BAKING, Traffic.CANDIDATE),
        (Phase.BAKING, Traffic.PREVIOUS),
    ],
)
def test_what_its_controller_gave_up_goes_back_with_its_reason_wherever_the_traffic_is(phase, traffic):
    """Also with traffic that the controller left on a version that it is about to scale down."""
    decision = decided(release(phase, staged=True), told(snapshot(traffic), given_up=ABORTED), EVERYBODY)
    assert went(decision) == (BACK, Cause.FAILED)
    assert decision.reason == ABORTED


def test_a_live_version_that_its_controller_took_back_right_after_the_switch_failed():
    """It is nobody's interference: the controller says why."""
    decision = decided(release(Phase.PROMOTING, live_at=NOW), told(given_up=ABORTED))
    assert (went(decision), decision.reason) == ((BACK, Cause.FAILED), ABORTED)


def test_traffic_that_went_elsewhere_is_left_alone_even_if_its_controller_gave_up():
    seen = told(snapshot(Traffic.OTHER), given_up=ABORTED)
    assert went(decided(release(Phase.BAKING), seen)) == (Phase.ABANDONED, Cause.FOREIGN)


def test_what_was_given_up_before_the_release_was_staged_does_not_concern_it():
    before = told(snapshot(candidate=side(0, 0, present=False)), given_up=ABORTED)
    assert decided(release(), before) == Decision(order=Order.STAGE)


def test_what_its_controller_gave_up_is_not_brought_back_without_a_look_either():
    """A release that takes another back needs nobody's permission, but its pods have to be what they should be."""
    assert went(decided(release(Phase.READY, restores=1), told(given_up=ABORTED))) == (BACK, Cause.FAILED)


def test_a_switch_that_its_controller_was_told_is_waited_for_and_not_told_again():
    """I2: one approval is one switch. The write is accepted, and to repeat it does not help."""
    waiting = decided(release(Phase.PROMOTING), told(pending=OWED), EVERYBODY)
    assert waiting == Decision(reason=OWED, until=NOW + TIMING.promote_within)


@pytest.mark.parametrize("votes", [NOBODY, EVERYBODY])
def test_a_switch_that_its_controller_owes_too_long_is_taken_back(votes):
    late = release(Phase.PROMOTING, age=TIMING.promote_within)
    decision = decided(late, told(pending=OWED), votes)
    assert went(decision) == (BACK, Cause.LATE)
    assert decision.reason == f"could not be switched in time: {OWED}"


@pytest.mark.parametrize("age", [NO_TIME, TIMING.stage_within])
def test_a_release_is_not_closed_while_its_version_could_still_take_the_traffic_unasked(age):
    """Whoever is closed is watched by nobody."""
    back = release(Phase.REVERTING, age=age)
    assert decided(back, told(undone=False)) == Decision(order=Order.REVERT)
    assert decided(back, told(undone=False, pending=OWED)) == Decision(reason=OWED)
    assert decided(back, told(undone=True)) == Decision(phase=Phase.REVERTED)


@pytest.mark.parametrize("undone", [True, False])
def test_traffic_comes_home_whatever_its_controller_owes(undone):
    """I10: one write to the Service, which no controller has to carry out."""
    seen = told(snapshot(**LIVE), pending=OWED, undone=undone)
    assert decided(release(Phase.REVERTING, age=TIMING.stage_within), seen) == Decision(order=Order.REVERT)


def test_a_version_that_its_controller_starts_anew_gets_the_traffic_once_it_carries_all():
    """As one that we had scaled down ourselves."""
    back, until = release(Phase.REVERTING), NOW + TIMING.stage_within
    partly = told(snapshot(previous=side(1), **LIVE), restarting=True)
    assert decided(back, partly) == Decision(reason="blue has 1 of 3 pods ready", until=until)
    assert decided(back, told(partly, restarting=False)) == Decision(order=Order.REVERT)
    assert decided(back, told(partly, candidate=side(0))) == Decision(order=Order.REVERT)


def test_pods_that_a_controller_of_its_own_keeps_are_never_given_up_by_us():
    """A release that is over long ago counts as retired; whoever went on to keep its pods has kept them."""
    back, partly = release(Phase.REVERTING, retired=True), snapshot(previous=side(1), **LIVE)
    assert decided(back, partly).reason == "blue has 1 of 3 pods ready"
    assert decided(back, partly, policy=app(target=Argo("mochiapp"))) == Decision(order=Order.REVERT)


def test_a_controller_that_was_told_to_start_the_version_before_is_not_told_again():
    back, off = release(Phase.REVERTING), snapshot(previous=side(0, 0), **LIVE)
    assert decided(back, off) == Decision(order=Order.REVERT)
    assert decided(back, told(off, pending=OWED)) == Decision(reason=OWED, until=NOW + TIMING.stage_within)


def test_a_way_back_that_its_controller_never_takes_up_is_said_to_be_stuck():
    late = release(Phase.REVERTING, age=TIMING.stage_within)
    decision = decided(late, told(snapshot(previous=side(0, 0), **LIVE), pending=OWED))
    assert went(decision) == (Phase.ABANDONED, Cause.STUCK)
    assert decision.reason == f"could not be taken back: {OWED}"


# STAGING


def test_a_candidate_whose_pods_fail_goes_back_at_once():
    crashing = side(0, trouble="pod green-x2k: cannot pull the image (not found)", failed=True)
    decision = decided(release(staged=True), snapshot(candidate=crashing))
    assert went(decision) == (Phase.REVERTING, Cause.FAILED)
    assert decision.reason == "pod green-x2k: cannot pull the image (not found)"


@pytest.mark.parametrize("staged", [True, False])
def test_a_candidate_that_is_not_ready_in_time_goes_back(staged):
    late = release(age=TIMING.stage_within, staged=staged)
    decision = decided(late, snapshot(candidate=side(1)))
    assert went(decision) == (Phase.REVERTING, Cause.LATE)
    assert decision.reason == "not ready in time: green has 1 of 3 pods ready"


def test_what_is_not_in_the_cluster_yet_is_staged():
    assert decided(release(), snapshot(candidate=side(0, 0, present=False))) == Decision(order=Order.STAGE)


def test_pods_that_were_there_before_do_not_fail_a_release_that_is_not_staged_yet():
    leftovers = side(0, present=False, failed=True, trouble="the last release's pods crash")
    assert decided(release(), snapshot(candidate=leftovers)) == Decision(order=Order.STAGE)


@pytest.mark.parametrize("age", [NO_TIME, TIMING.stage_within])
def test_a_candidate_that_somebody_changed_while_it_was_prepared_is_left_alone(age):
    decision = decided(release(staged=True, age=age), snapshot(candidate=side(present=False)))
    assert went(decision) == (Phase.ABANDONED, Cause.FOREIGN)
    assert decision.reason == "green was changed by helm at 14:03 UTC while it was being prepared"


def test_a_complete_candidate_is_shown_for_approval():
    assert decided(release(staged=True), snapshot()) == Decision(phase=Phase.READY)


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (side(1), "green has 1 of 3 pods ready"),
        (side(0, trouble="pod green-x2k: has crashed"), "pod green-x2k: has crashed"),
        (side(3, complete=False), "green has 3 of 3 pods ready"),
    ],
)
def test_waiting_for_pods_says_for_which_and_until_when(candidate, reason):
    started = release(staged=True, age=MOMENT)
    expected = Decision(reason=reason, until=started.since + TIMING.stage_within)
    assert decided(started, snapshot(candidate=candidate)) == expected


# READY


def test_a_candidate_that_was_changed_after_it_was_shown_is_left_alone():
    decision = decided(release(Phase.READY), snapshot(candidate=side(present=False)), EVERYBODY)
    assert went(decision) == (Phase.ABANDONED, Cause.FOREIGN)
    assert decision.reason == "green was changed by helm at 14:03 UTC, so its approvals are void"


def test_a_veto_takes_back_an_approved_release_and_names_who_said_no():
    decision = decided(release(Phase.READY), snapshot(), ballots(KIM, LEE, against=[KIM]))
    assert (decision.phase, decision.cause, decision.by) == (Phase.REVERTING, Cause.REJECTED, KIM)


@pytest.mark.parametrize(
    ("votes", "policy", "candidate", "reason"),
    [
        (NOBODY, None, side(), "nobody approved it in time"),
        (ballots(KIM), None, side(), "approvals were missing"),
        (EVERYBODY, BUTTON, side(), "it was approved, but nobody pressed Promote"),
        (
            EVERYBODY,
            None,
            side(1),
            "it was approved, but could not be switched in time: green has 1 of 3 pods ready",
        ),
        (
            ballots(KIM, LEE, trouble="Discord does not answer"),
            None,
            side(),
            "it was approved, but could not be switched in time: Discord does not answer",
        ),
    ],
)
def test_an_approval_that_comes_too_late_counts_no_more(votes, policy, candidate, reason):
    decision = decided(release(Phase.READY, age=APPROVAL.expires), snapshot(candidate=candidate), votes, policy)
    assert went(decision) == (Phase.REVERTING, Cause.EXPIRED)
    assert decision.reason == reason


def test_losing_an_approval_at_the_switch_does_not_give_more_time_to_approve():
    again = release(Phase.READY, age=MOMENT, ready_at=NOW - APPROVAL.expires)
    assert went(decided(again, snapshot())) == (Phase.REVERTING, Cause.EXPIRED)


def test_without_quorum_it_waits_until_the_approval_expires():
    shown = release(Phase.READY, age=MOMENT)
    assert decided(shown, snapshot(), ballots(KIM)) == Decision(until=shown.since + APPROVAL.expires)


def test_a_quorum_promotes_and_records_who_counted():
    decision = decided(release(Phase.READY), snapshot(), EVERYBODY)
    assert decision == Decision(phase=Phase.PROMOTING, approvers=(KIM, LEE))


def test_with_a_promote_button_the_quorum_alone_does_not_switch():
    waiting = decided(release(Phase.READY), snapshot(), EVERYBODY, BUTTON)
    assert waiting == Decision(reason="approved; an approver presses Promote", until=NOW + APPROVAL.expires)
    assert decided(release(Phase.READY, promote_asked=True), snapshot(), EVERYBODY, BUTTON).phase is Phase.PROMOTING


def test_a_promote_button_does_not_replace_the_quorum():
    assert not decided(release(Phase.READY, promote_asked=True), snapshot(), ballots(LEE), BUTTON).acts


def test_an_approved_candidate_that_lost_a_pod_is_not_promoted():
    decision = decided(release(Phase.READY), snapshot(candidate=side(2)), EVERYBODY)
    assert decision == Decision(reason="green has 2 of 3 pods ready", until=NOW + APPROVAL.expires)


@pytest.mark.parametrize("phase", [Phase.READY, Phase.PROMOTING])
@pytest.mark.parametrize("age", [None, FRESH_FOR + MOMENT])
def test_roles_that_were_not_just_read_are_read_before_a_switch(phase, age):
    """I7: everybody who counts is entitled at the moment of the switch."""
    assert decided(release(phase), snapshot(), ballots(KIM, LEE, age=age)) == Decision(look=True)


def test_roles_that_cannot_be_read_promote_nothing():
    """I9: what is unknown blocks."""
    decision = decided(release(Phase.READY), snapshot(), ballots(KIM, LEE, trouble="Discord does not answer"))
    assert decision == Decision(reason="Discord does not answer", until=NOW + APPROVAL.expires)


# PROMOTING


def test_an_approved_and_ready_candidate_gets_the_traffic():
    assert decided(release(Phase.PROMOTING), snapshot(), EVERYBODY) == Decision(order=Order.PROMOTE)


def test_a_candidate_that_was_changed_after_approval_is_left_alone():
    decision = decided(release(Phase.PROMOTING), snapshot(candidate=side(present=False)), EVERYBODY)
    assert went(decision) == (Phase.ABANDONED, Cause.FOREIGN)
    assert decision.reason == "green was changed by helm at 14:03 UTC, so its approvals are void"


@pytest.mark.parametrize("candidate", [side(0), side(1), side(0, complete=True), side(0, 0)])
def test_an_unready_side_never_gets_traffic(candidate):
    """I1: the guarded switch."""
    decision = decided(release(Phase.PROMOTING), snapshot(candidate=candidate), EVERYBODY)
    assert decision == Decision(reason=candidate.progress, until=NOW + TIMING.promote_within)


@pytest.mark.parametrize("seen", [snapshot(age=FRESH_FOR + MOMENT), snapshot(fresh=False)])
def test_an_old_look_moves_no_traffic(seen):
    """I1: no older than it may be, and never out of the cache."""
    assert decided(release(Phase.PROMOTING), seen, EVERYBODY) == Decision(look=True)


@pytest.mark.parametrize("votes", [ballots(KIM), ballots(KIM, LEE, against=[LEE])])
def test_an_approval_lost_before_the_switch_asks_for_approval_again(votes):
    decision = decided(release(Phase.PROMOTING), snapshot(), votes)
    assert decision == Decision(phase=Phase.READY, reason="an approval was lost before the switch")


@pytest.mark.parametrize("age", [None, NO_TIME])
def test_when_nobody_approves_any_more_nobody_is_looked_up(age):
    """There is no voter left to read: looking again would change nothing."""
    assert decided(release(Phase.PROMOTING), snapshot(), ballots(age=age)).phase is Phase.READY


def test_an_approved_release_waits_for_discord_as_one_that_is_to_be_approved():
    decision = decided(release(Phase.PROMOTING), snapshot(), ballots(KIM, LEE, trouble="Discord does not answer"))
    assert decision == Decision(phase=Phase.READY, reason="Discord does not answer")


def test_a_switch_that_does_not_come_about_in_time_goes_back():
    late = release(Phase.PROMOTING, age=TIMING.promote_within)
    decision = decided(late, snapshot(candidate=side(1)), EVERYBODY)
    assert went(decision) == (Phase.REVERTING, Cause.LATE)
    assert decision.reason == "could not be switched in time: green has 1 of 3 pods ready"


def test_traffic_that_is_answered_begins_the_watch():
    assert decided(release(Phase.PROMOTING), snapshot(**LIVE)) == Decision(phase=Phase.BAKING)


@pytest.mark.parametrize("phase", [Phase.PROMOTING, Phase.BAKING])
def test_a_live_side_that_answers_nothing_for_the_grace_time_goes_back(phase):
    empty = release(phase, live_at=NOW - TIMING.grace, empty_since=NOW - TIMING.grace)
    assert went(decided(empty, snapshot(candidate=side(0), **LIVE))) == (Phase.REVERTING, Cause.EMPTY)


@pytest.mark.parametrize("phase", [Phase.PROMOTING, Phase.BAKING])
def test_a_live_side_that_answers_nothing_is_given_the_grace_time(phase):
    empty = release(phase, live_at=NOW, empty_since=NOW - MOMENT)
    decision = decided(empty, snapshot(candidate=side(0), **LIVE))
    assert not decision.acts
    assert decision.until == NOW - MOMENT + TIMING.grace


def test_an_empty_side_goes_back_when_the_time_to_switch_is_over_even_within_the_grace_time():
    almost = release(Phase.PROMOTING, age=TIMING.promote_within - MOMENT, live_at=NOW, empty_since=NOW)
    seen = snapshot(candidate=side(0), **LIVE)
    assert decided(almost, seen).until == NOW + MOMENT
    late = replace(almost, since=NOW - TIMING.promote_within)
    assert went(decided(late, seen)) == (Phase.REVERTING, Cause.EMPTY)


# BAKING


def test_the_watch_lasts_as_long_as_it_should():
    almost = release(Phase.BAKING, age=TIMING.bake_for - MOMENT)
    assert decided(almost, snapshot(**LIVE)) == Decision(until=NOW + MOMENT)
    assert decided(replace(almost, since=NOW - TIMING.bake_for), snapshot(**LIVE)) == Decision(phase=Phase.DONE)


def test_a_side_that_answers_again_is_not_taken_back():
    recovered = release(Phase.BAKING, empty_since=NOW - TIMING.grace)
    assert decided(recovered, snapshot(candidate=side(1), **LIVE)).phase is None


@pytest.mark.parametrize("verdict", Verdict)
def test_a_watch_does_not_end_before_a_check_has(verdict):
    """What Argo Rollouts still measures may yet make it take the traffic back."""
    over = release(Phase.BAKING, since=NOW - TIMING.bake_for, **WENT_LIVE)
    decision = decided(over, replace(snapshot(**LIVE), checks=(Check("post-promotion analysis", "argo", verdict),)))
    if verdict is Verdict.RUNNING:
        assert decision == Decision(reason="post-promotion analysis is still running")
    else:
        assert decision.phase is Phase.DONE


def test_a_watch_does_not_end_while_nothing_answers():
    ending = release(Phase.BAKING, age=TIMING.bake_for, empty_since=NOW)
    decision = decided(ending, snapshot(candidate=side(0), **LIVE))
    assert decision == Decision(reason="no pod answers", until=NOW + TIMING.grace)


# DONE


@pytest.mark.parametrize(
    ("timing", "asked", "warm_for"),
    [(TIMING, False, TIMING.warm_for), (TIMING, True, DRAIN), (AT_ONCE, False, DRAIN), (AT_ONCE, True, DRAIN)],
)
def test_the_version_before_keeps_its_pods_for_the_warm_time_or_at_least_until_it_is_drained(timing, asked, warm_for):
    """I11, and the drain that no setting switches off: open connections stay on the old pods."""
    policy = app(timing=timing)
    done = release(Phase.DONE, live_at=NOW - warm_for + MOMENT, retire_asked=asked)
    assert decided(done, snapshot(**LIVE), policy=policy) == Decision(until=NOW + MOMENT)
    over = replace(done, live_at=NOW - warm_for)
    assert decided(over, snapshot(**LIVE), policy=policy) == Decision(order=Order.RETIRE)


def test_the_way_back_is_kept_while_what_is_live_answers_nothing():
    over = release(Phase.DONE, live_at=NOW - TIMING.warm_for)
    decision = decided(over, snapshot(candidate=side(0), **LIVE))
    assert decision == Decision(reason="blue stays warm: no pod of green answers")


@pytest.mark.parametrize("traffic", [Traffic.PREVIOUS, Traffic.OTHER])
def test_a_release_that_is_not_live_any_more_retires_nothing(traffic):
    assert not decided(release(Phase.DONE, live_at=NOW - TIMING.warm_for), snapshot(traffic)).acts


def test_what_is_retired_stays_retired():
    assert decided(release(Phase.DONE, retired=True, **WENT_LIVE), snapshot(**LIVE)) == Decision()
    assert decided(release(Phase.REVERTED, retired=True, **WENT_LIVE), snapshot()) == Decision()


# REVERTING


@pytest.mark.parametrize("previous", [side(), side(1), side(0), side(present=False)])
def test_it_is_back_when_the_version_before_has_the_traffic(previous):
    assert decided(release(Phase.REVERTING), snapshot(previous=previous)) == Decision(phase=Phase.REVERTED)


def test_a_switch_whose_answer_was_lost_can_still_be_undone_when_it_arrives_late():
    """Nothing takes traffic back from a closed release."""
    back = release(Phase.REVERTING, switch_sent_at=NOW - MOMENT)
    assert decided(back, snapshot()).until == NOW - MOMENT + SETTLE
    assert decided(back, snapshot(**LIVE)) == Decision(order=Order.REVERT)
    assert decided(replace(back, live_at=NOW), snapshot()) == Decision(phase=Phase.REVERTED)
    settled = replace(back, switch_sent_at=NOW - SETTLE)
    assert decided(settled, snapshot()) == Decision(phase=Phase.REVERTED)
    assert decided(settled, snapshot(age=MOMENT)).look  # it may have arrived since that look began


@pytest.mark.parametrize("candidate", [side(), side(0), side(0, failed=True), side(present=False)])
@pytest.mark.parametrize("previous", [side(), side(1)])
def test_a_warm_version_gets_the_traffic_back_at_once_whatever_became_of_the_release(candidate, previous):
    """I10: rollback always, and it needs neither Discord nor approvals."""
    seen = snapshot(candidate=candidate, previous=previous, **LIVE)
    unknown = ballots(age=None, trouble="Discord does not answer")
    assert decided(release(Phase.REVERTING, age=TIMING.stage_within), seen, unknown) == Decision(order=Order.REVERT)


def test_a_retired_version_is_started_before_it_gets_the_traffic_back():
    back = release(Phase.REVERTING, retired=True)
    until = NOW + TIMING.stage_within
    off, partly, full = (snapshot(previous=side(ready, wanted), **LIVE) for ready, wanted in [(0, 0), (1, 3), (3, 3)])
    assert decided(back, off) == Decision(order=Order.REVERT)
    assert decided(back, partly) == Decision(reason="blue has 1 of 3 pods ready", until=until)
    assert decided(back, full) == Decision(order=Order.REVERT)


def test_a_part_of_the_version_before_is_better_than_nothing():
    seen = snapshot(candidate=side(0), previous=side(1), **LIVE)
    assert decided(release(Phase.REVERTING, retired=True), seen) == Decision(order=Order.REVERT)


def test_traffic_never_goes_back_to_a_side_that_answers_nothing():
    broken = side(0, trouble="pod blue-x2k: has crashed")
    decision = decided(release(Phase.REVERTING), snapshot(previous=broken, **LIVE))
    assert decision == Decision(reason="pod blue-x2k: has crashed", until=NOW + TIMING.stage_within)


@pytest.mark.parametrize("previous", [side(0), side(0, 0)])
def test_a_way_back_that_does_not_come_up_in_time_is_said_to_be_stuck(previous):
    decision = decided(release(Phase.REVERTING, age=TIMING.stage_within), snapshot(previous=previous, **LIVE))
    assert went(decision) == (Phase.ABANDONED, Cause.STUCK)
    assert decision.reason == f"could not be taken back: blue has 0 of {previous.wanted} pods ready"


def test_time_in_which_nobody_looked_is_no_patience_with_the_way_back():
    """A bot that was away for long would otherwise give up what it has never tried."""
    late, off = release(Phase.REVERTING, age=2 * TIMING.stage_within), snapshot(previous=side(0, 0), **LIVE)
    assert decide(late, app(), off, NOBODY, NOW, NOW - MOMENT) == Decision(order=Order.REVERT)
    comes_up = snapshot(previous=side(0, 3), **LIVE)
    waits = decide(late, app(), comes_up, NOBODY, NOW, NOW - MOMENT)
    assert waits.until == NOW - MOMENT + TIMING.stage_within
    assert decide(late, app(), comes_up, NOBODY, NOW, NOW - TIMING.stage_within).cause is Cause.STUCK
    assert decide(late, app(), comes_up, NOBODY, NOW, late.since - MOMENT).cause is Cause.STUCK


def test_a_way_back_that_somebody_changed_is_not_taken():
    decision = decided(release(Phase.REVERTING), snapshot(previous=side(present=False), **LIVE))
    assert went(decision) == (Phase.ABANDONED, Cause.FOREIGN)
    assert decision.reason == "blue, the version to go back to, was changed by argocd at 14:04 UTC"


# REVERTED and ABANDONED


def test_a_candidate_that_never_was_live_is_scaled_down_at_once():
    assert decided(release(Phase.REVERTED), snapshot()) == Decision(order=Order.RETIRE)


@pytest.mark.parametrize("had_traffic", [WENT_LIVE, {"switch_sent_at": NOW - timedelta(hours=1)}])
def test_a_release_that_may_have_been_live_is_drained_before_it_is_scaled_down(had_traffic):
    """A switch that was undone between two looks was never seen, but connections may be open."""
    back = release(Phase.REVERTED, age=DRAIN - MOMENT, **had_traffic)
    assert decided(back, snapshot()) == Decision(until=NOW + MOMENT)
    assert decided(replace(back, since=NOW - DRAIN), snapshot()) == Decision(order=Order.RETIRE)


def test_a_reverted_release_keeps_its_pods_while_nobody_knows_what_the_traffic_is():
    assert decided(release(Phase.REVERTED, age=DRAIN), snapshot(Traffic.OTHER)) == Decision()


@pytest.mark.parametrize("retired", [False, True])
def test_a_reverted_release_that_somebody_made_live_again_says_so(retired):
    again = release(Phase.REVERTED, age=DRAIN, retired=retired)
    decision = decided(again, replace(snapshot(Traffic.CANDIDATE), promoted_by="argocd at 14:02 UTC"))
    assert went(decision) == (Phase.ABANDONED, Cause.PROMOTED_OUTSIDE)
    assert decision.reason == "promoted outside by argocd at 14:02 UTC, after it had been taken back"
    assert decided(again, replace(snapshot(Traffic.CANDIDATE), fresh=False)).look


@pytest.mark.parametrize("phase", [Phase.STAGING, Phase.READY])
def test_what_a_controller_gives_up_for_a_version_that_was_taken_back_goes_back_at_once(phase):
    handed_over = replace(snapshot(Traffic.CANDIDATE), given_up="Argo Rollouts aborted it")
    assert went(decided(release(phase), handed_over, EVERYBODY)) == (Phase.REVERTING, Cause.FAILED)


def test_a_way_back_that_a_controller_undoes_is_not_fought_for():
    undone = replace(snapshot(Traffic.CANDIDATE), given_up="Argo Rollouts aborted mochi:blue")
    decision = decided(release(Phase.REVERTING), undone)
    assert went(decision) == (Phase.ABANDONED, Cause.STUCK)
    assert decision.reason == "could not be taken back: Argo Rollouts aborted mochi:blue"


def test_a_reverted_release_is_not_left_with_its_pods_because_of_what_a_cache_says():
    """Found by the simulation: the last write of an adoption's undoing was made, its outcome was not stored, and the
    cache had not heard yet that the candidate's pods were gone."""
    behind = replace(snapshot(Traffic.OTHER), fresh=False)
    assert decided(release(Phase.REVERTED), behind) == Decision(look=True)
    assert decided(release(Phase.REVERTED, retired=True), behind) == Decision()


@pytest.mark.parametrize("traffic", list(Traffic))
def test_what_was_left_alone_stays_alone(traffic):
    assert decided(release(Phase.ABANDONED, **WENT_LIVE), snapshot(traffic), EVERYBODY) == Decision()


# A policy that was misread


def test_a_policy_without_requirements_promotes_nothing():
    """I9: what is missing blocks."""
    for require in [(), (Requirement(frozenset({11}), 0),), (Requirement(frozenset()),)]:
        policy = app(approval=Approval(require))
        assert not decided(release(Phase.READY), snapshot(), ballots(ANN, KIM, LEE), policy).acts


@pytest.mark.parametrize("phase", [Phase.READY, Phase.PROMOTING])
def test_i2_a_switch_that_somebody_has_undone_before_anybody_saw_it_is_not_made_again(phase):
    """Only a controller of the cluster's own can tell: the pause that it was to end is over, and another one began."""
    undone = replace(snapshot(), taken_back=True)
    decision = decided(release(phase, switch_sent_at=NOW - SETTLE), undone, EVERYBODY)
    assert (decision.phase, decision.cause) == (Phase.ABANDONED, Cause.FOREIGN)
    assert decision.reason == "it was promoted, and the active Service was changed by kubectl at 14:02 UTC"
