"""Discord's REST API fails while a release is under way: only messages are late, and they tell the truth in the end."""

import pytest

POSTS, EDITS, REACTS, THREADS = "/channels/*/messages", "/channels/*/messages/*", "*/reactions/*", "*/threads"
MEMBERS = "/guilds/*/members/*"

FAULTS = {
    "429 that says when": {"status": 429, "retry_after": 0.2},
    "429 that does not say when": {"status": 429, "retry_after": None},
    "429 from in front of Discord": {"status": 429, "retry_after": 0.2, "html": True},
    "429 for everything": {"status": 429, "retry_after": 0.2, "everywhere": True},
    "502": {"status": 502, "html": True},
    "cut before it happened": {"status": None},
    "cut after it happened": {"status": None, "applied": True},
    "502 after it happened": {"status": 502, "html": True, "applied": True},
}


CALLS = [("POST", POSTS), ("PATCH", EDITS), ("PUT", REACTS), ("POST", THREADS), ("GET", EDITS), ("DELETE", REACTS)]


@pytest.mark.parametrize("turned", [0, 2, 4, 6])
async def test_every_kind_of_call_fails_once_and_all_is_told_once(night, turned):
    """I15. All faults at once, each at another kind of call; `turned` has them change places."""
    await night.start_bot()
    kinds = list(FAULTS.values())[turned:] + list(FAULTS.values())[:turned]
    for (method, path), fault in zip(CALLS, kinds, strict=False):
        night.discord.faults.add(method, path, **fault)
    card = await night.deploy()
    await night.sees(lambda: night.pings, "the ping")
    night.discord.faults.add("POST", POSTS, **kinds[6])
    night.discord.faults.add("GET", MEMBERS, **kinds[7])
    await night.approve(card)
    await night.card("🟢", "is live")
    await night.says("live")
    night.orderly(moves=1)


async def test_lines_whose_answer_was_lost_are_not_told_again_with_those_that_came_after(night):
    """The message got there, the bot does not know it, and meanwhile there is more to tell."""
    await night.start_bot()
    card = await night.deploy()
    await night.sees(lambda: night.pings, "the ping")
    await night.says("ready")
    night.discord.faults.add("POST", POSTS, status=None, applied=True)
    await night.approve(card, "kim")
    await night.sees(lambda: night.discord.faults.met, "a line whose answer is lost")
    await night.approve(card, "leo")
    await night.card("🟢", "is live")
    await night.says("kim approved", "leo approved", "live")
    night.orderly(moves=1)


async def test_a_card_whose_answer_was_lost_is_brought_up_to_date(night):
    """Discord answers the repeated POST with the message that is there: it shows what was true the first time."""
    await night.start_bot()
    night.discord.faults.add("POST", POSTS, status=None, applied=True)
    await night.person("ann").slash(night.channel, "deploy", image="green")
    card = await night.ballot("waiting for QC and Lead")
    await night.approve(card)
    await night.card("🟢", "is live")
    await night.says("live")
    night.orderly(moves=1)


async def test_one_vote_does_not_wait_for_the_answer_to_another(night):
    """A guest's vote is to be taken off, for which Discord wants patience; kim and leo are heard all the same."""
    await night.start_bot()
    card = await night.deploy()
    await night.sees(lambda: night.pings, "the ping")
    night.discord.faults.add("DELETE", REACTS, status=429, retry_after=120)
    await night.approve(card, "guest")
    await night.sees(lambda: "DELETE" in {method for method, _ in night.discord.faults.met}, "an attempt")
    await night.approve(card, "kim", "leo")
    await night.card("🟢", "is live")
    await night.says("a vote of guest does not count")
    night.orderly(moves=1)


async def test_a_limit_on_everything_that_the_controller_does_not_wait_for_is_lifted_again(night):
    """It stops reading roles after 5 s; discord.py would then hold back every call for ever."""
    await night.start_bot()
    card = await night.deploy()
    await night.sees(lambda: night.pings, "the ping")
    night.discord.faults.add("GET", MEMBERS, status=429, retry_after=6.5, everywhere=True)
    await night.approve(card)
    await night.card("🟢", "is live")
    await night.says("live")
    night.orderly(moves=1)


async def test_nothing_is_promoted_while_roles_cannot_be_read(night):
    """I9: whatever stands in Discord's place."""
    await night.start_bot()
    card = await night.deploy()
    night.discord.faults.add("GET", MEMBERS, status=200, html=True, times=None)
    await night.approve(card)
    await night.card("🟡", "Discord roles cannot be checked right now")
    assert night.moves == 0
    night.discord.faults.clear()
    await night.card("🟢", "is live")
    night.orderly(moves=1)


SILENT = {"silent": True}


@pytest.mark.parametrize("fault", [FAULTS["502"], {"status": None}, SILENT], ids=["502", "cut", "silent"])
async def test_a_rollback_does_not_wait_for_discord_to_answer(night, fault):
    """I10: the press arrives by the gateway, and that is enough, though no form can be shown."""
    await night.start_bot()
    live = await night.live()
    night.discord.faults.add(times=None, **fault)
    await night.person("sam").press(live, "Roll back")
    assert await night.mochi.serving(2, instead_of=night.green) == night.blue
    night.discord.faults.clear()
    await night.card("🟠", "was rolled back by @sam")
    assert night.moves == 2


async def test_a_rollback_by_command_does_not_wait_for_discord_to_answer(night):
    await night.start_bot()
    await night.live()
    night.discord.faults.add(times=None, silent=True)
    await night.person("sam").ask(night.channel, "rollback")
    assert await night.mochi.serving(2, instead_of=night.green) == night.blue


async def test_a_bot_whose_token_is_revoked_ends_with_a_sentence(night):
    """Calls with it are answered by 401, and 10,000 of those ban the address."""
    await night.start_bot()
    await night.deploy()
    night.discord.faults.add(status=401, times=None)
    await night.person("guest").react(night.cards[0], "✅")
    assert "Discord does not accept the token" in await night.ends()
    assert len(night.discord.faults.met) < 10
