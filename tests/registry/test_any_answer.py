"""Whatever a registry sends, the client says what the image is, that there is none, or in a sentence what is wrong."""

import asyncio
import hashlib
import json

from asking import PLAIN, image
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from bot.registry import ImageNotFound, Registry, RegistryError, Resolved
from bot.release.image import is_digest, is_tag
from sandbox import registry as sandbox
from sandbox.registry import INDEX, MANIFEST

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["sha256:" + "0" * 64, "2026-01-02T03:04:05Z", "0001-01-01T00:00:00+23:59", 10**400, "v1", "t"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["digest", "platform", "os", "architecture"]) | st.text(max_size=4), inner)
    ),
    max_leaves=6,
)
DOCUMENT = st.dictionaries(
    st.sampled_from(["manifests", "config", "tags", "token", "access_token", "expires_in", "created"]), JSON, max_size=4
)
BODY = (
    DOCUMENT.map(lambda content: json.dumps(content).encode())
    | JSON.map(lambda content: json.dumps(content).encode())
    | st.binary(max_size=40)
)
# Nothing that a name server would be asked for: tests stay on this machine.
PLACES = st.sampled_from(
    [
        "",
        "/",
        "{here}/elsewhere",
        "{here}:1/",
        "//",
        "?",
        "http://[",
        "http://a..b/",
        "http://127.0.0.1:99999/",
        "ftp://x/",
    ]
) | st.text("[]:%@#?&=\\ \u00ff\t", max_size=6).map("/".__add__)
QUOTED = PLACES.map(lambda place: f'"{place}"') | PLACES
CHALLENGE = st.sampled_from(["Basic", "Bearer", "basic,bearer", "Negotiate"]) | st.text(max_size=8)
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=12)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from([INDEX, MANIFEST, f"{INDEX}; charset=utf-8", "text/html", ";", ""]) | LATIN,
        "Docker-Content-Digest": st.sampled_from(["{digest}", "sha256:" + "0" * 64, "sha512:", "sha256:"]) | LATIN,
        "Www-Authenticate": st.builds("{} realm={},service={}".format, CHALLENGE, QUOTED, LATIN) | LATIN,
        "Location": PLACES,
        "Link": st.builds('<{}>; rel="{}"'.format, PLACES, st.sampled_from(["next", "prev"])) | LATIN,
        "Retry-After": st.sampled_from(["0", "-1", "9" * 30, "Thu, 01 Jan 1970 00:00:00 GMT", "99 Foo"]) | LATIN,
        "Date": st.sampled_from(["Fri, 02 Jan 2026 03:04:05 GMT", "Fri, 02 Jan 9999 23:59:59 -9999"]) | LATIN,
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "br", "zstd", "identity", "x"]),
    },
)
# Not 500 to 504, which are asked for again with pauses: others have tests of their own.
STATUS = st.sampled_from([200] * 8 + [401] * 4 + [201, 204, 206, 301, 304, 307, 400, 403, 404, 405, 412, 429, 501, 599])
# What is different at one kind of request from an answer that is right.
CHANGE = st.tuples(st.none() | STATUS, HEADERS, st.none() | BODY)
CHANGES = st.dictionaries(st.sampled_from(["HEAD", "manifests", "blobs", "tags", "token"]), CHANGE, max_size=3)

IMAGES = sandbox.Registry({"mochi": ["green", "blue"]})
HERE = '"{here}/token"'


class Changed:
    """The sandbox's images, byte for byte but for what `changes` says; `changes` in bytes are all that is sent."""

    def __init__(self, changes):
        self._changes = changes

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.host = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path = head.decode("latin-1").split(" ")[:2]
            writer.write(self._changes if isinstance(self._changes, bytes) else self._answer(method, path))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, method, path):
        kinds = [kind for kind in ("manifests", "blobs", "tags") if f"/{kind}/" in path]
        kind = "HEAD" if method == "HEAD" else kinds[0] if kinds else "token"
        status, headers, body = self._changes.get(kind, (None, {}, None))
        right = self._right(kind, path.rpartition("/")[2])
        body = right.body if body is None else body
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        lines = [f"HTTP/1.1 {status or 200} x", f"Content-Length: {len(body)}", "Connection: close"]
        for name, value in {"Content-Type": right.media_type, **headers}.items():
            told = value.replace("{here}", f"http://{self.host}").replace("{digest}", digest)
            lines.append(f"{name}: {told}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + (b"" if method == "HEAD" else body)

    def _right(self, kind, last):
        if kind == "tags":
            return sandbox.Blob("application/json", b'{"tags": ["blue", "green"]}')
        if kind == "token":
            return sandbox.Blob("application/json", b'{"token": "t"}')
        content = {**IMAGES._manifests["mochi"], **IMAGES._blobs["mochi"]}
        return content.get(last, content[IMAGES.digest("mochi", "blue" if last == "blue" else "green")])


def outcome(changes):
    """What the client makes of them; anything that it raises beyond its two errors fails the test."""

    async def ask():
        async with Changed(changes) as server, Registry(None, {server.host: PLAIN}, within=2) as client:
            asked = image(server.host)
            digest = IMAGES.digest("mochi", "green")
            found = []
            for call in (client.resolve(asked), client.resolve(image(server.host, digest)), client.tags(asked)):
                try:
                    found.append(await call)
                except (ImageNotFound, RegistryError) as why:
                    found.append(str(why))
            return found

    return asyncio.run(ask())


def assert_sane(found):
    *resolved, tags = found
    for each in resolved:
        assert isinstance(each, Resolved | str)
        if isinstance(each, Resolved):
            assert all(is_digest(digest) for digest in each.digests)
    if isinstance(resolved[1], Resolved):
        assert resolved[1].digest == IMAGES.digest("mochi", "green")
    for sentence in (each for each in found if isinstance(each, str)):
        assert sentence.endswith((".", "?"))
        assert len(sentence) < 600
    assert isinstance(tags, str) or all(is_tag(tag) for tag in tags)


def test_unchanged_it_is_an_image():
    """Else the tests below would say nothing."""
    right = Resolved(IMAGES.digest("mochi", "green"), IMAGES.platforms("mochi", "green"))
    assert outcome({}) == [right, right, ["blue", "green"]]
    assert outcome({"HEAD": (401, {"Www-Authenticate": f"Bearer realm={HERE}"}, None)})[0] != right  # for ever 401


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHANGES)
@example(
    {
        "HEAD": (401, {"Www-Authenticate": f"Bearer realm={HERE}"}, None),
        "token": (None, {}, b'{"token": "t", "expires_in": 1%s}' % (b"0" * 400)),
    }
)
@example({"HEAD": (307, {"Location": f"http://{'a' * 64}.example.com/"}, None)})
@example({"manifests": (None, {}, b'{"manifests": [{"digest": {"a": 1}}]}'), "HEAD": (404, {}, None)})
@example({"blobs": (None, {}, b'{"created": "0001-01-01T00:00:00+23:59"}')})
def test_any_answer_is_an_image_or_one_of_two_sentences(changes):
    """S12: a registry is somebody else's machine, and what stands before it too."""
    found = outcome(changes)
    assert_sane(found)
    event(" ".join(type(each).__name__ for each in found))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60) | st.binary(max_size=60).map(b"HTTP/1.1 200 OK\r\n".__add__))
@example(b"")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
@example(b"HTTP/1.1 " + b"9" * 100 + b" \r\n\r\n")
@example(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
def test_bytes_that_are_no_http_are_one_of_two_sentences(sent):
    assert_sane(outcome(sent))
