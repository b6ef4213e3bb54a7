"""The Kubernetes API as the bot uses it: raw JSON, a deadline on every call, errors as sentences.

One `KubeApi` per cluster, built once. Objects stay raw JSON: the client's typed models decode six times slower and are
fifty times larger than what is read from them; of the client only the credentials are taken.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from bot.clusters.api.credentials import Access, Credentials
from bot.clusters.api.kinds import REVIEW, Json, Kind
from bot.clusters.api.refusals import Call, busy, refused
from bot.clusters.api.unreachable import is_about_certificates, unreachable
from bot.clusters.errors import Away, ClusterError

Patch = Sequence[Mapping[str, Any]]

WATCH_FOR = 300
LONGEST_EVENT = 2**21
"""Bytes: what an API server stores is at most 1.5 MiB large."""
PAGE, PAGES = 500, 200
MANAGER = "greenlight"
PATCH_TYPE = "application/json-patch+json"


@dataclass(frozen=True)
class Patience:
    """Seconds; tests have less of it."""

    call: float = 10.0
    """For one call, with all that goes with it."""
    write: float = 3.0
    """For a write that is not admitted yet."""
    silence: float = 90.0
    """After which a watch that says nothing, not even a bookmark (sent every minute), is taken for dead."""


@dataclass(frozen=True)
class Hello:
    """What an API server says of itself."""

    version: str
    """For example `v1.34.4`."""
    date: datetime | None
    """Its clock, to the second, when it answered; None: it did not say."""


def http_date(headers: Mapping[str, str]) -> datetime | None:
    """The server's clock in an answer's headers, aware; None when it did not say."""
    try:
        date = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Listing:
    items: list[Json]
    resource_version: str


class Api(Protocol):
    """The narrow door to one cluster. Every call may raise any `ClusterError`."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Json: ...

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> Listing: ...

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Patch) -> Json: ...

    async def create(self, kind: Kind, namespace: str, body: Json) -> Json:
        """Raises `Stale` when its name is taken."""

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """With what belongs to it, which goes later. Raises `Missing`."""

    def watch(self, kind: Kind, namespace: str, resource_version: str) -> AsyncIterator[Json]:
        """Events as the API server sends them. Ends when the server ends it; raises `Gone` on 410."""


class KubeApi:
    """`Api` over HTTP, with the credentials of a kubeconfig's context or of the pod that the bot runs in.

    `kubeconfig` None means the credentials of the pod, or the default kubeconfig where there is no pod. `name` is what
    people call the cluster; by default the context's. Credentials are read by the first call, and by each one after it
    until that succeeds, so that a cluster which is set up wrongly can be put right while the bot runs.

    Nothing is sent twice but what was refused unread (401, 429), and no redirect is followed.
    """

    def __init__(
        self,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        name: str = "",
        patience: Patience | None = None,
    ) -> None:
        self._credentials = Credentials(kubeconfig, context, name)
        self._patience = patience or Patience()
        self._opened: aiohttp.ClientSession | None = None

    @classmethod
    async def connect(
        cls,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        name: str = "",
        patience: Patience | None = None,
    ) -> "KubeApi":
        """With credentials read; asks the cluster nothing yet. Raises `ClusterError`."""
        api = cls(kubeconfig=kubeconfig, context=context, name=name, patience=patience)
        await api.load()
        return api

    async def load(self) -> None:
        """Read the credentials, unless they are. Raises `ClusterError`."""
        await self._credentials.access()

    @property
    def _name(self) -> str:
        return self._credentials.name

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            # Which proxy to take stands in `Access`; what a .netrc says is not meant for a cluster.
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # each watch holds one for good, and calls must find another
                read_bufsize=LONGEST_EVENT,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._opened

    async def close(self) -> None:
        await self._credentials.close()
        if self._opened is not None:
            await self._opened.close()

    async def hello(self) -> Hello:
        headers, said = await self._exchange("GET", Call("version"))
        return Hello(str(said.get("gitVersion", "")), http_date(headers))

    async def may(self, verb: str, kind: Kind, namespace: str, name: str = "", subresource: str = "") -> bool:
        """Whether the cluster would allow this to these credentials; no name means any, no namespace all of them."""
        part = subresource or kind.subresource
        asked = {"group": kind.api_group, "resource": kind.plural, "subresource": part}
        asked |= {"verb": verb, "namespace": namespace, "name": name}
        review = {"apiVersion": REVIEW.group, "kind": REVIEW.name, "spec": {"resourceAttributes": asked}}
        answer = await self._call("POST", Call("create", REVIEW), body=review)
        return (answer.get("status") or {}).get("allowed") is True

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        return await self._call("GET", Call("get", kind, namespace, name))

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> Listing:
        call = Call("list", kind, namespace)
        items: list[Json] = []
        query = {"limit": str(PAGE)} | ({"labelSelector": labels} if labels else {})
        for _ in range(PAGES):
            page = await self._call("GET", call, query=query)
            with self._named(call):
                found, metadata = page["items"], page["metadata"]  # without them it is no list, and no empty one either
                if not isinstance(found, list | None) or not all(isinstance(item, dict) for item in found or ()):
                    raise TypeError(type(found))
                items += found or ()
                if not metadata.get("continue"):
                    return Listing(items, str(metadata["resourceVersion"]))
                query["continue"] = str(metadata["continue"])
        raise Away(f"the API server of {self._name} does not come to an end ({call})")

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Patch) -> Json:
        body = [dict(operation) for operation in patch]
        return await self._call(
            "PATCH", Call("patch", kind, namespace, name), query={"fieldManager": MANAGER}, body=body
        )

    async def create(self, kind: Kind, namespace: str, body: Json) -> Json:
        call = Call("create", kind, namespace)
        return await self._call("POST", call, query={"fieldManager": MANAGER}, body=body)

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        await self._call("DELETE", Call("delete", kind, namespace, name), query={"propagationPolicy": "Background"})

    async def watch(self, kind: Kind, namespace: str, resource_version: str) -> AsyncIterator[Json]:
        call = Call("watch", kind, namespace)
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_FOR),
        }
        silence = self._patience.silence
        limit = aiohttp.ClientTimeout(total=WATCH_FOR + silence, sock_read=silence)
        with self._named(call):
            async with asyncio.timeout(self._patience.call):
                response = await self._send("GET", call, query, None, limit)
                if response.status != HTTPStatus.OK:
                    raise await self._refusal(response, call)
            try:
                async for line in response.content:
                    event = parsed(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise refused(int(status["code"]), json.dumps(status).encode(), call, self._name)
                    # Whoever consumes events may rely on these.
                    _ = event["object"]["metadata"]["resourceVersion"]
                    yield event
            finally:
                response.close()

    async def _call(self, method: str, call: Call, *, query: Mapping[str, str] | None = None, body: Any = None) -> Json:
        return (await self._exchange(method, call, query=query, body=body))[1]

    async def _exchange(
        self, method: str, call: Call, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> tuple[Mapping[str, str], Json]:
        with self._named(call):
            # For all of it: a body that comes byte by byte, a plugin that is slow, and waiting as long as a 429 asks.
            async with asyncio.timeout(self._patience.call):
                response = await self._admitted(method, call, query, body)
                if response.status not in range(200, 300):
                    raise await self._refusal(response, call)
                try:
                    return response.headers, parsed(await response.read())
                except ValueError as error:
                    if response.content_type.endswith("json"):
                        raise
                    raise Away(
                        f"the API server of {self._name} cannot be reached: something between answers {call} with "
                        f"{response.content_type}"
                    ) from error

    async def _admitted(
        self, method: str, call: Call, query: Mapping[str, str] | None, body: Any
    ) -> aiohttp.ClientResponse:
        """The answer, after waiting as often as the API server says that it has too much to do just now.

        It says so before it has done anything (API priority and fairness). A write waits less: it was decided upon a
        look that grows old.
        """
        now = asyncio.get_running_loop().time
        end = now() + (self._patience.write if method == "PATCH" else self._patience.call)
        while True:
            response = await self._send(method, call, query, body, aiohttp.ClientTimeout(total=None))
            pause = _retry_after(response)
            if pause is None:
                return response
            if now() + pause >= end:
                await response.read()
                raise busy(self._name, call, f" before {pause:.0f} s have passed")
            response.close()
            await asyncio.sleep(pause)

    async def _send(
        self, method: str, call: Call, query: Mapping[str, str] | None, body: Any, limit: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """The answer, whatever its status, with its body still to be read within the time-out."""
        access = await self._credentials.access()
        try:
            response = await self._send_once(access, method, call, query, body, limit)
            if response.status != HTTPStatus.UNAUTHORIZED:
                return response
            response.close()
            # Tokens rotate: read the file, or ask the exec plugin, once more.
            await self._credentials.renew(access)
        except aiohttp.ClientError as error:
            if not is_about_certificates(error):
                raise
            # So do certificates, also the cluster's own; without a handshake nothing was done.
            await self._credentials.renew(access)
            if self._credentials.current.trust is access.trust:
                raise
        return await self._send_once(self._credentials.current, method, call, query, body, limit)

    async def _send_once(
        self,
        access: Access,
        method: str,
        call: Call,
        query: Mapping[str, str] | None,
        body: Any,
        limit: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "User-Agent": MANAGER}
        if body is not None:
            # Without it a patch of a custom object would go out under the wrong type.
            headers["Content-Type"] = PATCH_TYPE if method == "PATCH" else "application/json"
        authorization = await access.authorization()
        if authorization:
            headers["Authorization"] = authorization
        return await self._session.request(
            method,
            URL(access.host + call.path + (f"?{urlencode(query)}" if query else ""), encoded=True),
            data=None if body is None else json.dumps(body),
            headers=headers,
            allow_redirects=False,
            ssl=access.trust,
            server_hostname=access.server_name,
            proxy=access.proxy,
            timeout=limit,
        )

    async def _refusal(self, response: aiohttp.ClientResponse, call: Call) -> ClusterError:
        data = await response.read()
        if response.status in range(300, 400):
            there = URL(response.headers.get("Location", "")).host or "another place"
            why = f"{call} was sent on to {there} and not followed"
            return Away(f"the API server of {self._name} cannot be reached: {why}")
        return refused(response.status, data, call, self._name)

    @contextlib.contextmanager
    def _named(self, what: Call) -> Iterator[None]:
        """Every way in which a call can fail becomes a `ClusterError` that names the call and the cluster."""
        try:
            yield
        except ClusterError:
            raise
        except TimeoutError as error:
            if self._credentials.reading:
                raise ClusterError(
                    f"no credentials for {self._name} yet ({what}): still reading {self._credentials.source}"
                ) from error
            raise Away(f"the API server of {self._name} did not answer in time ({what})") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Away(unreachable(self._credentials, str(what), error)) from error
        except (HttpProcessingError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Away(f"the API server of {self._name} sent an answer that cannot be read ({what})") from error


def parsed(data: bytes) -> Json:
    """A JSON object. Raises ValueError or RecursionError.

    Half of a surrogate pair is no text: JSON can say it, and whoever stores or sends it would fail.
    """
    answer = json.loads(data)
    if not isinstance(answer, dict):
        raise ValueError(f"a {type(answer).__name__} and no object")  # noqa: TRY004 - of the value, not of a caller
    if b"\\ud" in data.lower():
        json.dumps(answer, ensure_ascii=False).encode()
    return answer


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds until it may be sent again; None when it was admitted, or nothing is said about that."""
    asked = response.headers.get("Retry-After", "")
    if response.status != HTTPStatus.TOO_MANY_REQUESTS or not asked.isascii() or not asked.isdecimal():
        return None
    return max(1.0, float(asked[:9]))
