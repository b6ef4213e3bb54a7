"""Whether what gates of kind http ask for can be reached from here."""

import os
import ssl

import aiohttp
from yarl import URL

from bot.check.finding import Finding, ok, warn
from bot.release.app import App, Gate, Http

WITHIN = 10.0


def is_only_inside(url: str) -> bool:
    """Whether it is an address that a cluster alone knows, and we are in none."""
    host = URL(url).host or ""
    return "KUBERNETES_SERVICE_HOST" not in os.environ and (host.endswith(".svc") or ".svc." in host)


async def visit(session: aiohttp.ClientSession, app: App, gate: Gate, wanted: Http, preview: str) -> Finding:
    """`preview` is the name of the Service, "" when it is not known. There are pods behind it only while a release is
    under way: so whatever answers now is good enough.
    """
    part, about, url = f"app {app.name}", f"gate {gate.name}", wanted.url
    if not url:
        service = f"Service {preview}" if preview else "the preview Service"
        sentence = f"asks {service} for {wanted.path} by its address inside the cluster, which is not tried from here."
        return ok(part, about, sentence)
    fix = "See whether it answers from where Greenlight runs: from here is not from there."
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
    return ok(part, about, f"{url} answers {status} now; {wanted.status} is wanted.")
