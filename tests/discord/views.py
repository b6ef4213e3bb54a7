"""Views of releases to draw cards from: sound ones, changed by what a test names."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.clusters.cluster import Link
from bot.release.app import Action, App, Approval, Native, Requirement, Switch
from bot.release.approvals import Vote, tally
from bot.release.record import Alarm, Cause, Person, Phase, Release, Version
from bot.release.snapshot import Check, Verdict
from bot.release.verbs import buttons
from bot.view import Kind, Live, View, Watched, WayBack
from cogs.card import Around, Face, face

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
QC, LEAD, DEPLOYER = 11, 12, 13
ROLES = {QC: "QC", LEAD: "Lead", DEPLOYER: "Deployer"}
ANN = Person(1, "ann", frozenset({DEPLOYER}))
KIM = Person(2, "kim", frozenset({QC}))
LEE = Person(3, "lee", frozenset({LEAD}))
DIGEST = "sha256:1a2b3c4d5e6f" + "0" * 52

APP = App(
    name="mochi",
    namespace="mochi",
    channel=21,
    image="registry.example.com/mochi",
    target=Native("mochiapp", "mochiapp-preview", ("mochiapp-blue", "mochiapp-green")),
    deployers=frozenset({DEPLOYER}),
    approval=Approval((Requirement(frozenset({QC})), Requirement(frozenset({LEAD})))),
)
RELEASE = Release(
    app="mochi",
    number=7,
    label="mochi-7-k3f9q2",
    image=f"registry.example.com/mochi@{DIGEST}",
    asked="mochi:green",
    digests=frozenset({DIGEST}),
    author=ANN,
    slot="mochiapp-green",
    selector={"app": "mochi", "greenlight.dev/release": "mochi-7-k3f9q2"},
    previous=Version("registry.example.com/mochi:blue", "mochiapp-blue", {"app": "mochi"}),
    created_at=NOW,
    since=NOW,
)
BAD = "guard page failed: answered 500, wanted 200"
SHAPES = {
    "staging": (Phase.STAGING, {}),
    "ready": (Phase.READY, {}),
    "promoting": (Phase.PROMOTING, {"approvers": (KIM, LEE)}),
    "baking": (Phase.BAKING, {"approvers": (KIM, LEE), "live_at": NOW}),
    "done": (Phase.DONE, {"approvers": (KIM, LEE), "live_at": NOW}),
    "done, cold": (Phase.DONE, {"approvers": (KIM, LEE), "live_at": NOW, "retired": True}),
    "reverting": (Phase.REVERTING, {"cause": Cause.ROLLED_BACK, "by": ANN, "reason": "too slow", "live_at": NOW}),
    "reverting, guarded": (Phase.REVERTING, {"cause": Cause.GUARD, "reason": BAD, "live_at": NOW}),
    "rejected": (Phase.REVERTED, {"cause": Cause.REJECTED, "by": KIM, "reason": "logo is wrong"}),
    "expired": (Phase.REVERTED, {"cause": Cause.EXPIRED, "reason": "nobody approved it in time"}),
    "failed": (Phase.REVERTED, {"cause": Cause.FAILED, "reason": "pod mochi-green-x2k: cannot pull the image"}),
    "late": (Phase.REVERTED, {"cause": Cause.LATE, "reason": "not ready in time: green has 1 of 3 pods ready"}),
    "withdrawn": (Phase.REVERTED, {"cause": Cause.WITHDRAWN, "by": ANN}),
    "replaced": (Phase.REVERTED, {"cause": Cause.REPLACED, "by": ANN, "replaced_by": 8}),
    "rolled back": (
        Phase.REVERTED,
        {
            "cause": Cause.ROLLED_BACK,
            "by": ANN,
            "reason": "too slow",
            "live_at": NOW - timedelta(minutes=4),
            "approvers": (KIM, LEE),
        },
    ),
    "guarded": (
        Phase.REVERTED,
        {"cause": Cause.GUARD, "reason": BAD, "live_at": NOW - timedelta(seconds=24), "approvers": (KIM, LEE)},
    ),
    "unapproved": (
        Phase.ABANDONED,
        {"cause": Cause.PROMOTED_OUTSIDE, "reason": "promoted outside by kubectl-argo-rollouts at 14:02 UTC"},
    ),
    "abandoned": (
        Phase.ABANDONED,
        {"cause": Cause.FOREIGN, "reason": "the active Service was changed by kubectl at 14:02 UTC"},
    ),
}
"""Every look that a card has, by what people would call it."""


def view(shape: str = "ready", *, app: App = APP, votes: tuple[Vote, ...] = (), **changes: object) -> View:
    """`changes` are of the release where it has such a field, else of the view."""
    phase, facts = SHAPES[shape]
    release = replace(RELEASE, phase=phase, **facts)
    mine = {name: value for name, value in changes.items() if hasattr(release, name) and name != "reason"}
    release = replace(release, **mine)
    going = phase in {Phase.PROMOTING, Phase.BAKING, Phase.DONE}
    kind = (Kind.REDEPLOY if release.retired else Kind.INSTANT) if going else Kind.NONE
    warm_until = NOW + timedelta(hours=1) if kind is Kind.INSTANT else None
    counted = tally(app.approval, release.author, votes)
    sound = View(
        release=release,
        app=app,
        current=release.replaced_by is None,
        tally=counted,
        reason="",
        until=NOW + timedelta(minutes=30) if phase.open else None,
        buttons=buttons(release, app, quorum=counted.reached) if release.replaced_by is None else (),
        live=Live("registry.example.com/mochi:blue", NOW - timedelta(days=2), "ann"),
        way_back=WayBack(kind, "registry.example.com/mochi:blue", warm_until),
        production=Link("https://mochi.example.com/", answers=True),
        preview=Link("http://preview.mochi.example.com/", answers=True),
        progress=(3, 5) if phase is Phase.STAGING else None,
    )
    return replace(sound, **{name: value for name, value in changes.items() if name not in mine})


def with_button(app: App = APP) -> App:
    return replace(app, approval=replace(app.approval, switch=Switch.BUTTON))


def extreme(shape: str, text: str) -> Face:
    """Everything that has a name is called `text`, and there is much of everything."""
    many = tuple(Person(100 + index, text, frozenset({1000 + index})) for index in range(30))
    require = tuple(Requirement(frozenset({1000 + index, 2000 + index, 3000 + index}), 3) for index in range(10))
    app = replace(APP, approval=Approval(require))
    found = view(
        shape,
        app=app,
        author=replace(ANN, name=text),
        asked=text,
        image=f"registry.example.com/{'r' * 230}@sha256:{'0' * 64}",
        notes=(text,) * 10,
        begun_by=text,
        checks=tuple(Check(text, text, verdict, text, told=True) for verdict in Verdict),
        guards=tuple(
            Watched(Check(text, text, verdict, text), action, Alarm(text, text, NOW, kept_by=many[0] if kept else None))
            for verdict in Verdict
            for action in Action
            for kept in (True, False)
        ),
        to_answer=((Alarm(text, text, NOW), NOW),) * 3 if view(shape).release.phase is Phase.BAKING else (),
        stoppable=tuple(f"{number}{'n' * 31}" for number in range(9)),
        repeatable=tuple(f"{number}{'n' * 31}" for number in range(9)),
        acceptable=tuple(f"{number}{'n' * 31}" for number in range(9)),
        approvers=many if view(shape).release.approvers else (),
        by=many[0],
        preview=Link("http://example.com/" + "p" * 600, answers=False),
        production=Link(f"https://{text}/", answers=False),
        progress=(10**6, 10**7),
        live=Live(text, NOW, text),
        reason=text,
    )
    votes = [Vote(person, approve=True) for person in many] + [Vote(person, approve=False) for person in many]
    release = replace(found.release, reason=text)
    counted = tally(app.approval, release.author, votes)
    names = {role: text for need in require for role in need.roles}
    way_back = WayBack(found.way_back.kind, text, found.way_back.until)
    return face(
        replace(found, release=release, tally=counted, way_back=way_back),
        Around(names, place=text, thread=2**63, successor=text, taken_over=9),
    )
