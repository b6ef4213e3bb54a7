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
    CONFIG_MAP,
    CRON_JOB,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    GATEWAY,
    HTTP_ROUTE,
    INGRESS,
    JOB,
    POD,
    REPLICA_SET,
    ROLLOUT,
    ROLLOUT_STATUS,
    SERVICE,
    Json,
    Kind,
    rule,
)
from bot.release.app import K6, App, Argo, Gate, Job, Mode


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
        return (*_of_rollout(app.target, behind), *_of_addresses(), *_of_gates(app.gates))
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
        *_of_gates(app.gates),
    )


def _of_rollout(target: Argo, behind: Behind) -> Iterator[Right]:
    yield Right(ROLLOUT, ("get", "patch"), (target.rollout,))
    # Who may patch the status can promote; it is no part of the right to patch the Rollout.
    yield Right(ROLLOUT_STATUS, ("patch",), (target.rollout,))
    if behind.services:
        active, *preview = behind.services
        yield Right(SERVICE, ("get", "patch"), (active,))
        if preview:  # only the controller writes that one
            yield Right(SERVICE, ("get",), tuple(preview))
    if behind.workload:
        yield Right(DEPLOYMENT, ("get", "patch"), (behind.workload,))
    for kind in (SERVICE, POD, REPLICA_SET, ENDPOINT_SLICE, ROLLOUT):
        yield Right(kind, ("list", "watch"))
    yield Right(ANALYSIS_RUN, ("list", "watch"), without="the card does not show what an analysis measured")


def _of_addresses() -> Iterator[Right]:
    for kind in (INGRESS, HTTP_ROUTE, GATEWAY):
        yield Right(kind, ("list",), without="the card's buttons have no address but those in [links]")


def _of_gates(gates: Sequence[Gate]) -> Iterator[Right]:
    """Of those that run something in the cluster; whose they are is told by label, so their names say nothing."""
    running = [gate for gate in gates if isinstance(gate.check, K6 | Job)]
    for gate in running:
        # Without a verdict of the others nothing is promoted.
        without = f"gate {gate.name} comes to no verdict" if gate.mode is Mode.WARN else ""
        if isinstance(gate.check, K6):
            yield Right(CONFIG_MAP, ("get",), (gate.check.configmap,), without)
        elif isinstance(gate.check, Job):
            yield Right(CRON_JOB, ("get",), (gate.check.cronjob,), without)
    if running:
        warning = all(gate.mode is Mode.WARN for gate in running)
        named = " and ".join(gate.name for gate in running)
        yield Right(JOB, ("create", "get", "delete"), without=f"gate {named} comes to no verdict" if warning else "")


def rules(apps: Iterable[App], behind: Mapping[str, Behind] = MappingProxyType({})) -> list[Json]:
    """The rules of one Role for apps that share a namespace: those of a kind and its verbs are one rule. `behind` is
    by the names of the apps.
    """
    names: dict[tuple[Kind, tuple[str, ...], bool, bool], list[str]] = {}
    for app in apps:
        for right in rights(app, behind.get(app.name, UNREAD)):
            key = (right.kind, right.verbs, bool(right.names), bool(right.without))
            known = names.setdefault(key, [])
            known += [each for each in right.names if each not in known]
    made = [(rule(kind, verbs, found), optional) for (kind, verbs, _, optional), found in names.items()]
    return _joined(made)


def _joined(found: Sequence[tuple[Json, bool]]) -> list[Json]:
    """Kinds of one API group with the same verbs and no names are one rule, as people write it; what may be left out is
    not in one with what may not.
    """
    joined: dict[str, Json] = {}
    for each, optional in found:
        key = json.dumps([{**each, "resources": None} if "resourceNames" not in each else each, optional])
        if key in joined:
            joined[key]["resources"] += each["resources"]
        else:
            joined[key] = each
    return list(joined.values())
