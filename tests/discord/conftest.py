"""discord.py is imported before the tests are: `-W error` would stop at a deprecation inside it."""

import warnings

with warnings.catch_warnings():
    # discord.py 2.7.1 imports audioop, which leaves Python in 3.13; it works without.
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord  # noqa: F401 - imported for its side effect on the import of everything after it

import pytest
from stage import opened


@pytest.fixture
async def stage(tmp_path, monkeypatch):
    """The whole bot on a simulated Discord, before a simulated cluster: blue is live."""
    async with opened(tmp_path, monkeypatch) as made:
        yield made
