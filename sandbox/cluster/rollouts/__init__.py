"""Argo Rollouts, for the blueGreen strategy: a controller that behaves like Argo's own 1.9.1, also where that hurts.

    cluster.rollouts.stop()                         # the controller is dead, or asleep
    cluster.rollouts.resume()
    cluster.rollouts.lose_next_write("mochi", "mochiapp")
    cluster.analyses.expect("probe", "Failed", value="0.42")

`controller.py` decides when to look at a Rollout, `reconcile.py` is one look, and everything else here is a part of it.
"""

from sandbox.cluster.rollouts.controller import Rollouts
from sandbox.cluster.rollouts.measuring import AnalysisRuns

__all__ = ["AnalysisRuns", "Rollouts"]
