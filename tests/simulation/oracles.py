"""What must hold after every step, whatever happened: the invariants of docs/safety.md, seen from outside the bot.

The oracles watch what the bot reads, commits and writes, and what is true in the cluster and on the cards. They know
nothing of how the bot decides. Where docs/safety.md names a moment that nobody can promise, the oracle states exactly
that moment, and no more.
"""

import json
from collections.abc import Callable, Collection
from datetime import timedelta
from functools import wraps
from typing import Any

from bot.clusters.cluster import LABEL
from bot.clusters.reading import fingerprint, is_ready, matches, selector, template_labels
from bot.release.approvals import Vote
from bot.release.machine import DRAIN
from bot.release.record import Person, Phase, Release
from bot.release.snapshot import FRESH_FOR
from bot.release.verbs import VERBS, Verb
from release.quorum import agreed
from simulation.cluster import ACTIVE, PREVIEW, SLOTS, digest, release_of
from simulation.objects import EPOCH, Json

WRITES = 12
AT_ONCE = 5.0
"""Seconds within which a look follows a switch, and is acted upon, when nothing is slow or fails."""


class Violation(AssertionError):
    """An invariant did not hold in `world`."""

    def __init__(self, text: str, world: Any) -> None:
        super().__init__(text)
        self.world = world


def witness(see: Callable[..., None]) -> Callable[..., None]:
    """What goes wrong in an oracle must not look to the bot like trouble of its world."""

    @wraps(see)
    def safely(self: "Oracles", *args: Any, **more: Any) -> None:
        try:
            see(self, *args, **more)
        except Exception as error:  # noqa: BLE001 - the bot would catch it
            self.fail("oracle", repr(error))

    return safely


class Oracles:
    def __init__(self, world: Any) -> None:
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
        self.last_write = 0
        self.roles: dict[int, tuple[float, Person | None]] = {}
        """Of whom roles were asked, when, and who that was then."""
        self.flying: int = 0
        # Votes as they really are.
        self.maybe: set[tuple[int, int, bool]] = set()
        """Reactions that are there, or of whose end the bot could not know yet."""
        self.vetoed: dict[tuple[int, int], Person] = {}
        # What may be served.
        self.was_live: set[str] = {digest("blue")}
        self.approved: set[tuple[str, str]] = set()
        self.theirs: set[tuple[str, str]] = set()
        """Contents that somebody else put in front of the traffic."""
        self.changed_by_others: dict[str, int] = {}
        """Objects, and the step at which somebody else changed them last."""
        self.debts: dict[tuple[str, str], float] = {}
        """Contents that nobody approved, let in by a change between a look and the switch, and since when: they have to
        be taken back."""
        self.alive_since = 0.0
        self.switches: dict[str, int] = {}
        self.backs: dict[str, int] = {}
        self.writes: dict[str, int] = {}
        self.others = 0
        self.seen_before_switch = -1
        """The step of the last look at the slots before the bot moved the traffic."""
        self.moved_by_others = False
        """The active Service selects what somebody else wrote there."""

    def copy(self, world: Any) -> "Oracles":
        """All that they hold is replaced and never changed."""
        other = Oracles.__new__(Oracles)
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
        self.reads, self.roles, self.flying = {}, {}, 0
        self.alive_since = self.now

    def ended(self) -> None:
        self.began()
        self.unheard += 1

    # What the bot reads

    @witness
    def read(self, bot: Any, plural: str, name: str, found: Json) -> None:
        self.reads[f"{plural}/{name}"] = (self.now, self.world.steps, found)

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
        if known is None or known.phase is not release.phase:
            world.counts[f"phase: {release.phase}"] += 1
            world.note(f"{release.title} is {release.phase}: {release.reason}")

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
        self._was_looked_at(release)
        self.approved |= {(digest, release.template) for digest in release.digests}
        world.counts["switch begun"] += 1

    def _has_quorum(self, release: Release) -> None:
        world, policy = self.world, self.world.app.approval
        message = world.guild.cards.get(release.label)
        fresh = {key: who for key, (at, who) in self.roles.items() if self.now - at <= FRESH_FOR.total_seconds()}
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
        slot, theirs = f"deployments/{release.slot}", f"pods?{LABEL}={release.label}"
        for what in (f"services/{ACTIVE}", slot, "endpointslices", theirs):
            at, step, _ = self.reads.get(what, (-1e9, -1, None))
            if step <= self.last_write or self.now - at > FRESH_FOR.total_seconds():
                self.fail("I1", f"{what} was not read afresh before the switch to {release.title}")
                return
        slices, pods = self.reads["endpointslices"][2], self.reads[theirs][2]
        names = {pod["metadata"]["name"] for pod in pods}
        ready = {
            endpoint["targetRef"]["name"]
            for piece in slices
            if piece["metadata"]["name"] == f"{PREVIEW}-1"
            for endpoint in piece["endpoints"]
            if endpoint["conditions"]["ready"]
        }
        wanted = self.reads[slot][2]["spec"]["replicas"]
        if not 0 < wanted <= len(ready & names):
            self.fail("I1", f"{release.title} had {len(ready & names)} of {wanted} ready when it was looked at")

    # What the bot writes

    @witness
    def sent(self, bot: Any, plural: str, name: str, patch: Any) -> None:
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
    def written(self, plural: str, name: str, patch: Any, before: Json, after: Json, *, late: bool) -> None:
        """The API server took a write of the bot; `late`: of one that no longer waits for it."""
        text = json.dumps([dict(each) for each in patch], sort_keys=True)
        intent = next((each for each in self.intents if each[2:] == (name, text)), None)
        if intent is None:
            self.fail("I14", f"{name} was written twice, or without an intent")
            return
        self.intents.remove(intent)
        release = self.records[intent[0]]
        self.writes[release.label] = self.writes.get(release.label, 0) + 1
        if self.writes[release.label] > WRITES + 2 * self.others:
            self.fail("I12", f"{self.writes[release.label]} writes for {release.title}")
        if not late:
            self._not_blindly(plural, name, before)
        if plural == "services" and name == ACTIVE and selector(before) != selector(after):
            self._moved(release, after, late=late)
        if plural == "deployments" and after["spec"]["replicas"] < before["spec"]["replicas"]:
            self._may_shrink(name, release)
        self._serves(by_bot=True, slot_read=name if plural == "deployments" else None)

    def _moved(self, release: Release, after: Json, *, late: bool) -> None:
        """The bot gave the traffic to somebody else."""
        self.moved_by_others = False
        if not late:
            self.seen_before_switch = min(self.reads.get(f"deployments/{slot}", (0, -1, None))[1] for slot in SLOTS)
        if selector(after) == release.selector:
            self.switches[release.label] = self.switches.get(release.label, 0) + 1
            self.world.counts["switched"] += 1
            if self.switches[release.label] > 1:
                self.fail("I2", f"{release.title} was switched to twice")
        elif release.phase is Phase.REVERTING:
            self.world.counts["switched back"] += 1
            self.backs[release.label] = self.backs.get(release.label, 0) + 1
            if self.backs[release.label] > 1 + self.others:
                self.fail("I10", f"{release.title} was taken back by more than one write")

    def _not_blindly(self, plural: str, name: str, before: Json) -> None:
        _, _, read = self.reads.get(f"{plural}/{name}", (0, 0, None))
        if read is None:
            self.fail("I6", f"{name} was written without being read")
        elif plural == "services":
            if read["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
                self.fail("I6", f"{name} was written over a change that was not seen")
        elif _runs(read) != _runs(before):
            self.fail("I6", f"{name} was written over another version than the one that was seen")

    def _may_shrink(self, slot: str, release: Release) -> None:
        wanted = selector(self.world.cluster.service())
        if matches(wanted, template_labels(self.world.cluster.slot(slot))):
            moved = self.changed_by_others.get(f"services/{ACTIVE}", -1)
            if moved <= self.reads.get(f"services/{ACTIVE}", (0, 0, None))[1]:
                self.fail("I11", f"{slot} has the traffic and was scaled down")
            return
        timing, at = self.world.app.timing, EPOCH + timedelta(seconds=self.now)
        if release.phase is Phase.DONE and slot == release.previous.slot and release.live_at:
            warm = DRAIN if release.retire_asked else max(DRAIN, timing.warm_for)
            if at < release.live_at + warm:
                self.fail("I11", f"{slot} was scaled down {at - release.live_at} after the switch")

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

    def _serves(self, *, by_bot: bool, slot_read: str | None = None) -> None:
        for pod in self.world.cluster.selected():
            self._may_serve(pod, by_bot=by_bot)
        if self.debts:
            served = {_content(pod) for pod in self.world.cluster.selected()}
            self.debts = {content: since for content, since in self.debts.items() if content in served}
            if not self.world.weather and any(
                self.now > max(since, self.alive_since) + AT_ONCE for since in self.debts.values()
            ):
                self.fail("I3", f"not taken back at once: {sorted(self.debts)}")

    def _may_serve(self, pod: Json, *, by_bot: bool) -> None:
        content = _content(pod)
        if content is None or content[0] in self.was_live or content in self.theirs or content in self.debts:
            return
        if content in self.approved:
            if is_ready(pod):
                self.was_live.add(content[0])
            return
        slot = f"deployments/{pod['slot']}"
        changed = self.changed_by_others.get(slot, -1)
        if self.moved_by_others or self.world.memory.get(f"live when changed: {pod['slot']}"):
            self.theirs.add(content)  # whoever may change what is live can serve anything
            return
        # The one moment that nobody can promise: the slot was changed after the bot's last look at it. Only pods that
        # still carry the label of the release that was approved can be let in by that.
        seen, newest = self.seen_before_switch, self.newest
        if changed > seen and newest is not None and newest.previous.slot == pod["slot"]:
            self.theirs.add(content)  # on the way back there is nowhere else to go
            return
        if changed > seen and newest is not None and release_of(pod) == newest.label:
            self.debts[content] = self.now
            self.world.counts["changed between look and switch"] += 1
            return
        self.fail("I3", f"{pod['metadata']['name']} serves {content[0]}, which nobody approved")

    # At the end

    def at_the_end(self) -> None:
        world, release = self.world, self.newest
        if release is None:
            self.fail("I4", "nothing was released")
        else:
            self._agrees(release)
            face = world.guild.faces.get(release.label)
            if face != release.phase:
                self.fail("I15", f"the card says {face} of a release that is {release.phase}")
            world.counts[f"ended: {release.phase}"] += 1
        if self.debts:
            self.fail("I3", f"never taken back: {sorted(self.debts)}")
        if self.begun - self.outcomes > self.unheard:
            self.fail("I14", f"{self.begun} intents, {self.outcomes} outcomes and {self.unheard} crashes and failures")
        if self.failures:
            raise self.violation()

    def _agrees(self, release: Release) -> None:
        present = selector(self.world.cluster.service())
        meddled = f"services/{ACTIVE}" in self.changed_by_others
        match release.phase:
            case Phase.DONE:
                agree = (present == release.selector and (release.retired or self.others)) or meddled
            case Phase.REVERTED:
                back = present in (release.previous.selector, release.previous.before)
                agree = (back and release.retired) or self.others
            case Phase.ABANDONED:
                agree = bool(self.others)
            case _:
                agree = False
        if not agree:
            self.fail(
                "I4", f"{release.title} ended as {release.phase} ({release.reason}), the Service selects {present}"
            )


def _acts(release: Release) -> tuple[Any, ...]:
    """All of a record but what is only kept in it."""
    return release.phase, release.approvers, release.promote_asked, release.switch_sent_at, release.replaced_by


def _content(pod: Json) -> tuple[str, str] | None:
    """What a pod really runs: the digest that its node reports, in which template. None before it does."""
    statuses = pod["status"].get("containerStatuses")
    return (statuses[0]["imageID"].partition("@")[2], _fingerprint(pod["template"])) if statuses else None


_FINGERPRINTS: dict[int, tuple[Json, str]] = {}


def _fingerprint(template: Json) -> str:
    """By identity: templates are replaced, never changed, and kept here as long as they are known."""
    known = _FINGERPRINTS.get(id(template))
    if known is None or known[0] is not template:
        if len(_FINGERPRINTS) > 10_000:
            _FINGERPRINTS.clear()
        known = _FINGERPRINTS[id(template)] = (template, fingerprint({"spec": {"template": template}}))
    return known[1]


def _runs(slot: Json) -> tuple[str, str | None]:
    template = slot["spec"]["template"]
    return template["spec"]["containers"][0]["image"], (template["metadata"].get("labels") or {}).get(LABEL)
