"""The registry client against real registries on loopback: the sandbox's, and some that nobody should run."""

import asyncio
import base64
import socket
import traceback

import pytest
from aiohttp import web
from asking import LOGIN, PASSWORD, PLAIN, image, paths, refusal, write_config
from structlog.testing import capture_logs

from bot.registry import ImageNotFound, Registry, RegistryError, read_logins
from bot.registry.access import Access, Turn
from bot.release.errors import Refused
from bot.release.image import parse
from sandbox import registry as sandbox
from sandbox.registry import Fault

# What a reference means


async def test_a_tag_means_the_digest_of_its_index_and_those_of_its_platforms(serving, reach):
    """A kubelet may report either as the image of a pod, so approval must know both."""
    registry = await serving()
    resolved = await reach(registry).resolve(image(registry))
    assert resolved.digest == registry.digest("mochi", "green")
    assert resolved.platforms == registry.platforms("mochi", "green")
    assert len(resolved.platforms) == 2  # amd64 and arm64: the provenance statement is no platform
    assert resolved.digests == {resolved.digest, *resolved.platforms}


async def test_a_digest_means_itself(serving, reach):
    registry = await serving()
    digest = registry.digest("mochi", "green")
    assert (await reach(registry).resolve(image(registry, digest))).digest == digest


async def test_the_manifest_of_one_platform_has_no_other_platforms(serving, reach):
    registry = await serving()
    digest = min(registry.platforms("mochi", "green"))
    resolved = await reach(registry).resolve(image(registry, digest))
    assert (resolved.digest, resolved.platforms) == (digest, frozenset())


async def test_a_moved_tag_is_seen_at_the_next_look(serving, reach):
    """Nothing about what a tag means may come from a cache: a person approves what is deployed."""
    registry = await serving()
    client = reach(registry)
    before = await client.resolve(image(registry))
    registry.push("mochi", "green")
    after = await client.resolve(image(registry))
    assert after.digest == registry.digest("mochi", "green") != before.digest


async def test_a_registry_that_announces_no_digests_has_them_computed(serving, reach):
    registry = await serving(announces_digests=False)
    resolved = await reach(registry).resolve(image(registry))
    assert resolved.digest == registry.digest("mochi", "green")
    assert resolved.platforms == registry.platforms("mochi", "green")


@pytest.mark.parametrize("announces", [True, False])
async def test_bytes_that_are_not_those_of_the_digest_are_refused(serving, reach, announces):
    registry = await serving(announces_digests=announces)
    registry.faults = [Fault("/manifests/", tampered=True)]
    digest = registry.digest("mochi", "green")
    assert "something else" in await refusal(reach(registry).resolve(image(registry, digest)))


async def test_an_index_that_is_not_what_its_tag_announced_is_refused(serving, reach):
    registry = await serving()
    registry.faults = [Fault("/manifests/", tampered=True)]
    assert "something else" in await refusal(reach(registry).resolve(image(registry)))


async def test_an_announced_digest_other_than_the_one_asked_for_is_refused(odd, reach):
    kind = "application/vnd.oci.image.manifest.v1+json"
    lie = {"Content-Type": kind, "Docker-Content-Digest": "sha256:" + "b" * 64}
    host = await odd(lambda _: web.Response(body=b"{}", headers=lie))
    assert "something else" in await refusal(reach(host).resolve(image(host, "sha256:" + "a" * 64)))


async def test_an_image_that_is_not_there_is_said_to_be_not_there(serving, reach):
    registry = await serving()
    client = reach(registry)
    wrong = image(registry, "gren")
    assert await refusal(client.resolve(wrong), ImageNotFound) == f"`{wrong}` is not in {registry.host}."
    assert "is not in" in await refusal(client.resolve(image(registry, repository="team/other")), ImageNotFound)
    assert "is not in" in await refusal(client.resolve(image(registry, "sha256:" + "0" * 64)), ImageNotFound)


async def test_what_is_not_there_is_answered_with_what_is_when_that_is_known(serving, reach):
    registry = await serving()
    client = reach(registry)
    await client.suggest(image(registry), "", within=30)
    assert (await refusal(client.resolve(image(registry, "gren")), Refused)).endswith("Did you mean `green`?")
    expected = "Newest tags: `flaky`, `slow`, `crash`."
    assert (await refusal(client.resolve(image(registry, "2024-05")), Refused)).endswith(expected)


async def test_a_reference_without_a_version_is_refused(reach):
    assert "names no version" in await refusal(reach().resolve(parse("registry.example.com/mochi")), Refused)


# Logging in


async def test_a_closed_registry_opens_to_the_login_of_the_config_file(serving, reach):
    registry = await serving(credentials=LOGIN)
    client = reach(registry, login=LOGIN)
    assert (await client.resolve(image(registry))).digest == registry.digest("mochi", "green")
    asked = len(registry.requests)
    await client.resolve(image(registry))
    assert len(registry.requests) == asked + 2  # the password is known by now, and sent at once


@pytest.mark.parametrize("bearer", [False, True])
async def test_a_wrong_password_is_said_to_be_wrong(serving, reach, bearer):
    registry = await serving(credentials=LOGIN, bearer=bearer)
    sentence = await refusal(reach(registry, login=("ann", "wrong-staple")).resolve(image(registry)))
    assert sentence == (
        f"{registry.host} does not let us read `{registry.host}/mochi`. If that repository exists, "
        "check its login in the config.json that DOCKER_CONFIG names."
    )


@pytest.mark.parametrize("bearer", [False, True])
async def test_a_missing_login_is_said_to_be_missing(serving, reach, bearer):
    registry = await serving(credentials=LOGIN, bearer=bearer)
    sentence = await refusal(reach(registry).resolve(image(registry)))
    assert f"add a login for {registry.host} to the config.json" in sentence


async def test_a_password_that_was_changed_is_read_again(serving, reach):
    """Registries of the large clouds change passwords every few hours; a mounted secret follows."""
    registry = await serving(credentials=LOGIN)
    client = reach(registry, login=("ann", "old"))
    await refusal(client.resolve(image(registry)))
    reach(registry, login=LOGIN)
    assert await client.resolve(image(registry))


@pytest.mark.parametrize("login", [None, LOGIN])
async def test_a_token_is_fetched_once_and_used_until_it_ends(serving, reach, login):
    registry = await serving(credentials=login, bearer=True)
    client = reach(registry, login=login)
    for _ in range(3):
        assert (await client.resolve(image(registry))).digest == registry.digest("mochi", "green")
    assert paths(registry, "/token") == ["/token?scope=repository:mochi:pull&service=sandbox"]


async def test_a_token_that_has_ended_is_not_sent_again(serving, reach):
    registry = await serving(bearer=True)
    registry.token_seconds = 0
    await reach(registry).resolve(image(registry))
    sent = [asked.authorization for asked in registry.requests if asked.authorization]
    assert len(sent) == len(set(sent)) == 2


async def test_a_token_that_was_revoked_is_fetched_anew(serving, reach):
    registry = await serving(bearer=True)
    client = reach(registry)
    await client.resolve(image(registry))
    registry.revoke_tokens()
    assert await client.resolve(image(registry))
    assert len(paths(registry, "/token")) == 2


@pytest.mark.parametrize(
    ("challenge", "says"),
    [
        ('Bearer realm="ftp://127.0.0.1/token"', "makes no sense"),
        ('Bearer realm="http://user:pw@127.0.0.1/token"', "makes no sense"),
        ('Bearer realm="http://[/"', "makes no sense"),
        ('Bearer realm="http://127.0.0.1/to ken"', "makes no sense"),
        ('Negotiate realm="x"', "does not let us read"),
        ("", "does not let us read"),
    ],
)
async def test_a_challenge_that_makes_no_sense_leads_nowhere(odd, reach, challenge, says):
    host = await odd(lambda _: web.Response(status=401, headers={"WWW-Authenticate": challenge}))
    assert says in await refusal(reach(host, login=LOGIN).resolve(image(host)))


async def test_bearer_is_preferred_and_plain_parameters_are_read(odd, reach):
    asked = []

    def answer(request):
        asked.append(request.path_qs)
        if request.path == "/token":
            return web.json_response({"access_token": "abc"})
        challenge = f"Basic realm=x, Bearer realm=http://{request.host}/token,service=svc"
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    host = await odd(answer)
    await refusal(reach(host).resolve(image(host)))
    assert "/token?scope=repository:mochi:pull&service=svc" in asked


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, "{}", "gave no token"),
        (200, '{"token": 7}', "gave no token"),
        (200, '{"token": "a\\nb"}', "gave no token"),
        (200, "<html>", "no registry should"),
        (403, "{}", "does not let us read"),
        (503, "{}", "gives no tokens now (503)"),
    ],
)
async def test_a_token_server_that_fails_is_told_of(odd, reach, status, body, says):
    def answer(request):
        if request.path == "/token":
            return web.Response(status=status, text=body)
        challenge = f'Bearer realm="http://{request.host}/token"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    host = await odd(answer)
    assert says in await refusal(reach(host).resolve(image(host)))


async def test_passwords_are_not_sent_to_a_token_server_without_tls(serving, odd, reach, server_tls, vouched):
    listener = await serving(bearer=True)
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{listener.host}/token"'}
    host = await odd(lambda _: web.Response(status=401, headers=challenge), server_tls)
    client = reach(host, login=LOGIN, like=vouched)
    assert "tokens from an address that is not https" in await refusal(client.resolve(image(host)))
    assert listener.requests == []


async def test_nothing_leads_from_https_to_http(serving, odd, reach, server_tls, vouched):
    listener = await serving()
    elsewhere = {"Location": f"http://{listener.host}/"}
    host = await odd(lambda _: web.Response(status=307, headers=elsewhere), server_tls)
    client = reach(host, like=vouched)
    assert "not https" in await refusal(client.resolve(image(host)))
    assert listener.requests == []


async def test_a_certificate_that_nobody_vouches_for_is_refused(odd, reach, server_tls):
    host = await odd(lambda _: web.Response(), server_tls)
    assert "no certificate that is trusted" in await refusal(reach().resolve(image(host)))


async def test_plain_http_is_spoken_only_where_the_configuration_says_so(serving, reach):
    registry = await serving()
    sentence = await refusal(reach().resolve(image(registry)))
    assert sentence.endswith("if it speaks plain http, list it as insecure.")
    assert registry.requests == []


@pytest.mark.parametrize("bearer", [False, True])
async def test_a_redirect_to_another_host_carries_no_credentials(serving, reach, bearer):
    storage = await serving()
    registry = await serving(credentials=LOGIN, bearer=bearer)
    registry.faults = [Fault("/blobs/", redirect=storage.host)]
    tags = await reach(registry, login=LOGIN).tags(image(registry))
    assert tags == ["flaky", "slow", "crash", "green", "blue"]  # the dates came from the storage
    assert len(storage.requests) == 5
    assert {asked.authorization for asked in storage.requests} == {None}


async def test_a_redirect_that_never_ends_is_told_of(serving, reach):
    registry = await serving()
    registry.faults = [Fault(redirect=registry.host)]
    assert "round in circles" in await refusal(reach(registry).resolve(image(registry)))


# Trouble


async def test_a_silent_registry_is_given_up_at_the_deadline(serving, reach):
    registry = await serving()
    registry.faults = [Fault(silent=True)]
    sentence = await refusal(reach(registry, within=0.1).resolve(image(registry)))
    assert sentence == f"{registry.host} did not answer within 0.1 s. Try again in a minute."


async def test_a_registry_that_is_away_for_a_moment_is_asked_again(serving, reach):
    registry = await serving()
    registry.faults = [Fault(status=503)]
    resolving = asyncio.create_task(reach(registry).resolve(image(registry)))
    await registry.asked()
    registry.faults = []
    assert (await resolving).digest == registry.digest("mochi", "green")


async def test_a_registry_that_stays_away_is_not_asked_for_ever(serving, reach):
    registry = await serving()
    registry.faults = [Fault(status=503)]
    assert "out of order (it answered 503)" in await refusal(reach(registry).resolve(image(registry)))
    assert len(registry.requests) == 3


@pytest.mark.parametrize(
    ("status", "says"), [(403, "does not let us read"), (429, "rations requests"), (418, "answered 418")]
)
async def test_other_answers_are_told_of_and_not_asked_for_again(serving, reach, status, says):
    registry = await serving()
    registry.faults = [Fault(status=status)]
    assert says in await refusal(reach(registry).resolve(image(registry)))
    assert len(registry.requests) == 1


async def test_a_registry_that_does_not_listen_cannot_be_reached(reach):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"127.0.0.1:{taken.getsockname()[1]}"
    assert "cannot be reached" in await refusal(reach(host).resolve(image(host)))


INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        ("text/html", b"<html>Sign in</html>", "is not an image that a cluster can run"),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", b"{}", "is not an image that a cluster can run"),
        (INDEX, b"<html>", "no registry should"),
        (INDEX, b"[]", "no registry should"),
        (INDEX, b"[" * 100_000, "no registry should"),
        (INDEX, b"{}", "without images"),
        (INDEX, b'{"manifests": [7, {"digest": "sha256:1"}]}', "digests that are none"),
        (INDEX, b" " * (4 * 1024 * 1024 + 1), "sent more than 4194304 bytes"),
    ],
)
async def test_what_is_no_image_is_refused(odd, reach, kind, body, says):
    host = await odd(lambda _: web.Response(body=body, headers={"Content-Type": kind}))
    assert says in await refusal(reach(host).resolve(image(host)))


async def test_a_broken_answer_is_told_of(odd, reach):
    host = await odd(lambda _: web.Response(headers={"Content-Encoding": "gzip"}, body=b"not gzip"))
    assert "cannot be reached" in await refusal(reach(host).resolve(image(host)))


async def test_something_that_is_no_registry_is_told_of(reach):
    async def greet(_, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert "is it the right host?" in await refusal(reach(host).resolve(image(host)))


@pytest.mark.parametrize("bearer", [False, True])
@pytest.mark.parametrize(
    "fault", [None, Fault("/manifests/", tampered=True), Fault("/tags/", status=503), Fault("/tags/", status=418)]
)
async def test_no_secret_is_ever_told_or_logged(serving, reach, bearer, fault, caplog):
    """Passwords in any spelling, tokens, headers: an error is shown in Discord, a log is read by many."""
    registry = await serving(credentials=LOGIN, bearer=bearer)
    registry.faults = [] if fault is None else [fault]
    written = []
    with capture_logs() as logged, caplog.at_level(0):
        for login in (LOGIN, ("ann", PASSWORD + "-but-wrong")):
            client = reach(registry, login=login)
            for call in (client.resolve(image(registry)), client.tags(image(registry))):
                try:
                    await call
                except RegistryError as why:
                    written += [repr(why), *traceback.format_exception(why)]
            await client.suggest(image(registry), "", within=30)
    written += [repr(logged), caplog.text]
    assert logged  # the second login is turned down by both ways in
    secrets = [asked.authorization.split()[1] for asked in registry.requests if asked.authorization]
    assert len(secrets) > 2
    for secret in (PASSWORD, *secrets):
        assert not [text for text in written if secret in text]


# Tags


async def test_tags_are_newest_first_by_the_date_they_were_built(serving, reach):
    registry = await serving({"team/mochi": ["v9", "v10", "a", "z", "1f3c"]}, page=2)
    tags = await reach(registry).tags(image(registry, repository="team/mochi"))
    assert tags == ["1f3c", "z", "a", "v10", "v9"]
    assert len(paths(registry, "/tags/list")) == 3


async def test_tags_without_dates_are_ordered_as_versions(serving, reach):
    registry = await serving({"mochi": ["v1.10", "v1.9", "v2", "v1.9-rc"]})
    registry.faults = [Fault("/blobs/", status=404)]
    assert await reach(registry).tags(image(registry)) == ["v2", "v1.10", "v1.9-rc", "v1.9"]


async def test_a_date_is_not_taken_from_bytes_that_are_not_those_of_the_config(serving, reach):
    registry = await serving({"mochi": ["v2", "v1"]})
    assert await reach(registry).tags(image(registry)) == ["v1", "v2"]  # v1 was built last
    registry.faults = [Fault("/blobs/", tampered=True)]
    assert await reach(registry).tags(image(registry)) == ["v2", "v1"]


async def test_dates_that_do_not_come_in_time_are_done_without(serving, reach):
    registry = await serving({"mochi": ["v1", "v3", "v2"]})
    registry.faults = [Fault("/blobs/", silent=True)]
    assert await reach(registry, within=1).tags(image(registry)) == ["v3", "v2", "v1"]


async def test_a_date_is_looked_up_once_per_image(serving, reach):
    registry = await serving()
    client = reach(registry)
    await client.tags(image(registry))
    registry.push("mochi", "blue")
    assert (await client.tags(image(registry)))[0] == "blue"
    assert len(paths(registry, "/blobs/")) == 6


async def test_only_the_highest_tags_are_looked_up(serving, reach):
    registry = await serving({"mochi": [f"v{n}" for n in range(40)]})
    tags = await reach(registry).tags(image(registry))
    assert tags == [f"v{n}" for n in reversed(range(40))]
    assert len(paths(registry, "/blobs/")) == 30


async def test_the_list_of_tags_is_read_up_to_a_bound(serving, reach):
    registry = await serving({"mochi": [f"v{n:02}" for n in range(30)]}, page=1)
    registry.faults = [Fault("/manifests/", status=404)]
    assert len(await reach(registry).tags(image(registry))) == 10
    assert len(paths(registry, "/tags/list")) == 10


async def test_pages_of_another_host_are_not_followed(serving, odd, reach):
    listener = await serving()
    answer = {"tags": ["blue", "not a tag", 7, "x" * 129]}
    link = {"Link": f'<http://{listener.host}/v2/mochi/tags/list>; rel="next"'}
    host = await odd(lambda _: web.json_response(answer, headers=link))
    assert await reach(host).tags(image(host)) == ["blue"]
    assert listener.requests == []


async def test_a_repository_may_have_no_tags(odd, reach):
    host = await odd(lambda _: web.json_response({"tags": None}))
    assert await reach(host).tags(image(host)) == []


@pytest.mark.parametrize(
    "created", ['"2026-01-02T03:04:05.123456789+02:00"', '"2026-01-02T03:04:05"', '"yesterday"', "null"]
)
async def test_dates_of_any_spelling_do_no_harm(odd, reach, created):
    kind = "application/vnd.oci.image.manifest.v1+json"
    config = f'{{"created": {created}}}'.encode()
    blob = sandbox.Blob("", config).digest

    def answer(request):
        if "/blobs/" in request.path:
            return web.Response(body=config)
        if "/tags/" in request.path:
            return web.json_response({"tags": ["a", "b"]})
        manifest = {"config": {"digest": blob}} if request.path.endswith("a") else {"config": "none"}
        return web.json_response(manifest, content_type=kind)

    host = await odd(answer)
    assert sorted(await reach(host).tags(image(host))) == ["a", "b"]


def test_docker_hub_is_asked_at_its_own_host():
    nginx = parse("nginx:1.27")
    url = Access(None, {}, "").url(Turn(nginx, nginx.registry, 0), "manifests/1.27")
    assert str(url) == "https://registry-1.docker.io/v2/library/nginx/manifests/1.27"


# Suggestions


async def test_suggestions_contain_what_is_typed_and_begin_with_it_first(serving, reach):
    registry = await serving({"mochi": ["green", "evergreen", "Gray", "blue"]})
    client = reach(registry)
    green = image(registry)

    async def suggest(typed):
        return await client.suggest(green, typed, within=30)

    assert await suggest("") == ["blue", "Gray", "evergreen", "green"]
    assert await suggest("GR") == ["Gray", "green", "evergreen"]
    assert await suggest(" :gre") == ["green", "evergreen"]
    assert await suggest(f"{green.name}:bl") == ["blue"]
    assert await suggest("\u202e`@everyone") == []


async def test_suggestions_are_at_most_25(serving, reach):
    """Discord takes no more."""
    registry = await serving({"mochi": [f"v{n}" for n in range(30)]})
    suggested = await reach(registry).suggest(image(registry), "v", within=30)
    assert suggested == [f"v{n}" for n in range(29, 4, -1)]


async def test_a_slow_registry_is_answered_for_from_what_was_known(serving, reach):
    registry = await serving()
    client = reach(registry, fresh=0)
    await client.suggest(image(registry), "", within=30)
    registry.faults = [Fault(silent=True)]
    assert await client.suggest(image(registry), "gr", within=0.05) == ["green"]
    await registry.stop()
    assert await client.suggest(image(registry), "gr", within=30) == ["green"]


async def test_a_refresh_goes_on_after_the_answer_and_is_shared(serving, reach):
    registry = await serving()
    registry.faults = [Fault("/tags/", delay=0.3)]
    client = reach(registry)
    assert await client.suggest(image(registry), "gr", within=0.01) == []
    assert await client.suggest(image(registry), "gre", within=30) == ["green"]
    assert len(paths(registry, "/tags/list")) == 1


async def test_a_registry_that_is_away_is_not_asked_at_every_key(serving, reach):
    registry = await serving()
    registry.faults = [Fault(status=404)]
    client = reach(registry)
    for typed in ("g", "gr", "gre"):
        assert await client.suggest(image(registry), typed, within=30) == []
    assert len(registry.requests) == 1


async def test_no_bug_of_ours_escapes_into_autocomplete(serving, reach, monkeypatch):
    registry = await serving()
    client = reach(registry)
    monkeypatch.setattr("bot.registry.client.is_tag", None)
    with capture_logs() as logged:
        assert await client.suggest(image(registry), "", within=30) == []
    assert [(entry["log_level"], entry["event"]) for entry in logged] == [("error", "tags not refreshed")]


async def test_closing_ends_what_still_goes_on(serving):
    registry = await serving()
    registry.faults = [Fault(silent=True)]
    async with asyncio.timeout(5), Registry(None, {registry.host: PLAIN}, within=60) as client:
        assert await client.suggest(image(registry), "", within=0.01) == []
        running = [task for task in asyncio.all_tasks() if "_refresh" in repr(task)]
        assert len(running) == 1
    assert running[0].cancelled()


# Docker's config.json


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("registry.example.com", "registry.example.com"),
        ("https://registry.example.com:5000/v2/", "registry.example.com:5000"),
        ("http://registry.example.com/team", "registry.example.com"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
    ],
)
@pytest.mark.parametrize(
    "entry",
    [
        {"auth": base64.b64encode(b"ann:pass:word").decode()},
        {"username": "ann", "password": "pass:word"},
        {"auth": "", "username": "ann", "password": "pass:word", "email": "ann@example.com"},
    ],
)
def test_logins_are_found_by_host(tmp_path, key, host, entry):
    write_config(tmp_path, {"https://registry.example.net/with/path": {}, key: entry})
    assert [(found, login.user, login.password) for found, login in read_logins(tmp_path).items()] == [
        (host, "ann", "pass:word")
    ]


def test_a_login_for_the_whole_host_goes_before_one_for_a_path(tmp_path):
    a, b = ({"username": name, "password": "x"} for name in "ab")
    write_config(tmp_path, {"registry.example.com/team": a, "registry.example.com": b})
    assert read_logins(tmp_path)["registry.example.com"].user == "b"


def test_no_config_means_no_logins(tmp_path):
    assert read_logins(None) == {}
    assert read_logins(tmp_path) == {}
    (tmp_path / "config.json").write_text('{"credsStore": "desktop"}', encoding="utf-8")
    assert read_logins(tmp_path) == {}


@pytest.mark.parametrize(
    "text",
    [
        "hunter2{",
        "[]",
        '{"auths": ["hunter2"]}',
        '{"auths": {"a.example": "hunter2"}}',
        '{"auths": {"a.example": {"auth": "hunter2!"}}}',
        '{"auths": {"a.example": {"auth": "aHVudGVyMg=="}}}',
        '{"auths": {"a.example": {"auth": 2}}}',
    ],
)
def test_a_broken_config_is_told_of_without_its_content(tmp_path, text):
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(RegistryError, match=r"config\.json cannot be read") as raised:
        read_logins(tmp_path)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


def test_a_password_is_not_in_the_text_of_its_login(tmp_path):
    write_config(tmp_path, {"registry.example.com": {"username": "ann", "password": PASSWORD}})
    assert PASSWORD not in repr(read_logins(tmp_path))
