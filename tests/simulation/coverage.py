"""What has to have happened in many runs: a random walk that never promotes proves nothing."""

from bot.release.record import Phase
from simulation.meddlers import DEEDS, WEATHER
from simulation.runs import Result
from simulation.stories import STORIES

NEEDED = (
    *(f"{story}: ended as planned" for story in STORIES),
    *(f"phase: {phase}" for phase in Phase),
    *DEEDS,
    *WEATHER,
    "crash",
    "a write in flight at a crash",
    "a write came late",
    "switched",
    "switched back",
    "changed between look and switch",
)


def missing(result: Result) -> list[str]:
    return [what for what in NEEDED if not result.counts[what]]
