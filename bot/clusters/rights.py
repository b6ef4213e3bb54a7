"""What Greenlight has to be allowed in the namespace of an app, as rules of a Role. Pure.

One list serves the Role that `init` prints, what `check` asks the API server, and the sentence about a right that is
missing. By name where something is changed; by kind where it is read, since a list or a watch has no name.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.clusters.api import (
    AUTOSCALER,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    GATEWAY,
    HTTP_ROUTE,
    INGRESS,
    POD,
    SERVICE,
    Json,
    Kind,
    rule,
)
from bot.release.app import App


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


def rights(app: App) -> tuple[Right, ...]:
    target = app.native
    addresses = "the card's buttons have no address but those in [links]"
    return (
        Right(SERVICE, ("get", "patch"), (target.service, target.preview)),
        Right(DEPLOYMENT, ("get", "patch"), target.slots),
        Right(SERVICE, ("list", "watch")),
        Right(POD, ("list", "watch")),
        Right(DEPLOYMENT, ("list", "watch")),
        Right(ENDPOINT_SLICE, ("list", "watch")),
        Right(INGRESS, ("list",), without=addresses),
        Right(HTTP_ROUTE, ("list",), without=addresses),
        Right(GATEWAY, ("list",), without=addresses),
        Right(
            AUTOSCALER, ("list",), without="as many candidates as live pods are started, whatever an autoscaler says"
        ),
    )


def rules(apps: Iterable[App]) -> list[Json]:
    """The rules of one Role for apps that share a namespace: those of a kind and its verbs are one rule."""
    names: dict[tuple[Kind, tuple[str, ...], bool], list[str]] = {}
    for app in apps:
        for right in rights(app):
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
