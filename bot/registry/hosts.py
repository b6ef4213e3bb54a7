"""How a registry is reached: with TLS or without, vouched for by whom, by which mirrors and through which proxy.

Pure but for reading a certificate's file and the environment; nothing here opens a connection.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

from yarl import URL


@dataclass(frozen=True)
class RegistryHost:
    """One registry, as the operator describes it in `[registries."<host>"]`."""

    insecure: bool = False
    """Spoken to by plain http."""
    ca: Path | None = None
    """A file in PEM with the certificates that vouch for it, and for what it sends us on to, beside the system's."""
    mirrors: tuple[str, ...] = ()
    """`host[:port]` of copies of it, each with the same repositories under the same paths; the nearest one first."""


def trusting(ca: Path) -> ssl.SSLContext:
    """Trusts whom the system trusts, and the certificates in `ca`. Raises `OSError` if there are none in it."""
    context = ssl.create_default_context()
    context.load_verify_locations(ca)
    return context


def proxy_for(url: URL) -> URL | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for `url`. Raises ValueError if that is no address.

    What is on this machine is reached directly, as everything that is written in Go does it. Read by hand and not by
    aiohttp's `trust_env`, which would send logins from a `.netrc` as well.
    """
    text = getproxies().get(url.scheme, "")
    if not text or _is_here(url.host or "") or proxy_bypass(url.host_port_subcomponent or ""):
        return None
    proxy = URL(text if "://" in text else f"http://{text}")
    if proxy.scheme not in {"http", "https"} or not proxy.host:
        raise ValueError
    return proxy


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
