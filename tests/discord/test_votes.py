"""Votes: reactions of the right people, on the right message, with the roles that they have when it counts (I7, I8)."""

import asyncio

import discord
import pytest

from bot.release.record import Phase
from bot.store import StoreError

QUORUM_MISSES_LEAD = "🟡 mochi #1 (green) is waiting for Lead"
NOBODY_YET = "🟡 mochi #1 (green) is waiting for QC and Lead"


async def test_a_vote_of_somebody_without_the_role_is_taken_off_and_explained_in_the_thread(stage):
    await stage.deploy()
    await stage.react(stage.guest)
    assert (await stage.card()).content == NOBODY_YET
    assert await stage.reactions() == {"✅": {"TestBot"}, "⛔": {"TestBot"}}
    roles = f"{stage.roles['QC'].mention} or {stage.roles['Lead'].mention}"
    assert f"a vote of guest does not count: Only {roles} may approve mochi." in await stage.thread()


async def test_a_veto_of_somebody_without_the_role_rejects_nothing(stage):
    await stage.deploy()
    await stage.react(stage.guest, "⛔")
    assert await stage.phase() is Phase.READY
    assert await stage.reactions() == {"✅": {"TestBot"}, "⛔": {"TestBot"}}


async def test_a_vote_that_may_not_be_taken_off_stays_without_counting(stage):
    await stage.deploy()
    stage.env.inject_error("DELETE", "/channels/*/messages/*/reactions/*/*", status=403, code=50013)
    await stage.react(stage.guest)
    assert (await stage.reactions())["✅"] == {"TestBot", "guest"}
    assert (await stage.card()).content == NOBODY_YET


async def test_the_author_does_not_approve_whatever_roles_the_author_has(stage):
    await stage.deploy(who=stage.bo)
    await stage.react(stage.bo)
    assert await stage.phase() is Phase.READY
    assert "who asked for a release does not approve it" in await stage.thread()
    assert (await stage.reactions())["✅"] == {"TestBot"}


async def test_a_person_with_both_roles_fills_one_requirement(stage):
    await stage.deploy()
    await stage.react(stage.bo)
    assert await stage.phase() is Phase.READY
    await stage.react(stage.kim)
    assert await stage.phase() is Phase.BAKING


async def test_a_vote_can_be_taken_back(stage):
    await stage.deploy()
    await stage.react(stage.kim)
    assert (await stage.card()).content == QUORUM_MISSES_LEAD
    await stage.unreact(stage.kim)
    assert (await stage.card()).content == NOBODY_YET
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY
    assert "kim took the approval back" in await stage.thread()


async def test_a_veto_of_an_approver_rejects_the_release(stage):
    await stage.deploy()
    await stage.react(stage.kim, "⛔")
    card = await stage.card()
    assert card.content == "⚪ mochi #1 (green) was rejected by @kim"
    assert stage.world.serving() == {"blue"}
    assert (await stage.reactions()) == {"⛔": {"kim"}}


async def test_other_emojis_and_variations_mean_what_they_look_like(stage):
    await stage.deploy()
    await stage.react(stage.guest, "👍")
    assert (await stage.reactions())["👍"] == {"guest"}
    await stage.react(stage.kim, "✅\ufe0f")
    assert (await stage.card()).content == QUORUM_MISSES_LEAD


async def test_a_bot_never_votes_even_with_the_roles(stage):
    robot = stage.guild.add_member(
        stage.env.create_user("robot", bot=True), roles=[stage.roles["QC"], stage.roles["Lead"]]
    )
    await stage.deploy()
    await stage.react(robot)
    await stage.react(robot, "⛔")
    assert await stage.phase() is Phase.READY
    assert (await stage.card()).content == NOBODY_YET


async def test_a_role_of_the_same_name_is_another_role(stage):
    """S1: whoever may make roles cannot make approvers."""
    double = stage.guild.create_role("QC")
    stage.env.backend.edit_member(stage.guild.id, stage.guest.id, {"role_ids": [double.id]})
    await stage.deploy()
    await stage.react(stage.guest)
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for QC"
    assert stage.world.serving() == {"blue"}


async def test_a_role_that_is_held_only_while_voting_does_not_count(stage):
    """S2: granted, used, dropped."""
    held = _roles(stage, stage.guest)
    await stage.deploy()
    held.append(stage.roles["QC"].id)
    await stage.react(stage.guest)
    assert (await stage.card()).content == QUORUM_MISSES_LEAD
    held.clear()
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY
    assert stage.world.serving() == {"blue"}


async def test_a_card_that_was_edited_after_a_vote_releases_what_was_approved(stage):
    """S5: with a stolen token the card can be made to say anything; what goes live is on record."""
    await stage.deploy("green")
    await stage.react(stage.kim)
    card = await stage.card()
    changed = {"content": "🟡 mochi #1 (purple) is waiting for Lead", "embeds": [{"title": "mochi #1 · purple"}]}
    stage.env.backend.edit_message(card.channel.id, card.id, changed)
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.BAKING
    assert stage.world.serving() == {"green"}
    assert (await stage.card()).content.startswith("🟢 mochi #1 (green) is live")


async def test_a_vote_that_is_heard_and_listed_is_one_vote_and_one_line(stage):
    """A reaction that comes while the reactions are being listed is in both."""
    await stage.deploy()
    await stage.react(stage.kim)
    release, [vote] = await stage.world.newest(), await stage.world.store.votes(await stage.world.newest())
    await stage.world.desk.vote(release, vote.person, approve=True)
    await stage.resume()
    assert (await stage.world.store.votes(release)) == (vote,)
    assert (await stage.thread()).count("kim approved") == 1


async def test_a_card_that_only_looks_like_ours_collects_nothing(stage):
    """S4: a webhook posts the same words."""
    await stage.deploy()
    card = await stage.card()
    webhook = stage.guild.create_webhook(stage.channel, "Greenlight")
    fake = await webhook.send(card.content, embeds=card.embeds)
    for who in (stage.kim, stage.leo):
        await stage.react(who, message=fake)
    assert await stage.phase() is Phase.READY
    assert (await stage.card()).content == NOBODY_YET


async def test_a_copy_of_the_card_by_its_own_author_collects_nothing(stage):
    await stage.deploy()
    copy = await stage.bo.send(stage.channel, (await stage.card()).content)
    await stage.react(stage.kim, message=copy)
    await stage.react(stage.leo, message=copy)
    assert await stage.phase() is Phase.READY


async def test_votes_on_an_old_card_are_void(stage):
    """I8: the newer candidate has none of the approvals of the one that it replaced."""
    await stage.deploy("green")
    old = await stage.card()
    await stage.react(stage.kim)
    await stage.deploy("purple", replace=True)
    await stage.react(stage.leo, message=old)
    await stage.react(stage.kim, message=old)
    assert await stage.phase() is Phase.READY
    assert (await stage.card(2)).content == "🟡 mochi #2 (purple) is waiting for QC and Lead"
    assert "mochi #1 is not waiting for approval" in await stage.thread(1)
    assert stage.world.serving() == {"blue"}


async def test_a_role_that_is_lost_between_vote_and_switch_does_not_count(stage):
    """I7, S2: kim approves, loses the role without the bot being told, then the quorum would be there."""
    await stage.deploy()
    await stage.react(stage.kim)
    _take_role(stage, stage.kim, "QC")
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY
    assert stage.world.serving() == {"blue"}
    await stage.settle()
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for QC"


async def test_somebody_who_left_the_guild_does_not_count(stage):
    """S3."""
    await stage.deploy()
    await stage.react(stage.kim)
    stage.guild.remove_member(stage.kim)
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY
    assert stage.world.serving() == {"blue"}


async def test_nothing_is_promoted_while_roles_cannot_be_checked(stage):
    """I9, I15."""
    stage.env.inject_error("GET", "/guilds/*/members/*", status=500, times=None)
    await stage.deploy()
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    card = await stage.card()
    assert card.content == "🟡 mochi #1 (green) cannot be promoted yet: Discord roles cannot be checked right now"
    assert stage.world.serving() == {"blue"}
    stage.env.backend.faults.clear()
    await stage.advance(minutes=1)
    assert stage.world.serving() == {"green"}


async def test_reactions_that_a_moderator_cleared_are_gone(stage):
    await stage.deploy()
    await stage.react(stage.kim)
    card = await stage.card()
    stage.env.backend.clear_reactions(card.channel.id, card.id)
    await stage.settle()
    assert (await stage.card()).content == NOBODY_YET
    assert await stage.reactions() == {"✅": {"TestBot"}, "⛔": {"TestBot"}}
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY


async def test_one_emoji_that_a_moderator_cleared_is_gone(stage):
    await stage.deploy()
    await stage.react(stage.kim)
    card = await stage.card()
    stage.env.backend.clear_reaction(card.channel.id, card.id, "✅")
    await stage.settle()
    assert (await stage.card()).content == NOBODY_YET


async def test_a_vote_that_comes_without_its_voter_is_asked_after(stage):
    """Discord does not promise the member in the event."""
    await stage.deploy()
    event = _approval(stage, await stage.card(), stage.kim)
    await stage.bot.get_cog("Votes").on_raw_reaction_add(event)
    await stage.settle()
    assert (await stage.card()).content == QUORUM_MISSES_LEAD
    stage.env.inject_error("GET", "/guilds/*/members/*", status=500)
    event.user_id = stage.leo.id
    await stage.bot.get_cog("Votes").on_raw_reaction_add(event)
    assert await stage.phase() is Phase.READY


async def test_a_deleted_card_is_posted_again_and_what_was_voted_on_it_is_void(stage):
    await stage.deploy()
    await stage.react(stage.kim)
    lost = await stage.card()
    stage.env.backend.delete_message(lost.channel.id, lost.id)
    await stage.settle()
    card = await stage.card()
    assert card.id != lost.id
    assert card.content == NOBODY_YET
    assert await stage.reactions() == {"✅": {"TestBot"}, "⛔": {"TestBot"}}
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.BAKING


async def test_cards_that_are_deleted_together_are_posted_again(stage):
    await stage.deploy()
    await stage.react(stage.kim)
    lost = await stage.card()
    stage.env.backend.subscribers.remove(stage.env._gateway_feed)
    stage.env.backend.delete_message(lost.channel.id, lost.id)
    stage.env.backend.subscribers.append(stage.env._gateway_feed)
    event = {"ids": [lost.id, 5], "channel_id": lost.channel.id, "guild_id": stage.guild.id}
    await stage.bot.get_cog("Votes").on_raw_bulk_message_delete(discord.RawBulkMessageDeleteEvent(event))
    await stage.settle()
    card = await stage.card()
    assert (card.id == lost.id, card.content) == (False, NOBODY_YET)


@pytest.mark.parametrize("happens", ["deleted", "cleared"])
async def test_what_happens_to_a_card_while_its_thread_is_told_is_made_good(stage, monkeypatch, happens):
    """Both change the record of the card. Without what was voted on it, leo's approval is the first."""
    await stage.deploy()
    await stage.react(stage.kim)
    card, tell, votes = await stage.card(), stage.bot.cards._threads.tell, stage.bot.get_cog("Votes")
    event = {"id": card.id, "message_id": card.id, "channel_id": card.channel.id, "guild_id": stage.guild.id}
    gone = []

    async def slow(*arguments):
        if not gone:
            gone.append(card)
            stage.env.backend.subscribers.remove(stage.env._gateway_feed)
            if happens == "deleted":
                stage.env.backend.delete_message(card.channel.id, card.id)
                await votes.on_raw_message_delete(discord.RawMessageDeleteEvent(event))
            else:
                stage.env.backend.clear_reactions(card.channel.id, card.id)
                await votes.on_raw_reaction_clear(discord.RawReactionClearEvent(event))
            stage.env.backend.subscribers.append(stage.env._gateway_feed)
        return await tell(*arguments)

    monkeypatch.setattr(stage.bot.cards._threads, "tell", slow)
    await stage.react(stage.guest)  # a line for the thread, and nothing new on the card
    assert gone
    assert ((await stage.card()).id == card.id) == (happens == "cleared")
    assert (await stage.card()).content == NOBODY_YET
    assert await stage.reactions() == {"✅": {"TestBot"}, "⛔": {"TestBot"}}
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY


async def test_a_card_that_was_deleted_is_posted_again_after_a_record_that_failed(stage, monkeypatch):
    await stage.deploy()
    lost, save, failed = await stage.card(), stage.world.store.save_card, []

    async def once(card):
        if not failed:
            failed.append(card)
            raise StoreError("another program keeps it locked")
        await save(card)

    monkeypatch.setattr(stage.world.store, "save_card", once)
    stage.env.backend.delete_message(lost.channel.id, lost.id)
    await stage.settle()
    await _listed_again(stage)
    assert failed
    assert (await stage.card()).id != lost.id


async def test_a_vote_that_came_before_the_card_was_on_record_counts(stage, monkeypatch):
    """kim reacts at once: a reaction on a message that is on no record yet is nobody's vote when it is heard."""
    save, early = stage.world.store.save_card, []

    async def slower(card):
        if not early:
            early.append(card)
            stage.env.backend.subscribers.remove(stage.env._gateway_feed)
            stage.env.backend.add_reaction(card.channel, card.message, "✅", stage.kim.id)
            stage.env.backend.subscribers.append(stage.env._gateway_feed)
        await save(card)

    monkeypatch.setattr(stage.world.store, "save_card", slower)
    await stage.deploy()
    assert early
    async with asyncio.timeout(20):
        while (await stage.card()).content != QUORUM_MISSES_LEAD:
            await stage.settle()


async def test_a_vote_that_cannot_be_recorded_is_listed_again_before_anything_is_switched(stage, monkeypatch):
    """The database is away when the last approval comes: the card says so, and it is not forgotten."""
    await stage.deploy()
    await stage.react(stage.kim)
    card = await stage.card()
    database, votes, again = stage.world.database, stage.bot.get_cog("Votes"), asyncio.Event()
    monkeypatch.setattr(votes._client, "dispatch", lambda *_: again.set())
    monkeypatch.setattr("cogs.votes.AGAIN_AFTER", 0.0)
    database.rename(elsewhere := database.with_name("elsewhere.db"))
    await votes.on_raw_reaction_add(_approval(stage, card, stage.leo))
    await stage.bot.cards.idle()
    assert "was deleted or replaced while Greenlight runs" in str((await stage.card()).embeds[0].to_dict())
    elsewhere.rename(database)
    assert {vote.person.name for vote in await stage.world.store.votes(await stage.world.newest())} == {"kim"}
    assert not stage.bot.people.counted
    async with asyncio.timeout(20):
        await again.wait()
    monkeypatch.undo()
    stage.env.backend.add_reaction(card.channel.id, card.id, "✅", stage.leo.id)
    await stage.resume()
    assert await stage.phase() is Phase.BAKING


async def _unrecorded(*_):
    raise StoreError("another program keeps it locked")


async def _listed_again(stage):
    await stage.env.advance_time(30)
    await stage.settle()


async def test_reactions_that_were_cleared_count_no_longer_though_discord_does_not_list_what_is_left(stage):
    """kim's approval is gone, and nobody can say so yet: with leo's it would be a quorum."""
    await stage.deploy()
    await stage.react(stage.kim)
    card = await stage.card()
    stage.env.inject_error("GET", "/channels/*/messages/*", status=500, times=None)
    stage.env.backend.clear_reactions(card.channel.id, card.id)
    await stage.settle()
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY
    assert stage.world.serving() == {"blue"}
    stage.env.backend.faults.clear()
    await _listed_again(stage)
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for QC"
    await stage.react(stage.kim)
    assert await stage.phase() is Phase.BAKING


async def test_reactions_that_were_cleared_count_no_longer_though_the_database_is_locked(stage):
    await stage.deploy()
    await stage.react(stage.kim)
    card = await stage.card()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stage.world.desk, "recount", _unrecorded)
        stage.env.backend.clear_reactions(card.channel.id, card.id)
        await stage.settle()
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY
    assert not stage.env.errors
    await _listed_again(stage)
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for QC"
    assert await stage.phase() is Phase.READY


async def test_a_card_that_is_deleted_while_the_database_is_locked_takes_its_votes_along(stage):
    await stage.deploy()
    await stage.react(stage.kim)
    lost = await stage.card()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stage.world.store, "shown_at", _unrecorded)
        stage.env.backend.delete_message(lost.channel.id, lost.id)
        await stage.settle()
    assert not stage.bot.people.counted
    assert not stage.env.errors
    await _listed_again(stage)
    card = await stage.card()
    assert (card.id == lost.id, card.content) == (False, NOBODY_YET)


@pytest.mark.parametrize("away", ["Discord", "the database"])
async def test_votes_that_begin_while_they_cannot_be_listed_are_listed_later(stage, away):
    """A reaction that was quicker than the record of its card is on no record at all."""
    await stage.deploy()
    release, votes = await stage.world.newest(), stage.bot.get_cog("Votes")
    with pytest.MonkeyPatch.context() as patched:
        if away == "Discord":
            stage.env.inject_error("GET", "/channels/*/messages/*", status=500, times=None)
        else:
            patched.setattr(stage.world.desk, "recount", _unrecorded)
        patched.setattr("cogs.votes.AGAIN_AFTER", 0.0)
        await votes.on_votes_begin(release)
        assert not stage.bot.people.counted
    stage.env.backend.faults.clear()
    async with asyncio.timeout(20):
        while not stage.bot.people.counted:
            await stage.settle()


async def test_a_listing_that_makes_no_sense_is_none(stage, monkeypatch):
    await stage.deploy()

    async def odd(_):
        raise ValueError("no such field")

    monkeypatch.setattr(stage.bot.get_cog("Votes"), "_listed", odd)
    with pytest.raises(ValueError, match="no such field"):
        await stage.bot.get_cog("Votes").on_votes_begin(await stage.world.newest())
    assert not stage.bot.people.counted


async def test_an_older_listing_does_not_overrule_a_vote_that_was_not_recorded(stage):
    """kim takes the approval back while the card of another app is still being listed."""
    await stage.deploy()
    await stage.react(stage.kim)
    votes, listed, goes_on = stage.bot.get_cog("Votes"), asyncio.Event(), asyncio.Event()
    recount = votes._recount

    async def slow(release):
        done = await recount(release)
        listed.set()
        await goes_on.wait()
        return done

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(votes, "_recount", slow)
        patched.setattr(stage.world.desk, "withdraw", _unrecorded)
        listing = asyncio.create_task(votes.on_resumed())
        await listed.wait()
        await stage.kim.unreact(await stage.card(), "✅")
        await stage.env.settle()
        goes_on.set()
        await listing
    assert not stage.bot.people.counted
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY
    await _listed_again(stage)
    assert stage.bot.people.counted
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for QC"


async def test_an_older_listing_that_ends_after_a_newer_one_says_nothing(stage):
    votes, listed, goes_on = stage.bot.get_cog("Votes"), asyncio.Event(), asyncio.Event()
    await stage.deploy()
    recount = votes._recount

    async def slow(release):
        done = await recount(release)
        listed.set()
        await goes_on.wait()
        return done

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(votes, "_recount", slow)
        listing = asyncio.create_task(votes.on_resumed())
        await listed.wait()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stage.world.desk, "vote", _unrecorded)
        await stage.kim.react(await stage.card(), "✅")
        await stage.env.settle()
    await _listed_again(stage)
    goes_on.set()
    await listing
    assert stage.bot.people.counted


async def test_a_vote_that_fails_to_be_recorded_when_the_gateway_is_gone_lists_nothing(stage):
    """What is listed without a gateway may be changed a moment later, and nobody would hear of it."""
    await stage.deploy()
    await stage.react(stage.kim)
    waiting, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(*_):
        waiting.set()
        await goes_on.wait()
        raise StoreError("another program keeps it locked")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("cogs.votes.AGAIN_AFTER", 0.0)
        patched.setattr(stage.world.desk, "withdraw", slow)
        event = _approval(stage, await stage.card(), stage.kim)
        withdrawal = asyncio.create_task(stage.bot.get_cog("Votes").on_raw_reaction_remove(event))
        await waiting.wait()
        await stage.disconnect()
        goes_on.set()
        await withdrawal
    await stage.settle()
    assert not stage.bot.people.counted
    await stage.resume()
    assert stage.bot.people.counted


def _approval(stage, card, who):
    """The event of a reaction, without the member."""
    data = {"user_id": who.id, "channel_id": card.channel.id, "message_id": card.id, "guild_id": stage.guild.id}
    emoji = {"id": None, "name": "✅"}
    event = {**data, "emoji": emoji, "burst": False, "type": 0}
    return discord.RawReactionActionEvent(event, discord.PartialEmoji(name="✅"), "REACTION_ADD")


def _roles(stage, who):
    return stage.env.backend.get_guild(stage.guild.id).members[who.id].role_ids


def _take_role(stage, who, role):
    _roles(stage, who).remove(stage.roles[role].id)


async def test_s1_a_role_that_an_integration_gives_makes_nobody_an_approver(stage):
    """Whoever boosts the server or subscribes to somebody gets such a role, and nobody of the team has said yes."""
    stage.env.backend.get_guild(stage.guild.id).roles[stage.roles["QC"].id].managed = True
    await stage.restart()
    await stage.deploy()
    await stage.react(stage.kim)
    assert (await stage.card()).content == NOBODY_YET
    assert (await stage.reactions())["✅"] == {"TestBot"}
