"""How a release moves: the one place where the rules stand.

`decide` says what comes next from what is known. It is pure, reads no clock and does no I/O, so every rule can be
enumerated. A decision is an order to the cluster, or a change of phase, or a wait with its reason; never two of them.
What people may ask is in `verbs.py`.

Nothing is done upon an old look: a decision that would act on a cached snapshot, or promote on roles that were not just
checked, says `look` instead, and the caller looks afresh and decides again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.release import gates, guards
from bot.release.app import App, Native, Switch
from bot.release.approvals import Ballots, Tally, tally
from bot.release.record import Cause, Person, Phase, Release
from bot.release.snapshot import Side, Snapshot, Traffic, Verdict

DRAIN = timedelta(seconds=30)
"""How long a side that had traffic keeps its pods: kube-proxy may need a second, and open connections stay on the old
pods for as long as those live."""


SETTLE = timedelta(seconds=12)
"""How long a switch may still arrive after it was decided, whatever was heard of it: as long as one call may take, and
two seconds for storing the intent before it."""
LATE_SWITCH = "making sure that the switch does not arrive late"


class Order(StrEnum):
    """What a release asks of the cluster. Each is idempotent and may take several writes."""

    STAGE = "stage"
    PROMOTE = "promote"
    REVERT = "revert"
    RETIRE = "retire"


EXPLAINED: Mapping[Phase, frozenset[Traffic]] = {
    Phase.STAGING: frozenset({Traffic.PREVIOUS}),
    Phase.READY: frozenset({Traffic.PREVIOUS}),
    Phase.PROMOTING: frozenset({Traffic.PREVIOUS, Traffic.CANDIDATE}),
    Phase.BAKING: frozenset({Traffic.CANDIDATE}),
    Phase.REVERTING: frozenset({Traffic.PREVIOUS, Traffic.CANDIDATE}),
}
"""Who may have the traffic in an open phase without anybody else having interfered."""


@dataclass(frozen=True)
class Decision:
    order: Order | None = None
    phase: Phase | None = None
    reason: str = ""
    """For the card: why it waits, or why the phase changes."""
    cause: Cause | None = None
    by: Person | None = None
    approvers: tuple[Person, ...] = ()
    template: str = ""
    """What approval is asked for, when it is."""
    until: datetime | None = None
    """When a wait is over by itself, at the latest."""
    look: bool = False
    """It would act, had it been read afresh."""

    @property
    def acts(self) -> bool:
        return self.order is not None or self.phase is not None


@dataclass(frozen=True)
class _Case:
    """Everything that a rule may look at."""

    release: Release
    app: App
    seen: Snapshot
    ballots: Ballots
    now: datetime
    looking_since: datetime | None = None

    @property
    def tally(self) -> Tally:
        return tally(self.app.approval, self.release.author, self.ballots.votes)

    @property
    def empty_too_long(self) -> bool:
        since = self.release.empty_since
        return since is not None and self.now >= since + self.app.timing.grace

    @property
    def gave_pods_up(self) -> bool:
        """We did, of the version before: a release controller of the cluster's own keeps them as long as it wants."""
        return self.release.retired and isinstance(self.app.target, Native)

    @property
    def settles_at(self) -> datetime | None:
        """Until then our own switch may still arrive; None when it has, or there is none on its way.

        What was read before may not show it, however late that is acted upon.
        """
        sent = self.release.switch_sent_at
        on_its_way = sent is not None and not self.release.was_live and self.seen.read_at < sent + SETTLE
        return sent + SETTLE if sent is not None and on_its_way else None

    @property
    def stuck_at(self) -> datetime:
        """When a way back that does not come up is given up. That takes somebody who looks: whoever was away for long
        may not even have begun it.
        """
        return max(self.release.since, self.looking_since or self.release.since) + self.app.timing.stage_within

    def over(self, within: timedelta) -> bool:
        return self.now >= self.release.since + within


def decide(
    release: Release,
    app: App,
    seen: Snapshot,
    ballots: Ballots,
    now: datetime,
    looking_since: datetime | None = None,
) -> Decision:
    """What comes next. Never an order or a phase change on a snapshot that is not fresh at `now`.

    `looking_since`: since when the cluster has been looked at without a gap; None for all the time.
    """
    case = _Case(release, app, seen, ballots, now, looking_since)
    foreign = _unexplained(case)
    decision = foreign or _RULES[release.phase](case)
    if decision.acts and not seen.fresh_at(now):
        return Decision(look=True, reason=decision.reason, until=decision.until)
    return decision


def observe(release: Release, seen: Snapshot, now: datetime) -> Release:
    """Remember what later rules need of what is seen now: since when we are live, how often its containers had started
    again by then, since when nothing answers.
    """
    if seen.traffic is not Traffic.CANDIDATE or release.phase not in {Phase.PROMOTING, Phase.BAKING, Phase.REVERTING}:
        return release if release.empty_since is None else replace(release, empty_since=None)
    if release.live_at is None:
        release = replace(release, live_at=now, restarts_before=seen.candidate.restarts)
    empty_since = None if seen.candidate.ready else release.empty_since or now
    return release if empty_since == release.empty_since else replace(release, empty_since=empty_since)


def advance(release: Release, decision: Decision, now: datetime) -> Release:
    """The release after a decision that changes its phase."""
    if decision.phase is None:
        return release
    moved = replace(
        release,
        phase=decision.phase,
        since=now,
        cause=decision.cause,
        by=decision.by,
        reason=decision.reason,
        approvers=decision.approvers or release.approvers,
    )
    if decision.phase is Phase.READY:
        template = decision.template or release.template
        moved = replace(moved, ready_at=release.ready_at or now, template=template, approvers=(), promote_asked=False)
    if release.phase is Phase.REVERTING:  # why it goes back was settled when it began to
        moved = replace(moved, cause=decision.cause or release.cause, by=decision.by or release.by)
        moved = replace(moved, reason=decision.reason or release.reason)
    if decision.phase is Phase.REVERTED:  # now it is the candidate's side that has no traffic
        moved = replace(moved, retired=False)
    return moved


def sent(release: Release, order: Order, seen: Snapshot, now: datetime) -> Release:
    """The release just before a write of the order is sent, which was decided upon this look."""
    return replace(release, switch_sent_at=now, switched_from=seen.pause) if order is Order.PROMOTE else release


def fulfil(release: Release, order: Order) -> Release:
    """The release after an order that has nothing left to write."""
    match order:
        case Order.STAGE:
            return replace(release, staged=True)
        case Order.RETIRE:
            return replace(release, retired=True)
        case _:
            return release


_TAKEN_FROM: Mapping[Phase, frozenset[Traffic]] = {
    Phase.STAGING: frozenset({Traffic.CANDIDATE}),
    Phase.READY: frozenset({Traffic.CANDIDATE}),
    Phase.PROMOTING: frozenset({Traffic.PREVIOUS, Traffic.CANDIDATE}),
    Phase.BAKING: frozenset({Traffic.PREVIOUS, Traffic.CANDIDATE}),
}
"""Who may have the traffic when a controller gives the candidate up, and what to do about it is the same at once."""


def _unexplained(case: _Case) -> Decision | None:
    release, seen = case.release, case.seen
    if not release.phase.open:
        return None
    if release.phase in {Phase.STAGING, Phase.READY} and seen.traffic is Traffic.CANDIDATE and seen.promoted_by:
        why = f"promoted outside by {seen.promoted_by}"
        return Decision(phase=Phase.ABANDONED, cause=Cause.PROMOTED_OUTSIDE, reason=why)
    # A controller that took the traffic back, or was about to, leaves no doubt about what is to be done.
    if seen.given_up and seen.traffic in _TAKEN_FROM.get(release.phase, ()):
        return _back(Cause.FAILED, seen.given_up)
    # One approval is one switch: whoever undid ours is not overruled.
    taken_back = release.phase is Phase.PROMOTING and release.was_live and seen.traffic is Traffic.PREVIOUS
    if taken_back or seen.traffic not in EXPLAINED[release.phase]:
        return _leave(f"the active Service was changed by {seen.changed_by}")
    if release.phase is Phase.REVERTING:  # whatever became of the candidate, going back is right
        return None
    if seen.traffic is Traffic.PREVIOUS and not seen.previous.present:
        return _leave(f"{seen.previous.name}, which is live, was changed by {seen.previous_changed_by}")
    # A side that answers nothing is taken back by the rules of its phase, whoever changed it.
    if release.phase is Phase.BAKING and not seen.candidate.present and seen.candidate.ready:
        return _leave(f"{seen.candidate.name}, which is live, was changed by {seen.candidate_changed_by}")
    return None


def _staging(case: _Case) -> Decision:
    release, side, within = case.release, case.seen.candidate, case.app.timing.stage_within
    if release.staged and not side.present:
        return _leave(f"{side.name} was changed by {case.seen.candidate_changed_by} while it was being prepared")
    if release.staged and side.failed:
        return _back(Cause.FAILED, side.trouble or "its pods fail")
    if release.staged and case.seen.given_up:
        return _back(Cause.FAILED, case.seen.given_up)
    if case.over(within):
        return _back(Cause.LATE, f"not ready in time: {side.trouble or side.progress}")
    if not release.staged:
        return Decision(order=Order.STAGE)
    if _can_take_traffic(side):
        return Decision(phase=Phase.READY, template=side.template)
    return _wait(side.trouble or side.progress, release.since + within)


def _ready(case: _Case) -> Decision:
    release, side, result = case.release, case.seen.candidate, case.tally
    expires = (release.ready_at or release.since) + case.app.approval.expires
    if void := _void(case):
        return void
    if release.restores is not None and _can_take_traffic(side):  # going back needs nobody's permission
        return Decision(phase=Phase.PROMOTING, approvers=(release.author,))
    if result.vetoes:
        return _back(Cause.REJECTED, "", by=result.vetoes[0])
    if case.now >= expires:
        return _back(Cause.EXPIRED, _why_expired(case))
    if not result.reached:
        return _wait("", expires)
    if case.app.approval.switch is Switch.BUTTON and not release.promote_asked:
        return _wait("approved; an approver presses Promote", expires)
    if why := _in_the_way(case):
        return _wait(why, expires)
    if not case.ballots.fresh_at(case.now):
        return Decision(look=True)
    return Decision(phase=Phase.PROMOTING, approvers=result.approvers)


def _void(case: _Case) -> Decision | None:
    """What ends every approval of a candidate that has no traffic yet."""
    side = case.seen.candidate
    if not side.present:
        return _leave(f"{side.name} was changed by {case.seen.candidate_changed_by}, so its approvals are void")
    if case.seen.taken_back:  # by the time that this was seen
        return _leave(f"it was promoted, and the active Service was changed by {case.seen.changed_by}")
    return _back(Cause.FAILED, case.seen.given_up) if case.seen.given_up else None


def _in_the_way(case: _Case) -> str:
    """What keeps an approved candidate from being switched; "" when nothing does."""
    side = case.seen.candidate
    if not _can_take_traffic(side):
        return side.trouble or side.progress
    return gates.obstacle(case.app, case.release) or case.ballots.trouble


def _why_expired(case: _Case) -> str:
    side, result = case.seen.candidate, case.tally
    if not result.approvers:
        return "nobody approved it in time"
    if not result.reached:
        return "approvals were missing"
    if case.app.approval.switch is Switch.BUTTON and not case.release.promote_asked:
        return "it was approved, but nobody pressed Promote"
    why = _in_the_way(case) or side.progress
    return f"it was approved, but could not be switched in time: {why}"


def _promoting(case: _Case) -> Decision:
    if case.seen.traffic is Traffic.CANDIDATE:
        return _switched(case)
    decision, settles_at = _switching(case), case.settles_at
    if settles_at is None or decision.phase not in {Phase.READY, Phase.ABANDONED}:
        return decision
    # Whatever comes next must know where the traffic is.
    late = case.release.since + case.app.timing.promote_within
    return _settle(case, min(settles_at, late) if decision.phase is Phase.READY else settles_at)


def _switched(case: _Case) -> Decision:
    side, within = case.seen.candidate, case.app.timing.promote_within
    if not side.present:  # the switch was ours, and what it let in is not what was approved
        return _back(Cause.FOREIGN, f"{side.name} was changed by {case.seen.candidate_changed_by} at the last moment")
    if side.ready:
        return Decision(phase=Phase.BAKING)
    if case.empty_too_long or case.over(within):
        return _back(Cause.EMPTY, f"no pod of {side.name} answered after the switch")
    return _wait("switched; no pod answers yet", min(_empty_until(case), case.release.since + within))


def _switching(case: _Case) -> Decision:
    release, side, within = case.release, case.seen.candidate, case.app.timing.promote_within
    if void := _void(case):
        return void
    if case.over(within):
        why = case.seen.pending or side.trouble or side.progress
        return _back(Cause.LATE, f"could not be switched in time: {why}")
    if case.seen.pending:
        return _wait(case.seen.pending, release.since + within)
    if not _can_take_traffic(side):
        return _wait(side.trouble or side.progress, release.since + within)
    if release.restores is not None:
        return Decision(order=Order.PROMOTE)
    if obstacle := gates.obstacle(case.app, release):
        return Decision(phase=Phase.READY, reason=obstacle)
    if case.ballots.trouble:
        return Decision(phase=Phase.READY, reason=case.ballots.trouble)
    if not case.tally.reached or case.tally.vetoes:
        return Decision(phase=Phase.READY, reason="an approval was lost before the switch")
    if not case.ballots.fresh_at(case.now):
        return Decision(look=True)
    return Decision(order=Order.PROMOTE)


def _baking(case: _Case) -> Decision:
    side, end = case.seen.candidate, case.release.since + case.app.timing.bake_for
    if why := guards.why_back(case.app, case.release, side.restarts, now=case.now):
        return _back(Cause.GUARD, why)
    if not side.ready and case.empty_too_long:
        return _back(Cause.EMPTY, f"no pod of {side.name} has been ready since {case.release.empty_since:%H:%M:%S} UTC")
    if not side.ready:
        return _wait("no pod answers", _empty_until(case))
    for alarm, until in guards.asked(case.app, case.release):
        return _wait(f"{guards.told(alarm)}; roll back, or keep it?", until)
    if case.now < end:
        return _wait("", end)
    if running := [check.name for check in case.seen.checks if check.verdict is Verdict.RUNNING]:
        return Decision(reason=f"{running[0]} is still running")  # it may yet be given up; its end is heard
    return Decision(phase=Phase.DONE)


def _done(case: _Case) -> Decision:
    release = case.release
    if case.seen.traffic is not Traffic.CANDIDATE:
        return Decision(reason=f"the traffic was moved away by {case.seen.changed_by}")
    if release.retired:
        return Decision()
    warm_for = DRAIN if release.retire_asked else max(DRAIN, case.app.timing.warm_for)
    end = (release.live_at or release.since) + warm_for
    if case.now < end:
        return _wait("", end)
    if not case.seen.candidate.ready:  # the way back is never given up while it may be needed
        return Decision(reason=f"{case.seen.previous.name} stays warm: no pod of {case.seen.candidate.name} answers")
    return Decision(order=Order.RETIRE)


def _reverting(case: _Case) -> Decision:
    side = case.seen.previous
    if case.seen.traffic is Traffic.PREVIOUS:
        if not case.seen.undone:
            # However long it takes: whatever is closed while its version could still come back is watched by nobody.
            return Decision(reason=case.seen.pending) if case.seen.pending else Decision(order=Order.REVERT)
        # Nobody takes traffic back from a closed release, so it stays open while its own switch may be on the way.
        if case.settles_at:
            return _settle(case, case.settles_at)
        return Decision(phase=Phase.REVERTED)
    if not side.present:
        return _leave(f"{side.name}, the version to go back to, was changed by {case.seen.previous_changed_by}")
    if case.seen.given_up:  # whatever is written, that controller undoes it
        return Decision(
            phase=Phase.ABANDONED, cause=Cause.STUCK, reason=f"could not be taken back: {case.seen.given_up}"
        )
    # A side that is started anew waits until it can carry all, unless what is live carries nothing.
    anew = case.gave_pods_up or case.seen.restarting
    if side.ready and (side.complete or not anew or not case.seen.candidate.ready):
        return Decision(order=Order.REVERT)
    why = case.seen.pending or side.trouble or side.progress
    if case.now >= case.stuck_at:
        return Decision(phase=Phase.ABANDONED, cause=Cause.STUCK, reason=f"could not be taken back: {why}")
    if not side.wanted and not case.seen.pending:
        return Decision(order=Order.REVERT)
    return _wait(why, case.stuck_at)


def _reverted(case: _Case) -> Decision:
    release = case.release
    if case.seen.traffic is Traffic.CANDIDATE and release.cause is not Cause.REPLACED:
        who = case.seen.promoted_by or case.seen.changed_by
        why = f"promoted outside by {who}, after it had been taken back"
        return Decision(phase=Phase.ABANDONED, cause=Cause.PROMOTED_OUTSIDE, reason=why)
    if release.retired:
        return Decision()
    if case.seen.traffic is not Traffic.PREVIOUS:  # a cache that is behind is no reason to leave it at that for good
        return Decision(look=not case.seen.fresh)
    # Whatever was switched to may have had the traffic for a moment that no look has seen.
    end = release.since + (DRAIN if release.was_live or release.switch_sent_at else timedelta())
    return Decision(order=Order.RETIRE) if case.now >= end else _wait("", end)


def _abandoned(_: _Case) -> Decision:
    return Decision()


_RULES: Mapping[Phase, Callable[[_Case], Decision]] = {
    Phase.STAGING: _staging,
    Phase.READY: _ready,
    Phase.PROMOTING: _promoting,
    Phase.BAKING: _baking,
    Phase.DONE: _done,
    Phase.REVERTING: _reverting,
    Phase.REVERTED: _reverted,
    Phase.ABANDONED: _abandoned,
}


def _can_take_traffic(side: Side) -> bool:
    """Never send traffic to a side that cannot take all of it."""
    return side.complete and side.ready > 0


def _empty_until(case: _Case) -> datetime:
    return (case.release.empty_since or case.now) + case.app.timing.grace


def _wait(reason: str, until: datetime) -> Decision:
    return Decision(reason=reason, until=until)


def _settle(case: _Case, until: datetime) -> Decision:
    return _wait(LATE_SWITCH, until) if case.now < until else Decision(look=True)


def _leave(reason: str) -> Decision:
    return Decision(phase=Phase.ABANDONED, cause=Cause.FOREIGN, reason=reason)


def _back(cause: Cause, reason: str, by: Person | None = None) -> Decision:
    return Decision(phase=Phase.REVERTING, cause=cause, reason=reason, by=by)
