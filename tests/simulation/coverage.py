"""What has to have happened in many runs: a random walk that never promotes proves nothing."""

from collections.abc import Iterable

from bot.release.record import Phase
from simulation.backends import BACKENDS
from simulation.gates import FAILS, HANGS, NOTHING, PASSES, WAYS
from simulation.runs import Result
from simulation.stories import told

ALWAYS = (
    *(f"phase: {phase}" for phase in Phase),
    "crash",
    "a write in flight at a crash",
    "a write came late",
    "switched",
    "switched back",
    *(f"a gate {way}" for way in WAYS if way != HANGS),
    "a gate is cut off",
    "a gate hangs until its time limit",
    "a gate passes too late",
    "a gate is repeated",
    "a gate is accepted",
    "a gate runs again after a crash",
    "a gate speaks of what waits no longer",
    "something changes while a gate runs",
    "switched although a gate that warns did not pass",
    "taken back while a gate runs",
    *(f"a guard {way}" for way in (PASSES, FAILS, NOTHING)),
    "a guard takes it back",
    "kept in spite of a guard",
)
ON_ONE = {
    "native": ("changed between look and switch",),
    "argo": ("nudged", "promoted outside", "routed: promoted", "routed: deadline", "routed: full", "routed: service"),
}


SELDOM = frozenset(
    {
        "somebody aborts and retries",
        "somebody undoes",
        "the analysis fails",
        "the candidate is put in again",
        "the rollout is scaled",
    }
)
"""They need a coincidence that some thousand lives on a Rollout may lack."""


def needed(backends: Iterable[str]) -> frozenset[str]:
    """Of lives on these backends."""
    ours = [BACKENDS[each] for each in backends]
    deeds = (what for each in ours for what in (*each.deeds, *each.weather))
    stories = {f"{story.name}: ended as planned" for each in backends for story in told(each)}
    return frozenset((*ALWAYS, *stories, *deeds, *(what for each in backends for what in ON_ONE[each]))) - SELDOM


def missing(result: Result, backends: Iterable[str]) -> list[str]:
    return sorted(what for what in needed(backends) if not result.counts[what])
