"""Ingress controller and kube-proxy in one: a host or a port leads to a ready endpoint of a Service.

Every request is placed anew by the EndpointSlices of that moment; connections to pods are never kept, so that
what a person sees is what the selector says now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

from sandbox.cluster.endpoints import SERVICE_NAME
from sandbox.cluster.objects import Objects
from sandbox.cluster.pages import empty_face
from sandbox.cluster.patches import Json

# Hop-by-hop headers (RFC 9110, 7.6.1), and those that the next hop works out again.
_NOT_FORWARDED = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"}
)
_BACKEND = tuple[str, str]


class Proxy:
    """Serves Services to browsers. `pods` is where the pods themselves answer (see `podhost.py`)."""

    def __init__(self, objects: Objects, pods: Callable[[], str]) -> None:
        self._objects = objects
        self._pods = pods
        self._runners: list[web.AppRunner] = []
        self._session: ClientSession | None = None
        self._turn = 0

    async def serve(self, service: str, namespace: str = "default", *, port: int = 0) -> str:
        """One Service on a port of its own, as a load balancer does it; answers with the URL."""
        return await self._listen(lambda _: (namespace, service), port)

    async def serve_ingresses(self, *, port: int = 0) -> str:
        """Every host and path that an Ingress names, told apart by the Host header; answers with the URL."""
        return await self._listen(self._by_ingress, port)

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _listen(self, backend: Callable[[web.Request], _BACKEND | None], port: int) -> str:
        async def handle(request: web.Request) -> web.Response:
            found = backend(request)
            if found is None:
                return web.Response(status=404, text=f"no Ingress has the host {request.host}\n")
            return await self._forward(request, *found)

        if self._session is None:
            connector = TCPConnector(force_close=True)
            self._session = ClientSession(connector=connector, timeout=ClientTimeout(total=10), auto_decompress=False)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return f"http://localhost:{runner.addresses[0][1]}"

    def _by_ingress(self, request: web.Request) -> _BACKEND | None:
        host = request.host.rpartition(":")[0] or request.host
        rules = [rule for rule in self._rules() if rule[0] in {host, ""} and _leads(rule[1], request.path)]
        # The exact host before any host, the longest path first.
        best = max(rules, key=lambda rule: (bool(rule[0]), len(rule[1])), default=None)
        return best[2] if best else None

    def _rules(self) -> Iterator[tuple[str, str, _BACKEND]]:
        for ingress in self._objects.items("ingresses"):
            namespace = ingress["metadata"]["namespace"]
            for rule in ingress["spec"].get("rules") or ():
                for path in (rule.get("http") or {}).get("paths") or ():
                    if service := path["backend"].get("service"):
                        yield rule.get("host", ""), path.get("path", "/"), (namespace, service["name"])

    def _endpoint(self, namespace: str, service: str) -> str | None:
        """The pod whose turn it is among those that are ready."""
        slices = self._objects.items("endpointslices", namespace, f"{SERVICE_NAME}={service}")
        ready = [name for item in slices if item["ports"] for name in _ready_pods(item)]
        if not ready:
            return None
        self._turn += 1
        return sorted(ready)[self._turn % len(ready)]

    async def _forward(self, request: web.Request, namespace: str, service: str) -> web.Response:
        pod = self._endpoint(namespace, service)
        if pod is None or self._session is None:
            return _unavailable(request, service)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _NOT_FORWARDED}
        headers["X-Forwarded-Host"] = f"{service}.{namespace}.svc"
        url = f"{self._pods()}/{namespace}/{pod}{request.path_qs}"
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=await request.read(), allow_redirects=False
            ) as answer:
                kept = {key: value for key, value in answer.headers.items() if key.lower() not in _NOT_FORWARDED}
                return web.Response(status=answer.status, headers=kept, body=await answer.read())
        except (ClientError, TimeoutError):
            return web.Response(status=502, text=f"{pod} did not answer\n")


def _leads(prefix: str, path: str) -> bool:
    return prefix in {"/", path} or path.startswith(prefix.rstrip("/") + "/")


def _ready_pods(item: Json) -> list[str]:
    return [e["targetRef"]["name"] for e in item["endpoints"] or () if e["conditions"].get("ready")]


def _unavailable(request: web.Request, service: str) -> web.Response:
    face = empty_face(service)
    if request.path == "/version":
        return web.json_response(face.as_json(), status=503, headers={"Access-Control-Allow-Origin": "*"})
    return web.Response(status=503, text=face.as_html(), content_type="text/html")
