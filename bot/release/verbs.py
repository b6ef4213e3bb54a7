"""What people may ask of a release, who may, and what it makes of it. Pure.

One table of verbs per phase serves the refusals, the card's buttons and the tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from bot.release.app import App, Native, Switch
from bot.release.approvals import holds
from bot.release.errors import Refused
from bot.release.record import Cause, Person, Phase, Release


class Verb(StrEnum):
    """What a person may ask of a release."""

    PROMOTE = "promote"
    REJECT = "reject"
    ABANDON = "abandon"
    ROLL_BACK = "roll back"
    RELEASE_CAPACITY = "release capacity"
    REPLACE = "replace"


@dataclass(frozen=True)
class Move:
    """Where a verb leads, and whether the card has a button for it (the others are asked by command)."""

    to: Phase
    button: bool = True


VERBS: Mapping[Phase, Mapping[Verb, Move]] = {
    Phase.STAGING: {
        Verb.ABANDON: Move(Phase.REVERTING),
        Verb.ROLL_BACK: Move(Phase.REVERTING, button=False),
        Verb.REPLACE: Move(Phase.REVERTED, button=False),
    },
    Phase.READY: {
        Verb.PROMOTE: Move(Phase.READY),
        Verb.REJECT: Move(Phase.REVERTING),
        Verb.ROLL_BACK: Move(Phase.REVERTING, button=False),
        Verb.REPLACE: Move(Phase.REVERTED, button=False),
    },
    Phase.PROMOTING: {Verb.ROLL_BACK: Move(Phase.REVERTING)},
    Phase.BAKING: {Verb.ROLL_BACK: Move(Phase.REVERTING), Verb.REPLACE: Move(Phase.DONE, button=False)},
    Phase.DONE: {Verb.ROLL_BACK: Move(Phase.REVERTING), Verb.RELEASE_CAPACITY: Move(Phase.DONE)},
    Phase.REVERTING: {},
    Phase.REVERTED: {},
    Phase.ABANDONED: {Verb.ROLL_BACK: Move(Phase.REVERTING, button=False)},
}


def entitled(release: Release, app: App, verb: Verb, actor: Person) -> frozenset[int] | None:
    """None: `actor` may. Otherwise the roles of which one is needed."""
    needed = {
        Verb.PROMOTE: app.approval.roles,
        Verb.REJECT: app.approval.roles,
        Verb.ABANDON: app.deployers,
        Verb.ROLL_BACK: app.may_roll_back,
        Verb.RELEASE_CAPACITY: app.may_roll_back,
        Verb.REPLACE: app.deployers,
    }[verb]
    own = verb is Verb.ABANDON and actor.id == release.author.id
    return None if own or holds(actor, needed) else needed


def ask(release: Release, app: App, verb: Verb, actor: Person, now: datetime, reason: str = "") -> Release:
    """The release as the wish leaves it; raises `Refused` and changes nothing when it may not or makes no sense now."""
    needed = entitled(release, app, verb, actor)
    if needed is not None:
        raise Refused(only(needed, _SAID.get(verb, verb), app.name))
    move = VERBS[release.phase].get(verb)
    if move is None:
        raise Refused(f"{release.title} is {STATE[release.phase]}: there is nothing to {_SAID.get(verb, verb)}.")
    match verb:
        case Verb.PROMOTE:
            return _promote_asked(release, app)
        case Verb.RELEASE_CAPACITY:
            if not isinstance(app.target, Native):
                raise Refused(
                    f"The pods of the version before {release.title} are scaled down by Argo Rollouts itself."
                )
            if release.retired:
                raise Refused(f"The capacity of the version before {release.title} is released already.")
            return replace(release, retire_asked=True)
        case Verb.REPLACE:
            ended = replace(release, phase=move.to, since=now, by=actor, reason=reason)
            return ended if move.to is Phase.DONE else replace(ended, cause=Cause.REPLACED, retired=True)
        case _:
            cause = {Verb.REJECT: Cause.REJECTED, Verb.ABANDON: Cause.WITHDRAWN}.get(verb, Cause.ROLLED_BACK)
            return replace(release, phase=move.to, since=now, cause=cause, by=actor, reason=reason)


def _promote_asked(release: Release, app: App) -> Release:
    if app.approval.switch is Switch.AUTO:
        raise Refused(f"{release.title} is promoted by itself as soon as everybody needed has approved.")
    return replace(release, promote_asked=True)


def buttons(release: Release, app: App, *, quorum: bool) -> tuple[Verb, ...]:
    """The verbs that the card of `release` offers now."""
    shown = [verb for verb, move in VERBS[release.phase].items() if move.button]
    if app.approval.switch is Switch.AUTO or not quorum or release.promote_asked:
        shown = [verb for verb in shown if verb is not Verb.PROMOTE]
    if release.retired or release.retire_asked or not isinstance(app.target, Native):
        shown = [verb for verb in shown if verb is not Verb.RELEASE_CAPACITY]
    return tuple(shown)


STATE: Mapping[Phase, str] = {
    Phase.STAGING: "being prepared",
    Phase.READY: "waiting for approval",
    Phase.PROMOTING: "switching",
    Phase.BAKING: "live and being watched",
    Phase.DONE: "live",
    Phase.REVERTING: "already rolling back",
    Phase.REVERTED: "not live any more",
    Phase.ABANDONED: "left as it is",
}


_SAID = {Verb.RELEASE_CAPACITY: "release the capacity of"}
"""How a verb is said before a name, where that is not the verb itself."""


def only(roles: frozenset[int], verb: str, app: str) -> str:
    """The refusal of somebody who has none of `roles`; role mentions are shown by name and ping nobody in a reply."""
    names = " or ".join(f"<@&{role}>" for role in sorted(roles)) or "nobody"
    have = "You do not have that role." if len(roles) == 1 else "You have none of these roles."
    return f"Only {names} may {verb} {app}. {have}"
