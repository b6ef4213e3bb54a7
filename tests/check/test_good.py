"""Where everything is right the check says so, part by part, and changes nothing."""

import click

from bot.check import rendering
from bot.check.finding import State
from bot.store import migrate


async def test_a_team_that_is_set_up_rightly_has_no_warning(checked):
    found = await checked()
    assert found.wrong == []
    assert list(dict.fromkeys(each.part for each in found)) == [
        "settings",
        "database",
        "Discord",
        "cluster",
        "app mochi",
    ]
    told = {(each.part, each.about): each.sentence for each in found}
    assert told["app mochi", "#mochi"] == "has all permissions that are needed."
    assert told["app mochi", "roles"] == "Developer, Lead, On call, QC"
    assert told["app mochi", "slots"].endswith("mochi:blue, mochiapp-green is idle.")
    assert told["cluster", "API server"].startswith("answers, version v1.")
    assert {each.state for each in found} == {State.OK}


async def test_the_invitation_has_exactly_the_scopes_and_permissions_of_the_readme(checked, team):
    [link] = [each.sentence for each in await checked() if each.about == "invitation"]
    # View Channel, Send Messages, … as numbered in Discord's documentation of permissions.
    bits = (1 << 10, 1 << 11, 1 << 38, 1 << 35, 1 << 14, 1 << 15, 1 << 6, 1 << 13, 1 << 16)
    application = team.discord.env.backend.application_id
    assert link == (
        f"https://discord.com/oauth2/authorize?client_id={application}&scope=bot+applications.commands"
        f"&permissions={sum(bits)}&guild_id={team.discord.guild_id}"
    )


async def test_a_check_changes_nothing_anywhere(checked, team):
    """Neither an object, nor a message, nor a file: a check is run on a Friday evening too."""
    files = {each.name for each in team.folder.iterdir()}
    version = team.cluster.objects.version
    await checked()
    assert team.cluster.objects.version == version
    assert {write.method for write in team.cluster.server.writes} <= {"POST"}
    assert {write.path.rpartition("/")[2] for write in team.cluster.server.writes} == {"selfsubjectaccessreviews"}
    assert all(request.method == "GET" for request in team.discord.env.backend.http_requests)
    assert {each.name for each in team.folder.iterdir()} == files


async def test_a_database_that_is_there_is_looked_at_and_left_as_it_is(checked, team):
    await migrate(team.environment["DATABASE_URL"])
    place = team.folder / "greenlight.db"
    before = place.read_bytes()
    [database] = [each for each in await checked() if each.part == "database"]
    assert (database.state, database.sentence) == (State.OK, f"{place} is up to date.")
    assert place.read_bytes() == before


async def test_the_table_fits_in_a_hundred_columns_but_for_what_is_to_be_copied(checked, team):
    lines = click.unstyle(rendering.table(await checked())).splitlines()
    assert lines[-1] == "All is right."
    copied = ("https://discord.com/", str(team.folder))
    long = [line for line in lines if len(line) > rendering.WIDEST and not any(each in line for each in copied)]
    assert long == []
    assert "  ok    #mochi       has all permissions that are needed." in lines
