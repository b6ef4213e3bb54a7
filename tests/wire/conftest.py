"""The bot as its own process, over real HTTP and a real websocket, while what it talks to fails."""

import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))  # the team and its cluster
sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))  # and what goes with those

from night import Night
from targets import Sandbox


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    """Everybody at work, blue live with two pods, the bot not yet started. It must not end before it is told to."""
    target = Sandbox(f"mochi-{secrets.token_hex(4)}")
    async with target.running(), Night(target, tmp_path).at_work() as made:
        await made.install()
        yield made
        made.discord.faults.clear()
        await made.go_home()
    assert made.discord.token not in made.log.read_text()
    assert made.discord.rest.gaps == []
