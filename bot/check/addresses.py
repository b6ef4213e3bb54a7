"""Whether the card's buttons lead somewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from http import HTTPStatus
from ipaddress import ip_address

import aiohttp
from yarl import URL

from bot.check.finding import Finding, ok, warn
from bot.clusters.api import KubeApi
from bot.clusters.native import NativeCluster
from bot.release.app import App

WITHIN = 5.0


async def addresses(api: KubeApi, app: App, now: Callable[[], datetime]) -> list[Finding]:
    links = await NativeCluster(api, [app], now, lambda _: None, "").links(app)
    wanted = (("production", app.native.service, links.production), ("preview", app.native.preview, links.preview))
    timeout = aiohttp.ClientTimeout(total=WITHIN)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        found = await asyncio.gather(*(_address(session, app, *each) for each in wanted))
    return [each for some in found for each in some]


async def _address(
    session: aiohttp.ClientSession, app: App, called: str, service: str, url: str | None
) -> list[Finding]:
    part, written = f"app {app.name}", f'links = {{ {called} = "https://…" }} in [apps.{app.name}]'
    if url is None:
        sentence = f"no Ingress and no HTTPRoute leads to Service {service}: the card has no button to it."
        return [warn(part, called, sentence, f"Make one, or set {written}.")]
    where = "from greenlight.toml" if app.links.get(called) else "from the cluster"
    found = [each async for each in _doubts(session, part, called, url, ours=bool(app.links.get(called)))]
    return found or [ok(part, called, f"{url} ({where})")]


async def _doubts(
    session: aiohttp.ClientSession, part: str, called: str, url: str, *, ours: bool
) -> AsyncIterator[Finding]:
    if not ours and url.startswith("http://") and not _is_bare(url):
        fix = "Name its host under `tls` of the Ingress, or attach the HTTPRoute to a listener with HTTPS."
        yield warn(part, called, f"{url} is without TLS: no certificate covers the host.", fix)
        return
    fix = "See whether it answers where people are: from here is not from there."
    try:
        async with session.head(url, allow_redirects=False) as answer:
            # Behind the preview there are pods only while a release is under way.
            if called == "production" and answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                yield warn(part, called, f"{url} answers with {answer.status}.", fix)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        why = "in time" if isinstance(error, TimeoutError) else f"({error})"
        yield warn(part, called, f"{url} does not answer from here {why}.", fix)


def _is_bare(url: str) -> bool:
    """No certificate is had for an IP address or for this machine."""
    host = URL(url).host or ""
    try:
        return bool(ip_address(host))
    except ValueError:
        return host == "localhost"
