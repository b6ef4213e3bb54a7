"""Whether releases of an app and Argo CD, which keeps its objects to what Git says, can live together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.check.finding import Finding, fail, ok, warn
from bot.clusters import argocd
from bot.clusters.api import DEPLOYMENT, ROLLOUT, SERVICE, Api, Json, Kind
from bot.clusters.application import application_of
from bot.clusters.errors import Unfit
from bot.clusters.reading import name
from bot.release.app import App, Argo

ABOUT = "Argo CD"


@dataclass(frozen=True)
class Kept:
    """What a release writes to."""

    holders: Sequence[Json]
    """Those with a pod template: Deployments or one Rollout."""
    services: Sequence[Json]
    key: str = ""
    """The only one that is added to selectors; "" when they are written anew."""
    own: Mapping[str, str] | None = None
    """What of them stays, where they are written anew."""


async def beside_argo_cd(api: Api, app: App, kept: Kept) -> list[Finding]:
    """Nothing to say of objects that nobody keeps."""
    found: list[Finding] = []
    items = [*((each, _kind(each)) for each in kept.holders), *((each, SERVICE) for each in kept.services)]
    first = {argocd.application_place(item, kind): item for item, kind in reversed(items)}
    for place, item in reversed(first.items()):
        if place is not None:
            found += _of_application(app, kept, place, await application_of(api, item), items)
    return found


def _of_application(
    app: App, kept: Kept, place: tuple[str, str], application: Json | None, items: Iterable[tuple[Json, Kind]]
) -> Iterator[Finding]:
    part, (_, called) = f"app {app.name}", place
    ours = [(item, kind) for item, kind in items if argocd.application_place(item, kind) == place]
    shown = ", ".join(f"{kind.name} {name(item)}" for item, kind in ours)
    heals = " and heals itself" if application is not None and argocd.heals_itself(application) else ""
    yield ok(part, ABOUT, f"application {called} keeps {shown} to what Git says{heals}.")
    holders = [item for item, kind in ours if kind is not SERVICE]
    services = [item for item, kind in ours if kind is SERVICE]
    yield from _of_images(app, holders, application)
    yield from _of_selectors(part, kept, services, application)


def _of_images(app: App, holders: Sequence[Json], application: Json | None) -> Iterator[Finding]:
    part, wanted, on_argo = f"app {app.name}", app.target.container, isinstance(app.target, Argo)
    back = _together({name(each): argocd.keeps_image(each, wanted, application) for each in holders})
    if back is not None and isinstance(app.target, Argo) and app.target.adopt:
        yield ok(part, ABOUT, f"{back.wrong}: a release begins by a commit, and not by /deploy.")
    elif back is not None:
        refused = application is not None and not on_argo
        say = fail if refused else warn
        yield say(part, ABOUT, f"{back.wrong}.", _sentence(back.fix), _of_holders(app, holders))
    elif application is not None:
        late = _together({name(each): argocd.resets_image(each, wanted, application) for each in holders})
        if late is not None:
            yield warn(part, ABOUT, f"{late.wrong}.", _sentence(late.fix), _of_holders(app, holders))


def _of_holders(app: App, holders: Sequence[Json]) -> str:
    """The remedy for those that take turns, together with the number of pods that a release sets."""
    more = [] if isinstance(app.target, Argo) else ["/spec/replicas"]
    paths = {name(each): [argocd.image_path(each, app.target.container), *more] for each in holders}
    return argocd.remedy(_kind(holders[0]), paths)


def _of_selectors(part: str, kept: Kept, services: Sequence[Json], application: Json | None) -> Iterator[Finding]:
    paths = {name(each): [argocd.selector_path(kept.key)] for each in services}
    remedy = argocd.remedy(SERVICE, paths)
    stripped = _together({name(each): argocd.strips_selector(each, kept.key, application) for each in services})
    if stripped is not None and application is not None:
        yield fail(part, ABOUT, f"{stripped.wrong}.", _sentence(stripped.fix), remedy)
    elif stripped is not None:
        unless = "unless its spec says so already, which Greenlight may not read"
        yield warn(part, ABOUT, f"{stripped.wrong}, {unless}.", _sentence(stripped.fix), remedy)
    if kept.own is not None:
        own = kept.own
        back = _together({name(each): argocd.overrules_selector(each, own, application) for each in services})
        if back is not None:
            yield fail(part, ABOUT, f"{back.wrong}.", _sentence(back.fix), remedy)


def _together(found: Mapping[str, Unfit | None]) -> Unfit | None:
    """One for all objects that have the same fault; None when none has."""
    wrong = {called: why for called, why in found.items() if why is not None}
    if not wrong:
        return None
    (_, why), *others = wrong.items()
    also = f" (and so it is with {', '.join(called for called, _ in others)})" if others else ""
    return Unfit(f"{why.wrong}{also}", why.fix)


def _kind(holder: Json) -> Kind:
    return ROLLOUT if holder.get("kind") == ROLLOUT.name else DEPLOYMENT


def _sentence(fix: str) -> str:
    return fix[:1].upper() + fix[1:]
