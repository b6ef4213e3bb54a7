"""When cards are drawn: drawing takes turns from the loop, so not while traffic is about to be moved."""

import asyncio

import structlog

from bot.ports import Cards
from bot.release.record import Release

log = structlog.get_logger()

CARDS_WAIT = 1.0
"""Seconds at most for which cards are not drawn while traffic is about to be moved."""


class Drawing:
    def __init__(self, cards: Cards) -> None:
        self._cards = cards
        self._waiting: dict[str, dict[str, Release]] = {}
        """By app whose cards wait, by label, what is to be drawn then."""

    def wait(self, app: str) -> None:
        """Until `go_on`, or for `CARDS_WAIT`."""
        self._waiting.setdefault(app, {})
        asyncio.get_running_loop().call_later(CARDS_WAIT, self.go_on, app)

    def go_on(self, app: str) -> None:
        for release in self._waiting.pop(app, {}).values():
            self.draw(release)

    def draw(self, release: Release) -> None:
        """Its card may be out of date."""
        if release.app in self._waiting:
            self._waiting[release.app][release.label] = release
            return
        try:
            self._cards.changed(release)
        except Exception:  # Discord never decides about traffic, nor does whoever draws for it
            log.exception("card not drawn", release=release)
