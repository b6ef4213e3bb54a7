"""The Kubernetes API as the bot uses it: raw JSON, a deadline on every call, errors as sentences.

One `KubeApi` per cluster, built once: an ApiClient costs 20 ms of blocked event loop. Objects stay raw JSON: the typed
models decode six times slower and are fifty times larger than what is read from them.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, ApiException, Configuration

from bot.clusters.errors import Away, ClusterError, Forbidden, Gone, Missing, Stale

Json = dict[str, Any]
Patch = Sequence[Mapping[str, Any]]

DEADLINE = 10.0
"""Seconds for one call; the client has no deadline of its own."""
SILENCE = 90.0
"""Seconds after which a watch that says nothing, not even a bookmark (sent every minute), is taken for dead."""
WATCH_FOR = 300
PAGE = 500
MANAGER = "greenlight"


@dataclass(frozen=True)
class Kind:
    """A kind of object and where the API server keeps it."""

    name: str
    group: str
    plural: str

    def path(self, namespace: str, name: str = "") -> str:
        root = f"/apis/{self.group}" if "/" in self.group else f"/api/{self.group}"
        return f"{root}/namespaces/{namespace}/{self.plural}" + (f"/{name}" if name else "")


SERVICE = Kind("Service", "v1", "services")
POD = Kind("Pod", "v1", "pods")
DEPLOYMENT = Kind("Deployment", "apps/v1", "deployments")
ENDPOINT_SLICE = Kind("EndpointSlice", "discovery.k8s.io/v1", "endpointslices")
INGRESS = Kind("Ingress", "networking.k8s.io/v1", "ingresses")
HTTP_ROUTE = Kind("HTTPRoute", "gateway.networking.k8s.io/v1", "httproutes")
GATEWAY = Kind("Gateway", "gateway.networking.k8s.io/v1", "gateways")
AUTOSCALER = Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers")


def rule(kind: Kind, verbs: Sequence[str], names: Sequence[str] = ()) -> Json:
    """The rule of a Role that allows this; no names are all of them."""
    group = kind.group.partition("/")[0] if "/" in kind.group else ""
    named = {"resourceNames": [*names]} if names else {}
    return {"apiGroups": [group], "resources": [kind.plural], **named, "verbs": [*verbs]}


@dataclass(frozen=True)
class Listing:
    items: list[Json]
    resource_version: str


class Api(Protocol):
    """The narrow door to one cluster. Every call may raise any `ClusterError`."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Json: ...

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> Listing: ...

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Patch) -> Json: ...

    def watch(self, kind: Kind, namespace: str, resource_version: str) -> AsyncIterator[Json]:
        """Events as the API server sends them. Ends when the server ends it; raises `Gone` on 410."""


@dataclass(frozen=True)
class _Call:
    """What a call asks for, as its errors say it."""

    verb: str
    kind: Kind | None = None
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        if self.kind is None:
            return self.verb
        if self.name:
            return f"{self.verb} {self.kind.name} {self.namespace}/{self.name}"
        return f"{self.verb} {self.kind.plural} in {self.namespace}"

    @property
    def path(self) -> str:
        return self.kind.path(self.namespace, self.name) if self.kind else f"/{self.verb}"

    @property
    def rule(self) -> str:
        """What its Role has to say, in YAML's short form: to be copied as it is."""
        if self.kind is None:
            return ""
        allowed = rule(self.kind, [self.verb], [self.name] if self.name else [])
        lists = {key: ", ".join(each or '""' for each in values) for key, values in allowed.items()}
        return "- {" + ", ".join(f"{key}: [{values}]" for key, values in lists.items()) + "}"


class KubeApi:
    """`Api` over HTTP, with the credentials of a kubeconfig's context or of the pod that the bot runs in.

    `kubeconfig` None means the credentials of the pod, or the default kubeconfig where there is no pod. `name` is what
    people call the cluster; by default the context's. Credentials are read by the first call, and by each one after it
    until that succeeds, so that a cluster which is set up wrongly can be put right while the bot runs.
    """

    def __init__(self, *, kubeconfig: str | None = None, context: str | None = None, name: str = "") -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._given = name
        self._name = name or "the cluster"
        self._known: ApiClient | None = None
        self._loading = asyncio.Lock()

    @classmethod
    async def connect(cls, *, kubeconfig: str | None = None, context: str | None = None, name: str = "") -> "KubeApi":
        """With credentials read; asks the cluster nothing yet. Raises `ClusterError`."""
        api = cls(kubeconfig=kubeconfig, context=context, name=name)
        await api.load()
        return api

    async def load(self) -> None:
        """Read the credentials, unless they are. Raises `ClusterError`."""
        async with self._loading:
            if self._known is None:
                configuration = Configuration()
                found = await _load(configuration, self._kubeconfig, self._context, self._name)
                self._name = self._given or found
                self._known = ApiClient(configuration)
                self._known.user_agent = MANAGER

    @property
    def _client(self) -> ApiClient:
        if self._known is None:
            raise RuntimeError("called before credentials were read")
        return self._known

    async def close(self) -> None:
        if self._known is not None:
            await self._known.close()

    async def version(self) -> str:
        """The API server's version, for example `v1.34.4`."""
        return str((await self._call("GET", _Call("version")))["gitVersion"])

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        return await self._call("GET", _Call("get", kind, namespace, name))

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> Listing:
        items: list[Json] = []
        query = {"limit": str(PAGE)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self._call("GET", _Call("list", kind, namespace), query=query)
            items += page.get("items") or []
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return Listing(items, str(metadata.get("resourceVersion", "")))
            query["continue"] = metadata["continue"]

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Patch) -> Json:
        body = [dict(operation) for operation in patch]
        return await self._call(
            "PATCH", _Call("patch", kind, namespace, name), query={"fieldManager": MANAGER}, body=body
        )

    async def watch(self, kind: Kind, namespace: str, resource_version: str) -> AsyncIterator[Json]:
        call = _Call("watch", kind, namespace)
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_FOR),
        }
        timeout = aiohttp.ClientTimeout(total=WATCH_FOR + SILENCE, sock_connect=DEADLINE, sock_read=SILENCE)
        with self._named(call):
            response = await self._send("GET", call.path, query, None, timeout)
            try:
                if response.status != HTTPStatus.OK:
                    raise _error(response.status, await response.read(), call, self._name)
                async for line in response.content:
                    event: Json = json.loads(line)
                    if event["type"] == "ERROR":
                        status = event.get("object") or {}
                        raise _error(int(status.get("code", 500)), json.dumps(status).encode(), call, self._name)
                    # Whoever consumes events may rely on these.
                    _ = event["object"]["metadata"]["resourceVersion"]
                    yield event
            finally:
                response.close()

    async def _call(
        self, method: str, call: _Call, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Json:
        with self._named(call):
            timeout = aiohttp.ClientTimeout(total=DEADLINE)
            response = await self._send(method, call.path, query, body, timeout)
            data = await response.read()
            if not response.ok:
                raise _error(response.status, data, call, self._name)
            answer: Json = json.loads(data)
            if not isinstance(answer, dict):
                raise TypeError(type(answer))
            return answer

    async def _send(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any, limit: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """The answer, whatever its status, with its body still to be read within the time-out."""
        await self.load()
        response = await self._send_once(method, path, query, body, limit)
        if response.status != HTTPStatus.UNAUTHORIZED:
            return response
        # Tokens rotate: read the file, or ask the exec plugin, once more.
        response.close()
        await _load(self._client.configuration, self._kubeconfig, self._context, self._name)
        return await self._send_once(method, path, query, body, limit)

    async def _send_once(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any, limit: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json"}
        if method == "PATCH":
            # Without it a patch of a custom object would go out under the wrong type.
            headers["Content-Type"] = "application/json-patch+json"
        response: aiohttp.ClientResponse = await self._client.call_api(
            path,
            method,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,  # else the client decodes into its typed models
            _request_timeout=limit,
        )
        return response

    @contextlib.contextmanager
    def _named(self, what: _Call) -> Any:
        """Every way in which a call can fail becomes a `ClusterError` that names the call and the cluster."""
        try:
            yield
        except ClusterError:
            raise
        except TimeoutError as error:
            raise Away(f"the API server of {self._name} did not answer in time ({what})") from error
        except (aiohttp.ClientError, OSError) as error:
            where = self._client.configuration.host
            raise Away(f"the API server of {self._name} cannot be reached at {where} ({what}: {error})") from error
        except (ApiException, config.ConfigException) as error:
            raise Away(f"no credentials for {self._name} right now ({what}: {error})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Away(f"the API server of {self._name} sent an answer that cannot be read ({what})") from error


async def _load(configuration: Configuration, kubeconfig: str | None, context: str | None, called: str) -> str:
    """Put credentials into `configuration`; the name of what they are for. Raises `ClusterError`."""
    none = f"no credentials for {called}"
    if kubeconfig is not None and not _is_there(kubeconfig):
        raise ClusterError(f"{none}: {kubeconfig} is no file: mend KUBECONFIG, or `kubeconfig` in the file.")
    try:
        if kubeconfig is None and context is None:
            with contextlib.suppress(config.ConfigException):
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
                return "this cluster"
        await config.load_kube_config(config_file=kubeconfig, context=context, client_configuration=configuration)
        return context or str((config.list_kube_config_contexts(kubeconfig)[1] or {})["name"])
    except Exception as error:  # whatever stands in that file, the client raises as it comes
        if kubeconfig is None and not _is_there("~/.kube/config"):
            raise ClusterError(f"{none}: this is no pod, and there is no ~/.kube/config. Set KUBECONFIG.") from error
        where, why = kubeconfig or "~/.kube/config", " ".join(str(error).split())[:200]
        raise ClusterError(f"{none}: {where} cannot be used: {why}") from error


def _is_there(kubeconfig: str) -> bool:
    """As kubectl reads it: several files, of which those that do not exist are passed over."""
    return any(Path(each).expanduser().is_file() for each in kubeconfig.split(os.pathsep))


def _error(status: int, body: bytes, what: _Call, cluster: str) -> ClusterError:
    """The error of an answer. Only the message of a `Status` body is kept, and cut: bodies may hold secrets."""
    message = ""
    with contextlib.suppress(ValueError, AttributeError):
        message = str(json.loads(body).get("message", ""))[:300]
    match status:
        case 401:
            return Forbidden(
                f"{cluster} does not take Greenlight's credentials (to {what}): have they run out, or was their "
                "ServiceAccount or user deleted?"
            )
        case 403 if f"cannot {what.verb} resource" in message:  # the words of RBAC; admission has its own
            return Forbidden(
                f"Greenlight may not {what} on {cluster}: add to its Role in {what.namespace}: `{what.rule}`"
            )
        case 403:
            return Forbidden(f"Greenlight may not {what} on {cluster}: {message or status}")
        case 404:
            return Missing(f"not found on {cluster}: {what}")
        case 409 | 422:
            return Stale(f"the API server of {cluster} refused to {what}: {message or status}")
        case 410:
            return Gone(f"too old to {what} on {cluster}")
        case 400 | 405 | 406 | 415:
            return ClusterError(f"the API server of {cluster} does not take this request ({what}): {message or status}")
        case _:
            return Away(f"the API server of {cluster} answered {status} ({what})")
