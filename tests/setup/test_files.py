"""What `init` writes and prints: a policy that lacks only ids of Discord's, and manifests for what is missing."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from namespaces import ACCOUNT, IMAGE, NAMESPACE, PEOPLE, changed, deployment, ingress, looked, rollout, service

from bot.clusters.rights import rules
from bot.policy import SettingsError, read_policy
from bot.setup.comment import comment
from bot.setup.manifests import Account, manifests
from bot.setup.objects import Budget, seen
from bot.setup.policy_file import People, policy_file
from bot.setup.sibling import SLOT
from bot.setup.yaml_text import yaml_text
from sandbox.cluster import Cluster

DEPLOY = Path(__file__).parents[2] / "deploy"
BLUE = {"app": "mochi", "color": "blue"}


@pytest.fixture
async def outcome():
    """One Deployment, one Service, one Ingress."""
    return await looked(deployment(), service(), ingress())


def policy(outcome, tmp_path, people=PEOPLE):
    file = tmp_path / "greenlight.toml"
    file.write_text(policy_file(outcome.found, outcome.objects, people), "utf-8")
    return read_policy(file)


async def test_with_the_ids_it_is_a_valid_policy(outcome, tmp_path):
    read = policy(outcome, tmp_path)
    app = read.apps["mochi"]
    assert (read.guild, app.channel, app.deployers) == (11, 12, {13})
    assert [requirement.roles for requirement in app.approval.require] == [{14}, {15}]
    assert (app.namespace, app.image) == (NAMESPACE, "registry.example.com/mochi")
    assert (app.target.service, app.target.preview, app.target.slots) == (
        "mochi",
        "mochi-preview",
        ("mochi", "mochi-b"),
    )
    assert app.target == outcome.app.app.target


async def test_without_the_ids_each_line_that_lacks_one_is_named(outcome, tmp_path):
    with pytest.raises(SettingsError) as refusal:
        policy(outcome, tmp_path, People())
    lines = [re.sub(r"^.*?toml:\d+: ", "", line) for line in str(refusal.value).splitlines()]
    assert [line.partition(": ")[0] for line in lines] == [
        "guild",
        "[apps.mochi] channel",
        "[apps.mochi] deployers[0]",
        "[apps.mochi.approval] require[0].roles[0]",
    ]
    assert all("0 is not an id of Discord's" in line and "Copy" in line for line in lines)


async def test_comments_name_the_addresses_and_the_one_that_is_missing(outcome):
    assert "Production button: http://mochi.example.com/" in outcome.comments
    assert "so the card has no Preview button" in outcome.comments


async def test_addresses_are_read_from_http_routes_as_well():
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "preview", "namespace": NAMESPACE},
        "spec": {
            "parentRefs": [{"name": "public", "sectionName": "https"}],
            "hostnames": ["next.mochi.example.com"],
            "rules": [{"backendRefs": [{"name": "mochi-preview", "port": 80}]}],
        },
    }
    outcome = await looked(deployment(), service(), ingress(), route)
    assert "Preview button: https://next.mochi.example.com/" in outcome.comments
    assert "Ingress" not in manifests(outcome.found, outcome.objects, ACCOUNT)


async def test_an_ingress_for_the_preview_is_suggested_and_not_applied(outcome):
    text = manifests(outcome.found, outcome.objects, ACCOUNT)
    assert outcome.made("Ingress") == []
    [suggested] = yaml.safe_load_all(text[text.index("# apiVersion: networking") :].replace("# ", ""))
    [rule] = suggested["spec"]["rules"]
    assert rule["host"] == "preview.mochi.example.com"
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == "mochi-preview"


async def test_only_what_is_missing_is_printed_and_nothing_that_exists(outcome):
    printed = {(item["kind"], item["metadata"]["name"]) for item in outcome.printed}
    assert printed == {
        ("Namespace", "greenlight"),
        ("ServiceAccount", "greenlight"),
        ("Role", "greenlight"),
        ("RoleBinding", "greenlight"),
        ("Service", "mochi-preview"),
        ("Deployment", "mochi-b"),
    }


async def test_the_api_server_takes_what_is_printed(outcome):
    cluster = Cluster()
    cluster.apply([deployment(), service()])
    cluster.apply(item for item in outcome.printed if item["kind"] in {"Deployment", "Service"})
    cluster.settle()
    assert cluster.objects.get("deployments", NAMESPACE, "mochi-b")["spec"]["replicas"] == 0


async def test_the_account_is_the_one_that_the_shipped_manifests_use(outcome):
    """Whoever moves the bot into the cluster finds it there, and applies the same again."""
    shipped = [item for file in DEPLOY.glob("*.yaml") for item in yaml.safe_load_all(file.read_text("utf-8"))]
    for kind in ("Namespace", "ServiceAccount"):
        assert outcome.made(kind) == [item for item in shipped if item["kind"] == kind]


async def test_the_names_for_the_policies_stand_above_the_role(outcome):
    text = manifests(outcome.found, outcome.objects, ACCOUNT).replace("\n# ", " ")
    assert "services 'mochi/mochi', 'mochi/mochi-preview'; deployments 'mochi/mochi', 'mochi/mochi-b'." in text


async def test_an_account_that_exists_is_not_made_again(outcome):
    text = manifests(outcome.found, outcome.objects, replace(ACCOUNT, exists=True))
    assert {item["kind"] for item in yaml.safe_load_all(text)} == {"Role", "RoleBinding", "Service", "Deployment"}


async def test_an_account_beside_the_app_needs_no_namespace_of_its_own(outcome):
    """Who may not make namespaces can begin all the same."""
    text = manifests(outcome.found, outcome.objects, Account(NAMESPACE, "bot"))
    items = {item["kind"]: item for item in yaml.safe_load_all(text)}
    assert "Namespace" not in items
    assert items["RoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": "bot", "namespace": NAMESPACE}]


async def test_the_role_is_exactly_what_the_written_policy_needs(outcome, tmp_path):
    """S15: by name where something is changed, and no right more than the bot uses."""
    [role] = outcome.made("Role")
    assert role["rules"] == rules(policy(outcome, tmp_path).apps.values())


async def test_the_idle_slot_is_the_live_one_without_pods_and_without_its_history():
    def with_history(item):
        item["metadata"]["annotations"] = {
            "deployment.kubernetes.io/revision": "7",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "argocd.argoproj.io/tracking-id": "mochi:apps/Deployment:mochi/mochi",
            "meta.helm.sh/release-name": "mochi",
        }
        item["metadata"]["labels"] |= {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "mochi"}
        template = item["spec"]["template"]
        template["metadata"]["labels"]["app.kubernetes.io/instance"] = "mochi"
        template["metadata"]["annotations"] = {
            "kubectl.kubernetes.io/restartedAt": "2026-01-05T09:00:00Z",
            "prometheus.io/scrape": "true",
        }
        item["spec"] |= {"paused": True, "minReadySeconds": 5}

    live = changed(deployment(), with_history)
    outcome = await looked(live, service())
    [made] = outcome.made("Deployment")
    assert made.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert made["metadata"] == {"name": "mochi-b", "namespace": NAMESPACE, "labels": {"app": "mochi"}}
    assert made["spec"]["replicas"] == 0
    assert made["spec"]["minReadySeconds"] == 5
    assert "paused" not in made["spec"]
    template = made["spec"]["template"]
    assert template["metadata"] == {
        "labels": {"app": "mochi", "app.kubernetes.io/instance": "mochi", SLOT: "b"},
        "annotations": {"prometheus.io/scrape": "true"},
    }
    [stored] = [each for each in outcome.objects.deployments if each.name == "mochi"]
    assert template["spec"] == stored.raw["spec"]["template"]["spec"]


async def test_pods_of_the_second_slot_are_told_apart_by_a_label_of_their_own(outcome):
    """Two Deployments whose selectors were the same would each believe the other's pods to be its own."""
    [made] = outcome.made("Deployment")
    assert made["spec"]["selector"] == {"matchLabels": {"app": "mochi", SLOT: "b"}}
    [preview] = outcome.made("Service")
    assert preview["spec"]["selector"] == {"app": "mochi", SLOT: "b"}
    assert "matches the pods of mochi-b too" in outcome.comments


async def test_a_blue_deployment_gets_a_green_one_and_no_selector_matches_both():
    outcome = await looked(deployment("mochi-blue", **BLUE), service())
    [made] = outcome.made("Deployment")
    assert made["metadata"]["name"] == "mochi-green"
    assert made["spec"]["selector"]["matchLabels"] == {"app": "mochi", "color": "green"}
    assert made["spec"]["template"]["metadata"]["labels"] == {"app": "mochi", "color": "green"}
    [preview] = outcome.made("Service")
    assert preview["spec"]["selector"] == {"app": "mochi", "color": "green"}
    assert "can never be changed" not in outcome.comments


async def test_the_release_label_of_a_live_deployment_is_not_copied():
    """I3: with it the Service would take the copy for the version that was approved."""
    label = {"greenlight.dev/release": "mochi-1-k3f9q2"}
    live = deployment(match={"app": "mochi"}, app="mochi", **label)
    outcome = await looked(live, service(app="mochi", **label))
    [made] = outcome.made("Deployment")
    [preview] = outcome.made("Service")
    assert label.keys() & made["spec"]["template"]["metadata"]["labels"].keys() == set()
    assert preview["spec"]["selector"] == {"app": "mochi", SLOT: "b"}


async def test_the_preview_stays_inside_the_cluster_and_has_the_ports_of_production():
    ports = [
        {"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080},
        {"name": "grpc", "port": 90, "targetPort": 9090, "appProtocol": "kubernetes.io/h2c"},
    ]
    outcome = await looked(deployment(), service(spec={"type": "LoadBalancer", "ports": ports}))
    [preview] = outcome.made("Service")
    assert preview["spec"].keys() == {"selector", "ports"}
    assert preview["spec"]["ports"] == [
        {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"},
        {"name": "grpc", "port": 90, "targetPort": 9090, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"},
    ]


async def test_what_counts_pods_is_named_with_what_follows():
    """Autoscalers of two Deployments whose selectors overlap both stop: a second one would do harm."""
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "mochi", "namespace": NAMESPACE},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mochi"}, "maxReplicas": 5},
    }
    outcome = await looked(deployment(), service(), autoscaler)
    assert "Do not make a second one for mochi-b" in outcome.comments

    coloured = changed(autoscaler, lambda item: item["spec"]["scaleTargetRef"].update(name="mochi-blue"))
    outcome = await looked(deployment("mochi-blue", **BLUE), service(), coloured)
    assert "make one for mochi-green too" in outcome.comments

    budget = {"metadata": {"name": "mochi"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "mochi"}}}}
    with_budget = replace(outcome, objects=replace(outcome.objects, budgets=seen(Budget, [budget])[0]))
    assert "PodDisruptionBudget mochi counts the pods of both slots" in with_budget.comments


async def test_what_a_team_may_not_think_of_is_told():
    def change(item):
        item["metadata"]["labels"]["argocd.argoproj.io/instance"] = "mochi"
        spec = item["spec"]["template"]["spec"]
        del spec["containers"][0]["readinessProbe"]
        spec["containers"][0]["ports"][0]["hostPort"] = 8080
        spec["imagePullSecrets"] = [{"name": "registry"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]

    outcome = await looked(changed(deployment(), change), service(spec={"clusterIP": "None"}))
    for words in (
        "Container web has no readinessProbe",
        "with a login of its own, from DOCKER_CONFIG",
        "both versions have it open at once",
        "keep each other off a node (a hostPort)",
        "is kept by Argo CD",
        "is headless",
        "No Ingress or HTTPRoute leads to it, so the card has no Production button",
    ):
        assert words in outcome.comments


async def test_pods_that_need_a_node_each_need_further_nodes_for_a_candidate():
    def change(item):
        term = {"labelSelector": {"matchLabels": {"app": "mochi"}}, "topologyKey": "kubernetes.io/hostname"}
        apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        item["spec"]["template"]["spec"]["affinity"] = apart

    outcome = await looked(changed(deployment(), change), service())
    assert "keep each other off a node (required podAntiAffinity)" in outcome.comments


async def test_a_registry_with_a_port_may_be_one_without_tls(outcome):
    local = await looked(deployment(image="registry.local:5000/mochi:1"), service())
    assert '# [registries."registry.local:5000"]\n# insecure = true\n' in local.file
    assert "insecure" not in outcome.file


@pytest.mark.parametrize(
    "text", ["y", "no", "12e4567", "1.10", "0x1F", "null", "~", "", "a: b", "# c", "12:30:00", "=", " a"]
)
def test_text_stays_text_for_kubectl_too(text):
    """YAML 1.1 has more numbers and booleans than PyYAML quotes by itself: a label `12e4567` would become a number."""
    assert f': "{text}"\n' in yaml_text({"key": text})
    assert yaml.safe_load(yaml_text({"key": text, text: [text]})) == {"key": text, text: [text]}


def test_scripts_are_written_as_people_write_them():
    script = "set -e\nexec mochi --port 8080\n"
    assert yaml_text({"args": ["-c", script]}) == 'args:\n- "-c"\n- |\n  set -e\n  exec mochi --port 8080\n'


def test_a_comment_cannot_be_left(tmp_path):
    """S19: a label or a name from the cluster may hold anything."""
    lines = comment("a\nguild = 1\r\u2028\u202e[apps.evil]\x00 é\ud800")
    assert lines == ["# a\\nguild = 1\\r\\u2028\\u202e[apps.evil]\\x00 é\\ud800"]


async def test_the_image_of_the_idle_slot_is_the_live_one(outcome):
    """Before its first release the copy names what runs: whoever scales it up by hand gets nothing else."""
    [made] = outcome.made("Deployment")
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE


# On Argo Rollouts -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def rolled():
    return await looked(rollout(), service(), service("mochi-preview"), ingress())


async def test_with_the_ids_the_table_of_a_rollout_is_a_valid_policy(rolled, tmp_path):
    app = policy(rolled, tmp_path).apps["mochi"]
    assert (app.target, app.namespace, app.image) == (rolled.found.rolled[0].app.target, NAMESPACE, "")
    assert app.target.rollout == "mochi"


async def test_the_role_for_a_rollout_names_what_only_the_rollout_tells(rolled, tmp_path):
    """S15: the written file alone does not say which Services they are."""
    [role] = rolled.made("Role")
    assert role["rules"] == rules(policy(rolled, tmp_path).apps.values(), rolled.found.behind)
    named = {
        (rule["resources"][0], name): rule["verbs"] for rule in role["rules"] for name in rule.get("resourceNames", ())
    }
    assert named == {
        ("rollouts", "mochi"): ["get", "patch"],
        ("rollouts/status", "mochi"): ["patch"],
        ("services", "mochi"): ["get", "patch"],
        ("services", "mochi-preview"): ["get"],
    }


async def test_the_names_for_the_policies_have_a_rollout_and_its_services_and_no_deployments(rolled):
    text = manifests(rolled.found, rolled.objects, ACCOUNT).replace("\n# ", " ")
    assert "names them there too: services 'mochi/mochi', 'mochi/mochi-preview'; rollouts 'mochi/mochi'." in text


async def test_a_registry_with_a_port_is_asked_for_whatever_runs_from_it():
    outcome = await looked(rollout(image="registry.local:5000/mochi:1"), service(), service("mochi-preview"))
    assert '# [registries."registry.local:5000"]' in outcome.file
