"""What a release's journal and its thread are told of what the loop does."""

from collections.abc import Iterable

from bot.clusters.cluster import Write
from bot.release.app import App, Gate
from bot.release.approvals import Ballots, tally
from bot.release.machine import Decision
from bot.release.record import Phase, Release
from bot.store import Event


def actor(release: Release) -> str:
    """Who is behind what is done now, for the journal and for an annotation in the cluster."""
    if release.phase is Phase.REVERTING and release.by:
        return release.by.name
    return ", ".join(person.name for person in release.approvers) or release.author.name


def lost(app: App, release: Release, before: Ballots, after: Ballots) -> list[Event]:
    """A line for everybody whose approval counted and, roles read afresh, no longer does."""
    counted, counts = (
        {person.id: person.name for person in tally(app.approval, release.author, ballots.votes).approvers}
        for ballots in (before, after)
    )
    text = "no longer counts: left, or lost the role"
    return [Event("vote", f"the approval of {name} {text}") for key, name in counted.items() if key not in counts]


def intent(release: Release, order: str, write: Write) -> Event:
    patch = [dict(operation) for operation in write.patch]
    detail = {"order": order, "kind": write.kind, "name": write.name, "image": release.image, "patch": patch}
    return Event("intent", "", actor=actor(release), detail=detail)


def begun(gates: Iterable[Gate]) -> Event:
    return Event("gates", f"gates begin: {', '.join(gate.name for gate in gates)}")


def moved(release: Release, decision: Decision) -> Event:
    phase = decision.phase or release.phase
    who = ", ".join(person.name for person in decision.approvers)
    told = {
        Phase.READY: "ready: approval is asked for",
        Phase.PROMOTING: f"approved by {who}",
        Phase.BAKING: "live",
        Phase.DONE: "done: the watch is over",
        Phase.REVERTING: "going back",
        Phase.REVERTED: "back as it was",
        Phase.ABANDONED: "left as it is",
    }.get(phase, phase.value)
    by = decision.by.name if decision.by else "greenlight"
    text = f"{told}: {decision.reason}" if decision.reason else told
    return Event(f"phase:{phase.value}", text, actor=by, detail={"cause": decision.cause} if decision.cause else {})
