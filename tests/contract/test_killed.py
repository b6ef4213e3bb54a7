"""SIGKILL at every effect of the main job, before it and after it, with the bot as its own process; then it is started
again, and people go on. The release ends as it should, with one switch at most, and the card tells the truth. On two
Deployments and on a Rollout, by the same tests.
"""

import asyncio
import secrets

import pytest
from backends import BACKENDS
from mortals import Mortals, Nursery, Point
from targets import Sandbox
from team import VETO

AT_ONCE = 3
SAMPLED = 17
"""Of so many points of a story one is tried in every test run; all of them on `make test-cluster`."""


async def goes_back(team):
    """Deployed, approved, live, watched to the end, taken back: every phase that a release can be in."""
    await team.deploy()
    await team.vote("kim", "leo")
    await team.rests("done")
    await team.roll_back()
    await team.rests("reverted")
    team.audit("🟠 mochi #1 (green) was rolled back by @sam", switches=1)


async def is_rejected(team):
    """Whatever was prepared is put back as it was, and nothing is ever switched."""
    await team.deploy()
    await team.vote("kim", emoji=VETO)
    await team.rests("reverted", retired=True)
    team.audit("⚪ mochi #1 (green) was rejected by @kim", switches=0)


STORIES = {
    goes_back: {"store": 15, "cluster": 5, "Discord": 10},
    is_rejected: {"store": 10, "cluster": 3, "Discord": 6},
}
"""With the least number of effects of each kind that a story has: one that is over sooner proves nothing."""


@pytest.fixture(params=BACKENDS, ids=lambda each: each.name)
def backend(request):
    return request.param


@pytest.fixture
async def nursery():
    async with Nursery().open() as made:
        yield made


@pytest.fixture
def lives(nursery, tmp_path, empty_memory, backend):
    """Plays a story, killing the bot at the point; what it met on the way."""

    async def lived(story, point):
        folder = tmp_path / secrets.token_hex(4)
        folder.mkdir()
        target = Sandbox(f"mochi-{secrets.token_hex(4)}")
        team = Mortals(target, folder, nursery, empty_memory.read_bytes(), point, backend)
        async with target.running(), team.at_work():
            await team.install()
            try:
                await team.start_bot()
                await story(team)
            except Exception as error:
                error.add_note(f"killed {point}\n{team.last_lines()}")
                raise
            finally:
                await team.end()
        assert team.deaths <= 1
        return team

    return lived


async def points(lives, story):
    """Walks the story once and counts; the database knows best how often it was written."""
    team = await lives(story, None)
    counts = {**team.met, "store": team.recorded}
    assert all(counts[kind] >= least for kind, least in STORIES[story].items()), counts
    return [
        Point(kind, moment, number)
        for kind, count in counts.items()
        for moment in ("before", "after")
        for number in range(1, count + 1)
    ]


async def all_of(lives, story, chosen):
    limit, missed = asyncio.Semaphore(AT_ONCE), []

    async def one(point):
        async with limit:
            team = await lives(story, point)
        if not team.deaths:
            missed.append(str(point))

    ends = await asyncio.gather(*(one(point) for point in chosen), return_exceptions=True)
    wrong = [end for end in ends if end is not None]
    if wrong:
        raise BaseExceptionGroup(f"{len(wrong)} of {len(chosen)} ended otherwise", wrong)
    # Two changes that come close together may be drawn as one: then a story has an effect less.
    assert len(missed) <= max(1, len(chosen) // 8), missed


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_a_bot_that_is_killed_at_some_effect_ends_what_it_began(lives, story):
    """I2, I3, I4, I14: a sample, spread over the kinds of effects."""
    every = await points(lives, story)
    await all_of(lives, story, every[SAMPLED // 2 :: SAMPLED])


@pytest.mark.cluster
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_a_bot_that_is_killed_at_any_effect_ends_what_it_began(lives, story):
    """I2, I3, I4, I14: at every one."""
    await all_of(lives, story, await points(lives, story))
