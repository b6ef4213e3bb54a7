"""The Kubernetes API over HTTP, on loopback: unmodified clients talk to it.

It hides HTTP from the objects: content types, query parameters, tokens, streams. Bodies are JSON only (also those of
server-side apply; JSON is YAML).
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.cluster import discovery, errors, mishaps
from sandbox.cluster.access import Access, Attempt, reviewed
from sandbox.cluster.errors import ApiError
from sandbox.cluster.faults import Effect, Faults
from sandbox.cluster.kinds import ALL
from sandbox.cluster.objects import Objects
from sandbox.cluster.patches import PatchType
from sandbox.cluster.paths import Target, target_of
from sandbox.cluster.requests import check_body_type, dry_run, flag, manager, number, parsed, verb
from sandbox.cluster.watching import Watch

Json = dict[str, Any]

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HEALTH = frozenset({"/readyz", "/livez", "/healthz"})
# What Kubernetes lets everybody see (ClusterRole system:public-info-viewer).
_PUBLIC = _HEALTH | {"/version"}
_LARGEST_BODY = 3 * 1024 * 1024
_NO_ANSWER = 0


@dataclass(frozen=True)
class Write:
    """A request that could change something. `status` is 0 when no answer was sent."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    body: bytes
    status: int
    user: str
    user_agent: str

    def json(self) -> Any:
        return json.loads(self.body)


class ClusterServer:
    """Serves `objects`. Tests read `writes` and `asked`, and set `faults` and `access`."""

    def __init__(
        self,
        objects: Objects,
        *,
        access: Access | None = None,
        bookmark_every: float = 60.0,
        log_of: Callable[[Json], str] = lambda _: "",
    ) -> None:
        self.objects = objects
        self.access = access or Access(anonymous="admin")
        self.faults = Faults()
        self.writes: list[Write] = []
        self.asked: set[tuple[str, Attempt]] = set()
        """Who has ever tried what, allowed or not."""
        self.url = ""
        self._kinds = ALL
        self._bookmark_every = bookmark_every
        self._log_of = log_of
        self._watches: set[Watch] = set()
        self._writing: set[asyncio.Task[web.StreamResponse]] = set()
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []
        self._loud = asyncio.Event()
        self._loud.set()
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> str:
        """Listens on loopback and answers with the URL; port 0 takes a free one."""
        self._stopping.clear()
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # A watch must end when its client goes.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=tls).start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        """Ends every connection, also the silent ones."""
        self._stopping.set()
        self.faults.clear()
        self.drop_watches()
        for writing in tuple(self._writing):
            writing.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def uninstall(self, *plurals: str) -> None:
        """Without these custom kinds, as a cluster is before their CRDs are there; their objects show up again with
        `install`.
        """
        wanted = {kind.plural for kind in ALL if kind.custom} & set(plurals)
        if wanted != set(plurals):
            raise ValueError(f"only custom kinds can be missing, and these are none: {set(plurals) - wanted}")
        self._kinds = tuple(kind for kind in self._kinds if kind.plural not in wanted)

    def install(self) -> None:
        """Every kind is there."""
        self._kinds = ALL

    @property
    def watching(self) -> int:
        """How many watches are open."""
        return len(self._watches)

    async def until_watching(self, count: int, seconds: float = 10.0) -> None:
        """Returns when so many watches are, or were for a moment, open; TimeoutError when that takes too long."""
        if len(self._watches) == count:
            return
        seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited.append((count, seen))
        async with asyncio.timeout(seconds):
            await seen

    def _count_watches(self) -> None:
        for count, seen in tuple(self._awaited):
            if seen.done():
                self._awaited.remove((count, seen))
            elif count == len(self._watches):
                seen.set_result(None)

    def drop_watches(self) -> None:
        """Cuts every open watch."""
        for watch in tuple(self._watches):
            watch.drop()

    def mute_watches(self, *, muted: bool = True) -> None:
        """Leaves every watch open and says nothing more on it: a half-open connection."""
        if muted:
            self._loud.clear()
        else:
            self._loud.set()

    def lie_on_watches(self) -> None:
        """The open watches never tell what happens from now on, and their bookmarks say that nothing did."""
        for watch in self._watches:
            watch.lies = True

    async def say_on_watches(self, data: bytes) -> None:
        """Sends these bytes on every open watch, whatever they are."""
        for watch in tuple(self._watches):
            await watch.say(data)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.method not in _WRITES:
            return await self._answered(request, body)
        # A write that has arrived is done, also when its client does not wait for the answer any more.
        answering = asyncio.create_task(self._answered(request, body))
        self._writing.add(answering)
        answering.add_done_callback(self._writing.discard)
        return await asyncio.shield(answering)

    async def _answered(self, request: web.Request, body: bytes) -> web.StreamResponse:
        fault = self.faults.take(request.method, request.path_qs)
        if fault is not None and (early := await mishaps.before(fault, request, self._stopping)) is not None:
            return early
        user = ""
        try:
            # Whoever says who he is must be right, also where nobody has to say it.
            if request.path not in _PUBLIC or "Authorization" in request.headers:
                user = self.access.user(request.headers.get("Authorization", ""))
            response = await self._serve(request, user, body)
        except ApiError as error:
            response = _answer(error.body(), error.status)
        lost = fault is not None and fault.effect is Effect.LOSE
        if request.method in _WRITES:
            self._log(request, body, user, _NO_ANSWER if lost else response.status)
        return response if fault is None else await mishaps.after(fault, request, response)

    def _log(self, request: web.Request, body: bytes, user: str, status: int) -> None:
        agent = request.headers.get("User-Agent", "")
        query = dict(request.query)
        kind = request.content_type if body else ""
        self.writes.append(Write(request.method, request.path, query, kind, body, status, user, agent))

    async def _serve(self, request: web.Request, user: str, body: bytes) -> web.StreamResponse:
        if request.path in _HEALTH:
            return web.Response(text="ok")
        if request.path.startswith("/apis/authorization.k8s.io/v1/") and request.method == "POST":
            check_body_type(request)
            return _answer(reviewed(self.access, user, request.path.rpartition("/")[2], parsed(body)), 201)
        target = target_of(request.path, self._kinds)
        if target is None:
            asked = request.method == "GET"
            found = discovery.document(request.path, request.host, self._kinds) if asked else None
            if not found and discovery.knows_group(request.path, self._kinds):
                raise errors.no_such_path()
            return _answer(found) if found else web.Response(status=404, text="404 page not found\n")
        self._authorize(request, user, target)
        return await self._verbs(request)(request, target, body)

    def _verbs(self, request: web.Request) -> Callable[[web.Request, Target, bytes], Awaitable[web.StreamResponse]]:
        verbs = {
            "GET": self._get,
            "POST": self._post,
            "PUT": self._put,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        if request.method not in verbs:
            raise errors.method_not_allowed()
        return verbs[request.method]

    def _authorize(self, request: web.Request, user: str, target: Target) -> None:
        name = target.name
        if not name and request.method == "GET":
            # As Kubernetes does it: a list that can only show one name may be granted by that name.
            fields = request.query.get("fieldSelector", "").split("=")
            name = fields[-1] if fields[0] == "metadata.name" and "," not in fields[-1] else ""
        attempt = Attempt(verb(request, target), target.kind, target.namespace, name, target.subresource)
        self.asked.add((user, attempt))
        if not self.access.allows(user, attempt):
            raise self.access.refusal(user, attempt)

    async def _get(self, request: web.Request, target: Target, _: bytes) -> web.StreamResponse:
        plural, query = target.kind.plural, request.query
        if target.subresource == "log":
            return web.Response(text=self._log_of(self.objects.get(plural, target.namespace, target.name)))
        if target.name:
            return _answer(self.objects.get(plural, target.namespace, target.name, target.subresource))
        if flag(query, "watch"):
            return await self._watch(request, target)
        version = number(query.get("resourceVersion")) or 0
        if version > self.objects.version:
            raise errors.too_new(version, self.objects.version)
        listed = self.objects.list(
            plural,
            target.namespace,
            labels=query.get("labelSelector", ""),
            fields=query.get("fieldSelector", ""),
            limit=number(query.get("limit")) or 0,
            after=query.get("continue", ""),
        )
        return _answer(listed)

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        watch = Watch(self.objects, target, request, bookmark_every=self._bookmark_every, loud=self._loud)
        self._watches.add(watch)
        self._count_watches()
        try:
            return await watch.run()
        except ConnectionResetError:  # the client went, or we dropped it
            return mishaps.cut(request)
        finally:
            self._watches.discard(watch)
            self._count_watches()

    async def _post(self, request: web.Request, target: Target, body: bytes) -> web.StreamResponse:
        if target.name:
            raise errors.method_not_allowed()
        check_body_type(request)
        made = self.objects.create(
            target.kind.plural, target.namespace, parsed(body), manager=manager(request), dry_run=dry_run(request)
        )
        return _answer(made, 201)

    async def _put(self, request: web.Request, target: Target, body: bytes) -> web.StreamResponse:
        if not target.name:
            raise errors.method_not_allowed()
        check_body_type(request)
        version = self.objects.version
        found = self.objects.replace(
            target.kind.plural,
            target.namespace,
            target.name,
            parsed(body),
            subresource=target.subresource,
            manager=manager(request),
            dry_run=dry_run(request),
        )
        created = target.kind.put_creates and self.objects.version > version and _is_new(found)
        return _answer(found, 201 if created else 200)

    async def _patch(self, request: web.Request, target: Target, body: bytes) -> web.StreamResponse:
        if not target.name:
            raise errors.method_not_allowed()
        applied = request.content_type == PatchType.APPLY
        if applied and not request.query.get("fieldManager"):
            detail = "is required for apply patch"
            cause = {
                "reason": "FieldValueRequired",
                "message": f"Required value: {detail}",
                "field": "fieldManager",
            }
            message = f'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: {detail}'
            details = {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [cause]}
            raise ApiError(422, "Invalid", message, details)
        version = self.objects.version
        found = self.objects.patch(
            target.kind.plural,
            target.namespace,
            target.name,
            parsed(body),
            request.content_type,
            subresource=target.subresource,
            manager=manager(request),
            force=flag(request.query, "force"),
            dry_run=dry_run(request),
        )
        created = applied and self.objects.version > version and _is_new(found)
        return _answer(found, 201 if created else 200)

    async def _delete(self, request: web.Request, target: Target, body: bytes) -> web.StreamResponse:
        options = {**dict(request.query), **(parsed(body) if body else {})}
        preconditions = options.get("preconditions") or {}
        dry = dry_run(request) or "All" in (options.get("dryRun") or ())
        propagation = options.get("propagationPolicy")
        if not propagation:
            propagation = "Orphan" if options.get("orphanDependents") in {True, "true"} else "Background"
        plural = target.kind.plural
        if not target.name:
            query = request.query
            fitting = self.objects.items(
                plural, target.namespace, query.get("labelSelector", ""), query.get("fieldSelector", "")
            )
            for item in fitting:
                where = item["metadata"].get("namespace", "")
                self.objects.delete(plural, where, item["metadata"]["name"], propagation=propagation, dry_run=dry)
            listed = {"kind": f"{target.kind.kind}List", "apiVersion": target.kind.api_version, "metadata": {}}
            return _answer({**listed, "items": fitting})
        found = self.objects.delete(
            plural,
            target.namespace,
            target.name,
            grace=number(options.get("gracePeriodSeconds")),
            propagation=propagation,
            uid=preconditions.get("uid"),
            version=preconditions.get("resourceVersion"),
            dry_run=dry,
        )
        if target.kind.returns_deleted or found["metadata"].get("finalizers"):
            return _answer(found)
        details = {
            "name": target.name,
            "group": target.kind.group,
            "kind": plural,
            "uid": found["metadata"]["uid"],
        }
        kept = {key: value for key, value in details.items() if value}
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": kept}
        return _answer(status)


def _answer(body: Json, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(body, status=status, headers=headers)


def _is_new(item: Json) -> bool:
    return len(item["metadata"].get("managedFields") or ()) == 1 and item["metadata"].get("generation", 1) == 1
