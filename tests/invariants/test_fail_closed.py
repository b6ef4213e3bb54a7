"""I5, I9, I15: whatever fails or lies on the way, no traffic moves; the loop survives it and goes on afterwards."""

import json
import sqlite3
from dataclasses import replace
from itertools import product

import pytest
from sqlalchemy.exc import OperationalError
from story import ACTIVE, BLUE, GREEN, PREVIEW, agree, running, switches_to

from bot.clusters.errors import Away, Forbidden, Unfit
from bot.ports import Unreachable
from bot.release.record import Cause, Phase
from bot.release.verbs import Verb
from world import ANN, KIM, LEO, NAMESPACE, SAM, World, example

READS = [
    f"get Service/{ACTIVE}",
    f"get Service/{PREVIEW}",
    f"get Deployment/{BLUE}",
    f"get Deployment/{GREEN}",
    "list EndpointSlice",
    "list Pod",
]
ERRORS = [Away("no answer"), Forbidden("not allowed"), RuntimeError("our bug"), TimeoutError(), KeyError("spec")]


async def waiting_for_leo(world):
    await world.deploy()
    return await world.approve(KIM)


@pytest.mark.parametrize("call", READS)
async def test_i9_an_error_in_any_read_blocks_the_switch_and_not_the_loop(world, call):
    release = await waiting_for_leo(world)
    await world.desk.vote(release, LEO, approve=True)
    async with running(world) as rest:
        for error in ERRORS:
            met = []

            def fault(called: str, error=error, met=met) -> None:
                if called == call:
                    met.append(called)
                    raise error

            world.api.fault = fault
            await rest()
            assert met
            assert switches_to(world, release) == [], error
        world.api.fault = None
        await rest()
    assert len(switches_to(world, release)) == 1


async def test_i9_a_slot_that_is_not_found_is_not_switched_to(world):
    """404 is an answer and no error of ours: somebody deleted the candidate."""
    release = await waiting_for_leo(world)
    world.cluster.objects.delete("deployments", NAMESPACE, GREEN)
    release = await world.approve(LEO)
    assert (release.phase, switches_to(world, release), world.serving()) == (Phase.ABANDONED, [], {"blue"})


async def test_i9_an_error_in_reading_the_roles_blocks_the_switch_and_not_the_loop(world):
    release = await waiting_for_leo(world)
    await world.desk.vote(release, LEO, approve=True)
    people = world.crowd.people
    async with running(world) as rest:
        for error in (Unreachable(), TimeoutError(), RuntimeError("our bug"), KeyError(1)):

            async def fails(ids, error=error):
                raise error

            world.crowd.people = fails
            await rest()
            assert switches_to(world, release) == []
        world.crowd.people = people
        await rest()
    assert len(switches_to(world, release)) == 1


@pytest.mark.parametrize("call", ["polled", "update"])
async def test_i9_a_store_that_fails_blocks_the_switch_and_not_the_loop(world, call):
    """Disk full, or locked by somebody: what cannot be recorded is not done."""
    release = await waiting_for_leo(world)
    await world.desk.vote(release, LEO, approve=True)
    works = getattr(world.store, call)

    async def fails(*_):
        raise OperationalError("the statement", {}, sqlite3.OperationalError("disk is full"))

    async with running(world) as rest:
        setattr(world.store, call, fails)
        await rest()
        assert switches_to(world, release) == []
        setattr(world.store, call, works)
        await rest()
    assert len(switches_to(world, release)) == 1


async def test_i9_an_outcome_that_cannot_be_recorded_does_not_repeat_the_switch(world):
    release = await waiting_for_leo(world)
    note, failed = world.store.note, []

    async def fails_once(*args):
        if not failed:
            failed.append(args)
            raise OperationalError("the statement", {}, sqlite3.OperationalError("disk is full"))
        await note(*args)

    async with running(world) as rest:
        world.store.note = fails_once
        await world.desk.vote(release, LEO, approve=True)
        await rest()
        await rest()
    assert failed
    assert len(switches_to(world, release)) == 1
    assert await world.phase() is Phase.BAKING


PARTS = {
    "Service": ("metadata", "spec"),
    "Deployment": ("metadata", "spec", "status"),
    "Pod": ("metadata", "status"),
    "EndpointSlice": ("metadata", "endpoints"),
}
MISSING = object()


@pytest.mark.parametrize("kind", PARTS)
async def test_i9_an_answer_with_a_part_gone_neither_switches_nor_stops_the_loop(tmp_path, kind):
    """A broken proxy or a strange API server: each part that the switch rests upon null, empty or missing."""
    world = None
    for part, value in product(PARTS[kind], (None, {}, MISSING)):
        if world is None:
            world = World(tmp_path / f"{part}-{id(value)}.db", example())
            await world.start(replicas=1)
            release = await waiting_for_leo(world)
            await world.desk.vote(release, LEO, approve=True)
        whole = world.api.get, world.api.list
        world.api.get, world.api.list = broken(world.api, kind, part, value)
        async with running(world) as rest:
            await rest()
            assert switches_to(world, release) == [], (part, value)
            if await world.phase() is Phase.ABANDONED:  # it believed that somebody had changed the objects
                await world.store.close()
                world = None
            else:
                world.api.get, world.api.list = whole
    if world:
        assert len(switches_to(world, await world.run())) == 1
        await world.store.close()


def broken(api, kind: str, part: str, value):
    """`get` and `list` of the API, with a part of each object of this kind replaced."""
    get, listed = api.get, api.list

    def without(item):
        rest = {key: each for key, each in item.items() if key != part}
        return rest if value is MISSING else {**rest, part: value}

    async def broken_get(asked, namespace, name):
        item = await get(asked, namespace, name)
        return without(item) if asked.name == kind else item

    async def broken_list(asked, namespace, *, labels=""):
        listing = await listed(asked, namespace, labels=labels)
        return replace(listing, items=[without(item) for item in listing.items]) if asked.name == kind else listing

    return broken_get, broken_list


async def test_i9_a_pod_that_runs_another_image_than_was_resolved_blocks_the_switch(world):
    """The tag was moved, or the node was told something else: an unknown digest is not what was approved."""
    release = await waiting_for_leo(world)
    other = world.shelf.tags["purple"]
    stored = await world.store.update(replace(release, digests=frozenset({other})))
    release = await world.approve(LEO)
    assert (release.phase, switches_to(world, stored)) == (Phase.READY, [])
    assert "runs an image that is not mochi:green" in world.controller.moments["mochi"].reason


async def test_i15_cards_that_fail_neither_stop_a_release_nor_move_it(world):
    class Broken:
        asked = 0

        def changed(self, release):
            self.asked += 1
            raise RuntimeError("the card cannot be drawn")

    world.cards = Broken()
    await world.restart()
    async with running(world) as rest:
        release = await world.desk.deploy(world.app, "green", ANN)
        await rest()
        await rest()
        for person in (KIM, LEO):
            await world.desk.vote(release, person, approve=True)
        await rest()
        assert len(switches_to(world, release)) == 1
        await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
        await rest()
        world.cluster.settle()
    assert world.serving() == {"blue"}
    assert world.cards.asked > 3


def corrupted(world, phase: Phase) -> None:
    """Somebody restored an old backup, or edited the file."""
    with sqlite3.connect(world.database) as raw:
        record = json.loads(raw.execute("SELECT record FROM releases").fetchone()[0]) | {"phase": phase.value}
        values = (json.dumps(record), phase.value, phase.open)
        raw.execute("UPDATE releases SET record = ?, phase = ?, open = ?", values)
    raw.close()


@pytest.mark.parametrize("phase", [Phase.STAGING, Phase.READY, Phase.PROMOTING, Phase.REVERTING])
async def test_i5_of_a_live_release_the_cluster_knows_better_than_a_wrong_record(world, phase):
    release = await world.release_live()
    corrupted(world, phase)
    await world.restart()
    release = await world.run()
    kinds = [event.kind for event in await world.store.events(release)]
    match phase:
        case Phase.PROMOTING:
            assert (release.phase, world.serving()) == (Phase.BAKING, {"green"})
            assert kinds.count("phase:baking") == 2
        case Phase.REVERTING:
            assert (release.phase, world.serving()) == (Phase.REVERTED, {"blue"})
            assert agree(world, release)
        case _:
            assert (release.phase, release.cause, world.serving()) == (Phase.ABANDONED, Cause.FOREIGN, {"green"})
            assert "phase:abandoned" in kinds
    assert len(switches_to(world, release)) == 1


@pytest.mark.parametrize("phase", [Phase.PROMOTING, Phase.BAKING, Phase.REVERTING])
async def test_i5_of_a_release_without_traffic_the_cluster_knows_better_than_a_wrong_record(world, phase):
    """A record that says PROMOTING is no approval: there are no votes."""
    release = await world.deploy()
    corrupted(world, phase)
    await world.restart()
    release = await world.run()
    expected = {Phase.PROMOTING: Phase.READY, Phase.BAKING: Phase.ABANDONED, Phase.REVERTING: Phase.REVERTED}[phase]
    assert (release.phase, world.serving(), switches_to(world, release)) == (expected, {"blue"}, [])
    kinds = [event.kind for event in await world.store.events(release)]
    assert kinds.count(f"phase:{expected.value}") == (2 if expected is Phase.READY else 1)


async def test_i5_a_service_that_somebody_moved_is_left_alone_and_the_card_says_who(world):
    await world.release_live()
    selector = {"greenlight.dev/release": None, "color": "blue"}
    world.cluster.objects.patch("services", NAMESPACE, ACTIVE, {"spec": {"selector": selector}}, manager="kubectl-edit")
    release = await world.run()
    assert (release.phase, release.cause) == (Phase.ABANDONED, Cause.FOREIGN)
    assert "kubectl-edit" in release.reason
    writes = len(world.api.writes)
    await world.advance(hours=2)
    assert len(world.api.writes) == writes


async def test_i9_the_preview_that_is_missing_stops_a_release_with_a_sentence(world):
    world.cluster.objects.delete("services", NAMESPACE, PREVIEW)
    with pytest.raises(Unfit, match=f"^Service {PREVIEW} is not in namespace {NAMESPACE}: create it there"):
        await world.deploy()
    assert world.api.writes == []
