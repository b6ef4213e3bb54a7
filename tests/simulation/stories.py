"""What people want, and what they do for it as long as they do not have it, whatever becomes of the bot meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.release.errors import Refused
from bot.release.record import Person, Phase
from bot.release.snapshot import Verdict
from bot.release.verbs import Verb
from simulation.cluster import REPOSITORY, digest
from simulation.gates import (
    ANSWERS,
    ERRORS,
    FAILS,
    HANGS,
    HOLDS_ON,
    LOAD,
    NOTHING,
    PASSES,
    RATE,
    SMOKE,
    Gated,
    Guarded,
)
from simulation.guild import ANN, BO, KIM, LEO, SAM

TRIES = 8


@dataclass(frozen=True)
class Wish:
    """`when` says whether it is still wanted and makes sense; `do` tries it, and may come to nothing."""

    name: str
    when: Callable[[Any], bool]
    do: Callable[[Any], Any]
    needs_bot: bool = True
    patience: float = 0.0
    """Seconds, at most, from when it makes sense until somebody does it."""
    tries: int = TRIES

    def wants(self, world: Any, at_once: bool) -> bool:
        due = self.due(world)
        return due is not None and due <= world.time.seconds

    def due(self, world: Any) -> float | None:
        if self.needs_bot and (world.bot is None or self.name in world.bot.busy):
            return None
        tries = world.memory.get(("tries", self.name), 0)
        if tries >= self.tries or not self.when(world):
            return None
        key = ("due", self.name, tries)
        if key not in world.memory:
            world.memory[key] = world.time.seconds + self.patience * world.chances.random() + 3.0 * tries
        return world.memory[key]

    def act(self, world: Any) -> None:
        key = ("tries", self.name)
        world.memory[key] = world.memory.get(key, 0) + 1
        self.do(world)


# What one can do


def deploys(
    who: Person,
    tag: str,
    when: Callable[[Any], bool],
    *,
    replace: bool = False,
    patience: float = 0,
    tries: int = TRIES,
) -> Wish:
    name = f"{who.name} deploys {tag}"

    def do(world: Any) -> None:
        world.bot.begin(name, world.bot.desk.deploy(world.app, tag, who, replace=replace))

    return Wish(name, when, do, patience=patience, tries=tries)


def votes(
    who: Person,
    number: int,
    when: Callable[[Any], bool],
    *,
    approve: bool = True,
    patience: float = 5,
    tries: int = TRIES,
) -> Wish:
    """Whoever may not is told so, and leaves it."""
    name = f"{who.name} {'approves' if approve else 'rejects'} #{number}"

    def able(world: Any) -> bool:
        message = _card(world, number)
        return message is not None and (message, who.id, approve) not in world.guild.reactions and when(world)

    def do(world: Any) -> None:
        react(world, _card(world, number), who.id, approve)

    return Wish(name, able, do, needs_bot=False, patience=patience, tries=tries)


def presses(
    who: Person,
    number: int,
    verb: Verb,
    when: Callable[[Any], bool],
    *,
    patience: float = 0,
    reason: str = "",
    tries: int = TRIES,
) -> Wish:
    name = f"{who.name} presses {verb} on #{number}"

    async def ask(world: Any) -> None:
        before = world.newest
        try:
            await world.bot.desk.ask(world.app.name, number, verb, world.guild.members[who.id], reason)
        except Refused as refused:
            if verb is Verb.ROLL_BACK and before is world.newest and before.number == number:
                world.oracles.was_refused(before, str(refused))
            raise

    def do(world: Any) -> None:
        world.bot.begin(name, ask(world))

    return Wish(name, when, do, patience=patience, tries=tries)


def repeats(who: Person, gate: str, when: Callable[[Any], bool], *, patience: float = 15, tries: int = TRIES) -> Wish:
    """A gate of the newest release."""
    name = f"{who.name} repeats gate {gate}"

    def do(world: Any) -> None:
        number, actor = world.newest.number, world.guild.members.get(who.id, who)
        world.bot.begin(name, world.bot.desk.repeat_gate(world.app.name, number, gate, actor))

    return Wish(name, when, do, patience=patience, tries=tries)


def accepts(
    who: Person, gate: str, when: Callable[[Any], bool], *, patience: float = 15, tries: int = TRIES, why: str = "known"
) -> Wish:
    name = f"{who.name} accepts gate {gate}"

    def do(world: Any) -> None:
        newest, actor = world.newest, world.guild.members.get(who.id, who)
        world.oracles.accepts(newest, gate, actor, why)
        world.bot.begin(name, world.bot.desk.accept_gate(world.app.name, newest.number, gate, actor, why))

    return Wish(name, when, do, patience=patience, tries=tries)


def stops(who: Person, gate: str, when: Callable[[Any], bool], *, patience: float = 15, tries: int = TRIES) -> Wish:
    name = f"{who.name} stops gate {gate}"

    def do(world: Any) -> None:
        number, actor = world.newest.number, world.guild.members.get(who.id, who)
        world.bot.begin(name, world.bot.desk.stop_gate(world.app.name, number, gate, actor))

    return Wish(name, when, do, patience=patience, tries=tries)


def keeps(who: Person, guard: str, when: Callable[[Any], bool], *, patience: float = 15, tries: int = TRIES) -> Wish:
    """What is live, in spite of a guard."""
    name = f"{who.name} keeps it in spite of guard {guard}"

    def do(world: Any) -> None:
        newest, actor = world.newest, world.guild.members.get(who.id, who)
        world.oracles.keeps(newest, guard, actor)
        world.bot.begin(name, world.bot.desk.keep(world.app.name, newest.number, guard, actor))

    return Wish(name, when, do, patience=patience, tries=tries)


def react(world: Any, message: int, person: int, approve: bool) -> None:
    world.guild.reactions.add((message, person, approve))
    world.oracles.reacted(message, person, approve, there=True)
    bot, voter = world.bot, world.guild.members.get(person)
    if bot is not None and voter is not None and not world.discord_is_away:
        bot.loop.create_task(bot.session.reacted(message, voter, approve))


def unreact(world: Any, message: int, person: int, approve: bool) -> None:
    world.guild.reactions.discard((message, person, approve))
    world.oracles.reacted(message, person, approve, there=False)
    bot = world.bot
    if bot is not None and not world.discord_is_away:
        bot.loop.create_task(bot.session.unreacted(message, person, approve))


def _card(world: Any, number: int) -> int | None:
    for release in world.oracles.records.values():
        if release.number == number:
            return world.guild.cards.get(release.label)
    return None


# When it makes sense


def nothing_yet(world: Any) -> bool:
    return world.newest is None


def is_in(number: int, *phases: Phase) -> Callable[[Any], bool]:
    def check(world: Any) -> bool:
        newest = world.newest
        return newest is not None and newest.number == number and newest.phase in phases

    return check


def is_stopped_by(gate: str) -> Callable[[Any], bool]:
    """The newest release, whichever it is: the gate is over, and did not pass."""

    def check(world: Any) -> bool:
        newest = world.newest
        if newest is None or newest.phase is not Phase.READY:
            return False
        over = {each.gate for each in newest.gates if each.verdict in {Verdict.FAILED, Verdict.NONE}}
        return gate in over and not any(each.gate == gate and each.accepted_by for each in newest.gates)

    return check


def is_asked(guard: str) -> Callable[[Any], bool]:
    """Whether what is live stays so in spite of the guard."""

    def check(world: Any) -> bool:
        newest = world.newest
        waits = newest is not None and newest.phase is Phase.BAKING
        return waits and any(each.guard == guard and not each.kept_by for each in newest.alarms)

    return check


def goes_back(world: Any) -> bool:
    """Whichever release it is."""
    return world.newest is not None and world.newest.phase is Phase.REVERTING


WAITS = is_in(1, Phase.READY)


def promoted() -> list[Wish]:
    return [deploys(ANN, "green", nothing_yet), votes(KIM, 1, WAITS), votes(LEO, 1, WAITS)]


def rejected() -> list[Wish]:
    return [
        deploys(ANN, "green", nothing_yet),
        votes(KIM, 1, WAITS),
        votes(LEO, 1, WAITS, approve=False, patience=30),
    ]


def expired() -> list[Wish]:
    """Who asked for the release has every role, and may not approve it all the same."""
    return [deploys(BO, "green", nothing_yet), votes(KIM, 1, WAITS), votes(BO, 1, WAITS, patience=60, tries=2)]


def rolled_back() -> list[Wish]:
    live = is_in(1, Phase.PROMOTING, Phase.BAKING, Phase.DONE)

    def went_live(world: Any) -> bool:
        return live(world) and world.newest.switch_sent_at is not None

    return [*promoted(), presses(SAM, 1, Verb.ROLL_BACK, went_live, patience=400, reason="too slow")]


def superseded() -> list[Wish]:
    first = is_in(1, Phase.STAGING, Phase.READY)

    def replaced(world: Any) -> bool:
        return world.newest is not None and world.newest.number > 1

    return [
        deploys(ANN, "green", nothing_yet),
        votes(KIM, 1, WAITS),
        deploys(ANN, "purple", first, replace=True, patience=60),
        # The old card is still there, and somebody votes on it and presses its buttons.
        votes(LEO, 1, replaced, patience=20),
        presses(LEO, 1, Verb.REJECT, replaced, patience=90, tries=2),
        presses(SAM, 1, Verb.ROLL_BACK, replaced, patience=900, tries=2),
        votes(KIM, 2, is_in(2, Phase.READY)),
        votes(LEO, 2, is_in(2, Phase.READY), patience=40),
    ]


def begun_outside() -> list[Wish]:
    """By a pipeline: nobody asked the bot for anything."""
    return [changes("a pipeline sets green", nothing_yet, set_image), votes(KIM, 1, WAITS), votes(LEO, 1, WAITS)]


def committed() -> list[Wish]:
    """Git has the image, and Argo CD brings it: both ways."""
    live = is_in(1, Phase.BAKING, Phase.DONE)
    return [
        changes("green is committed", nothing_yet, lambda world: commit(world, "green")),
        votes(KIM, 1, WAITS),
        votes(LEO, 1, WAITS),
        presses(SAM, 1, Verb.ROLL_BACK, live, patience=25, reason="too slow"),
        changes("the commit is reverted", goes_back, lambda world: commit(world, "blue"), patience=300),
    ]


def changes(name: str, when: Callable[[Any], bool], do: Callable[[Any], None], *, patience: float = 5) -> Wish:
    """In the cluster, and once."""
    return Wish(name, when, do, needs_bot=False, patience=patience, tries=1)


def set_image(world: Any) -> None:
    world.cluster.set_image(f"{REPOSITORY}@{digest('green')}", "pipeline")


def commit(world: Any, tag: str) -> None:
    world.cluster.keep_in_git(f"{REPOSITORY}@{digest(tag)}")


def gated() -> list[Wish]:
    """One gate is repeated until it passes, one is accepted; a third never says anything, and only warns."""
    smoke, load = SMOKE.name, LOAD.name
    return [*promoted(), repeats(ANN, smoke, is_stopped_by(smoke)), accepts(KIM, load, is_stopped_by(load))]


def held_up() -> list[Wish]:
    """Everybody has approved, and the gates hang: somebody takes it back."""
    return [*promoted(), presses(SAM, 1, Verb.ROLL_BACK, WAITS, patience=100, reason="it takes too long")]


def kept() -> list[Wish]:
    return [*promoted(), keeps(KIM, RATE.name, is_asked(RATE.name), patience=60)]


@dataclass(frozen=True)
class Story:
    name: str
    wishes: Callable[[], list[Wish]]
    ends: Phase
    """How it ends when nobody meddles, however often the bot crashes."""
    number: int = 1
    switches: bool = True
    outside: bool = False
    """The bot is asked for nothing: that needs a backend where others may begin."""
    gates: Gated = ()
    guards: Guarded = ()


def told(backend: str) -> list[Story]:
    """The stories of a backend."""
    return [story for story in STORIES.values() if backend == "argo" or not story.outside]


GATED = (
    (SMOKE, (FAILS, NOTHING, PASSES)),
    (LOAD, (HANGS,)),
    (ERRORS, (HANGS,)),
)
HELD_UP = ((SMOKE, (HANGS,)), (LOAD, (HOLDS_ON,)))

STORIES = {
    story.name: story
    for story in (
        Story("promoted", promoted, Phase.DONE),
        Story("rejected", rejected, Phase.REVERTED, switches=False),
        Story("expired", expired, Phase.REVERTED, switches=False),
        Story("rolled back", rolled_back, Phase.REVERTED),
        Story("superseded", superseded, Phase.DONE, 2),
        Story("gated", gated, Phase.DONE, gates=GATED),
        Story("held up", held_up, Phase.REVERTED, switches=False, gates=HELD_UP),
        Story("guarded", promoted, Phase.REVERTED, guards=((ANSWERS, (PASSES, FAILS)),)),
        Story("kept", kept, Phase.DONE, guards=((RATE, (NOTHING, FAILS)),)),
        Story("begun outside", begun_outside, Phase.DONE, outside=True),
        Story("committed", committed, Phase.REVERTED, outside=True),
    )
}
