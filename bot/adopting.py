"""Versions that somebody else brings up, by kubectl, a pipeline or Git, become releases with the same approvals."""

import re
from collections.abc import Mapping

import structlog

from bot.clusters.cluster import Cluster, Outside
from bot.opening import Opening, short
from bot.ports import Clock, Members, Unreachable
from bot.release.app import App
from bot.release.errors import Refused
from bot.release.image import parse
from bot.release.record import NOBODY, Person, Release
from bot.store import Event, Outdated, Store, Taken

log = structlog.get_logger()

_ID = re.compile(r"[0-9]{1,20}")

HIGHEST_ID = 2**63 - 1
BY_TAG = "its image is named by a tag: what is approved are these pods, and new ones may run what the tag means by then"


class Adopting:
    """`named` are the people of the configuration, by the names that pod templates call them."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        members: Members,
        named: Mapping[str, int],
        clock: Clock,
        opening: Opening | None = None,
    ) -> None:
        self._cluster = cluster
        self._members = members
        self._named = named
        self._clock = clock
        self._opening = opening or Opening(store)

    async def adopt(self, app: App, newest: Release | None) -> Release | None:
        found = await self._cluster.outside(app, newest)
        if found is None:
            return None
        author, now = await self._author(found), self._clock.now()
        release = Release(
            app=app.name,
            number=0,
            label="",
            image=found.image,
            asked=short(found.image),
            digests=frozenset(),
            author=author,
            slot=found.start.slot,
            selector=found.start.selector,
            previous=found.start.live,
            created_at=now,
            since=now,
            staged=True,
            template=found.template,
            begun_by=found.begun_by,
            notes=(*_notes(app, found, author), *found.start.warnings),
        )
        begun = Event("begun", f"begun outside by {found.begun_by}: {found.image}", actor=author.name)
        try:
            opened = await self._opening.open(release, begun, only_as=newest.number + 1 if newest else 1)
        except (Taken, Outdated):  # whoever was quicker, or whatever came of it meanwhile: the next look tells
            return None
        log.info("release adopted", release=opened, image=opened.image, begun_by=found.begun_by, by=author.id)
        return opened

    async def _author(self, found: Outside) -> Person:
        """Whom the version's pod template names; else nobody, by the name of what wrote it."""
        stated = found.author
        known = int(stated) if _ID.fullmatch(stated) else self._named.get(stated, NOBODY)
        if not NOBODY < known <= HIGHEST_ID:
            return Person(NOBODY, found.begun_by.partition(" at ")[0])
        try:
            members = await self._members.members({known})
        except Unreachable:  # the id alone says whose approval does not count
            members = {}
        return members.get(known, Person(known, stated))


def _notes(app: App, found: Outside, author: Person) -> tuple[str, ...]:
    """What whoever approves should know, since nobody was asked before."""
    notes = []
    if not author.is_known and not app.approval.by_author:
        stated = (
            f"its author {found.author} is not in the table [people]" if found.author else "who that was is not known"
        )
        notes.append(f"begun outside by {found.begun_by}, {stated}: anybody entitled may approve")
    image, allowed = _repository(found.image), {app.image or _repository(found.start.live.image), *app.images}
    if image not in allowed:
        notes.append(f"its image is from {image}, which is not among the repositories of {app.name}")
    if "@" not in found.image:
        notes.append(BY_TAG)
    return tuple(notes)


def _repository(image: str) -> str:
    """As far as it can be told: whoever wrote it into the cluster was not held to any grammar."""
    try:
        return parse(image).name
    except Refused:
        return image
