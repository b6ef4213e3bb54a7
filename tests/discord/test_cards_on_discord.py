"""Cards when Discord is difficult: no rights, lost answers, deleted things, edits that are rationed."""

from dataclasses import replace

import discord
import pytest

from bot.release.app import Notify
from bot.release.record import Phase
from cogs.posting import retry_after


async def catch_up(stage):
    """Discord works again, and time passes."""
    stage.env.backend.faults.clear()
    await stage.env.advance_time(700)
    await stage.settle()


async def test_without_the_right_to_threads_the_card_works(stage):
    stage.env.inject_error("POST", "/channels/*/messages/*/threads", status=403, code=50013, times=None)
    await stage.deploy()
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    assert (await stage.card()).content.startswith("🟢 mochi #1 (green) is live")
    asked = [path for method, path, _ in stage.sent if path.endswith("/threads")]
    assert len(asked) == 1


async def test_a_thread_that_is_there_already_is_used(stage):
    """The answer to its creation was lost."""
    stage.env.inject_error("POST", "/channels/*/messages", status=503, times=1)
    await stage.deploy()
    await catch_up(stage)
    card = await stage.world.store.card(await stage.world.newest())
    await stage.world.store.save_card(replace(card, thread=None, told=0))
    stage.env.inject_error("POST", "/channels/*/messages/*/threads", status=400, code=160004)
    stage.bot.cards.changed(await stage.world.newest())
    await stage.settle()
    assert (await stage.world.store.card(await stage.world.newest())).thread == card.message


async def test_a_thread_that_somebody_deleted_is_left_deleted(stage):
    await stage.deploy()
    card = await stage.world.store.card(await stage.world.newest())
    stage.env.backend.delete_channel(card.thread)
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    assert (await stage.card()).content.startswith("🟢 mochi #1 (green) is live")


async def test_a_card_that_cannot_be_edited_for_a_while_tells_the_truth_in_the_end(stage):
    """I15: its failures change only messages."""
    await stage.deploy()
    stage.env.inject_error("PATCH", "/channels/*/messages/*", status=500, times=None)
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.BAKING
    assert "is waiting for" in (await stage.card()).content
    await catch_up(stage)
    assert (await stage.card()).content.startswith("🟢 mochi #1 (green) is live")


async def test_an_old_card_that_was_edited_too_often_is_posted_anew(stage):
    await stage.go_live()
    old = await stage.card()
    stage.env.inject_error("PATCH", "/channels/*/messages/*", status=400, code=30046)
    await stage.advance(minutes=6)
    new = await stage.card()
    assert new.id != old.id
    assert new.content == "🟢 mochi #1 (green) is live"
    assert "done: the watch is over" in await stage.thread()
    answer = await stage.roll_back(stage.sam, message=old)
    assert "is being rolled back" in answer.response.content


async def test_while_votes_count_on_it_an_old_card_is_waited_for(stage):
    await stage.deploy()
    old = await stage.card()
    stage.env.inject_error("PATCH", "/channels/*/messages/*", status=400, code=30046)
    await stage.react(stage.kim)
    assert (await stage.card()).id == old.id
    await catch_up(stage)
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for Lead"
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.BAKING


async def test_a_channel_that_was_closed_to_us_gets_its_card_when_it_opens(stage):
    stage.env.inject_error("POST", "/channels/*/messages", status=403, code=50001, times=None)
    await stage.deploy()
    assert await stage.phase() is Phase.READY
    await catch_up(stage)
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for QC and Lead"


async def test_a_refused_card_is_tried_when_its_pause_is_over_whatever_happens_meanwhile(stage):
    """Whoever votes or comes and goes in the namespace must not bring us the refusals that ban our address."""
    await stage.deploy()
    stage.env.inject_error("PATCH", "/channels/*/messages/*", status=403, code=50001, times=None)
    await stage.react(stage.kim)
    before = len(stage.sent)
    for _ in range(20):
        stage.bot.cards.changed(await stage.world.newest())
        await stage.settle()
    assert len(stage.sent) == before
    await catch_up(stage)
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for Lead"


async def test_a_new_session_and_whoever_wants_the_address_do_not_wait_for_the_pause(stage):
    stage.env.inject_error("POST", "/channels/*/messages", status=403, code=50001, times=2)
    await stage.deploy()
    release = await stage.world.newest()
    assert await stage.bot.cards.posted(release) == ""
    assert await stage.bot.cards.posted(release) == await stage.bot.cards.address(release) != ""
    stage.env.inject_error("PATCH", "/channels/*/messages/*", status=403, code=50001, times=1)
    await stage.react(stage.kim)
    await stage.disconnect()
    await stage.resume()
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for Lead"


async def test_votes_on_a_card_that_is_deleted_during_its_pause_are_void_at_once(stage):
    await stage.deploy()
    await stage.react(stage.kim)
    stage.env.inject_error("PATCH", "/channels/*/messages/*", status=403, code=50001, times=1)
    await stage.react(stage.guest)
    await stage.unreact(stage.kim)
    await stage.react(stage.kim)
    lost = await stage.card()
    stage.env.backend.delete_message(lost.channel.id, lost.id)
    await stage.settle()
    assert await stage.world.store.votes(await stage.world.newest()) == ()
    await catch_up(stage)
    assert (await stage.card()).id != lost.id


class _Answer:
    def __init__(self, status):
        self.status, self.reason = status, "no"


@pytest.mark.parametrize(
    ("error", "delays"),
    [
        (discord.Forbidden(_Answer(403), "no"), [60, 120, 240, 480, 600, 600]),
        (discord.NotFound(_Answer(404), "no"), [60, 120, 240, 480, 600, 600]),
        (discord.DiscordServerError(_Answer(503), "no"), [2, 4, 8, 16, 32, 60]),
        (ValueError("our own mistake"), [2, 4, 8, 16, 32, 60]),
    ],
)
def test_what_fails_is_tried_less_and_less(error, delays):
    """Ten thousand refusals in ten minutes would ban our address."""
    assert [retry_after(error, failures) for failures in range(1, 7)] == delays
    assert retry_after(error, 10**6) == delays[-1]


async def test_without_the_right_to_react_the_card_works(stage):
    stage.env.inject_error("PUT", "/channels/*/messages/*/reactions/*/*", status=403, code=50013, times=None)
    await stage.deploy()
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.BAKING


async def pings(stage, notify):
    stage.world.app = stage.app(notify=notify)
    await stage.restart()
    await stage.go_live()
    await stage.advance(minutes=6)
    return [
        body
        for body in stage.messages
        if body["allowed_mentions"].get("roles") or body["allowed_mentions"].get("users")
    ]


async def test_people_can_be_told_in_the_thread_only(stage):
    told = await pings(stage, Notify.THREAD)
    card = await stage.world.store.card(await stage.world.newest())
    places = [path for method, path, body in stage.sent if method == "POST" and body in told]
    assert len(told) == 2
    assert set(places) == {f"/channels/{card.thread}/messages"}


async def test_nobody_is_mentioned_where_that_is_off(stage):
    assert await pings(stage, Notify.OFF) == []


async def test_every_post_carries_a_nonce_that_is_the_same_when_it_is_repeated(stage):
    await stage.deploy()
    first = [body["nonce"] for body in stage.messages]
    assert len(set(first)) == len(first)
    card = await stage.world.store.card(await stage.world.newest())
    await stage.world.store.save_card(replace(card, told=0, pinged=False))
    stage.bot.cards.changed(await stage.world.newest())
    await stage.settle()
    again = [body["nonce"] for body in stage.messages[len(first) :]]
    assert again
    assert set(again) <= set(first)
