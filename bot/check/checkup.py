"""The whole check: every part is asked side by side, with a deadline each; none waits for another or hides it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from bot.check.cluster import cluster
from bot.check.finding import UNREACHABLE, WITHIN, Finding, answered, fail, ok
from bot.check.guild import PART as DISCORD
from bot.check.guild import guild
from bot.check.prometheus import PART as PROMETHEUS
from bot.check.prometheus import server, uses
from bot.check.repository import repository
from bot.check.rollout import live_repository
from bot.check.settings import PART as SETTINGS
from bot.check.settings import understood
from bot.client import point_at
from bot.clusters.api import KubeApi
from bot.policy import Credentials
from bot.registry import Login, Registry, RegistryError, read_logins
from bot.release.app import App
from bot.settings import Settings
from bot.store import Inspection, Unusable, inspect

DATABASE = "database"


async def check(settings: Settings, now: Callable[[], datetime]) -> list[Finding]:
    """Everything there is to say, in the order in which people read it. Changes nothing anywhere."""
    point_at(settings.discord_api_url, settings.discord_gateway_url)
    apps = list(settings.apps.values())
    # First, since it is here, and since only its identity tells whose a Service is.
    store_id, found = await _database(settings.database_url)
    async with Registry(settings.docker_config, settings.registries) as registry:
        logins = _logins(settings)
        token = settings.token.get_secret_value()
        parts: list[Awaitable[list[Finding]]] = [
            answered(DISCORD, DISCORD, guild(token, settings.guild, apps, now)),
        ]
        if settings.prometheus is not None and uses(apps):
            parts.append(answered(PROMETHEUS, "server", server(settings.prometheus, apps)))
        for name, credentials in settings.clusters.items():
            part = f"cluster {name}".strip()
            here = [app for app in apps if app.cluster == name]
            look = partial(cluster, now=now, store_id=store_id, prometheus=settings.prometheus)
            asking = _cluster(part, name, credentials, here, look, partial(_live, registry, logins, now))
            # What is in it has deadlines of its own, once the API server has said hello.
            parts.append(answered(part, "API server", asking, within=2 * WITHIN))
        parts += [
            answered(f"app {app.name}", "registry", repository(f"app {app.name}", registry, image, logins))
            for app in apps
            for image in dict.fromkeys(filter(None, (app.image, *app.images)))
        ]
        found += [each for some in await asyncio.gather(*parts) for each in some]
    return in_order([*understood(apps), *found], apps)


def in_order(findings: Sequence[Finding], apps: Sequence[App]) -> list[Finding]:
    """By part, from what all need to what one app needs; within a part as they were found."""
    rank = {SETTINGS: 0, DATABASE: 1, DISCORD: 2} | {f"app {app.name}": 4 + n for n, app in enumerate(apps)}
    names = [each.part for each in findings]
    return sorted(findings, key=lambda each: (rank.get(each.part, 3), names.index(each.part)))


def _logins(settings: Settings) -> Mapping[str, Login]:
    try:
        return read_logins(settings.docker_config)
    except RegistryError:
        return {}  # each registry that is asked will say so


async def _cluster(
    part: str,
    name: str,
    credentials: Credentials,
    apps: Sequence[App],
    look: Callable[[str, KubeApi, Sequence[App]], Awaitable[list[Finding]]],
    live: Callable[[KubeApi, App], Awaitable[list[Finding]]],
) -> list[Finding]:
    """`look` looks at the cluster and its apps, `live` at the repository of what is live, for apps that name none."""
    api = KubeApi(kubeconfig=credentials.kubeconfig, context=credentials.context, name=name)
    try:
        found = await look(part, api, apps)
        unnamed = [answered(f"app {app.name}", "registry", live(api, app)) for app in apps if not app.image]
        return found + [each for some in await asyncio.gather(*unnamed) for each in some]
    finally:
        await api.close()


async def _live(
    registry: Registry, logins: Mapping[str, Login], now: Callable[[], datetime], api: KubeApi, app: App
) -> list[Finding]:
    called = await live_repository(api, app, now)
    if not called or called in app.images:
        return []
    return await repository(f"app {app.name}", registry, called, logins)


async def _database(url: str) -> tuple[str | None, list[Finding]]:
    """Its identity, None when that cannot be told, and what was found."""
    try:
        async with asyncio.timeout(WITHIN):
            found = await inspect(url)
    except TimeoutError:
        return None, [fail(DATABASE, "database", f"did not answer within {WITHIN:.0f} s.", UNREACHABLE)]
    except Unusable as why:
        wrong, _, fix = str(why).rpartition(": ")
        return None, [fail(DATABASE, "database", f"{wrong}.", fix[:1].upper() + fix[1:])]
    return found.identity, [_told(found)]


def _told(found: Inspection) -> Finding:
    if not found.place:
        fix = "Set DATABASE_URL to a file on a volume."
        return fail(DATABASE, "database", "is in memory: a restart forgets every release that is under way.", fix)
    if not found.exists:
        return ok(DATABASE, "database", f"{found.place} will be made at the first start.")
    if found.missing:
        steps = "one migration" if found.missing == 1 else f"{found.missing} migrations"
        return ok(DATABASE, "database", f"{found.place} will get {steps} at the next start.")
    return ok(DATABASE, "database", f"{found.place} is up to date.")
