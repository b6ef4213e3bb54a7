"""Channels, threads, roles and people go while a release is under way: traffic does what was approved, all the same."""

import pytest

from bot.release.record import Phase

LOCKED, ARCHIVED, NO_RIGHT = (400, 160005), (400, 50083), (403, 50013)


async def test_a_release_whose_channel_is_deleted_goes_on_and_is_rolled_back_by_command(stage, capsys):
    """I15. The card has no place any more, and the log says so."""
    await stage.go_live()
    stage.env.backend.delete_channel(stage.channel.id)
    await stage.advance(minutes=6)
    assert await stage.phase() is Phase.DONE
    answer = await stage.slash(stage.sam, "rollback", channel=stage.elsewhere, app="mochi")
    assert "is being rolled back" in answer.response.content
    assert stage.world.serving() == {"blue"}
    assert "Unknown Channel" in capsys.readouterr().out


async def test_a_channel_that_is_deleted_before_the_votes_promotes_nothing(stage):
    """Nobody can be asked, so nobody has approved."""
    await stage.deploy()
    await stage.react(stage.kim)
    stage.env.backend.delete_channel(stage.channel.id)
    await stage.resume()
    assert await stage.world.store.votes(await stage.world.newest()) == ()
    await stage.advance(minutes=31)
    assert await stage.phase() is Phase.REVERTED
    assert stage.world.serving() == {"blue"}


async def test_a_channel_that_is_gone_is_asked_after_less_and_less(stage):
    await stage.deploy()
    stage.env.backend.delete_channel(stage.channel.id)
    before = len(stage.sent)
    for _ in range(60):
        await stage.env.advance_time(60)
        await stage.bot.cards.idle()
    assert len(stage.sent) - before < 40


@pytest.mark.parametrize(("status", "code"), [LOCKED, ARCHIVED, NO_RIGHT], ids=["locked", "archived", "no right"])
async def test_a_thread_that_may_not_be_written_into_keeps_nobody_waiting(stage, status, code, capsys):
    """Whose turn it is, the votes and the switch are none of the thread's."""
    stage.env.inject_error("POST", "/channels/*/messages", status=503, times=1)  # the card comes a little later
    await stage.deploy("slow")
    await stage.env.advance_time(10)
    await stage.settle()
    thread = (await stage.world.store.card(await stage.world.newest())).thread
    stage.env.inject_error("POST", f"/channels/{thread}/messages", status=status, code=code, times=None)
    before = len(stage.sent)
    await stage.advance(minutes=2)
    turn = [body for body in stage.messages if "is ready to look at" in (body["content"] or "")]
    assert len(turn) == 1
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    assert (await stage.card()).content.startswith("🟢 mochi #1 (slow) is live")
    assert "the thread may not be written into" in capsys.readouterr().out
    assert [path for _, path, _ in stage.sent[before:]].count(f"/channels/{thread}/messages") == 1


async def test_whose_turn_it_is_does_not_wait_for_a_thread(stage):
    stage.env.inject_error("POST", "/channels/*/messages/*/threads", status=503, times=None)
    await stage.deploy()
    await stage.env.advance_time(60)  # it rests from a few failures
    await stage.settle()
    assert len([body for body in stage.messages if "is ready to look at" in (body["content"] or "")]) == 1


async def test_what_a_locked_thread_lacks_is_told_when_it_is_open_again(stage):
    await stage.deploy()
    thread = (await stage.world.store.card(await stage.world.newest())).thread
    stage.env.inject_error("POST", f"/channels/{thread}/messages", status=LOCKED[0], code=LOCKED[1], times=None)
    await stage.react(stage.kim)
    assert "kim approved" not in await stage.thread()
    stage.env.backend.faults.clear()
    await stage.env.advance_time(700)
    await stage.react(stage.leo)
    told = await stage.thread()
    assert [told.count(line) for line in ("ready: approval is asked for", "kim approved", "leo approved")] == [1, 1, 1]


async def test_a_requirement_whose_role_is_deleted_is_shown_by_its_number_and_nobody_fills_it(stage):
    await stage.deploy()
    await stage.react(stage.leo)
    role = stage.roles["QC"].id
    stage.env.backend.delete_role(stage.guild.id, role)
    await stage.settle()
    card = await stage.card()
    assert card.content == f"🟡 mochi #1 (green) is waiting for role {role}"
    assert f"Nobody can approve: role {role} is not on this server any more" in card.embeds[0].description
    await stage.react(stage.kim)
    assert await stage.phase() is Phase.READY
    assert stage.world.serving() == {"blue"}


async def test_a_role_that_is_gone_is_not_mentioned(stage):
    role = stage.roles["QC"].id
    stage.env.backend.delete_role(stage.guild.id, role)
    await stage.settle()
    await stage.deploy()
    [turn] = [body for body in stage.messages if "is ready to look at" in (body["content"] or "")]
    assert str(role) not in turn["content"]
    assert turn["allowed_mentions"]["roles"] == [stage.roles["Lead"].id]


async def test_a_card_that_may_not_be_read_is_not_posted_again_and_again(stage, capsys):
    """Without Read Message History nobody can list its votes. They are heard all the same, as they are made."""
    stage.env.inject_error("GET", "/channels/*/messages/*", status=403, code=50013, times=None)
    await stage.deploy()
    await stage.disconnect()
    before = len(stage.sent)
    await stage.resume()
    await stage.env.advance_time(60)
    await stage.settle()
    assert len(stage.sent) - before < 5
    assert len([body for body in stage.messages if body.get("embeds")]) == 1
    assert "Read Message History" in capsys.readouterr().out
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.BAKING


async def test_votes_that_cannot_be_listed_after_an_absence_are_void(stage):
    """I9: some of them may have been taken back meanwhile."""
    await stage.deploy()
    await stage.react(stage.kim)
    stage.env.inject_error("GET", "/channels/*/messages/*", status=403, code=50013, times=None)
    await stage.disconnect()
    await stage.resume()
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for QC"
    assert stage.world.serving() == {"blue"}


async def test_without_the_right_to_take_votes_off_it_is_tried_once_in_ten_minutes(stage):
    """Whoever plays with reactions cannot have our address banned."""
    stage.env.inject_error("DELETE", "/channels/*/messages/*/reactions/*/*", status=403, code=50013, times=None)
    await stage.deploy()
    for _ in range(5):
        await stage.react(stage.guest)
        await stage.unreact(stage.guest)
    assert len([method for method, _, _ in stage.sent if method == "DELETE"]) == 1
