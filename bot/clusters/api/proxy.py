"""Which proxy leads to an API server, as the environment says it: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

Read as kubectl reads them. Python's own reading knows no networks in NO_PROXY, and `10.0.0.0/8` is what people write
there for a cluster.
"""

import contextlib
from collections.abc import Mapping
from ipaddress import ip_address, ip_network

from yarl import URL


def proxy_for(host: URL, environment: Mapping[str, str]) -> str | None:
    """The proxy's address, None when there is none on the way to `host`."""
    if _is_direct(host, _value(environment, "no_proxy")):
        return None
    found = _value(environment, f"{host.scheme}_proxy") or _value(environment, "all_proxy")
    if not found:
        return None
    return found if "://" in found else f"http://{found}"


def shown(proxy: str) -> str:
    """Without the password that it may hold."""
    return str(URL(proxy).with_user(None))


def _value(environment: Mapping[str, str], name: str) -> str:
    return (environment.get(name) or environment.get(name.upper()) or "").strip()


def _is_direct(host: URL, exceptions: str) -> bool:
    return any(_covers(each.strip().lower(), host) for each in exceptions.split(",") if each.strip())


def _covers(exception: str, host: URL) -> bool:
    called = (host.host or "").lower()
    if exception == "*":
        return True
    with contextlib.suppress(ValueError):
        return ip_address(called) in ip_network(exception, strict=False)
    name, colon, port = exception.rpartition(":")
    if colon and port.isdecimal():
        if int(port) != host.port:
            return False
        exception = name.strip("[]")
    domain = exception.removeprefix("*").removeprefix(".")
    return called == domain or called.endswith(f".{domain}")
