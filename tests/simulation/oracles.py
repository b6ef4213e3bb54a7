"""What must hold after every step, whatever happened: the invariants of docs/safety.md, seen from outside the bot.

The oracles watch what the bot reads, commits and writes, and what is true in the cluster and on the cards. They know
nothing of how the bot decides. Where docs/safety.md names a moment that nobody can promise, the oracle states exactly
that moment, and no more.
"""

import json
from collections.abc import Collection
from typing import Any, Self

from bot.controller.loop import RECORDED_WITHIN
from bot.release.approvals import Vote
from bot.release.record import Cause, Person, Phase, Release
from bot.release.snapshot import FRESH_FOR, Verdict
from bot.release.verbs import VERBS, Verb
from release.quorum import agreed
from simulation.checks import Checks
from simulation.cluster import ACTIVE
from simulation.objects import Json
from simulation.witness import witness

WRITES = 12


DECIDED_UPON_FOR = (FRESH_FOR + RECORDED_WITHIN).total_seconds()
"""As old as what may be decided upon, and as long as that may then take to be recorded."""


class Violation(AssertionError):
    """An invariant did not hold in `world`."""

    def __init__(self, text: str, world: Any) -> None:
        super().__init__(text)
        self.world = world


class Oracles(Checks):
    def __init__(self, world: Any) -> None:
        super().__init__()
        self.world = world
        self.failures: list[str] = []
        # What the store says, as committed.
        self.records: dict[str, Release] = {}
        self.newest: Release | None = None
        self.told = 0
        self.intents: list[tuple[str, str, str, str]] = []
        """(release, order, object, patch) of which the write has not arrived."""
        self.outcomes = 0
        self.unheard = 0
        """Crashes and failures of the store, each of which may cost one outcome."""
        self.begun = 0
        # What the bot has read since it began, and what is on its way.
        self.reads: dict[str, tuple[float, int, Any]] = {}
        self.earlier: dict[str, tuple[float, int, Any]] = {}
        """Of each object, what was read before that."""
        self.last_write = 0
        self.roles: dict[int, tuple[float, Person | None]] = {}
        """Of whom roles were asked, when, and who that was then."""
        self.flying: int = 0
        # Votes as they really are.
        self.maybe: set[tuple[int, int, bool]] = set()
        """Reactions that are there, or of whose end the bot could not know yet."""
        self.vetoed: dict[tuple[int, int], Person] = {}
        self.goes_back: dict[str, float] = {}
        """Since when a release goes back."""
        # What may be served.
        self.approved: set[tuple[str, str]] = set()
        self.theirs: set[tuple[str, str]] = set()
        """Contents that somebody else put in front of the traffic."""
        self.changed_by_others: dict[str, int] = {}
        """Objects, and the step at which somebody else changed them last."""
        self.alive_since = 0.0
        self.switches: dict[str, int] = {}
        self.backs: dict[str, int] = {}
        self.writes: dict[str, int] = {}
        self.others = 0
        self.moved_by_others = False
        """The active Service selects what somebody else wrote there."""

    def copy(self, world: Any) -> Self:
        """All that they hold is replaced and never changed."""
        other = type(self).__new__(type(self))
        kept = (dict, list, set)
        other.__dict__ = {name: each.copy() if isinstance(each, kept) else each for name, each in self.__dict__.items()}
        other.world = world
        return other

    def fail(self, invariant: str, what: str) -> None:
        self.failures.append(f"{invariant}: {what}")

    def violation(self) -> Violation:
        return Violation("; ".join(self.failures), self.world)

    @property
    def now(self) -> float:
        return self.world.time.seconds

    # The bot's life

    def began(self) -> None:
        self.reads, self.earlier, self.roles, self.flying = {}, {}, {}, 0
        self.alive_since = self.now
        self.forgotten()

    def ended(self) -> None:
        self.began()
        self.unheard += 1

    # What the bot reads

    @witness
    def read(self, bot: Any, plural: str, name: str, found: Json) -> None:
        key = f"{plural}/{name}"
        if key in self.reads:
            self.earlier[key] = self.reads[key]
        self.reads[key] = (self.now, self.world.steps, found)

    @witness
    def listed(self, bot: Any, plural: str, query: str, items: list[Json]) -> None:
        if plural == "endpointslices" and " in " not in query:
            return  # somebody asks where a release could begin, while another is looked at
        self.reads[f"{plural}?{query}" if plural == "pods" else plural] = (self.now, self.world.steps, items)

    @witness
    def roles_read(self, bot: Any, asked: Collection[int], found: dict[int, Person]) -> None:
        self.roles = {**self.roles, **{person: (self.now, found.get(person)) for person in asked}}

    # Votes

    @witness
    def voted(self, message: int, voter: Person, approve: bool, *, counts: bool) -> None:
        if not approve and counts:
            self.vetoed[message, voter.id] = voter

    @witness
    def withdrawn(self, message: int, person: int, approve: bool) -> None:
        if (message, person, approve) not in self.world.guild.reactions:
            self.maybe.discard((message, person, approve))

    def reacted(self, message: int, person: int, approve: bool, *, there: bool) -> None:
        """On Discord, whoever hears of it."""
        if there:
            self.maybe.add((message, person, approve))
        elif not approve:
            self.vetoed.pop((message, person), None)

    @witness
    def recounted(self, message: int, there: frozenset[tuple[int, int, bool]]) -> None:
        now = self.world.guild.reactions
        self.maybe = {each for each in self.maybe if each[0] != message or each in there or each in now}

    # What the bot commits

    @witness
    def committed(self) -> None:
        changed, events = self.world.shelf.since(self.told)
        before = dict(self.records)
        self.records |= {release.label: release for release in changed}
        for release in changed:
            self._record_changed(before.get(release.label), release)
        still_open = [release for release in self.records.values() if release.phase.open]
        if len(still_open) > 1:
            self.fail("I13", f"open at once: {[release.title for release in still_open]}")
        for key, label, kind, detail in events:
            self.told = key
            self._told(label, kind, detail)

    def _record_changed(self, known: Release | None, release: Release) -> None:
        world = self.world
        if self.newest is None or release.number >= self.newest.number:
            self.newest = release
        elif known is not None and _acts(known) != _acts(release):
            self.fail("I8", f"{release.title} is not the newest and was changed to {release.phase}")
        for each in release.gates:
            if known is None or each not in known.gates:
                self._gate_changed(release, each)
        kept = [alarm for alarm in release.alarms if alarm.kept_by and known and alarm not in known.alarms]
        world.counts["kept in spite of a guard"] += len(kept)
        if known is None or known.phase is not release.phase:
            world.counts[f"phase: {release.phase}"] += 1
            self._phase_changed(known, release)
            world.note(f"{release.title} is {release.phase}: {release.reason}")

    def _phase_changed(self, known: Release | None, release: Release) -> None:
        if release.phase is Phase.DONE:
            self._guards_let_it(release)
        if release.phase is Phase.REVERTING and release.cause is Cause.GUARD:
            self._guards_want_it(release)
        if release.phase is Phase.REVERTING:
            self.goes_back[release.label] = self.now
            if known is not None and any(each.verdict is Verdict.RUNNING for each in release.gates):
                self.world.counts["taken back while a gate runs"] += 1

    def _told(self, label: str, kind: str, detail: Any) -> None:
        if kind == "intent":
            self.begun += 1
            self.intents.append((label, detail["order"], detail["name"], json.dumps(detail["patch"], sort_keys=True)))
            if detail["order"] == "promote":
                self._promotes(self.records[label])
        elif kind in {"written", "refused", "failed", "unknown"}:
            self.outcomes += 1
            if self.outcomes > self.begun:
                self.fail("I14", f"an outcome ({kind}) without an intent")

    def _promotes(self, release: Release) -> None:
        """The approval is used up by this very transaction: whatever entitles to the switch has to be true here."""
        world = self.world
        if release.label != self.newest.label:
            self.fail("I8", f"{release.title} is not the newest and is switched to")
        if release.restores is None:
            self._has_quorum(release)
            for gate in world.app.gates:
                self._lets_through(gate, release)
        self._was_looked_at(release)
        self.approved |= {(digest, release.template) for digest in release.digests}
        world.counts["switch begun"] += 1

    def _has_quorum(self, release: Release) -> None:
        world, policy = self.world, self.world.app.approval
        message = world.guild.cards.get(release.label)
        fresh = {key: who for key, (at, who) in self.roles.items() if self.now - at <= DECIDED_UPON_FOR}
        if not fresh:
            self.fail("I7", "the roles were not read afresh before the switch")
            return
        people = {key: who for key, who in fresh.items() if who is not None}
        votes = [
            Vote(people[person], approve=True)
            for where, person, approve in self.maybe
            if where == message and approve and person in people
        ]
        if not agreed(policy, release.author, votes):
            self.fail("I7", f"no quorum for {release.title}: {sorted(vote.person.name for vote in votes)}")
        for where, person in self.vetoed:
            entitled = person in people and not people[person].bot and people[person].roles & policy.roles
            if where == message and entitled:
                self.fail("I7", f"{people[person].name} rejected {release.title}")

    def _was_looked_at(self, release: Release) -> None:
        """I1: what the switch rests upon was read in this very attempt, and the candidate could take the traffic."""
        raise NotImplementedError

    def _read_afresh(self, release: Release, *read: str) -> bool:
        for what in read:
            at, step, _ = self.reads.get(what, (-1e9, -1, None))
            if step <= self.last_write or self.now - at > DECIDED_UPON_FOR:
                self.fail("I1", f"{what} was not read afresh before the switch to {release.title}")
                return False
        return True

    def _as_read(self, what: str) -> list[Json]:
        """What the attempt may have read: while somebody asks for something of the bot, the last read may be his."""
        found = [self.reads[what]]
        if self.world.bot.busy and what in self.earlier:
            found.append(self.earlier[what])
        fresh_for = FRESH_FOR.total_seconds()
        return [item for at, step, item in found if step > self.last_write and self.now - at <= fresh_for]

    def _ready_when_read(self, service: str, pods: list[Json]) -> int:
        names = {pod["metadata"]["name"] for pod in pods}
        ready = {
            endpoint["targetRef"]["name"]
            for piece in self.reads["endpointslices"][2]
            if piece["metadata"]["name"] == f"{service}-1"
            for endpoint in piece["endpoints"]
            if endpoint["conditions"]["ready"]
        }
        return len(ready & names)

    # What the bot writes

    @witness
    def sent(self, bot: Any, resource: str, name: str, patch: Any) -> None:
        """A request leaves the bot."""
        self.flying += 1
        self.last_write = self.world.steps
        if self.flying > 1:
            self.fail("I13", "two writes for one app at once")
        text = json.dumps([dict(each) for each in patch], sort_keys=True)
        if not any(each[2:] == (name, text) for each in self.intents):
            self.fail("I14", f"a write to {name} that the journal does not announce")

    @witness
    def answered(self, bot: Any) -> None:
        self.flying -= 1

    @witness
    def written(self, resource: str, name: str, patch: Any, before: Json, after: Json, *, late: bool) -> None:
        """The API server took a write of the bot; `late`: of one that no longer waits for it."""
        text = json.dumps([dict(each) for each in patch], sort_keys=True)
        intent = next((each for each in self.intents if each[2:] == (name, text)), None)
        if intent is None:
            self.fail("I14", f"{name} was written twice, or without an intent")
            return
        self.intents.remove(intent)
        release = self.records[intent[0]]
        self.writes[release.label] = self.writes.get(release.label, 0) + self._counts(patch)
        if self.writes[release.label] > WRITES + 2 * self.others:
            self.fail("I12", f"{self.writes[release.label]} writes for {release.title}")
        if not late:
            self._not_blindly(resource, name, patch, before)
        self._done(release, resource, name, patch, before, after, late=late)
        self._serves(by_bot=True)

    def _counts(self, patch: Any) -> bool:
        """Whether a write is one of the few that a release needs."""
        return True

    def _not_blindly(self, resource: str, name: str, patch: Any, before: Json) -> None:
        """I6: what is written over is what was read."""
        raise NotImplementedError

    def _done(
        self, release: Release, resource: str, name: str, patch: Any, before: Json, after: Json, *, late: bool
    ) -> None:
        """What a write of the bot has brought about."""
        raise NotImplementedError

    def _service_is_as_read(self, name: str, before: Json) -> None:
        _, _, read = self.reads.get(f"services/{name}", (0, 0, None))
        if read is None:
            self.fail("I6", f"{name} was written without being read")
        elif read["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            self.fail("I6", f"{name} was written over a change that was not seen")

    def _switched(self, release: Release) -> None:
        self.switches[release.label] = self.switches.get(release.label, 0) + 1
        self.world.counts["switched"] += 1
        if self.switches[release.label] > 1:
            self.fail("I2", f"{release.title} was switched to twice")

    def _switched_back(self, release: Release) -> None:
        self.world.counts["switched back"] += 1
        self.backs[release.label] = self.backs.get(release.label, 0) + 1
        if self.backs[release.label] > 1 + self.others:
            self.fail("I10", f"{release.title} was taken back by more than one write")

    def was_refused(self, release: Release, why: str) -> None:
        """Somebody who may wanted to go back from the newest release, which nobody changed meanwhile."""
        if Verb.ROLL_BACK in VERBS[release.phase]:
            self.fail("I10", f"a rollback of {release.title}, which is {release.phase}, was refused: {why}")

    # What is true in the cluster

    def others_changed(self, what: str) -> None:
        self.changed_by_others[what] = self.world.steps
        self.others += 1
        if what == f"services/{ACTIVE}":
            self.moved_by_others = True

    def looked(self) -> None:
        """Something happened that the bot did not do."""
        self._serves(by_bot=False)

    def _serves(self, *, by_bot: bool) -> None:
        """I3: all that the active Service may send traffic to."""
        raise NotImplementedError

    # At the end

    def at_the_end(self) -> None:
        world, release = self.world, self.newest
        if release is None:
            if not self._nobody_knew():
                self.fail("I4", "nothing was released")
        else:
            self._agrees(release)
            face = world.guild.faces.get(release.label)
            if face != release.phase:
                self.fail("I15", f"the card says {face} of a release that is {release.phase}")
            world.counts[f"ended: {release.phase}"] += 1
        if world.bot is not None and (left := world.bot.lab.left()):
            self.fail("I10", f"gates go on for what has ended: {left}")
        if self.begun - self.outcomes > self.unheard:
            self.fail("I14", f"{self.begun} intents, {self.outcomes} outcomes and {self.unheard} crashes and failures")
        if self.failures:
            raise self.violation()

    def _nobody_knew(self) -> bool:
        """Of what was to become a release: then it is none."""
        return False

    def _agrees(self, release: Release) -> None:
        """I4: the store and the cluster, once nothing happens any more."""
        raise NotImplementedError


def _acts(release: Release) -> tuple[Any, ...]:
    """All of a record but what is only kept in it."""
    return release.phase, release.approvers, release.promote_asked, release.switch_sent_at, release.replaced_by


def runs(pod: Json) -> str | None:
    """The digest that its node reports; None before it does."""
    statuses = pod["status"].get("containerStatuses")
    return statuses[0]["imageID"].partition("@")[2] if statuses else None
