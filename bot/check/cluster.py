"""What Greenlight finds at one cluster: whether it answers, and what it may do there, right by right."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.check import clocks
from bot.check.addresses import addresses
from bot.check.finding import Finding, answered, fail, ok, warn
from bot.check.gates import gates
from bot.check.objects import objects
from bot.check.rollout import look, rollout, without_app
from bot.clusters.api import DEPLOYMENT, JOB, POD, ROLLOUT, ROLLOUT_STATUS, SERVICE, Kind, KubeApi, as_yaml
from bot.clusters.rights import UNREAD, Behind, Right, rights
from bot.gates.prometheus import Server
from bot.release.app import App, Argo

AT_ONCE = 8
"""Requests that one check has under way at a cluster."""
SECRET = Kind("Secret", "v1", "secrets")


@dataclass(frozen=True)
class Excess:
    """Something that no release needs and that does harm in the wrong hands (S15 in docs/safety.md)."""

    verb: str
    kind: Kind
    means: str
    subresource: str = ""
    everywhere: bool = False


EXCESSES = (
    Excess("patch", SERVICE, "change any Service"),
    Excess("patch", DEPLOYMENT, "change any Deployment"),
    Excess("patch", ROLLOUT, "change any Rollout"),
    Excess("patch", ROLLOUT_STATUS, "promote any Rollout"),
    Excess("get", SECRET, "read Secrets"),
    Excess("create", POD, "start pods"),
    Excess("create", JOB, "start Jobs"),
    Excess("create", POD, "run commands in pods", subresource="exec"),
    Excess("list", POD, "look into every namespace", everywhere=True),
)


async def cluster(
    part: str,
    api: KubeApi,
    apps: Sequence[App],
    now: Callable[[], datetime],
    store_id: str | None,
    prometheus: Server | None = None,
) -> list[Finding]:
    """Its own findings and those of its apps; `store_id` is that of our database, if it can be told."""
    hello = await api.hello()
    door = _Door(api)
    found = [ok(part, "API server", f"answers, version {hello.version}.")]
    found += clocks.compared(part, "the API server", hello.date, now())
    parts = [answered(part, f"namespace {each}", _excess(door, part, each, apps)) for each in _namespaces(apps)]
    parts += [answered(f"app {app.name}", "objects", _app(door, api, app, now, store_id, prometheus)) for app in apps]
    parts += [answered(part, f"namespace {each}", without_app(api, part, each, apps)) for each in _namespaces(apps)]
    return found + [each for some in await asyncio.gather(*parts) for each in some]


async def _app(
    door: "_Door",
    api: KubeApi,
    app: App,
    now: Callable[[], datetime],
    store_id: str | None,
    prometheus: Server | None,
) -> list[Finding]:
    part = f"app {app.name}"
    if isinstance(app.target, Argo):
        seen = await look(api, app)
        known, (active, preview) = seen.behind, (*seen.behind.services, "", "")[:2]
        looked = rollout(api, app, seen, now, store_id)
    else:
        known, active, preview = UNREAD, app.native.service, app.native.preview
        looked = objects(api, app, now, store_id)
    parts = [answered(part, "rights", _rights(door, app, known)), answered(part, "objects", looked)]
    parts.append(answered(part, "gates", gates(api, app, active, preview, prometheus)))
    if active and preview:
        parts.append(answered(part, "addresses", addresses(api, app, active, preview)))
    return [each for some in await asyncio.gather(*parts) for each in some]


def _namespaces(apps: Iterable[App]) -> list[str]:
    return list(dict.fromkeys(app.namespace for app in apps))


class _Door:
    """Asks what is allowed, a few questions at a time."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._few = asyncio.Semaphore(AT_ONCE)

    async def may(self, verb: str, kind: Kind, namespace: str, name: str = "", subresource: str = "") -> bool:
        async with self._few:
            return await self._api.may(verb, kind, namespace, name, subresource)


async def _rights(door: _Door, app: App, known: Behind) -> list[Finding]:
    part, wanted = f"app {app.name}", rights(app, known)
    refused = await asyncio.gather(*(_refused(door, app.namespace, right) for right in wanted))
    lacking = [each for some in refused for each in some]
    if not lacking:
        return [ok(part, "rights", f"all that a release needs in namespace {app.namespace}.")]
    if _questions(lacking) == _questions(wanted):
        sentence = f"Greenlight may do nothing in namespace {app.namespace}, if there is such a namespace."
        role = _role_of(app)
        fix = f"Apply a Role and a RoleBinding there as in deploy/examples/{role}, for the user that it logs in as."
        return [fail(part, "rights", sentence, fix)]
    return [_told(part, app.namespace, right) for right in lacking]


def _questions(asked: Iterable[Right]) -> int:
    return sum(len(right.verbs) * max(1, len(right.names)) for right in asked)


async def _refused(door: _Door, namespace: str, right: Right) -> list[Right]:
    """The parts of the right that are not there, each verb by itself."""
    names = right.names or ("",)
    asked = [(verb, name) for verb in right.verbs for name in names]
    allowed = await asyncio.gather(*(door.may(verb, right.kind, namespace, name) for verb, name in asked))
    refused = [each for each, may in zip(asked, allowed, strict=True) if not may]
    lost = {verb: tuple(name for other, name in refused if other == verb and name) for verb, _ in refused}
    return [replace(right, verbs=(verb,), names=names) for verb, names in lost.items()]


def _told(part: str, namespace: str, right: Right) -> Finding:
    [verb] = right.verbs
    what = " and ".join(f"{right.kind.name} {namespace}/{name}" for name in right.names)
    what = what or f"{right.kind.plural} in {namespace}"
    fix = f"Add to its Role in {namespace}: {as_yaml(right.rule)}"
    if right.without:
        return warn(part, "rights", f"Greenlight may not {verb} {what}: {right.without}.", fix)
    return fail(part, "rights", f"Greenlight may not {verb} {what}: no release is possible.", fix)


async def _excess(door: _Door, part: str, namespace: str, apps: Sequence[App]) -> list[Finding]:
    needed = {
        (right.kind, verb)
        for app in apps
        if app.namespace == namespace
        for right in rights(app)
        if not right.names
        for verb in right.verbs
    }
    harm = [each for each in EXCESSES if each.everywhere or each.subresource or (each.kind, each.verb) not in needed]
    places = ["" if each.everywhere else namespace for each in harm]
    asked = zip(harm, places, strict=True)
    may = await asyncio.gather(*(door.may(each.verb, each.kind, where, "", each.subresource) for each, where in asked))
    found = [each.means for each, allowed in zip(harm, may, strict=True) if allowed]
    if not found:
        return []
    sentence = f"Greenlight may do more here than it needs: {', '.join(found)}."
    roles = " and ".join(sorted({f"deploy/examples/{_role_of(app)}" for app in apps if app.namespace == namespace}))
    fix = f"Let it log in as a ServiceAccount that has only the Role of {roles}."
    return [warn(part, f"namespace {namespace}", sentence, fix)]


def _role_of(app: App) -> str:
    """The example's, below deploy/examples/."""
    return "mochi-argo/role.yaml" if isinstance(app.target, Argo) else "role.yaml"
