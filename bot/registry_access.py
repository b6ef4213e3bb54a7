"""Getting an answer out of an image registry: login, tokens, redirects, repeats and a deadline.

Whatever goes wrong is raised as a sentence, which like the log never holds a token, a header or a body. Logins are
those of docker's `config.json`; its credential helpers are programs, and are not run.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, retry_if_result, stop_after_attempt
from tenacity.wait import wait_random_exponential
from yarl import URL

from bot.release.errors import Refused
from bot.release.image import DOCKER_HUB, DOCKER_HUB_ALIASES, Image

_BODY_LIMIT = 4 * 1024 * 1024  # the OCI distribution specification's own limit for manifests
_REDIRECTS = 4
_REDIRECT = frozenset({301, 302, 303, 307, 308})
_AWAY = frozenset({500, 502, 503, 504})


class RegistryError(Exception):
    """The registry is away, or does not let us in; its text is a sentence that says which, and what to do."""


class ImageNotFound(Refused):
    """There is no such image; its text is a sentence for the person who asked."""


@dataclass(frozen=True)
class Login:
    user: str
    password: str = field(repr=False)

    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Answer:
    """`host` is the registry as people call it, for sentences."""

    host: str
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def kind(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def json(self) -> dict[str, Any]:
        """The body, when it is a JSON object; else raises `RegistryError`."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise RegistryError(f"{self.host} answered something that no registry should: is it the right host?")
        return content

    def next_page(self, url: URL) -> URL | None:
        """Where the list that is at `url` goes on, on the same host; None at its end."""
        match = re.search(r'<([^<>]*)>\s*;[^,]*\brel="?next\b', self.headers.get("Link", ""))
        following = None if match is None else _address(self.host, match[1], url)
        return following if following is not None and following.origin() == url.origin() else None


def read_logins(directory: Path | None) -> dict[str, Login]:
    """The `auths` of docker's `config.json` in `directory` (as in `DOCKER_CONFIG`), by registry host.

    No file means no logins; a broken one raises `RegistryError`.
    """
    path = None if directory is None else directory / "config.json"
    if path is None or not path.exists():
        return {}
    try:
        auths = json.loads(path.read_text(encoding="utf-8")).get("auths", {})
        # A bare host before a key with a path, which docker too takes for its host.
        entries = sorted(auths.items(), key=lambda item: item[0].count("/"))
        logins: dict[str, Login] = {}
        for key, entry in entries:
            login = _login(entry)
            if login is not None:
                logins.setdefault(_key_host(key), login)
    except (OSError, ValueError, AttributeError, TypeError):
        # Without the cause: a JSON error quotes what it could not read.
        raise RegistryError(
            f'{path} cannot be read as a docker config.json: `auths` must map each registry to `{{"auth": "…"}}`.'
        ) from None
    return logins


class Access:
    """Asks registries, on one pool of connections. See `bot.registry.Registry`, which it serves."""

    def __init__(
        self,
        docker_config: Path | None,
        insecure: Collection[str],
        within: float,
        tls: ssl.SSLContext | None,
        accept: str,
    ) -> None:
        self._docker_config = docker_config
        self._insecure = frozenset(insecure)
        self._within = within
        self._tls = tls
        self._accept = accept
        self._http: aiohttp.ClientSession | None = None
        self._authorizations: dict[tuple[str, str], tuple[str, float]] = {}

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def ask(self, image: Image, path: str, *, method: str = "GET", url: URL | None = None) -> Answer:
        """Its 200 to `path` under the repository (or to `url`), logging in where it wants that; all else is raised."""
        host, key = image.registry, (image.registry, image.repository)
        url = url or self.url(image, path)
        authorization, expires = self._authorizations.get(key, ("", 0.0))
        answer = await self._send(host, method, url, authorization if time.monotonic() < expires else "")
        if answer.status == 401:  # noqa: PLR2004 - statuses are best known as numbers
            self._authorizations.pop(key, None)
            authorization = await self._log_in(image, answer)
            answer = await self._send(host, method, url, authorization)
        match answer.status:
            case 200:
                return answer
            case 404:
                raise ImageNotFound(f"`{image}` is not in {host}.")
            case 401 | 403:
                raise RegistryError(self._not_let_in(image))
            case 429:
                raise RegistryError(f"{host} rations requests and ours are used up: log in there, or try again later.")
            case status if status in _AWAY:
                raise RegistryError(f"{host} is out of order (it answered {status}). Try again in a minute.")
            case status:
                raise RegistryError(f"{host} answered {status}, which no registry should: is it the right host?")

    async def _log_in(self, image: Image, answer: Answer) -> str:
        """An `Authorization` for the repository; raises `RegistryError` when there is no way in."""
        host, login = image.registry, read_logins(self._docker_config).get(image.registry)
        scheme, asked = _challenge(answer.headers.getall("WWW-Authenticate", []))
        if scheme == "basic" and login is not None:
            header, lives = login.header(), float("inf")
        elif scheme == "bearer":
            header, lives = await self._token(image, asked, login)
        else:
            raise RegistryError(self._not_let_in(image))
        self._authorizations[(host, image.repository)] = header, time.monotonic() + lives
        return header

    async def _token(self, image: Image, asked: Mapping[str, str], login: Login | None) -> tuple[str, float]:
        """A bearer token's header, and for how many seconds to use it."""
        host = image.registry
        realm = _address(host, asked.get("realm", ""), self.url(image, ""))
        if realm.scheme != "https" and not (realm.scheme == "http" and host in self._insecure):
            raise RegistryError(f"{host} wants tokens from an address that is not https. Nothing was sent there.")
        wanted = {"scope": asked.get("scope", f"repository:{image.repository}:pull")}
        if "service" in asked:
            wanted["service"] = asked["service"]
        answer = await self._send(host, "GET", realm.update_query(wanted), "" if login is None else login.header())
        if answer.status != 200:  # noqa: PLR2004 - statuses are best known as numbers
            if answer.status in _AWAY:
                raise RegistryError(f"{host} gives no tokens now ({answer.status}). Try again in a minute.")
            raise RegistryError(self._not_let_in(image))
        given = answer.json()
        token, lives = given.get("token") or given.get("access_token"), given.get("expires_in")
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
            raise RegistryError(f"{host} gave no token where it should have. Is it the right host?")
        # 60 is the standard's default; some seconds less, for the way there.
        return f"Bearer {token}", (lives if isinstance(lives, int | float) else 60) - 5.0

    async def _send(self, host: str, method: str, url: URL, authorization: str) -> Answer:
        """One request, repeated when the connection breaks or the registry is away: reading twice does no harm."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(3),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            retry=retry_if_exception(_is_broken) | retry_if_result(_is_away),
            retry_error_callback=_last_outcome,
        )
        answer: Answer = await retrying(self._follow, host, method, url, authorization)
        return answer

    async def _follow(self, host: str, method: str, url: URL, authorization: str) -> Answer:
        """By hand, so that credentials stay with the host they are for and nothing leads from https to http."""
        if self._http is None:
            # Registries with cookies exist; what they set must not travel from one login to the next.
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls or True),
                timeout=aiohttp.ClientTimeout(total=None),  # the deadline is over several requests
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "greenlight"},
            )
        home = url.origin()
        for _ in range(_REDIRECTS):
            headers = {"Accept": self._accept}
            if authorization and url.origin() == home:
                headers["Authorization"] = authorization
            async with self._http.request(method, url, headers=headers, allow_redirects=False) as answer:
                if answer.status not in _REDIRECT or "Location" not in answer.headers:
                    return Answer(host, answer.status, answer.headers, await _bounded(host, answer))
                target = _address(host, answer.headers["Location"], url)
            if url.scheme == "https" and target.scheme != "https":
                raise RegistryError(f"{host} sends us on to an address that is not https. Nothing was sent there.")
            url = target
        raise RegistryError(f"{host} sends us round in circles. Is it the right host?")

    @asynccontextmanager
    async def deadline(self, host: str, until: float | None = None) -> AsyncIterator[None]:
        """Ends what is in it at `until` (of the loop's clock), and turns what happens on the way into a sentence."""
        try:
            async with asyncio.timeout_at(until or asyncio.get_running_loop().time() + self._within):
                yield
        except TimeoutError:
            raise RegistryError(f"{host} did not answer within {self._within:g} s. Try again in a minute.") from None
        except aiohttp.ClientSSLError as why:
            hint = "" if host in self._insecure else " If it speaks plain http, list it as insecure."
            raise RegistryError(f"{host} has no certificate that is trusted here.{hint}") from why
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as why:
            raise RegistryError(f"{host} cannot be reached. Is the name right, and the network open?") from why
        except aiohttp.ClientError:
            # Without the cause: its text may hold a signed address.
            raise RegistryError(f"{host} answered something that no registry should: is it the right host?") from None

    def url(self, image: Image, path: str) -> URL:
        # Docker Hub's API has a host of its own.
        host = "registry-1.docker.io" if image.registry == DOCKER_HUB else image.registry
        scheme = "http" if image.registry in self._insecure else "https"
        return URL(f"{scheme}://{host}/v2/{image.repository}/{path}")

    def _not_let_in(self, image: Image) -> str:
        has_login = image.registry in read_logins(self._docker_config)
        fix = "check its login in" if has_login else f"add a login for {image.registry} to"
        return (
            f"{image.registry} does not let us read `{image.name}`. If that repository exists, "
            f"{fix} the config.json that DOCKER_CONFIG names."
        )


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


def _address(host: str, text: str, base: URL) -> URL:
    """An address that a registry gave us, as it is written: signed ones do not survive being quoted anew."""
    try:
        address = base.join(URL(text, encoded=True))
        legal = re.fullmatch(r"[!-~]+", text) and address.scheme in {"http", "https"} and address.host
    except ValueError:
        legal = False
    if not legal or address.user is not None or address.password is not None:
        raise RegistryError(f"{host} sends us to an address that makes no sense. Is it the right host?")
    return address


def _challenge(headers: list[str]) -> tuple[str, dict[str, str]]:
    """The scheme that a registry wants, and its parameters. Bearer where both are offered, as docker does."""
    for scheme in ("bearer", "basic"):
        for header in headers:
            match = re.search(rf"(?i)(?:^|,)\s*{scheme}\b(.*)", header)
            if match is not None:
                asked: dict[str, str] = {}
                for key, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s",]+))', match[1]):
                    asked.setdefault(key.lower(), quoted or plain)
                return scheme, asked
    return "", {}


def _login(entry: Mapping[str, str]) -> Login | None:
    if entry.get("auth"):
        user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        if not colon:
            raise ValueError
        return Login(user, password)
    if entry.get("username") and "password" in entry:
        return Login(entry["username"], entry["password"])
    return None


def _key_host(key: str) -> str:
    host = key.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return DOCKER_HUB if host in DOCKER_HUB_ALIASES else host
