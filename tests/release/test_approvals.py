"""Who has to agree, and whether they have: against a model that tries every seating (I7)."""

from dataclasses import replace
from datetime import timedelta
from itertools import combinations_with_replacement, product

import pytest
from examples import ANN, APPROVAL, DEPLOYER, GUS, KIM, LEAD, LEE, NOW, QC, ROBOT, ballots
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from quorum import agreed

from bot.release.app import Approval, Requirement
from bot.release.approvals import Ballots, Vote, holds, may_approve, may_veto, tally
from bot.release.record import Person
from bot.release.snapshot import FRESH_FOR

ROLES, PEOPLE = range(1, 5), range(1, 7)
role_sets = st.frozensets(st.sampled_from(ROLES), max_size=3)
requirements = st.builds(Requirement, roles=role_sets, count=st.integers(1, 2))
policies = st.builds(Approval, require=st.lists(requirements, max_size=3).map(tuple), by_author=st.booleans())
authors = st.builds(Person, id=st.sampled_from(PEOPLE), name=st.just("author"))


@st.composite
def casts(draw):
    """Votes of distinct people, each with the roles of one moment."""
    voters = draw(st.lists(st.sampled_from(PEOPLE), max_size=6, unique=True))
    people = [Person(voter, str(voter), draw(role_sets), bot=draw(st.booleans())) for voter in voters]
    return [Vote(person, approve) for person in people for approve in draw(st.sets(st.booleans()))]


@given(policies, authors, casts())
def test_the_quorum_is_reached_exactly_when_everybody_can_be_seated(policy, author, votes):
    assert tally(policy, author, votes).reached == agreed(policy, author, votes)


def test_every_small_electorate_agrees_with_the_model_and_both_answers_occur():
    """Deterministic, beside the random one: two overlapping roles, up to two requirements, three people."""
    sets = [frozenset(), frozenset({1}), frozenset({2}), frozenset({1, 2})]
    able = [Requirement(roles, count) for roles, count in product(sets[1:], (1, 2))]
    answers = {False: 0, True: 0}
    for size in (1, 2):
        for require, own in product(combinations_with_replacement(able, size), product(sets, repeat=3)):
            votes = [Vote(Person(at, str(at), roles), approve=True) for at, roles in enumerate(own, ANN.id + 1)]
            expected = agreed(Approval(require), ANN, votes)
            assert tally(Approval(require), ANN, votes).reached == expected
            answers[expected] += 1
    assert min(answers.values()) > 100


@given(policies, authors, casts(), st.randoms(use_true_random=False))
def test_the_order_of_votes_never_matters(policy, author, votes, dice):
    shuffled = dice.sample(votes, len(votes))
    first, second = tally(policy, author, votes), tally(policy, author, shuffled)
    assert first.reached == second.reached
    assert set(first.vetoes) == set(second.vetoes)
    assert len(first.approvers) == len(second.approvers)


@given(policies, authors, casts())
def test_one_more_approval_never_loses_the_quorum(policy, author, votes):
    if tally(policy, author, votes[1:]).reached:
        assert tally(policy, author, votes).reached


@given(policies, authors, casts())
def test_whoever_is_named_as_an_approver_is_entitled_to_that_seat_and_sits_nowhere_else(policy, author, votes):
    result = tally(policy, author, votes)
    for requirement, seated in zip(result.requirements, result.filled, strict=True):
        assert len(seated) <= requirement.count
        assert all(person.roles & requirement.roles and not person.bot for person in seated)
        assert (requirement in result.open) or len(seated) == requirement.count
    ids = [person.id for person in result.approvers]
    assert len(ids) == len(set(ids))
    assert policy.by_author or author.id not in ids
    assert set(ids) <= {vote.person.id for vote in votes if vote.approve}


@given(policies, authors, casts())
def test_everybody_entitled_may_stop_a_release_and_nobody_else(policy, author, votes):
    entitled = {role for requirement in policy.require for role in requirement.roles}
    against = [vote.person for vote in votes if not vote.approve]
    expected = [person for person in against if person.roles & entitled and not person.bot]
    assert list(tally(policy, author, votes).vetoes) == expected


class Electorate(RuleBasedStateMachine):
    """A guild in which people vote, change their minds, gain and lose roles, and leave (S2, S3)."""

    voters = st.sampled_from(PEOPLE)

    @initialize(policy=policies.filter(lambda policy: policy.require), author=authors, robot=voters)
    def begin(self, policy, author, robot):
        self.policy, self.author, self.robot = policy, author, robot
        self.members = {voter: frozenset({voter % len(ROLES) + 1}) for voter in PEOPLE}
        self.reactions = dict.fromkeys(())

    @rule(voter=voters, approve=st.booleans())
    def react(self, voter, approve):
        self.reactions[voter, approve] = None

    @precondition(lambda self: self.reactions)
    @rule(pick=st.integers(min_value=0))
    def take_back(self, pick):
        del self.reactions[sorted(self.reactions)[pick % len(self.reactions)]]

    @rule(voter=voters, role=st.sampled_from(ROLES))
    def grant(self, voter, role):
        if voter in self.members:
            self.members[voter] |= {role}

    @rule(voter=voters, role=st.sampled_from(ROLES))
    def revoke(self, voter, role):
        if voter in self.members:
            self.members[voter] -= {role}

    @rule(voter=voters)
    def leave(self, voter):
        self.members.pop(voter, None)

    @rule(voter=voters)
    def join(self, voter):
        self.members.setdefault(voter, frozenset())

    @invariant()
    def who_counts_is_who_is_entitled_now(self):
        now = [
            Vote(Person(voter, str(voter), self.members[voter], bot=voter == self.robot), approve)
            for voter, approve in self.reactions
            if voter in self.members
        ]
        result = tally(self.policy, self.author, now)
        assert result.reached == agreed(self.policy, self.author, now)
        assert {person.id for person in result.approvers} <= self.members.keys() - {self.robot}


TestElectorate = Electorate.TestCase
TestElectorate.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


# The same in examples


def reached(*people, require=APPROVAL.require, by_author=False):
    return tally(replace(APPROVAL, require=require, by_author=by_author), ANN, ballots(*people).votes).reached


def test_one_person_fills_one_seat_however_many_roles_that_person_holds():
    both = Person(8, "both", frozenset({QC, LEAD}))
    assert not reached(both)
    assert not reached(both, both)
    assert reached(both, LEE)
    assert reached(LEE, both)
    assert reached(both, KIM)


def test_whoever_sits_first_moves_on_when_that_makes_room():
    """One requirement "QC", one "QC or Lead": counting in order would leave the QC's own seat empty."""
    require = (Requirement(frozenset({QC, LEAD})), Requirement(frozenset({QC})))
    assert reached(KIM, LEE, require=require)
    assert reached(LEE, KIM, require=require)
    assert not reached(KIM, require=require)


def test_a_requirement_for_two_needs_two_people():
    require = (Requirement(frozenset({QC}), 2),)
    assert not reached(KIM, KIM, require=require)
    assert reached(KIM, Person(9, "kit", frozenset({QC})), require=require)
    assert tally(replace(APPROVAL, require=require), ANN, ballots(KIM).votes).open == require


def test_authors_approve_their_own_release_only_where_the_policy_says_so():
    """S6. By id: the author's roles at the time of the vote are others than at the time of asking."""
    require = (Requirement(frozenset({QC})),)
    promoted = replace(ANN, roles=frozenset({QC}))
    assert not reached(promoted, require=require)
    assert reached(promoted, require=require, by_author=True)


def test_authors_may_always_stop_their_own_release():
    entitled = replace(ANN, roles=frozenset({QC}))
    assert tally(APPROVAL, ANN, ballots(KIM, LEE, against=[entitled]).votes).vetoes == (entitled,)


@pytest.mark.parametrize("person", [GUS, ROBOT, Person(8, "dee", frozenset({DEPLOYER}))])
def test_whoever_is_not_entitled_neither_approves_nor_stops(person):
    assert not may_approve(person, APPROVAL, ANN)
    assert not may_veto(person, APPROVAL)
    assert not reached(KIM, person)
    assert tally(APPROVAL, ANN, ballots(KIM, LEE, against=[person]).votes).vetoes == ()


def test_a_bot_holds_no_role_whatever_discord_says():
    assert not holds(ROBOT, frozenset({QC}))
    assert holds(replace(ROBOT, bot=False), frozenset({QC}))


@pytest.mark.parametrize("require", [(), (Requirement(frozenset({QC}), 0),), (Requirement(frozenset()),)])
def test_a_policy_that_asks_for_nobody_is_never_satisfied(require):
    """I9: a policy that was misread lets nothing through."""
    assert not reached(KIM, LEE, require=require)


def test_roles_are_as_good_as_the_last_time_they_were_read():
    assert Ballots(checked_at=NOW - FRESH_FOR).fresh_at(NOW)
    assert not Ballots(checked_at=NOW - FRESH_FOR - timedelta(microseconds=1)).fresh_at(NOW)
    assert not Ballots().fresh_at(NOW)
