"""Runs the automatic checks of candidates and writes down what came of them."""

from bot.gates.runner import GateRunner

__all__ = ["GateRunner"]
