"""What the environment and `greenlight.toml` may say, and what people are told when it is wrong."""

import json
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.duration import parse_duration
from bot.gates.prometheus import Server
from bot.policy import Credentials, read_policy
from bot.policy import tables as shape
from bot.registry import RegistryHost
from bot.release.app import (
    K6,
    Action,
    Argo,
    Comparison,
    Gate,
    Guard,
    Http,
    Job,
    Mode,
    Native,
    Notify,
    Prometheus,
    Requirement,
    Switch,
)
from bot.settings import Environment, LogFormat, LogLevel, SettingsError, load

GUILD, CHANNEL, DEPLOYER, QC, LEAD = (10**17 + n for n in range(1, 6))
TOKEN = "token-of-the-test"

APP = f"""
[apps.mochi]
namespace = "mochi"
channel = {CHANNEL}
image = "registry.example.com/mochi"
service = "mochiapp"
preview = "mochiapp-preview"
slots = ["mochiapp-blue", "mochiapp-green"]
deployers = [{DEPLOYER}]

[apps.mochi.approval]
require = [{{ roles = [{QC}], count = 1 }}, {{ roles = [{LEAD}] }}]
"""
GOOD = f"guild = {GUILD}\n{APP}"
ON_ARGO = f"""guild = {GUILD}

[apps.mochi]
rollout = "mochiapp"
namespace = "mochi"
channel = {CHANNEL}
deployers = [{DEPLOYER}]

[apps.mochi.approval]
require = [{{ roles = [{QC}], count = 1 }}]
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    """A directory and an environment in which nothing is set."""
    for name in Environment.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def complaint(tmp_path):
    """What `read_policy` says about a text."""

    def read(text: str) -> str:
        file = tmp_path / "greenlight.toml"
        file.write_text(text, "utf-8")
        with pytest.raises(SettingsError) as raised:
            read_policy(Path("greenlight.toml"))
        return str(raised.value)

    return read


@pytest.fixture
def policy(tmp_path):
    def read(text: str):
        file = tmp_path / "greenlight.toml"
        file.write_text(text, "utf-8")
        return read_policy(file)

    return read


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, f"{old!r} must stand once in the good file"
    return GOOD.replace(old, new)


def in_app(line: str) -> str:
    return changed('namespace = "mochi"\n', f'namespace = "mochi"\n{line}\n')


def make_certificate(file: Path) -> None:
    made = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x -keyout /dev/null -out"
    )
    subprocess.run([*made.split(), str(file)], check=True, capture_output=True, timeout=60)


# What a right file means. ---------------------------------------------------------------------------------------------


def test_a_short_file_is_enough_and_the_rest_has_the_documented_defaults(policy):
    read = policy(GOOD)
    app = read.apps["mochi"]
    assert (read.guild, app.channel, app.name, app.namespace) == (GUILD, CHANNEL, "mochi", "mochi")
    assert app.image == "registry.example.com/mochi"
    assert app.target == Native("mochiapp", "mochiapp-preview", ("mochiapp-blue", "mochiapp-green"))
    assert app.approval.require == (Requirement(frozenset({QC}), 1), Requirement(frozenset({LEAD}), 1))
    assert app.may_roll_back == {DEPLOYER, QC, LEAD}
    assert not app.approval.by_author
    assert (app.approval.expires, app.approval.switch) == (timedelta(minutes=30), Switch.AUTO)
    assert (app.timing.stage_within, app.timing.warm_for) == (timedelta(minutes=10), timedelta(hours=1))
    assert (app.pin, app.notify, app.links, app.images) == (True, Notify.CHANNEL, {}, ())
    assert read.registries == {}


def test_every_key_reaches_the_app(policy):
    read = policy(
        in_app(
            f"""
            container = "myapp"
            rollbackers = ["{QC}"]
            images = ["mochi", "other.example.com:5000/mochi"]
            pin = false
            notify = "thread"
            links = {{ production = "https://mochi.example.com/", preview = "http://127.0.0.1:8080/" }}
            timing.stage_within = "1h30m"
            timing.promote_within = "90s"
            timing.grace = "1s"
            timing.bake_for = "1d"
            timing.warm_for = "2h"
            """
        )
        + 'self = true\nexpires = "45m"\nswitch = "button"\n[registries."localhost:5000"]\ninsecure = true\n'
        + '[registries."registry.example.com"]\ninsecure = false\n'
    )
    app = read.apps["mochi"]
    assert app.target.container == "myapp"
    assert app.may_roll_back == {QC}
    assert app.images == ("docker.io/library/mochi", "other.example.com:5000/mochi")
    assert (app.pin, app.notify) == (False, Notify.THREAD)
    assert app.links == {"production": "https://mochi.example.com/", "preview": "http://127.0.0.1:8080/"}
    assert app.timing.stage_within == timedelta(hours=1, minutes=30)
    assert app.timing.promote_within == timedelta(seconds=90)
    assert app.timing.grace == timedelta(seconds=1)
    assert app.timing.bake_for == timedelta(days=1)
    assert app.timing.warm_for == timedelta(hours=2)
    assert app.approval.by_author
    assert (app.approval.expires, app.approval.switch) == (timedelta(minutes=45), Switch.BUTTON)
    assert read.registries == {"localhost:5000": RegistryHost(insecure=True), "registry.example.com": RegistryHost()}


def test_an_id_may_be_written_in_quotes(policy):
    """JSON and JavaScript tools round ids of 18 digits; people who know write them in quotes."""
    read = policy(changed(f"guild = {GUILD}", f'guild = "{GUILD}"'))
    assert read.guild == GUILD


def test_the_example_file_is_valid():
    policy = read_policy(Path(__file__).parent.parent / "greenlight.example.toml")
    assert [*policy.apps] == ["mochi"]


def test_every_key_stands_in_the_example_file():
    """People learn the keys from it."""
    example = (Path(__file__).parent.parent / "greenlight.example.toml").read_text("utf-8")
    tables = (
        shape.NativeTable,
        shape.ArgoTable,
        shape.ApprovalTable,
        shape.TimingTable,
        shape.LinksTable,
        shape.RegistryTable,
        shape.RequireTable,
        shape.ClusterTable,
        shape.HttpTable,
        shape.PrometheusTable,
        shape.ExpectTable,
        shape.K6Table,
        shape.ScriptTable,
        shape.JobTable,
        shape.TemplateTable,
        shape.PrometheusServerTable,
        shape.HttpGuardTable,
        shape.QueryGuardTable,
    )
    keys = {key for table in tables for key in shape.keys_of(table)} - {"approval", "timing", "gates", "guards"}
    assert {key for key in keys if f"{key} " not in example} == set()


@pytest.mark.parametrize("alias", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_is_one_registry_by_whichever_name(policy, alias):
    read = policy(f'{GOOD}[registries."{alias}"]\nmirrors = ["mirror.example.com", "mirror.example.org:5000"]')
    assert read.registries == {"docker.io": RegistryHost(mirrors=("mirror.example.com", "mirror.example.org:5000"))}


def test_a_certificate_s_file_counts_from_where_the_settings_stand(policy, tmp_path, monkeypatch):
    """The two are mounted together, and nobody knows in which directory the process starts."""
    make_certificate(tmp_path / "ca.pem")
    monkeypatch.chdir("/")
    for written in ("ca.pem", tmp_path / "ca.pem"):
        read = policy(f'{GOOD}[registries."a.example"]\nca = "{written}"')
        assert read.registries["a.example"].ca == tmp_path / "ca.pem"


def test_a_certificate_is_of_no_use_without_tls(complaint, tmp_path):
    make_certificate(tmp_path / "ca.pem")
    assert complaint(f'{GOOD}[registries."a.example"]\ninsecure = true\nca = "ca.pem"') == (
        'greenlight.toml:16: [registries."a.example"] ca: has no use where `insecure` is true: '
        "without TLS there is no certificate. Leave one out."
    )


def test_two_apps_may_share_a_channel_and_a_namespace(policy):
    other = APP.replace("apps.mochi", "apps.other").replace("mochiapp", "other")
    assert [*policy(GOOD + other).apps] == ["mochi", "other"]


def test_the_same_names_in_two_namespaces_are_two_things(policy):
    other = APP.replace("apps.mochi", "apps.other").replace('namespace = "mochi"', 'namespace = "other"')
    assert [*policy(GOOD + other).apps] == ["mochi", "other"]


def test_a_rollout_alone_is_enough_with_channel_and_roles(policy):
    """Services, containers, links and the repository are read from what is there."""
    read = policy(ON_ARGO)
    app = read.apps["mochi"]
    assert app.target == Argo("mochiapp", container=None, adopt=True)
    assert (app.image, app.images, app.namespace) == ("", (), "mochi")
    assert (app.channel, app.deployers, app.may_roll_back) == (CHANNEL, {DEPLOYER}, {DEPLOYER, QC})


def test_every_key_of_a_rollout_reaches_the_app(policy):
    more = 'adopt = false\ncontainer = "web"\nimage = "mochi"\nimages = ["other"]\n'
    app = policy(ON_ARGO.replace("channel", f"{more}channel").replace('"mochiapp"', '"mochi.app"')).apps["mochi"]
    assert app.target == Argo("mochi.app", container="web", adopt=False)
    assert (app.image, app.images) == ("docker.io/library/mochi", ("docker.io/library/other",))


def test_without_a_namespace_it_is_the_one_that_the_credentials_mean(monkeypatch, tmp_path):
    """Those of the app's own cluster, as the settings find them."""
    text = ON_ARGO.replace('namespace = "mochi"\n', "")
    there = (
        text.partition("\n")[2]
        .replace("apps.mochi", "apps.other")
        .replace('"mochiapp"', '"mochiapp"\ncluster = "eu-1"')
    )
    (tmp_path / "greenlight.toml").write_text(f"{text}{there}{CLUSTERS}", "utf-8")
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    monkeypatch.setenv("KUBECONFIG", "a:b")
    read = load(lambda credentials: f"{credentials.kubeconfig} {credentials.context}").apps
    assert {name: app.namespace for name, app in read.items()} == {"mochi": "a:b None", "other": "a:b prod"}


def test_a_namespace_that_is_meant_and_one_that_is_named_can_be_the_same(tmp_path):
    """One Rollout is one app's, however its namespace is said."""
    other = ON_ARGO.partition("\n")[2].replace("apps.mochi", "apps.other").replace('namespace = "mochi"\n', "")
    (tmp_path / "greenlight.toml").write_text(ON_ARGO + other, "utf-8")
    with pytest.raises(SettingsError, match=r'the Rollout "mochiapp" in "mochi" is app "mochi"\'s already'):
        read_policy(Path("greenlight.toml"), lambda _: "mochi")
    assert read_policy(Path("greenlight.toml"), lambda _: "next").apps["other"].namespace == "next"


def test_people_are_known_by_the_names_under_which_they_begin_releases(policy, monkeypatch, tmp_path):
    text = f'{GOOD}[people]\nann = {QC}\n"Kim Example <kim@example.com>" = "{LEAD}"\n'
    expected = {"ann": QC, "Kim Example <kim@example.com>": LEAD}
    assert policy(text).people == expected
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    assert load().people == expected


CLUSTERS = '[clusters.eu-1]\ncontext = "prod"\n[clusters.eu-2]\nkubeconfig = "keys/eu-2"\n'


def test_the_same_names_in_two_clusters_are_two_things(policy, tmp_path):
    here = in_app('cluster = "eu-1"')
    there = APP.replace("apps.mochi", "apps.other").replace('"mochi"\n', '"mochi"\ncluster = "eu-2"\n', 1)
    read = policy(here + there + CLUSTERS)
    assert {name: app.cluster for name, app in read.apps.items()} == {"mochi": "eu-1", "other": "eu-2"}
    assert read.clusters == {
        "eu-1": Credentials(None, "prod"),
        "eu-2": Credentials(f"{tmp_path}/keys/eu-2"),  # beside the file, wherever the bot is started
    }


def test_a_cluster_without_a_file_of_its_own_uses_that_of_the_environment(monkeypatch, tmp_path):
    (tmp_path / "greenlight.toml").write_text(in_app('cluster = "eu-1"') + CLUSTERS, "utf-8")
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    monkeypatch.setenv("KUBECONFIG", "a:b")
    assert load().clusters == {"eu-1": Credentials("a:b", "prod")}


def test_a_policy_cannot_be_changed_afterwards(policy):
    read = policy(GOOD)
    with pytest.raises(TypeError):
        read.apps["evil"] = read.apps["mochi"]
    with pytest.raises(FrozenInstanceError):
        read.guild = 5


GATES = """
[[apps.mochi.gates]]
name = "smoke"
kind = "http"

[[apps.mochi.gates]]
name = "errors"
kind = "prometheus"
query = "sum(rate(errors[1m]))"
pass = "< 0.01"

[prometheus]
url = "http://prometheus:9090"
"""


def test_gates_have_the_documented_defaults(policy):
    read = policy(GOOD + GATES)
    smoke, errors = read.apps["mochi"].gates
    assert smoke == Gate("smoke", Http(path="/", status=200, repeat=1, within=timedelta(seconds=10)))
    assert (smoke.mode, smoke.timeout, smoke.kind, errors.kind) == (
        Mode.BLOCK,
        timedelta(minutes=5),
        "http",
        "prometheus",
    )
    assert errors.check == Prometheus("sum(rate(errors[1m]))", Comparison.BELOW, 0.01)
    assert read.prometheus == Server("http://prometheus:9090")


def test_all_that_can_be_said_of_gates_is_understood(policy, tmp_path):
    for name in ("token", "password"):
        (tmp_path / name).write_text("secret")
    read = policy(
        GOOD
        + GATES.replace(
            'kind = "http"',
            'kind = "http"\npath = "/healthz?deep=1"\nrepeat = 5\nwithin = "2s"\nmode = "ask"\n'
            'timeout = "1m"\nexpect = { status = 204, headers = { "X-Up" = "1" }, body = "ok", json = { up = true } }',
        ).replace('pass = "< 0.01"', 'pass = ">= 1.5x"\nbaseline = true\nfor = "2m"')
        + 'token = "token"\n'
    )
    smoke, errors = read.apps["mochi"].gates
    asked = Http("/healthz?deep=1", "", 204, {"X-Up": "1"}, "ok", {"up": True}, 5, timedelta(seconds=2))
    assert smoke == Gate("smoke", asked, Mode.ASK, timedelta(minutes=1))
    wanted = Prometheus("sum(rate(errors[1m]))", Comparison.AT_LEAST, 1.5, baseline=True, lasts=timedelta(minutes=2))
    assert errors.check == wanted
    assert read.prometheus.token == tmp_path / "token"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            'kind = "http"',
            'kind = "htp"',
            (
                "17: [apps.mochi.gates] [0].kind: must be one of 'http', 'prometheus', 'k6' or 'job', in "
                'quotes, not "htp".'
            ),
        ),
        (
            'kind = "http"\n',
            "",
            '15: [apps.mochi.gates] [0].kind: is missing: write kind = "http", "prometheus", "k6" or "job".',
        ),
        (
            'kind = "http"',
            'kind = "http"\npath = "healthz"',
            '18: [apps.mochi.gates] [0].path: "healthz" is not a path: it begins with "/", and has no spaces.',
        ),
        ('kind = "http"', 'kind = "http"\nrepeat = 0', "18: [apps.mochi.gates] [0].repeat: must be at least 1, not 0."),
        (
            'kind = "http"',
            'kind = "http"\nrepeat = 5000',
            "18: [apps.mochi.gates] [0].repeat: must be at most 1000, not 5000.",
        ),
        (
            'kind = "http"',
            'kind = "http"\nexpect = { json = { since = 2026-01-01 } }',
            (
                "18: [apps.mochi.gates] [0].expect.json: holds what JSON cannot: it has text, numbers, true, false, "
                "lists, tables."
            ),
        ),
        (
            'kind = "http"',
            'kind = "http"\nexpect = { json = { since = nan } }',
            (
                "18: [apps.mochi.gates] [0].expect.json: holds what JSON cannot: it has text, numbers, true, false, "
                "lists, tables."
            ),
        ),
        (
            'kind = "http"',
            'kind = "http"\nexpct = {}',
            "18: [apps.mochi.gates] [0].expct: is not known; did you mean `expect`?",
        ),
        (
            'kind = "http"',
            'kind = "http"\nexpect = { statu = 200 }',
            "18: [apps.mochi.gates] [0].expect.statu: is not known; did you mean `status`?",
        ),
        (
            '"smoke"',
            '"Smoke test"',
            (
                '16: [apps.mochi.gates] [0].name: "Smoke test" is no name for a gate or a guard: 1 to 32 of a-z, '
                "0-9 and `-`, no `-` at the ends."
            ),
        ),
        (
            '"errors"',
            '"smoke"',
            '20: [apps.mochi.gates] [1].name: "smoke" is the name of two gates: nobody could tell them apart.',
        ),
        (
            '"< 0.01"',
            '"few"',
            (
                '23: [apps.mochi.gates] [1].pass: "few" is no comparison: write it like "< 0.01", ">= '
                '99.5" or, with a baseline, "<= 1.2x".'
            ),
        ),
        (
            '"< 0.01"',
            '"< 1.2x"',
            (
                '23: [apps.mochi.gates] [1].pass: compares with a multiple, as in "<= 1.2x", where '
                "`baseline = true`, and else with a number."
            ),
        ),
        (
            'pass = "< 0.01"',
            'pass = "< 0.01"\nfor = "5m"',
            (
                "24: [apps.mochi.gates] [1].for: does not fit into `timeout`, which is 5m: it could never pass. "
                "Write a longer timeout."
            ),
        ),
        ('pass = "< 0.01"\n', "", '19: [apps.mochi.gates] [1].pass: is missing: write pass = "< 0.01".'),
        (
            'kind = "http"',
            'kind = "htp"\npath = "/"\nrepeat = 3',
            (
                "17: [apps.mochi.gates] [0].kind: must be one of 'http', 'prometheus', 'k6' or 'job', in "
                'quotes, not "htp".'
            ),
        ),
        (
            'kind = "http"',
            'kind = "http"\nquery = "up"',
            (
                '18: [apps.mochi.gates] [0].query: has no use with kind = "http": leave it out, or write the kind that '
                "it is for."
            ),
        ),
        (
            'kind = "http"',
            'kind = "http"\nevery = "15s"',
            (
                "18: [apps.mochi.gates] [0].every: is for guards, which watch what is live: leave it out, or make a "
                "guard of this, [[apps.mochi.guards]]."
            ),
        ),
        (
            'kind = "http"',
            'kind = "http"\nurl = "https://mochi.example.com/"\npath = "/"',
            (
                "19: [apps.mochi.gates] [0].path: stands beside `url`, which is the whole address: leave one of them "
                "out."
            ),
        ),
        ('"sum(rate(errors[1m]))"', '""', "22: [apps.mochi.gates] [1].query: is empty."),
        (
            '"sum(rate(errors[1m]))"',
            "'up{release=\"{lable}\"}'",
            (
                "22: [apps.mochi.gates] [1].query: {lable} is not filled in: "
                "there are {label}, {hash}, {app}, {namespace}."
            ),
        ),
        (
            '"sum(rate(errors[1m]))"',
            '"up{release= {label}}"',
            (
                '22: [apps.mochi.gates] [1].query: {label} needs quotes around it: write …="{label}", and the query '
                "in single ones, '…'."
            ),
        ),
        (
            '9090"',
            '9090/graph?g0.expr=up"',
            (
                '26: [prometheus] url: "http://prometheus:9090/graph?g0.expr=up" is a page of Prometheus: write where '
                'it is itself, like "http://prometheus:9090".'
            ),
        ),
        (
            '[prometheus]\nurl = "http://prometheus:9090"',
            "",
            "21: [apps.mochi.gates] [1].kind: needs a table [prometheus] with its `url`.",
        ),
        (
            'url = "http://prometheus:9090"',
            "",
            '25: [prometheus] url: is missing: write url = "https://prometheus.example.com".',
        ),
        (
            '9090"',
            '9090"\ntoken = "none"',
            (
                '27: [prometheus] token: "none" cannot be read (No such file or directory): name the '
                "file that holds it, and nothing else."
            ),
        ),
    ],
)
def test_a_gate_that_cannot_be_is_told_by_line_table_key_and_fix(complaint, before, after, expected):
    text = GOOD + GATES
    assert before in text
    assert complaint(text.replace(before, after, 1)) == f"greenlight.toml:{expected}"


JOBS = """
[[apps.mochi.gates]]
name = "load"
kind = "k6"
script = { configmap = "mochi-k6", key = "load.js" }

[[apps.mochi.gates]]
name = "migrate"
kind = "job"
template = { cronjob = "mochi-migrate" }
"""


def test_gates_that_are_jobs_have_the_documented_defaults(policy):
    load, migrate = policy(GOOD + JOBS).apps["mochi"].gates
    assert load == Gate("load", K6("mochi-k6", "load.js", "grafana/k6:1.4.0", {}, "1", "512Mi"))
    assert migrate == Gate("migrate", Job("mochi-migrate"))
    assert (load.kind, migrate.kind) == ("k6", "job")


def test_all_that_can_be_said_of_a_load_is_understood(policy):
    more = (
        'kind = "k6"\nimage = "mirror.example.com/k6@sha256:'
        + "a" * 64
        + '"\nenv = { VUS = "20" }\ncpu = "0.5"\nmemory = "2Gi"'
    )
    load, _ = policy(GOOD + JOBS.replace('kind = "k6"', more)).apps["mochi"].gates
    assert load.check == K6(
        "mochi-k6", "load.js", "mirror.example.com/k6@sha256:" + "a" * 64, {"VUS": "20"}, "0.5", "2Gi"
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            'script = { configmap = "mochi-k6", key = "load.js" }\n',
            "",
            (
                '15: [apps.mochi.gates] [0].script: is missing: write script = { configmap = "<ConfigMap>", '
                'key = "load.js" }.'
            ),
        ),
        (
            ', key = "load.js"',
            "",
            '18: [apps.mochi.gates] [0].script.key: is missing: write key = "<its key, such as load.js>".',
        ),
        (
            '"load.js"',
            '"../load.js"',
            (
                '18: [apps.mochi.gates] [0].script.key: "../load.js" is not a key of a ConfigMap: letters, '
                "digits, `-`, `_` and `.`, as in load.js."
            ),
        ),
        (
            'kind = "k6"',
            'kind = "k6"\nimage = "grafana/k6"',
            (
                '18: [apps.mochi.gates] [0].image: "grafana/k6" names no version: write it with a tag or a '
                'digest, as in "grafana/k6:1.4.0".'
            ),
        ),
        (
            'kind = "k6"',
            'kind = "k6"\nenv = { "MY-VUS" = "20" }',
            (
                '18: [apps.mochi.gates] [0].env: "MY-VUS" is not an environment variable: letters, digits and '
                "`_`, no digit first."
            ),
        ),
        (
            'kind = "k6"',
            'kind = "k6"\nenv = { PREVIEW_URL = "http://elsewhere" }',
            "18: [apps.mochi.gates] [0].env: PREVIEW_URL is set by Greenlight: give yours another name.",
        ),
        (
            'kind = "k6"',
            'kind = "k6"\ncpu = "10m"',
            (
                '18: [apps.mochi.gates] [0].cpu: "10m" is not an amount of CPU from "100m" on: write it like '
                '"500m" or "2".'
            ),
        ),
        (
            'kind = "k6"',
            'kind = "k6"\nmemory = "512"',
            '18: [apps.mochi.gates] [0].memory: "512" is not an amount of memory: write it like "512Mi" or "2Gi".',
        ),
        (
            'cronjob = "mochi-migrate"',
            'cronjb = "mochi-migrate"',
            "23: [apps.mochi.gates] [1].template.cronjb: is not known; did you mean `cronjob`?",
        ),
    ],
)
def test_a_job_that_cannot_be_is_told_by_line_table_key_and_fix(complaint, before, after, expected):
    text = GOOD + JOBS
    assert before in text
    assert f"greenlight.toml:{expected}" in complaint(text.replace(before, after, 1)).splitlines()


GUARDS = GATES.replace("gates", "guards").replace("smoke", "public")


@pytest.mark.parametrize("table", ["gates", "guards"])
def test_an_address_inside_a_cluster_is_asked_for_only_where_greenlight_may_be_in_it(complaint, policy, table):
    """The same Service may be in the cluster that Greenlight runs in, and be another version's."""
    asks = f'[[apps.mochi.{table}]]\nname = "smoke"\nkind = "http"\n'
    elsewhere = in_app('cluster = "eu-1"') + asks
    assert complaint(elsewhere + CLUSTERS) == (
        f'greenlight.toml:15: [apps.mochi.{table}] [0].path: is asked for under an address inside cluster "eu-1", and '
        "Greenlight may run in another, where that is another Service: write the whole `url`."
    )
    assert policy(elsewhere + 'url = "https://mochi.example.com/"\n' + CLUSTERS).apps
    assert policy(GOOD + asks).apps


def test_guards_have_the_documented_defaults(policy):
    public, errors = policy(GOOD + GUARDS).apps["mochi"].guards
    assert public == Guard("public", Http(path="/"), Action.ROLL_BACK, timedelta(seconds=15), 3, timedelta(minutes=10))
    assert errors.check == Prometheus("sum(rate(errors[1m]))", Comparison.BELOW, 0.01)


def test_all_that_can_be_said_of_guards_is_understood(policy):
    more = (
        'url = "https://mochi.example.com/"\nexpect = { body = "ok" }\nrepeat = 2\nwithin = "3s"\n'
        'action = "ask"\nevery = "20s"\nfailures = 2\nanswer_within = "5m"'
    )
    public, _ = policy(GOOD + GUARDS.replace('kind = "http"', f'kind = "http"\n{more}')).apps["mochi"].guards
    asked = Http(url="https://mochi.example.com/", body="ok", repeat=2, within=timedelta(seconds=3))
    assert public == Guard("public", asked, Action.ASK, timedelta(seconds=20), 2, timedelta(minutes=5))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            'kind = "http"',
            'kind = "k6"',
            "17: [apps.mochi.guards] [0].kind: must be one of 'http' or 'prometheus', in quotes, not \"k6\".",
        ),
        (
            'kind = "http"',
            "",
            '15: [apps.mochi.guards] [0].kind: is missing: write kind = "http" or "prometheus".',
        ),
        (
            'kind = "http"',
            'kind = "http"\naction = "stop"',
            "18: [apps.mochi.guards] [0].action: must be one of 'rollback', 'ask' or 'warn', in quotes, not \"stop\".",
        ),
        (
            'kind = "http"',
            'kind = "http"\nfailures = 0',
            "18: [apps.mochi.guards] [0].failures: must be at least 1, not 0.",
        ),
        (
            'kind = "http"',
            'kind = "http"\nevery = "2m"\nfailures = 4',
            (
                "18: [apps.mochi.guards] [0].every: and `failures` (4) do not fit into `bake_for`, which is 5m: it "
                "could never fail. Make one of them smaller, or watch for longer."
            ),
        ),
        (
            'kind = "http"',
            'kind = "http"\nmode = "block"',
            (
                "18: [apps.mochi.guards] [0].mode: is for gates, which check the candidate: leave it out, or make a "
                "gate of this, [[apps.mochi.gates]]."
            ),
        ),
        (
            'kind = "http"',
            'kind = "http"\nanswer_within = "5m"',
            (
                '18: [apps.mochi.guards] [0].answer_within: has no use without action = "ask": nobody is asked. '
                "Leave it out."
            ),
        ),
        (
            'kind = "http"',
            'kind = "http"\nurl = "https://mochi.example.com/"\npath = "/"',
            (
                "19: [apps.mochi.guards] [0].path: stands beside `url`, which is the whole address: leave one of them "
                "out."
            ),
        ),
        (
            'kind = "http"',
            'kind = "http"\nlatest = 1',
            (
                "18: [apps.mochi.guards] [0].latest: is not known; known here: name, kind, action, every, failures, "
                "answer_within, path, url, expect, repeat, within, query, pass."
            ),
        ),
        (
            'kind = "http"',
            'kind = "http"\nexpect = { statu = 200 }',
            "18: [apps.mochi.guards] [0].expect.statu: is not known; did you mean `status`?",
        ),
        (
            'name = "errors"',
            'name = "public"',
            '20: [apps.mochi.guards] [1].name: "public" is the name of two guards: nobody could tell them apart.',
        ),
        (
            '"< 0.01"',
            '"< 1.2x"',
            "23: [apps.mochi.guards] [1].pass: compares with a multiple: of a guard there is nothing to compare with.",
        ),
        (
            '[prometheus]\nurl = "http://prometheus:9090"',
            "",
            "21: [apps.mochi.guards] [1].kind: needs a table [prometheus] with its `url`.",
        ),
    ],
)
def test_a_guard_that_cannot_be_is_told_by_line_table_key_and_fix(complaint, before, after, expected):
    text = GOOD + GUARDS
    assert before in text
    assert complaint(text.replace(before, after, 1)) == f"greenlight.toml:{expected}"


# What a wrong one means: one line with file, line, table, key and fix. ------------------------------------------------

ID = "(switch on Settings → Advanced → Developer Mode in Discord, right-click the"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            changed("namespace", "namspace"),
            'greenlight.toml:3: [apps.mochi] namespace: is missing: write namespace = "<the Kubernetes namespace>".\n'
            "greenlight.toml:4: [apps.mochi] namspace: is not known; did you mean `namespace`?",
            id="a misspelt key, and what is missing because of it",
        ),
        pytest.param(
            f"gild = 1\n{GOOD}",
            "greenlight.toml:1: gild: is not known; did you mean `guild`?",
            id="misspelt at the top",
        ),
        pytest.param(
            f"guild = {GUILD}\ncolour = 1\n{APP}",
            "greenlight.toml:2: colour: is not known; known here: guild, apps, people, clusters, registries, "
            "prometheus.",
            id="a key like no other",
        ),
        pytest.param(
            GOOD + 'bake_for = "5m"',
            "greenlight.toml:14: [apps.mochi.approval] bake_for: belongs into the table [apps.mochi.timing]: "
            "move it below that header.",
            id="below the wrong header",
        ),
        pytest.param(
            GOOD + 'container = "x"',
            "greenlight.toml:14: [apps.mochi.approval] container: belongs into the table [apps.mochi]: "
            "move it below that header.",
            id="below a header that ended the app's own table",
        ),
        pytest.param(
            in_app('cluster = "eu-3"') + CLUSTERS,
            'greenlight.toml:5: [apps.mochi] cluster: "eu-3" is no table [clusters.eu-3] of this file; '
            'there is "eu-1", "eu-2".',
            id="a cluster that is not there",
        ),
        pytest.param(
            GOOD + "[clusters.eu-1]\n",
            "greenlight.toml:14: [clusters] eu-1: says nothing: "
            'write `context = "<a context of your kubeconfig>"`, or `kubeconfig = "<file>"`.',
            id="a cluster that leads nowhere",
        ),
        pytest.param(
            GOOD + '[clusters."EU 1"]\ncontext = "prod"\n',
            'greenlight.toml:14: [clusters] "EU 1": is not a cluster\'s name: 1 to 32 of a-z, 0-9 and `-`, '
            "no `-` at the ends; people read it on the cards.",
            id="a cluster's name",
        ),
        pytest.param(
            in_app('rollout = "mochiapp"'),
            "greenlight.toml:5: [apps.mochi] rollout: stands beside `service`, `preview`, `slots`, which a Rollout "
            "tells by itself: leave out the one or the other.",
            id="a Rollout and two Deployments",
        ),
        pytest.param(
            ON_ARGO.replace("channel", 'preview = "mochiapp-preview"\nchanel').replace(
                "[apps.mochi]", "[apps.mochi]\n"
            ),
            "greenlight.toml:3: [apps.mochi] channel: is missing: write channel = <the id of the channel for its "
            "cards>.\n"
            "greenlight.toml:5: [apps.mochi] rollout: stands beside `preview`, which a Rollout tells by itself: "
            "leave out the one or the other.\n"
            "greenlight.toml:8: [apps.mochi] chanel: is not known; did you mean `channel`?",
            id="a Rollout, what it tells by itself, and a misspelt key",
        ),
        pytest.param(
            ON_ARGO.replace('rollout = "mochiapp"\n', ""),
            'greenlight.toml:3: [apps.mochi] slots: is missing: write slots = ["<blue Deployment>", "<green '
            'Deployment>"] with `service` and `preview`, or rollout = "<Rollout>" if it runs on Argo Rollouts.',
            id="neither a Rollout nor two Deployments",
        ),
        pytest.param(
            ON_ARGO.replace("rollout =", "rolout ="),
            'greenlight.toml:3: [apps.mochi] slots: is missing: write slots = ["<blue Deployment>", "<green '
            'Deployment>"] with `service` and `preview`, or rollout = "<Rollout>" if it runs on Argo Rollouts.\n'
            "greenlight.toml:4: [apps.mochi] rolout: is not known; did you mean `rollout`?",
            id="a misspelt Rollout",
        ),
        pytest.param(
            in_app("adopt = false"),
            "greenlight.toml:5: [apps.mochi] adopt: has no use without `rollout`: versions that others bring up are "
            "seen there. Leave it out.",
            id="nothing to adopt",
        ),
        pytest.param(
            ON_ARGO.replace('"mochiapp"', '"Mochi_App"'),
            'greenlight.toml:4: [apps.mochi] rollout: "Mochi_App" is not a name in Kubernetes: '
            "at most 63 of a-z, 0-9 and `-`, no `-` at the ends.",
            id="no name of a Rollout",
        ),
        pytest.param(
            ON_ARGO.replace('namespace = "mochi"\n', ""),
            'greenlight.toml:3: [apps.mochi] namespace: is missing: write namespace = "<the Kubernetes namespace>".',
            id="a namespace that nobody can tell",
        ),
        pytest.param(
            ON_ARGO + ON_ARGO.partition("\n")[2].replace("apps.mochi", "apps.other"),
            'greenlight.toml:13: [apps.other] rollout: the Rollout "mochiapp" in "mochi" '
            "is app \"mochi\"'s already: they would move each other's traffic.",
            id="two apps on one Rollout",
        ),
        pytest.param(
            f'{GOOD}[people]\nann = "Ann"\n',
            f'greenlight.toml:15: [people] ann: "Ann" is a name: put the user\'s id there {ID} user, Copy User ID).',
            id="a person by name",
        ),
        pytest.param(
            f"{GOOD}[people]\n123 = 5\n",
            "greenlight.toml:15: [people] 123: is a number, and would be taken for a Discord user id: that needs no "
            "entry here.",
            id="a person called by a number",
        ),
        pytest.param(
            f'{GOOD}[people]\n" ann" = 5\n',
            'greenlight.toml:15: [people] " ann": is not a person\'s name: write it as it stands in the annotation, '
            "without spaces around it.",
            id="a person with spaces around",
        ),
        pytest.param(
            changed('namespace = "mochi"', "namespace = 5"),
            "greenlight.toml:4: [apps.mochi] namespace: must be text in quotes, not 5.",
            id="a number for text",
        ),
        pytest.param(
            in_app('pin = "yes"'),
            'greenlight.toml:5: [apps.mochi] pin: must be true or false, without quotes, not "yes".',
            id="text for a truth",
        ),
        pytest.param(
            changed(f"deployers = [{DEPLOYER}]", f"deployers = {DEPLOYER}"),
            f"greenlight.toml:10: [apps.mochi] deployers: must be a list, [ … ], not {DEPLOYER}.",
            id="one for a list",
        ),
        pytest.param(
            in_app("timing = 5"), "greenlight.toml:5: [apps.mochi] timing: must be a table, not 5.", id="no table"
        ),
        pytest.param(
            in_app('notify = "chanel"'),
            "greenlight.toml:5: [apps.mochi] notify: must be one of 'channel', 'thread' or 'off', in quotes, "
            'not "chanel".',
            id="not one of the words",
        ),
        pytest.param(
            changed(f"deployers = [{DEPLOYER}]", f'deployers = [{DEPLOYER}, "QC"]'),
            f'greenlight.toml:10: [apps.mochi] deployers[1]: "QC" is a name: put the role\'s id there '
            f"{ID} role, Copy Role ID).",
            id="a role by name",
        ),
        pytest.param(
            changed(f"roles = [{LEAD}]", "roles = [true]"),
            "greenlight.toml:13: [apps.mochi.approval] require[1].roles[0]: true is not an id: "
            f"put the role's id there {ID} role, Copy Role ID).",
            id="a truth for a role",
        ),
        pytest.param(
            changed(str(CHANNEL), '"#deploys"'),
            'greenlight.toml:5: [apps.mochi] channel: "#deploys" is a name: put the channel\'s id there '
            f"{ID} channel, Copy Channel ID).",
            id="a channel by name",
        ),
        pytest.param(
            changed(f"guild = {GUILD}", "guild = 0"),
            f"greenlight.toml:1: guild: 0 is not an id of Discord's {ID} server, Copy Server ID).",
            id="an id out of range",
        ),
        pytest.param(
            changed(f"guild = {GUILD}", f"guild = {2**63}"),
            f"greenlight.toml:1: guild: {2**63} is not an id of Discord's {ID} server, Copy Server ID).",
            id="an id that no database takes",
        ),
        pytest.param(
            changed(f"deployers = [{DEPLOYER}]", f"deployers = [{GUILD}]"),
            f"greenlight.toml:10: [apps.mochi] deployers[0]: {GUILD} is the server's own id, and so the role "
            "@everyone: name a real role.",
            id="everyone may deploy",
        ),
        pytest.param(
            in_app(f"rollbackers = [{QC}, {GUILD}]"),
            f"greenlight.toml:5: [apps.mochi] rollbackers[1]: {GUILD} is the server's own id, and so the role "
            "@everyone: name a real role.",
            id="everyone may roll back",
        ),
        pytest.param(
            changed(f"roles = [{QC}]", f"roles = [{GUILD}]"),
            f"greenlight.toml:13: [apps.mochi.approval] require[0].roles[0]: {GUILD} is the server's own id, "
            "and so the role @everyone: name a real role.",
            id="everyone may approve",
        ),
        pytest.param(
            changed(f"[{{ roles = [{QC}], count = 1 }}, {{ roles = [{LEAD}] }}]", "[]"),
            "greenlight.toml:13: [apps.mochi.approval] require: is empty: nobody would have to approve; "
            "write [{ roles = [<role id>], count = 1 }].",
            id="no requirement",
        ),
        pytest.param(
            changed(f"roles = [{QC}]", "roles = []"),
            "greenlight.toml:13: [apps.mochi.approval] require[0].roles: is empty: nobody could ever approve.",
            id="a requirement of no role",
        ),
        pytest.param(
            changed("count = 1", "count = 0"),
            "greenlight.toml:13: [apps.mochi.approval] require[0].count: must be at least 1, not 0.",
            id="a requirement of nobody",
        ),
        pytest.param(
            GOOD.partition("[apps.mochi.approval]")[0],
            "greenlight.toml:3: [apps.mochi] approval: is missing: write a table [apps.<name>.approval] with "
            "require = [{ roles = [<role id>], count = 1 }].",
            id="no approval",
        ),
        pytest.param(
            changed(f"deployers = [{DEPLOYER}]", "deployers = []"),
            "greenlight.toml:10: [apps.mochi] deployers: is empty: nobody could deploy; "
            "write the ids of the roles that may.",
            id="no deployer",
        ),
        pytest.param(
            changed("mochiapp-preview", "mochiapp"),
            'greenlight.toml:8: [apps.mochi] preview: "mochiapp" is also `service`: '
            "the preview needs a Service of its own.",
            id="one Service for both",
        ),
        pytest.param(
            changed('["mochiapp-blue", "mochiapp-green"]', '["mochiapp-blue"]'),
            'greenlight.toml:9: [apps.mochi] slots: has 1 of the two Deployments: write slots = ["…-blue", "…-green"].',
            id="one slot",
        ),
        pytest.param(
            changed("mochiapp-green", "mochiapp-blue"),
            'greenlight.toml:9: [apps.mochi] slots: names "mochiapp-blue" twice: blue and green are two Deployments.',
            id="one slot twice",
        ),
        pytest.param(
            GOOD + APP.replace("apps.mochi", "apps.other").replace("mochiapp-", "other-"),
            'greenlight.toml:19: [apps.other] service: the Service "mochiapp" in "mochi" '
            "is app \"mochi\"'s already: they would move each other's traffic.",
            id="two apps on one Service",
        ),
        pytest.param(
            GOOD
            + APP.replace("apps.mochi", "apps.other").replace('"mochiapp', '"other').replace("other-b", "mochiapp-b"),
            'greenlight.toml:21: [apps.other] slots: the Deployment "mochiapp-blue" in "mochi" '
            "is app \"mochi\"'s already: they would move each other's traffic.",
            id="two apps on one slot",
        ),
        pytest.param(
            changed('service = "mochiapp"', 'service = "Mochi_App"'),
            'greenlight.toml:7: [apps.mochi] service: "Mochi_App" is not a name in Kubernetes: '
            "at most 63 of a-z, 0-9 and `-`, no `-` at the ends.",
            id="no name of Kubernetes",
        ),
        pytest.param(
            changed("registry.example.com/mochi", "registry.example.com/mochi:green"),
            'greenlight.toml:6: [apps.mochi] image: "registry.example.com/mochi:green" names one version: '
            'leave only the repository, "registry.example.com/mochi".',
            id="an image with a tag",
        ),
        pytest.param(
            changed("registry.example.com/mochi", f"registry.example.com/mochi@sha256:{'a' * 64}"),
            'greenlight.toml:6: [apps.mochi] image: "registry.example.com/mochi@sha256:aaaaaaaaaaaaaaaaaaaaaaaa… '
            'names one version: leave only the repository, "registry.example.com/mochi".',
            id="an image with a digest",
        ),
        pytest.param(
            GOOD.replace("apps.mochi", "apps.Mochi"),
            "greenlight.toml:3: [apps] Mochi: is not an app's name: 1 to 32 of a-z, 0-9 and `-`, no `-` at the ends "
            "(it becomes part of a label).",
            id="an app's name",
        ),
        pytest.param(
            in_app('timing.bake_for = "0s"'),
            'greenlight.toml:5: [apps.mochi.timing] bake_for: "0s" is no time at all: a duration is longer than zero.',
            id="no time",
        ),
        pytest.param(
            in_app("timing.grace = 30"),
            'greenlight.toml:5: [apps.mochi.timing] grace: 30 has no unit: write "30s" or "30m".',
            id="no unit",
        ),
        pytest.param(
            in_app('timing = { graze = "5s" }'),
            "greenlight.toml:5: [apps.mochi.timing] graze: is not known; did you mean `grace`?",
            id="an inline table has its own line",
        ),
        pytest.param(
            in_app('links.production = "mochi.example.com"'),
            'greenlight.toml:5: [apps.mochi.links] production: "mochi.example.com" is not an address: '
            'write it whole, like "https://mochi.example.com/".',
            id="half an address",
        ),
        pytest.param(
            f'{GOOD}[registries."https://x"]\ninsecure = true',
            'greenlight.toml:14: [registries] "https://x": is not the host of a registry: '
            'write [registries."registry.example.com:5000"], in lower case.',
            id="a registry's host",
        ),
        pytest.param(
            f'{GOOD}[registries."a.example"]\nmirors = ["b.example"]',
            'greenlight.toml:15: [registries."a.example"] mirors: is not known; did you mean `mirrors`?',
            id="a misspelt key of a registry",
        ),
        pytest.param(
            f'{GOOD}[registries."a.example"]\nmirrors = "b.example"',
            'greenlight.toml:15: [registries."a.example"] mirrors: must be a list, [ … ], not "b.example".',
            id="one mirror for a list",
        ),
        pytest.param(
            f'{GOOD}[registries."a.example"]\nmirrors = ["b.example", "https://c.example"]',
            'greenlight.toml:15: [registries."a.example"] mirrors[1]: "https://c.example" is not the host of a '
            'registry: write it like "mirror.example.com:5000", in lower case.',
            id="a mirror's host",
        ),
        pytest.param(
            f'{GOOD}[registries."a.example"]\nmirrors = ["b.example", "b.example"]',
            'greenlight.toml:15: [registries."a.example"] mirrors[1]: names "b.example" twice: leave one of them out.',
            id="a mirror twice",
        ),
        pytest.param(
            f'{GOOD}[registries."docker.io"]\nmirrors = ["registry-1.docker.io"]',
            'greenlight.toml:15: [registries."docker.io"] mirrors[0]: "docker.io" is the registry itself: '
            "name hosts that hold copies.",
            id="a mirror of itself",
        ),
        pytest.param(
            f'{GOOD}[registries."a.example"]\nca = true',
            'greenlight.toml:15: [registries."a.example"] ca: must be text in quotes, not true.',
            id="a truth for a file",
        ),
        pytest.param(
            f'{GOOD}[registries."a.example"]\nca = "nowhere.pem"',
            'greenlight.toml:15: [registries."a.example"] ca: "nowhere.pem" cannot be read (No such file or directory)'
            ": name the file with the certificate that vouches for it.",
            id="no file with a certificate",
        ),
        pytest.param(
            f'{GOOD}[registries."a.example"]\nca = "greenlight.toml"',
            'greenlight.toml:15: [registries."a.example"] ca: "greenlight.toml" holds no certificate: '
            "it must be in PEM, as -----BEGIN CERTIFICATE----- begins it.",
            id="a file without a certificate",
        ),
        pytest.param(
            f'{GOOD}[registries."a.example"]\nca = "a\\u0000b"',
            'greenlight.toml:15: [registries."a.example"] ca: "a\\u0000b" cannot be read (not a path): '
            "name the file with the certificate that vouches for it.",
            id="a path that is none",
        ),
        pytest.param(
            f'{GOOD}[registries."docker.io"]\n[registries."index.docker.io"]\ninsecure = false',
            'greenlight.toml:15: [registries] "index.docker.io": is "docker.io" by another name: '
            "put all that is said of it into one table.",
            id="docker.io twice",
        ),
        pytest.param(
            f"guild = {GUILD}\napps = {{}}",
            "greenlight.toml:2: apps: is empty: there is nothing to release; add a table [apps.<name>], "
            "as in greenlight.example.toml.",
            id="no app",
        ),
        pytest.param("guild = \n", "greenlight.toml:1: is not valid TOML: Invalid value (column 9).", id="no TOML"),
        pytest.param(
            f'{GOOD}[[apps.mochi.gates]]\nquery = "up{{release="{{label}}"}}"\n',
            "greenlight.toml:15: is not valid TOML: Expected newline or end of document after a statement (column 22). "
            "Text that has double quotes in it stands in single ones: query = 'up{job=\"mochi\"}'.",
            id="double quotes in double quotes",
        ),
        pytest.param(
            f"{GOOD}[[apps.mochi.gates]]\nexpect = {{\n  status = 200,\n}}\n",
            "greenlight.toml:15: is not valid TOML: Invalid initial character for a key part (column 11). "
            "What begins with { ends with } on the same line.",
            id="an inline table on several lines",
            marks=pytest.mark.skipif(sys.version_info >= (3, 15), reason="TOML 1.1 allows it"),
        ),
        pytest.param(
            f'{GOOD}[apps.mochi.gates]\nname = "a"\n[apps.mochi.gates]\nname = "b"\n',
            "greenlight.toml:16: is not valid TOML: Cannot declare ('apps', 'mochi', 'gates') twice (column 18). "
            "Each of them has double brackets in its header: [[apps.mochi.gates]].",
            id="two gates in single brackets",
        ),
        pytest.param(
            f'{GOOD}[apps.mochi.guards]\nname = "a"\n',
            "greenlight.toml:14: [apps.mochi] guards: are several, so the header of each has double brackets: write "
            "[[apps.mochi.guards]].",
            id="a guard in single brackets",
        ),
        pytest.param(
            'guild = "1',
            "greenlight.toml: is not valid TOML: Unterminated string (at end of document).",
            id="a file that ends too early",
        ),
    ],
)
def test_a_wrong_file_is_told_by_line_table_key_and_fix(complaint, text, expected):
    told = complaint(text)
    assert told == expected


def test_a_bad_image_is_told_with_the_reason_of_the_grammar(complaint):
    told = complaint(changed("registry.example.com/mochi", "Registry.example.com/mochi"))
    assert told.startswith("greenlight.toml:6: [apps.mochi] image: ")
    assert "lower case" in told


def test_all_faults_are_told_at_once_in_the_order_of_the_file(complaint):
    """Whoever sets the bot up should not have to start it five times."""
    text = GOOD.replace('namespace = "mochi"', "colour = 1\npin = 1\nnamespace = 1").replace("count = 1", "count = 0")
    told = complaint(text.replace(f"[{DEPLOYER}]", "[]"))
    assert [line.split(": ")[0] for line in told.splitlines()] == [
        f"greenlight.toml:{line}" for line in (4, 5, 6, 12, 15)
    ]


def test_names_have_the_lengths_that_kubernetes_and_discord_allow(policy, complaint):
    links = 'links.preview = "https://a.example/{}"'
    for key, value in (("namespace", "mochi"), ("service", "mochiapp"), ("preview", "mochiapp-preview")):
        policy(changed(f'{key} = "{value}"', f'{key} = "{"n" * 63}"'))
        assert f"[apps.mochi] {key}: " in complaint(changed(f'{key} = "{value}"', f'{key} = "{"n" * 64}"'))
    policy(in_app(links.format("x" * 494)))
    assert "is not an address" in complaint(in_app(links.format("x" * 495)))
    slot = ".".join(["a" * 50] * 5)[:253]
    policy(changed("mochiapp-blue", slot))
    assert "longer than the 253" in complaint(changed("mochiapp-blue", slot + "a"))


@pytest.mark.parametrize("name", ["evil\nline", "\u202egnirts", "a" * 33, "", "-a", "a-", "a_b", "ümlaut"])
def test_a_fault_stays_one_line_of_ordinary_characters(complaint, name):
    quoted = name.replace("\n", "\\n")
    told = complaint(GOOD.replace("apps.mochi", f'apps."{quoted}"'))
    assert "is not an app's name" in told
    assert len(told.splitlines()) == 1
    assert "\u202e" not in told


def test_a_file_that_is_not_there_is_told_with_what_to_do():
    with pytest.raises(SettingsError, match=r"^nowhere\.toml: no such file\. Let `greenlight init` write one, or set "):
        read_policy(Path("nowhere.toml"))


def test_a_directory_in_the_place_of_the_file_is_told(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        read_policy(tmp_path)


TOML_VALUES = st.recursive(
    st.booleans() | st.integers(-(2**70), 2**70) | st.text(st.characters(codec="ascii"), max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


DANGO = f"""[apps.dango]
rollout = "dango"
adopt = false
channel = {CHANNEL}
deployers = [{DEPLOYER}]
approval.require = [{{ roles = [{QC}] }}]
namespace = "dango"
[people]
ann = {QC}
"""
WHOLE = f'{GOOD}[registries."a.example"]\ninsecure = false\nmirrors = ["b.example"]\n{DANGO}'


@given(st.sampled_from([*WHOLE.splitlines(), "ca = "]), TOML_VALUES)
@example("ca = ", ".")
@example("ca = ", "a" * 5000)
def test_any_value_in_any_place_is_taken_or_refused_in_lines(tmp_path_factory, line, value):
    """Never a traceback: whoever starts the bot is no Python programmer."""
    key, equals, _ = line.partition(" = ")
    if not equals:
        return
    file = tmp_path_factory.getbasetemp() / "any.toml"
    changed = f"{key} = {json.dumps(value)}"
    file.write_text(WHOLE.replace(line, changed) if line in WHOLE else WHOLE + changed, "utf-8")
    try:
        read_policy(file)
    except SettingsError as why:
        for told in str(why).splitlines():
            assert told.startswith(f"{file}"), told


# Durations. -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("15m", 900), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400), ("1d2h3m4s", 93_784), ("90m", 5400)],
)
def test_durations_are_written_as_for_kubernetes_and_prometheus(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "5 m", "1h 30m", "30m1h", "1h1h", "-5m", "1.5h", "5M", "5min", "0s", "0h0m", "366d", "9" * 9 + "d"],
)
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError, match=r"is not a duration|is no time at all|is longer than a year"):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=365)))
def test_a_duration_means_what_it_says(duration):
    seconds = duration // timedelta(seconds=1)
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    parts = zip((days, hours, *divmod(rest, 60)), "dhms", strict=True)
    assert parse_duration("".join(f"{amount}{unit}" for amount, unit in parts if amount)) == timedelta(seconds=seconds)


# The environment. -----------------------------------------------------------------------------------------------------


def test_an_environment_with_a_token_is_enough(monkeypatch, tmp_path):
    (tmp_path / "greenlight.toml").write_text(GOOD, "utf-8")
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    settings = load()
    assert settings.token.get_secret_value() == TOKEN
    assert settings.guild == GUILD
    assert [*settings.apps] == ["mochi"]
    assert settings.database_url == "sqlite+aiosqlite:///greenlight.db"
    assert (settings.log_level, settings.log_format) == (LogLevel.INFO, LogFormat.TEXT)
    assert (settings.discord_api_url, settings.discord_gateway_url) == (None, None)
    assert settings.clusters == {"": Credentials()}
    assert (settings.docker_config, settings.health) == (None, None)


def test_every_variable_reaches_the_settings(monkeypatch, tmp_path):
    (tmp_path / "other.toml").write_text(GOOD, "utf-8")
    (tmp_path / "token").write_text(f"{TOKEN}\n", "utf-8")
    for name, value in {
        "DISCORD_TOKEN_FILE": "token",
        "GREENLIGHT_CONFIG": "other.toml",
        "GREENLIGHT_HEALTH": "[::1]:8080",
        "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/releases.db",
        "DISCORD_API_URL": "http://127.0.0.1:8080/api/v10/",
        "DISCORD_GATEWAY_URL": "ws://127.0.0.1:8080/gateway",
        "KUBECONFIG": "a:b",
        "DOCKER_CONFIG": "docker",
        "LOG_LEVEL": "Debug",
        "LOG_FORMAT": "JSON",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.token.get_secret_value() == TOKEN
    assert settings.health == ("::1", 8080)
    assert settings.database_url == f"sqlite+aiosqlite:///{tmp_path}/releases.db"
    assert settings.discord_api_url == "http://127.0.0.1:8080/api/v10"
    assert settings.discord_gateway_url == "ws://127.0.0.1:8080/gateway"
    assert settings.clusters == {"": Credentials("a:b")}
    assert settings.docker_config == Path("docker")
    assert (settings.log_level, settings.log_format) == (LogLevel.DEBUG, LogFormat.JSON)


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    """Compose files and charts pass what is not set as an empty text."""
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("LOG_LEVEL", "")
    environment = Environment.read()
    assert (environment.database_url, environment.log_level) == ("sqlite+aiosqlite:///greenlight.db", LogLevel.INFO)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_database_that_could_not_be_written_is_told(monkeypatch, tmp_path):
    (tmp_path / "readonly").mkdir(mode=0o555)
    monkeypatch.setenv("DATABASE_URL", "sqlite+aiosqlite:///readonly/greenlight.db")
    with pytest.raises(SettingsError, match="DATABASE_URL: readonly: must be writable"):
        Environment.read()


def test_the_token_is_never_shown_by_accident(monkeypatch, tmp_path):
    (tmp_path / "greenlight.toml").write_text(GOOD, "utf-8")
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    assert TOKEN not in repr(load())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "DISCORD_TOKEN is not set: put the bot's token there (Discord Developer Portal → "),
        ({"DISCORD_TOKEN": ""}, "DISCORD_TOKEN is not set: "),
        ({"DISCORD_TOKEN": "  "}, "DISCORD_TOKEN: is empty: "),
        ({"DISCORD_TOKEN": f"Bot {TOKEN}"}, "DISCORD_TOKEN: holds more than a token: leave out spaces, `Bot ` and "),
        (
            {"DISCORD_TOKEN": TOKEN, "DISCORD_TOKEN_FILE": "token"},
            "DISCORD_TOKEN and DISCORD_TOKEN_FILE are both set: ",
        ),
        (
            {"DISCORD_TOKEN_FILE": "nowhere"},
            "DISCORD_TOKEN_FILE: nowhere: no such file: write the bot's token into it.",
        ),
        ({"DISCORD_TOKEN_FILE": "."}, "DISCORD_TOKEN_FILE: .: cannot be read: "),
        ({"DISCORD_TOKEN_FILE": "binary"}, "DISCORD_TOKEN_FILE: binary: is no text: "),
        ({"DISCORD_TOKEN_FILE": "two"}, "DISCORD_TOKEN_FILE: two: holds more than a token: "),
        ({"DISCORD_TOKEN_FILE": "empty"}, "DISCORD_TOKEN_FILE: empty: is empty: "),
        (
            {"GREENLIGHT_HEALTH": "8080"},
            "GREENLIGHT_HEALTH: is not a host and a port: write 0.0.0.0:8080 in a container, ",
        ),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error', not 'loud'."),
        ({"DATABASE_URL": "postgresql://u:pw@db/x"}, "DATABASE_URL: PostgreSQL is not supported yet: write sqlite+"),
        (
            {"DATABASE_URL": "greenlight.db"},
            "DATABASE_URL: `greenlight.db` is not supported: write sqlite+aiosqlite:///",
        ),
        ({"DATABASE_URL": "sqlite+aiosqlite:///no/x.db"}, "DATABASE_URL: no: no such directory: create it, or write "),
        ({"DISCORD_API_URL": "discord.com"}, "DISCORD_API_URL: is not an address: write https://<host>, or leave it "),
        ({"DISCORD_GATEWAY_URL": "https://x"}, "DISCORD_GATEWAY_URL: is not an address: write wss://<host>, or leave "),
    ],
)
def test_a_wrong_variable_is_told_by_name_and_fix(monkeypatch, tmp_path, environment, expected):
    (tmp_path / "greenlight.toml").write_text(GOOD, "utf-8")
    (tmp_path / "two").write_text(f"{TOKEN}\nsecond", "utf-8")
    (tmp_path / "empty").write_text("\n", "utf-8")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load()
    told = str(raised.value)
    assert told.startswith(expected)
    assert len(told.splitlines()) == 1
    assert TOKEN not in told
    assert "pw" not in told


def test_a_missing_token_and_a_wrong_file_are_told_together():
    with pytest.raises(SettingsError) as raised:
        load()
    assert [line.split()[0] for line in str(raised.value).splitlines()] == ["DISCORD_TOKEN", "greenlight.toml:"]
