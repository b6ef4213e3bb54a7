"""Fixtures for all tests."""

from collections.abc import AsyncIterator

import pytest

from world import World, example


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[World]:
    """Mochi, blue live with two pods, behind a Service that selects only `app: mochi`."""
    made = World(tmp_path / "greenlight.db", example())
    await made.start()
    yield made
    await made.store.close()
