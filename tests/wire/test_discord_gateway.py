"""Discord's gateway fails while people vote and roll back: nothing is lost, nothing counts twice, the bot stays."""

import pytest

from sandbox.discord.gateway import AUTHENTICATION_FAILED, DISALLOWED_INTENTS

RATE_LIMITED, SESSION_TIMED_OUT = 4008, 4009


async def cut(gateway):
    gateway.cut()


async def asked_to_reconnect(gateway):
    gateway.ask_to_reconnect()


async def asked_to_resume(gateway):
    gateway.invalidate(resumable=True)


async def invalidated(gateway):
    gateway.invalidate(resumable=False)


async def rate_limited(gateway):
    await gateway.end(RATE_LIMITED)


async def timed_out(gateway):
    gateway.forget_sessions()
    await gateway.end(SESSION_TIMED_OUT)


async def babbled(gateway):
    gateway.babble()


async def test_votes_around_gateways_that_break_count_once(night):
    """Each time, kim votes the other way while the bot is not there: what was sent meanwhile is sent again."""
    await night.start_bot()
    gateway = night.discord.gateway
    card, kim = await night.deploy(), night.person("kim")
    for broken in (cut, asked_to_reconnect, asked_to_resume, rate_limited):
        resumed = gateway.resumed
        await broken(gateway)
        if night.discord.message(card.channel_id, card.id).reactions["✅"] >= {"kim"}:
            await kim.unreact(card, "✅")
            await night.card("🟡", "waiting for QC and Lead")
        else:
            await kim.react(card, "✅")
            await night.card("🟡", "waiting for Lead")
        assert gateway.resumed == resumed + 1, broken
    assert gateway.identified == 1
    await night.approve(card)
    await night.card("🟢", "is live")
    await night.says("leo approved", "live")
    night.orderly(moves=1, repeated={"kim approved", "kim took the approval back"})
    assert night.told.count("kim approved") == 3
    assert night.told.count("leo approved") == 1
    form = await night.person("sam").click(night.cards[0], "Roll back")
    await night.person("sam").submit_modal(form, reason="night")
    await night.card("🟠", "was rolled back by @sam")
    assert await night.mochi.serving(2) == night.blue
    assert night.moves == 2


@pytest.mark.parametrize("broken", [invalidated, timed_out, babbled])
async def test_votes_around_a_session_that_is_lost_count_once(night, broken):
    """Nothing is sent again in a new session: the reactions are listed."""
    await night.start_bot()
    card = await night.deploy()
    await night.approve(card, "kim")
    await night.card("🟡", "waiting for Lead")
    await broken(night.discord.gateway)
    await night.approve(card, "leo")
    await night.card("🟢", "is live")
    assert night.discord.gateway.identified == 2
    await night.says("leo approved", "live")
    night.orderly(moves=1)


async def test_a_vote_that_was_taken_back_while_the_session_was_lost_does_not_count(night):
    await night.start_bot()
    card = await night.deploy()
    await night.approve(card, "kim")
    await night.card("🟡", "waiting for Lead")
    night.discord.go_down()
    night.discord.gateway.forget()
    await night.person("kim").unreact(card, "✅")
    await night.approve(card, "leo")
    night.discord.come_back()
    await night.card("🟡", "waiting for QC")
    assert night.moves == 0


async def test_a_gateway_that_closes_every_websocket_is_not_stormed(night):
    """discord.py resumes at once, for as long as it lasts."""
    await night.start_bot()
    card = await night.deploy()
    gateway = night.discord.gateway
    gateway.closes_with = RATE_LIMITED
    opened = gateway.opened
    gateway.cut()
    await night.sees(lambda: gateway.opened >= opened + 3, "some attempts")
    with pytest.raises(TimeoutError):
        await night.discord.until(lambda: gateway.opened > opened + 6, within=5, what="more than a few attempts")
    gateway.closes_with = None
    await night.approve(card)
    await night.card("🟢", "is live")
    night.orderly(moves=1)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [(AUTHENTICATION_FAILED, "Discord does not accept the token"), (DISALLOWED_INTENTS, "intents"), (4012, "4012")],
)
async def test_a_bot_that_discord_does_not_want_back_ends_with_a_sentence(night, code, sentence):
    await night.start_bot()
    await night.discord.gateway.end(code)
    assert sentence in await night.ends()


async def test_a_guild_that_is_out_is_waited_for(night):
    """Discord is there but for this guild: votes are not heard, roles cannot be read, so nothing is promoted."""
    await night.start_bot()
    card = await night.deploy()
    await night.approve(card, "kim")
    await night.card("🟡", "waiting for Lead")
    night.discord.gateway.guild_away(night.discord.guild_id)
    await night.logged("outage that takes our server out")
    await night.person("kim").unreact(card, "✅")
    await night.approve(card, "leo")
    night.discord.gateway.guild_back(night.discord.guild_id)
    await night.card("🟡", "waiting for QC")
    assert night.moves == 0
    await night.approve(card, "kim")
    await night.card("🟢", "is live")
    night.orderly(moves=1, repeated={"kim approved"})
