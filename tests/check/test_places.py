"""Registry and database: each fault is one finding, with its fix."""

import base64
import contextlib
import json
import sqlite3

import pytest

from bot.check.finding import State
from bot.store import migrate
from sandbox.registry import Registry


async def test_a_registry_that_is_away_hides_nothing_else(checked, team):
    team.reconfigure(more=f'images = ["{team.registry.host}/mochi"]', image="127.0.0.1:9/mochi")
    found = await checked()
    [wrong] = found.wrong
    assert (wrong.part, wrong.about, wrong.state) == ("app mochi", "registry", State.FAIL)
    assert "127.0.0.1:9" in wrong.sentence
    assert [each.state for each in found if each.about == "registry"] == [State.FAIL, State.OK]


async def test_a_repository_that_is_not_there_fails(checked, team):
    team.reconfigure(more=f'images = ["{team.registry.host}/mochi-typo"]')
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("app mochi", "registry", State.FAIL)
    assert "mochi-typo" in wrong.sentence
    assert "`image`" in wrong.fix


async def test_a_registry_that_does_not_let_us_in_fails_and_says_where_logins_are_read(checked, team):
    await team.registry.stop()
    team.registry = Registry(credentials=("bot", "a-secret"))
    await team.registry.start()
    file = team.folder / "greenlight.toml"
    old = team._values["image"].partition("/")[0]
    file.write_text(file.read_text().replace(old, team.registry.host))
    [wrong] = [each for each in (await checked()).wrong if each.about == "registry"]
    assert wrong.state is State.FAIL
    assert wrong.fix.startswith("It was asked without a login: see whether that is right")
    assert "config.json in DOCKER_CONFIG" in wrong.fix


async def test_who_asks_a_registry_is_told_and_the_password_is_not(checked, team):
    await team.registry.stop()
    team.registry = Registry(credentials=("greenlight-bot", "a-secret"))
    await team.registry.start()
    file = team.folder / "greenlight.toml"
    file.write_text(file.read_text().replace(team._values["image"].partition("/")[0], team.registry.host))
    login = base64.b64encode(b"greenlight-bot:a-secret").decode()
    (team.folder / "config.json").write_text(json.dumps({"auths": {team.registry.host: {"auth": login}}}))
    found = await checked()
    [registry] = [each for each in found if each.about == "registry"]
    assert registry.sentence.endswith("; asked as greenlight-bot.")
    assert "a-secret" not in str(found)


async def test_a_repository_without_tags_is_a_warning(checked, team):
    team.registry._tags["empty"] = {}
    team.registry._manifests["empty"] = {}
    team.reconfigure(more=f'images = ["{team.registry.host}/empty"]')
    [wrong] = (await checked()).wrong
    assert (wrong.about, wrong.state) == ("registry", State.WARN)
    assert wrong.sentence.endswith("/empty has no tags yet.")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("text", "file is not a database"),
        ("newer", "was made by a newer Greenlight"),
        ("directory", "is a folder"),
        ("another", "holds tables of something else"),
        ("damaged", "is damaged ("),
    ],
)
async def test_a_database_that_cannot_be_used_fails_and_is_left_as_it_is(checked, team, spoil, said):
    place = team.folder / "greenlight.db"
    if spoil == "text":
        place.write_text("hello, this is some text" * 100, "utf-8")
    elif spoil == "directory":
        place.mkdir()
    elif spoil == "damaged":
        await migrate(team.environment["DATABASE_URL"])
        whole = bytearray(place.read_bytes())
        whole[4096:8192] = b"\xff" * 4096
        place.write_bytes(whole)
    else:
        table = "alembic_version (version_num)" if spoil == "newer" else "customers (name)"
        with contextlib.closing(sqlite3.connect(place)) as database, database:
            database.execute(f"create table {table}")
            database.execute(f"insert into {table.split(maxsplit=1)[0]} values ('9999')")
    before = None if place.is_dir() else place.read_bytes()
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("database", "database", State.FAIL)
    assert wrong.sentence.startswith(f"DATABASE_URL: {place}: ")
    assert said in wrong.sentence + wrong.fix
    assert wrong.fix
    assert before is None or place.read_bytes() == before


async def test_an_empty_database_is_told_to_get_its_tables_at_the_start(checked, team):
    place = team.folder / "greenlight.db"
    place.touch()
    [database] = [each for each in await checked() if each.part == "database"]
    assert (database.state, place.stat().st_size) == (State.OK, 0)
    assert database.sentence.startswith(f"{place} will get ")


async def test_a_database_in_memory_fails(checked, team):
    """A restart would forget what is under way, and the claim on the Service with it."""
    team.environment["DATABASE_URL"] = "sqlite+aiosqlite://"
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.state) == ("database", State.FAIL)
    assert wrong.fix == "Set DATABASE_URL to a file on a volume."
