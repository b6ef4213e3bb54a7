"""The process dies after every single effect of a story, is started again, and people go on."""

from itertools import count

import pytest
from story import (
    CLOSED,
    Onlooker,
    Tripwire,
    agree,
    approve_once,
    deploy_once,
    persist,
    roll_back_once,
    switches_to,
)

from bot.release.record import Phase
from world import KIM, LEO, World, example

PARTS = 2
"""Each story's points of death are shared out, so that a run on several cores can take them side by side."""


async def goes_live(world: World, trip: Tripwire, onlooker: Onlooker) -> Phase:
    await persist(world, trip, lambda: deploy_once(world))
    await persist(world, trip, lambda: approve_once(world, KIM))
    onlooker.allowed.add("green")
    await persist(world, trip, lambda: approve_once(world, LEO))
    await persist(world, trip, lambda: world.advance(minutes=6))
    await persist(world, trip, lambda: world.advance(hours=1))
    return Phase.DONE


async def goes_back(world: World, trip: Tripwire, onlooker: Onlooker) -> Phase:
    onlooker.allowed.add("green")
    trip.armed = False
    await world.release_live()
    trip.armed = True
    await persist(world, trip, lambda: roll_back_once(world))
    await persist(world, trip, lambda: world.advance(minutes=1))
    return Phase.REVERTED


async def expires(world: World, trip: Tripwire, onlooker: Onlooker) -> Phase:
    trip.armed = False
    await world.deploy()
    trip.armed = True
    await persist(world, trip, lambda: world.advance(minutes=31))
    await persist(world, trip, lambda: world.advance(minutes=1))
    return Phase.REVERTED


STORIES = {goes_live: 18, goes_back: 6, expires: 6}
"""Each with the least number of points that it has: a story that is over sooner proves nothing."""


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_a_crash_at_any_effect_still_ends_well(tmp_path, story, part):
    """I2: one approval, one switch. I3: nothing else is ever served. I4: it ends, and store and cluster agree."""
    died_at = []
    for at in count(part, PARTS):
        world = World(tmp_path / f"{at}.db", example())
        await world.start(replicas=1)
        trip, onlooker = Tripwire(world, at), Onlooker(world, "blue")
        expected = await story(world, trip, onlooker)
        release = await world.newest()
        intents = [event.detail for event in await world.store.events(release) if event.kind == "intent"]
        await world.store.close()
        if not trip.sprung:
            break
        point = f"{trip.points[at]} ({at})"
        died_at.append(at)
        assert release.number == 1, point
        assert release.phase in CLOSED, point
        assert release.phase is expected, point
        assert agree(world, release), point
        assert release.retired, point
        assert len(switches_to(world, release)) == (0 if story is expires else 1), point
        assert onlooker.strangers == [], point
        for sent in world.api.writes:
            assert [intent for intent in intents if intent["name"] == sent.name and intent["patch"] == list(sent.patch)]
    assert len(died_at) >= STORIES[story] // PARTS
