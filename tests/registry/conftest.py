"""Registries on loopback, and a client of them."""

import asyncio
import ssl
import subprocess

import pytest
from aiohttp import web
from asking import PLAIN, auth, write_config

from bot.registry import Registry, RegistryHost
from sandbox import registry as sandbox


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    """No proxy stands between, whatever the environment of the machine says."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def serving():
    """Start the sandbox's registries, and stop them when the test is over."""
    started = []

    async def start(*args, **kwargs):
        registry = sandbox.Registry(*args, **kwargs)
        started.append(registry)
        await registry.start()
        return registry

    yield start
    for registry in started:
        await registry.stop()


@pytest.fixture
async def odd():
    """Start a server that answers everything by `answer(request)`, over TLS if given a context; yields its host."""
    runners = []

    async def start(answer, tls=None):
        async def handle(request):
            return answer(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        return f"127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def reach(tmp_path):
    """A client that speaks plain http to these registries, with a login for the first of them if one is given.

    `hosts` says of further ones, or of the same, how they are reached.
    """
    clients = []

    def connect(*registries, login=None, like=PLAIN, hosts=None, **settings):
        names = [each if isinstance(each, str) else each.host for each in registries]
        if login is not None:
            write_config(tmp_path, {names[0]: auth(login)})
        client = Registry(tmp_path, {**dict.fromkeys(names, like), **(hosts or {})}, **settings)
        clients.append(client)
        return client

    async with asyncio.timeout(60):
        yield connect
        for client in clients:
            await client.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 and registry.example.com that only its own file vouches for, with its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=greenlight"
    extensions = [
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:registry.example.com",
        "-addext",
        "keyUsage=digitalSignature,keyCertSign",
    ]
    command = [*made.split(), *extensions, "-out", str(cert), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return cert, key


@pytest.fixture
def server_tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def vouched(certificate):
    """A registry that the certificate vouches for."""
    return RegistryHost(ca=certificate[0])
