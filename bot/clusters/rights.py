"""What Greenlight has to be allowed in the namespace of an app, as rules of a Role. Pure.

One list serves the Role that `init` prints, what `check` asks the API server, and the sentence about a right that is
missing. By name where something is changed; by kind where it is read, since a list or a watch has no name.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bot.clusters.api import (
    ANALYSIS_RUN,
    AUTOSCALER,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    GATEWAY,
    HTTP_ROUTE,
    INGRESS,
    POD,
    REPLICA_SET,
    ROLLOUT,
    ROLLOUT_STATUS,
    SERVICE,
    Json,
    Kind,
    rule,
)
from bot.release.app import App, Argo


@dataclass(frozen=True)
class Right:
    """To do `verbs` with objects of a kind in the app's namespace; `names` empty means all of them."""

    kind: Kind
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    without: str = ""
    """What is missed without it; "" when no release is possible then."""

    @property
    def rule(self) -> Json:
        """As it stands in a Role."""
        return rule(self.kind, self.verbs, self.names)


@dataclass(frozen=True)
class Behind:
    """The names of what a release changes beside a Rollout: only the Rollout tells them."""

    services: tuple[str, ...] = ()
    workload: str = ""
    """The Deployment that has its pod template; "" when it has that itself."""


UNREAD = Behind()
"""Of a Rollout that nobody could read: what is named by it is left out."""


def rights(app: App, behind: Behind = UNREAD) -> tuple[Right, ...]:
    """`behind` counts for an app on Argo Rollouts only."""
    if isinstance(app.target, Argo):
        return (*_of_rollout(app.target, behind), *_of_addresses())
    target, autoscaled = app.native, "as many candidates as live pods are started, whatever an autoscaler says"
    return (
        Right(SERVICE, ("get", "patch"), (target.service, target.preview)),
        Right(DEPLOYMENT, ("get", "patch"), target.slots),
        Right(SERVICE, ("list", "watch")),
        Right(POD, ("list", "watch")),
        Right(DEPLOYMENT, ("list", "watch")),
        Right(ENDPOINT_SLICE, ("list", "watch")),
        *_of_addresses(),
        Right(AUTOSCALER, ("list",), without=autoscaled),
    )


def _of_rollout(target: Argo, behind: Behind) -> Iterator[Right]:
    yield Right(ROLLOUT, ("get", "patch"), (target.rollout,))
    # Who may patch the status can promote; it is no part of the right to patch the Rollout.
    yield Right(ROLLOUT_STATUS, ("patch",), (target.rollout,))
    if behind.services:
        yield Right(SERVICE, ("get", "patch"), behind.services)
    if behind.workload:
        yield Right(DEPLOYMENT, ("get", "patch"), (behind.workload,))
    for kind in (SERVICE, POD, REPLICA_SET, ENDPOINT_SLICE, ROLLOUT):
        yield Right(kind, ("list", "watch"))
    yield Right(ANALYSIS_RUN, ("list", "watch"), without="the card does not show what an analysis measured")


def _of_addresses() -> Iterator[Right]:
    for kind in (INGRESS, HTTP_ROUTE, GATEWAY):
        yield Right(kind, ("list",), without="the card's buttons have no address but those in [links]")


def rules(apps: Iterable[App], behind: Mapping[str, Behind] = MappingProxyType({})) -> list[Json]:
    """The rules of one Role for apps that share a namespace: those of a kind and its verbs are one rule. `behind` is
    by the names of the apps.
    """
    names: dict[tuple[Kind, tuple[str, ...], bool], list[str]] = {}
    for app in apps:
        for right in rights(app, behind.get(app.name, UNREAD)):
            known = names.setdefault((right.kind, right.verbs, bool(right.names)), [])
            known += [each for each in right.names if each not in known]
    return _joined([rule(kind, verbs, found) for (kind, verbs, _), found in names.items()])


def _joined(found: Sequence[Json]) -> list[Json]:
    """Kinds of one API group with the same verbs and no names are one rule, as people write it."""
    joined: dict[str, Json] = {}
    for each in found:
        key = json.dumps({**each, "resources": None} if "resourceNames" not in each else each)
        if key in joined:
            joined[key]["resources"] += each["resources"]
        else:
            joined[key] = each
    return list(joined.values())
