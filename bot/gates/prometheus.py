"""Asks a Prometheus for a value of the candidate: it has to be as expected, each time, for as long as is asked for.

The HTTP API is that of Prometheus' documentation: `GET /api/v1/query`, an instant vector with one sample or a scalar.
"""

import asyncio
import json
import math
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from bot.clusters.cluster import label_of
from bot.clusters.errors import Away, Busy, ClusterError
from bot.gates import answers
from bot.gates.finding import Finding, failed, passed, unclear
from bot.release.app import App, Gate, Guard, Prometheus
from bot.release.record import Release
from bot.release.snapshot import Side, Snapshot

EVERY = timedelta(seconds=5)
"""Between two queries of one gate."""
WITHIN = 10.0
"""Seconds for one answer."""
LONGEST = 1024 * 1024
SHOWN = 200
WHO = "look at `token`, or `user` and `password`, of [prometheus]"
PLACEHOLDERS = ("label", "hash", "app", "namespace")
"""What a query may be filled in with, in braces."""
LABEL, HASH = "{label}", "{hash}"

Seen = Callable[[App, Release], Awaitable[Snapshot]]
"""What the cluster shows of a release. May raise any `ClusterError`."""


@dataclass(frozen=True)
class Server:
    """Where Prometheus is, and how it knows us. The files are read for every query, since secrets are rotated."""

    url: str
    token: Path | None = None
    user: str = ""
    password: Path | None = None
    ca: Path | None = None

    def headers(self) -> Mapping[str, str]:
        """Raises OSError."""
        if self.token is not None:
            return {"Authorization": f"Bearer {self.token.read_text('utf-8').strip()}"}
        if self.password is not None:
            return {"Authorization": aiohttp.encode_basic_auth(self.user, self.password.read_text("utf-8").strip())}
        return {}

    def trust(self) -> ssl.SSLContext | bool:
        """Raises OSError."""
        return True if self.ca is None else ssl.create_default_context(cafile=self.ca)


class NoValueError(Exception):
    """There is none; the text says why. `passing`: it may come."""

    def __init__(self, why: str, *, passing: bool = False) -> None:
        super().__init__(why)
        self.passing = passing


class NoDataError(NoValueError):
    """There is nothing to say of this version, or not yet."""

    def __init__(self, why: str) -> None:
        super().__init__(why, passing=True)


class BadQueryError(NoValueError):
    """It never gives a number, whatever it is asked about."""


class UnaskedError(NoValueError):
    """The reason is Prometheus itself, or the way there, and no query."""


class PrometheusCheck:
    """`seen` is asked only for queries with `{hash}`; `pause` waits so many seconds."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: Server | None,
        seen: Seen,
        pause: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._session = session
        self._server = server
        self._seen = seen
        self._pause = pause

    async def __call__(self, app: App, release: Release, gate: Gate | Guard) -> Finding:
        wanted = gate.check
        if not isinstance(wanted, Prometheus):
            raise TypeError(f"gate {gate.name} is no query")
        asked, why = 0, "no value came"
        times = max(1, math.ceil(wanted.lasts / EVERY) + 1)
        limit = asyncio.get_running_loop().time() + gate.timeout.total_seconds() - WITHIN
        value, bound = math.nan, wanted.bound
        while asked < times:
            try:
                value, bound = await self._measured(app, release, wanted)
            except NoValueError as error:
                why = str(error)
                if not error.passing or asyncio.get_running_loop().time() > limit:
                    return unclear(why)
            else:
                if not wanted.comparison.holds(value, bound):
                    return failed(f"{value:.4g}, wanted {wanted.comparison} {bound:.4g}")
                asked += 1
            if asked < times:
                await self._pause(EVERY.total_seconds())
        return passed(f"{value:.4g} {wanted.comparison} {bound:.4g}")

    async def _measured(self, app: App, release: Release, wanted: Prometheus) -> tuple[float, float]:
        """What was measured, and what it is compared with. Raises `NoValueError`."""
        shown = await self._shown(app, release) if HASH in wanted.query else None
        pod_hash = _hash_of(shown.candidate) if shown else ""
        value = await self._value(filled(wanted.query, app, release.label, pod_hash))
        if not wanted.baseline:
            return value, wanted.bound
        label = label_of(release.previous)
        if not label and LABEL in wanted.query:
            why = "what is live was there before Greenlight, so it has no label to compare with"
            raise NoValueError(f"{why}; its pods have a {HASH}")
        pod_hash = _hash_of(shown.previous) if shown else ""
        return value, wanted.bound * await self._value(filled(wanted.query, app, label, pod_hash))

    async def _shown(self, app: App, release: Release) -> Snapshot:
        try:
            return await self._seen(app, release)
        except ClusterError as why:
            raise NoValueError(f"the pods' hash cannot be told: {why}", passing=isinstance(why, Away | Busy)) from why

    async def _value(self, query: str) -> float:
        if self._server is None:
            raise NoValueError("no table [prometheus] says where it is asked for")
        return await ask(self._session, self._server, query)


async def ask(session: aiohttp.ClientSession, server: Server, query: str) -> float:
    """The one number that a query gives now. Raises `NoValueError`."""
    try:
        async with session.get(
            f"{server.url.rstrip('/')}/api/v1/query",
            params={"query": query},
            headers=server.headers(),
            ssl=server.trust(),
            timeout=aiohttp.ClientTimeout(WITHIN),
            allow_redirects=False,
        ) as answer:
            body = await answers.read(answer, LONGEST)
            status = answer.status
    except TimeoutError:
        raise UnaskedError(f"Prometheus did not answer within {WITHIN:g} s", passing=True) from None
    except (aiohttp.ClientSSLError, ssl.SSLError) as error:
        raise UnaskedError(f"the certificate of Prometheus is not right: {answers.why(error)}") from error
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
        raise UnaskedError(f"Prometheus cannot be reached: {answers.why(error)}", passing=True) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise UnaskedError(f"Prometheus cannot be asked: {answers.why(error)}") from error
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise UnaskedError(f"Prometheus does not let Greenlight in ({status}): {WHO}")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise UnaskedError(f"Prometheus answered {status}", passing=True)
    return value_of(status, body)


def _hash_of(side: Side) -> str:
    """Raises `NoValueError`."""
    if not side.pod_hash:
        raise NoValueError(f"the pods of {side.name} have no pod template hash in common", passing=True)
    return side.pod_hash


def filled(query: str, app: App, label: str, pod_hash: str = "") -> str:
    """The query about one version. What is filled in stays inside the quotes that stand around it."""
    values = dict(zip(PLACEHOLDERS, (label, pod_hash, app.name, app.namespace), strict=True))
    return re.sub(rf"\{{({'|'.join(PLACEHOLDERS)})\}}", lambda match: _escaped(values[match[1]]), query)


def _escaped(value: str) -> str:
    """As it may stand in any of the three quotes: between " or ' escapes mean what they were, between ` themselves."""
    return re.sub(r"""[\\"'`\n]""", lambda match: f"\\x{ord(match[0]):02x}", value)


def value_of(status: int, body: bytes) -> float:
    """The one number of an answer. Raises `NoValueError`: anything else is none."""
    no_result = f"Prometheus answered {status} with what is no result"
    try:
        answer = json.loads(body)
        if answer["status"] != "success":
            raise BadQueryError(f"Prometheus refused the query: {str(answer.get('error'))[:SHOWN]}")
        if status != HTTPStatus.OK:
            raise UnaskedError(no_result)
        kind, result = answer["data"]["resultType"], answer["data"]["result"]
        if kind == "vector":
            if not result:
                raise NoDataError("the query gives no data")
            if len(result) > 1:
                raise NoValueError(f"the query gives {len(result)} series where one is wanted")
            sample = result[0]["value"]
        elif kind == "scalar":
            sample = result
        else:
            raise BadQueryError(f"the query gives a {kind[:SHOWN]}, not one number")
        _, said = sample
        if not isinstance(sample, list) or not isinstance(said, str):
            raise UnaskedError(no_result)
        value = float(said)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise UnaskedError(no_result) from None
    if not math.isfinite(value):
        raise NoDataError(f"the query gives {said}, which is no number")
    return value
