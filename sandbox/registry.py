"""An OCI registry with a few images, read-only over HTTP, as an unmodified client meets one.

Everything it serves is real: a layer, a config, a manifest for each platform, an index over them, each named by the
sha256 of its bytes. The bytes follow from what was pushed in which order, and from nothing else: so digests are the
same in every run, and known before the server starts.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import secrets
import tarfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from aiohttp import web

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"  # not gzip: its bytes differ between builds of zlib

MOCHI: Mapping[str, Sequence[str]] = MappingProxyType({"mochi": ("blue", "green", "crash", "slow", "flaky")})

_FIRST_PUSH = datetime(2026, 1, 1, tzinfo=UTC)
_ARCHITECTURES = ("amd64", "arm64")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Blob:
    media_type: str
    body: bytes

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.body).hexdigest()

    def descriptor(self, **more: Any) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body), **more}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a request whose path contains `match`; `silent` never answers at all."""

    match: str = ""
    status: int | None = None
    delay: float = 0.0
    silent: bool = False
    tampered: bool = False
    redirect: str | None = None


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    authorization: str | None


class Registry:
    """`await start()`, `await stop()`; in between it listens on `host` (`127.0.0.1:PORT`).

    `credentials` (user, password) closes it to everybody else, by Basic or, with `bearer`, by tokens that are had for
    them; `bearer` alone gives tokens to anybody, as public registries do. `page` is the most tags in one answer.
    """

    def __init__(
        self,
        repositories: Mapping[str, Sequence[str]] = MOCHI,
        *,
        credentials: tuple[str, str] | None = None,
        bearer: bool = False,
        page: int = 100,
        announces_digests: bool = True,
    ) -> None:
        self.host = ""
        self.digests: dict[str, str] = {}  # of indexes and of platform manifests → the tag they were pushed under
        self.requests: list[Asked] = []
        self.faults: list[Fault] = []  # the first that matches a request applies, until it is taken out
        self.token_seconds = 300
        self._credentials = credentials
        self._bearer = bearer
        self._page = page
        self._announces_digests = announces_digests
        self._tags: dict[str, dict[str, str]] = {}
        self._manifests: dict[str, dict[str, Blob]] = {}
        self._blobs: dict[str, dict[str, Blob]] = {}
        self._pushes = 0
        self._tokens: dict[str, str] = {}
        self._stopping = asyncio.Event()
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        for repository, tags in repositories.items():
            for tag in tags:
                self.push(repository, tag)

    def push(self, repository: str, tag: str) -> str:
        """Put a new image there, an hour newer than the one before, and answer its digest. A tag that exists moves."""
        created = _FIRST_PUSH + timedelta(hours=self._pushes)
        self._pushes += 1
        layer = Blob(LAYER, _tar(f"{repository}:{tag} {self._pushes}\n".encode()))
        platforms = []
        for architecture in _ARCHITECTURES:
            manifest = self._manifest(repository, layer, _config(architecture, created, layer))
            self.digests[manifest.digest] = tag
            platforms.append(manifest.descriptor(platform={"architecture": architecture, "os": "linux"}))
        # As `docker buildx build` leaves it: a provenance statement that looks like a platform and can never run.
        statement = self._manifest(repository, layer, _config("unknown", created, layer))
        attestation = statement.descriptor(
            annotations={
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": platforms[0]["digest"],
            },
            platform={"architecture": "unknown", "os": "unknown"},
        )
        index = _json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*platforms, attestation]})
        self._manifests[repository][index.digest] = index
        self._tags.setdefault(repository, {})[tag] = index.digest
        self.digests[index.digest] = tag
        return index.digest

    def digest(self, repository: str, tag: str) -> str:
        """Of the index that the tag means now."""
        return self._tags[repository][tag]

    def platforms(self, repository: str, tag: str) -> frozenset[str]:
        """The digests that a kubelet may name instead of the index, one for each platform."""
        listed = json.loads(self._manifests[repository][self.digest(repository, tag)].body)["manifests"]
        return frozenset(each["digest"] for each in listed if each["platform"]["os"] != "unknown")

    def revoke_tokens(self) -> None:
        self._tokens.clear()

    async def asked(self, times: int = 1) -> None:
        """Returns when so many requests have come in, answered or not."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= times)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and answer the address as it stands in image references."""
        app = web.Application(middlewares=[self._front])
        app.router.add_get("/v2/", self._version)
        app.router.add_get("/token", self._token)
        app.router.add_get("/v2/{name:.+}/tags/list", self._list)
        app.router.add_get("/v2/{name:.+}/manifests/{reference}", self._get_manifest)
        app.router.add_get("/v2/{name:.+}/blobs/{reference}", self._get_blob)
        self._stopping.clear()
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound_host, bound_port = self._runner.addresses[0][:2]
        self.host = f"{bound_host}:{bound_port}"
        return self.host

    async def stop(self) -> None:
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _front(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        async with self._arrived:
            self.requests.append(Asked(request.method, request.path_qs, request.headers.get("Authorization")))
            self._arrived.notify_all()
        fault = next((each for each in self.faults if each.match in request.path_qs), Fault())
        if fault.silent or fault.delay:
            try:
                await asyncio.wait_for(self._stopping.wait(), None if fault.silent else fault.delay)
            except TimeoutError:
                pass  # the delay is over
            else:
                return web.Response(status=503)
        if fault.status is not None:
            return _error(fault.status, "UNKNOWN", "a fault that was asked for")
        if fault.redirect is not None:
            return web.Response(status=307, headers={"Location": f"http://{fault.redirect}{request.path_qs}"})
        if request.path != "/token" and not self._lets_in(request):
            return self._challenge(request)
        answer = await handler(request)
        if fault.tampered and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
            answer.body = answer.body + b" "
        return answer

    def _lets_in(self, request: web.Request) -> bool:
        authorization = request.headers.get("Authorization", "")
        if self._bearer:
            scope = self._tokens.get(authorization.removeprefix("Bearer "))
            return scope is not None and scope in ("", _scope(request))
        return self._credentials is None or authorization == _basic(*self._credentials)

    def _challenge(self, request: web.Request) -> web.Response:
        way = 'Basic realm="sandbox"'
        if self._bearer:
            scope = f',scope="{_scope(request)}"' if _scope(request) else ""
            way = f'Bearer realm="http://{request.host}/token",service="sandbox"{scope}'
        return _error(401, "UNAUTHORIZED", "authentication required", **{"WWW-Authenticate": way})

    async def _token(self, request: web.Request) -> web.Response:
        if self._credentials is not None and request.headers.get("Authorization") != _basic(*self._credentials):
            return _error(401, "UNAUTHORIZED", "wrong user or password")
        token = secrets.token_urlsafe(24)
        self._tokens[token] = request.query.get("scope", "")
        return web.json_response({"token": token, "expires_in": self.token_seconds})

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})

    async def _list(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._tags:
            return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
        asked, last = request.query.get("n", str(self._page)), request.query.get("last", "")
        if not asked.isdecimal():
            return _error(400, "PAGINATION_NUMBER_INVALID", "n is not a number")
        size = min(int(asked), self._page)
        rest = sorted(tag for tag in self._tags[name] if tag > last)
        shown = rest[:size]
        more = bool(shown) and len(rest) > size
        link = {"Link": f'</v2/{name}/tags/list?n={size}&last={shown[-1]}>; rel="next"'} if more else {}
        return web.json_response({"name": name, "tags": shown}, headers=link)

    async def _get_manifest(self, request: web.Request) -> web.Response:
        name, reference = request.match_info["name"], request.match_info["reference"]
        digest = self._tags.get(name, {}).get(reference, reference)
        manifest = self._manifests.get(name, {}).get(digest)
        if manifest is None:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        accepted = ",".join(request.headers.getall("Accept", ["*/*"]))
        if manifest.media_type not in accepted and "*/*" not in accepted:
            return _error(404, "MANIFEST_UNKNOWN", "found, but the Accept header does not allow its media type")
        return self._serve(manifest)

    async def _get_blob(self, request: web.Request) -> web.Response:
        blob = self._blobs.get(request.match_info["name"], {}).get(request.match_info["reference"])
        return _error(404, "BLOB_UNKNOWN", "blob unknown to registry") if blob is None else self._serve(blob)

    def _serve(self, blob: Blob) -> web.Response:
        digest = {"Docker-Content-Digest": blob.digest} if self._announces_digests else {}
        return web.Response(body=blob.body, headers={"Content-Type": blob.media_type, **digest})

    def _manifest(self, repository: str, layer: Blob, config: Blob) -> Blob:
        manifest = _json(
            MANIFEST,
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(),
                "layers": [layer.descriptor()],
            },
        )
        self._blobs.setdefault(repository, {}).update({layer.digest: layer, config.digest: config})
        self._manifests.setdefault(repository, {})[manifest.digest] = manifest
        return manifest


def _config(architecture: str, created: datetime, layer: Blob) -> Blob:
    return _json(
        CONFIG,
        {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "architecture": architecture,
            "os": "unknown" if architecture == "unknown" else "linux",
            "config": {"Entrypoint": ["/app"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        },
    )


def _json(media_type: str, content: Any) -> Blob:
    return Blob(media_type, json.dumps(content, separators=(",", ":")).encode())


def _tar(version: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("version")
        entry.size = len(version)
        tar.addfile(entry, io.BytesIO(version))
    return packed.getvalue()


def _scope(request: web.Request) -> str:
    name = request.match_info.get("name")
    return "" if name is None else f"repository:{name}:pull"


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _error(status: int, code: str, message: str, **headers: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status, headers=headers)
