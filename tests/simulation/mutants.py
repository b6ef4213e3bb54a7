"""The bot, broken on purpose: each mutant is a small change of the real code, and the oracles have to see it.

This is the one place that changes the bot's code under test, for as long as `at_work` lasts.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from bot import ballot_box, desk
from bot.clusters import patches, view
from bot.clusters.cluster import LABEL
from bot.controller import Controller, journal
from bot.desk import Desk
from bot.gates import GateRunner, guarding
from bot.release import approvals, gates, guards, machine
from bot.release.approvals import Ballots
from bot.release.machine import Decision, Order
from bot.release.record import Phase
from bot.release.snapshot import Snapshot, Traffic, Verdict
from bot.store import Store
from simulation.argo import mutants as argo
from simulation.memory import MemoryStore

Changes = tuple[Any, str, Any]


def no_fresh_check() -> Iterator[Changes]:
    """What the cache says is acted upon."""
    yield Snapshot, "fresh_at", lambda self, now: True


def no_version_in_the_patch() -> Iterator[Changes]:
    """The Service may have changed since it was read."""
    select = patches.select
    yield (
        patches,
        "select",
        lambda *args: tuple(each for each in select(*args) if "resourceVersion" not in each["path"]),
    )


def journal_after_the_write() -> Iterator[Changes]:
    send = Controller._send

    async def begin(self, release, pending, order, write, seen):
        self.mutant = order
        return await self._store.update(release, *pending)

    async def late(self, release, write, refused, decided):
        await send(self, release, write, refused, decided)
        await self._store.note(release, journal.intent(release, self.mutant, write))

    yield Controller, "_begin", begin
    yield Controller, "_send", late


def no_lock() -> Iterator[Changes]:
    """Two attempts for one app at once."""

    class Nobody(dict):
        def keys(self):
            return set()

        def __delitem__(self, key):
            self.pop(key, None)

    init = Controller.__init__

    def open_door(self, *args):
        init(self, *args)
        self._running = Nobody()

    yield Controller, "__init__", open_door


def no_look_after_the_switch() -> Iterator[Changes]:
    yield machine, "_switched", lambda case: Decision(phase=Phase.BAKING)


def going_back_is_not_journalled() -> Iterator[Changes]:
    begin = Controller._begin

    async def silent(self, release, pending, order, write, seen):
        if order == Order.REVERT:
            return await self._store.update(release, *pending)
        return await begin(self, release, pending, order, write, seen)

    yield Controller, "_begin", silent


def a_role_that_was_taken_away_counts() -> Iterator[Changes]:
    async def believe(self, ballots, ahead=None):
        return Ballots(ballots.votes, checked_at=self._clock.now())

    yield Controller, "_check", believe


def roles_are_asked_and_not_believed() -> Iterator[Changes]:
    """Whoever may vote may do so for good."""
    check = Controller._check

    async def believe(self, ballots, ahead=None):
        checked = await check(self, ballots, ahead)
        return replace(checked, votes=ballots.votes)

    yield Controller, "_check", believe


def the_template_is_not_bound() -> Iterator[Changes]:
    """Approval by name: whatever has the release's label is what was approved."""

    def staged(self):
        slot = self._candidate
        return slot is not None and view.template_labels(slot).get(LABEL) == self.release.label

    yield view.NativeView, "_is_staged", property(staged)


def approval_by_tag() -> Iterator[Changes]:
    """The tag is deployed, whatever it means by the time that pods start."""
    yield desk._Asked, "reference", property(lambda self: str(self.image))
    yield view.NativeView, "_doubt", lambda self, slot, pods, certain: None


def colour_only_selector() -> Iterator[Changes]:
    """The Service selects a colour, and so whatever is put there."""
    for kind in (Store, MemoryStore):
        create = kind.create

        async def colour(self, app, make, *events, replacing=None, create=create):
            def plain(number):
                release = make(number)
                wanted = {key: value for key, value in release.selector.items() if key != LABEL}
                return replace(release, selector=wanted | {"color": release.slot.rpartition("-")[2]})

            return await create(self, app, plain, *events, replacing=replacing)

        yield kind, "create", colour


def an_old_card_acts() -> Iterator[Changes]:
    """A vote on the card of a replaced release counts for the one that replaced it."""
    vote = ballot_box.BallotBox.vote

    async def newest(self, release, person, approve):
        return await vote(self, await self._store.newest(release.app), person, approve)

    yield ballot_box.BallotBox, "vote", newest


def old_buttons_act() -> Iterator[Changes]:
    """A press on an old card is taken for one on the newest."""
    ask = Desk.ask

    async def newest(self, app, number, verb, actor, reason=""):
        return await ask(self, app, (await self.store.newest(app)).number, verb, actor, reason)

    yield Desk, "ask", newest


def no_first_pass() -> Iterator[Changes]:
    """After a restart nothing is looked at until something happens."""
    wake = Controller.wake

    def deaf(self, app):
        if self.moments:
            wake(self, app)

    yield Controller, "wake", deaf


def a_late_switch_is_not_waited_for() -> Iterator[Changes]:
    yield machine, "SETTLE", machine.DRAIN * 0


def who_took_it_back_is_overruled() -> Iterator[Changes]:
    yield view.NativeView, "_undone", property(lambda self: False)


def what_comes_late_is_let_in() -> Iterator[Changes]:
    """The selector that one release gave back may arrive while the next is being prepared."""
    yield view.NativeView, "_keep_narrow", lambda self: None


def the_author_counts() -> Iterator[Changes]:
    def may(person, policy, author):
        return approvals.holds(person, policy.roles)

    yield approvals, "may_approve", may
    yield ballot_box, "may_approve", may


def the_old_version_is_not_kept_warm() -> Iterator[Changes]:
    def done(case):
        if case.seen.traffic is not Traffic.CANDIDATE or case.release.retired:
            return Decision()
        return Decision(order=Order.RETIRE)

    yield machine, "_RULES", {**machine._RULES, Phase.DONE: done}


def no_version_of_the_record() -> Iterator[Changes]:
    """Whoever writes last wins."""
    yield MemoryStore, "_current", lambda self, release: None


def nobody_draws() -> Iterator[Changes]:
    yield Controller, "redraw", lambda self, release: None


def candidates_without_pods_are_ready() -> Iterator[Changes]:
    yield machine, "_can_take_traffic", lambda side: side.present


def two_writes_are_one() -> Iterator[Changes]:
    """The outcome of a write is told twice."""
    note = Store.note

    async def twice(self, release, *events):
        await note(self, release, *events, *events)

    yield Store, "note", twice
    inner = MemoryStore.note

    async def again(self, release, *events):
        await inner(self, release, *events, *events)

    yield MemoryStore, "note", again


def missing_data_passes() -> Iterator[Changes]:
    """A gate that could not tell anything has nothing against it."""
    hold = gates.holds

    def holds(gate, release):
        result = gates.result_of(gate, release)
        return hold(gate, release) or (result is not None and result.verdict is Verdict.NONE)

    yield gates, "holds", holds


def _go_on(self, app, release):
    """Gates of what is no candidate any more are not stopped."""
    for gate, run in gates.under_way(app, release):
        key = app.name, release.label, run
        if key not in self._running:
            self._running[key] = asyncio.create_task(self._attempt(app, release, gate, key))


def gates_go_on_for_what_has_ended() -> Iterator[Changes]:
    yield GateRunner, "attend", _go_on


def a_verdict_of_another_candidate_counts() -> Iterator[Changes]:
    """Whatever release and pod template was measured, it is put down to the gate of that name."""
    end = gates.end

    def of_that_name(release, run, verdict, detail, now):
        present = next((each for each in release.gates if each.gate == run.gate), run)
        return end(release, present, verdict, detail, now)

    async def record(self, release, run, finding):
        known = await self._store.newest(release.app)
        if ended := gates.end(known, run, finding.verdict, finding.detail, self._clock.now()):
            await self._store.update(ended)

    yield GateRunner, "attend", _go_on
    yield GateRunner, "_record", record
    yield gates, "end", of_that_name


def what_comes_after_the_time_limit_counts() -> Iterator[Changes]:
    found = GateRunner._found

    async def patient(self, app, release, gate):
        return await found(self, app, release, replace(gate, timeout=10 * gate.timeout))

    yield GateRunner, "_found", patient


def anybody_accepts() -> Iterator[Changes]:
    yield gates, "may_approve", lambda person, policy, author: True


def the_way_back_waits_for_gates() -> Iterator[Changes]:
    def patient(case):
        until = case.release.since + machine.DRAIN
        runs = any(each.verdict is Verdict.RUNNING for each in case.release.gates)
        return Decision(until=until) if runs and case.now < until else machine._reverting(case)

    yield machine, "_RULES", {**machine._RULES, Phase.REVERTING: patient}


def guard_failure_is_ignored() -> Iterator[Changes]:
    yield guards, "why_back", lambda app, release, restarts=(), now=None: ""
    yield guards, "asked", lambda app, release: ()


def a_guard_that_cannot_tell_takes_it_back() -> Iterator[Changes]:
    then = guarding._Reading.then

    def strict(self, finding, guard):
        verdict = Verdict.FAILED if finding.verdict is Verdict.NONE else finding.verdict
        return then(self, replace(finding, verdict=verdict), guard)

    yield guarding._Reading, "then", strict


def anybody_keeps_what_is_live() -> Iterator[Changes]:
    yield guards, "may_approve", lambda person, policy, author: True


MUTANTS: Mapping[str, Callable[[], Iterator[Changes]]] = {
    each.__name__.replace("_", " "): each
    for each in (
        no_fresh_check,
        no_version_in_the_patch,
        journal_after_the_write,
        no_lock,
        no_look_after_the_switch,
        going_back_is_not_journalled,
        a_role_that_was_taken_away_counts,
        roles_are_asked_and_not_believed,
        the_template_is_not_bound,
        approval_by_tag,
        colour_only_selector,
        an_old_card_acts,
        old_buttons_act,
        no_first_pass,
        a_late_switch_is_not_waited_for,
        who_took_it_back_is_overruled,
        what_comes_late_is_let_in,
        the_author_counts,
        the_old_version_is_not_kept_warm,
        no_version_of_the_record,
        nobody_draws,
        candidates_without_pods_are_ready,
        two_writes_are_one,
        missing_data_passes,
        gates_go_on_for_what_has_ended,
        a_verdict_of_another_candidate_counts,
        what_comes_after_the_time_limit_counts,
        anybody_accepts,
        the_way_back_waits_for_gates,
        guard_failure_is_ignored,
        a_guard_that_cannot_tell_takes_it_back,
        anybody_keeps_what_is_live,
    )
} | argo.MUTANTS
ON_ARGO = frozenset(argo.MUTANTS)
"""They do harm on Argo Rollouts only, the others on plain Kubernetes."""


@contextmanager
def at_work(name: str) -> Iterator[None]:
    """The bot is broken like this meanwhile; not at all if `name` is empty."""
    with ExitStack() as stack:
        for where, what, instead in list(MUTANTS[name]()) if name else ():
            stack.enter_context(patch.object(where, what, instead))
        yield
