"""Who the bot is to the API server: tokens that rotate, plugins that fail, pods, contexts."""

import asyncio
import json
import os
import secrets
import stat

import pytest
from api_faults import NAMESPACE, SHORT, cluster, kubeconfig, reached
from certificates import Authority
from kubernetes_asyncio.config import incluster_config

import mochi
from bot import compose
from bot.clusters.api import SERVICE, KubeApi
from bot.clusters.errors import ClusterError, Forbidden

GET = (SERVICE, NAMESPACE, mochi.ACTIVE)


@pytest.fixture
async def served():
    async with cluster() as made:
        yield made


def revoke(served, token, *, instead=None):
    """The token is taken no longer, but another one is."""
    user = served.access.tokens.pop(token)
    if instead:
        served.access.tokens[instead] = user


# Plugins

VERSION = "client.authentication.k8s.io/v1"


class Plugin:
    """`printf` on disk that the kubeconfig runs; `ran` counts how often, `pids` are its processes."""

    def __init__(self, folder):
        self.folder = folder
        self.script = folder / "cloud-token"
        self._runs = folder / "runs"

    def does(self, lines):
        self.script.write_text(f"#!/bin/sh\necho $$ >> {self._runs}\n{lines}\n")
        self.script.chmod(stat.S_IRWXU)

    def prints(self, token, **status):
        answer = {"apiVersion": VERSION, "kind": "ExecCredential", "status": {"token": token, **status}}
        self.does(f"cat <<'END'\n{json.dumps(answer)}\nEND")

    @property
    def pids(self):
        return [int(line) for line in self._runs.read_text().split()] if self._runs.exists() else []

    def kubeconfig(self, served, **more):
        user = {"exec": {"apiVersion": VERSION, "command": str(self.script), **more}}
        return kubeconfig(self.folder / "kubeconfig", served, user=user)


@pytest.fixture
def plugin(tmp_path):
    return Plugin(tmp_path)


async def test_a_plugin_is_asked_again_when_its_token_has_run_out(served, plugin):
    plugin.prints(served.token)
    async with reached(plugin.kubeconfig(served)) as api:
        await api.get(*GET)
        fresh = secrets.token_hex(8)
        revoke(served, served.token, instead=fresh)
        plugin.prints(fresh)
        await api.get(*GET)
        await api.get(*GET)
    assert len(plugin.pids) == 2


async def test_many_who_are_refused_together_ask_the_plugin_once(served, plugin):
    """A look reads eight times side by side, and every watch comes back at about the same time."""
    plugin.prints(served.token)
    async with reached(plugin.kubeconfig(served)) as api, asyncio.timeout(10):
        fresh = secrets.token_hex(8)
        revoke(served, served.token, instead=fresh)
        plugin.prints(fresh)
        await asyncio.gather(*(api.get(*GET) for _ in range(20)))
    assert len(plugin.pids) == 2


async def test_whoever_is_refused_late_takes_what_was_read_meanwhile(served, plugin):
    plugin.prints(served.token)
    async with reached(plugin.kubeconfig(served)) as api, asyncio.timeout(10):
        held = served.server.faults.hold("GET")
        late = asyncio.create_task(api.get(*GET))
        await held.met.wait()
        fresh = secrets.token_hex(8)
        revoke(served, served.token, instead=fresh)
        plugin.prints(fresh)
        await api.get(*GET)
        held.released.set()
        await late
    assert len(plugin.pids) == 2


async def test_a_token_that_is_never_taken_is_asked_for_once_a_call(served, plugin):
    plugin.prints(served.token)
    async with reached(plugin.kubeconfig(served)) as api:
        revoke(served, served.token)
        for calls in (1, 2):
            with pytest.raises(Forbidden) as refused:
                await api.get(*GET)
            assert served.token not in str(refused.value)
            assert len(plugin.pids) == 1 + calls


FAILS = {
    "fails": ("echo 'Token for the session has expired, run: cloud login' >&2; exit 3", r"failed \(3\): Token for the"),
    "says nothing": ("exit 1", r"failed \(1\): it says nothing"),
    "garbage": ("echo top-secret", "printed something that is no ExecCredential"),
    "nothing": ("true", "printed something that is no ExecCredential"),
    "a list": ("echo '[1]'", "printed something that is no ExecCredential"),
    "no status": (f'echo \'{{"apiVersion": "{VERSION}", "status": "top-secret"}}\'', "no ExecCredential"),
    "no token": (f'echo \'{{"apiVersion": "{VERSION}", "status": {{}}}}\'', "neither a token nor a certificate"),
    "another version": (
        'echo \'{"apiVersion": "v9", "status": {"token": "top-secret"}}\'',
        f"does not speak {VERSION}",
    ),
}


@pytest.mark.parametrize("fails", FAILS)
async def test_s21_a_plugin_that_fails_is_one_sentence_without_what_it_printed(served, plugin, fails):
    does, words = FAILS[fails]
    plugin.does(does)
    with pytest.raises(ClusterError, match=f"the credentials plugin cloud-token .*{words}") as at_start:
        await KubeApi.connect(kubeconfig=str(plugin.kubeconfig(served)))
    plugin.prints(served.token)
    async with reached(plugin.kubeconfig(served)) as api:
        plugin.does(does)
        revoke(served, served.token)
        with pytest.raises(ClusterError, match=f"^no credentials for sandbox: .*{words}") as later:
            await api.get(*GET)
    assert "top-secret" not in str(at_start.value) + str(later.value)


@pytest.mark.parametrize("command", ["/no/such/cloud-token", "cloud-token-of-nobody"])
async def test_a_plugin_that_is_not_installed_is_named_with_its_hint(served, plugin, command):
    place = plugin.kubeconfig(served, command=command, installHint="Get it at\nhttps://cloud.example.com")
    with pytest.raises(
        ClusterError, match=r"cannot be started \(No such file.*\): Get it at https://cloud.example.com$"
    ):
        await KubeApi.connect(kubeconfig=str(place))


@pytest.mark.parametrize(
    "more", [{"env": [{"name": "A"}]}, {"env": 3}, {"args": 7}, {"command": None}, {"env": [{"name": "A", "value": 1}]}]
)
async def test_a_plugin_that_is_configured_wrongly_is_one_sentence(served, plugin, more):
    plugin.prints(served.token)
    with pytest.raises(ClusterError, match=r"^no credentials for "):
        await KubeApi.connect(kubeconfig=str(plugin.kubeconfig(served, **more)))


async def test_a_plugin_gets_its_arguments_and_nobody_to_talk_to(served, plugin):
    answer = {"apiVersion": VERSION, "status": {"token": "@"}}
    reads = 'read -r line; [ -z "$line" ] && echo "$KUBERNETES_EXEC_INFO" | grep -q \'"interactive": false\' || exit 1'
    plugin.does(f"{reads}\necho '{json.dumps(answer)}' | sed \"s/@/$1$TAIL/\"")
    half = len(served.token) // 2
    env = [{"name": "TAIL", "value": served.token[half:]}]
    async with reached(plugin.kubeconfig(served, args=[served.token[:half]], env=env)) as api:
        await api.get(*GET)


async def test_credentials_that_hang_keep_no_bot_from_starting(served, plugin, monkeypatch, tmp_path):
    """They are one cluster's: whoever is on call for another one needs the bot now."""
    monkeypatch.setattr(compose, "CREDENTIALS_WITHIN", 0.3)
    plugin.does("sleep 60")
    slow = KubeApi(kubeconfig=str(plugin.kubeconfig(served)), name="slow")
    good = KubeApi(kubeconfig=str(kubeconfig(tmp_path / "good", served)), name="good")
    async with asyncio.timeout(10):
        await compose._load_credentials({"slow": slow, "good": good})
        assert (await good.get(*GET))["metadata"]["name"] == mochi.ACTIVE
    await slow.close()
    await good.close()


async def test_a_plugin_that_hangs_costs_a_call_its_own_time_and_is_not_started_twice(served, plugin):
    """It may be slow and right in the end: whoever calls meanwhile gets a sentence, and who calls then an answer."""
    plugin.prints(served.token)
    fresh = secrets.token_hex(8)
    async with reached(plugin.kubeconfig(served), SHORT) as api, asyncio.timeout(10):
        gate = plugin.folder / "gate"
        os.mkfifo(gate)
        revoke(served, served.token, instead=fresh)
        answer = {"apiVersion": VERSION, "status": {"token": fresh}}
        plugin.does(f"read -r go < {gate}\necho '{json.dumps(answer)}'")
        for _ in range(2):
            with pytest.raises(ClusterError, match=r"^no credentials for sandbox yet \(get Service mochi/mochiapp\): "):
                await api.get(*GET)
        assert len(plugin.pids) == 2
        with gate.open("w") as go:
            go.write("go\n")
        while True:  # each of these waits for the plugin as long as a call may take
            try:
                await api.get(*GET)
                break
            except ClusterError:
                assert len(plugin.pids) == 2


async def test_a_plugin_that_never_answers_is_ended_with_all_that_it_started(plugin, monkeypatch, served):
    plugin.does("sleep 1000 & echo $! >> " + str(plugin.folder / "runs") + "; wait")
    monkeypatch.setattr("bot.clusters.api.plugin.ask.__kwdefaults__", {"within": 0.5})
    with pytest.raises(ClusterError, match=r"the credentials plugin cloud-token did not answer within 0 s$"):
        await KubeApi.connect(kubeconfig=str(plugin.kubeconfig(served)))
    assert len(plugin.pids) == 2
    async with asyncio.timeout(10):
        for pid in plugin.pids:
            await ended(pid)


async def test_closing_ends_a_plugin_that_hangs(served, plugin):
    plugin.prints(served.token)
    async with asyncio.timeout(10):
        async with reached(plugin.kubeconfig(served), SHORT) as api:
            revoke(served, served.token)
            plugin.does("sleep 1000")
            with pytest.raises(ClusterError, match="yet"):
                await api.get(*GET)
        await ended(plugin.pids[-1])


async def ended(pid):
    """Returns when that process, which is no child of ours, has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(process, over.set)
    await over.wait()
    asyncio.get_running_loop().remove_reader(process)
    os.close(process)


# Tokens in files, pods and contexts


async def test_a_token_file_is_read_again_and_may_end_with_a_newline(served, tmp_path):
    token = tmp_path / "token"
    token.write_text(f"{served.token}\n")
    place = kubeconfig(tmp_path / "kubeconfig", served, user={"tokenFile": str(token)})
    async with reached(place) as api:
        await api.get(*GET)
        fresh = secrets.token_hex(8)
        revoke(served, served.token, instead=fresh)
        token.write_text(f"{fresh}\n")
        await api.get(*GET)


async def test_the_context_of_the_start_is_kept_whatever_is_current_later(served, tmp_path):
    """`kubectl config use-context` of somebody else must not move releases to another cluster."""
    place = kubeconfig(tmp_path / "kubeconfig", served)
    async with cluster() as other, reached(place) as api:
        changed = json.loads(place.read_text())
        fresh = secrets.token_hex(8)
        revoke(served, served.token, instead=fresh)
        changed["users"][0]["user"]["token"] = fresh
        theirs = other.kubeconfig()
        for part in ("clusters", "users", "contexts"):
            theirs[part][0]["name"] = "other"
            changed[part] += theirs[part]
        changed["contexts"][1]["context"] |= {"cluster": "other", "user": "other"}
        place.write_text(json.dumps(changed | {"current-context": "other"}))
        served.objects.patch("services", NAMESPACE, mochi.ACTIVE, {"metadata": {"annotations": {"here": "yes"}}})
        assert (await api.get(*GET))["metadata"]["annotations"] == {"here": "yes"}


@pytest.fixture
def pod(tmp_path, monkeypatch):
    """The files and variables that a pod has; the kubeconfig beside them is somebody else's."""
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("bot.clusters.api.credentials.KUBE_CONFIG_DEFAULT_LOCATION", str(home / ".kube" / "config"))
    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(ca))

    def point(served, authority):
        ca.write_bytes(authority.crt.read_bytes())
        token.write_text(served.token)
        host, port = served.url.removeprefix("https://").split(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        return token, ca

    return point


async def test_a_pods_token_that_was_rotated_is_read_again(pod, tmp_path):
    authority = Authority(tmp_path)
    async with cluster(authority.server()) as served:
        token, _ = pod(served, authority)
        async with reached(None) as api:
            await api.get(*GET)
            fresh = secrets.token_hex(8)
            revoke(served, served.token, instead=fresh)
            token.write_text(fresh)
            await asyncio.gather(*(api.get(*GET) for _ in range(10)))


async def test_a_pod_stays_one_when_its_token_is_away_for_a_moment(pod, tmp_path):
    """A kubeconfig that lies about is not taken instead: it may be of another cluster."""
    authority = Authority(tmp_path)
    async with cluster(authority.server()) as served, cluster() as other:
        token, _ = pod(served, authority)
        kubeconfig(tmp_path / "home" / ".kube" / "config", other)
        async with reached(None) as api:
            assert (await api.get(*GET))["metadata"]["uid"] == served.objects.get("services", *GET[1:])["metadata"][
                "uid"
            ]
            fresh = secrets.token_hex(8)
            revoke(served, served.token, instead=fresh)
            token.unlink()
            for text in (None, ""):
                if text is not None:
                    token.write_text(text)
                with pytest.raises(ClusterError, match=r"^no credentials for this cluster: /var/.*: .*[Tt]oken file"):
                    await api.get(*GET)
            token.write_text(fresh)
            await api.get(*GET)


async def test_a_pods_certificate_authority_that_was_replaced_is_read_again(pod, tmp_path):
    """Without a handshake nothing was sent, so that a write may be tried again as well."""
    authority, next_one = Authority(tmp_path), Authority(tmp_path, "next")
    async with cluster(authority.server()) as served:
        _, ca = pod(served, next_one)
        async with reached(None) as api:
            ca.write_bytes(authority.crt.read_bytes())
            await api.patch(*GET, [{"op": "add", "path": "/metadata/labels/a", "value": "b"}])
            assert len(served.server.writes) == 1
