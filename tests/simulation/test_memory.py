"""The store without SQL against the real one on SQLite: the same calls, the same answers and the same refusals."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.release.approvals import Vote
from bot.release.record import Cause, Phase, Release, Version
from bot.store import Card, Event, Outdated, Store, Taken
from simulation.database import Database, Engine
from simulation.guild import ANN, KIM, LEO
from simulation.memory import Doors, MemoryStore, Shelf
from simulation.objects import EPOCH

DATABASE = Database()
IMAGE = "registry.example.com/mochi@sha256:" + "a" * 64
PHASES = st.sampled_from([Phase.READY, Phase.PROMOTING, Phase.DONE, Phase.REVERTED])
NUMBERS, AGES = st.integers(1, 3), st.integers(0, 2)
PEOPLE = st.sampled_from([KIM, LEO])
EVENTS = st.lists(st.builds(Event, st.sampled_from(["vote", "intent"]), st.sampled_from(["", "x"])), max_size=2)
CALLS = st.one_of(
    st.tuples(st.just("create"), st.none() | st.tuples(NUMBERS, AGES, PHASES), EVENTS),
    st.tuples(st.just("update"), NUMBERS, AGES, PHASES, EVENTS),
    st.tuples(st.just("cast"), NUMBERS, AGES, PEOPLE, st.booleans(), EVENTS),
    st.tuples(st.just("withdraw"), NUMBERS, AGES, PEOPLE, st.booleans(), EVENTS),
    st.tuples(st.just("recount"), NUMBERS, AGES, st.lists(st.tuples(PEOPLE, st.booleans()), max_size=3), EVENTS),
    st.tuples(st.just("note"), NUMBERS, AGES, EVENTS),
    st.tuples(st.just("save_card"), NUMBERS, st.integers(1, 9)),
)
"""A record is named by its number and by how many versions old it is."""


def made(number: int) -> Release:
    return Release(
        app="mochi",
        number=number,
        label=f"mochi-{number}",
        image=IMAGE,
        asked="mochi:green",
        digests=frozenset({IMAGE.partition("@")[2]}),
        author=ANN,
        slot="green",
        selector={"app": "mochi"},
        previous=Version(IMAGE, "blue", {"app": "mochi"}),
        created_at=EPOCH + timedelta(hours=number),
        since=EPOCH,
    )


async def done(store: Store, known: dict[int, list[Release]], what: str, *rest):
    """One call; what it answers or how it is refused. `known` are all versions of each record that were answered."""

    def old(number: int, age: int) -> Release:
        versions = known.get(number) or [made(number)]
        return versions[max(0, len(versions) - 1 - age)]

    *about, events = rest
    if what != "create" and not known.get(about[0]):
        return None  # there is no such release, and nobody who could ask for it
    match what:
        case "create":
            ended = about[0] and replace(old(*about[0][:2]), phase=about[0][2], cause=Cause.REPLACED)
            answer = await store.create("mochi", made, *events, replacing=ended)
        case "update":
            live = EPOCH if about[2] is Phase.DONE else None
            answer = await store.update(replace(old(*about[:2]), phase=about[2], live_at=live), *events)
        case "cast":
            answer = await store.cast(old(*about[:2]), Vote(*about[2:]), *events)
        case "withdraw":
            answer = await store.withdraw(old(*about[:2]), about[2].id, *events, approve=about[3])
        case "recount":
            answer = await store.recount(old(*about[:2]), [Vote(*each) for each in about[2]], *events)
        case "note":
            answer = await store.note(old(*about), *events)
        case _:
            answer = await store.save_card(Card(f"mochi-{about[0]}", 500, 10 * about[0] + events))
    if isinstance(answer, Release) and answer not in known.setdefault(answer.number, []):
        known[answer.number].append(answer)
    return answer


async def answered(store: Store, known: dict[int, list[Release]], call):
    try:
        return await done(store, known, *call)
    except Taken as taken:
        return Taken, taken.open
    except Outdated:
        return Outdated


async def told(store: Store, known: dict[int, list[Release]]):
    """All that the readers answer."""
    readers = [
        store.newest("mochi"),
        store.newest("other"),
        store.current(),
        store.history("mochi", 1, author=ANN.id, since=EPOCH + timedelta(hours=2)),
        store.history("mochi", 7),
        store.last_live("mochi", {IMAGE.partition("@")[2]}),
        store.last_live("mochi", ()),
        *(store.shown_at(10 * number + each) for number in range(1, 4) for each in (1, 5)),
        *(store.shown_at(11, channel) for channel in (500, 501)),
    ]
    for number in range(1, 4):
        release = made(number)
        readers += [store.release("mochi", number), store.labelled(release.label), store.card(release)]
        readers += [store.events(release), store.events(release, 2)]
    votes = [sorted(await store.votes(made(number)), key=repr) for number in range(1, 4)]
    for app, number in (("mochi", None), ("mochi", 1), ("mochi", 2), ("mochi", 7), ("other", None)):
        polled = await store.polled(app, number)
        votes.append(polled and (polled[0], sorted(polled[1], key=repr)))
    return votes, [await each for each in readers]


@settings(max_examples=50, deadline=None)
@given(st.lists(CALLS, max_size=12))
def test_the_store_without_sql_answers_as_the_real_one(calls):
    async def compare() -> None:
        DATABASE.load(DATABASE.empty)

        async def at_once(_: str) -> None: ...

        parts = at_once, (lambda: False), (lambda: None), (lambda: None)
        sql, memory = Store(Engine(DATABASE, *parts), lambda: EPOCH), MemoryStore(Doors(*parts), Shelf(), lambda: EPOCH)
        known = {}, {}
        for call in calls:
            assert await answered(sql, known[0], call) == await answered(memory, known[1], call), call
            assert await told(sql, known[0]) == await told(memory, known[1]), call

    asyncio.run(compare())
