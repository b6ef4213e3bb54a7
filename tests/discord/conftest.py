"""discord.py is imported before the tests are: `-W error` would stop at a deprecation inside it."""

import warnings

with warnings.catch_warnings():
    # discord.py 2.7.1 imports audioop, which leaves Python in 3.13; it works without.
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord  # noqa: F401 - imported for its side effect on the import of everything after it

import asyncio
import shutil

import pytest
from stage import opened

from bot.store import migrate


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """Made once: it takes longer than most tests here."""
    file = tmp_path_factory.mktemp("database") / "empty.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture
async def stage(tmp_path, monkeypatch, empty_database):
    """The whole bot on a simulated Discord, before a simulated cluster: blue is live."""
    shutil.copy(empty_database, tmp_path / "greenlight.db")
    async with opened(tmp_path, monkeypatch) as made:
        yield made
