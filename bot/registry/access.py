"""Getting an answer out of an image registry: login, tokens, redirects, repeats and a deadline.

Whatever goes wrong is raised as a sentence, which like the log never holds a token, a header or a body.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, retry_if_result, stop_after_attempt
from tenacity.wait import wait_random_exponential
from yarl import URL

from bot.registry.answer import Answer, address, bearer, challenge, pause, rationed
from bot.registry.errors import ImageNotFound, RegistryError
from bot.registry.hosts import RegistryHost, proxy_for, trusting
from bot.registry.logins import FILES, Login, login_file, read_logins
from bot.release.image import DOCKER_HUB, Image

_BODY_LIMIT = 4 * 1024 * 1024  # the OCI distribution specification's own limit for manifests
_REDIRECTS = 4
_REDIRECT = frozenset({301, 302, 303, 307, 308})
_AWAY = frozenset({500, 502, 503, 504})
_RATIONED = 429


@dataclass(frozen=True)
class Turn:
    """One host's turn to be asked about an image: the image's own registry, or one of its mirrors.

    `until` is when the turn ends, by the loop's clock.
    """

    image: Image
    host: str
    until: float

    @property
    def at_mirror(self) -> bool:
        return self.host != self.image.registry

    @property
    def name(self) -> str:
        """The repository as this host calls it."""
        return f"{self.host}/{self.image.repository}"


class Access:
    """Asks registries, on one pool of connections. See `bot.registry.Registry`, which it serves."""

    def __init__(self, docker_config: Path | None, hosts: Mapping[str, RegistryHost], accept: str) -> None:
        self._docker_config = docker_config
        self._hosts = hosts
        self._accept = accept
        self._http: aiohttp.ClientSession | None = None
        self._tls: dict[str, ssl.SSLContext] = {}
        self._authorizations: dict[tuple[str, str], tuple[str, float]] = {}

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def ask(self, turn: Turn, path: str, *, method: str = "GET", url: URL | None = None) -> Answer:
        """Its 200 to `path` under the repository (or to `url`), logging in where it wants that; all else is raised."""
        host, key = turn.host, (turn.host, turn.image.repository)
        url = url or self.url(turn, path)
        authorization, expires = self._authorizations.get(key, ("", 0.0))
        answer = await self._send(turn, method, url, authorization if time.monotonic() < expires else "")
        if answer.status == 401:  # noqa: PLR2004 - statuses are best known as numbers
            self._authorizations.pop(key, None)
            authorization = await self._log_in(turn, answer)
            answer = await self._send(turn, method, url, authorization)
        match answer.status:
            case 200:
                return answer
            case 404:
                raise ImageNotFound(f"`{turn.image}` is not in {host}.")
            case 401 | 403:
                raise RegistryError(self._not_let_in(turn))
            case 405 | 501 if method == "HEAD":
                # The specification wants HEAD, and some that stand before a registry have never heard of it.
                return await self.ask(turn, path, url=url)
            case 412:
                # Harbor's answer where it was told to hold back what is vulnerable or not signed.
                raise RegistryError(
                    f"{host} holds `{turn.image}` back by its own rules. Look there for which, and why."
                )
            case 429:
                raise RegistryError(rationed(answer))
            case status if status in _AWAY:
                raise RegistryError(f"{host} is out of order (it answered {status}). Try again in a minute.")
            case status:
                raise RegistryError(f"{host} answered {status}, which no registry should: is it the right host?")

    async def _log_in(self, turn: Turn, answer: Answer) -> str:
        """An `Authorization` for the repository; raises `RegistryError` when there is no way in."""
        login = read_logins(self._docker_config).get(turn.host)
        scheme, asked = challenge(answer.headers.getall("WWW-Authenticate", []))
        if scheme == "basic" and login is not None:
            header, lives = login.header(), float("inf")
        elif scheme == "bearer":
            header, lives = await self._token(turn, asked, login)
        else:
            raise RegistryError(self._not_let_in(turn))
        self._authorizations[(turn.host, turn.image.repository)] = header, time.monotonic() + lives
        return header

    async def _token(self, turn: Turn, asked: Mapping[str, str], login: Login | None) -> tuple[str, float]:
        """A bearer token's header, and for how many seconds to use it."""
        host = turn.host
        realm = address(host, asked.get("realm", ""), self.url(turn, ""))
        if realm.scheme != "https" and not (realm.scheme == "http" and self._of(host).insecure):
            raise RegistryError(f"{host} wants tokens from an address that is not https. Nothing was sent there.")
        wanted = {"scope": asked.get("scope", f"repository:{turn.image.repository}:pull")}
        if "service" in asked:
            wanted["service"] = asked["service"]
        answer = await self._send(turn, "GET", realm.update_query(wanted), "" if login is None else login.header())
        match answer.status:
            case 200:
                return bearer(answer)
            case 429:
                raise RegistryError(rationed(answer))
            case status if status in _AWAY:
                raise RegistryError(f"{host} gives no tokens now ({status}). Try again in a minute.")
            case _:
                raise RegistryError(self._not_let_in(turn))

    async def _send(self, turn: Turn, method: str, url: URL, authorization: str) -> Answer:
        """One request, repeated when the connection breaks or the registry is away: reading twice does no harm.

        Once more too when the registry asks for a pause that fits into the turn.
        """
        retrying = AsyncRetrying(
            stop=stop_after_attempt(3),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            retry=retry_if_exception(_is_broken) | retry_if_result(_is_away),
            retry_error_callback=_last_outcome,
        )
        answer: Answer = await retrying(self._follow, turn.host, method, url, authorization)
        wait = pause(answer) if answer.status == _RATIONED else None
        if wait is not None and asyncio.get_running_loop().time() + wait < turn.until:
            await asyncio.sleep(wait)
            answer = await retrying(self._follow, turn.host, method, url, authorization)
        return answer

    async def _follow(self, host: str, method: str, url: URL, authorization: str) -> Answer:
        """By hand, so that credentials stay with the host they are for and nothing leads from https to http."""
        if self._http is None:
            # Registries with cookies exist; what they set must not travel from one login to the next.
            self._http = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None),  # the deadline is over several requests
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "greenlight"},
            )
        home = url.origin()
        for _ in range(_REDIRECTS):
            headers = {"Accept": self._accept}
            if authorization and url.origin() == home:
                headers["Authorization"] = authorization
            async with self._http.request(
                method, url, headers=headers, allow_redirects=False, ssl=self._trust(host), proxy=_proxy(host, url)
            ) as answer:
                if answer.status not in _REDIRECT or "Location" not in answer.headers:
                    return Answer(host, answer.status, answer.headers, await _bounded(host, answer))
                target = address(host, answer.headers["Location"], url)
            if url.scheme == "https" and target.scheme != "https":
                raise RegistryError(f"{host} sends us on to an address that is not https. Nothing was sent there.")
            url = target
        raise RegistryError(f"{host} sends us round in circles. Is it the right host?")

    @asynccontextmanager
    async def within(self, turn: Turn) -> AsyncIterator[None]:
        """Ends what is in it at the end of the turn, and turns what happens on the way into a sentence."""
        host, seconds = turn.host, turn.until - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(turn.until):
                yield
        except TimeoutError:
            raise RegistryError(
                f"{host} did not answer within {round(seconds, 1):g} s. Try again in a minute."
            ) from None
        except aiohttp.ClientSSLError as why:
            raise RegistryError(f"{host} has no certificate that is trusted here. {self._tls_hint(host)}") from why
        except aiohttp.ClientHttpProxyError as why:
            raise RegistryError(
                f"The proxy that HTTPS_PROXY names does not let us through to {host} (it answered {why.status}). "
                "Open it for that host, or list the host in NO_PROXY."
            ) from None
        except aiohttp.ClientProxyConnectionError:
            raise RegistryError(
                f"The proxy on the way to {host} cannot be reached. Is the address in HTTPS_PROXY right?"
            ) from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as why:
            raise RegistryError(f"{host} cannot be reached. Is the name right, and the network open?") from why
        except (aiohttp.ClientError, UnicodeError):
            # Without the cause: its text may hold a signed address. UnicodeError: a host that no DNS name can be.
            raise RegistryError(f"{host} answered something that no registry should: is it the right host?") from None

    def url(self, turn: Turn, path: str) -> URL:
        # Docker Hub's API has a host of its own.
        host = "registry-1.docker.io" if turn.host == DOCKER_HUB else turn.host
        scheme = "http" if self._of(turn.host).insecure else "https"
        url = URL(f"{scheme}://{host}/v2/{turn.image.repository}/{path}")
        # As containerd tells a mirror whose copy is wanted; one that mirrors a single registry does not look at it.
        return url.update_query(ns=turn.image.registry) if turn.at_mirror else url

    def _of(self, host: str) -> RegistryHost:
        return self._hosts.get(host, RegistryHost())

    def _trust(self, host: str) -> ssl.SSLContext | bool:
        ca = self._of(host).ca
        if ca is None:
            return True
        if host not in self._tls:
            try:
                self._tls[host] = trusting(ca)
            except OSError:
                raise RegistryError(
                    f"{ca}, which should say who vouches for {host}, holds no certificate now. Put it back there."
                ) from None
        return self._tls[host]

    def _tls_hint(self, host: str) -> str:
        if self._of(host).insecure:
            return "Whoever runs what it sends us on to must look."
        return (
            "If one of your own vouches for it, name that certificate's file as its `ca`; "
            "if it speaks plain http, list it as insecure."
        )

    def _not_let_in(self, turn: Turn) -> str:
        path = login_file(self._docker_config)
        has_login = turn.host in read_logins(self._docker_config)
        fix = "check its login in" if has_login else f"add a login for {turn.host} to"
        return (
            f"{turn.host} does not let us read `{turn.name}`. If that repository exists, "
            f"{fix} the {FILES[0] if path is None else path.name} that DOCKER_CONFIG names."
        )


def _proxy(host: str, url: URL) -> URL | None:
    try:
        return proxy_for(url)
    except ValueError:
        raise RegistryError(
            f"The proxy on the way to {host} has no address that we understand: "
            "write http://<host>:<port> into HTTPS_PROXY."
        ) from None


async def _bounded(host: str, answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _BODY_LIMIT:
            raise RegistryError(f"{host} sent more than {_BODY_LIMIT} bytes where a few are usual.")
    return bytes(body)


def _is_broken(why: BaseException) -> bool:
    may_pass = isinstance(why, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError)
    return may_pass and not isinstance(why, aiohttp.ClientSSLError)


def _is_away(answer: Answer) -> bool:
    return answer.status in _AWAY


def _last_outcome(state: RetryCallState) -> Any:
    return state.outcome.result() if state.outcome is not None else None
