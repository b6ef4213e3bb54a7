"""What is built in about the watch after a switch: containers that start again and again send the traffic home."""

import pytest
from installed import selectors

import mochi
from bot.release.guards import RESTARTS
from bot.release.record import Cause, Phase


@pytest.fixture
def backend(either):
    return either


def counted(moment):
    return {container.partition("/")[0]: count for container, count in moment.seen.candidate.restarts.items()}


async def test_what_crashes_again_and_again_goes_home(bot, target, installed, backend):
    """One restart more or less is life. Counted is what happens after the switch, on both backends alike."""
    async with installed.record_service() as service:
        await bot.deploy("green")
        await bot.reaches(Phase.READY)
        one, other = sorted(await installed.serving(2, mochi.PREVIEW))
        await target.restart(one, RESTARTS)
        await bot.sees(lambda moment: moment.seen and counted(moment) == {one: RESTARTS})
        await bot.approve()
        live = await bot.reaches(Phase.BAKING)
        assert len(live.restarts_before) == 1
        await target.restart(other, RESTARTS - 1)
        await bot.sees(lambda moment: moment.seen and counted(moment) == {one: RESTARTS, other: RESTARTS - 1})
        assert (await bot.store.newest("mochi")).phase is Phase.BAKING
        await target.restart(one, 2 * RESTARTS)
        release = await bot.reaches(Phase.REVERTED)
        assert backend.went_there_and_back(selectors(await service.so_far()), release.label)
    assert release.cause is Cause.GUARD
    assert release.reason.startswith(f"container {one}/")
