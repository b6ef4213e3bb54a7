"""Debian's docker-registry as a process of its own on loopback, and what is pushed into it."""

import asyncio
import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from asking import LOGIN, auth

from sandbox import registry as sandbox

BUILT = Path(__file__).parent.parent.parent / ".cluster" / "bin" / "docker-registry"
SERVICE, ISSUER = "the registry of the tests", "the token server of the tests"
# `htpasswd -nbB` of LOGIN: bcrypt is the only way of hashing that the registry takes.
HTPASSWD = "ann:$2y$05$75OBFMT5/9a3bbTrl/i83./LE9OSh6NhWuvigZC1EXBFZEee/CeKq"


def program() -> str:
    """Where docker-registry is; without it the test is skipped, or fails where it must not be missing."""
    there = shutil.which("docker-registry") or (str(BUILT) if BUILT.exists() else None)
    if there is None:
        sentence = (
            "There is no docker-registry: run tests/debian.sh docker-registry (a few seconds, on Debian or Ubuntu)."
        )
        if os.environ.get("GREENLIGHT_REQUIRE_REGISTRY") == "1":
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)
    return there


@asynccontextmanager
async def running(folder, **config):
    """A registry that keeps its images in `folder`; yields `host:port`. `config` is added to its file's tables."""
    folder.mkdir(exist_ok=True)
    http = {"addr": "127.0.0.1:0", "secret": "x", **config.pop("http", {})}
    tables = {
        "version": "0.1",
        "log": {"accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}, "maintenance": {}},
        "http": http,
        **config,
    }
    file = folder / "config.yml"
    file.write_text(json.dumps(tables), "utf-8")  # JSON is YAML
    process = await asyncio.create_subprocess_exec(
        program(), "serve", str(file), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    said = []
    try:
        async with asyncio.timeout(60):
            while line := (await process.stderr.readline()).decode():
                said.append(line)
                if match := re.search(r"listening on (127\.0\.0\.1:[0-9]+)", line):
                    break
            else:
                raise AssertionError("".join(said))
        drain = asyncio.create_task(process.stderr.read())
        yield match[1]
        process.terminate()
        await drain
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Pusher:
    """Puts images into a registry by its HTTP API, as `docker push` does. `headers` let it in."""

    def __init__(self, host, *, headers=None, scheme="http", tls=True):
        self.base = f"{scheme}://{host}/v2"
        self._headers = headers or {}
        self._tls = tls

    async def push(self, images, repository="mochi"):
        """All that the sandbox's registry `images` has of the repository: blobs, then manifests, then indexes."""
        async with aiohttp.ClientSession(headers=self._headers, connector=aiohttp.TCPConnector(ssl=self._tls)) as http:
            for blob in images._blobs[repository].values():
                await self._blob(http, repository, blob)
            manifests = images._manifests[repository].values()
            for manifest in sorted(manifests, key=lambda each: each.media_type == sandbox.INDEX):
                await self.put(http, repository, manifest.digest, manifest)
            for tag, digest in images._tags[repository].items():
                await self.put(http, repository, tag, images._manifests[repository][digest])

    async def _blob(self, http, repository, blob):
        async with http.post(f"{self.base}/{repository}/blobs/uploads/") as started:
            assert started.status == 202, await started.text()
            place = started.headers["Location"]
        async with http.put(f"{place}&digest={blob.digest}", data=blob.body) as done:
            assert done.status == 201, await done.text()

    async def put(self, http, repository, reference, manifest):
        headers = {"Content-Type": manifest.media_type}
        url = f"{self.base}/{repository}/manifests/{reference}"
        async with http.put(url, data=manifest.body, headers=headers) as done:
            assert done.status == 201, await done.text()
            assert done.headers["Docker-Content-Digest"] == manifest.digest


class TokenServer:
    """Signs tokens as distribution's specification has it, for whoever has the login; `asked` keeps the scopes.

    `lives` is for how many seconds a token is good.
    """

    def __init__(self, folder, login=LOGIN):
        folder.mkdir(exist_ok=True)
        self.certificate, self._key = folder / "signer.pem", folder / "signer.key"
        made = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=signer"
        command = [*made.split(), "-out", str(self.certificate), "-keyout", str(self._key)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        self.asked: list[str] = []
        self.lives = 300
        self._login = f"Basic {auth(login)['auth']}"

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/token", self._token)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.realm = f"http://127.0.0.1:{self._runner.addresses[0][1]}/token"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    @property
    def config(self):
        """What the registry is told of it."""
        told = {"realm": self.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(self.certificate)}
        return {"auth": {"token": told}}

    async def _token(self, request):
        self.asked.append(request.query["scope"])
        if request.headers.get("Authorization") != self._login:
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401)
        token = await asyncio.to_thread(self.sign, request.query["scope"])
        return web.json_response({"token": token, "expires_in": self.lives})

    def sign(self, scope):
        kind, name, actions = scope.split(":")
        now = int(time.time())
        pem = self.certificate.read_text("utf-8")
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(pem.split("-----")[2].split())]}
        claims = {
            "iss": ISSUER,
            "sub": "ann",
            "aud": SERVICE,
            "exp": now + self.lives,
            "nbf": now - 10,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        signed = b".".join(_base64(json.dumps(each).encode()) for each in (header, claims))
        command = ["openssl", "dgst", "-sha256", "-sign", str(self._key)]
        signature = subprocess.run(command, input=signed, check=True, capture_output=True, timeout=60).stdout
        return b".".join([signed, _base64(signature)]).decode()


def _base64(text: bytes) -> bytes:
    return base64.urlsafe_b64encode(text).rstrip(b"=")
