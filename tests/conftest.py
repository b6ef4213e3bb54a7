"""Fixtures for all tests."""

import warnings
from collections.abc import AsyncIterator

import pytest

with warnings.catch_warnings():
    # discord.py 2.7.1 imports audioop, which leaves Python in 3.13; it works without.
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord  # noqa: F401 - imported here, once, for whoever imports it later

from world import World, example


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[World]:
    """Mochi, blue live with two pods, behind a Service that selects only `app: mochi`."""
    made = World(tmp_path / "greenlight.db", example())
    await made.start()
    yield made
    await made.store.close()
