"""The stage of the tests with Discord."""

import asyncio
import shutil

import pytest
from stage import opened

from bot.store import migrate


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """Made once: it takes longer than most tests."""
    file = tmp_path_factory.mktemp("database") / "empty.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture
async def stage(tmp_path, monkeypatch, empty_database):
    """The whole bot on a simulated Discord, before a simulated cluster: blue is live."""
    shutil.copy(empty_database, tmp_path / "greenlight.db")
    async with opened(tmp_path, monkeypatch) as made:
        yield made
