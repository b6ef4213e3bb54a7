"""The sandbox's registry is a real one: what it serves is what its digests say, and it answers as the standard asks."""

import asyncio
import base64
import hashlib
import json

import aiohttp
import pytest

from sandbox.registry import CONFIG, INDEX, MANIFEST, Fault, Registry

EVERYTHING = {"Accept": f"{INDEX}, {MANIFEST}"}


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@pytest.fixture
async def serving():
    """Start registries, and stop them when the test is over."""
    started = []

    async def start(*args, **kwargs):
        registry = Registry(*args, **kwargs)
        started.append(registry)
        await registry.start()
        return registry

    yield start
    for registry in started:
        await registry.stop()


def url(registry, path):
    return f"http://{registry.host}{path}"


def sha256(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


def test_digests_are_the_same_in_every_run():
    """Cluster and demo know them before the registry listens; a change here changes every recorded example."""
    assert Registry().digests == Registry().digests
    assert (
        Registry().digest("mochi", "green") == "sha256:b24188792babd239025ab6df103bdb266bdb8ac5d04e8bdd1a52eb8f9d8bbad4"
    )


async def test_everything_from_index_to_layer_is_named_by_the_sha256_of_its_bytes(serving, http):
    registry = await serving()

    async def fetch(path):
        async with http.get(url(registry, path), headers=EVERYTHING) as answer:
            assert answer.status == 200
            body = await answer.read()
            assert answer.headers["Docker-Content-Digest"] == sha256(body)
            return answer.content_type, body

    kind, body = await fetch("/v2/mochi/manifests/green")
    assert kind == INDEX
    assert sha256(body) == registry.digest("mochi", "green")
    listed = json.loads(body)["manifests"]
    assert [each["platform"]["architecture"] for each in listed] == ["amd64", "arm64", "unknown"]
    for each in listed:
        kind, body = await fetch(f"/v2/mochi/manifests/{each['digest']}")
        assert (kind, sha256(body), len(body)) == (each["mediaType"], each["digest"], each["size"])
        manifest = json.loads(body)
        for blob in (manifest["config"], *manifest["layers"]):
            kind, body = await fetch(f"/v2/mochi/blobs/{blob['digest']}")
            assert (kind, sha256(body), len(body)) == (blob["mediaType"], blob["digest"], blob["size"])
        assert manifest["config"]["mediaType"] == CONFIG


async def test_each_tag_is_newer_than_the_one_before(serving, http):
    registry = await serving()

    async def created(tag):
        digest = next(iter(registry.platforms("mochi", tag)))
        async with http.get(url(registry, f"/v2/mochi/manifests/{digest}"), headers=EVERYTHING) as answer:
            config = (await answer.json(content_type=None))["config"]["digest"]
        async with http.get(url(registry, f"/v2/mochi/blobs/{config}")) as answer:
            return (await answer.json(content_type=None))["created"]

    dates = [await created(tag) for tag in ("blue", "green", "crash", "slow", "flaky")]
    assert dates == sorted(set(dates))


def test_each_digest_tells_its_tag():
    registry = Registry()
    assert registry.digests[registry.digest("mochi", "crash")] == "crash"
    assert {registry.digests[each] for each in registry.platforms("mochi", "crash")} == {"crash"}
    assert len(registry.platforms("mochi", "crash")) == 2


def test_a_tag_can_move():
    registry = Registry()
    before = registry.digest("mochi", "green")
    assert registry.push("mochi", "green") == registry.digest("mochi", "green") != before
    assert registry.digests[before] == "green"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/mochi/manifests/gren", "MANIFEST_UNKNOWN"),
        ("/v2/other/manifests/green", "MANIFEST_UNKNOWN"),
        ("/v2/other/tags/list", "NAME_UNKNOWN"),
        ("/v2/mochi/blobs/sha256:0", "BLOB_UNKNOWN"),
    ],
)
async def test_what_is_not_there_is_not_found(serving, http, path, code):
    registry = await serving()
    async with http.get(url(registry, path)) as answer:
        assert answer.status == 404
        assert (await answer.json())["errors"][0]["code"] == code


async def test_an_index_is_hidden_from_clients_that_do_not_accept_one(serving, http):
    """As real registries do, and the reason why a client must send its list of types."""
    registry = await serving()
    async with http.get(url(registry, "/v2/mochi/manifests/green"), headers={"Accept": MANIFEST}) as answer:
        assert answer.status == 404


async def test_head_answers_the_headers_alone(serving, http):
    registry = await serving()
    async with http.head(url(registry, "/v2/mochi/manifests/green"), headers=EVERYTHING) as answer:
        assert answer.headers["Docker-Content-Digest"] == registry.digest("mochi", "green")
        assert int(answer.headers["Content-Length"]) > 0
        assert await answer.read() == b""


async def test_tags_come_in_pages_that_link_to_the_next(serving, http):
    registry = await serving(page=2)
    pages, path = [], "/v2/mochi/tags/list?n=100"
    while path:
        async with http.get(url(registry, path)) as answer:
            pages.append((await answer.json())["tags"])
            path = str(answer.links["next"]["url"].relative()) if "next" in answer.links else None
    assert pages == [["blue", "crash"], ["flaky", "green"], ["slow"]]
    async with http.get(url(registry, "/v2/mochi/tags/list?n=x")) as answer:
        assert answer.status == 400


async def test_basic_credentials_are_asked_for(serving, http):
    registry = await serving(credentials=("ann", "secret"))
    async with http.get(url(registry, "/v2/")) as answer:
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="sandbox"')
    for password, status in ((b"secret", 200), (b"wrong", 401)):
        login = {"Authorization": "Basic " + base64.b64encode(b"ann:" + password).decode()}
        async with http.get(url(registry, "/v2/"), headers=login) as answer:
            assert answer.status == status


async def test_a_token_opens_only_the_repository_it_was_given_for(serving, http):
    registry = await serving({"mochi": ["blue"], "team/other": ["blue"]}, bearer=True)
    async with http.get(url(registry, "/v2/mochi/manifests/blue")) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == (
            f'Bearer realm="http://{registry.host}/token",service="sandbox",scope="repository:mochi:pull"'
        )
    async with http.get(url(registry, "/token?service=sandbox&scope=repository:mochi:pull")) as answer:
        token = (await answer.json())["token"]
    for name, status in (("mochi", 200), ("team/other", 401)):
        there = url(registry, f"/v2/{name}/manifests/blue")
        async with http.get(there, headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == status
    registry.revoke_tokens()
    there = url(registry, "/v2/mochi/manifests/blue")
    async with http.get(there, headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 401


async def test_tokens_are_kept_from_those_without_the_password(serving, http):
    registry = await serving(credentials=("ann", "secret"), bearer=True)
    async with http.get(url(registry, "/token?scope=repository:mochi:pull")) as answer:
        assert answer.status == 401


async def test_faults_apply_to_the_requests_they_match(serving, http):
    registry = await serving()
    registry.faults = [
        Fault("/tags/", status=503),
        Fault("/blobs/", redirect="example.com"),
        Fault("green", tampered=True),
        Fault("blue", delay=0.01),
    ]
    async with http.get(url(registry, "/v2/mochi/tags/list")) as answer:
        assert answer.status == 503
    async with http.get(url(registry, "/v2/mochi/blobs/x"), allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (307, "http://example.com/v2/mochi/blobs/x")
    async with http.get(url(registry, "/v2/mochi/manifests/green"), headers=EVERYTHING) as answer:
        assert sha256(await answer.read()) != answer.headers["Docker-Content-Digest"]
    async with http.get(url(registry, "/v2/mochi/manifests/blue"), headers=EVERYTHING) as answer:
        assert answer.status == 200
    assert registry.requests[0].path == "/v2/mochi/tags/list"


async def test_a_silent_registry_can_still_be_stopped(http):
    registry = Registry()
    await registry.start()
    registry.faults = [Fault(silent=True)]
    asked = asyncio.create_task(http.get(url(registry, "/v2/")))
    async with asyncio.timeout(5):
        await registry.asked()
        assert not asked.done()
        await registry.stop()
        answer = await asked
    assert answer.status == 503
    answer.close()
