"""Whether what gates and guards of kind http ask for can be reached from here."""

import os
import ssl

import aiohttp
from yarl import URL

from bot.check.finding import Finding, ok, warn
from bot.release.app import Action, App, Gate, Guard, Http, Mode

WITHIN = 10.0


def is_only_inside(url: str) -> bool:
    """Whether it is an address that a cluster alone knows, and we are in none."""
    host = URL(url).host or ""
    return "KUBERNETES_SERVICE_HOST" not in os.environ and (host.endswith(".svc") or ".svc." in host)


def named(check: Gate | Guard) -> str:
    return f"{'guard' if isinstance(check, Guard) else 'gate'} {check.name}"


def is_only_shown(check: Gate | Guard) -> bool:
    """Whether nothing follows from what it comes to."""
    return check.action is Action.WARN if isinstance(check, Guard) else check.mode is Mode.WARN


async def visit(session: aiohttp.ClientSession, app: App, gate: Gate | Guard, wanted: Http, service: str) -> Finding:
    """`service` is the name of the one that is asked, "" when it is not known. Behind a preview there are pods only
    while a release is under way, so whatever answers a gate is good enough; what is live answers a guard as it wants.
    """
    part, about, url = f"app {app.name}", named(gate), wanted.url
    guards = isinstance(gate, Guard)
    if not url:
        service = f"Service {service}" if service else "the active Service" if guards else "the preview Service"
        sentence = f"asks {service} for {wanted.path} by its address inside the cluster, which is not tried from here."
        return ok(part, about, sentence)
    fix = "See whether it answers from where Greenlight runs: from here is not from there."
    fix += " What a guard cannot reach is no good version to it." if guards else ""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(WITHIN), allow_redirects=False) as answer:
            status, target = answer.status, answer.headers.get("Location", "")
    except TimeoutError:
        return warn(part, about, f"{url} did not answer within {WITHIN:g} s.", fix)
    except (aiohttp.ClientSSLError, ssl.SSLError) as error:
        return warn(part, about, f"the certificate of {url} is not right: {error}.", fix)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if is_only_inside(url):
            return ok(part, about, f"{url} is an address inside a cluster, which cannot be reached from here.")
        return warn(part, about, f"{url} cannot be reached from here: {str(error) or type(error).__name__}.", fix)
    if target and status != wanted.status:
        sentence = f"{url} answers {status} and sends elsewhere, which no gate follows."
        return warn(part, about, sentence, f"Name where it leads: {URL(url).join(URL(target))}")
    sentence = f"{url} answers {status} now; {wanted.status} is wanted."
    if guards and status != wanted.status:
        return warn(part, about, sentence, "Put `expect` or the address right: so answers what is live and good.")
    return ok(part, about, sentence)
