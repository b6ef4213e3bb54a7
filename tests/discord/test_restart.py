"""The bot dies and starts again, in every phase, while people go on reacting: nothing is lost, nothing done twice."""

import discord
import pytest

from bot.clusters.errors import Away
from bot.release.record import Phase
from bot.release.verbs import Verb
from sandbox.cluster import PatchType


async def staging(stage):
    await stage.deploy("slow")


async def ready(stage):
    await stage.deploy()


async def half_approved(stage):
    await stage.deploy()
    await stage.react(stage.kim)


async def baking(stage):
    await stage.go_live()


async def done(stage):
    await stage.go_live()
    await stage.advance(minutes=6)


async def reverted(stage):
    await stage.go_live()
    await stage.roll_back(stage.sam)


async def abandoned(stage):
    await stage.deploy()
    label = [{"op": "add", "path": "/spec/template/metadata/labels/changed", "value": "yes"}]
    image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil.example/x:1"}]
    objects = stage.world.cluster.objects
    objects.patch("deployments", "mochi", "mochiapp-green", [*label, *image], PatchType.JSON, manager="kubectl")
    await stage.advance(seconds=90)
    assert await stage.phase() is Phase.ABANDONED


@pytest.mark.parametrize("reach", [staging, ready, half_approved, baking, done, reverted, abandoned])
async def test_the_bot_says_the_same_after_a_restart_and_says_it_once(stage, reach):
    await reach(stage)
    before, told, messages = await stage.card(), await stage.thread(), len(stage.messages)
    await stage.restart()
    after = await stage.card()
    assert after.id == before.id
    assert after.content == before.content
    assert stage.labels(after) == stage.labels(before)
    assert await stage.thread() == told
    assert len(stage.messages) == messages


async def test_buttons_and_votes_work_after_a_restart_in_each_phase(stage):
    await stage.deploy("slow")
    await stage.restart()
    assert stage.labels(await stage.card()) == ["Production", "Abandon"]
    await stage.advance(minutes=2)
    await stage.restart()
    await stage.react(stage.kim)
    await stage.restart()
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.BAKING
    await stage.restart()
    answer = await stage.roll_back(stage.sam)
    assert "is being rolled back" in answer.response.content
    assert stage.world.serving() == {"blue"}


async def test_a_form_that_was_open_during_the_restart_still_counts(stage):
    await stage.go_live()
    shown = await stage.press(stage.sam, Verb.ROLL_BACK)
    await stage.restart()
    answer = await stage.fill(stage.sam, shown, "too slow")
    assert answer.response.content.startswith("mochi #1 is being rolled back.")
    assert stage.world.serving() == {"blue"}


async def test_votes_made_while_the_bot_was_down_count_afterwards(stage):
    await stage.deploy()

    async def meanwhile():
        card = await stage.card()
        await stage.kim.react(card, "✅")
        await stage.leo.react(card, "✅")

    await stage.restart(meanwhile=meanwhile)
    assert await stage.phase() is Phase.BAKING
    assert "kim approved" in await stage.thread()
    assert stage.world.serving() == {"green"}


async def test_a_vote_taken_back_while_the_bot_was_down_does_not_count(stage):
    """Without the listing, leo's vote would complete a quorum that kim has left."""
    await stage.deploy()
    await stage.react(stage.kim)

    async def meanwhile():
        card = await stage.card()
        await stage.kim.unreact(card, "✅")
        await stage.leo.react(card, "✅")

    await stage.restart(meanwhile=meanwhile)
    assert await stage.phase() is Phase.READY
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for QC"
    assert stage.world.serving() == {"blue"}


async def test_a_veto_made_while_the_bot_was_down_rejects(stage):
    await stage.deploy()

    async def meanwhile():
        await stage.kim.react(await stage.card(), "⛔")

    await stage.restart(meanwhile=meanwhile)
    assert (await stage.card()).content == "⚪ mochi #1 (green) was rejected by @kim"


async def test_votes_of_the_wrong_people_while_the_bot_was_down_do_not_count(stage):
    await stage.deploy()

    async def meanwhile():
        card = await stage.card()
        for who in (stage.ann, stage.guest, stage.kim):
            await who.react(card, "✅")

    await stage.restart(meanwhile=meanwhile)
    assert (await stage.card()).content == "🟡 mochi #1 (green) is waiting for Lead"


async def test_a_switch_that_was_decided_is_made_after_the_restart(stage):
    """The reactions are listed again only where they are still being collected."""
    await stage.deploy()
    await stage.react(stage.kim)

    def fault(call):
        if call == "patch Service/mochiapp":
            raise Away("the API server did not answer")

    stage.world.api.fault = fault
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.PROMOTING
    assert (await stage.card()).content == "🔵 mochi #1 (green) was approved by @kim and @leo, switching"
    stage.world.api.fault = None
    await stage.restart()
    assert await stage.phase() is Phase.BAKING
    assert stage.world.serving() == {"green"}


async def test_nothing_is_promoted_before_the_reactions_are_listed_again(stage):
    """I9: the quorum is stored, but whether it still stands is not known yet."""
    await stage.deploy()
    await stage.react(stage.kim)
    stage.bot.people.counted = False
    await stage.react(stage.leo)
    assert await stage.phase() is Phase.READY
    assert stage.world.serving() == {"blue"}
    await stage.resume()
    assert stage.world.serving() == {"green"}


async def test_a_database_that_fails_while_votes_are_listed_promotes_nothing(stage, monkeypatch):
    await stage.deploy()
    await stage.disconnect()

    async def broken():
        raise OSError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(stage.world.store, "current", broken)
        await stage.resume()
        assert not stage.bot.people.counted
    await stage.resume()
    assert stage.bot.people.counted


async def test_a_listing_of_a_session_that_is_gone_says_nothing_about_the_next(stage, monkeypatch):
    await stage.deploy()
    listed = stage.world.desk.recount

    async def slow(release, votes):
        await listed(release, votes)
        await stage.disconnect()  # while the answer was on its way

    monkeypatch.setattr(stage.world.desk, "recount", slow)
    await stage.resume()
    assert not stage.bot.people.counted


async def test_reactions_that_cannot_be_listed_are_asked_for_again(stage):
    await stage.deploy()

    async def meanwhile():
        card = await stage.card()
        await stage.kim.react(card, "✅")
        await stage.leo.react(card, "✅")
        stage.env.inject_error("GET", "/channels/*/messages/*", status=500, times=1)

    await stage.restart(meanwhile=meanwhile)
    assert await stage.phase() is Phase.READY
    await stage.env.advance_time(30)
    await stage.settle()
    assert await stage.phase() is Phase.BAKING


async def test_a_card_that_was_deleted_while_the_bot_was_down_takes_its_votes_along(stage):
    await stage.deploy()
    await stage.react(stage.kim)
    lost = await stage.card()

    async def meanwhile():
        stage.env.backend.delete_message(lost.channel.id, lost.id)

    await stage.restart(meanwhile=meanwhile)
    card = await stage.card()
    assert card.id != lost.id
    assert card.content == "🟡 mochi #1 (green) is waiting for QC and Lead"


async def test_what_changed_while_discord_was_away_is_drawn_when_it_is_back(stage):
    await stage.go_live()
    await stage.disconnect()
    await stage.world.advance(minutes=6)
    assert "watching" in (await stage.card()).content
    await stage.resume()
    assert (await stage.card()).content == "🟢 mochi #1 (green) is live"


@pytest.mark.parametrize("changed", [False, True])
async def test_commands_are_told_to_discord_only_when_they_changed(stage, changed, monkeypatch):
    def told():
        return sum(method == "PUT" and path.endswith("/commands") for method, path, _ in stage.sent)

    assert told() == 1
    if changed:
        monkeypatch.setattr("cogs.deploy.Deploy.deploy.app_command.description", "Something else")
    await stage.restart()
    assert told() == 1 + changed


async def test_a_start_that_discord_broke_off_is_begun_again(stage):
    """Telling the commands failed: what the bot is made of is there already."""
    before = [command.name for command in stage.bot.tree.get_commands(guild=stage.bot.guild)]
    stage.env.inject_error("GET", "/applications/*/guilds/*/commands", status=403)
    with pytest.raises(discord.Forbidden):
        await stage.bot.setup_hook()
    await stage.bot.setup_hook()
    assert [command.name for command in stage.bot.tree.get_commands(guild=stage.bot.guild)] == before
    await stage.deploy()
    assert await stage.phase() is Phase.READY


async def test_a_listing_that_was_to_be_repeated_is_left_to_the_next_session(stage, monkeypatch):
    """Discord goes away before it: nothing may be promoted on what it says then."""
    await stage.deploy()
    votes = stage.bot.get_cog("Votes")
    with monkeypatch.context() as patched:
        patched.setattr("cogs.votes.AGAIN_AFTER", 0)
        patched.setattr(stage.world.store, "current", _fails)
        await votes.on_resumed()
    await votes.on_disconnect()
    await stage.settle()
    assert not stage.bot.people.counted
    await stage.resume()
    assert stage.bot.people.counted


async def _fails():
    raise OSError("disk full")
