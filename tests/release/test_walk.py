"""Releases that live through anything in any order: votes, crashes, dying pods, wishes, meddlers, Discord being away.

The walks are seeded, so a failure repeats, and what they must come past is asserted: a walk that never promotes proves
nothing.
"""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from examples import ANN, DAN, GUS, KIM, LEAD, LEE, MOMENT, NOW, OLA, QC, app, release, side
from quorum import agreed
from small_cluster import PODS, Cluster, scaled

from bot.release import guards
from bot.release.app import Action, Guard, Http, Switch
from bot.release.approvals import Ballots, Vote
from bot.release.errors import Refused
from bot.release.machine import DRAIN, SETTLE, Order, advance, decide, fulfil, observe, sent
from bot.release.record import Cause, Phase
from bot.release.snapshot import FRESH_FOR, Traffic
from bot.release.verbs import Verb, ask

WALKS, STEPS = 1000, 100
PEOPLE = {person.id: person for person in (ANN, KIM, LEE, OLA, DAN, GUS)}
GUARDS = tuple(Guard(action, Http(), action) for action in Action)
POLICIES = [app(), app(approval=replace(app().approval, switch=Switch.BUTTON)), app(guards=GUARDS)]
WAITS = [timedelta(seconds=1), timedelta(seconds=6), timedelta(seconds=40), timedelta(minutes=3), timedelta(hours=1)]

MUST_REACH = {
    (Phase.STAGING, Phase.READY),
    (Phase.STAGING, Phase.REVERTING),
    (Phase.STAGING, Phase.REVERTED),
    (Phase.STAGING, Phase.ABANDONED),
    (Phase.READY, Phase.PROMOTING),
    (Phase.READY, Phase.REVERTING),
    (Phase.READY, Phase.REVERTED),
    (Phase.READY, Phase.ABANDONED),
    (Phase.PROMOTING, Phase.READY),
    (Phase.PROMOTING, Phase.BAKING),
    (Phase.PROMOTING, Phase.REVERTING),
    (Phase.PROMOTING, Phase.ABANDONED),
    (Phase.BAKING, Phase.DONE),
    (Phase.BAKING, Phase.REVERTING),
    (Phase.BAKING, Phase.ABANDONED),
    (Phase.DONE, Phase.REVERTING),
    (Phase.REVERTING, Phase.REVERTED),
    (Phase.REVERTING, Phase.ABANDONED),
    (Phase.REVERTED, Phase.ABANDONED),
    (Phase.ABANDONED, Phase.REVERTING),
}


class World:
    """One release, its cluster, the people around it, and an oracle that looks on."""

    def __init__(self, seed, seen):
        self.dice, self.seen = Random(seed), seen
        self.app = self.dice.choice(POLICIES)
        self.now, self.release = NOW, release()
        controlled = self.dice.random() < 0.5
        self.cluster = Cluster(Traffic.PREVIOUS, side(0, 0, present=False), side(), controlled=controlled)
        self.roles = {who: person.roles for who, person in PEOPLE.items()}
        self.known = dict(self.roles)
        self.reactions, self.checked_at, self.discord_away = [], None, False
        self.remembered = [self.look(fresh=False)]
        self.meddled, self.lost_at = False, None
        self.on_the_way = None
        """The moment until which a switch that was sent may still arrive."""

    # What happens around the loop

    def live(self):
        meddlesome = self.dice.random() < 0.3
        for _ in range(STEPS):
            rare = 20 if self.release.phase in {Phase.PROMOTING, Phase.REVERTING, Phase.DONE} else 3
            happenings = {
                self.loop: 40,
                self.time_passes: 14,
                self.pods_start: 14,
                self.pods_die: 4,
                self.the_controller_acts: 14 * self.cluster.controlled,
                self.the_controller_gives_up: 0.2 * self.cluster.controlled,
                self.a_late_switch_arrives: 5,
                self.nodes_come_and_go: 1,
                self.react: 12,
                self.take_back_a_reaction: 1,
                self.change_roles: 1,
                self.discord_comes_and_goes: 1,
                self.somebody_asks: rare,
                self.a_guard_fails: 5,
                self.somebody_keeps_it: 20,
                self.somebody_meddles: meddlesome * rare,
            }
            self.dice.choices(*zip(*happenings.items(), strict=True))[0]()
            self.look_on()

    def time_passes(self):
        self.now += self.dice.choices(WAITS, [10, 6, 4, 1, 0.1])[0]

    def pods_start(self):
        self.cluster.start_pods()

    def pods_die(self):
        which = self.dice.choice(["candidate", "previous"])
        of = getattr(self.cluster, which)
        left = scaled(of, self.dice.randint(0, of.ready), of.wanted)
        fails = which == "candidate" and self.dice.random() < 0.2
        setattr(self.cluster, which, replace(left, failed=True, complete=False) if fails else left)

    def the_controller_acts(self):
        had = self.cluster.traffic
        self.cluster.act()
        self.seen["switch by the controller"] += self.cluster.traffic is not had

    def the_controller_gives_up(self):
        """Its own checks fail, while it still has any: not of what is settled."""
        if self.cluster.wants_candidate and self.release.phase is not Phase.DONE:
            self.cluster.give_up()

    def a_late_switch_arrives(self):
        """It is conditional on what it was decided upon: whatever else has changed that since makes it void."""
        due, self.on_the_way = self.on_the_way, None
        void = self.meddled or Order.PROMOTE in self.cluster.done
        if self.cluster.controlled:
            void = void or self.cluster.told is not None or not self.cluster.wants_candidate
        if due and self.now <= due and not void:
            assert self.release.phase.open, "a switch arrived at a closed release"
            self.seen["late switch"] += 1
            if self.cluster.controlled:
                self.cluster.told = Order.PROMOTE
                return
            self.cluster.traffic = Traffic.CANDIDATE
            self.cluster.done.append(Order.PROMOTE)

    def nodes_come_and_go(self):
        self.cluster.healthy = not self.cluster.healthy

    def react(self):
        who = self.dice.choices(list(PEOPLE), [1, 5, 5, 1, 1, 1])[0]
        approve = self.dice.random() < (0.8 if self.release.phase is Phase.PROMOTING else 0.99)
        if (who, approve) not in self.reactions:
            self.reactions.append((who, approve))
            self.known[who] = self.roles[who]

    def take_back_a_reaction(self):
        if self.reactions:
            self.reactions.remove(self.dice.choice(self.reactions))

    def change_roles(self):
        who = self.dice.choice(list(PEOPLE))
        self.roles[who] = self.roles[who] ^ {self.dice.choice([QC, LEAD])}

    def discord_comes_and_goes(self):
        self.discord_away = not self.discord_away

    def somebody_asks(self):
        verb = self.dice.choices(list(Verb), [12, 1, 1, 12, 2, 1])[0]
        actor = self.dice.choice(list(PEOPLE.values()))
        try:
            self.become(ask(self.release, self.app, verb, actor, self.now))
        except Refused:
            self.seen["refused"] += 1

    def a_guard_fails(self):
        for guard in guards.watching(self.app, self.release)[self.dice.randrange(3) :][:1]:
            self.release = guards.raise_alarm(self.release, guard, "it failed", self.now) or self.release

    def somebody_keeps_it(self):
        for alarm, _ in guards.asked(self.app, self.release):
            try:
                self.release = guards.keep(self.release, self.app, alarm.guard, self.dice.choice([KIM, LEE, DAN]))
                self.seen["kept"] += 1
            except Refused:
                self.seen["refused"] += 1

    def somebody_meddles(self):
        self.meddled = True
        which = self.dice.choice(["traffic", "candidate", "previous", "promote"])
        if which == "promote":
            self.somebody_promotes()
        elif which == "traffic":
            self.cluster.traffic = self.dice.choice(list(Traffic))
        else:
            setattr(self.cluster, which, replace(getattr(self.cluster, which), present=False))

    def somebody_promotes(self):
        """As the controller's own tools do it, whatever was approved."""
        if self.cluster.controlled and self.cluster.wants_candidate and self.cluster.candidate.ready:
            self.cluster.traffic, self.cluster.told = Traffic.CANDIDATE, None
            self.cluster.promoted_by = "argocd"

    # The loop

    def look(self, *, fresh=True):
        return self.cluster.look(self.now, self.release.phase, fresh=fresh)

    def loop(self):
        """Mostly out of a cache that lags behind; afresh when the decision asks for it, or after a write."""
        self.remembered = [*self.remembered[-3:], self.look(fresh=False)]
        just_looked = self.dice.random() < 0.2
        if not self.turn(self.look() if just_looked else self.dice.choice(self.remembered)):
            self.check_roles()
            self.turn(self.look())

    def check_roles(self):
        if not self.discord_away:
            self.known, self.checked_at = dict(self.roles), self.now

    def ballots(self):
        votes = tuple(Vote(replace(PEOPLE[who], roles=self.known[who]), approve) for who, approve in self.reactions)
        return Ballots(votes, self.checked_at, "Discord is away" if self.discord_away else "")

    def turn(self, look):
        """One decision, carried out; False: it asks to look afresh."""
        of = observe(self.release, look, self.now)
        decision = decide(of, self.app, look, self.ballots(), self.now)
        assert look.fresh or not decision.acts, "nothing is done upon a cached look"
        if self.dice.random() < 0.1:  # a crash before anything was written down
            return True
        self.release = of
        if decision.phase is Phase.REVERTED:
            assert self.cluster.undone, "closed, while its version could still take the traffic unasked"
        if decision.phase:
            self.become(advance(of, decision, self.now))
        if decision.order:
            self.carry_out(decision.order)
        self.seen[decision.order] += 1
        return not decision.look

    def carry_out(self, order):
        had = self.cluster.traffic
        self.release = sent(self.release, order, self.look(), self.now)
        if order is Order.PROMOTE:
            self.approved()
            if self.dice.random() < 0.4:  # nobody knows what became of it
                self.on_the_way = self.now + SETTLE - MOMENT
                return
        if order is Order.RETIRE:
            self.drained()
        finished = self.cluster.obey(order, self.release)
        if had is Traffic.CANDIDATE and self.cluster.traffic is not had:
            self.lost_at = self.now
        if finished and self.dice.random() < 0.9:  # else: a crash between the write and the note of it
            self.release = fulfil(self.release, order)

    def become(self, moved):
        if moved.phase is not self.release.phase:
            self.seen[self.release.phase, moved.phase] += 1
            self.seen[moved.cause] += 1
        self.release = moved

    # The oracle

    def approved(self):
        """I2, I7: enough people who were entitled when their roles were just read, and nobody who objects."""
        ballots = self.ballots()
        assert agreed(self.app.approval, ANN, ballots.votes)
        assert not ballots.trouble
        assert self.checked_at, "roles are read before a switch"
        assert self.now - self.checked_at <= FRESH_FOR
        assert not any(not vote.approve and vote.person.roles & {QC, LEAD} for vote in ballots.votes)
        # A switch that somebody undid before anybody looked is not to be known of.
        known = self.release.was_live or (Order.PROMOTE in self.cluster.done and not self.meddled)
        assert not known, "one approval, one switch"
        assert self.cluster.candidate.ready == PODS

    def drained(self):
        """I11: connections to a side that we took the traffic from have had time to end."""
        if self.release.phase is Phase.DONE and not self.meddled:
            assert self.now - self.release.live_at >= DRAIN
        if self.release.phase is Phase.REVERTED and self.lost_at:
            assert self.now - self.lost_at >= DRAIN

    def look_on(self):
        """I3: what is live was live before or approved, unless somebody else put it there."""
        if self.cluster.traffic is not Traffic.PREVIOUS and not self.meddled:
            assert self.cluster.done.count(Order.PROMOTE) == 1

    def end(self):
        """I4, I5: left to itself every release ends, and the record says who has the traffic."""
        self.discord_away, self.cluster.healthy = False, True
        for _ in range(30):
            self.now += timedelta(minutes=2)
            self.pods_start()
            self.cluster.act()
            self.loop()
        assert not self.release.phase.open
        if not self.meddled:
            live = {Phase.DONE: Traffic.CANDIDATE, Phase.REVERTED: Traffic.PREVIOUS}
            assert self.cluster.traffic is live.get(self.release.phase, self.cluster.traffic)


@pytest.fixture(scope="module")
def seen():
    counted = Counter()
    for seed in range(WALKS):
        world = World(seed, counted)
        try:
            world.live()
            world.end()
        except AssertionError as failed:
            failed.add_note(f"in walk {seed}, at {world.release}")
            raise
    return counted


def test_whatever_happens_traffic_moves_only_where_it_may_and_every_release_ends(seen):
    assert seen[Phase.BAKING, Phase.DONE] > WALKS / 20


def test_the_walks_come_past_everything(seen):
    moves = {key for key in seen if isinstance(key, tuple)}
    assert moves >= MUST_REACH
    assert seen["kept"] > 10
    assert moves - MUST_REACH == set()
    assert {key for key in seen if isinstance(key, Order)} == set(Order)
    assert {key for key in seen if isinstance(key, Cause)} >= set(Cause) - {Cause.STUCK}
    assert seen["late switch"]
    assert seen["switch by the controller"]
