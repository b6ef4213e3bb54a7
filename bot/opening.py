"""How a release begins on record: under a number and a label that never were, naming what is live before it."""

import dataclasses
import secrets
from collections.abc import Callable

from bot.clusters.cluster import LABEL, label_of
from bot.release.errors import Refused
from bot.release.image import is_same, parse
from bot.release.record import Release, Version
from bot.store import Event, Outdated, Store

TOKEN = 6
ALPHABET = "bcdfghjkmnpqrstvwxz23456789"  # no vowels: a label should not spell a word


def random_token() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(TOKEN))


class Opening:
    def __init__(self, store: Store, token: Callable[[], str] = random_token) -> None:
        self._store = store
        self._token = token

    async def open(
        self, release: Release, *events: Event, replacing: Release | None = None, only_as: int | None = None
    ) -> Release:
        """Store the release, in the place of `replacing`.

        Raises `Taken` when another one is open, `Outdated` when `replacing` moved on or its number would not be
        `only_as`, so that another one was there meanwhile.
        """
        previous = await self.known(release.app, release.previous)
        before = await self.release_of(previous)
        called = before.asked if before else short(previous.image)
        release = dataclasses.replace(release, previous=dataclasses.replace(previous, asked=called))

        def numbered(number: int) -> Release:
            if only_as not in {None, number}:
                raise Outdated(f"{release.app} has had another release meanwhile")
            label = f"{release.app}-{number}-{self._token()}"
            # The pods of a version that somebody else began do not carry it.
            selector = release.selector if release.begun_by else {**release.selector, LABEL: label}
            return dataclasses.replace(release, number=number, label=label, selector=selector)

        sides = f"{release.slot} will run it, {previous.slot} is live with {called}"
        told = Event("asked", sides, actor=release.author.name)
        return await self._store.create(release.app, numbered, *events, told, replacing=replacing)

    async def known(self, app: str, version: Version) -> Version:
        """With the label of the release that it was, also where nothing in the cluster tells it."""
        adopted = await self._store.adopted(app, version.selector)
        if adopted is not None:
            return dataclasses.replace(version, label=adopted.label)
        # Whoever sets another image leaves the stamp of an earlier release where it stands in a pod template.
        stamped = await self.release_of(version) if version.label else None
        if stamped is not None and not is_same(stamped.image, version.image):
            return dataclasses.replace(version, label="")
        return version

    async def release_of(self, version: Version) -> Release | None:
        """None for a version that was there before Greenlight."""
        label = label_of(version)
        return await self._store.labelled(label) if label else None


def short(image: str) -> str:
    """An image of the cluster as a person reads it; whatever it is, it has a name."""
    try:
        return parse(image).short
    except Refused:
        return image.rpartition("/")[2]
