"""Runs the automatic checks of candidates and of what is live, and writes down what came of them."""

from bot.gates.guarding import GuardRunner
from bot.gates.runner import GateRunner

__all__ = ["GateRunner", "GuardRunner"]
