"""`greenlight init` against the sandbox's API server: what it writes where, and what it says instead."""

import asyncio
import json
import os
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from namespaces import NAMESPACE, PEOPLE, deployment, ingress, rollout, service

from bot.policy import read_policy
from bot.setup.init import NotInit, Wanted
from bot.setup.init import init as command
from sandbox.cluster import Cluster, wall_clock

CHECKOUT = Path(__file__).parents[2]
IDS = ("--guild", "11", "--channel", "12", "--deployers", "13", "--approvers", "14", "--approvers", "15")


@pytest.fixture
async def cluster():
    made = Cluster(now=wall_clock)
    await made.start()
    made.apply([deployment(), service(), ingress()])
    yield made
    await made.stop()


@pytest.fixture
def greenlight(cluster, tmp_path):
    """Runs `greenlight …` in an empty directory beside the kubeconfig: exit code, stdout, stderr."""
    write_kubeconfig(tmp_path, cluster)

    async def run(*arguments, **environment):
        base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        base |= {"PYTHONPATH": str(CHECKOUT), "PYTHONIOENCODING": "utf-8", "KUBECONFIG": "kubeconfig"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", *arguments),
            cwd=tmp_path,
            env=base | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        assert b"Traceback" not in errors
        return process.returncode, out.decode(), errors.decode()

    return run


def write_kubeconfig(folder, cluster, **context):
    content = cluster.kubeconfig()
    content["contexts"][0]["context"] |= context
    (folder / "kubeconfig").write_text(json.dumps(content), "utf-8")


async def test_it_writes_the_file_and_prints_the_manifests_and_changes_nothing(greenlight, cluster, tmp_path):
    code, out, told = await greenlight("init", "--namespace", NAMESPACE, *IDS)
    assert code == 0
    [app] = read_policy(tmp_path / "greenlight.toml").apps.values()
    assert (app.name, app.channel, app.deployers, app.approval.roles) == ("mochi", 12, {13}, {14, 15})
    assert [item["kind"] for item in yaml.safe_load_all(out)][-2:] == ["Service", "Deployment"]
    assert told.startswith("mochi: Service mochi leads to Deployment mochi; the manifests make Deployment mochi-b")
    assert cluster.server.writes == []


async def test_the_manifests_are_for_whoever_made_them_alone(greenlight, tmp_path):
    """S21: a copy of a Deployment has the values of its environment variables."""
    await greenlight("init", "--namespace", NAMESPACE, "--manifests", "manifests.yaml")
    assert (tmp_path / "manifests.yaml").stat().st_mode & 0o777 == 0o600


async def test_the_check_then_names_the_ids_that_are_missing(greenlight, tmp_path):
    await greenlight("init", "--namespace", NAMESPACE)
    code, _, told = await greenlight("check", "--offline")
    assert code == 2
    assert len(told.splitlines()) == 4
    assert all("0 is not an id of Discord's" in line for line in told.splitlines())


@pytest.fixture
def init(cluster, tmp_path, monkeypatch):
    """The same in this process, for its sentences: a process takes a second to start."""
    write_kubeconfig(tmp_path, cluster)
    monkeypatch.chdir(tmp_path)

    async def called(**changes):
        plain = Wanted(
            NAMESPACE, "kubeconfig", None, ("greenlight", "greenlight"), PEOPLE, None, "greenlight.toml", "-"
        )
        return await command(replace(plain, **changes))

    return called


async def test_without_a_namespace_it_takes_the_one_of_the_context(init, cluster, tmp_path):
    write_kubeconfig(tmp_path, cluster, namespace=NAMESPACE)
    await init(namespace=None)
    assert 'namespace = "mochi"' in (tmp_path / "greenlight.toml").read_text("utf-8")


async def test_one_of_several_clusters_has_a_table_of_its_own(init, tmp_path):
    await init(cluster="eu-1", context="sandbox")
    read = read_policy(tmp_path / "greenlight.toml")
    assert read.apps["mochi"].cluster == "eu-1"
    assert read.clusters["eu-1"].context == "sandbox"


@pytest.mark.parametrize("option", ["output", "manifests"])
async def test_a_file_that_is_there_stays_as_it_is(init, tmp_path, option):
    (tmp_path / "mine").write_text("precious")
    said = f"^mine is there already and stays as it is: name another file with --{option}, or move it.$"
    with pytest.raises(NotInit, match=said):
        await init(**{option: "mine"})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["kubeconfig", "mine"]
    assert (tmp_path / "mine").read_text() == "precious"


async def test_each_may_go_to_a_file_or_to_the_terminal(init, tmp_path, capsys):
    await init(output="-", manifests="greenlight.yaml")
    assert [*tomllib.loads(capsys.readouterr().out)["apps"]] == ["mochi"]
    assert list(yaml.safe_load_all((tmp_path / "greenlight.yaml").read_text("utf-8")))
    with pytest.raises(NotInit, match=r"^Two files cannot go to one place: name another with --output or --manifests."):
        await init(output="-")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"namespace": "nowhere"}, "Namespace nowhere is empty, or there is none of that name: name another with"),
        ({"namespace": "Mo chi"}, "`Mo chi` is not a name in Kubernetes: at most 63 of a-z, 0-9 and `-`, no `-` at"),
        ({"account": ("greenlight", "")}, "Nothing is not a name in Kubernetes: "),
        ({"output": "no/such/place"}, "no/such/place cannot be written: No such file or directory."),
        ({"context": "staging"}, "no credentials for "),
        ({"cluster": "eu-1"}, "--cluster eu-1 needs --context: which of your kubeconfig's contexts is it?"),
        ({"kubeconfig": "other"}, "no credentials for "),
    ],
    ids=["empty", "no name", "no account", "no folder", "no such context", "no context", "no kubeconfig"],
)
async def test_what_cannot_be_done_is_a_sentence(init, tmp_path, capsys, changes, said):
    with pytest.raises(NotInit) as refusal:
        await init(**changes)
    assert str(refusal.value).startswith(said)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "greenlight.toml").exists()


async def test_a_namespace_with_nothing_to_release_says_why_of_each(init, cluster):
    cluster.apply([{**deployment("worker", app="worker"), "metadata": {"name": "worker", "namespace": "other"}}])
    with pytest.raises(NotInit) as refusal:
        await init(namespace="other")
    assert str(refusal.value).splitlines() == [
        "Namespace other has no Service with a Deployment or a Rollout behind it.",
        "- Deployment worker: no Service selects its pods, so there is no traffic to switch.",
    ]


async def test_a_right_that_is_missing_is_a_sentence(init, cluster):
    """S15: init reads with the rights of whoever runs it, and asks for no more."""
    cluster.access.deny("list", "pods")
    with pytest.raises(
        NotInit, match=r"^init reads with the rights of your kubeconfig, and one is missing\. "
    ) as refusal:
        await init()
    assert '- {apiGroups: [""], resources: [pods], verbs: [list]}' in str(refusal.value)


async def test_what_may_not_be_listed_and_is_only_nice_to_know_is_named(init, cluster, tmp_path):
    for plural in ("ingresses", "horizontalpodautoscalers"):
        cluster.access.deny("list", plural)
    await init()
    said = "You may not list horizontalpodautoscalers, ingresses here, so nothing is said about them."
    assert said in (tmp_path / "greenlight.toml").read_text("utf-8")


async def test_a_cluster_that_is_away_is_a_sentence(init, cluster):
    await cluster.server.stop()
    with pytest.raises(NotInit, match="cannot be reached"):
        await init()


async def test_rollouts_are_told_beside_the_others(init, cluster, tmp_path):
    services = [service(name, app="dango") for name in ("dango", "dango-preview")]
    cluster.apply([rollout("dango", app="dango", autoPromotionEnabled=True), *services])
    told = await init()
    assert "dango: Rollout dango has all that a release needs; 1 thing has to be mended, as the file says." in told
    assert [*read_policy(tmp_path / "greenlight.toml").apps] == ["mochi", "dango"]


async def test_a_cluster_without_argo_rollouts_is_looked_at_all_the_same(init, cluster):
    cluster.server.faults.answer(404, "GET", "argoproj.io")
    assert "mochi: Service mochi leads to Deployment mochi" in await init()
