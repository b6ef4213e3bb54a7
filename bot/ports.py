"""What the controller needs of the world around it. It awaits nothing else, so a simulation can drive the same code."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from bot.registry import Resolved
from bot.release.app import App
from bot.release.image import Image
from bot.release.record import Person, Release
from bot.release.snapshot import Check


class Unreachable(Exception):
    """Discord cannot be asked right now."""


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC."""

    async def wait(self, bell: asyncio.Event, until: datetime | None) -> None:
        """Until the bell is set or the time has come, whichever is first; `until` None is never."""


class People(Protocol):
    async def people(self, ids: Collection[int]) -> Mapping[int, Person]:
        """These members with their roles as they are now; who has left is absent. Raises `Unreachable`."""


class Members(Protocol):
    async def members(self, ids: Collection[int]) -> Mapping[int, Person]:
        """Those of them who are in the guild, whether or not votes can be counted now. Raises `Unreachable`."""


class Cards(Protocol):
    def changed(self, release: Release) -> None:
        """The card of the release may be out of date. Never blocks, never raises."""


class Adopting(Protocol):
    async def adopt(self, app: App, newest: Release | None) -> Release | None:
        """Open a release for a version that somebody else brings up beside the live one, if it is not that of `newest`.

        None when there is none, or when somebody was quicker. Raises `ClusterError` and `StoreError`.
        """


class Attending(Protocol):
    def attend(self, app: App, release: Release) -> None:
        """The record of the app's newest release is as it says: run the checks that it asks for, and no others.

        Never blocks, never raises.
        """


class Watch(Protocol):
    def readings(self, app: App, release: Release) -> tuple[Check, ...]:
        """One for each guard that has to run, in the order of the file, with what it measured last. Never raises."""


class Images(Protocol):
    async def resolve(self, image: Image) -> Resolved:
        """Raises `RegistryError`."""

    async def suggest(self, image: Image, typed: str) -> list[str]:
        """Never raises, answers within a second."""
