"""What Greenlight remembers: releases, votes, cards, and an append-only journal of events."""

from bot.store.engine import connect, migrate
from bot.store.exclusive import exclusive
from bot.store.inspection import Inspection, inspect
from bot.store.store import Card, Event, Outdated, Page, Store, Taken
from bot.store.trouble import StoreError, Unusable

__all__ = [
    "Card",
    "Event",
    "Inspection",
    "Outdated",
    "Page",
    "Store",
    "StoreError",
    "Taken",
    "Unusable",
    "connect",
    "exclusive",
    "inspect",
    "migrate",
]
