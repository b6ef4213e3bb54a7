"""Gates: nothing but a pass lets a candidate through, and a pass counts for the very candidate that it was made of."""

from dataclasses import replace
from datetime import timedelta

import pytest
from examples import ANN, EVERYBODY, KIM, LEE, MOMENT, NOW, app, ballots, release, snapshot

from bot.release import gates
from bot.release.app import Gate, Http, Mode
from bot.release.errors import Refused
from bot.release.gates import AGAIN_AFTER
from bot.release.machine import decide
from bot.release.record import GateResult, Person, Phase
from bot.release.snapshot import Check, Verdict

TEMPLATE = release(Phase.READY).template
OVER = [Verdict.PASSED, Verdict.FAILED, Verdict.NONE]
ENDED = NOW - timedelta(minutes=1)


def gate(mode=Mode.BLOCK, name="smoke"):
    return Gate(name, Http(), mode)


def result(verdict=Verdict.PASSED, *, of="smoke", template=TEMPLATE, **known):
    return GateResult(of, template, verdict, ENDED, "3 of 5 answers were 500", **known)


def ready(*results, phase=Phase.READY, **known):
    return release(phase, gates=results, **known)


def decided(release, *gates):
    return decide(release, app(gates=gates), snapshot(), EVERYBODY, NOW)


def test_an_approved_release_waits_for_its_gates():
    decision = decided(ready(), gate())
    assert (decision.acts, decision.reason) == (False, "gate smoke is running")


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict.RUNNING, "gate smoke is running"),
        (Verdict.FAILED, "gate smoke failed: 3 of 5 answers were 500"),
        (Verdict.NONE, "gate smoke came to no verdict: 3 of 5 answers were 500"),
    ],
)
def test_i9_whatever_is_no_pass_blocks_and_says_why(verdict, said):
    decision = decided(ready(result(verdict)), gate())
    assert (decision.acts, decision.reason) == (False, said)


def test_a_pass_lets_it_through():
    assert decided(ready(result()), gate()).phase is Phase.PROMOTING


@pytest.mark.parametrize("other", [result(template="another"), result(of="another")], ids=["template", "gate"])
def test_a_pass_of_something_else_is_none(other):
    assert not decided(ready(other), gate()).acts


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.NONE])
def test_what_no_approval_helps_over_is_told_before_anybody_approves(verdict):
    over = ready(result(verdict))
    assert gates.failed(app(gates=[gate()]), over) == gates.obstacle(app(gates=[gate()]), over)
    assert gates.failed(app(gates=[gate(Mode.WARN)]), over) == ""
    accepted = gates.accept(over, app(gates=[gate(Mode.ASK)]), "smoke", KIM, "known")
    assert gates.failed(app(gates=[gate(Mode.ASK)]), accepted) == ""
    assert gates.failed(app(gates=[gate()]), ready(result(Verdict.RUNNING))) == ""


def test_every_gate_has_to_let_it_through():
    passed = result()
    both = gate(), gate(name="load")
    assert decided(ready(passed), *both).reason == "gate load is running"
    assert decided(ready(passed, result(of="load")), *both).phase is Phase.PROMOTING


@pytest.mark.parametrize("verdict", [*OVER, Verdict.RUNNING])
def test_a_gate_that_only_warns_keeps_nobody_waiting(verdict):
    assert decided(ready(result(verdict)), gate(Mode.WARN)).phase is Phase.PROMOTING


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.NONE])
def test_a_gate_that_asks_is_let_through_by_whoever_accepts_it(verdict):
    asking = gate(Mode.ASK)
    failed = ready(result(verdict))
    assert decided(failed, asking).reason.endswith("; an approver may accept it")
    accepted = gates.accept(failed, app(gates=(asking,)), "smoke", KIM, "known, see MO-12")
    assert decided(accepted, asking).phase is Phase.PROMOTING
    assert gates.checks(app(gates=(asking,)), accepted) == (
        Check(
            "smoke",
            "http",
            verdict,
            "3 of 5 answers were 500; accepted by kim: known, see MO-12",
            told=True,
            began_at=ENDED,
        ),
    )


def test_i10_a_release_that_goes_back_has_no_gates():
    assert decided(ready(restores=1), gate()).phase is Phase.PROMOTING
    assert gates.due(app(gates=(gate(),)), ready(restores=1)) == ()


def test_an_approved_release_whose_gate_is_lost_before_the_switch_waits_again():
    decision = decided(ready(result(Verdict.FAILED), phase=Phase.PROMOTING), gate())
    assert (decision.phase, decision.reason) == (Phase.READY, "gate smoke failed: 3 of 5 answers were 500")


def test_a_release_that_expires_says_that_it_was_its_gate():
    late = ready(result(Verdict.RUNNING), ready_at=NOW - app().approval.expires)
    decision = decided(late, gate())
    assert decision.reason == "it was approved, but could not be switched in time: gate smoke is running"


# Runs


def test_what_has_not_begun_for_this_candidate_is_due():
    policy = app(gates=(gate(), gate(name="load")))
    assert gates.due(policy, ready(result(template="another"))) == policy.gates
    assert gates.due(policy, ready(result())) == (policy.gates[1],)
    assert gates.due(policy, ready(phase=Phase.PROMOTING)) == ()


def test_a_run_begins_in_the_place_of_what_was_known():
    begun = gates.begin(ready(result(template="another"), result(of="load")), [gate()], NOW)
    running = GateResult("smoke", TEMPLATE, Verdict.RUNNING, NOW)
    assert begun.gates == (result(of="load"), running)
    assert gates.under_way(app(gates=(gate(), gate(name="load"))), begun) == ((gate(), gates.result_of(gate(), begun)),)
    assert gates.under_way(app(gates=(gate(),)), replace(begun, phase=Phase.PROMOTING)) == ()


@pytest.mark.parametrize("verdict", OVER)
def test_a_run_ends_with_what_it_came_to(verdict):
    begun = gates.begin(ready(result(of="load")), [gate()], ENDED)
    [_, run] = begun.gates
    ended = gates.end(begun, run, verdict, "all well", NOW)
    assert ended.gates == (result(of="load"), replace(run, verdict=verdict, detail="all well", ended_at=NOW))


def test_a_run_that_does_not_matter_any_more_says_nothing():
    begun = gates.begin(ready(), [gate()], ENDED)
    [run] = begun.gates
    for moved in (
        replace(begun, template="another"),
        replace(begun, phase=Phase.REVERTING),
        gates.begin(begun, [gate()], NOW),
    ):
        assert gates.end(moved, run, Verdict.PASSED, "", NOW) is None


# What people may do


GUEST = Person(99, "guest")
ASKING = app(gates=(gate(Mode.ASK),))


@pytest.mark.parametrize("person", [ANN, KIM])
def test_whoever_deploys_or_approves_may_have_a_gate_run_again(person):
    begun = gates.again(ready(result(Verdict.FAILED)), ASKING, "smoke", person, NOW)
    assert begun.gates == (GateResult("smoke", TEMPLATE, Verdict.RUNNING, NOW),)


@pytest.mark.parametrize(
    ("of", "person", "at", "sentence"),
    [
        (ready(result()), GUEST, NOW, "may repeat gate smoke of mochi"),
        (ready(result(Verdict.RUNNING)), KIM, NOW, "is running"),
        (ready(result()), KIM, ENDED + AGAIN_AFTER - MOMENT, "has only just begun"),
        (ready(), KIM, NOW, "has no gate smoke"),
        (ready(result(), phase=Phase.BAKING), KIM, NOW, "its gates are over"),
    ],
)
def test_a_gate_is_not_run_again(of, person, at, sentence):
    with pytest.raises(Refused, match=sentence):
        gates.again(of, ASKING, "smoke", person, at)


@pytest.mark.parametrize("person", [ANN, KIM])
def test_whoever_deploys_or_approves_may_stop_a_gate_and_then_it_has_no_verdict(person):
    begun = gates.begin(ready(result(of="load")), [gate()], ENDED)
    stopped = gates.stop(begun, ASKING, "smoke", person, NOW)
    known = {"detail": f"stopped by {person.name}", "ended_at": NOW}
    assert stopped.gates == (result(of="load"), GateResult("smoke", TEMPLATE, Verdict.NONE, ENDED, **known))
    assert gates.under_way(ASKING, stopped) == ()
    [_, run] = begun.gates
    assert gates.end(stopped, run, Verdict.PASSED, "it ended in that very moment", NOW) is None


@pytest.mark.parametrize(
    ("of", "person", "sentence"),
    [
        (ready(result(Verdict.RUNNING)), GUEST, "may stop gate smoke of mochi"),
        *((ready(result(verdict)), KIM, "is over: there is nothing to stop") for verdict in OVER),
        (ready(), KIM, "has no gate smoke"),
        (ready(result(Verdict.RUNNING), phase=Phase.BAKING), KIM, "its gates are over"),
    ],
)
def test_a_gate_is_not_stopped(of, person, sentence):
    with pytest.raises(Refused, match=sentence):
        gates.stop(of, ASKING, "smoke", person, NOW)


def test_i9_a_gate_that_was_stopped_lets_nothing_through_until_somebody_accepts_it():
    begun = gates.begin(ready(), [gate(Mode.ASK)], ENDED)
    stopped = gates.stop(begun, ASKING, "smoke", KIM, NOW)
    decision = decided(stopped, gate(Mode.ASK))
    assert decision.reason == "gate smoke came to no verdict: stopped by kim; an approver may accept it"
    accepted = gates.accept(stopped, ASKING, "smoke", KIM, "it hung")
    assert decided(accepted, gate(Mode.ASK)).phase is Phase.PROMOTING


@pytest.mark.parametrize(
    ("policy", "verdict", "person", "why", "sentence"),
    [
        (ASKING, Verdict.FAILED, GUEST, "so", "may accept gate smoke of mochi"),
        (ASKING, Verdict.FAILED, replace(KIM, id=ANN.id), "so", "Who asked for a release does not accept"),
        (ASKING, Verdict.FAILED, KIM, " ", "Say why"),
        (ASKING, Verdict.PASSED, KIM, "so", "nothing to accept"),
        (ASKING, Verdict.RUNNING, KIM, "so", "nothing to accept"),
        (app(gates=(gate(),)), Verdict.FAILED, KIM, "so", "cannot be accepted"),
        (app(), Verdict.FAILED, KIM, "so", "has no gate smoke"),
    ],
)
def test_a_gate_is_not_accepted(policy, verdict, person, why, sentence):
    with pytest.raises(Refused, match=sentence):
        gates.accept(ready(result(verdict)), policy, "smoke", person, why)


@pytest.mark.parametrize(
    ("mode", "verdict", "repeatable", "acceptable"),
    [
        (Mode.BLOCK, Verdict.FAILED, True, False),
        (Mode.ASK, Verdict.FAILED, True, True),
        (Mode.ASK, Verdict.NONE, True, True),
        (Mode.WARN, Verdict.FAILED, True, False),
        (Mode.ASK, Verdict.PASSED, False, False),
        (Mode.ASK, Verdict.RUNNING, False, False),
    ],
)
def test_what_may_be_done_about_a_gate_is_offered(mode, verdict, repeatable, acceptable):
    policy = app(gates=(gate(mode),))
    shown = ready(result(verdict))
    assert gates.repeatable(policy, shown) == ("smoke",) * repeatable
    assert gates.acceptable(policy, shown) == ("smoke",) * acceptable
    assert gates.stoppable(policy, shown) == ("smoke",) * (verdict is Verdict.RUNNING)
    assert gates.repeatable(policy, replace(shown, phase=Phase.PROMOTING)) == ()


def test_what_is_accepted_is_not_offered_to_be_accepted_again():
    accepted = ready(result(Verdict.FAILED, accepted_by=KIM, accepted_why="so"))
    assert gates.acceptable(ASKING, accepted) == ()
    assert gates.repeatable(ASKING, accepted) == ("smoke",)


def test_accepting_one_gate_leaves_the_others():
    both = ready(result(Verdict.FAILED), result(Verdict.FAILED, of="load"))
    accepted = gates.accept(both, ASKING, "smoke", LEE, "so")
    assert [each.accepted_by for each in accepted.gates] == [LEE, None]


def test_the_card_shows_the_gates_from_the_moment_on_at_which_approval_is_asked_for():
    policy = app(gates=(gate(), gate(name="load")))
    assert gates.checks(policy, release(Phase.STAGING)) == ()
    shown = gates.checks(policy, ready(result()))
    assert shown == (
        Check("smoke", "http", Verdict.PASSED, "3 of 5 answers were 500", told=True, began_at=ENDED),
        Check("load", "http", Verdict.RUNNING),
    )
    [running] = gates.checks(app(gates=(gate(),)), ready(result(Verdict.RUNNING)))
    assert (running.told, running.began_at, running.ended_at) == (False, ENDED, None)
    [over] = gates.checks(app(gates=(gate(),)), ready(result(ended_at=NOW)))
    assert (over.began_at, over.ended_at) == (ENDED, NOW)


@pytest.mark.parametrize("phase", [each for each in Phase if each not in {Phase.STAGING, Phase.READY}])
def test_nothing_is_said_to_run_once_nobody_waits_for_it(phase):
    """It was cut off: the release had ended, or a gate that only warns was not waited for."""
    policy = app(gates=(gate(), gate(name="load")))
    [check] = gates.checks(policy, ready(result(Verdict.RUNNING), phase=phase))
    assert check == Check("smoke", "http", Verdict.NONE, "cut off: it was not waited for", told=False)


def test_a_release_that_goes_back_shows_no_gates():
    assert gates.checks(app(gates=(gate(),)), ready(restores=1)) == ()


def test_votes_that_cannot_be_checked_are_said_when_the_gates_are_through():
    waiting = decide(ready(result()), app(gates=(gate(),)), snapshot(), ballots(KIM, LEE, trouble="no roles"), NOW)
    assert waiting.reason == "no roles"
