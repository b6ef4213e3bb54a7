"""What an app's Rollout and what is around it look like to a release that would begin now."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.check.argocd import Kept, beside_argo_cd
from bot.check.finding import Finding, fail, ok, warn
from bot.check.objects import allowed
from bot.clusters.addresses import optional
from bot.clusters.api import AUTOSCALER, DEPLOYMENT, ROLLOUT, Api, Json, KubeApi
from bot.clusters.argo import ArgoCluster
from bot.clusters.argo.discovery import Found, behind, is_blue_green, wrongs
from bot.clusters.argo.objects import Objects
from bot.clusters.argo.reading import HASH, blue_green, container
from bot.clusters.argo.start import start
from bot.clusters.argo.surroundings import find, look_around
from bot.clusters.claim import claimed_by
from bot.clusters.cluster import Start
from bot.clusters.errors import ClusterError, Forbidden, Unfit
from bot.clusters.reading import name, replicas
from bot.clusters.rights import UNREAD, Behind
from bot.release.app import App, Argo
from bot.release.errors import Refused
from bot.release.image import parse

DELAY = timedelta(seconds=30)
"""Argo Rollouts: so long are the pods of the previous version kept, where nothing is said."""
DEADLINE = timedelta(minutes=10)
"""The same of progressDeadlineSeconds."""


@dataclass(frozen=True)
class Look:
    """A Rollout and what is around it as it was found, or why it was not."""

    behind: Behind = UNREAD
    """The names that rights are about."""
    found: Found | None = None
    wrong: list[Finding] = field(default_factory=list)


async def look(api: Api, app: App) -> Look:
    part, known = f"app {app.name}", UNREAD
    try:
        item = await find(api, app)
        known = behind(item) if is_blue_green(item) else UNREAD
        return Look(known, await look_around(api, app, item))
    except Forbidden:
        return Look(known)  # the rights say which one is missing
    except Unfit as why:
        return Look(known, wrong=[_unfit(part, why)])
    except ClusterError as why:
        return Look(known, wrong=[fail(part, "objects", f"{why}.", "Releases wait until then.")])


async def rollout(
    api: KubeApi, app: App, seen: Look, now: Callable[[], datetime], store_id: str | None
) -> list[Finding]:
    """`store_id` is that of our database, None when that cannot be told."""
    part, found = f"app {app.name}", seen.found
    if found is None:
        return seen.wrong
    wrong = [_unfit(part, each) for each in wrongs(app, found)]
    if not wrong:
        backend = ArgoCluster(api, [app], now, lambda _: None, store_id or "")
        try:
            objects = await backend.found(app)
            ours = claimed_by(objects.active) if store_id is None else store_id
            begun = start(app, objects, ours or "")
        except Forbidden:
            return []
        except Unfit as why:
            wrong = [_unfit(part, why)]
        except ClusterError as why:
            wrong = [fail(part, "objects", f"{why}.", "Releases wait until then.")]
        else:
            wrong = list(_of_rollout(app, objects, begun))
            wrong += _autoscaled(part, objects, await optional(api, AUTOSCALER, app.namespace))
    if not is_blue_green(found.rollout):
        return wrong
    return wrong + await beside_argo_cd(api, app, Kept([found.holder], found.services, HASH))


async def live_repository(api: Api, app: App, now: Callable[[], datetime]) -> str:
    """Where the images of an app are whose table does not say; "" when it cannot be told."""
    try:
        objects = await ArgoCluster(api, [app], now, lambda _: None, "").found(app)
        live = objects.replica_set(objects.active_hash)
        return parse(container(live, app.argo.container)[1]["image"]).name if live else ""
    except (ClusterError, Refused):
        return ""  # what is wrong is told with the objects


async def without_app(api: Api, part: str, namespace: str, apps: Iterable[App]) -> list[Finding]:
    """The Rollouts of a namespace that could be released and are not."""
    known = {app.target.rollout for app in apps if isinstance(app.target, Argo) and app.namespace == namespace}
    rollouts = [each for each in await optional(api, ROLLOUT, namespace) if is_blue_green(each)]
    return [
        ok(
            part,
            f"namespace {namespace}",
            f"Rollout {name(each)} is no app yet. For releases of it, with its channel, deployers and approval, add:",
            f'[apps.{_app_name(name(each))}]\nrollout = "{name(each)}"\nnamespace = "{namespace}"',
        )
        for each in rollouts
        if name(each) not in known
    ]


def _app_name(rollout: str) -> str:
    return rollout.replace(".", "-")[:32].rstrip("-")


def _unfit(part: str, why: Unfit) -> Finding:
    return fail(part, "objects", f"{why.wrong[:1].upper()}{why.wrong[1:]}.", why.fix[:1].upper() + why.fix[1:])


# What a release lives with --------------------------------------------------------------------------------------------


def _of_rollout(app: App, objects: Objects, begun: Start) -> Iterator[Finding]:
    part, called = f"app {app.name}", f"Rollout {name(objects.rollout)}"
    beside = objects.current not in {"", objects.active_hash}
    more = f"; version {objects.current} is there beside it" if beside else ""
    yield ok(part, "rollout", f"version {objects.active_hash} of {called} is live with {begun.live.image}{more}.")
    yield from allowed(app, begun.live.image)
    yield from _pods(part, objects, begun)
    strategy = blue_green(objects.rollout)
    yield from _way_back(app, called, strategy)
    spec, stage = objects.rollout["spec"], app.timing.stage_within
    within = timedelta(seconds=int(spec.get("progressDeadlineSeconds") or DEADLINE.total_seconds()))
    if spec.get("progressDeadlineAbort") and within < stage:
        sentence = f"{called} gives a version up that makes no progress for {within.total_seconds():.0f} s "
        sentence += f"(progressDeadlineAbort), though `stage_within` leaves it {stage.total_seconds():.0f} s."
        fix = "Set progressDeadlineSeconds to as long, or progressDeadlineAbort to false."
        yield warn(part, "rollout", sentence, fix)
    if spec.get("rollbackWindow"):
        sentence = f"{called} has a rollbackWindow: on the way back to a version in it, Argo Rollouts can get stuck."
        yield warn(part, "rollout", sentence, "Take it out: a rollback by Greenlight needs no approval anyway.")


def _pods(part: str, objects: Objects, begun: Start) -> Iterator[Finding]:
    called = f"Rollout {name(objects.rollout)}"
    containers = objects.holder["spec"]["template"]["spec"]["containers"]
    if not any("readinessProbe" in each for each in containers):
        sentence = f"nobody asks the pods of {called} whether they are ready: they count at once."
        yield warn(part, "pods", sentence, "Give the container a readinessProbe: traffic is switched to what is ready.")
    if not begun.live_ready:
        sentence = f"no pod behind the live Service is ready: nobody has an answer from {called} right now."
        yield warn(part, "pods", sentence, f"See why: kubectl describe replicaset {begun.live.slot}.")
    elif replicas(objects.rollout) == 1:
        sentence = f"{called} has one pod: whenever that is restarted nobody has an answer, and so after a switch."
        yield warn(part, "pods", sentence, "Run at least two.")
    for warning in begun.warnings:
        fix = "Set terminationGracePeriodSeconds to 30 or more, and a preStop hook that sleeps for 10 s."
        yield warn(part, "pods", warning, fix)


def _way_back(app: App, called: str, strategy: Mapping[str, object]) -> Iterator[Finding]:
    part, key, wanted = f"app {app.name}", "scaleDownDelaySeconds", int(app.timing.warm_for.total_seconds())
    said = strategy.get(key)
    kept = timedelta(seconds=said) if isinstance(said, int) else DELAY
    fix = f"Set spec.strategy.blueGreen.{key} to {wanted}, which is `warm_for` of [apps.{app.name}]."
    if not kept:
        sentence = f"{called} keeps the pods of previous versions for good ({key}: 0)"
        sentence += ", and without a deadline Argo Rollouts takes no quick way back to them."
        yield warn(part, "rollback", sentence, fix)
    elif kept < app.timing.warm_for:
        sentence = f"{called} keeps the pods of the previous version for {kept.total_seconds():.0f} s ({key}): "
        sentence += "a rollback after that starts them anew."
        yield warn(part, "rollback", sentence, fix)


def _autoscaled(part: str, objects: Objects, autoscalers: Iterable[Json]) -> Iterator[Finding]:
    for each in autoscalers:
        spec = each.get("spec") or {}
        target = spec.get("scaleTargetRef") or {}
        if objects.workload is not None and _is(target, DEPLOYMENT.name, objects.workload):
            sentence = f"an autoscaler sets the pods of Deployment {name(objects.workload)}, which runs none itself."
            yield warn(part, "autoscaler", sentence, f"Let it scale Rollout {name(objects.rollout)}.")
        if _is(target, ROLLOUT.name, objects.rollout) and spec.get("minReplicas", 1) == 1 < replicas(objects.rollout):
            sentence = f"an autoscaler may leave Rollout {name(objects.rollout)} one pod."
            yield warn(part, "autoscaler", sentence, "Set its minReplicas to 2 or more.")


def _is(target: Mapping[str, object], kind: str, item: Json) -> bool:
    return (target.get("kind"), target.get("name")) == (kind, name(item))
