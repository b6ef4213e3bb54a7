"""Reads a Rollout with its ReplicaSets, Services, pods and EndpointSlices, and sends what a view planned."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from bot.clusters.addresses import inside, optional, read_links
from bot.clusters.api import (
    ANALYSIS_RUN,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    INGRESS,
    POD,
    REPLICA_SET,
    ROLLOUT,
    ROLLOUT_STATUS,
    SERVICE,
    Api,
    Json,
    Kind,
)
from bot.clusters.application import Applications
from bot.clusters.argo.discovery import Found, fit, is_blue_green, not_installed, not_there, self_promotion
from bot.clusters.argo.objects import Objects
from bot.clusters.argo.reading import (
    AUTHOR,
    HASH,
    active_service,
    blue_green,
    container,
    is_owned_by,
    preview_service,
    promotes_itself,
    template_label,
    template_of,
    workload,
)
from bot.clusters.argo.start import start
from bot.clusters.argo.state import State, reported_active
from bot.clusters.argo.versions import Versions
from bot.clusters.argo.view import RolloutView
from bot.clusters.argocd import application_place
from bot.clusters.cluster import Links, Outside, Start, Write
from bot.clusters.doubtful import listed, present
from bot.clusters.errors import ClusterError, Forbidden, Malformed, Missing, Stale, Unfit
from bot.clusters.reading import SERVICE_NAME, annotations, labels, name, selector
from bot.clusters.shape import sound
from bot.clusters.watch import Watch
from bot.clusters.watches import Watches
from bot.release.app import App
from bot.release.record import Phase, Release
from bot.release.snapshot import Traffic

WATCHED = (ROLLOUT, REPLICA_SET, SERVICE, POD, ENDPOINT_SLICE)
BARRED_FOR = timedelta(minutes=1)
"""After a write to a Rollout has failed: so long the traffic goes home without one that only helps it."""
NOT_THERE = 300.0
"""Seconds until it is asked for again whether AnalysisRuns may be watched by now: nothing rests upon them."""
APPLICATION_WITHIN = 2.0
"""Seconds that a look waits for the Application: it only decides about the pod template, never about the traffic."""
WRITTEN = {kind.name: kind for kind in (SERVICE, DEPLOYMENT, ROLLOUT, ROLLOUT_STATUS)}


class ArgoCluster:
    """`Cluster` for apps on Argo Rollouts. `changed` is called with a namespace whenever something in it changes.

    `store_id` is what the active Services of its apps are claimed for.
    """

    def __init__(
        self,
        api: Api,
        apps: Iterable[App],
        now: Callable[[], datetime],
        changed: Callable[[str], None],
        store_id: str,
    ) -> None:
        self._api = api
        self._now = now
        self._store_id = store_id
        self._rollouts: dict[str, Json] = {}
        """By app, as it was read last: it names the other objects, which are then read beside it."""
        self._barred_until: dict[str, datetime] = {}
        """By app of which a write to the Rollout has failed."""
        self._applications = Applications(api)
        namespaces = {app.namespace for app in apps}
        self._watches = Watches(api, namespaces, WATCHED, changed)
        self._analyses = {
            namespace: Watch(api, ANALYSIS_RUN, namespace, partial(changed, namespace)) for namespace in namespaces
        }
        """Whoever may not read them does without."""

    async def follow(self) -> None:
        """Keep the cache current, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watches.run())
            for watch in self._analyses.values():
                group.create_task(watch.run(partial(_seldom, watch)))

    @property
    def trouble(self) -> str | None:
        """Why nothing is heard of the cluster at the moment; None while any of its namespaces is listened to."""
        return self._watches.trouble

    async def start(self, app: App) -> Start:
        self._applications.forget(app.name)
        objects, (rollouts, ingresses) = await asyncio.gather(self.found(app), self._around(app))
        services = [each for each in (objects.active, objects.preview) if each is not None]
        fit(app, Found(objects.rollout, rollouts, services, ingresses, objects.workload))
        return replace(start(app, objects, self._store_id), unheard=self._watches.forbidden(app.namespace))

    async def found(self, app: App) -> Objects:
        """The app's objects, read afresh. Raises `Unfit` or `Missing` with the fix when one is not there."""
        doubts = list[ClusterError]()
        objects = await self._read(app, doubts)
        if doubts:
            raise doubts[0]
        return objects

    def seen(self, app: App, release: Release) -> RolloutView | None:
        """None as well while a watch is interrupted, and for Rollouts whose template is in a Deployment."""
        try:
            objects = self._heard(app)
        except Unfit:  # a look says so
            return None
        if objects is None or workload(objects.rollout):
            return None
        return self._view(app, release, objects, self._now(), fresh=False)

    def _view(self, app: App, release: Release, objects: Objects, read_at: datetime, *, fresh: bool) -> RolloutView:
        barred = read_at < self._barred_until.get(app.name, read_at) or objects.unread is not None
        return RolloutView(app, release, objects, self._store_id, read_at, fresh, barred)

    def _heard(self, app: App) -> Objects | None:
        """The app's objects, but for a Deployment that holds the pod template; None while a watch is interrupted."""
        heard = self._watches.heard(app.namespace)
        if heard is None:
            return None
        rollouts, replica_sets, services, pods, slices = heard
        rollout = rollouts.get(app.argo.rollout)
        if rollout is None or active_service(rollout) not in services:
            return None
        return Objects(
            rollout=rollout,
            workload=None,
            active=services[active_service(rollout)],
            preview=services.get(preview_service(rollout)),
            replica_sets=[each for each in replica_sets.values() if is_owned_by(each, rollout)],
            pods=[pod for pod in pods.values() if HASH in labels(pod)],
            slices=list(slices.values()),
            analysis_runs=self._runs(rollout, app.namespace),
            application=self._applications.last(app.name),
        )

    def _runs(self, rollout: Json, namespace: str) -> list[Json]:
        """Empty while nothing is heard of them: then the Rollout's own summary has to do."""
        watch = self._analyses[namespace]
        return [] if watch.trouble else [run for run in watch.objects.values() if is_owned_by(run, rollout)]

    async def look(self, app: App, release: Release) -> RolloutView:
        """Read everything side by side; the look's age counts from before the first read.

        What is malformed, refused or late blocks a promotion, and never the way back: then the active Service and
        ready pods of the previous version are all that is needed, and of the Rollout what was known of it.
        """
        read_at, doubts = self._now(), list[ClusterError]()
        if release.phase is Phase.REVERTING:
            self._applications.forget(app.name)
        objects = await self._read(app, doubts, APPLICATION_WITHIN)
        view = self._view(app, release, objects, read_at, fresh=True)
        if view.is_torn:
            doubts.clear()
            view = replace(view, objects=await self._read(app, doubts, APPLICATION_WITHIN))
            objects = view.objects
        if doubts and not _knows_the_way_back(view):
            raise doubts[0]
        self._watches.put(app.namespace, ROLLOUT, (objects.rollout,))
        self._watches.put(app.namespace, SERVICE, (objects.active, objects.preview))
        self._watches.put(app.namespace, REPLICA_SET, objects.replica_sets)
        return view

    async def send(self, write: Write) -> None:
        try:
            written = await self._api.patch(WRITTEN[write.kind], write.namespace, write.name, write.patch)
        except Stale:  # somebody was quicker: that says nothing of the next one
            raise
        except ClusterError:
            if write.kind != SERVICE.name:
                self._barred_until[write.app] = self._now() + BARRED_FOR
            raise
        kind = ROLLOUT if write.kind == ROLLOUT_STATUS.name else WRITTEN[write.kind]
        # It is written, whatever became of the answer; the watch tells what it was.
        with suppress(Malformed):
            self._watches.put(write.namespace, kind, (sound(kind, written),))

    async def outside(self, app: App, newest: Release | None) -> Outside | None:
        """A version that the controller works towards, that is not live, and that is not `newest`'s.

        As long as nothing is heard of one nothing is read: this is asked whenever something happens in the namespace.
        Raises `Unfit` for a Rollout that leaves nobody the time to approve one.
        """
        heard = self._heard(app)
        if not app.argo.adopt:
            return None
        if heard is not None and _beside(app, heard, newest) is None:
            if promotes_itself(heard.rollout):
                raise self_promotion(heard.rollout)
            return None
        self._applications.forget(app.name)
        objects = await self.found(app)
        replica_set = _beside(app, objects, newest)
        if replica_set is None or not objects.is_observed or objects.state is State.ABORTED:
            return None
        begun = start(app, objects, self._store_id)
        _, present = container(objects.holder, app.argo.container)
        return Outside(
            start=replace(begun, slot=name(replica_set), selector={HASH: objects.current}),
            image=str(present["image"]),
            template=objects.fingerprint,
            begun_by=objects.changed_by,
            label=template_label(objects.holder),
            author=_author(objects.holder),
        )

    async def links(self, app: App) -> Links:
        rollout = await self._rollout(app)
        return await read_links(self._api, app, active_service(rollout), preview_service(rollout))

    async def preview_inside(self, app: App) -> str:
        return inside(await self._service(app, preview_service(await self._rollout(app))))

    async def active_inside(self, app: App) -> str:
        return inside(await self._service(app, active_service(await self._rollout(app))))

    # How it is done

    async def _around(self, app: App) -> tuple[list[Json], list[Json]]:
        """All Rollouts and Ingresses of its namespace."""
        return await asyncio.gather(
            optional(self._api, ROLLOUT, app.namespace), optional(self._api, INGRESS, app.namespace)
        )

    async def _rollout(self, app: App) -> Json:
        """Raises `NotThere` when there is none, and `Unfit` for a canary."""
        try:
            rollout = sound(ROLLOUT, await self._api.get(ROLLOUT, app.namespace, app.argo.rollout))
        except Missing:
            try:
                others = (await self._api.list(ROLLOUT, app.namespace)).items
            except Missing:
                raise not_installed(app) from None
            raise not_there(app, others) from None
        blue_green(rollout)
        self._rollouts[app.name] = rollout
        return rollout

    async def _read(self, app: App, doubts: list[ClusterError], within: float | None = None) -> Objects:
        """In one round trip, once it is known which objects the Rollout names. What cannot be read beside its active
        Service is a doubt. For the Application it waits so many seconds.
        """
        known = self._rollouts.get(app.name) or await self._rollout(app)
        (rollout, unread), beside, application = await asyncio.gather(
            self._rollout_or(known, app),
            self._beside(app, known, doubts),
            self._application(app, None if workload(known) else known, within),
        )
        if _names(rollout) != _names(known):
            doubts.clear()
            beside = await self._beside(app, rollout, doubts)
        if unread is not None:
            doubts.insert(0, unread)
        elif reported_active(rollout) != selector(beside.active).get(HASH, ""):
            # Read beside it, the Service may be from before a switch of which the Rollout knows: nobody took it back.
            beside = beside._replace(active=await self._service(app, active_service(rollout)))
        if beside.workload is not None or application_place(rollout) != application_place(known):
            application = await self._application(app, beside.workload or rollout, within)
        return Objects(
            rollout=rollout,
            workload=beside.workload,
            active=beside.active,
            preview=beside.preview,
            replica_sets=[each for each in beside.replica_sets if is_owned_by(each, rollout)],
            pods=beside.pods,
            slices=beside.slices,
            analysis_runs=self._runs(rollout, app.namespace),
            application=application,
            unread=unread,
        )

    async def _application(self, app: App, holder: Json | None, within: float | None) -> Json | None:
        """Of whoever has the pod template; None as well while that is not known."""
        return None if holder is None else await self._applications.of(app.name, holder, within)

    async def _rollout_or(self, known: Json, app: App) -> tuple[Json, ClusterError | None]:
        """What was read or heard of it last, and why, where it cannot be read."""
        try:
            return await self._rollout(app), None
        except ClusterError as error:
            heard = self._watches.last(app.namespace, ROLLOUT, app.argo.rollout)
            return heard if heard is not None and is_blue_green(heard) else known, error

    async def _beside(self, app: App, rollout: Json, doubts: list[ClusterError]) -> "_Beside":
        active, preview, holder = _names(rollout)
        both = f"{SERVICE_NAME} in ({','.join(filter(None, (active, preview)))})"
        read = await asyncio.gather(
            self._service(app, active),
            self._named(SERVICE, app.namespace, preview, doubts),
            self._named(DEPLOYMENT, app.namespace, holder, doubts),
            listed(self._api, REPLICA_SET, app.namespace, HASH, doubts),
            listed(self._api, POD, app.namespace, HASH, doubts),
            listed(self._api, ENDPOINT_SLICE, app.namespace, both, doubts),
        )
        return _Beside(*read)

    async def _service(self, app: App, called: str) -> Json:
        """Raises `Unfit` when there is none."""
        try:
            return sound(SERVICE, await self._api.get(SERVICE, app.namespace, called))
        except Missing as error:
            raise Unfit(
                f"Service {called or '(no name)'}, the activeService of Rollout {app.argo.rollout}, is not in "
                f"namespace {app.namespace}",
                "create it there, or name another in the Rollout.",
            ) from error

    async def _named(self, kind: Kind, namespace: str, called: str, doubts: list[ClusterError]) -> Json | None:
        """None as well where the Rollout names none."""
        return await present(self._api, kind, namespace, called, doubts) if called else None


async def _seldom(watch: Watch, pause: float) -> None:
    """Between two attempts to watch what need not be watched."""
    await asyncio.sleep(NOT_THERE if isinstance(watch.trouble, (Forbidden, Missing)) else pause)


class _Beside(NamedTuple):
    """What belongs to a Rollout."""

    active: Json
    preview: Json | None
    workload: Json | None
    replica_sets: list[Json]
    pods: list[Json]
    slices: list[Json]


def _names(rollout: Json) -> tuple[str, str, str]:
    return active_service(rollout), preview_service(rollout), workload(rollout)


def _beside(app: App, objects: Objects, newest: Release | None) -> Json | None:
    """The ReplicaSet of the version that the controller works towards, if that is neither live nor `newest`'s."""
    if objects.current == objects.active_hash or (newest is not None and _is_of(newest, app, objects)):
        return None
    return objects.replica_set(objects.current)


def _is_of(release: Release, app: App, objects: Objects) -> bool:
    """Whether the version that the controller works towards is the release's own matter: what it brought up or took
    over, and while it is open what it goes back to. What it has taken back, and comes again, is somebody else's.
    """
    versions = Versions(app, release, objects)
    own = set() if release.phase is Phase.REVERTED else {versions.candidate}
    return objects.current in own | ({versions.previous} if release.phase.open else set())


def _author(holder: Json) -> str:
    stamped = (template_of(holder).get("metadata") or {}).get("annotations") or {}
    return str(stamped.get(AUTHOR) or annotations(holder).get(AUTHOR) or "")


def _knows_the_way_back(view: RolloutView) -> bool:
    """All of the previous version's pods, if it was started anew: a live side that cannot be read is not empty.

    Or there is none: a Rollout that was deleted is not waited for.
    """
    release, seen = view.release, view.snapshot
    if view.objects.is_gone:
        return release.phase is Phase.REVERTING
    carries = seen.previous.complete if seen.restarting else seen.previous.ready > 0
    return release.phase is Phase.REVERTING and seen.traffic is Traffic.CANDIDATE and carries
