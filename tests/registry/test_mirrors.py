"""Mirrors: a digest is had from the nearest copy; what a tag means is not a copy's to say while it need not be."""

import hashlib

import pytest
from aiohttp import web
from asking import LOGIN, PLAIN, auth, image, paths, refusal, write_config
from structlog.testing import capture_logs

from bot.registry import ImageNotFound, RegistryHost
from sandbox.registry import MANIFEST, Fault


@pytest.fixture
async def pair(serving, reach):
    """A registry, a mirror with the same images, and a client that knows both."""
    home, mirror = await serving(), await serving()
    return home, mirror, reach(hosts=mirrored(home, mirror))


def mirrored(home, *mirrors):
    hosts = tuple(each if isinstance(each, str) else each.host for each in mirrors)
    return {home.host: RegistryHost(insecure=True, mirrors=hosts), **dict.fromkeys(hosts, PLAIN)}


def ns(home):
    return f"?ns={home.host}"


async def test_a_digest_is_had_from_the_mirror_alone(pair):
    """That is what a mirror is for: the registry behind it is spared, or cannot be reached at all."""
    home, mirror, client = pair
    digest = home.digest("mochi", "green")
    resolved = await client.resolve(image(home, digest))
    assert (resolved.digest, resolved.platforms) == (digest, home.platforms("mochi", "green"))
    assert resolved.mirror == ""  # a digest means itself, whoever is asked
    assert paths(mirror) == [f"/v2/mochi/manifests/{digest}{ns(home)}"] * 2
    assert paths(home) == []


async def test_a_tag_is_asked_of_the_registry_although_a_mirror_knows_it(pair):
    """S13: a mirror that is behind would have yesterday's `green` deployed, and nobody would see it."""
    home, mirror, client = pair
    today = home.push("mochi", "green")
    mirror.push("mochi", "elsewhere")
    resolved = await client.resolve(image(home))
    assert (resolved.digest, resolved.mirror) == (today, "")
    assert resolved.platforms == home.platforms("mochi", "green")
    assert paths(home, "/manifests/green") == ["/v2/mochi/manifests/green"]


async def test_a_tag_that_the_registry_does_not_have_is_not_looked_for_in_old_copies(pair):
    """Somebody deleted it there, perhaps for a good reason."""
    home, mirror, client = pair
    mirror.push("mochi", "withdrawn")
    wrong = image(home, "withdrawn")
    assert await refusal(client.resolve(wrong), ImageNotFound) == f"`{wrong}` is not in {home.host}."
    assert paths(mirror) == []


@pytest.mark.parametrize("status", [401, 403, 429, 503])
async def test_a_mirror_says_what_a_tag_means_when_the_registry_does_not_and_that_is_told(pair, status):
    home, mirror, client = pair
    home.faults = [Fault(status=status)]
    resolved = await client.resolve(image(home))
    assert (resolved.digest, resolved.mirror) == (mirror.digest("mochi", "green"), mirror.host)
    assert resolved.platforms == mirror.platforms("mochi", "green")


async def test_a_silent_registry_leaves_its_mirror_time_to_answer(serving, reach):
    home, mirror = await serving(), await serving()
    home.faults = [Fault(silent=True)]
    resolved = await reach(hosts=mirrored(home, mirror), within=4).resolve(image(home))
    assert resolved.mirror == mirror.host


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404),
        Fault(status=403),
        Fault(status=500),
        Fault(tampered=True),
        Fault(redirect="127.0.0.1:1"),
        Fault(silent=True),
    ],
)
async def test_a_mirror_that_has_it_not_or_lies_is_passed_over(serving, reach, fault):
    """A digest is believed by its bytes alone, so the worst that a mirror can do is to be of no use."""
    home, mirror = await serving(), await serving()
    mirror.faults = [fault]
    digest = home.digest("mochi", "green")
    resolved = await reach(hosts=mirrored(home, mirror), within=6).resolve(image(home, digest))
    assert resolved.digests == {digest, *home.platforms("mochi", "green")}


OTHER = "sha256:" + hashlib.sha256(b"{}").hexdigest()


@pytest.mark.parametrize("says", ["what it was asked for", "what it sends", "nothing"])
async def test_what_a_mirror_announces_is_not_taken_for_what_it_sends(serving, odd, reach, says):
    """A HEAD would cost it nothing to answer with the digest that it was asked for."""
    home = await serving()
    digest = home.digest("mochi", "green")
    announced = {"what it was asked for": digest, "what it sends": OTHER}.get(says)
    lie = {} if announced is None else {"Docker-Content-Digest": announced}
    liar = await odd(lambda _: web.Response(body=b"{}", headers={"Content-Type": MANIFEST, **lie}))
    resolved = await reach(hosts=mirrored(home, liar)).resolve(image(home, digest))
    assert resolved.platforms == home.platforms("mochi", "green")


async def test_mirrors_are_asked_in_their_order(serving, reach):
    home, near, far = await serving(), await serving(), await serving()
    near.faults = [Fault(status=404)]
    digest = home.digest("mochi", "green")
    await reach(hosts=mirrored(home, near, far)).resolve(image(home, digest))
    assert [len(paths(each)) for each in (near, far, home)] == [2, 2, 0]


async def test_a_mirror_that_did_not_answer_is_left_alone_for_a_while(pair):
    """Else each of the 30 looks at a list of tags would wait for it."""
    home, mirror, client = pair
    mirror.faults = [Fault(status=403)]
    digest = home.digest("mochi", "green")
    for _ in range(3):
        await client.resolve(image(home, digest))
    assert len(paths(mirror)) == 1


async def test_when_nobody_answers_the_registry_s_own_reason_is_told(pair):
    home, mirror, client = pair
    home.faults, mirror.faults = [Fault(status=403)], [Fault(status=503)]
    sentence = await refusal(client.resolve(image(home)))
    assert sentence.startswith(f"{home.host} does not let us read `{home.host}/mochi`.")
    assert sentence.endswith("Its mirrors did not help either.")


async def test_tags_are_the_registry_s_and_only_in_need_a_mirror_s(pair):
    home, mirror, client = pair
    home.push("mochi", "newest")
    assert (await client.tags(image(home)))[0] == "newest"
    assert paths(mirror, "/tags/") == []
    home.faults = [Fault(status=503)]
    assert await client.tags(image(home)) == ["flaky", "slow", "crash", "green", "blue"]


async def test_each_host_is_told_its_own_login_and_no_other(serving, reach, tmp_path):
    """S21: what opens the registry must not travel to whoever runs a copy of it."""
    home = await serving(credentials=LOGIN)
    mirror = await serving(credentials=("mona", "mirror-password"))
    client = reach(hosts=mirrored(home, mirror))
    write_config(tmp_path, {home.host: auth(LOGIN), mirror.host: auth(("mona", "mirror-password"))})
    assert await client.resolve(image(home))
    said = {each.authorization for each in mirror.requests} - {None}
    assert said == {f"Basic {auth(('mona', 'mirror-password'))['auth']}"}
    assert {each.authorization for each in home.requests} - {None} == {f"Basic {auth(LOGIN)['auth']}"}


async def test_the_log_says_why_a_mirror_was_passed_over(serving, reach):
    home, closed, empty = await serving(), await serving(credentials=LOGIN), await serving({"mochi": []})
    digest = min(home.platforms("mochi", "green"))
    with capture_logs() as logged:
        await reach(hosts=mirrored(home, closed, empty)).resolve(image(home, digest))
    assert {each["event"] for each in logged} == {"another host is asked"}
    assert [(each["host"], each["log_level"]) for each in logged] == [(closed.host, "warning"), (empty.host, "info")]
    assert f"add a login for {closed.host}" in logged[0]["why"]
