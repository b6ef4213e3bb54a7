"""On the way to a registry: private certificates, proxies, pull secrets, rations."""

import asyncio
import base64
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web
from asking import LOGIN, PASSWORD, auth, image, refusal, write_config
from forwarding import Proxy
from yarl import URL

from bot.registry import RegistryError, RegistryHost, read_logins
from bot.registry.hosts import proxy_for
from bot.release.image import parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
AFAR = parse("registry.example.com/mochi:green")


def found(_=None):
    return web.Response(body=b"{}", headers={"Content-Type": MANIFEST})


# A private CA


async def test_a_certificate_of_one_s_own_is_trusted_where_its_file_is_named(odd, reach, server_tls, vouched):
    host = await odd(found, server_tls)
    assert await reach(host, like=vouched).resolve(image(host))


async def test_it_is_trusted_for_that_registry_and_for_no_other(odd, reach, server_tls, vouched):
    """A CA of one team must not be able to speak for another's registry."""
    host, other = await odd(found, server_tls), await odd(found, server_tls)
    client = reach(host, like=vouched)
    assert await client.resolve(image(host))
    assert "no certificate that is trusted here. If one of your own" in await refusal(client.resolve(image(other)))


async def test_it_is_trusted_for_what_the_registry_sends_us_on_to(odd, reach, server_tls, vouched):
    """Storage and token server stand beside the registry, behind the same CA."""

    def answer(request):
        if request.path == "/token":
            return web.json_response({"token": "t"})
        if "Authorization" in request.headers:
            return web.Response(status=307, headers={"Location": f"https://{storage}/"})
        challenge = f'Bearer realm="https://{request.host}/token"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    storage = await odd(found, server_tls)
    host = await odd(answer, server_tls)
    assert await reach(host, like=vouched).resolve(image(host))


async def test_a_file_that_is_gone_by_then_is_told_of(odd, reach, server_tls, tmp_path):
    host = await odd(found, server_tls)
    gone = RegistryHost(ca=tmp_path / "gone.pem")
    assert "gone.pem, which should say who vouches" in await refusal(reach(host, like=gone).resolve(image(host)))


# A proxy from the environment


@pytest.mark.parametrize("spelled", ["http://{}", "{}"])
async def test_https_goes_through_the_tunnel_of_the_proxy(odd, reach, server_tls, vouched, monkeypatch, spelled):
    target = await odd(found, server_tls)
    async with Proxy(target) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", spelled.format(proxy.address))
        assert await reach("registry.example.com", like=vouched).resolve(AFAR)
    assert proxy.asked == ["CONNECT registry.example.com:443"]


async def test_plain_http_goes_through_the_proxy_too(odd, reach, monkeypatch):
    target = await odd(found)
    async with Proxy(target) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        assert await reach("registry.example.com").resolve(AFAR)
    assert proxy.asked[0] == "HEAD http://registry.example.com/v2/mochi/manifests/green"


async def test_a_proxy_may_want_a_login_and_the_registry_does_not_see_it(odd, reach, server_tls, vouched, monkeypatch):
    seen = []

    def answer(request):
        seen.extend(request.headers)
        return found()

    target = await odd(answer, server_tls)
    login = "Basic " + base64.b64encode(b"ann:proxy-password").decode()
    async with Proxy(target, login) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ann:proxy-password@{proxy.address}")
        assert await reach("registry.example.com", like=vouched).resolve(AFAR)
        monkeypatch.setenv("HTTPS_PROXY", f"http://ann:wrong-password@{proxy.address}")
        sentence = await refusal(reach("registry.example.com", like=vouched).resolve(AFAR))
    assert "Proxy-Authorization" not in seen
    assert sentence == (
        "The proxy that HTTPS_PROXY names does not let us through to registry.example.com (it answered 407). "
        "Open it for that host, or list the host in NO_PROXY."
    )


async def test_a_proxy_that_is_away_is_told_apart_from_a_registry_that_is(reach, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://ann:{PASSWORD}@127.0.0.1:{port}")
    sentence = await refusal(reach().resolve(AFAR))
    assert sentence.startswith("The proxy on the way to registry.example.com cannot be reached.")


@pytest.mark.parametrize("nonsense", ["socks5://127.0.0.1:1", "http://", "http://[", "http://127.0.0.1:99999"])
async def test_a_proxy_that_is_none_is_told_of(reach, monkeypatch, nonsense):
    monkeypatch.setenv("HTTPS_PROXY", nonsense)
    assert "no address that we understand" in await refusal(reach().resolve(AFAR))


async def test_logins_of_a_netrc_are_not_sent(odd, reach, monkeypatch, tmp_path):
    """S21: only the file that DOCKER_CONFIG names says who is told which password."""
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login ann password {PASSWORD}\n", "utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen = []

    def answer(request):
        seen.append(request.headers.get("Authorization"))
        return found()

    host = await odd(answer)
    assert await reach(host).resolve(image(host))
    assert set(seen) == {None}


@pytest.mark.parametrize(
    ("no_proxy", "address", "direct"),
    [
        ("", "https://registry.example.com/", False),
        ("registry.example.com", "https://registry.example.com/", True),
        ("registry.example.com", "https://registry.example.com:5000/", True),
        ("registry.example.com:5000", "https://registry.example.com:5000/", True),
        ("registry.example.com:5000", "https://registry.example.com/", False),
        (".example.com, other.example.org", "https://registry.example.com/", True),
        ("example.org", "https://registry.example.com/", False),
        ("*", "https://registry.example.com/", True),
        ("", "https://localhost:5000/", True),
        ("", "https://127.0.0.1:5000/", True),
        ("", "https://[::1]:5000/", True),
        ("", "http://registry.example.com/", True),  # HTTP_PROXY is not set
    ],
)
def test_no_proxy_says_what_is_reached_directly(monkeypatch, no_proxy, address, direct):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(URL(address)) == (None if direct else URL("http://proxy.example.com:3128"))


# Pull secrets


def test_a_mounted_pull_secret_is_read_as_docker_s_own_file_is(tmp_path):
    """A Secret of type kubernetes.io/dockerconfigjson has one key, and its file is called so."""
    write_config(tmp_path, {"registry.example.com": auth(LOGIN)}, ".dockerconfigjson")
    login = read_logins(tmp_path)["registry.example.com"]
    assert (login.user, login.password) == LOGIN


def test_docker_s_own_file_goes_before_the_pull_secret(tmp_path):
    write_config(tmp_path, {"registry.example.com": auth(("secret", "x"))}, ".dockerconfigjson")
    write_config(tmp_path, {"registry.example.com": auth(("docker", "x"))})
    assert read_logins(tmp_path)["registry.example.com"].user == "docker"


async def test_who_is_not_let_in_is_told_the_file_that_is_there(serving, reach, tmp_path):
    registry = await serving(credentials=LOGIN)
    write_config(tmp_path, {registry.host: auth(("ann", "wrong"))}, ".dockerconfigjson")
    sentence = await refusal(reach(registry).resolve(image(registry)))
    assert sentence.endswith("check its login in the .dockerconfigjson that DOCKER_CONFIG names.")


@pytest.mark.parametrize("name", ["config.json", ".dockerconfigjson"])
def test_a_broken_file_is_told_by_its_name_and_without_its_content(tmp_path, name):
    (tmp_path / name).write_text(PASSWORD, "utf-8")
    with pytest.raises(RegistryError) as raised:
        read_logins(tmp_path)
    assert f"{name} cannot be read" in str(raised.value)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize(
    "alias", ["docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"]
)
def test_docker_hub_has_one_login_by_whichever_name(tmp_path, alias):
    write_config(tmp_path, {alias: auth(LOGIN)})
    assert [*read_logins(tmp_path)] == ["docker.io"] == [parse("index.docker.io/mochi").registry]


# Rations


def rationing(*answers, path="/manifests/"):
    """Answers 429 with each of these headers in turn, and then the image; keeps when it was asked."""
    left, at = [*answers], []

    def answer(request):
        at.append(asyncio.get_running_loop().time())
        if path in request.path and left:
            return web.Response(status=429, headers=left.pop(0))
        return found()

    return answer, at


async def test_a_short_pause_is_waited_for_and_asked_once_more(odd, reach):
    answer, at = rationing({"Retry-After": "1"})
    host = await odd(answer)
    assert await reach(host).resolve(image(host))
    assert at[1] - at[0] >= 1


async def test_a_registry_that_rations_again_is_not_asked_a_third_time(odd, reach):
    answer, at = rationing(*[{"Retry-After": "0"}] * 5)
    host = await odd(answer)
    assert (await refusal(reach(host).resolve(image(host)))).endswith("log in there, or try again in 1 s.")
    assert len(at) == 2


MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "when"),
    [
        ({}, "try again later"),
        ({"Retry-After": "61"}, "try again in 61 s"),
        ({"Retry-After": "100"}, "try again in 2 min"),
        ({"Retry-After": "3601"}, "try again in 61 min"),
        ({"Retry-After": "21600"}, "try again in 6 h"),
        ({"Retry-After": "99999999"}, "try again in 27778 h"),
        ({"Retry-After": format_datetime(MADE + timedelta(minutes=5), usegmt=True)}, "try again in 5 min"),
        ({"Retry-After": str(int((MADE + timedelta(minutes=5)).timestamp()))}, "try again in 5 min"),
        ({"Retry-After": "soon"}, "try again later"),
        ({"Retry-After": "-5"}, "try again later"),
        ({"Retry-After": "1e9"}, "try again later"),
        ({"Retry-After": "9" * 40}, "try again later"),
        ({"Retry-After": "Fri, 99 Foo 2026 99:99:99 GMT"}, "try again later"),
        ({"Retry-After": "Fri, 02 Jan 2026 03:09:05 GMT", "Date": "today"}, "try again later"),
    ],
)
async def test_a_long_ration_is_told_with_its_end(odd, reach, headers, when):
    """By the registry's own clock: ours may be wrong, and a sentence with a wrong hour is worse than none."""
    answer, at = rationing({"Date": format_datetime(MADE, usegmt=True), **headers})
    host = await odd(answer)
    sentence = await refusal(reach(host).resolve(image(host)))
    assert sentence == f"{host} rations requests and ours are used up: log in there, or {when}."
    assert len(at) == 1


async def test_a_token_server_may_ration_too(odd, reach):
    def answer(request):
        if request.path == "/token":
            return web.Response(status=429, headers={"Retry-After": "3600"})
        challenge = f'Bearer realm="http://{request.host}/token"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    host = await odd(answer)
    assert "try again in 60 min" in await refusal(reach(host).resolve(image(host)))


# Tokens


@pytest.mark.parametrize("lives", ["null", '"60"', "1e400", "NaN", "-Infinity", "-1", "true", "9" * 400, "[]"])
async def test_whatever_a_token_says_of_its_life_it_is_used_and_renewed(odd, reach, lives):
    def answer(request):
        if request.path == "/token":
            return web.Response(text=f'{{"token": "t", "expires_in": {lives}}}')
        if request.headers.get("Authorization") == "Bearer t":
            return found()
        challenge = f'Bearer realm="http://{request.host}/token"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    host = await odd(answer)
    client = reach(host)
    for _ in range(2):
        assert await client.resolve(image(host))


async def test_a_token_without_a_life_is_used_for_a_minute_as_the_standard_says(odd, reach):
    asked = []

    def answer(request):
        asked.append(request.path)
        if request.path == "/token":
            return web.json_response({"token": "t"})
        if "Authorization" in request.headers:
            return found()
        challenge = f'Bearer realm="http://{request.host}/token"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    host = await odd(answer)
    client = reach(host)
    for _ in range(3):
        await client.resolve(image(host))
    assert asked.count("/token") == 1


async def test_a_registry_that_never_believes_its_own_tokens_is_not_asked_for_ever(odd, reach):
    asked = []

    def answer(request):
        asked.append(request.path)
        if request.path == "/token":
            return web.json_response({"token": "t"})
        challenge = f'Bearer realm="http://{request.host}/token",error="invalid_token"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    host = await odd(answer)
    assert "does not let us read" in await refusal(reach(host).resolve(image(host)))
    assert asked == ["/v2/mochi/manifests/green", "/token", "/v2/mochi/manifests/green"]


@pytest.mark.parametrize("status", [405, 501])
async def test_a_registry_that_knows_no_head_is_asked_for_the_whole(odd, reach, status):
    host = await odd(lambda request: web.Response(status=status) if request.method == "HEAD" else found())
    assert await reach(host).resolve(image(host))


async def test_a_host_that_no_name_server_can_look_up_is_told_of(odd, reach):
    """Python's resolver raises UnicodeError there, which is no OSError."""
    far = f"http://{'a' * 64}.example.com/"
    host = await odd(lambda _: web.Response(status=307, headers={"Location": far}))
    assert "no registry should" in await refusal(reach(host).resolve(image(host)))
