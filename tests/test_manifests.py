"""What is shipped in `deploy/` fits together, the image and the code: a name that is changed here is changed there."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.clusters.adoption import BEFORE
from bot.clusters.argo.discovery import behind
from bot.clusters.argo.patches import NUDGED, WRITTEN
from bot.clusters.claim import STORE
from bot.clusters.cluster import ACTOR_NOTE, LABEL, RELEASE_NOTE
from bot.clusters.links import best_link
from bot.clusters.rights import rules
from bot.policy import read_policy
from bot.release.image import parse
from bot.settings import Environment

Json = dict[str, Any]

CHECKOUT = Path(__file__).parent.parent
DEPLOY = CHECKOUT / "deploy"
FILES = sorted(DEPLOY.rglob("*.yaml"))
ON_ARGO = DEPLOY / "examples" / "mochi-argo"
"""The same app on Argo Rollouts, in a namespace of its own."""
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text("utf-8")
CLUSTER_WIDE = {"Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


def shipped(kind: str, name: str = "greenlight", *, on_argo: bool = False) -> Json:
    files = [file for file in FILES if (file.parent == ON_ARGO) is on_argo]
    [found] = [item for item in everything(files) if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def everything(files: list[Path] = FILES) -> list[Json]:
    return list(itertools.chain.from_iterable(yaml.safe_load_all(file.read_text("utf-8")) for file in files))


@pytest.fixture
def pod():
    return shipped("Deployment")["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    [only] = pod["containers"]
    return only


@pytest.fixture
def environment(container):
    return {each["name"]: each["value"] for each in container["env"]}


@pytest.fixture
def app(tmp_path):
    """The app that the example's `greenlight.toml` is about, as Greenlight would read it out of the ConfigMap."""
    file = tmp_path / "greenlight.toml"
    file.write_text(shipped("ConfigMap")["data"]["greenlight.toml"], "utf-8")
    [only] = read_policy(file).apps.values()
    return only


def test_one_command_applies_all_that_greenlight_is_and_nothing_of_the_example():
    """`kubectl apply -f deploy/` reads the files of that folder alone, in this order."""
    files = sorted(DEPLOY.glob("*.yaml"))
    kinds = [item["kind"] for file in files for item in yaml.safe_load_all(file.read_text("utf-8"))]
    assert kinds[0] == "Namespace"
    assert {"ConfigMap", "ServiceAccount", "PersistentVolumeClaim", "Deployment", "NetworkPolicy"} <= {*kinds}
    assert {"Role", "RoleBinding"}.isdisjoint(kinds)
    namespaces = {item["metadata"].get("namespace") for item in everything() if item["kind"] not in CLUSTER_WIDE}
    assert namespaces == {"greenlight", "mochi", "mochi-argo"}
    named = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in everything()]
    assert len({*named}) == len(named)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_s8_no_manifest_holds_a_secret(file):
    """A Secret that is applied with the rest is one that ends in Git."""
    text = file.read_text("utf-8")
    assert [item["kind"] for item in yaml.safe_load_all(text) if item["kind"] == "Secret"] == []
    assert not re.search(r"DISCORD_TOKEN\b|stringData|[MN][\w-]{23}\.[\w-]{6}\.[\w-]{27}", text)


def test_the_token_comes_out_of_a_file_that_only_greenlight_reads(pod, container, environment):
    [volume] = [each["secret"] for each in pod["volumes"] if "secret" in each]
    [mount] = [each for each in container["volumeMounts"] if each["name"] == "token"]
    [item] = volume["items"]
    assert environment["DISCORD_TOKEN_FILE"] == f"{mount['mountPath']}/{item['path']}"
    assert (mount["readOnly"], volume["defaultMode"]) == (True, 0o440)


def test_the_pod_runs_as_the_user_of_the_image_and_needs_no_more_rights(pod, container):
    user, group = map(int, re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE).groups())
    assert f"install -d -o {user} -g {group} /data" in DOCKERFILE
    secured = pod["securityContext"]
    assert (secured["runAsUser"], secured["runAsGroup"], secured["fsGroup"]) == (user, group, group)
    assert secured["runAsNonRoot"] is True
    assert secured["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_what_the_pod_says_of_the_image_is_what_the_image_is(container, environment):
    """No command of its own, the paths of the image, and variables that Greenlight reads."""
    assert 'ENTRYPOINT ["greenlight"]\nCMD ["run"]\n' in DOCKERFILE
    assert not {"command", "args"} & {*container}
    defaults = dict(re.findall(r"([A-Z_]+)=(\S+)", DOCKERFILE))
    for name in ("GREENLIGHT_CONFIG", "GREENLIGHT_HEALTH", "DATABASE_URL", "LOG_FORMAT"):
        assert environment[name] == defaults[name]
    assert {name.lower() for name in environment} <= {*Environment.model_fields}


def test_the_volumes_are_where_greenlight_writes_and_reads(container, environment):
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert f"VOLUME {mounts['data']}\n" in DOCKERFILE
    assert environment["DATABASE_URL"].startswith(f"sqlite+aiosqlite:///{mounts['data']}/")
    assert environment["GREENLIGHT_CONFIG"] == f"{mounts['config']}/greenlight.toml"
    assert mounts["tmp"] == "/tmp"


def test_there_is_one_greenlight_and_it_has_the_time_to_stop(pod):
    """Two would be two bots with one token, and one file of SQLite."""
    spec = shipped("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert pod["terminationGracePeriodSeconds"] > 10
    assert shipped("PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_the_probes_ask_where_greenlight_answers_and_the_network_lets_them(container, environment):
    host, _, port = environment["GREENLIGHT_HEALTH"].rpartition(":")
    assert host == "0.0.0.0"
    assert container["ports"] == [{"name": "health", "containerPort": int(port)}]
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in asked.values()} == {"health"}
    assert {name: probe["path"] for name, probe in asked.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    network = shipped("NetworkPolicy")["spec"]
    assert network["ingress"] == [{"ports": [{"port": int(port), "protocol": "TCP"}]}]


def test_the_network_policy_is_about_greenlight_and_opens_what_it_needs_to_reach(pod):
    policy, template = shipped("NetworkPolicy")["spec"], shipped("Deployment")["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 443, 6443}
    assert all(rule["to"] for rule in policy["egress"])


def test_s15_the_example_role_is_exactly_what_the_example_app_needs(app):
    assert shipped("Role")["rules"] == rules([app])
    assert shipped("Role")["metadata"]["namespace"] == app.namespace


@pytest.mark.parametrize("on_argo", [False, True])
def test_s15_nobody_is_bound_to_the_role_but_greenlight(on_argo):
    account = shipped("ServiceAccount")["metadata"]
    binding, role = (shipped(kind, on_argo=on_argo) for kind in ("RoleBinding", "Role"))
    assert binding["subjects"] == [{"kind": "ServiceAccount", **account}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["metadata"]["namespace"] == role["metadata"]["namespace"]
    assert shipped("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]
    assert shipped("Deployment")["metadata"]["namespace"] == account["namespace"]


@pytest.mark.parametrize("resource", ["services", "deployments", "rollouts"])
def test_s16_the_policies_are_about_greenlight_and_name_what_its_roles_let_it_change(resource):
    policy = shipped("ValidatingAdmissionPolicy", f"greenlight-{resource}")["spec"]
    account = shipped("ServiceAccount")["metadata"]
    user = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    assert [each["expression"] for each in policy["matchConditions"]] == [f"request.userInfo.username == '{user}'"]
    [named] = [each["expression"] for each in policy["variables"] if each["name"] == resource]
    roles = [shipped("Role"), shipped("Role", on_argo=True)]
    changed = [
        f"{role['metadata']['namespace']}/{name}"
        for role in roles
        for rule in role["rules"]
        if rule["resources"] == [resource] and "patch" in rule["verbs"]
        for name in rule["resourceNames"]
    ]
    assert re.findall(r"'(.+)'", named) == changed != []


@pytest.mark.parametrize("resource", ["services", "deployments", "rollouts"])
def test_s16_a_policy_that_cannot_be_asked_refuses(resource):
    """Its binding refuses and does not only warn; it needs no object that could be missing."""
    policy = shipped("ValidatingAdmissionPolicy", f"greenlight-{resource}")["spec"]
    binding = shipped("ValidatingAdmissionPolicyBinding", f"greenlight-{resource}")["spec"]
    assert policy["failurePolicy"] == "Fail"
    assert "paramKind" not in policy
    assert binding == {"policyName": f"greenlight-{resource}", "validationActions": ["Deny"]}
    [matched] = policy["matchConstraints"]["resourceRules"]
    assert (matched["resources"], matched["operations"]) == ([resource, f"{resource}/*"], ["*"])


def test_s16_what_greenlight_writes_is_what_the_policies_let_it_write():
    text = (DEPLOY / "5-admission.yaml").read_text("utf-8")
    allowed = re.search(r"variables\.annotations\.all\(key, key\.startsWith\('(.+?)'\)", text)[1]
    assert all(note.startswith(allowed) for note in (STORE, BEFORE, RELEASE_NOTE, ACTOR_NOTE, WRITTEN, NUDGED))
    assert {*re.findall(r"key == '(greenlight\.dev/\w+)'", text)} == {LABEL}


def test_the_example_is_the_app_that_the_example_configuration_names(app):
    """And it is one app: that of greenlight.example.toml, which has every key."""
    [full] = read_policy(CHECKOUT / "greenlight.example.toml").apps.values()
    assert full == app
    names = (app.target.service, app.target.preview)
    assert {shipped("Service", name)["metadata"]["namespace"] for name in names} == {app.namespace}
    for name in app.target.slots:
        slot = shipped("Deployment", name)
        assert slot["metadata"]["namespace"] == app.namespace
        [only] = slot["spec"]["template"]["spec"]["containers"]
        assert only["image"].rpartition(":")[0] == app.image


def test_everything_of_the_example_is_of_the_apps_namespace(app):
    example = [file for file in FILES if file.parent.name == "mochi"]
    items = [item for file in example for item in yaml.safe_load_all(file.read_text("utf-8"))]
    assert {item["metadata"]["namespace"] for item in items} == {app.namespace}


# On Argo Rollouts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def on_argo():
    [only] = read_policy(ON_ARGO / "greenlight.toml").apps.values()
    return only


def test_the_example_on_argo_rollouts_is_what_its_configuration_names(on_argo):
    rollout = shipped("Rollout", on_argo.argo.rollout, on_argo=True)
    blue_green = rollout["spec"]["strategy"]["blueGreen"]
    names = {blue_green["activeService"], blue_green["previewService"]}
    assert {shipped("Service", name, on_argo=True)["metadata"]["namespace"] for name in names} == {on_argo.namespace}
    [only] = rollout["spec"]["template"]["spec"]["containers"]
    assert parse(only["image"]).name in on_argo.images


def test_the_example_on_argo_rollouts_repeats_nothing_in_its_configuration(on_argo):
    text = (ON_ARGO / "greenlight.toml").read_text("utf-8")
    assert not re.search(r"^(service|preview|slots|container|image|links)\b", text, re.MULTILINE)
    assert on_argo.image == ""


def test_the_example_on_argo_rollouts_is_as_teams_have_it():
    """What Greenlight has to live with: one pod, Services that select just the app, certificates for other hosts."""
    spec = shipped("Rollout", "mochiapp", on_argo=True)["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"]) == (1, 1)
    [only] = spec["template"]["spec"]["containers"]
    assert (only["name"], only["image"], only["imagePullPolicy"]) == ("myapp", "argoproj/rollouts:blue", "Always")
    assert [(port["name"], port["containerPort"]) for port in only["ports"]] == [("http", 8080)]
    for name in ("mochiapp", "mochiapp-preview"):
        service = shipped("Service", name, on_argo=True)["spec"]
        assert (service["type"], service["selector"]) == ("ClusterIP", {"app": "mochi"})
        assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(80, "http")]
        ingress = shipped("Ingress", name, on_argo=True)
        assert any(key.startswith("cert-manager.io/") for key in ingress["metadata"]["annotations"])
        [rule], [tls] = ingress["spec"]["rules"], ingress["spec"]["tls"]
        assert (ingress["spec"]["ingressClassName"], rule["host"]) == ("nginx", f"{name}.bluegreen.xyz")
        assert tls["hosts"] == [f"{name}.bluegreen.domain"]
        assert best_link(name, [ingress], []) == f"http://{name}.bluegreen.xyz/"


def test_s15_the_role_on_argo_rollouts_is_exactly_what_the_example_needs(on_argo):
    role, rollout = shipped("Role", on_argo=True), shipped("Rollout", "mochiapp", on_argo=True)
    assert role["rules"] == rules([on_argo], {on_argo.name: behind(rollout)})
    assert role["metadata"]["namespace"] == on_argo.namespace


def test_everything_of_the_example_on_argo_rollouts_is_of_the_apps_namespace(on_argo):
    items = everything([file for file in FILES if file.parent == ON_ARGO])
    assert {item["metadata"]["namespace"] for item in items} == {on_argo.namespace}


def test_the_pod_for_copying_the_database_is_greenlights_own_to_the_volume(pod, container):
    copying = shipped("Pod", "greenlight-volume")["spec"]
    [files] = copying["containers"]
    assert copying["securityContext"] == pod["securityContext"]
    assert files["securityContext"] == container["securityContext"]
    assert files["image"] == container["image"]
    [volume] = copying["volumes"]
    assert volume in pod["volumes"]
    assert all(mount in container["volumeMounts"] for mount in files["volumeMounts"])
