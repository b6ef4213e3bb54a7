"""I12 and I14: a release costs few writes, an idle app nothing, and every write is in the journal with its outcome."""

import sqlite3
from contextlib import closing

import pytest
from story import GREEN, cached, replicas, running

from bot.clusters.errors import Away, Forbidden, Stale
from bot.clusters.reading import selector
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import ANN, KIM, LEO, NAMESPACE, SAM

OUTCOMES = {"written", "refused", "unknown", "failed"}
MOST_WRITES = 12


async def live(world):
    await world.release_live()
    await world.advance(minutes=6)
    await world.advance(hours=1)


async def back(world):
    await world.release_live()
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    await world.run()
    await world.advance(minutes=1)


async def cold_back(world):
    await live(world)
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    await world.run()
    await world.advance(minutes=1)


async def expired(world):
    await world.deploy()
    await world.advance(minutes=31)
    await world.advance(minutes=1)


async def failed(world):
    await world.deploy("crash")
    await world.advance(minutes=11)
    await world.advance(minutes=1)


STORIES = [live, back, cold_back, expired, failed]


async def journal(world):
    return [event for event in await world.store.events(await world.newest()) if event.kind in {"intent", *OUTCOMES}]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_i12_i14_few_writes_each_with_one_intent_before_and_one_outcome_after(world, story):
    await story(world)
    writes, lines = world.api.writes, await journal(world)
    assert 0 < len(writes) <= MOST_WRITES
    assert [line.kind for line in lines] == ["intent", "written"] * len(writes)
    for sent, intent, outcome in zip(writes, lines[::2], lines[1::2], strict=True):
        assert (intent.detail["kind"], intent.detail["name"]) == (sent.kind, sent.name)
        assert intent.detail["patch"] == list(sent.patch)
        assert "@sha256:" in intent.detail["image"]
        assert intent.actor == outcome.actor != ""
    people = {"live": {"ann", "kim, leo"}, "back": {"ann", "kim, leo", "sam"}, "cold_back": {"ann", "kim, leo", "sam"}}
    assert {line.actor for line in lines} >= people.get(story.__name__, {"ann"})


@pytest.mark.parametrize("story", [live, expired], ids=lambda story: story.__name__)
async def test_i12_an_app_with_nothing_left_to_do_causes_no_calls(world, story):
    """Whatever else happens in its namespace, and however long it takes."""
    await story(world)
    await world.run()
    before = list(world.api.calls)
    async with running(world) as rest:
        await rest()
        seen = len(world.api.calls) - len(before)
        for _ in range(5):
            world.controller.changed("", NAMESPACE)
            assert not world.controller._woken
        assert world.controller._due == {}
    assert seen < 20  # one look after a start


async def test_i12_an_app_that_was_never_released_causes_no_calls(world):
    async with running(world) as rest:
        await rest()
        world.controller.changed("", NAMESPACE)
        assert not world.controller._woken
    assert world.api.calls == []


async def test_i12_a_quorum_that_is_awaited_costs_one_look_a_minute(world):
    await world.deploy()
    world.api.calls.clear()
    until = await world.controller.attempt(world.app)
    assert (until - world.clock.now()).total_seconds() == 60
    assert len(world.api.calls) < 12


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Stale("changed"), "refused"),
        (Away("no answer"), "unknown"),
        (Forbidden("not allowed"), "failed"),
        (RuntimeError("our bug"), "unknown"),
    ],
)
async def test_i14_a_write_that_fails_has_one_intent_and_one_outcome_too(world, error, kind):
    met = []

    def fault(call: str) -> None:
        if call.startswith("patch") and not met:
            met.append(call)
            raise error

    world.api.fault = fault
    async with running(world) as rest:
        await world.desk.deploy(world.app, "green", ANN)
        await rest()
        await rest()
    lines = [line.kind for line in await journal(world)]
    assert lines[:4] == ["intent", kind, "intent", "written"]
    assert lines == [lines[0], kind] + ["intent", "written"] * len(world.api.writes)


async def test_i14_the_intent_is_stored_before_the_write_is_sent(world):
    """With the very patch, so that whoever finds an intent without an outcome can see whether it was done."""
    await world.deploy()
    await world.approve(KIM)
    found = []

    def fault(call: str) -> None:
        if call.startswith("patch"):
            with closing(sqlite3.connect(world.database)) as raw:
                found.append(raw.execute("SELECT kind, detail FROM events ORDER BY id DESC LIMIT 1").fetchone())
                found.append(raw.execute("SELECT phase FROM releases").fetchone())

    world.api.fault = fault
    await world.approve(LEO)
    assert found[0][0] == "intent"
    assert '"order": "promote"' in found[0][1]
    assert found[1] == ("promoting",)


async def test_i12_what_a_replaced_release_left_is_cleared_though_the_new_one_never_took_its_place(world):
    """Found by the simulation: the pods of the replaced release stayed for good, and with them the narrowed Service
    and a look every minute."""
    await world.deploy()
    await world.desk.deploy(world.app, "purple", ANN, replace=True)
    await world.desk.ask(world.app.name, 2, Verb.ABANDON, ANN)
    release = await world.run()

    assert (release.number, release.phase, release.retired) == (2, Phase.REVERTED, True)
    assert (replicas(world, GREEN), selector(world.service)) == (0, {"app": "mochi"})


async def test_events_that_keep_coming_do_not_keep_a_fresh_look_away(world):
    """In a busy namespace something is heard more often than once a minute, and a watch may lie all the same."""
    await world.release_live()
    await cached(world)
    await world.controller.attempt(world.app)
    before = world.api.calls.count("get Service/mochiapp")
    for _ in range(7):
        world.cluster.advance(10)
        await world.controller.attempt(world.app)
    assert world.api.calls.count("get Service/mochiapp") == before + 1
