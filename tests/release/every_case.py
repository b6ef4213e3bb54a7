"""Every combination of what the machine may look at, phase by phase: the same for all properties, decided once.

A phase's product leaves out what its rules could only look at by mistake; test_walk.py mixes those in at random.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from examples import (
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

from bot.release.app import Action, App, Guard, Http, Switch
from bot.release.approvals import Ballots
from bot.release.guards import RESTARTS
from bot.release.machine import DRAIN, SETTLE, Decision, decide
from bot.release.record import Alarm, Phase, Release
from bot.release.snapshot import FRESH_FOR, Snapshot, Traffic

AUTO = app()
BUTTON = app(approval=replace(AUTO.approval, switch=Switch.BUTTON))
ASKING = app(guards=(Guard("errors", Http(), Action.ASK),))
EXPIRES = AUTO.approval.expires

ANY_SIDE = (
    side(3),
    side(1),
    side(0),
    side(0, 0),
    side(0, complete=True),  # no cluster should say so: the machine must not believe it
    side(3, present=False),
    side(0, present=False),
)
NEW_SIDE = (
    *ANY_SIDE,
    side(0, failed=True, trouble="its pods crash"),
    side(1, failed=True, trouble="one of its pods crashes"),
    side(3, complete=False),
    side(3, restarts={"mochi-1/app": RESTARTS}),
)
LOOKS = tuple(snapshot(*shape) for shape in product(Traffic, NEW_SIDE, ANY_SIDE))

OWED = "the controller was told, and has not done it yet"
GIVEN_UP = "its analysis failed"
GIVES_UP, OWES, PROMOTED = {"given_up": GIVEN_UP}, {"pending": OWED}, {"promoted_by": "argocd at 14:05 UTC"}
TOLD = {
    Phase.STAGING: (GIVES_UP, PROMOTED),
    Phase.READY: (GIVES_UP, PROMOTED),
    Phase.PROMOTING: (GIVES_UP, OWES),
    Phase.BAKING: (GIVES_UP,),
    Phase.REVERTING: tuple(
        {"pending": pending, "undone": undone, "restarting": restarting}
        for pending, undone, restarting in product(("", OWED), (True, False), (True, False))
        if pending or not undone or restarting
    ),
}
"""What a controller of the cluster's own may tell in a phase, beside nothing."""
SOME_SIDES = (side(3), side(1), side(0, 0), side(3, present=False))


def _looks(phase: Phase) -> tuple[Snapshot, ...]:
    shapes = tuple(product(Traffic, SOME_SIDES, SOME_SIDES))
    return LOOKS + tuple(replace(snapshot(*shape), **told) for shape in shapes for told in TOLD.get(phase, ()))


LOOKS_IN = {phase: _looks(phase) for phase in Phase}

STALE_VOTES = ballots(KIM, LEE, age=FRESH_FOR + MOMENT)
VOTES = (
    NOBODY,
    ballots(KIM),
    EVERYBODY,
    STALE_VOTES,
    ballots(KIM, LEE, age=None),
    ballots(age=None),
    ballots(KIM, LEE, against=[LEE]),
    ballots(KIM, LEE, trouble="Discord does not answer"),
)

PASTS = ((None, None), (None, NOW - MOMENT), (None, NOW - SETTLE), (NOW - MOMENT, NOW - MOMENT))
"""When it went live, and when a switch was sent: never, perhaps on its way, perhaps lost, and live."""


@dataclass(frozen=True)
class Case:
    release: Release
    app: App
    seen: Snapshot
    votes: Ballots

    def decide(self) -> Decision:
        return decide(self.release, self.app, self.seen, self.votes, NOW)


def around(*deadlines):
    """Ages just before, at and well after each deadline."""
    return [NO_TIME, *(age for deadline in deadlines for age in (deadline - MOMENT, deadline, 3 * deadline))]


def _staging():
    for age, staged in product(around(TIMING.stage_within), (False, True)):
        yield release(Phase.STAGING, age=age, staged=staged), AUTO, (NOBODY, EVERYBODY)


def _ready():
    ages = (NO_TIME, EXPIRES - MOMENT, EXPIRES)
    for age, (policy, asked) in product(ages, ((AUTO, False), (BUTTON, False), (BUTTON, True))):
        yield release(Phase.READY, ready_at=NOW - age, promote_asked=asked), policy, VOTES
    yield release(Phase.READY, age=EXPIRES, ready_at=None), AUTO, VOTES


def _promoting():
    ages = (NO_TIME, TIMING.promote_within - MOMENT, TIMING.promote_within)
    seen = ((None, None), (MOMENT, None), (MOMENT, MOMENT), (TIMING.grace, TIMING.grace))
    for age, (live, empty) in product(ages, seen):
        live_at, since = live and NOW - live, empty and NOW - empty
        yield release(Phase.PROMOTING, age=age, approvers=(KIM, LEE), live_at=live_at, empty_since=since), AUTO, VOTES
    for age, sent_ago in product(ages, (MOMENT, SETTLE)):
        yield release(Phase.PROMOTING, age=age, approvers=(KIM, LEE), switch_sent_at=NOW - sent_ago), AUTO, VOTES


def _baking():
    for age, empty in product(around(TIMING.bake_for), (None, MOMENT, TIMING.grace - MOMENT, TIMING.grace)):
        baking = release(Phase.BAKING, age=age, live_at=NOW - age, empty_since=empty and NOW - empty)
        yield baking, AUTO, (NOBODY,)
        for ago, restores in product((MOMENT, Guard.answer_within), (None, 6)):
            yield replace(baking, alarms=(Alarm("errors", "", NOW - ago),), restores=restores), ASKING, (NOBODY,)


def _done():
    short = app(timing=replace(TIMING, warm_for=NO_TIME))
    ages = around(DRAIN, TIMING.warm_for)
    for age, asked, retired, policy in product(ages, (False, True), (False, True), (AUTO, short)):
        yield release(Phase.DONE, live_at=NOW - age, retire_asked=asked, retired=retired), policy, (NOBODY,)
    yield release(Phase.DONE, age=TIMING.warm_for, live_at=None), AUTO, (NOBODY,)


def _reverting():
    for age, retired, (live, sent_at) in product(around(TIMING.stage_within), (False, True), PASTS):
        yield release(Phase.REVERTING, age=age, retired=retired, live_at=live, switch_sent_at=sent_at), AUTO, (NOBODY,)


def _reverted():
    for age, retired, (live, sent_at) in product(around(DRAIN), (False, True), PASTS):
        yield release(Phase.REVERTED, age=age, retired=retired, live_at=live, switch_sent_at=sent_at), AUTO, (NOBODY,)


def _abandoned():
    for live, retired in product((None, NOW - MOMENT), (False, True)):
        yield release(Phase.ABANDONED, live_at=live, retired=retired), AUTO, (NOBODY, EVERYBODY)


RECORDS = {
    Phase.STAGING: _staging,
    Phase.READY: _ready,
    Phase.PROMOTING: _promoting,
    Phase.BAKING: _baking,
    Phase.DONE: _done,
    Phase.REVERTING: _reverting,
    Phase.REVERTED: _reverted,
    Phase.ABANDONED: _abandoned,
}


@cache
def every(phase: Phase) -> tuple[tuple[Case, Decision], ...]:
    """With what is decided on the fresh look."""
    looks, records = LOOKS_IN[phase], RECORDS[phase]()
    cases = (Case(of, policy, seen, votes) for of, policy, some in records for votes in some for seen in looks)
    return tuple((case, case.decide()) for case in cases)


def counterexample(claim: Callable[[Case, Decision], bool], phases: Iterable[Phase] = Phase) -> Case | None:
    """The first case in which the claim does not hold."""
    return next((case for phase in phases for case, decision in every(phase) if not claim(case, decision)), None)
