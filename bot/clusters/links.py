"""Under which addresses a Service can be opened in a browser, as Ingresses and HTTPRoutes tell.

Pure, over raw API objects. Whatever is missing or of the wrong type is passed over: a link is a kindness, and no
strange Ingress may stop a release. An address comes out only when it is plain enough to be put on a button unread.

Where the objects leave it open, http is taken: it redirects where https exists, while https without a certificate is a
dead end. Left out are what a browser cannot open by itself: wildcard hosts, matches on headers, queries or methods.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any

from bot.clusters.ingress import Port, backends, certifies, ports, secured
from bot.clusters.raw import items, mapping, text

LIMIT = 512  # Discord: the address of a link button
_HTTPS_PORT = 443

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_PATH = re.compile(r"(?:[A-Za-z0-9._~/@:+,=-]|%[0-9A-Fa-f]{2})*")


def links(
    service: str,
    ingresses: Iterable[Any],
    routes: Iterable[Any],
    gateways: Iterable[Any] = (),
    services: Iterable[Any] = (),
) -> list[str]:
    """The best one first: https before http, names before bare IP addresses, then the shortest path. No address twice.

    `ingresses`, `routes` and `services` are those of the Service's namespace, `gateways` those of any (none is needed).
    What leads to a port that the Service does not have is no address; unless it is known, any port will do.
    """
    known = _ports(service, services)
    found = [address for each in ingresses for address in _of_ingress(service, each, known)]
    parents = [mapping(each) for each in gateways]
    found += [address for each in routes for address in _of_route(service, mapping(each), parents, known)]
    urls = {url: rank for rank, url in filter(None, (_address(*each) for each in found))}
    return sorted(urls, key=lambda url: (urls[url], len(url), url))


def best_link(
    service: str,
    ingresses: Iterable[Any],
    routes: Iterable[Any],
    gateways: Iterable[Any] = (),
    services: Iterable[Any] = (),
) -> str | None:
    """The first of `links`; None when there is none."""
    return next(iter(links(service, ingresses, routes, gateways, services)), None)


Ports = frozenset[Port] | None
"""None: not known."""


def _ports(service: str, services: Iterable[Any]) -> Ports:
    known = [each for each in services if mapping(mapping(each).get("metadata")).get("name") == service]
    return ports(known[0]) if known else None


# Each finds (scheme, host, port, path). -------------------------------------------------------------------------------

Found = tuple[str, str, int, str]


def _of_ingress(service: str, ingress: Any, known: Ports) -> Iterator[Found]:
    """A rule without a host, and the default backend, answer at the load balancer's address."""
    covered = secured(ingress)
    balancer = mapping(mapping(mapping(ingress).get("status")).get("loadBalancer"))
    entrances = [mapping(each) for each in items(balancer, "ingress")]
    nameless = [text(each.get("hostname")) or text(each.get("ip")) for each in entrances]
    for backend in backends(ingress):
        if backend.service != service or (known is not None and backend.port not in known):
            continue
        for host in [backend.host] if backend.host else nameless:
            scheme = "https" if any(certifies(pattern, host) for pattern in covered) else "http"
            yield scheme, host, 0, backend.path


def _of_route(
    service: str, route: Mapping[str, Any], gateways: Sequence[Mapping[str, Any]], known: Ports
) -> Iterator[Found]:
    """gateway.networking.k8s.io/v1. Scheme and port are those of the listeners that the route is attached to.

    Of a Gateway that is not among `gateways` only the route's own words are known: a parentRef whose sectionName has
    `https` in it, or whose port is 443, means https; anything else means http.
    """
    spec = mapping(route.get("spec"))
    namespace = text(mapping(route.get("metadata")).get("namespace"))
    paths = [
        path
        for rule in map(mapping, items(spec, "rules"))
        if any(_refers(mapping(ref), service, namespace, known) for ref in items(rule, "backendRefs"))
        for path in _matched(rule)
    ]
    names = [text(name) for name in items(spec, "hostnames")]
    for parent in map(mapping, items(spec, "parentRefs")):
        for scheme, port, host in _entrances(parent, namespace, names, gateways):
            for path in paths:
                yield scheme, host, port, path


def _refers(ref: Mapping[str, Any], service: str, namespace: str, known: Ports) -> bool:
    port = ref.get("port")
    return (
        ref.get("name") == service
        and ref.get("kind", "Service") == "Service"
        and ref.get("group", "") == ""
        and ref.get("namespace", namespace) == namespace
        and ref.get("weight", 1) != 0
        and (known is None or (type(port) is int and port in known))
    )


def _matched(rule: Mapping[str, Any]) -> Iterator[str]:
    matches = items(rule, "matches")
    if not matches:
        yield "/"
    for match in map(mapping, matches):
        if match.get("headers") or match.get("queryParams") or match.get("method", "GET") != "GET":
            continue
        yield text(mapping(match.get("path")).get("value")) or "/"


def _entrances(
    parent: Mapping[str, Any], namespace: str, names: list[str], gateways: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, int, str]]:
    """Scheme, port and host of each listener that lets one of `names` in; 0 is the scheme's own port."""
    gateway = next((each for each in gateways if _is_parent(each, parent, namespace)), None)
    if gateway is None:
        says_so = "https" in text(parent.get("sectionName")) or parent.get("port") == _HTTPS_PORT
        yield from (("https" if says_so else "http", 0, name) for name in names)
        return
    addresses = items(mapping(gateway.get("status")), "addresses")
    own = [text(mapping(address).get("value")) for address in addresses]
    for listener in map(mapping, items(mapping(gateway.get("spec")), "listeners")):
        scheme = {"HTTP": "http", "HTTPS": "https"}.get(text(listener.get("protocol")))
        if scheme is None or any(
            parent.get(asked) not in (None, listener.get(has))
            for asked, has in (("sectionName", "name"), ("port",) * 2)
        ):
            continue
        pattern, port = text(listener.get("hostname")), listener.get("port")
        hosts = [name for name in names if not pattern or _lets_in(pattern, name)]
        if not names:
            hosts = [pattern] if pattern else own
        yield from ((scheme, port if type(port) is int else 0, host) for host in hosts)


def _is_parent(gateway: Mapping[str, Any], parent: Mapping[str, Any], namespace: str) -> bool:
    metadata = mapping(gateway.get("metadata"))
    wanted = (parent.get("name"), parent.get("namespace", namespace))
    return parent.get("kind", "Gateway") == "Gateway" and (metadata.get("name"), metadata.get("namespace")) == wanted


# How it becomes an address. -------------------------------------------------------------------------------------------


def _address(scheme: str, host: str, port: int, path: str) -> tuple[tuple[bool, bool, int], str] | None:
    shown = _host(host)
    if shown is None:
        return None
    path = _openable(path)
    own_port = {"http": 80, "https": _HTTPS_PORT}[scheme]
    url = f"{scheme}://{shown}{f':{port}' if 0 < port < 2**16 and port != own_port else ''}{path}"
    return ((scheme != "https", shown != host or _is_ip(host), len(path)), url) if len(url) <= LIMIT else None


def _host(host: str) -> str | None:
    try:
        address = ip_address(host)
    except ValueError:
        return host if _HOST.fullmatch(host) else None
    if isinstance(address, IPv6Address):
        return None if address.scope_id else f"[{address}]"
    return str(address)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _openable(path: str) -> str:
    """The path, or of a pattern the part before its first special character, up to a slash."""
    # Ingress-nginx documents `/shop(/|$)(.*)` for "everything below /shop", and people copy it.
    path = path.partition("(/|$)")[0]
    plain = _PATH.match(path)
    good = plain[0] if plain else ""
    if good != path:
        good = good[: good.rfind("/") + 1]
    return good if good.startswith("/") else "/"


def _lets_in(pattern: str, host: str) -> bool:
    """Gateway API: `*.` stands for one label or several."""
    return pattern == host or (pattern.startswith("*.") and host.endswith(pattern[1:]))
