"""What people may ask, phase by phase and person by person, and what it makes of a release."""

from dataclasses import replace
from itertools import product

import pytest
from every_case import every
from examples import ANN, DAN, DEPLOYER, GUS, KIM, LEAD, LEE, MOMENT, NOW, OLA, QC, ROBOT, app, release

from bot.release.app import Argo, Switch
from bot.release.errors import Refused
from bot.release.machine import advance, decide
from bot.release.record import Cause, Phase
from bot.release.verbs import STATE, VERBS, Verb, ask, buttons, entitled, only

EVERYONE = {"author": ANN, "deployer": DAN, "QC": KIM, "lead": LEE, "on call": OLA, "guest": GUS, "bot": ROBOT}
MAY = {
    Verb.PROMOTE: {"QC", "lead"},
    Verb.REJECT: {"QC", "lead"},
    Verb.ABANDON: {"author", "deployer"},
    Verb.ROLL_BACK: {"author", "deployer", "on call"},
    Verb.RELEASE_CAPACITY: {"author", "deployer", "on call"},
    Verb.REPLACE: {"author", "deployer"},
}
MAKES_SENSE = {
    Phase.STAGING: {Verb.ABANDON, Verb.ROLL_BACK, Verb.REPLACE},
    Phase.READY: {Verb.PROMOTE, Verb.REJECT, Verb.ROLL_BACK, Verb.REPLACE},
    Phase.PROMOTING: {Verb.ROLL_BACK},
    Phase.BAKING: {Verb.ROLL_BACK, Verb.REPLACE},
    Phase.DONE: {Verb.ROLL_BACK, Verb.RELEASE_CAPACITY},
    Phase.REVERTING: set(),
    Phase.REVERTED: set(),
    Phase.ABANDONED: {Verb.ROLL_BACK},
}
BUTTONS = {
    Phase.STAGING: {Verb.ABANDON},
    Phase.READY: {Verb.PROMOTE, Verb.REJECT},
    Phase.PROMOTING: {Verb.ROLL_BACK},
    Phase.BAKING: {Verb.ROLL_BACK},
    Phase.DONE: {Verb.ROLL_BACK, Verb.RELEASE_CAPACITY},
}
AUTO = app()
BUTTON = app(approval=replace(AUTO.approval, switch=Switch.BUTTON))


def refusal(of, verb, actor, policy=BUTTON):
    """None: it was accepted."""
    try:
        ask(of, policy, verb, actor, NOW)
    except Refused as refused:
        return str(refused)
    return None


@pytest.mark.parametrize(("phase", "verb"), list(product(Phase, Verb)))
def test_a_wish_is_accepted_from_whoever_may_when_it_makes_sense(phase, verb):
    of = release(phase, age=MOMENT)
    accepted = {who for who, person in EVERYONE.items() if refusal(of, verb, person) is None}
    assert accepted == (MAY[verb] if verb in MAKES_SENSE[phase] else set())


@pytest.mark.parametrize(("phase", "verb"), list(product(Phase, Verb)))
def test_a_refusal_is_a_sentence_and_changes_nothing(phase, verb):
    of = release(phase, age=MOMENT)
    before = replace(of)
    for who, person in EVERYONE.items():
        said = refusal(of, verb, person) or "."
        may_not = "Only <@&" if who not in MAY[verb] else ""
        no_sense = f"mochi #7 is {STATE[phase]}: there is nothing to " if verb not in MAKES_SENSE[phase] else ""
        assert said.startswith(may_not or no_sense)
        assert said.endswith(".")
    assert of == before


@pytest.mark.parametrize("verb", Verb)
def test_authors_without_a_role_may_only_take_back_what_is_not_shown_yet(verb):
    stripped = replace(ANN, roles=frozenset())
    assert (entitled(release(author=stripped), AUTO, verb, stripped) is None) == (verb is Verb.ABANDON)


@pytest.mark.parametrize("own", [frozenset(), frozenset({DEPLOYER}), frozenset({LEAD})])
def test_deployers_and_approvers_roll_back_unless_the_policy_names_others(own):
    policy = app(rollbackers=own)
    allowed = {
        who
        for who, person in EVERYONE.items()
        if refusal(release(Phase.BAKING), Verb.ROLL_BACK, person, policy) is None
    }
    named = {frozenset({DEPLOYER}): {"author", "deployer"}, frozenset({LEAD}): {"lead"}}
    assert allowed == named.get(own, {"author", "deployer", "QC", "lead"})


@pytest.mark.parametrize(
    ("roles", "sentence"),
    [
        ({QC}, "Only <@&11> may promote mochi. You do not have that role."),
        ({LEAD, QC}, "Only <@&11> or <@&12> may promote mochi. You have none of these roles."),
        (set(), "Only nobody may promote mochi. You have none of these roles."),
    ],
)
def test_whoever_may_not_is_told_who_may(roles, sentence):
    assert only(frozenset(roles), Verb.PROMOTE, "mochi") == sentence


@pytest.mark.parametrize(
    ("phase", "verb", "actor", "sentence"),
    [
        (Phase.DONE, Verb.PROMOTE, KIM, "mochi #7 is live: there is nothing to promote."),
        (Phase.REVERTING, Verb.ROLL_BACK, OLA, "mochi #7 is already rolling back: there is nothing to roll back."),
        (
            Phase.READY,
            Verb.RELEASE_CAPACITY,
            OLA,
            "mochi #7 is waiting for approval: there is nothing to release the capacity of.",
        ),
        (
            Phase.DONE,
            Verb.RELEASE_CAPACITY,
            KIM,
            "Only <@&13> or <@&14> may release the capacity of mochi. You have none of these roles.",
        ),
    ],
)
def test_a_refusal_reads_as_people_speak(phase, verb, actor, sentence):
    assert refusal(release(phase), verb, actor) == sentence


# What an accepted wish does


@pytest.mark.parametrize(
    ("phase", "verb", "actor", "leads_to", "cause"),
    [
        (Phase.STAGING, Verb.ABANDON, ANN, Phase.REVERTING, Cause.WITHDRAWN),
        (Phase.STAGING, Verb.ROLL_BACK, OLA, Phase.REVERTING, Cause.ROLLED_BACK),
        (Phase.STAGING, Verb.REPLACE, DAN, Phase.REVERTED, Cause.REPLACED),
        (Phase.READY, Verb.REJECT, KIM, Phase.REVERTING, Cause.REJECTED),
        (Phase.READY, Verb.ROLL_BACK, OLA, Phase.REVERTING, Cause.ROLLED_BACK),
        (Phase.READY, Verb.REPLACE, DAN, Phase.REVERTED, Cause.REPLACED),
        (Phase.PROMOTING, Verb.ROLL_BACK, OLA, Phase.REVERTING, Cause.ROLLED_BACK),
        (Phase.BAKING, Verb.ROLL_BACK, OLA, Phase.REVERTING, Cause.ROLLED_BACK),
        (Phase.BAKING, Verb.REPLACE, DAN, Phase.DONE, None),
        (Phase.DONE, Verb.ROLL_BACK, OLA, Phase.REVERTING, Cause.ROLLED_BACK),
        (Phase.ABANDONED, Verb.ROLL_BACK, OLA, Phase.REVERTING, Cause.ROLLED_BACK),
    ],
)
def test_a_wish_moves_the_release_and_is_signed_and_dated(phase, verb, actor, leads_to, cause):
    before = release(phase, age=MOMENT)
    after = ask(before, AUTO, verb, actor, NOW, "the logo is wrong")
    assert (after.phase, after.cause) == (leads_to, cause)
    assert (after.since, after.by, after.reason) == (NOW, actor, "the logo is wrong")


def test_every_phase_that_a_verb_leads_to_is_the_one_in_the_table():
    for phase, moves in VERBS.items():
        for verb, move in moves.items():
            actor = EVERYONE[min(MAY[verb])]
            assert ask(release(phase), BUTTON, verb, actor, NOW).phase is move.to


@pytest.mark.parametrize("phase", [Phase.STAGING, Phase.READY])
def test_a_replaced_candidate_orders_nothing_more(phase):
    """I8. The one that replaces it is staged into the same slot: scaling that down would hit the newcomer."""
    after = ask(release(phase), AUTO, Verb.REPLACE, DAN, NOW)
    assert after.retired
    assert all(not decide(after, AUTO, case.seen, case.votes, NOW).acts for case, _ in every(Phase.REVERTED))


def test_a_replaced_release_that_is_live_keeps_its_way_back_until_the_newcomer_takes_the_slot():
    assert not ask(release(Phase.BAKING), AUTO, Verb.REPLACE, DAN, NOW).retired


def test_promote_is_pressed_only_where_the_policy_has_a_button():
    ready = release(Phase.READY)
    assert refusal(ready, Verb.PROMOTE, KIM, AUTO) == (
        "mochi #7 is promoted by itself as soon as everybody needed has approved."
    )
    pressed = ask(ready, BUTTON, Verb.PROMOTE, KIM, NOW)
    assert pressed == replace(ready, promote_asked=True)
    assert ask(pressed, BUTTON, Verb.PROMOTE, LEE, NOW) == pressed, "pressing twice does nothing twice"


def test_capacity_is_released_once():
    done = release(Phase.DONE)
    asked = ask(done, AUTO, Verb.RELEASE_CAPACITY, OLA, NOW)
    assert asked == replace(done, retire_asked=True)
    assert ask(asked, AUTO, Verb.RELEASE_CAPACITY, OLA, NOW) == asked
    said = refusal(replace(asked, retired=True), Verb.RELEASE_CAPACITY, OLA)
    assert said == "The capacity of the version before mochi #7 is released already."


def test_a_second_rollback_is_refused_and_the_first_one_stands():
    first = ask(release(Phase.BAKING), AUTO, Verb.ROLL_BACK, OLA, NOW)
    assert refusal(first, Verb.ROLL_BACK, DAN) == ("mochi #7 is already rolling back: there is nothing to roll back.")


def test_a_release_can_be_rolled_back_in_every_phase_in_which_it_has_or_may_get_the_traffic():
    """I10: rollback always."""
    assert {phase for phase in Phase if Verb.ROLL_BACK in VERBS[phase]} == set(Phase) - {
        Phase.REVERTING,
        Phase.REVERTED,
    }


# Buttons


@pytest.mark.parametrize("phase", Phase)
def test_a_card_shows_the_buttons_of_its_phase(phase):
    shown = buttons(release(phase), BUTTON, quorum=True)
    assert set(shown) == BUTTONS.get(phase, set())
    assert len(shown) == len(set(shown))


def variants(phase):
    flags = product((False, True), repeat=3)
    return [release(phase, promote_asked=a, retire_asked=b, retired=c) for a, b, c in flags]


@pytest.mark.parametrize(("phase", "policy", "quorum"), list(product(Phase, (AUTO, BUTTON), (False, True))))
def test_a_button_that_is_shown_works_for_whoever_may_press_it(phase, policy, quorum):
    for of in variants(phase):
        for verb in buttons(of, policy, quorum=quorum):
            allowed = {who for who, person in EVERYONE.items() if refusal(of, verb, person, policy) is None}
            assert allowed == MAY[verb]


@pytest.mark.parametrize(
    ("policy", "quorum", "asked", "shown"),
    [
        (AUTO, True, False, False),
        (BUTTON, False, False, False),
        (BUTTON, True, True, False),
        (BUTTON, True, False, True),
    ],
)
def test_promote_is_shown_when_it_is_what_is_missing(policy, quorum, asked, shown):
    assert (Verb.PROMOTE in buttons(release(Phase.READY, promote_asked=asked), policy, quorum=quorum)) == shown


@pytest.mark.parametrize("change", [{"retire_asked": True}, {"retired": True}])
def test_releasing_capacity_is_not_offered_twice(change):
    assert buttons(release(Phase.DONE, **change), AUTO, quorum=True) == (Verb.ROLL_BACK,)


def test_capacity_that_a_controller_of_the_cluster_gives_up_by_itself_is_not_asked_for():
    on_argo = app(target=Argo("mochiapp"))
    assert buttons(release(Phase.DONE), on_argo, quorum=True) == (Verb.ROLL_BACK,)
    said = refusal(release(Phase.DONE), Verb.RELEASE_CAPACITY, OLA, on_argo)
    assert said == "The pods of the version before mochi #7 are scaled down by Argo Rollouts itself."


def test_every_cause_comes_about():
    """A closed list has nothing that never happens."""
    asked = {
        ask(release(phase), BUTTON, verb, EVERYONE[min(MAY[verb])], NOW).cause
        for phase in Phase
        for verb in MAKES_SENSE[phase]
    }
    decided = {advance(case.release, decision, NOW).cause for phase in Phase for case, decision in every(phase)}
    assert asked | decided == {None, *Cause}
