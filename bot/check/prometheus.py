"""Whether Prometheus can be asked, and whether it understands what gates and guards ask it."""

from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp

from bot.check.finding import UNREACHABLE, Finding, fail, ok, warn
from bot.check.visits import is_only_inside, is_only_shown, named
from bot.clusters.api import POD, SERVICE, Api
from bot.clusters.argo.reading import pod_hash
from bot.clusters.cluster import LABEL
from bot.clusters.errors import ClusterError
from bot.clusters.reading import HASH, is_over, labels, only, selector
from bot.gates import prometheus as gate_of
from bot.gates.prometheus import BadQueryError, NoDataError, NoValueError, Server, UnaskedError, ask, filled
from bot.release.app import App, Gate, Guard, Prometheus

PART = "Prometheus"
ALWAYS = "vector(1)"
"""Whatever Prometheus has or has not, this has a value."""
NOBODY = "none"
"""In the place of a label or hash that is not known."""


def uses(apps: Iterable[App]) -> bool:
    """Whether any gate or guard asks Prometheus."""
    return bool(_asking(apps))


async def server(known: Server, apps: Iterable[App]) -> list[Finding]:
    told = warn if all(map(is_only_shown, _asking(apps))) else fail
    async with aiohttp.ClientSession() as session:
        try:
            await ask(session, known, ALWAYS)
        except NoValueError as why:
            if why.passing and is_only_inside(known.url):
                sentence = f"{known.url} is an address inside a cluster, which cannot be reached from here."
                return [ok(PART, "server", f"{sentence} A Greenlight that runs there can.")]
            fix = (
                UNREACHABLE
                if why.passing
                else "Put [prometheus] right; its gates come to no verdict until then, and its guards guard nothing."
            )
            return [told(PART, "server", f"{why}.", fix)]
    return [ok(PART, "server", f"{known.url} answers.")]


def _asking(apps: Iterable[App]) -> list[Gate | Guard]:
    checks: list[Gate | Guard] = [each for app in apps for each in app.gates]
    checks += [each for app in apps for each in app.guards]
    return [each for each in checks if isinstance(each.check, Prometheus)]


@dataclass(frozen=True)
class Live:
    """What tells the pods of what is live; "" is not known."""

    label: str = ""
    pod_hash: str = ""


async def live(api: Api, app: App, active: str) -> Live:
    """`active` is the name of the Service; "" when it is not known."""
    if not active:
        return Live()
    try:
        service = await api.get(SERVICE, app.namespace, active)
        wanted = ",".join(f"{key}={value}" for key, value in selector(service).items())
        pods = [pod for pod in (await api.list(POD, app.namespace, labels=wanted)).items if not is_over(pod)]
    except ClusterError:  # rights and objects say what is wrong there
        return Live()
    label = only(labels(pod).get(LABEL, "") for pod in pods)
    return Live(label, only(pod_hash(pod) or labels(pod).get(HASH, "") for pod in pods))


async def query(
    session: aiohttp.ClientSession, known: Server, app: App, gate: Gate | Guard, wanted: Prometheus, now: Live
) -> list[Finding]:
    """Ask it once, about what is live. Nothing when Prometheus cannot be asked, which is told by itself."""
    part, about = f"app {app.name}", named(gate)
    asked = {gate_of.LABEL: now.label, gate_of.HASH: now.pod_hash}
    unknown = [name for name, value in asked.items() if name in wanted.query and not value]
    try:
        value = await ask(session, known, filled(wanted.query, app, now.label or NOBODY, now.pod_hash or NOBODY))
    except UnaskedError:
        return []
    except NoDataError as why:
        why_none = f"what is live has no {' and no '.join(unknown)} to be asked about" if unknown else str(why)
        return [ok(part, about, f"is understood by Prometheus; about what is live: {why_none}.")]
    except BadQueryError as why:
        told = warn if is_only_shown(gate) else fail
        fix = f"Put `query` of {named(gate)} of [apps.{app.name}] right; try it on the page of Prometheus itself."
        return [told(part, about, f"{why}.", fix)]
    except NoValueError as why:
        fix = "Let it give one number for each version: sum(…) makes one of several."
        return [warn(part, about, f"{why}, for what is live.", fix)]
    return [ok(part, about, f"is {value:.4g} for what is live; {_wish(wanted)} is wanted.")]


def _wish(wanted: Prometheus) -> str:
    times = " times that" if wanted.baseline else ""
    return f"{wanted.comparison} {wanted.bound:g}{times}"
