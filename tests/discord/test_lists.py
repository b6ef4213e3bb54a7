"""`/status`, `/releases` and `/history`: what is live, what is open, what was."""

import pytest

from bot.clusters.errors import Away


def fields(answer):
    return {field.name: field.value for field in answer.response.embeds[0].fields}


async def test_status_before_the_first_release_says_what_is_live(stage):
    answer = await stage.slash(stage.guest, "status")
    assert answer.ephemeral
    shown = fields(answer)
    assert shown["Live"] == "`mochi:blue`, 2 of 2 pods ready"
    assert shown["Open release"] == "none"
    assert shown["Addresses"].startswith("Production: https://mochi.example.com/")


async def test_status_links_to_the_open_release(stage):
    await stage.deploy()
    shown = fields(await stage.slash(stage.guest, "status", app="mochi"))
    card = await stage.card()
    assert shown["Open release"].startswith(
        "🟡 mochi #1 (green) is waiting for QC and Lead [card](https://discord.com/"
    )
    assert shown["Open release"].endswith(f"/{card.id})")
    assert shown["Live"].startswith("`mochi:blue`")


async def test_status_says_since_when_and_by_whom_and_how_long_the_last_ones_took(stage):
    await stage.go_live()
    await stage.advance(minutes=6)
    shown = fields(await stage.slash(stage.guest, "status"))
    assert "by @ann" in shown["Live"]
    assert "since <t:" in shown["Live"]
    assert "2 of 2 pods ready" in shown["Live"]
    assert shown["Last releases"].startswith("🟢 #1 green · went live · 0 s [card](")


async def test_status_says_why_it_cannot_be_said(stage):
    def fault(_):
        raise Away("the API server of eu-1 did not answer")

    stage.world.api.fault = fault
    answer = await stage.slash(stage.guest, "status")
    assert answer.response.embeds[0].description == "⏳ the API server of eu-1 did not answer"
    assert fields(answer)["Live"] == "not known"


async def test_the_board_has_one_line_for_each_app_with_the_sign_first(stage):
    answer = await stage.slash(stage.guest, "releases")
    assert answer.response.embeds[0].description == "⚪ mochi: no release yet"
    await stage.deploy()
    answer = await stage.slash(stage.guest, "releases")
    assert answer.response.embeds[0].description.startswith("🟡 mochi #1 (green) is waiting for QC and Lead [card](")


async def test_a_board_of_many_apps_is_cut_and_says_how_many_more_there_are(stage):
    app = stage.world.app
    stage.world.desk.apps = {f"app-{number}-{'x' * 200}": app for number in range(60)}
    answer = await stage.slash(stage.guest, "releases")
    lines = answer.response.embeds[0].description.splitlines()
    assert lines[-1] == f"… and {60 - (len(lines) - 1)} more"
    assert len(lines) > 10


async def history(stage, **options):
    answer = await stage.slash(stage.guest, "history", **options)
    return answer, (answer.response.embeds[0].description or "").splitlines()


async def twelve(stage):
    for _ in range(12):
        await stage.deploy()
        await stage.react(stage.kim, "⛔")


async def test_history_shows_ten_a_page_newest_first_and_turns_pages(stage):
    await twelve(stage)
    answer, lines = await history(stage)
    assert [line.split()[1] for line in lines] == [f"#{number}" for number in range(12, 2, -1)]
    assert answer.response.embeds[0].title == "mochi · releases · page 1 of 2"
    assert lines[0].startswith("⚪ #12 green · rejected by @kim · 0 s · <t:")
    assert "asked by @ann [card](https://discord.com/channels/" in lines[0]
    turned = await stage.guest.click(answer.response, label="Older")
    embed = turned.response.embeds[0] if turned.response else answer.response.embeds[0]
    assert [line.split()[1] for line in embed.description.splitlines()] == ["#2", "#1"]
    assert embed.title == "mochi · releases · page 2 of 2"
    back = await stage.guest.click(answer.response, label="Newer")
    embed = back.response.embeds[0] if back.response else answer.response.embeds[0]
    assert embed.title == "mochi · releases · page 1 of 2"


async def test_history_can_be_that_of_a_person_or_since_a_date(stage):
    await stage.deploy()
    await stage.react(stage.kim, "⛔")
    await stage.deploy(who=stage.bo)
    _, lines = await history(stage, person=stage.bo.user)
    assert [line.split()[1] for line in lines] == ["#2"]
    _, lines = await history(stage, since="2000-01-01")
    assert len(lines) == 2
    _, lines = await history(stage, since="2100-01-01")
    assert lines == ["No release matches."]
    answer, _ = await history(stage, since="365d")
    assert answer.response.embeds[0].title == "mochi · releases"


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "@everyone", "`", "-1d"])
async def test_a_date_that_is_none_is_refused_with_what_one_looks_like(stage, since):
    answer = await stage.slash(stage.guest, "history", since=since)
    assert "write it as 2026-01-31, or as an age such as 7d" in answer.response.content


@pytest.mark.parametrize("page", [-5, 0, 99, 10**9])
async def test_a_page_that_is_not_there_is_the_nearest_one(stage, page):
    await stage.deploy()
    _, lines = await history(stage, page=page)
    assert len(lines) == 1


async def test_all_apps_are_proposed_to_everybody_who_only_looks(stage):
    for command in ("status", "history"):
        offered = await stage.guest.autocomplete(stage.channel, command, "app", "mo")
        assert [each["value"] for each in offered] == ["mochi"]
