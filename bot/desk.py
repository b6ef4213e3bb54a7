"""What people may ask for, whoever carries it here: deploy, vote, roll back, look.

Every request changes the record in the store and wakes the controller; none waits for the cluster to obey. What is
turned down raises `Refused`, with a sentence for the person who asked, and changes nothing.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bot.ballot_box import TRIES, BallotBox, found, too_quick
from bot.clusters.cluster import Cluster, Links, Start, label_of
from bot.clusters.errors import ClusterError
from bot.controller import Controller
from bot.gatekeeper import Gatekeeper
from bot.in_service import InService
from bot.opening import Opening, random_token, short
from bot.ports import Clock, Images, Watch
from bot.registry import ImageNotFound, RegistryError, Resolved
from bot.release import guards
from bot.release.app import App, Argo
from bot.release.approvals import holds, tally
from bot.release.errors import Refused
from bot.release.image import Image, parse, resolve_text
from bot.release.machine import DRAIN
from bot.release.record import Person, Phase, Release, Version
from bot.release.snapshot import Snapshot, Traffic
from bot.release.verbs import Verb, ask, only
from bot.repositories import Repositories
from bot.store import Event, Outdated, Page, Store, Taken
from bot.view import Live, Status, View, links_to, view

log = structlog.get_logger()

LINKS_EVERY = 300.0
"""Seconds."""
AT_ONCE = 4
"""Apps whose addresses are read side by side: nobody waits for them, and an API server has others to serve."""
UNPINNED = "the registry could not say what this tag means, so it is not bound to a digest"
MIRRORED = "the registry could not be asked what this tag means: its mirror {} says so, and that may be out of date"


class AlreadyOpen(Refused):
    """`release` is in the way; its card can be linked to."""

    def __init__(self, release: Release) -> None:
        super().__init__(f"{release.title} ({release.asked}) is still open. `replace:True` puts yours in its place.")
        self.release = release


@dataclass(frozen=True)
class _Asked:
    """An image as it was asked for and as it will be deployed."""

    image: Image
    resolved: Resolved | None
    called: str
    """As a person reads it."""

    @property
    def digests(self) -> frozenset[str]:
        return self.resolved.digests if self.resolved else frozenset()

    @property
    def notes(self) -> tuple[str, ...]:
        if self.resolved is None:
            return (UNPINNED,)
        return (MIRRORED.format(self.resolved.mirror),) if self.resolved.mirror else ()

    @property
    def reference(self) -> str:
        return str(self.image.at(self.resolved.digest)) if self.resolved else str(self.image)


class Desk:
    def __init__(
        self,
        apps: Mapping[str, App],
        store: Store,
        cluster: Cluster,
        images: Images,
        controller: Controller,
        clock: Clock,
        token: Callable[[], str] = random_token,
        watch: Watch | None = None,
    ) -> None:
        self.apps = apps
        self.store = store
        self._cluster = cluster
        self._images = images
        self._controller = controller
        self._clock = clock
        self._opening = Opening(store, token)
        self._links: dict[str, Links] = {}
        self._in_service = InService(cluster)
        self._repositories = Repositories(cluster)
        box = BallotBox(apps, store, controller.wake, controller.expecting)
        self.vote, self.withdraw, self.recount = box.vote, box.withdraw, box.recount
        keeper = Gatekeeper(apps, store, controller.wake, clock)
        self.repeat_gate, self.stop_gate, self.accept_gate = keeper.repeat, keeper.stop, keeper.accept
        self.keep = keeper.keep
        self._watch = watch

    # What people do

    async def deploy(self, app: App, text: str, author: Person, *, replace: bool = False, called: str = "") -> Release:
        """Open a release. Nothing is touched before the image is found. Raises `ClusterError`, `RegistryError` too.

        `called` is the image's name for people if that is known to be true; otherwise it is made from `text`.
        """
        if not holds(author, app.deployers):
            raise Refused(only(app.deployers, "deploy", app.name))
        image = resolve_text(text, await self._repositories.of(app), app.images, app.name)
        newest = await self.store.newest(app.name)
        if newest and newest.phase.open and not replace:
            raise AlreadyOpen(newest)
        _check_drained(newest, self._clock.now())
        resolved = await self._resolve(app, image)
        asked = _Asked(image, resolved, called or await self._call(image))
        await self._refresh_links(app)
        for _ in range(TRIES):
            try:
                return await self._begin(app, asked, author, newest, replace=replace)
            except Outdated:  # somebody voted on what is to be replaced, or it moved on: all is looked at again
                continue
        raise too_quick(app.name)

    async def _begin(
        self, app: App, asked: _Asked, author: Person, before: Release | None, *, replace: bool
    ) -> Release:
        """Open the release in place of `before`, if that is still the newest. Raises `Outdated`."""
        newest = await self.store.newest(app.name)
        if newest and newest.phase.open and (before is None or before.number != newest.number):
            raise AlreadyOpen(newest)
        _check_drained(newest, self._clock.now())
        start = await self._cluster.start(app)
        if start.unheard:  # whoever goes back is not kept from it by this, and need not be quick
            raise ClusterError(start.unheard)
        if start.put_back:
            raise Refused(f"{app.name} is not deployed from here: {start.put_back}")
        await self._check_new(app, asked, start, replace=replace)
        now = self._clock.now()
        if newest and newest.phase is Phase.BAKING and (why := guards.why_back(app, newest, now=now)):
            raise Refused(f"{newest.title} is about to go back: {why}. Try again when it has.")
        if newest and (unanswered := guards.asked(app, newest)):
            why = guards.told(unanswered[0][0])
            raise Refused(f"{newest.title} waits for an answer: {why}. First keep it, or roll it back.")
        ended = ask(newest, app, Verb.REPLACE, author, now) if newest and newest.phase.open else None
        opened = Release(
            app=app.name,
            number=0,
            label="",
            image=asked.reference,
            asked=asked.called,
            digests=asked.digests,
            author=author,
            slot=start.slot,
            selector=start.selector,
            previous=start.live,
            created_at=now,
            since=now,
            replaces=_left_by(ended) if ended else (),
            notes=(*asked.notes, *start.warnings),
        )
        said = f"{author.name} asked for {asked.called}", f"{asked.image} is {asked.reference}"
        return await self._open(opened, *said, replacing=ended)

    async def ask(self, app: str, number: int, verb: Verb, actor: Person, reason: str = "") -> Release:
        """Promote, reject, abandon, roll back or release capacity; asking twice does nothing twice."""
        for _ in range(TRIES):
            newest = await self.store.newest(app) if app in self.apps else None
            current = newest is not None and newest.number == number
            release = newest if newest and current else await found(self.store, self.apps, app, number)
            if newest and not current:
                live = await self._left_live(newest) if verb is Verb.ROLL_BACK else None
                if live is not None and live.number == release.number:
                    return await self._take_back(self.apps[app], live, actor, reason)
                raise Refused(f"{release.title} is not the newest release of {app} any more: {newest.title} is.")
            wanted = ask(release, self.apps[app], verb, actor, self._clock.now(), reason)
            if verb is Verb.PROMOTE and not await self._has_quorum(release):
                raise Refused(f"{release.title} has not been approved by everybody needed yet.")
            if wanted == release:
                return release
            said = f"{actor.name} asked to {verb}" + (f": {reason}" if reason else "")
            try:
                with self._controller.expecting(wanted) if verb is Verb.ROLL_BACK else contextlib.nullcontext():
                    stored = await self.store.update(wanted, Event(f"verb:{verb}", said, actor=actor.name))
            except Outdated:
                continue
            log.info("asked", release=release, verb=verb.value, by=actor.id)
            self._controller.wake(app)
            return stored
        raise too_quick(app)

    async def roll_back(self, app: App, actor: Person, reason: str = "") -> Release:
        """Take back what is live, or what is on its way there; going back is never asked for twice by two people.

        After a release that was never live, its slot no longer has the version before the live one: that is deployed
        anew, as a release of its own that needs no approval.
        """
        newest = await self.store.newest(app.name)
        if newest is None:
            raise Refused(f"{app.name} has had no release that could be rolled back.")
        if newest.restores is not None and newest.phase.open:
            raise Refused(f"{newest.title} is taking {app.name} #{newest.restores} back already.")
        live = await self._left_live(newest)
        if live is None:
            return await self.ask(app.name, newest.number, Verb.ROLL_BACK, actor, reason)
        return await self._take_back(app, live, actor, reason)

    async def keep_links(self) -> None:
        """Read the addresses of all apps now and then, until cancelled: they change seldom and nobody announces it.
        So it is with the objects that the next release would need.

        An app with nothing left to do is woken by nobody else, so its card follows what others do to it from here.
        """
        few = asyncio.Semaphore(AT_ONCE)

        async def in_turn(app: App) -> None:
            async with few:
                await self._keep_links(app)

        while True:
            await asyncio.gather(*map(in_turn, self.apps.values()))
            await asyncio.sleep(LINKS_EVERY)

    async def _keep_links(self, app: App) -> None:
        """Whatever fails for one app is no reason to stop, for it or for another."""
        try:
            before = self._links.get(app.name)
            await self._refresh_links(app)
            self._controller.wake(app.name)
            newest = await self.store.newest(app.name)
            if newest is not None and before != self._links.get(app.name):
                self._controller.redraw(newest)
            if newest is None or not newest.phase.open:
                await self._in_service.look(app)
        except Exception:
            log.exception("links not kept", app=app.name)

    def redraw(self, release: Release) -> None:
        """Its card may be out of date: it is drawn soon, but not while traffic is about to be moved."""
        self._controller.redraw(release)

    def report(self, release: Release, trouble: str) -> None:
        """What somebody asked of the release could not be recorded; its card says why."""
        self._controller.report(release, trouble)

    # What people see

    async def newest(self, app: str) -> Release | None:
        return await self.store.newest(app)

    async def release(self, app: str, number: int) -> Release | None:
        return await self.store.release(app, number)

    async def history(
        self, app: App, page: int = 1, *, author: int | None = None, since: datetime | None = None
    ) -> Page:
        return await self.store.history(app.name, page, author=author, since=since)

    async def suggest_images(self, app: App, typed: str) -> list[str]:
        """At most 25 tags, newest first, within a second."""
        repository = await self._repositories.at_once(app)
        return await self._images.suggest(parse(repository), typed) if repository else []

    async def view(self, release: Release) -> View:
        """Everything a card shows; asks the store only."""
        app = self.apps[release.app]
        newest = await self.store.newest(release.app)
        moment = self._controller.moments.get(release.app)
        if moment is not None and moment.release.label != release.label:
            moment = None
        seen = moment.seen if moment else None
        current = newest is not None and newest.number == release.number
        left_live = None if current or newest is None else await self._left_live(newest)
        moved_by = ""
        if current and seen is not None and seen.traffic is not Traffic.CANDIDATE:
            moved_by = seen.changed_by
        elif newest is not None and not current and label_of(newest.previous) != release.label:
            moved_by = "somebody"
        # What was decided in another phase, or before an alarm or its answer, is not why it waits now.
        decided = moment if moment is not None and _waits_alike(moment.release, release) else None
        return view(
            release,
            app,
            await self.store.votes(release),
            await self._live(release, seen),
            self._links.get(app.name, Links()),
            current=current,
            left_live=left_live is not None and left_live.number == release.number and release.phase is Phase.DONE,
            seen=seen,
            reason=f"waiting: {moment.trouble}" if moment and moment.trouble else decided.reason if decided else "",
            until=decided.until if decided else None,
            moved_by=moved_by if release.phase is Phase.DONE else "",
            readings=self._watch.readings(app, release) if self._watch is not None else (),
        )

    async def status(self, app: App) -> Status:
        """What is live now; `trouble` says why it cannot be said."""
        newest = await self.store.newest(app.name)
        moment = self._controller.moments.get(app.name)
        live, seen, trouble = None, None, moment.trouble if moment else ""
        try:
            if newest is not None:
                looked = self._cluster.seen(app, newest) or await self._cluster.look(app, newest)
                seen = looked.snapshot
            if newest is None or newest.phase is Phase.ABANDONED or (seen and seen.traffic is Traffic.OTHER):
                start = await self._cluster.start(app)
                live = await self._version(await self._opening.known(app.name, start.live), start.live_ready)
        except ClusterError as error:
            trouble = str(error)
        if live is None and newest is not None:
            live = await self._live(newest, seen)
        if not trouble and self._in_service.why_not(app):
            await self._in_service.look(app)
            trouble = self._in_service.why_not(app)
        if app.name not in self._links:
            await self._refresh_links(app)
        links = self._links.get(app.name, Links())
        page = await self.store.history(app.name)
        return Status(
            app=app,
            live=live,
            open=newest if newest and newest.phase.open else None,
            newest=newest,
            production=links_to(links.production, True),
            preview=links_to(links.preview, seen is not None and bool(seen.candidate.ready)),
            recent=tuple(page.releases[:5]),
            trouble=trouble,
        )

    # How it is done

    async def _has_quorum(self, release: Release) -> bool:
        policy = self.apps[release.app].approval
        return tally(policy, release.author, await self.store.votes(release)).reached

    async def _resolve(self, app: App, image: Image) -> Resolved | None:
        """None: an app with `pin = false` deploys the tag as it is."""
        try:
            return await self._images.resolve(image)
        except ImageNotFound:
            raise
        except RegistryError:
            if app.pin or image.tag is None:
                raise
            return None

    async def _call(self, image: Image) -> str:
        """What people read: a tag beside a digest is what somebody typed, until the registry says the same."""
        if image.tag is None or image.digest is None:
            return image.short
        try:
            meant = await self._images.resolve(dataclasses.replace(image, digest=None))
        except (ImageNotFound, RegistryError):
            meant = None
        same = meant is not None and not meant.mirror and image.digest in meant.digests
        return image.short if same else image.at(image.digest).short

    async def _check_new(self, app: App, asked: _Asked, start: Start, *, replace: bool) -> None:
        same = asked.resolved is not None and start.live.image == asked.reference  # a tag alone says nothing
        if same or start.live.digests & asked.digests:
            raise Refused(f"{asked.called} is live already.")
        before = await self.store.last_live(app.name, asked.digests) if asked.digests else None
        if before is not None and before.phase is Phase.REVERTED and not replace:
            why = f" ({before.reason})" if before.reason else ""
            raise Refused(
                f"{asked.called} was rolled back as {before.title}{why}. "
                "If you want it all the same, ask again with `replace:True`."
            )

    async def _left_live(self, newest: Release) -> Release | None:
        """The release that is live because the newest came to nothing, and so is what a rollback takes back."""
        if newest.phase is not Phase.REVERTED or newest.was_live:
            return None
        return await self._opening.release_of(newest.previous)

    async def _take_back(self, app: App, live: Release, actor: Person, reason: str) -> Release:
        """Deploy anew what was live before `live`: no registry is asked, the image is the one that ran."""
        if not holds(actor, app.may_roll_back):
            raise Refused(only(app.may_roll_back, Verb.ROLL_BACK, app.name))
        start, now = await self._cluster.start(app), self._clock.now()
        if start.put_back:
            raise Refused(f"{live.title} cannot be taken back from here: {start.put_back}")
        now_live = await self._opening.known(app.name, start.live)
        if label_of(now_live) != live.label:
            raise Refused(
                f"{live.title} is not what is live any more: {short(now_live.image)} is. Nothing was changed."
            )
        if isinstance(app.target, Argo) and not live.previous.template:
            raise Refused(
                f"It is not known how {live.previous.asked} ran: ask for it with /deploy, which needs approval."
            )
        before = await self._opening.release_of(live.previous)
        image = _as_it_ran(live.previous)
        why = f"takes {live.title} back" + (f": {reason}" if reason else "")
        opened = Release(
            app=app.name,
            number=0,
            label="",
            image=image,
            asked=live.previous.asked,
            digests=before.digests if before else live.previous.digests,
            author=actor,
            slot=start.slot,
            selector=start.selector,
            previous=start.live,
            created_at=now,
            since=now,
            restores=live.number,
            pod_template=live.previous.template,
            notes=(why,),
        )
        return await self._open(opened, f"{actor.name} asked to {Verb.ROLL_BACK}: {why}")

    async def _open(self, release: Release, *said: str, replacing: Release | None = None) -> Release:
        """Store the release and have the controller begin with it. Raises `Outdated`."""
        events = [Event("asked", text, actor=release.author.name) for text in said]
        try:
            opened = await self._opening.open(release, *events, replacing=replacing)
        except Taken as taken:
            raise AlreadyOpen(taken.open) from taken
        log.info("release opened", release=opened, image=opened.image, by=opened.author.id)
        if before := await self.store.release(opened.app, opened.number - 1):
            self._controller.redraw(before)
        self._controller.wake(opened.app)
        return opened

    async def _refresh_links(self, app: App) -> None:
        try:
            self._links[app.name] = await self._cluster.links(app)
        except ClusterError as error:
            log.warning("no links", app=app.name, reason=str(error))

    async def _live(self, release: Release, seen: Snapshot | None) -> Live:
        """What has the traffic: this release, the version before it, or what only whoever moved it knows."""
        if seen is None and release.phase is Phase.ABANDONED:
            return Live("")
        traffic = seen.traffic if seen else Traffic.CANDIDATE if _is_live(release) else Traffic.PREVIOUS
        if seen is not None and traffic is Traffic.OTHER:
            return Live("", changed_by=seen.changed_by)
        side = seen.live if seen else None
        ready, wanted = (side.ready, side.wanted) if side else (None, None)
        if traffic is Traffic.CANDIDATE:
            return Live(release.image, release.live_at, _by(release), ready, wanted, release.asked)
        return await self._version(release.previous, ready, wanted)

    async def _version(self, version: Version, ready: int | None, wanted: int | None = None) -> Live:
        """A version that has the traffic, and of which release it is, if of any."""
        release = await self._opening.release_of(version)
        if release is None:
            return Live(version.image, None, None, ready, wanted, version.asked)
        return Live(version.image, release.live_at, release.author.name, ready, wanted, release.asked)


def _as_it_ran(version: Version) -> str:
    """The image by digest: what a tag means by now nobody has approved."""
    if "@" in version.image:
        return version.image
    if not version.digests:
        raise Refused(
            f"It is not known what {version.asked} meant when it was live, so going back to it needs approval: "
            "ask for it with /deploy."
        )
    return str(parse(version.image).at(min(version.digests)))


def _check_drained(newest: Release | None, now: datetime) -> None:
    """A new candidate takes the slot that has no traffic; the connections that are still open there end first."""
    if newest is None or newest.live_at is None:
        return
    moved_at = newest.since if newest.phase is Phase.REVERTED else newest.live_at
    left = moved_at + DRAIN - now
    if left > timedelta():
        gone = "was taken back" if newest.phase is Phase.REVERTED else "went live"
        seconds = f"{left.total_seconds():.0f} s"
        raise Refused(
            f"{newest.title} {gone} a moment ago and the old pods are still finishing: try again in {seconds}."
        )


def _by(release: Release) -> str | None:
    return release.author.name if release.author.is_known else None


def _left_by(replaced: Release) -> tuple[str, ...]:
    """The labels of those that may have left something where a release in its place begins."""
    if replaced.phase is Phase.DONE:  # it stays what it is: live
        return ()
    return (replaced.label, *(() if replaced.staged else replaced.replaces))


def _is_live(release: Release) -> bool:
    return release.phase in {Phase.BAKING, Phase.DONE}


def _waits_alike(one: Release, other: Release) -> bool:
    return (one.phase, one.alarms) == (other.phase, other.alarms)
