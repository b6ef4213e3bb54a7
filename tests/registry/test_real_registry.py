"""The client against Debian's docker-registry, which is the one that Docker and most others are made of.

What is pushed are the sandbox's images: so the real registry says of each that its digest is right.
"""

import contextlib
import json

import aiohttp
import pytest
from asking import LOGIN, PLAIN, auth, image, refusal
from real import HTPASSWD, Pusher, TokenServer, running

from bot.registry import ImageNotFound, RegistryHost, Resolved
from sandbox import registry as sandbox

pytestmark = pytest.mark.registry

BASIC = {"Authorization": f"Basic {auth(LOGIN)['auth']}"}
MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_V2 = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def images():
    return sandbox.Registry()


def htpasswd(folder):
    file = folder / "htpasswd"
    file.write_text(HTPASSWD, "utf-8")
    return {"auth": {"htpasswd": {"realm": "the tests", "path": str(file)}}}


async def head(host, reference, accept=sandbox.INDEX):
    async with (
        aiohttp.ClientSession() as http,
        http.head(f"http://{host}/v2/mochi/manifests/{reference}", headers={"Accept": accept}) as answer,
    ):
        return answer.status, answer.headers.get("Docker-Content-Digest"), answer.headers.get("Content-Type")


async def test_a_tag_means_its_index_and_the_platforms_in_it(tmp_path, reach, images):
    async with running(tmp_path / "registry") as host:
        await Pusher(host).push(images)
        digest = images.digest("mochi", "green")
        assert await head(host, "green") == (200, digest, sandbox.INDEX)
        client = reach(host)
        resolved = await client.resolve(image(host))
        assert (resolved.digest, resolved.platforms) == (digest, images.platforms("mochi", "green"))
        assert await client.resolve(image(host, digest)) == resolved
        platform = min(resolved.platforms)
        assert (await client.resolve(image(host, platform))).digests == {platform}


async def test_a_tag_that_moves_is_seen_and_its_digest_stays(tmp_path, reach, images):
    """S13: what was resolved once is what is deployed."""
    async with running(tmp_path / "registry") as host:
        await Pusher(host).push(images)
        client = reach(host)
        before = await client.resolve(image(host))
        images.push("mochi", "green")
        await Pusher(host).push(images)
        after = await client.resolve(image(host))
        assert after.digest == images.digest("mochi", "green") != before.digest
        assert await client.resolve(image(host, before.digest)) == before


async def test_what_docker_itself_pushes_is_read_as_well(tmp_path, reach, images):
    """Its manifests and lists have media types of their own."""
    async with running(tmp_path / "registry") as host:
        pusher = Pusher(host)
        await pusher.push(images)
        some = next(each for each in images._manifests["mochi"].values() if each.media_type == sandbox.MANIFEST)
        manifest = {**json.loads(some.body), "mediaType": MANIFEST_V2}
        manifest["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
        one = sandbox.Blob(MANIFEST_V2, json.dumps(manifest).encode())
        entry = one.descriptor(platform={"architecture": "amd64", "os": "linux"})
        listed = {"schemaVersion": 2, "mediaType": MANIFEST_LIST, "manifests": [entry]}
        several = sandbox.Blob(MANIFEST_LIST, json.dumps(listed).encode())
        async with aiohttp.ClientSession() as http:
            await pusher.put(http, "mochi", "one", one)
            await pusher.put(http, "mochi", "several", several)
        client = reach(host)
        assert (await client.resolve(image(host, "one"))).digests == {one.digest}
        assert (await client.resolve(image(host, "several"))).digests == {one.digest, several.digest}


async def test_what_is_not_there_is_said_to_be_not_there(tmp_path, reach, images):
    async with running(tmp_path / "registry") as host:
        await Pusher(host).push(images)
        client = reach(host)
        for wrong in (image(host, "gren"), image(host, repository="other"), image(host, "sha256:" + "0" * 64)):
            assert f"`{wrong}` is not in {host}." in await refusal(client.resolve(wrong), ImageNotFound)
        assert "is not in" in await refusal(client.tags(image(host, repository="other")), ImageNotFound)


async def test_tags_are_newest_first_by_the_dates_of_their_configs(tmp_path, reach):
    images = sandbox.Registry({"team/mochi": ["v9", "v10", "a", "z", "1f3c"]})
    async with running(tmp_path / "registry") as host:
        await Pusher(host).push(images, "team/mochi")
        tags = await reach(host).tags(image(host, repository="team/mochi"))
    assert tags == ["1f3c", "z", "a", "v10", "v9"]


async def test_a_password_file_of_bcrypt_opens_it_to_its_login_alone(tmp_path, reach, images):
    async with running(tmp_path / "registry", **htpasswd(tmp_path)) as host:
        await Pusher(host, headers=BASIC).push(images)
        assert "add a login" in await refusal(reach(host).resolve(image(host)))
        assert (await reach(host, login=LOGIN).resolve(image(host))).digest == images.digest("mochi", "green")
        assert len(await reach(host).tags(image(host))) == 5
        assert "check its login" in await refusal(reach(host, login=("ann", "wrong")).resolve(image(host)))


async def test_signed_tokens_open_it_each_for_one_repository(tmp_path, reach):
    images = sandbox.Registry({"mochi": ["green"], "team/other": ["blue"]})
    async with TokenServer(tmp_path / "tokens") as tokens, running(tmp_path / "registry", **tokens.config) as host:
        for repository in ("mochi", "team/other"):
            push = tokens.sign(f"repository:{repository}:pull,push")
            await Pusher(host, headers={"Authorization": f"Bearer {push}"}).push(images, repository)
        assert "add a login" in await refusal(reach(host).resolve(image(host)))
        client = reach(host, login=LOGIN)
        tokens.asked.clear()
        assert (await client.resolve(image(host))).platforms == images.platforms("mochi", "green")
        assert await client.tags(image(host)) == ["green"]
        other = image(host, "blue", "team/other")
        assert (await client.resolve(other)).digest == images.digest("team/other", "blue")
        assert tokens.asked == ["repository:mochi:pull", "repository:team/other:pull"]


async def test_a_token_that_has_expired_is_replaced_before_anybody_sees_it(tmp_path, reach, images):
    async with TokenServer(tmp_path / "tokens") as tokens, running(tmp_path / "registry", **tokens.config) as host:
        push = tokens.sign("repository:mochi:pull,push")
        await Pusher(host, headers={"Authorization": f"Bearer {push}"}).push(images)
        client = reach(host, login=LOGIN)
        tokens.lives = 1  # shorter than the time that we keep back for the way, so none is used twice
        for _ in range(2):
            assert await client.resolve(image(host, min(images.platforms("mochi", "green"))))
        assert len(tokens.asked) == 2


async def test_a_token_of_somebody_else_s_key_leads_nowhere(tmp_path, reach, images):
    """The registry says 401 to it for ever, and neither side may be asked for ever."""
    async with TokenServer(tmp_path / "tokens") as tokens, TokenServer(tmp_path / "others") as others:
        told = {**others.config["auth"]["token"], "realm": tokens.realm}
        async with running(tmp_path / "registry", auth={"token": told}) as host:
            sentence = await refusal(reach(host, login=LOGIN).resolve(image(host)))
    assert "check its login" in sentence
    assert tokens.asked == ["repository:mochi:pull"]


async def test_a_certificate_of_one_s_own_is_enough_where_its_file_is_named(
    tmp_path, reach, images, certificate, server_tls, vouched
):
    tls = {"certificate": str(certificate[0]), "key": str(certificate[1])}
    async with running(tmp_path / "registry", http={"tls": tls}) as host:
        await Pusher(host, scheme="https", tls=False).push(images)
        resolved = await reach(host, like=vouched).resolve(image(host))
        assert resolved.platforms == images.platforms("mochi", "green")
        assert "no certificate that is trusted" in await refusal(reach(hosts={}).resolve(image(host)))


async def test_a_pull_through_cache_is_a_mirror_and_outlives_the_registry_behind_it(tmp_path, reach, images):
    """The mirror that most people have. What it says of a tag is told apart from what the registry says."""
    digest, platforms = images.digest("mochi", "green"), images.platforms("mochi", "green")
    async with contextlib.AsyncExitStack() as longer:
        async with running(tmp_path / "home") as home:
            await Pusher(home).push(images)
            mirror = await longer.enter_async_context(
                running(tmp_path / "mirror", proxy={"remoteurl": f"http://{home}"})
            )
            client = reach(hosts={home: RegistryHost(insecure=True, mirrors=(mirror,)), mirror: PLAIN})
            assert await client.resolve(image(home)) == Resolved(digest, platforms)
            assert await client.resolve(image(home, digest)) == Resolved(digest, platforms)
            assert (await head(mirror, "green"))[:2] == (200, digest)
        assert await client.resolve(image(home, digest)) == Resolved(digest, platforms)
        assert await client.resolve(image(home)) == Resolved(digest, platforms, mirror)
        assert "cannot be reached" in await refusal(client.resolve(image(home, "blue")))
