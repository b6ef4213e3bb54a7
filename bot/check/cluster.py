"""What Greenlight finds at one cluster: whether it answers, and what it may do there, right by right."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.check import clocks
from bot.check.addresses import addresses
from bot.check.finding import Finding, answered, fail, ok, warn
from bot.check.objects import objects
from bot.clusters.api import DEPLOYMENT, POD, SERVICE, Kind, KubeApi, as_yaml
from bot.clusters.rights import Right, rights
from bot.release.app import App

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
    Excess("get", SECRET, "read Secrets"),
    Excess("create", POD, "start pods"),
    Excess("create", POD, "run commands in pods", subresource="exec"),
    Excess("list", POD, "look into every namespace", everywhere=True),
)


async def cluster(
    part: str, api: KubeApi, apps: Sequence[App], now: Callable[[], datetime], store_id: str | None
) -> list[Finding]:
    """Its own findings and those of its apps; `store_id` is that of our database, if it can be told."""
    hello = await api.hello()
    door = _Door(api)
    found = [ok(part, "API server", f"answers, version {hello.version}.")]
    found += clocks.compared(part, "the API server", hello.date, now())
    parts = [answered(f"app {app.name}", "rights", _rights(door, app)) for app in apps]
    parts += [answered(part, f"namespace {each}", _excess(door, part, each)) for each in _namespaces(apps)]
    parts += [answered(f"app {app.name}", "objects", objects(api, app, now, store_id)) for app in apps]
    parts += [answered(f"app {app.name}", "addresses", addresses(api, app, now)) for app in apps]
    return found + [each for some in await asyncio.gather(*parts) for each in some]


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


async def _rights(door: _Door, app: App) -> list[Finding]:
    part, wanted = f"app {app.name}", rights(app)
    refused = await asyncio.gather(*(_refused(door, app.namespace, right) for right in wanted))
    lacking = [each for some in refused for each in some]
    if not lacking:
        return [ok(part, "rights", f"all that a release needs in namespace {app.namespace}.")]
    if _questions(lacking) == _questions(wanted):
        sentence = f"Greenlight may do nothing in namespace {app.namespace}, if there is such a namespace."
        fix = "Apply a Role and a RoleBinding there as in deploy/examples/role.yaml, for the user that it logs in as."
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


async def _excess(door: _Door, part: str, namespace: str) -> list[Finding]:
    places = ["" if each.everywhere else namespace for each in EXCESSES]
    asked = zip(EXCESSES, places, strict=True)
    may = await asyncio.gather(*(door.may(each.verb, each.kind, where, "", each.subresource) for each, where in asked))
    found = [each.means for each, allowed in zip(EXCESSES, may, strict=True) if allowed]
    if not found:
        return []
    sentence = f"Greenlight may do more here than it needs: {', '.join(found)}."
    fix = "Let it log in as a ServiceAccount that has only the Role of deploy/examples/role.yaml."
    return [warn(part, f"namespace {namespace}", sentence, fix)]
