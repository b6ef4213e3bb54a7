"""The loop that moves every release on, and what it needs for that."""

from bot.controller.loop import Controller, Moment

__all__ = ["Controller", "Moment"]
