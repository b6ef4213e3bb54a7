"""The same commands as text: a message that mentions the bot, in the form of a slash command or by position."""

import pytest
from discord.ext.commands import Parameter

from bot.release.record import Phase
from cogs.typed import positional

DEPLOY = {
    "image": Parameter("image", Parameter.POSITIONAL_OR_KEYWORD, annotation=str),
    "app": Parameter("app", Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=str | None),
    "replace": Parameter("replace", Parameter.POSITIONAL_OR_KEYWORD, default=False, annotation=bool),
}
ROLLBACK = {
    "app": Parameter("app", Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=str | None),
    "reason": Parameter("reason", Parameter.KEYWORD_ONLY, default="", annotation=str),
}
HISTORY = {
    "app": Parameter("app", Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=str | None),
    "page": Parameter("page", Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=int | None),
    "since": Parameter("since", Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=str | None),
}


@pytest.mark.parametrize(
    ("parameters", "text", "ordered"),
    [
        (DEPLOY, "green", '"green"'),
        (DEPLOY, "image:green", '"green"'),
        (DEPLOY, "app:mochi image:green", '"green" "mochi"'),
        (DEPLOY, "green mochi", '"green" "mochi"'),
        (DEPLOY, "green replace:True", '"green" "" "True"'),
        (DEPLOY, "mochi:green", '"mochi:green"'),
        (DEPLOY, "image:app:green", '"app:green"'),
        (DEPLOY, "registry.example.com:5000/mochi:green mochi", '"registry.example.com:5000/mochi:green" "mochi"'),
        (DEPLOY, 'image:gr"een', '"gr\\"een"'),
        (DEPLOY, "image:", '"image:"'),
        (DEPLOY, "", ""),
        (DEPLOY, "green mochi True extra", '"green" "mochi" "True" extra'),
        (ROLLBACK, "mochi it is slow", '"mochi" it is slow'),
        (ROLLBACK, "reason:it is slow", '"" it is slow'),
        (ROLLBACK, "app:mochi reason: it is: slow", '"mochi" it is: slow'),
        (HISTORY, "page:2", '"" "2"'),
        (HISTORY, "since:7d", '"" "7d"'),
    ],
)
def test_words_are_put_in_the_order_of_the_parameters(parameters, text, ordered):
    assert positional(text, parameters) == ordered


@pytest.mark.parametrize(
    "text", ["deploy image:green app:mochi", "deploy green mochi", "deploy green", "deploy app:mochi image:green"]
)
async def test_a_release_is_begun_by_text(stage, text):
    reply = await stage.write(stage.ann, text)
    assert reply.content.startswith("mochi #1 (`mochi:green`) is being prepared: https://discord.com/")
    assert await stage.phase() is Phase.READY
    assert (await stage.world.newest()).author.id == stage.ann.id


async def test_replace_by_text(stage):
    await stage.deploy("green")
    reply = await stage.write(stage.ann, "deploy purple")
    assert "is still open" in reply.content
    reply = await stage.write(stage.ann, "deploy purple replace:True")
    assert reply.content.startswith("mochi #2 (`mochi:purple`)")


async def test_a_refusal_by_text_is_a_reply_that_mentions_nobody(stage):
    reply = await stage.write(stage.guest, "deploy green")
    assert reply.content == f"Only {stage.roles['Developer'].mention} may deploy mochi. You do not have that role."
    assert stage.messages[-1]["allowed_mentions"] == {"parse": [], "replied_user": False}


async def test_rollback_status_history_and_releases_by_text(stage):
    await stage.go_live()
    await stage.advance(minutes=6)
    assert (await stage.write(stage.guest, "status mochi")).embeds[0].title == "mochi"
    assert "#1 green" in (await stage.write(stage.guest, "history page:1")).embeds[0].description
    assert "#1" in (await stage.write(stage.guest, "releases")).embeds[0].description
    reply = await stage.write(stage.sam, "rollback reason:much too slow")
    assert reply.content.startswith("mochi #1 is being rolled back.")
    assert (await stage.world.newest()).reason == "much too slow"
    assert stage.world.serving() == {"blue"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dance", "I know `deploy`, `rollback`, `status`, `history` and `releases`."),
        ("deploy", "That was not understood: image is a required argument"),
        ("deploy green mochi maybe", "That was not understood: maybe is not a recognised boolean option."),
        ("deploy green mocha", "There is no app `mocha`. The apps are `mochi`."),
        ("history since:someday", "`someday` is not a date"),
    ],
)
async def test_what_is_not_understood_is_answered_with_what_is(stage, text, says):
    reply = await stage.write(stage.ann, text)
    assert says in reply.content
    assert await stage.world.store.newest("mochi") is None


async def test_text_without_the_mention_is_none_of_our_business(stage):
    before = len(stage.messages)
    await stage.ann.send(stage.channel, "deploy green")
    await stage.settle()
    assert len(stage.messages) == before


async def test_bots_and_webhooks_do_not_command(stage):
    robot = stage.guild.add_member(stage.env.create_user("robot", bot=True), roles=[stage.roles["Developer"]])
    assert await stage.write(robot, "deploy green") is None
    webhook = stage.guild.create_webhook(stage.channel, "ann")
    await webhook.send(f"<@{stage.bot.user.id}> deploy green")
    await stage.settle()
    assert await stage.world.store.newest("mochi") is None


async def test_in_another_guild_nothing_is_done(stage):
    """S1: roles of the same name elsewhere mean nothing."""
    other = stage.env.create_guild("Other")
    channel = other.create_text_channel("mochi")
    role = other.create_role("Developer")
    eve = other.add_member(stage.env.create_user("eve"), roles=[role])
    reply = await stage.write(eve, "deploy green mochi", channel)
    assert reply.content == "Greenlight works on the server of its team only."
    assert await stage.world.store.newest("mochi") is None


async def test_slash_commands_of_another_guild_do_nothing_either(stage):
    other = stage.env.create_guild("Other")
    channel = other.create_text_channel("mochi")
    eve = other.add_member(stage.env.create_user("eve"), roles=[other.create_role("Developer")])
    for command in stage.bot.tree.get_commands(guild=stage.bot.guild):
        stage.bot.tree.add_command(command, guild=other)
    await stage.bot.tree.sync(guild=other)
    answer = await stage.slash(eve, "deploy", image="green", app="mochi", channel=channel)
    assert answer.ephemeral
    assert answer.response.content == "Greenlight works on the server of its team only."
    assert await stage.world.store.newest("mochi") is None
    assert await eve.autocomplete(channel, "deploy", "app", "") in ([], None)
