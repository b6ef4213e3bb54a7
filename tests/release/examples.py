"""People, an app, releases, snapshots and ballots to start a test from: sound ones, changed by what a test names."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.release.app import App, Approval, Native, Requirement, Timing
from bot.release.approvals import Ballots, Vote
from bot.release.record import Person, Phase, Release, Version
from bot.release.snapshot import Side, Snapshot, Traffic

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NO_TIME = timedelta()
MOMENT = timedelta(seconds=1)

QC, LEAD, DEPLOYER, ON_CALL = 11, 12, 13, 14
ANN = Person(1, "ann", frozenset({DEPLOYER}))
KIM = Person(2, "kim", frozenset({QC}))
LEE = Person(3, "lee", frozenset({LEAD}))
OLA = Person(4, "ola", frozenset({ON_CALL}))
DAN = Person(5, "dan", frozenset({DEPLOYER}))
GUS = Person(6, "gus")
ROBOT = Person(7, "robot", frozenset({QC, LEAD, DEPLOYER, ON_CALL}), bot=True)

TIMING = Timing()
APPROVAL = Approval((Requirement(frozenset({QC})), Requirement(frozenset({LEAD}))))


def app(**changes):
    """QC and Lead approve, deployers deploy, deployers and whoever is on call roll back."""
    sound = App(
        name="mochi",
        namespace="mochi",
        channel=21,
        image="registry.example.com/mochi",
        target=Native("mochiapp", "mochiapp-preview", ("mochiapp-blue", "mochiapp-green")),
        deployers=frozenset({DEPLOYER}),
        approval=APPROVAL,
        rollbackers=frozenset({DEPLOYER, ON_CALL}),
        timing=TIMING,
    )
    return replace(sound, **changes)


def release(phase=Phase.STAGING, *, age=NO_TIME, **changes):
    """Number 7 of ann, from blue to green; it has been in `phase` for `age`."""
    image = "registry.example.com/mochi@sha256:" + "a" * 64
    sound = Release(
        app="mochi",
        number=7,
        label="mochi-7-k3f9q2",
        image=image,
        asked="mochi:green",
        digests=frozenset({image.partition("@")[2]}),
        author=ANN,
        slot="mochiapp-green",
        selector={"app": "mochi", "greenlight.dev/release": "mochi-7-k3f9q2"},
        previous=Version("registry.example.com/mochi:blue", "mochiapp-blue", {"app": "mochi", "color": "blue"}),
        created_at=NOW - age,
        since=NOW - age,
        phase=phase,
        staged=phase is not Phase.STAGING,
        ready_at=None if phase is Phase.STAGING else NOW - age,
    )
    return replace(sound, **changes)


def side(ready=3, wanted=3, **changes):
    """By default present and, with all of its pods ready, complete."""
    sound = Side("green", present=True, wanted=wanted, ready=ready, complete=0 < ready == wanted)
    return replace(sound, **changes)


def snapshot(traffic=Traffic.PREVIOUS, candidate=None, previous=None, *, age=NO_TIME, fresh=True):
    """Both sides have 3 of 3 pods ready and nobody interfered; it was read `age` ago."""
    return Snapshot(
        traffic=traffic,
        candidate=candidate or side(),
        previous=replace(previous or side(), name="blue"),
        read_at=NOW - age,
        changed_by="kubectl at 14:02 UTC",
        candidate_changed_by="helm at 14:03 UTC",
        previous_changed_by="argocd at 14:04 UTC",
        fresh=fresh,
    )


def ballots(*approve, against=(), age=NO_TIME, trouble=""):
    """Everybody's roles were read `age` ago; None: never."""
    votes = (*(Vote(person, approve=True) for person in approve), *(Vote(person, approve=False) for person in against))
    return Ballots(votes, None if age is None else NOW - age, trouble)


NOBODY = ballots()
EVERYBODY = ballots(KIM, LEE)
