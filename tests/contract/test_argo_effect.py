"""No write to a Rollout is believed before its effect shows: what the controller lost is brought to its notice, three
times, and then people are told. On a frozen controller nothing ever has an effect; the sandbox's can lose one write.
"""

import json
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from rollout import NOTE, hashes, is_nudge, is_paused
from targets import frozen

from bot.clusters.argo.patches import WRITTEN
from bot.clusters.argo.reading import template_label
from bot.clusters.reading import annotations
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import KIM, SAM

pytestmark = pytest.mark.argo

SILENT = "Argo Rollouts does not answer, though it was nudged three times"
WITHIN = timedelta(seconds=2)


@pytest.fixture
def backend(on_rollout):
    return on_rollout


def said(moment):
    seen = moment.seen
    return " ".join(filter(None, (moment.reason, moment.trouble, seen.pending, seen.candidate.trouble)))


async def is_told(bot):
    return await bot.sees(lambda moment: moment.seen and SILENT in said(moment))


def to_status(bot):
    return [patch for kind, _, patch in bot.door.sent if kind == "Rollout/status"]


def nudges_of(bot):
    """What their notes said, in order."""
    changes = [each for kind, _, patch in bot.door.sent if kind == "Rollout" and is_nudge(patch) for each in patch]
    return [json.loads(each["value"]) for each in changes if (each["op"], each["path"]) == ("add", NOTE)]


def are_two_seconds_apart(moments):
    return all(later - earlier >= WITHIN for earlier, later in pairwise(moments))


def moments_of(notes):
    return [datetime.fromisoformat(note["at"]) for note in notes]


async def test_a_version_that_is_not_taken_up_is_nudged_for_three_times_and_then_told(bot, rollout, controller):
    async with frozen(controller):
        await bot.deploy("green")
        await is_told(bot)
        notes, written = nudges_of(bot), json.loads(annotations(await rollout.get())[WRITTEN])
        assert [note["times"] for note in notes] == [1, 2, 3]
        assert are_two_seconds_apart(moments_of([written, *notes]))
    await bot.reaches(Phase.READY)


async def test_a_promotion_that_is_not_carried_out_is_nudged_for_three_times_and_never_sent_again(
    bot, installed, controller
):
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    blue = await installed.serving(2)
    async with frozen(controller):
        await bot.approve()
        await is_told(bot)
        notes, sent = nudges_of(bot), (await bot.newest()).switch_sent_at
        assert [note["times"] for note in notes] == [1, 2, 3]
        assert are_two_seconds_apart([sent, *moments_of(notes)])
        assert await installed.serving(2) == blue
    await bot.reaches(Phase.BAKING)
    assert len(to_status(bot)) == 1


async def test_a_template_that_is_written_back_in_vain_keeps_the_release_open(bot, installed, rollout, controller):
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    before = len(bot.door.sent)
    async with frozen(controller):
        await bot.ask(Verb.REJECT, KIM)
        moment = await is_told(bot)
        assert moment.release.phase is Phase.REVERTING
        assert [kind for kind, _, _ in bot.door.sent[before:]] == ["Rollout"] * 4
    await bot.reaches(Phase.REVERTED)
    assert not is_paused(await rollout.get())


async def test_a_rollback_needs_no_controller_for_the_traffic_and_says_that_it_does_not_answer(
    bot, installed, rollout, controller
):
    blue = await installed.serving(2)
    await bot.release("green")
    green_pods = await installed.serving(2)
    async with installed.record_service() as service:
        async with frozen(controller):
            await bot.ask(Verb.ROLL_BACK, SAM)
            assert await installed.serving(2, instead_of=green_pods) == blue
            moment = await is_told(bot)
            assert moment.release.phase is Phase.REVERTING
        await bot.reaches(Phase.REVERTED)
        green, home = hashes(await service.so_far())
    assert green != home == await rollout.live()


only_sandbox = pytest.mark.parametrize("target", ["sandbox"], indirect=True)
LOST = ("version", "promotion", "way back")


@only_sandbox
@pytest.mark.parametrize("what", LOST)
async def test_what_the_controller_lost_needs_one_nudge(bot, sandbox, rollout, what):
    """It looks at the Rollout again and again, and never sees what was written, until it changes once more."""
    steps = {
        "version": (None, lambda: bot.deploy("green"), Phase.READY),
        "promotion": (Phase.READY, bot.approve, Phase.BAKING),
        "way back": (Phase.READY, lambda: bot.ask(Verb.REJECT, KIM), Phase.REVERTED),
    }
    before, act, after = steps[what]
    if before is not None:
        await bot.deploy("green")
        await bot.reaches(before)
    sandbox.cluster.rollouts.lose_next_write(sandbox.namespace, "mochiapp")
    await act()
    await bot.reaches(after)
    assert [note["times"] for note in nudges_of(bot)] == [1]
    assert len(to_status(bot)) == (1 if what == "promotion" else 0)


async def looked_since(bot, moment):
    """Returns when the bot has looked at the app after that moment, and has acted upon it."""
    bot.controller.wake("mochi")
    await bot.sees(lambda each: each.seen and each.seen.read_at > moment)


async def test_a_change_that_others_made_is_nobodys_reason_to_nudge(bot, rollout, controller):
    """An autoscaler's resize, say: ours was taken up long ago, and what becomes of theirs is their matter."""
    await bot.release("green")
    async with frozen(controller):
        await rollout.set_spec(replicas=3)
        bot.clock.skip(seconds=10)
        for _ in range(3):
            await looked_since(bot, bot.clock.now())
    assert nudges_of(bot) == []


async def test_nobody_waits_for_the_effect_of_a_release_that_is_closed(bot, rollout, controller):
    """Somebody put another version over ours before the controller had seen it: it is theirs now."""
    async with frozen(controller):
        await bot.deploy("green")
        await rollout.until(stamped)
        await rollout.set_image("purple")
        await bot.reaches(Phase.ABANDONED)
        bot.clock.skip(seconds=10)
        sees = count_looks(bot)
        for _ in range(3):
            await looked_since(bot, bot.clock.now())
    assert nudges_of(bot) == []
    assert sees() < 10


def stamped(rollout):
    return template_label(rollout)


def count_looks(bot):
    """Tells how often the app was looked at since: a loop that runs hot would do it hundreds of times."""
    looks, look = [], bot.cluster.look

    async def counted(*arguments):
        looks.append(arguments)
        return await look(*arguments)

    bot.cluster.look = counted
    return lambda: len(looks)
