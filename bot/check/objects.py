"""What an app's own objects in its cluster look like to a release that would begin now."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from bot.check.argocd import Kept, beside_argo_cd
from bot.check.finding import Finding, fail, ok, warn
from bot.clusters import adoption
from bot.clusters.adoption import Found
from bot.clusters.api import AUTOSCALER, DEPLOYMENT, Json, KubeApi
from bot.clusters.claim import claimed_by
from bot.clusters.cluster import Start
from bot.clusters.errors import ClusterError, Forbidden, Missing, Unfit
from bot.clusters.native import NativeCluster
from bot.clusters.reading import container, name, replicas
from bot.release.app import App
from bot.release.errors import Refused
from bot.release.image import parse


async def objects(api: KubeApi, app: App, now: Callable[[], datetime], store_id: str | None) -> list[Finding]:
    """`store_id` is that of our database, None when that cannot be told."""
    backend = NativeCluster(api, [app], now, lambda _: None, store_id or "")
    part = f"app {app.name}"
    try:
        found = await backend.found(app)
        ours = claimed_by(found.service) if store_id is None else store_id
        start = adoption.start(app, found, ours or "")
    except Forbidden:
        return []  # the rights say which one is missing
    except Unfit as why:
        return [fail(part, "objects", f"{why.wrong}.", why.fix[:1].upper() + why.fix[1:])]
    except ClusterError as why:
        return [fail(part, "objects", f"{why}.", "Releases wait until then.")]
    live, idle = found.slots if name(found.slots[0]) == start.live.slot else found.slots[::-1]
    told = list(_slots(part, app, found, start))
    told += _pods(part, app, live, idle, start)
    told += _alike(part, app, live, idle)
    told += _autoscaled(part, await _autoscalers(api, app), live, idle)
    kept = Kept(holders=(live, idle), services=(found.service, found.preview), own=start.selector)
    return told + await beside_argo_cd(api, app, kept)


def _slots(part: str, app: App, found: Found, start: Start) -> Iterator[Finding]:
    yield ok(part, "slots", f"{start.live.slot} is live with {start.live.image}, {start.slot} is idle.")
    for one, other in (found.slots, found.slots[::-1]):
        if adoption.overlap(one, other):
            sentence = (
                f"the selector of Deployment {name(one)} takes in the pods of {name(other)}: "
                "Greenlight copes, but an autoscaler or a disruption budget of the one counts the pods of the other."
            )
            fix = (
                f"While {name(one)} is idle, create it again with a label in spec.selector and in its template "
                f"that {name(other)} has not."
            )
            yield warn(part, "slots", sentence, fix)
    yield from allowed(app, start.live.image)


def allowed(app: App, image: str) -> Iterator[Finding]:
    """Whether what is live could be deployed again."""
    try:
        repository = parse(image).name
    except Refused:
        repository = image
    if app.image and repository not in {app.image, *app.images}:
        sentence = f"live is an image of {repository}, which may not be deployed: neither `image` nor `images` has it."
        fix = f"Add it to `images` of [apps.{app.name}], if it is to be deployed again."
        yield warn(f"app {app.name}", "image", sentence, fix)


def _pods(part: str, app: App, live: Json, idle: Json, start: Start) -> Iterator[Finding]:
    unasked = [name(slot) for slot in (live, idle) if "readinessProbe" not in container(slot, app.native.container)[1]]
    if unasked:
        sentence = f"nobody asks the pods of {' and '.join(unasked)} whether they are ready: they count at once."
        yield warn(part, "pods", sentence, "Give the container a readinessProbe: traffic is switched to what is ready.")
    if not start.live_ready:
        sentence = f"no pod behind the live Service is ready: nobody has an answer from {name(live)} right now."
        yield warn(part, "pods", sentence, f"See why: kubectl describe deployment {name(live)}.")
    elif replicas(live) == 1:
        sentence = f"{name(live)} has one pod: whenever that is restarted nobody has an answer, and so after a switch."
        yield warn(part, "pods", sentence, "Run at least two.")
    for warning in start.warnings:
        fix = "Set terminationGracePeriodSeconds to 30 or more, and a preStop hook that sleeps for 10 s."
        yield warn(part, "pods", warning, fix)


def _alike(part: str, app: App, live: Json, idle: Json) -> Iterator[Finding]:
    """A release changes image and label of the idle slot, and nothing else: what else differs goes live with it."""
    different = list(_different(live, idle, container(live, app.native.container)[1]["name"]))
    if different:
        sentence = f"{name(live)} and {name(idle)} differ in more than the image, and so will releases: "
        fix = f"Make the pod template of {name(idle)} like that of {name(live)}, apart from labels."
        yield warn(part, "slots", f"{sentence}{', '.join(different)}.", fix)


def _different(live: Json, idle: Json, released: str) -> Iterator[str]:
    one, other = (each["spec"]["template"]["spec"] for each in (live, idle))
    yield from (key for key in sorted({*one, *other} - {"containers"}) if one.get(key) != other.get(key))
    ours, theirs = ({each["name"]: each for each in spec["containers"]} for spec in (one, other))
    for called in sorted({*ours, *theirs}):
        left, right = ours.get(called, {}), theirs.get(called, {})
        ignored = {"image"} if called == released else set()
        keys = sorted({*left, *right} - ignored)
        if not (left and right):
            yield f"container {called}"
        else:
            yield from (f"{key} of container {called}" for key in keys if left.get(key) != right.get(key))


async def _autoscalers(api: KubeApi, app: App) -> list[Json]:
    """None where they may not be listed; that is told with the rights."""
    try:
        return (await api.list(AUTOSCALER, app.namespace)).items
    except (Missing, Forbidden):
        return []


def _autoscaled(part: str, autoscalers: Iterable[Json], *slots: Json) -> Iterator[Finding]:
    targets = [item["spec"]["scaleTargetRef"] for item in autoscalers]
    scaled = {target["name"] for target in targets if target["kind"] == DEPLOYMENT.name}
    missing = [name(slot) for slot in slots if name(slot) not in scaled]
    if len(missing) == 1:
        sentence = f"an autoscaler sets the pods of one slot only: while {missing[0]} is live, nobody does."
        yield warn(part, "autoscaler", sentence, f"Make a HorizontalPodAutoscaler for {missing[0]} too.")
