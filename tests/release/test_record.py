"""What a release remembers of decisions, of orders and of what was seen."""

from dataclasses import replace

import pytest
from examples import KIM, LEE, MOMENT, NOW, release, side, snapshot

from bot.release.machine import Decision, Order, advance, fulfil, observe, sent
from bot.release.record import NOBODY, Cause, Person, Phase
from bot.release.snapshot import Traffic

LIVE = {"traffic": Traffic.CANDIDATE}


def test_a_change_of_phase_is_dated_and_keeps_its_reason():
    back = Decision(phase=Phase.REVERTING, cause=Cause.REJECTED, by=KIM, reason="the logo is wrong")
    moved = advance(release(age=MOMENT), back, NOW)
    assert (moved.phase, moved.since) == (Phase.REVERTING, NOW)
    assert (moved.cause, moved.by, moved.reason) == (Cause.REJECTED, KIM, "the logo is wrong")


def test_what_does_not_change_the_phase_changes_nothing():
    ready = release(Phase.READY)
    assert advance(ready, Decision(order=Order.STAGE, reason="why"), NOW) is ready


def test_when_a_switch_was_sent_is_remembered_whatever_becomes_of_it():
    seen = replace(snapshot(), pause="the first")
    promoted = sent(release(Phase.PROMOTING), Order.PROMOTE, seen, NOW)
    assert (promoted.switch_sent_at, promoted.switched_from) == (NOW, "the first")
    assert sent(release(Phase.REVERTING), Order.REVERT, seen, NOW).switch_sent_at is None


def test_a_version_that_a_service_was_narrowed_to_is_found_by_the_selector_before():
    narrowed = replace(release().previous, selector={"app": "mochi", "color": "blue"}, before={"app": "mochi"})
    assert narrowed.widest == {"app": "mochi"}
    assert replace(narrowed, before=None).widest == {"app": "mochi", "color": "blue"}


def test_the_time_to_approve_runs_from_the_first_time_it_was_asked_for():
    first = advance(release(staged=True), Decision(phase=Phase.READY), NOW)
    assert first.ready_at == NOW
    assert advance(first, Decision(phase=Phase.READY), NOW + MOMENT).ready_at == NOW


def test_whoever_counted_is_forgotten_when_approval_is_asked_for_again():
    """I2: approvals are consumed by the switch that they allow."""
    approved = advance(release(Phase.READY), Decision(phase=Phase.PROMOTING, approvers=(KIM, LEE)), NOW)
    assert approved.approvers == (KIM, LEE)
    assert advance(approved, Decision(phase=Phase.BAKING), NOW).approvers == (KIM, LEE)
    assert advance(approved, Decision(phase=Phase.READY), NOW).approvers == ()


def test_why_it_goes_back_is_not_forgotten_on_the_way():
    back = release(Phase.REVERTING, cause=Cause.REJECTED, by=KIM, reason="the logo is wrong")
    ended = advance(back, Decision(phase=Phase.REVERTED), NOW)
    assert (ended.cause, ended.by, ended.reason) == (Cause.REJECTED, KIM, "the logo is wrong")
    stuck = advance(back, Decision(phase=Phase.ABANDONED, cause=Cause.STUCK, reason="stuck"), NOW)
    assert (stuck.cause, stuck.by, stuck.reason) == (Cause.STUCK, KIM, "stuck")


def test_a_cold_way_back_that_was_taken_gives_the_capacity_of_the_release_back():
    """`retired` is about the side without traffic, and the sides have changed places."""
    back = advance(release(Phase.REVERTING, retired=True), Decision(phase=Phase.REVERTED), NOW)
    assert not back.retired
    assert not advance(release(Phase.BAKING), Decision(phase=Phase.DONE), NOW).retired


@pytest.mark.parametrize(("order", "change"), [(Order.STAGE, {"staged": True}), (Order.RETIRE, {"retired": True})])
def test_an_order_that_has_nothing_left_to_write_is_remembered(order, change):
    assert fulfil(release(), order) == release(**change)


@pytest.mark.parametrize("order", [Order.PROMOTE, Order.REVERT])
def test_who_has_the_traffic_is_read_from_the_cluster_and_never_remembered(order):
    """I5: the cluster wins."""
    before = release(Phase.PROMOTING)
    assert fulfil(before, order) is before


@pytest.mark.parametrize("phase", [Phase.PROMOTING, Phase.BAKING, Phase.REVERTING])
def test_going_live_is_dated_by_the_first_look_that_sees_it(phase):
    seen = observe(release(phase), snapshot(**LIVE), NOW)
    assert seen.live_at == NOW
    assert observe(seen, snapshot(**LIVE), NOW + MOMENT) is seen


def test_an_empty_side_is_dated_by_the_first_look_that_sees_it_until_it_answers():
    empty = observe(release(Phase.BAKING), snapshot(candidate=side(0), **LIVE), NOW)
    assert empty.empty_since == NOW
    assert observe(empty, snapshot(candidate=side(0), **LIVE), NOW + MOMENT).empty_since == NOW
    assert observe(empty, snapshot(candidate=side(1), **LIVE), NOW + MOMENT).empty_since is None
    assert observe(empty, snapshot(), NOW + MOMENT).empty_since is None


@pytest.mark.parametrize("phase", [Phase.STAGING, Phase.READY, Phase.DONE, Phase.REVERTED, Phase.ABANDONED])
def test_phases_without_a_switch_remember_nothing_of_what_is_seen(phase):
    before = release(phase)
    assert observe(before, snapshot(candidate=side(0), **LIVE), NOW) is before


def test_somebody_whom_nobody_knows_is_no_person_of_the_guild():
    assert KIM.is_known
    assert not Person(NOBODY, "kubectl-set").is_known


def test_only_an_image_with_a_digest_is_bound_to_its_content():
    assert release().pinned
    assert not replace(release(), image="registry.example.com/mochi:green").pinned


@pytest.mark.parametrize(("traffic", "name"), [(Traffic.PREVIOUS, "blue"), (Traffic.CANDIDATE, "green")])
def test_the_live_side_is_the_one_with_the_traffic(traffic, name):
    assert snapshot(traffic).live.name == name


def test_traffic_that_went_elsewhere_leaves_no_side_live():
    assert snapshot(Traffic.OTHER).live is None
