"""Whether the card's buttons lead somewhere."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from ipaddress import ip_address

import aiohttp
from yarl import URL

from bot.check.finding import Finding, ok, warn
from bot.clusters.addresses import Entrances, read_entrances
from bot.clusters.api import KubeApi
from bot.clusters.ingress import missing_port, not_atomic, uncovered
from bot.clusters.reading import name
from bot.release.app import App, Native

WITHIN = 5.0


async def addresses(api: KubeApi, app: App, active: str, preview: str) -> list[Finding]:
    """`active` and `preview` are the names of the two Services."""
    entrances = await read_entrances(api, app.namespace)
    links = entrances.links(app, active, preview)
    wanted = (("production", active, links.production), ("preview", preview, links.preview))
    timeout = aiohttp.ClientTimeout(total=WITHIN)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        found = await asyncio.gather(*(_address(session, app, *each, entrances) for each in wanted))
    return [each for some in found for each in some]


async def _address(
    session: aiohttp.ClientSession, app: App, called: str, service: str, url: str | None, entrances: Entrances
) -> list[Finding]:
    part, written = f"app {app.name}", f'links = {{ {called} = "https://…" }} in [apps.{app.name}]'
    wrong = list(_of_ingresses(app, called, service, entrances))
    if url is None:
        sentence = f"no Ingress and no HTTPRoute leads to Service {service}: the card has no button to it."
        return [*wrong, warn(part, called, sentence, f"Make one, or set {written}.")]
    where = "from greenlight.toml" if app.links.get(called) else "from the cluster"
    told = bool(app.links.get(called)) or any(host == URL(url).host for _, host, _ in _uncovered(service, entrances))
    found = [each async for each in _doubts(session, part, called, url, told=told)]
    return [*(found or [ok(part, called, f"{url} ({where})")]), *wrong]


def _of_ingresses(app: App, called: str, service: str, entrances: Entrances) -> Iterator[Finding]:
    """What they say that does not work as it was meant."""
    part = f"app {app.name}"
    for ingress, host, covered in _uncovered(service, entrances):
        sentence = f"Ingress {ingress} answers at {host} and has certificates for {', '.join(covered)} only: by https"
        fix = f"Name {host} under `tls` of {ingress}, or let it answer at a host that is there."
        yield warn(part, called, f"{sentence} browsers refuse it, so the button is http.", fix)
    known = next((each for each in entrances.services if name(each) == service), None)
    missing = known and missing_port(known, entrances.ingresses)
    if missing and isinstance(app.target, Native):  # else it is told with the objects, since it allows no release
        sentence = f"Ingress {missing[0]} leads to port {missing[1]} of Service {service}, which has no such port."
        yield warn(part, called, sentence, "Name a port of the Service there, by its name or its number.")
    late = not_atomic(known, entrances.ingresses) if known else ""
    if late and called == "production":
        sentence = f"{late}: it learns of pods one by one, so a switch is not one moment there."
        yield warn(part, called, sentence, "Let both versions be good for some seconds of traffic, or send by node.")


def _uncovered(service: str, entrances: Entrances) -> list[tuple[str, str, list[str]]]:
    return list(uncovered(service, entrances.ingresses))


async def _doubts(
    session: aiohttp.ClientSession, part: str, called: str, url: str, *, told: bool
) -> AsyncIterator[Finding]:
    """`told`: why it is without TLS is no news."""
    if not told and url.startswith("http://") and not _is_bare(url):
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
