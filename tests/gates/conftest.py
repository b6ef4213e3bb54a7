import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from answering import Answering, answering

from bot.release.record import Person, Phase, Release, Version

sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))  # what was built for the tests on real parts


@pytest.fixture
async def server() -> AsyncIterator[Answering]:
    async with answering() as made:
        yield made


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
def ready() -> Release:
    """A release that waits for approval; what is live was there before it."""
    image = "registry.example.com/mochi@sha256:" + "a" * 64
    moment = datetime(2026, 1, 5, 9, tzinfo=UTC)
    return Release(
        app="mochi",
        number=7,
        label="mochi-7-k3f9q2",
        image=image,
        asked="mochi:green",
        digests=frozenset(),
        author=Person(1, "ann"),
        slot="mochiapp-green",
        selector={"app": "mochi", "greenlight.dev/release": "mochi-7-k3f9q2"},
        previous=Version("registry.example.com/mochi:blue", "mochiapp-blue", {"app": "mochi", "color": "blue"}),
        created_at=moment,
        since=moment,
        phase=Phase.READY,
        ready_at=moment,
    )
