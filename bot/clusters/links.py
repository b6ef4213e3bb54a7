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
) -> list[str]:
    """The best one first: https before http, names before bare IP addresses, then the shortest path. No address twice.

    `ingresses` and `routes` are those of the Service's namespace, `gateways` those of any (none is needed).
    """
    found = [address for each in ingresses for address in _of_ingress(service, _mapping(each))]
    known = [_mapping(each) for each in gateways]
    found += [address for each in routes for address in _of_route(service, _mapping(each), known)]
    urls = {url: rank for rank, url in filter(None, (_address(*each) for each in found))}
    return sorted(urls, key=lambda url: (urls[url], len(url), url))


def best_link(
    service: str, ingresses: Iterable[Any], routes: Iterable[Any], gateways: Iterable[Any] = ()
) -> str | None:
    """The first of `links`; None when there is none."""
    return next(iter(links(service, ingresses, routes, gateways)), None)


# Each finds (scheme, host, port, path). -------------------------------------------------------------------------------

Found = tuple[str, str, int, str]


def _of_ingress(service: str, ingress: Mapping[str, Any]) -> Iterator[Found]:
    """networking.k8s.io/v1. A rule without a host, and the default backend, answer at the load balancer's address."""
    spec = _mapping(ingress.get("spec"))
    secured = [_text(host) for entry in _items(spec, "tls") for host in _items(_mapping(entry), "hosts")]
    balancer = _mapping(_mapping(ingress.get("status")).get("loadBalancer"))
    entrances = [_mapping(each) for each in _items(balancer, "ingress")]
    nameless = [_text(each.get("hostname")) or _text(each.get("ip")) for each in entrances]
    paths = [
        (_text(rule.get("host")), _text(path.get("path")))
        for rule in map(_mapping, _items(spec, "rules"))
        for path in map(_mapping, _items(_mapping(rule.get("http")), "paths"))
        if _serves(path.get("backend"), service)
    ]
    if _serves(spec.get("defaultBackend"), service):
        paths.append(("", "/"))
    for named, path in paths:
        for host in [named] if named else nameless:
            scheme = "https" if any(_certifies(pattern, host) for pattern in secured) else "http"
            yield scheme, host, 0, path


def _serves(backend: Any, service: str) -> bool:
    return _mapping(_mapping(backend).get("service")).get("name") == service


def _of_route(service: str, route: Mapping[str, Any], gateways: Sequence[Mapping[str, Any]]) -> Iterator[Found]:
    """gateway.networking.k8s.io/v1. Scheme and port are those of the listeners that the route is attached to.

    Of a Gateway that is not among `gateways` only the route's own words are known: a parentRef whose sectionName has
    `https` in it, or whose port is 443, means https; anything else means http.
    """
    spec = _mapping(route.get("spec"))
    namespace = _text(_mapping(route.get("metadata")).get("namespace"))
    paths = [
        path
        for rule in map(_mapping, _items(spec, "rules"))
        if any(_refers(_mapping(ref), service, namespace) for ref in _items(rule, "backendRefs"))
        for path in _matched(rule)
    ]
    names = [_text(name) for name in _items(spec, "hostnames")]
    for parent in map(_mapping, _items(spec, "parentRefs")):
        for scheme, port, host in _entrances(parent, namespace, names, gateways):
            for path in paths:
                yield scheme, host, port, path


def _refers(ref: Mapping[str, Any], service: str, namespace: str) -> bool:
    return (
        ref.get("name") == service
        and ref.get("kind", "Service") == "Service"
        and ref.get("group", "") == ""
        and ref.get("namespace", namespace) == namespace
        and ref.get("weight", 1) != 0
    )


def _matched(rule: Mapping[str, Any]) -> Iterator[str]:
    matches = _items(rule, "matches")
    if not matches:
        yield "/"
    for match in map(_mapping, matches):
        if match.get("headers") or match.get("queryParams") or match.get("method", "GET") != "GET":
            continue
        yield _text(_mapping(match.get("path")).get("value")) or "/"


def _entrances(
    parent: Mapping[str, Any], namespace: str, names: list[str], gateways: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, int, str]]:
    """Scheme, port and host of each listener that lets one of `names` in; 0 is the scheme's own port."""
    gateway = next((each for each in gateways if _is_parent(each, parent, namespace)), None)
    if gateway is None:
        says_so = "https" in _text(parent.get("sectionName")) or parent.get("port") == _HTTPS_PORT
        yield from (("https" if says_so else "http", 0, name) for name in names)
        return
    addresses = _items(_mapping(gateway.get("status")), "addresses")
    own = [_text(_mapping(address).get("value")) for address in addresses]
    for listener in map(_mapping, _items(_mapping(gateway.get("spec")), "listeners")):
        scheme = {"HTTP": "http", "HTTPS": "https"}.get(_text(listener.get("protocol")))
        if scheme is None or any(
            parent.get(asked) not in (None, listener.get(has))
            for asked, has in (("sectionName", "name"), ("port",) * 2)
        ):
            continue
        pattern, port = _text(listener.get("hostname")), listener.get("port")
        hosts = [name for name in names if not pattern or _lets_in(pattern, name)]
        if not names:
            hosts = [pattern] if pattern else own
        yield from ((scheme, port if type(port) is int else 0, host) for host in hosts)


def _is_parent(gateway: Mapping[str, Any], parent: Mapping[str, Any], namespace: str) -> bool:
    metadata = _mapping(gateway.get("metadata"))
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


def _certifies(pattern: str, host: str) -> bool:
    """RFC 6125: `*.` stands for exactly one label."""
    first, _, rest = host.partition(".")
    return bool(host) and (pattern == host or (bool(first) and pattern == f"*.{rest}"))


def _lets_in(pattern: str, host: str) -> bool:
    """Gateway API: `*.` stands for one label or several."""
    return pattern == host or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(holder: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = holder.get(key)
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
