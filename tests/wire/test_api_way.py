"""The way to the API server: certificates that have run out or that nobody vouches for, and proxies."""

import base64
import json
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from api_faults import NAMESPACE, cluster, kubeconfig, reached
from certificates import RUN_OUT, Authority
from hypothesis import given
from hypothesis import strategies as st
from tunnel import Tunnel
from yarl import URL

import mochi
from bot.clusters.api import SERVICE, KubeApi
from bot.clusters.api.proxy import proxy_for
from bot.clusters.errors import Away, ClusterError

GET = (SERVICE, NAMESPACE, mochi.ACTIVE)
VARIABLES = [f"{name}_proxy" for name in ("http", "https", "all", "no")]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Whatever stands in the environment of whoever runs the tests."""
    for name in (each for variable in VARIABLES for each in (variable, variable.upper())):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


def place(tmp_path, served, authority, *, client=None, **more):
    trust = {"certificate-authority": str(authority.crt)} if authority else {}
    user = {"token": served.token}
    if client:
        user |= dict(zip(("client-certificate", "client-key"), map(str, client), strict=True))
    return kubeconfig(tmp_path / "kubeconfig", served, user=user, **trust, **more)


# Certificates


SERVERS = {
    "run out": ({"days": RUN_OUT}, "its certificate is not valid now (certificate has expired): renew it, unless the"),
    "another name": ({"host": "DNS:elsewhere.example"}, "its certificate is for another name ("),
}


@pytest.mark.parametrize("wrong", SERVERS)
async def test_a_server_certificate_that_is_wrong_is_named_with_what_to_mend(tmp_path, authority, wrong):
    settings, words = SERVERS[wrong]
    async with cluster(authority.server(**settings)) as served, reached(place(tmp_path, served, authority)) as api:
        with pytest.raises(Away) as refused:
            await api.get(*GET)
    assert f"cannot be reached at {served.url} (get Service mochi/mochiapp): {words}" in str(refused.value)


async def test_a_certificate_that_nobody_vouches_for_is_named_with_where_trust_is_set(tmp_path, authority):
    stranger = Authority(tmp_path, "stranger")
    async with cluster(authority.server()) as served:
        file = place(tmp_path, served, stranger)
        async with reached(file) as api:
            with pytest.raises(Away, match=rf"signed by nobody who is trusted \(.*\): .* authority in {file}$"):
                await api.get(*GET)


class Strict:
    """A server that wants certificates of its clients; it answers 401 to whoever is called in `unknown`."""

    def __init__(self, context, unknown=""):
        # In TLS 1.3 the reason reaches the client only if it has not yet sent its request.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.served = []
        strict = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                name = dict(pair for [pair] in self.connection.getpeercert()["subject"])["commonName"]
                self.send_response(401 if name == unknown else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b'{"metadata": {}}')
                strict.served.append(name)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
async def served():
    async with cluster() as made:
        yield made


async def test_a_client_certificate_that_has_run_out_is_named_and_its_successor_is_read(tmp_path, served, authority):
    """Renewed in place, as kubeadm does it."""
    client = authority.issue("renewed", days=RUN_OUT)
    with Strict(authority.server(wants_clients=True)) as strict:
        file = place(tmp_path, served, authority, client=client, server=strict.url)
        async with reached(file) as api:
            words = rf"it does not take the client certificate in {file} \(certificate expired\)$"
            with pytest.raises(Away, match=words):
                await api.get(*GET)
            authority.issue("renewed")
            await api.get(*GET)
    assert strict.served == ["renewed"]


async def test_a_client_certificate_that_is_refused_with_401_is_read_again_too(tmp_path, served, authority):
    """An API server takes any certificate in the handshake, and then does not know who that is."""
    old, new = authority.issue("old"), authority.issue("new")
    with Strict(authority.server(wants_clients=True), unknown="old") as strict:
        file = place(tmp_path, served, authority, client=old, server=strict.url)
        async with reached(file) as api:
            for before, after in zip(old, new, strict=True):
                before.write_bytes(after.read_bytes())
            await api.get(*GET)
    assert strict.served == ["old", "new"]


async def test_a_server_that_wants_a_certificate_of_whoever_has_none_says_so(tmp_path, served, authority):
    with Strict(authority.server(wants_clients=True)) as strict:
        file = place(tmp_path, served, authority, server=strict.url)
        async with reached(file) as api:
            with pytest.raises(Away, match=rf"it wants a client certificate, and {file} has none"):
                await api.get(*GET)


async def test_a_certificate_from_a_plugin_is_shown_to_the_server(tmp_path, authority):
    crt, key = authority.issue("from-the-plugin")
    status = {"clientCertificateData": crt.read_text(), "clientKeyData": key.read_text(), "token": ""}
    script, version = tmp_path / "plugin", "client.authentication.k8s.io/v1"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps({'apiVersion': version, 'status': status})}\nEND\n")
    script.chmod(0o700)
    user = {"exec": {"apiVersion": version, "command": str(script)}}
    async with cluster(authority.server(wants_clients=True), anonymous=True) as served:
        data = base64.b64encode(authority.crt.read_bytes()).decode()
        file = kubeconfig(tmp_path / "kubeconfig", served, user=user, **{"certificate-authority-data": data})
        async with reached(file) as api:
            await api.get(*GET)


@pytest.mark.parametrize("wrong", ["no file", "no certificate", "another key"])
async def test_files_that_cannot_be_used_are_one_sentence_at_the_start(tmp_path, authority, wrong):
    crt, key = authority.issue("good")
    other = authority.issue("other")[1]
    broken = tmp_path / "broken"
    broken.write_text("this is no certificate")
    client = {"no file": (tmp_path / "none", key), "no certificate": (broken, key), "another key": (crt, other)}[wrong]
    async with cluster(authority.server()) as served:
        file = place(tmp_path, served, authority, client=client)
        with pytest.raises(ClusterError, match=rf"^no credentials for .*: {file} cannot be used: "):
            await KubeApi.connect(kubeconfig=str(file))


# Proxies


@pytest.fixture
async def tunnel():
    async with Tunnel() as made:
        yield made


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_a_proxy_from_the_environment_leads_to_the_api_server(tmp_path, authority, tunnel, monkeypatch, variable):
    monkeypatch.setenv(variable, tunnel.url.removeprefix("http://") if variable == "ALL_PROXY" else tunnel.url)
    async with cluster(authority.server()) as served:
        async with reached(place(tmp_path, served, authority)) as api:
            await api.get(*GET)
            assert await anext(api.watch(SERVICE, NAMESPACE, "1"))
        assert set(tunnel.asked) == {served.url.removeprefix("https://")}
        assert served.token not in "".join(tunnel.headers)


async def test_a_plain_address_goes_through_a_proxy_too(tmp_path, tunnel, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", tunnel.url)
    async with cluster() as served:
        async with reached(kubeconfig(tmp_path / "kubeconfig", served)) as api:
            await api.get(*GET)
        assert tunnel.asked == [served.url.removeprefix("http://")]


async def test_what_the_kubeconfig_says_comes_before_the_environment(tmp_path, authority, tunnel, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with cluster(authority.server()) as served:
        async with reached(place(tmp_path, served, authority, **{"proxy-url": tunnel.url})) as api:
            await api.get(*GET)
        assert tunnel.asked


async def test_s21_a_proxys_password_is_sent_to_it_and_shown_to_nobody(tmp_path, authority, tunnel, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", tunnel.url.replace("://", "://ann:top-secret@"))
    async with cluster(authority.server()) as served, reached(place(tmp_path, served, authority)) as api:
        await api.get(*GET)
        assert "Proxy-Authorization: Basic" in tunnel.headers[0]
        tunnel.refusal = "407"
    async with cluster(authority.server()) as served, reached(place(tmp_path, served, authority)) as api:
        with pytest.raises(
            Away, match=rf"the proxy {tunnel.url}/? answers 407; it is set by proxy-url in .* or by "
        ) as refused:
            await api.get(*GET)
        assert "top-secret" not in str(refused.value)


async def test_a_proxy_that_is_away_is_named(tmp_path, authority, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with cluster(authority.server()) as served, reached(place(tmp_path, served, authority)) as api:
        with pytest.raises(Away, match=r"the proxy http://127\.0\.0\.1:9/? does not answer; it is set by proxy-url in"):
            await api.get(*GET)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "ftp://x", "http://[", "http://"])
async def test_a_proxy_that_cannot_be_used_is_one_sentence_at_the_start(tmp_path, authority, proxy):
    async with cluster(authority.server()) as served:
        file = place(tmp_path, served, authority, **{"proxy-url": proxy})
        with pytest.raises(ClusterError, match=rf"^no credentials for sandbox: {file} cannot be used: .*"):
            await KubeApi.connect(kubeconfig=str(file))


DIRECT = [
    ("https://10.96.0.1:443", "10.0.0.0/8"),
    ("https://10.96.0.1:443", "localhost, 10.96.0.1"),
    ("https://10.96.0.1:6443", "10.96.0.1:6443"),
    ("https://[fd00::1]:443", "fd00::/8"),
    ("https://kubernetes.default.svc", ".svc"),
    ("https://kubernetes.default.svc", "svc"),
    ("https://k8s.example.com", "*.example.com"),
    ("https://example.com", "EXAMPLE.com"),
    ("https://example.com", "*"),
]
THROUGH = [
    ("https://11.96.0.1:443", "10.0.0.0/8"),
    ("https://10.96.0.1:443", "10.96.0.1:6443"),
    ("https://10.96.0.1:443", "fd00::/8"),
    ("https://notexample.com", "example.com"),
    ("https://example.com", ""),
    ("https://example.com", " , "),
]


@pytest.mark.parametrize(
    ("host", "no_proxy", "through"), [(*each, None) for each in DIRECT] + [(*each, "http://p:3128") for each in THROUGH]
)
def test_what_needs_no_proxy_is_read_as_kubectl_reads_it(host, no_proxy, through):
    """Networks as well: `10.0.0.0/8` is what people write for a cluster, and Python does not know it."""
    assert proxy_for(URL(host), {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": no_proxy}) == through


@given(st.dictionaries(st.sampled_from(["HTTPS_PROXY", "no_proxy", "NO_PROXY", "ALL_PROXY"]), st.text()))
def test_whatever_stands_in_the_environment_is_read(environment):
    found = proxy_for(URL("https://10.96.0.1:6443"), environment)
    assert found is None or "://" in found
