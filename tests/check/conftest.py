"""What `greenlight check` finds of a team that is set up rightly, until a test spoils something."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "gates"))  # the server that answers as a test says

from checked_team import Team
from discord.http import Route

from bot.check.checkup import check
from bot.check.finding import Finding, State


class Checked(list[Finding]):
    @property
    def wrong(self) -> list[Finding]:
        return [each for each in self if each.state is not State.OK]


@pytest.fixture
def runs_on() -> type[Team]:
    """What the team runs on; a file of tests may say that it is something else."""
    return Team


@pytest.fixture
async def team(runs_on: type[Team], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Team]:
    monkeypatch.setattr(Route, "BASE", Route.BASE)  # put back what a check sets for its process
    made = runs_on(tmp_path)
    await made.start()
    yield made
    await made.stop()
    assert made.discord.rest.gaps == []


@pytest.fixture
def checked(team: Team, monkeypatch: pytest.MonkeyPatch) -> Any:
    async def run() -> Checked:
        return Checked(await check(team.settings(monkeypatch), team.now))

    return run
