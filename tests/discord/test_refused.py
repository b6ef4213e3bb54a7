"""10,000 invalid answers in ten minutes ban the address: what is refused is asked ever less often."""

import aiohttp
import pytest

from bot.budget import AT_ONCE, HOUR, IDENTIFIES_AN_HOUR, LONGEST_PAUSE, TEN_MINUTES, Backoff, Budget

APPS, BANNED_AT = 25, 10_000


async def test_ten_minutes_of_refusals_stay_far_below_a_ban(stage):
    """Every call is refused; people vote and play with reactions all the time, and the gateway drops again and again.
    The first ten minutes of an hour are its worst: pauses only grow.
    """
    await stage.deploy()
    card = await stage.card()
    before = len(stage.sent)
    stage.env.inject_error("*", "*", status=403, code=50001, times=None)
    for _ in range(5):
        for who in (stage.guest, stage.kim):
            await who.react(card, "✅")
            await who.unreact(card, "✅")
        await stage.disconnect()
        await stage.resume()
        await stage.env.advance_time(120)
        await stage.settle()
    refused = len(stage.sent) - before
    assert refused > 0
    assert APPS * refused < BANNED_AT / 10


async def test_sessions_that_are_lost_all_the_time_leave_the_token_alone():
    """1,000 IDENTIFYs within a day reset it."""
    now = 0.0
    budget = Budget(lambda: now)
    begun = 0
    for _ in range(24 * 360):  # every ten seconds for a day, as discord.py would be ready to
        now += 10
        try:
            budget.check()
        except aiohttp.ClientConnectionError:
            continue
        budget.identified()
        begun += 1
    assert IDENTIFIES_AN_HOUR <= begun < 1000


async def test_websockets_that_close_at_once_are_opened_ever_more_slowly_and_an_odd_one_without_a_pause():
    now = 0.0
    budget = Budget(lambda: now)
    pauses = []
    for _ in range(AT_ONCE + 7):
        pauses.append(budget.pause())
        budget.opened()
    assert pauses == [0, 0, 0, 1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE]
    now += TEN_MINUTES + 1
    assert budget.pause() == 0


async def test_too_many_sessions_are_a_sentence_and_over_after_an_hour():
    now = 0.0
    budget = Budget(lambda: now)
    for _ in range(IDENTIFIES_AN_HOUR):
        budget.check()
        budget.identified()
    with pytest.raises(aiohttp.ClientConnectionError, match="40 sessions were begun within an hour"):
        budget.check()
    now += HOUR + 1
    budget.check()


def test_however_long_discord_is_away_it_is_asked_again_within_about_a_minute():
    """discord.py would wait for up to 17 minutes, during which nobody can press anything."""
    backoff = Backoff()
    assert max(backoff.delay() for _ in range(500)) <= 64


def test_discord_py_uses_our_pauses():
    import discord.client  # noqa: PLC0415 - its name is what is tested

    import bot.client  # noqa: F401, PLC0415 - it sets it

    assert discord.client.ExponentialBackoff is Backoff
