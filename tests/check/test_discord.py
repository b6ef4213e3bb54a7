"""What can be wrong on Discord: each fault is exactly one finding, with its fix."""

from datetime import timedelta

import discord
import pytest
from simcord.backend.models import Overwrite
from simcord.enums import OverwriteType

from bot.check.finding import State
from bot.check.guild import PERMISSIONS
from sandbox.discord import DiscordServer, World

ALL = discord.Permissions(**{each.flag: True for each in PERMISSIONS}, mention_everyone=True)
NEEDED = {"view_channel", "send_messages", "embed_links", "read_message_history"}


def without(flag: str) -> discord.Permissions:
    return discord.Permissions(ALL.value & ~getattr(discord.Permissions, flag).flag)


@pytest.mark.parametrize("permission", PERMISSIONS, ids=lambda each: each.flag)
async def test_a_permission_that_is_missing_is_told_with_what_works_without_it(checked, team, permission):
    team.role("Lead").mentionable = team.role("QC").mentionable = True
    everyone = team.discord.env.backend.get_guild(team.discord.guild_id).everyone_role
    everyone.permissions = 0
    team.allow(without(permission.flag))
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about) == ("app mochi", "#mochi")
    assert wrong.state is (State.FAIL if permission.flag in NEEDED else State.WARN)
    assert wrong.sentence == f"{permission.shown} is missing: {permission.without}."
    assert wrong.fix.startswith("Allow it for the bot's role, or invite the bot again: https://discord.com/oauth2/")


async def test_what_only_the_channel_denies_is_to_be_allowed_in_the_channel(checked, team):
    """To invite the bot again would change nothing."""
    deny = discord.Permissions(manage_messages=True)
    channel = team.discord.env.backend.get_channel(team.discord.channel_id("mochi"))
    overwrite = Overwrite(target_id=team.bots_role.id, type=OverwriteType.ROLE, allow=0, deny=deny.value)
    team.discord.env.backend.edit_channel(channel.id, {}, overwrites=[overwrite])
    [wrong] = (await checked()).wrong
    assert wrong.state is State.WARN
    assert wrong.fix == "Allow it for the bot's role in #mochi (Edit Channel → Permissions)."


async def test_a_channel_that_is_gone_or_elsewhere_fails(checked, team):
    other = team.discord.env.create_guild("Elsewhere").create_text_channel("mochi")
    for channel in (4711, other.id):
        team.reconfigure(channel=channel)
        [wrong] = (await checked()).wrong
        assert (wrong.part, wrong.about, wrong.state) == ("app mochi", "channel", State.FAIL)
        assert wrong.sentence == f"{channel} was deleted, or is on another server."
        assert wrong.fix == "Set `channel` in [apps.mochi] to the id of a text channel of Mochi Ltd."


@pytest.mark.parametrize("kind", ["voice", "forum"])
async def test_a_channel_that_is_no_text_channel_fails(checked, team, kind):
    channel = getattr(team.discord._guild, f"create_{kind}_channel")("lounge")
    team.reconfigure(channel=channel.id)
    [wrong] = (await checked()).wrong
    assert (wrong.about, wrong.state) == ("#lounge", State.FAIL)
    assert wrong.sentence == f"is no text channel but one of the kind {kind}."


async def test_a_role_that_nobody_can_have_fails(checked, team):
    team.reconfigure(deployers=4711)
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("app mochi", "role 4711", State.FAIL)
    assert wrong.sentence == "is no role of Mochi Ltd: nobody has it."
    assert wrong.fix == "Put the id of a role of your team into `deployers` of [apps.mochi]."


async def test_s1_a_role_that_an_integration_gives_fails(checked, team):
    """Whoever subscribes or boosts would approve."""
    team.role("QC").managed = True
    [wrong] = (await checked()).wrong
    assert (wrong.about, wrong.state) == ("role QC", State.FAIL)
    assert wrong.sentence == "belongs to an integration, which decides who has it: it does not count."
    assert "`approval.require` of [apps.mochi]" in wrong.fix


async def test_a_role_that_cannot_be_pinged_is_told_unless_nobody_is_to_be_pinged(checked, team):
    team.role("QC").mentionable = False
    assert (await checked()).wrong == []  # the bot may mention all roles
    team.allow(without("mention_everyone"))
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("app mochi", "role QC", State.WARN)
    assert "Allow anyone to @mention this role" in wrong.fix
    team.reconfigure(more='notify = "off"')
    assert (await checked()).wrong == []


async def test_a_bot_that_is_not_on_the_server_fails_with_the_invitation(checked, team):
    file = team.folder / "greenlight.toml"
    file.write_text(file.read_text().replace(f"guild = {team.discord.guild_id}", "guild = 4711"))
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("Discord", "server", State.FAIL)
    assert "or invite the bot: https://discord.com/oauth2/authorize?" in wrong.fix
    assert wrong.fix.endswith("&guild_id=4711")


async def test_a_bot_without_the_scope_for_commands_fails_with_the_invitation(checked, team):
    team.discord.faults.add("GET", "/applications/*/guilds/*/commands", status=403)
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("Discord", "commands", State.FAIL)
    assert "applications.commands" in wrong.sentence
    assert "https://discord.com/oauth2/authorize?" in wrong.fix


async def test_registered_commands_are_listed(checked, team):
    team.discord.env.backend.commands[team.discord.guild_id] = {
        (name, 1): {"id": str(n), "application_id": "1", "name": name, "type": 1, "description": name, "version": "1"}
        for n, name in enumerate(("status", "deploy"), 1)
    }
    [commands] = [each for each in await checked() if each.about == "commands"]
    assert (commands.state, commands.sentence) == (State.OK, "/deploy, /status")


@pytest.mark.parametrize(
    ("setting", "state", "said"),
    [
        ({"interactions_endpoint_url": "https://example.com/"}, State.FAIL, "has an Interactions Endpoint URL"),
        ({"bot_require_code_grant": True}, State.WARN, "requires an OAuth2 code grant"),
    ],
)
async def test_a_setting_of_the_developer_portal_that_keeps_the_bot_from_work_is_told(
    checked, team, setting, state, said
):
    team.discord.rest.application = setting
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("Discord", "application", state)
    assert wrong.sentence.startswith(said)
    assert "Developer Portal" in wrong.fix


async def test_a_bot_that_may_do_everything_is_told(checked, team):
    team.allow(discord.Permissions.all())
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("Discord", "permissions", State.WARN)
    assert wrong.fix.startswith("Take Administrator away")


async def test_a_wrong_token_is_one_finding_that_does_not_contain_it(checked, team):
    team.environment["DISCORD_TOKEN"] = "a.wrong.token"
    found = await checked()
    [wrong] = found.wrong
    assert (wrong.part, wrong.about, wrong.state) == ("Discord", "token", State.FAIL)
    assert wrong.fix == "Copy it again from the Discord Developer Portal (Bot → Reset Token)."
    assert not [each for each in found if "a.wrong.token" in f"{each.sentence}{each.fix}"]


async def test_a_discord_that_is_away_hides_nothing_else(checked, team):
    team.environment["DISCORD_API_URL"] = "http://127.0.0.1:9/api/v10"
    found = await checked()
    [wrong] = found.wrong
    assert (wrong.part, wrong.about, wrong.state) == ("Discord", "Discord", State.FAIL)
    assert {each.part for each in found} == {"settings", "database", "Discord", "cluster", "app mochi"}


@pytest.mark.parametrize(("ahead", "state"), [(10, State.WARN), (-10, State.WARN), (100, State.FAIL), (3, State.OK)])
async def test_a_clock_that_is_wrong_is_told_by_whoever_it_is_compared_with(checked, team, ahead, state):
    """Seconds are seen on the cards; a minute is one in which an approval expires, once NTP has caught up."""
    right = team.now
    team.now = lambda: right() + timedelta(seconds=ahead)
    clocks = [each for each in await checked() if each.about == "clock"]
    assert [(each.part, each.state) for each in clocks] == [("Discord", state), ("cluster", state)]
    if state is not State.OK:
        side = "ahead of" if ahead > 0 else "behind"
        assert all(f" s {side} that of " in each.sentence and "NTP" in each.fix for each in clocks)


async def test_names_from_discord_do_not_steer_the_terminal(checked, team):
    """S19: an escape sequence in a channel's name."""
    from bot.check.rendering import table  # noqa: PLC0415 - beside its only use

    team.discord.env.backend.get_channel(team.discord.channel_id("mochi")).name = "mo\x1b[2Jchi\u202e"
    shown = table(await checked())
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown


def test_the_simulated_discord_lets_the_bot_do_what_is_asked_of_it():
    """Else the tests above would prove nothing."""
    server = DiscordServer(World(channels=("mochi",)))
    backend = server.env.backend
    [role] = backend.get_member(server.guild_id, backend.bot_user.id).role_ids
    allowed = backend.get_guild(server.guild_id).roles[role].permissions
    assert allowed & ALL.value == ALL.value
