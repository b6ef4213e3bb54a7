"""Automatic checks of a candidate: what has to hold of them before it is promoted, and what people may do about them.

Pure. Whoever runs them writes down when one begins and what came of it; a result counts for the very pod template that
it was made of, and for no other. Whatever is not a pass is none: fail closed.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from bot.release.app import App, Gate, Mode
from bot.release.approvals import may_approve
from bot.release.errors import Refused
from bot.release.record import GateResult, Person, Phase, Release
from bot.release.snapshot import Check, Verdict
from bot.release.verbs import STATE, only

AGAIN_AFTER = timedelta(seconds=10)
"""Between two runs of one gate that people ask for."""


def result_of(gate: Gate, release: Release) -> GateResult | None:
    """What is known of the gate for the candidate as it is; None when it has not begun."""
    found = (each for each in release.gates if each.gate == gate.name and each.template == release.template)
    return next(found, None)


def holds(gate: Gate, release: Release) -> bool:
    """Whether the gate lets the candidate through."""
    result = result_of(gate, release)
    if gate.mode is Mode.WARN:
        return True
    if result is None:
        return False
    accepted = gate.mode is Mode.ASK and result.accepted_by is not None
    return result.verdict is Verdict.PASSED or (accepted and result.verdict is not Verdict.RUNNING)


def obstacle(app: App, release: Release) -> str:
    """What keeps a candidate that has to be approved from being promoted, as a sentence; "" when nothing does."""
    return next((_why(gate, release) for gate in app.gates if not holds(gate, release)), "")


def failed(app: App, release: Release) -> str:
    """Why it is not promoted, whoever approves it, unless something is done about a gate; "" when nothing has to be."""
    return next((_why(gate, release) for gate in app.gates if _is_open(gate, release) and not holds(gate, release)), "")


def _why(gate: Gate, release: Release) -> str:
    result = result_of(gate, release)
    if result is None or result.verdict is Verdict.RUNNING:
        return f"gate {gate.name} is running"
    said = "failed" if result.verdict is Verdict.FAILED else "came to no verdict"
    way = "; an approver may accept it" if gate.mode is Mode.ASK else ""
    return f"gate {gate.name} {said}: {result.detail}{way}"


def due(app: App, release: Release) -> tuple[Gate, ...]:
    """The gates that have to be begun for the candidate as it is."""
    if release.phase is not Phase.READY or release.restores is not None:
        return ()
    return tuple(gate for gate in app.gates if result_of(gate, release) is None)


def under_way(app: App, release: Release) -> tuple[tuple[Gate, GateResult], ...]:
    """The gates that are on record as running, and still matter, each with its run."""
    if release.phase is not Phase.READY:
        return ()
    found = ((gate, result_of(gate, release)) for gate in app.gates)
    return tuple((gate, run) for gate, run in found if run is not None and run.verdict is Verdict.RUNNING)


def begin(release: Release, gates: Iterable[Gate], now: datetime) -> Release:
    """The release with these gates running, and without what is known of other pod templates."""
    begun = tuple(GateResult(gate.name, release.template, Verdict.RUNNING, now) for gate in gates)
    names = {each.gate for each in begun}
    kept = (each for each in release.gates if each.template == release.template and each.gate not in names)
    return replace(release, gates=(*kept, *begun))


def end(release: Release, run: GateResult, verdict: Verdict, detail: str, now: datetime) -> Release | None:
    """The release with the outcome of a run; None when that run does not matter any more: the candidate is another one,
    or the gate was begun anew.
    """
    if release.phase is not Phase.READY or run not in release.gates or run.template != release.template:
        return None
    return _with(release, run, replace(run, verdict=verdict, detail=detail, ended_at=now))


def again(release: Release, app: App, name: str, actor: Person, now: datetime) -> Release:
    """Run one gate once more. Raises `Refused` for whoever may not, while it runs, and at once."""
    gate, result = _asked(release, app, name)
    _check_concerned(release, app, actor, f"repeat gate {name} of")
    if result.verdict is Verdict.RUNNING:
        raise Refused(f"Gate {name} of {release.title} is running.")
    if now < result.began_at + AGAIN_AFTER:
        raise Refused(f"Gate {name} of {release.title} has only just begun: try again in a few seconds.")
    return begin(release, [gate], now)


def stop(release: Release, app: App, name: str, actor: Person, now: datetime) -> Release:
    """End the run of one gate without a verdict. Raises `Refused` for whoever may not, and when it is over."""
    _, result = _asked(release, app, name)
    _check_concerned(release, app, actor, f"stop gate {name} of")
    if result.verdict is not Verdict.RUNNING:
        raise Refused(f"Gate {name} of {release.title} is over: there is nothing to stop.")
    stopped = replace(result, verdict=Verdict.NONE, detail=f"stopped by {actor.name}", ended_at=now)
    return _with(release, result, stopped)


def accept(release: Release, app: App, name: str, actor: Person, why: str) -> Release:
    """Take a gate that did not pass upon oneself. Raises `Refused` where that may not be."""
    gate, result = _asked(release, app, name)
    if not may_approve(actor, app.approval, release.author):
        if actor.id == release.author.id:
            raise Refused(f"Who asked for a release does not accept gate {name} for it.")
        raise Refused(only(app.approval.roles, f"accept gate {name} of", app.name))
    if gate.mode is not Mode.ASK:
        raise Refused(f'Gate {name} of {app.name} cannot be accepted: its mode is "{gate.mode}".')
    if result.verdict in {Verdict.RUNNING, Verdict.PASSED}:
        raise Refused(f"Gate {name} of {release.title} is {result.verdict}: there is nothing to accept.")
    if not why.strip():
        raise Refused(f"Say why gate {name} of {release.title} is accepted: whoever approves reads it.")
    return _with(release, result, replace(result, accepted_by=actor, accepted_why=why.strip()))


def _check_concerned(release: Release, app: App, actor: Person, wish: str) -> None:
    """Whoever deploys or approves, and whoever asked for the release, may have its gates run and stopped."""
    allowed = app.deployers | app.approval.roles
    if actor.roles.isdisjoint(allowed) and actor.id != release.author.id:
        raise Refused(only(allowed, wish, app.name))


def _with(release: Release, known: GateResult, changed: GateResult) -> Release:
    return replace(release, gates=tuple(changed if each == known else each for each in release.gates))


def stoppable(app: App, release: Release) -> tuple[str, ...]:
    """The names of the gates that run."""
    return tuple(gate.name for gate, _ in under_way(app, release))


def repeatable(app: App, release: Release) -> tuple[str, ...]:
    """The names of the gates that did not pass, and are over."""
    return tuple(gate.name for gate in app.gates if _is_open(gate, release))


def acceptable(app: App, release: Release) -> tuple[str, ...]:
    """Those of them that may be accepted, and are not."""
    asking = (gate for gate in app.gates if gate.mode is Mode.ASK and _is_open(gate, release))
    return tuple(gate.name for gate in asking if not holds(gate, release))


def _is_open(gate: Gate, release: Release) -> bool:
    result = result_of(gate, release)
    over = result is not None and result.verdict in {Verdict.FAILED, Verdict.NONE}
    return over and release.phase is Phase.READY


def _asked(release: Release, app: App, name: str) -> tuple[Gate, GateResult]:
    gate = next((each for each in app.gates if each.name == name), None)
    result = result_of(gate, release) if gate is not None else None
    if gate is None or result is None:
        raise Refused(f"{release.title} has no gate {name}.")
    if release.phase is not Phase.READY:
        raise Refused(f"{release.title} is {STATE[release.phase]}: its gates are over.")
    return gate, result


def checks(app: App, release: Release) -> tuple[Check, ...]:
    """For the card, in the order of the file."""
    if release.ready_at is None or release.restores is not None:
        return ()
    found = ((gate, result_of(gate, release)) for gate in app.gates)
    waiting = release.phase is Phase.READY
    return tuple(_check(gate, result, waiting=waiting) for gate, result in found if result is not None or waiting)


def _check(gate: Gate, result: GateResult | None, *, waiting: bool) -> Check:
    if result is None:
        return Check(gate.name, gate.kind, Verdict.RUNNING)
    if result.verdict is Verdict.RUNNING:
        running = Check(gate.name, gate.kind, Verdict.RUNNING, began_at=result.began_at)
        return running if waiting else Check(gate.name, gate.kind, Verdict.NONE, "cut off: it was not waited for")
    detail = result.detail
    if result.accepted_by is not None:
        detail = f"{detail}; accepted by {result.accepted_by.name}: {result.accepted_why}"
    lasted = {"began_at": result.began_at, "ended_at": result.ended_at}
    return Check(gate.name, gate.kind, result.verdict, detail, told=True, **lasted)
