"""What holds in every combination of phase, traffic, sides, ages and votes. What is reached is asserted too."""

from dataclasses import replace
from datetime import timedelta

import pytest
from every_case import LOOKS_IN, OWED, VOTES, Case, counterexample, every
from examples import EVERYBODY, MOMENT, NOW, TIMING
from small_cluster import Cluster

from bot.release.approvals import Ballots
from bot.release.machine import DRAIN, SETTLE, Decision, Order, advance, decide, fulfil, observe
from bot.release.record import Cause, Phase
from bot.release.snapshot import FRESH_FOR, Traffic

OPEN = [phase for phase in Phase if phase.open]
TICK = timedelta(microseconds=1)
LOOKS = [seen for looks in LOOKS_IN.values() for seen in looks]
STALE = {id(seen): replace(seen, read_at=NOW - FRESH_FOR - TICK) for seen in LOOKS}
CACHED = {id(seen): replace(seen, fresh=False) for seen in LOOKS}

BACK, LEFT = Phase.REVERTING, Phase.ABANDONED
REACHED = {
    Phase.STAGING: {
        (LEFT, Cause.FOREIGN),
        (LEFT, Cause.PROMOTED_OUTSIDE),
        (BACK, Cause.FAILED),
        (BACK, Cause.LATE),
        Order.STAGE,
        (Phase.READY, None),
        "wait",
    },
    Phase.READY: {
        (LEFT, Cause.FOREIGN),
        (LEFT, Cause.PROMOTED_OUTSIDE),
        (BACK, Cause.FAILED),
        (BACK, Cause.REJECTED),
        (BACK, Cause.EXPIRED),
        (Phase.PROMOTING, None),
        "wait",
        "look",
    },
    Phase.PROMOTING: {
        (LEFT, Cause.FOREIGN),
        (BACK, Cause.FAILED),
        (BACK, Cause.LATE),
        (BACK, Cause.EMPTY),
        (BACK, Cause.FOREIGN),
        (Phase.READY, None),
        (Phase.BAKING, None),
        Order.PROMOTE,
        "wait",
        "look",
    },
    Phase.BAKING: {
        (LEFT, Cause.FOREIGN),
        (BACK, Cause.FAILED),
        (BACK, Cause.EMPTY),
        (BACK, Cause.GUARD),
        (Phase.DONE, None),
        "wait",
    },
    Phase.DONE: {Order.RETIRE, "wait", "rest"},
    Phase.REVERTING: {
        (LEFT, Cause.FOREIGN),
        (LEFT, Cause.STUCK),
        (Phase.REVERTED, None),
        Order.REVERT,
        "wait",
        "owed",
    },
    Phase.REVERTED: {Order.RETIRE, "wait", "rest", (Phase.ABANDONED, Cause.PROMOTED_OUTSIDE)},
    Phase.ABANDONED: {"rest"},
}


def outcome(decision: Decision):
    if decision.order or decision.phase:
        return decision.order or (decision.phase, decision.cause)
    if decision.look:
        return "look"
    if decision.until:
        return "wait"
    return "owed" if decision.reason == OWED else "rest"


@pytest.mark.parametrize("phase", Phase)
def test_exactly_the_written_outcomes_of_a_phase_are_reached(phase):
    """A walk that never promotes proves nothing; one that promotes from elsewhere proves a fault."""
    assert {outcome(decision) for _, decision in every(phase)} == REACHED[phase]


def test_a_decision_is_an_order_or_a_change_of_phase_or_neither():
    def holds(case, decision):
        one_at_most = [decision.order, decision.phase, decision.look or None, decision.until].count(None) >= 3
        return one_at_most and decision.phase is not case.release.phase

    assert counterexample(holds) is None


@pytest.mark.parametrize("old", [STALE, CACHED])
def test_nothing_is_done_upon_an_old_look(old):
    """I1: what a fresh look would do, an old one asks to look for; what it would wait for, it waits for."""

    def holds(case, decision):
        unsure = decide(case.release, case.app, old[id(case.seen)], case.votes, NOW)
        return not unsure.acts and (unsure.look or unsure == decision) and (unsure.look or not decision.acts)

    assert counterexample(holds) is None


def test_a_look_is_recent_enough_up_to_the_limit():
    """Otherwise a slow API server would keep the loop looking for ever. One more is needed where a switch may have
    arrived since.
    """
    at_the_limit = {id(seen): replace(seen, read_at=NOW - FRESH_FOR) for seen in LOOKS}

    def holds(case, decision):
        recent = decide(case.release, case.app, at_the_limit[id(case.seen)], case.votes, NOW)
        of = case.release
        sent_before = of.switch_sent_at is not None and not of.was_live and of.switch_sent_at + SETTLE <= NOW
        return recent == decision or (sent_before and recent.look)

    assert counterexample(holds, [Phase.STAGING, Phase.REVERTING]) is None


def test_traffic_moves_to_the_candidate_only_when_everything_is_right():
    """I1, I2, I7, I9. `EVERYBODY` are the only votes with a quorum, no veto, and roles that were just read."""

    def right(case):
        side = case.seen.candidate
        usable = side.present and side.complete and side.ready > 0 and case.seen.previous.present
        first = case.seen.traffic is Traffic.PREVIOUS and case.release.live_at is None
        untold = not case.seen.pending and not case.seen.given_up
        in_time = NOW - case.release.since < TIMING.promote_within
        voted = untold and case.votes is EVERYBODY
        return case.release.phase is Phase.PROMOTING and usable and first and in_time and voted

    assert counterexample(lambda case, decision: (decision.order is Order.PROMOTE) == right(case)) is None


def test_a_release_is_approved_only_when_everything_is_right():
    """I7, I9: the same care when the approval is consumed."""

    def right(case):
        side, of = case.seen.candidate, case.release
        usable = side.present and side.complete and side.ready > 0 and case.seen.previous.present
        in_time = NOW - (of.ready_at or of.since) < case.app.approval.expires
        pressed = case.app.approval.switch == "auto" or of.promote_asked
        settled = usable and in_time and pressed and case.votes is EVERYBODY and not case.seen.given_up
        return of.phase is Phase.READY and case.seen.traffic is Traffic.PREVIOUS and settled

    def holds(case, decision):
        return (decision.phase is Phase.PROMOTING) == right(case) == bool(decision.approvers)

    assert counterexample(holds) is None


def test_discord_has_no_say_outside_the_approval():
    """I10, I15: whoever votes, and whether roles can be read, changes nothing once it goes back or is live."""

    def holds(case, decision):
        return all(replace(case, votes=votes).decide() == decision for votes in (Ballots(), VOTES[-1]))

    phases = [phase for phase in Phase if phase not in {Phase.READY, Phase.PROMOTING}]
    assert counterexample(holds, phases) is None


def test_a_rollback_goes_through_whenever_the_version_before_can_take_traffic():
    """I10. A version whose pods were scaled down is started first, and waits until it carries all. What a controller
    has not done yet keeps nobody from it."""

    def holds(case, decision):
        seen, anew = case.seen, case.release.retired or case.seen.restarting
        warm = seen.previous.present and seen.previous.ready and not anew
        return decision.order is Order.REVERT or not (warm and seen.traffic is Traffic.CANDIDATE)

    assert counterexample(holds, [Phase.REVERTING]) is None


def carries_back(case) -> bool:
    """The version to go back to can take the traffic: all of it, if it is started anew and what is live carries any."""
    side, anew = case.seen.previous, case.release.retired or case.seen.restarting
    return side.ready > 0 and (side.complete or not anew or case.seen.candidate.ready == 0)


def test_traffic_never_goes_back_to_an_empty_side():
    def holds(case, decision):
        seen, side, late = case.seen, case.seen.previous, NOW - case.release.since >= TIMING.stage_within
        starts_pods = side.wanted == 0 and not late and not seen.pending
        allowed = seen.traffic is Traffic.CANDIDATE and side.present and (starts_pods or carries_back(case))
        is_there = seen.traffic is Traffic.PREVIOUS and not seen.undone and not seen.pending
        return decision.order is not Order.REVERT or (case.release.phase is Phase.REVERTING and (allowed or is_there))

    assert counterexample(holds) is None


def settling(of) -> bool:
    """Our own switch may still be on its way."""
    return bool(of.switch_sent_at) and not of.was_live and of.switch_sent_at + SETTLE > NOW


def test_it_is_back_only_when_the_version_before_has_the_traffic_and_no_switch_can_arrive_late():
    """I4: whatever lands after the end would stay. So would a version that could still take the traffic unasked."""

    def holds(case, decision):
        of = case.release
        home = of.phase is Phase.REVERTING and case.seen.traffic is Traffic.PREVIOUS
        return (decision.phase is Phase.REVERTED) == (home and case.seen.undone and not settling(of))

    assert counterexample(holds) is None


def test_what_could_take_the_traffic_again_is_undone_as_soon_as_there_is_anything_to_write():
    """I10: only what a controller was told for this very way back is waited for."""

    def holds(case, decision):
        seen = case.seen
        open_still = seen.traffic is Traffic.PREVIOUS and not seen.undone
        return not open_still or outcome(decision) == ("owed" if seen.pending else Order.REVERT)

    assert counterexample(holds, [Phase.REVERTING]) is None


def test_what_a_controller_owes_keeps_no_deadline():
    """I4: neither the switch nor the way back waits for it any longer than for pods."""

    def holds(case, decision):
        of, home = case.release, case.seen.traffic is Traffic.PREVIOUS
        within = TIMING.promote_within if of.phase is Phase.PROMOTING else TIMING.stage_within
        late = NOW - of.since >= within and not (home and of.phase is Phase.REVERTING)
        owing_nothing = replace(case, seen=replace(case.seen, pending=""))
        return not late or outcome(decision) == outcome(owing_nothing.decide())

    assert counterexample(holds, [Phase.PROMOTING, Phase.REVERTING]) is None


def test_pods_are_given_up_only_on_the_side_without_traffic_and_after_the_drain():
    """I11."""

    def allowed(case):
        of, seen = case.release, case.seen
        if of.phase is Phase.REVERTED:
            drained = NOW - of.since >= DRAIN or not (of.live_at or of.switch_sent_at)
            return seen.traffic is Traffic.PREVIOUS and drained
        warm_for = DRAIN if of.retire_asked else max(DRAIN, case.app.timing.warm_for)
        over = NOW - (of.live_at or of.since) >= warm_for
        return of.phase is Phase.DONE and seen.traffic is Traffic.CANDIDATE and seen.candidate.ready > 0 and over

    def holds(case, decision):
        return (decision.order is Order.RETIRE) == (allowed(case) and not case.release.retired)

    assert counterexample(holds) is None


def interfered(case: Case) -> bool:
    """Somebody else moved the traffic, or changed what is live, shown, approved, or to be gone back to."""
    seen, phase = case.seen, case.release.phase
    match phase, seen.traffic:
        case (_, Traffic.OTHER) | (Phase.STAGING | Phase.READY, Traffic.CANDIDATE):
            return True
        case Phase.PROMOTING | Phase.BAKING, _ if seen.given_up:  # its controller took it back, or is about to
            return False
        case Phase.BAKING, Traffic.PREVIOUS:
            return True
        case Phase.STAGING, Traffic.PREVIOUS:
            return not seen.previous.present or (case.release.staged and not seen.candidate.present)
        case Phase.READY, Traffic.PREVIOUS:
            return not seen.previous.present or not seen.candidate.present
        case Phase.PROMOTING, Traffic.PREVIOUS:
            changed = not seen.candidate.present and not settling(case.release)
            return not seen.previous.present or changed or case.release.was_live
        case Phase.BAKING, Traffic.CANDIDATE:
            return not seen.candidate.present and seen.candidate.ready > 0
        case Phase.REVERTING, Traffic.CANDIDATE:
            return not seen.previous.present
    return False


def test_a_release_is_left_alone_exactly_when_somebody_interfered_or_it_is_stuck():
    def stuck(case):
        side, late = case.seen.previous, NOW - case.release.since >= TIMING.stage_within
        going = case.release.phase is Phase.REVERTING and case.seen.traffic is Traffic.CANDIDATE
        return going and side.present and late and not carries_back(case)

    def holds(case, decision):
        foreign = case.release.phase.open and interfered(case)
        left = {(True, False): Cause.FOREIGN, (False, True): Cause.STUCK}.get((foreign, stuck(case)))
        live = case.seen.traffic is Traffic.CANDIDATE
        if live and case.release.phase is Phase.REVERTING and case.seen.given_up and case.seen.previous.present:
            left = Cause.STUCK
        if live and case.release.phase in {Phase.STAGING, Phase.READY} and case.seen.given_up:
            left = None
        if live and (case.seen.promoted_by or case.release.phase is Phase.REVERTED):
            left = Cause.PROMOTED_OUTSIDE
        return decision.phase is not Phase.ABANDONED if left is None else outcome(decision) == (Phase.ABANDONED, left)

    assert counterexample(holds) is None


def test_whoever_is_told_that_a_release_was_left_alone_is_told_why():
    def holds(_, decision):
        return bool(decision.reason) or decision.phase is not Phase.ABANDONED

    assert counterexample(holds) is None


def test_an_open_release_that_waits_knows_until_when():
    """Unless it waits, back home, for a controller that has all it needs."""

    def holds(_, decision):
        waits = decision.until is not None and decision.until > NOW
        return decision.acts or decision.look or waits or outcome(decision) == "owed"

    assert counterexample(holds, OPEN) is None


def test_a_wait_ends_at_the_time_it_names_and_not_before():
    """The loop sleeps until then: a wait that went on would be looked at for ever, one that ended sooner be missed."""

    def at(case, when):
        seen = replace(case.seen, read_at=when)
        votes = replace(case.votes, checked_at=case.votes.checked_at and when)
        of = observe(observe(case.release, case.seen, NOW), seen, when)
        return decide(of, case.app, seen, votes, when)

    def holds(case, decision):
        if decision.until is None:
            return True
        return not at(case, decision.until - TICK).acts and outcome(at(case, decision.until)) not in {"wait", "look"}

    assert counterexample(holds) is None


@pytest.mark.parametrize("phase", OPEN)
@pytest.mark.parametrize("healthy", [True, False])
def test_every_open_release_ends_in_bounded_steps_and_agrees_with_the_cluster(phase, healthy):
    """I4, from everything that a crash may have left behind; whether pods ever become ready or not."""
    ends = set()
    for case, first in every(phase):
        if first.phase is Phase.ABANDONED:
            continue
        of, cluster = _in_the_end(case, healthy=healthy)
        ends.add(of.phase)
        assert not of.phase.open, case
        agreed = {Phase.DONE: Traffic.CANDIDATE, Phase.REVERTED: Traffic.PREVIOUS}.get(of.phase, cluster.traffic)
        assert cluster.traffic is agreed, case
        assert cluster.done.count(Order.PROMOTE) <= 1, case
    assert Phase.REVERTED in ends
    if healthy and phase is not Phase.REVERTING:
        assert Phase.DONE in ends


@pytest.mark.parametrize("phase", [Phase.DONE, Phase.REVERTED])
def test_a_closed_release_comes_to_rest_and_leaves_traffic_alone(phase):
    """I12: an app without an open release costs nothing."""
    for case, _ in every(phase):
        of, cluster = _in_the_end(case, healthy=True)
        again = phase is Phase.REVERTED and case.seen.traffic is Traffic.CANDIDATE
        assert of.phase is (Phase.ABANDONED if again else phase), case
        assert cluster.traffic is case.seen.traffic, case


def _in_the_end(case: Case, *, healthy: bool):
    """The release and its cluster when nothing is left to do."""
    cluster = _as_seen(case, healthy=healthy)
    of, votes, now = case.release, case.votes, NOW
    for _ in range(20):
        of = observe(of, cluster.look(now, of.phase), now)
        decision = decide(of, case.app, cluster.look(now, of.phase), votes, now)
        assert decision.phase is not Phase.REVERTED or cluster.undone, case
        if decision.look:
            votes = replace(votes, checked_at=now)
        elif decision.order:
            of = fulfil(of, decision.order) if cluster.obey(decision.order, of) else of
        elif decision.phase:
            of = advance(of, decision, now)
        elif of.phase.open and not decision.until:
            cluster.act()
        elif decision.until:
            cluster.start_pods()
            cluster.act()
            now = max(now + MOMENT, decision.until - MOMENT if healthy and of.phase.open else decision.until)
            votes = replace(votes, checked_at=votes.checked_at and now)
        else:
            return of, cluster
    raise AssertionError(f"still {of.phase} after 20 steps: {case}")


def _as_seen(case: Case, *, healthy: bool) -> Cluster:
    of, seen = case.release, case.seen
    controlled = bool(seen.pending or seen.given_up or seen.promoted_by or seen.restarting or not seen.undone)
    going_back = of.phase is Phase.REVERTING
    told = (Order.REVERT if going_back else Order.PROMOTE) if seen.pending else None
    wants = of.staged and told is not Order.REVERT and not (going_back and seen.undone)
    return Cluster(
        seen.traffic,
        seen.candidate,
        seen.previous,
        healthy,
        controlled=controlled,
        wants_candidate=controlled and wants,
        told=told,
        given_up=seen.given_up,
        promoted_by=seen.promoted_by,
        restarting=seen.restarting,
    )
