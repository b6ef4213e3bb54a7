"""What is read from a Rollout, and what of it or around it allows no release: each a sentence with its fix."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from bot.clusters.api import DEPLOYMENT, INGRESS, ROLLOUT, SERVICE
from bot.clusters.argo.discovery import Found, behind, fit, is_blue_green, not_installed, not_there, wrongs
from bot.clusters.errors import Unfit
from bot.clusters.rights import Behind, rights, rules
from bot.policy import read_policy
from sandbox.cluster import Cluster

EXAMPLE = Path(__file__).parents[1] / "deploy" / "examples" / "mochi-argo"
NAMESPACE = "mochi-argo"
HASH = "rollouts-pod-template-hash"


@dataclass
class Team:
    """The example as it is shipped, live in the sandbox, until a test spoils its copy of what was read."""

    rollout: dict
    services: list
    ingresses: list
    rollouts: list
    workload: dict | None = None

    @property
    def found(self):
        return Found(self.rollout, self.rollouts, self.services, self.ingresses, self.workload)

    @property
    def strategy(self):
        return self.rollout["spec"]["strategy"]["blueGreen"]

    def service(self, name):
        return next(each for each in self.services if each["metadata"]["name"] == name)


@pytest.fixture(scope="module")
def live():
    cluster = Cluster(seed=1)
    cluster.apply(yaml.safe_load_all((EXAMPLE / "app.yaml").read_text("utf-8")))
    cluster.settle()
    read = {kind: cluster.objects.list(kind.plural, NAMESPACE)["items"] for kind in (ROLLOUT, SERVICE, INGRESS)}
    [rollout] = read[ROLLOUT]
    assert rollout["status"]["stableRS"]
    return Team(rollout, read[SERVICE], read[INGRESS], read[ROLLOUT])


@pytest.fixture
def team(live):
    return copy.deepcopy(live)


@pytest.fixture
def app():
    [only] = read_policy(EXAMPLE / "greenlight.toml").apps.values()
    return only


def other(rollout, **strategy):
    made = copy.deepcopy(rollout)
    made["metadata"]["name"] = "other"
    made["spec"]["strategy"] = strategy
    return made


def test_the_example_allows_releases_as_it_stands(app, team):
    """Nothing has to be repeated in the file, and nothing of what teams really have stands in the way."""
    assert [*wrongs(app, team.found)] == []
    assert behind(team.rollout) == Behind(("mochiapp", "mochiapp-preview"), "")
    fit(app, team.found)


def canary(team):
    team.rollout["spec"]["strategy"] = {"canary": {"stableService": "mochiapp"}}


def no_active(team):
    del team.strategy["activeService"]


def no_preview(team):
    del team.strategy["previewService"]


def one_service(team):
    team.strategy["previewService"] = "mochiapp"


def promotes(team):
    team.strategy["autoPromotionEnabled"] = True


def promotes_by_default(team):
    del team.strategy["autoPromotionEnabled"]


def no_service(team):
    team.services.remove(team.service("mochiapp-preview"))


def no_selector(team):
    team.service("mochiapp")["spec"]["selector"] = {}


def lost_its_hash(team):
    del team.service("mochiapp")["spec"]["selector"][HASH]


def preview_lost_its_hash(team):
    del team.service("mochiapp-preview")["spec"]["selector"][HASH]


def shared(team):
    team.rollouts.append(other(team.rollout, blueGreen={"activeService": "x", "previewService": "mochiapp"}))


def shared_with_a_canary(team):
    team.rollouts.append(other(team.rollout, canary={"canaryService": "mochiapp-preview", "stableService": "x"}))


def several_containers(team):
    team.rollout["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "proxy:1"})


def no_deployment(team):
    del team.rollout["spec"]["template"]
    team.rollout["spec"]["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mochi"}


def no_template(team):
    del team.rollout["spec"]["template"]


def pod_template(team):
    del team.rollout["spec"]["template"]
    team.rollout["spec"]["workloadRef"] = {"apiVersion": "v1", "kind": "PodTemplate", "name": "mochi"}


def frozen(team):
    team.rollout["spec"]["paused"] = True


def invalid(team):
    condition = {"type": "InvalidSpec", "status": "True", "reason": "InvalidSpec", "message": INVALID}
    team.rollout["status"]["conditions"].append(condition)


def missing_port(team):
    [rule] = team.ingresses[0]["spec"]["rules"]
    rule["http"]["paths"][0]["backend"]["service"]["port"] = {"name": "http"}


BY_ITSELF = (
    "Rollout mochiapp promotes by itself whatever is ready (autoPromotionEnabled), so approvals would mean nothing"
)
GO_ON = """let it go on: kubectl patch rollout mochiapp -n mochi-argo --type merge -p '{"spec":{"paused":false}}'"""
INVALID = 'The Rollout "mochiapp" is invalid: spec.selector: Required value'


@pytest.mark.parametrize(
    ("spoil", "wrong", "fix"),
    [
        (
            canary,
            "Rollout mochiapp is a canary, and Greenlight drives blueGreen",
            "give it the blueGreen strategy with an activeService and a previewService, or take the app out.",
        ),
        (
            no_active,
            "Rollout mochiapp has no activeService",
            "name the Service that has the traffic in spec.strategy.blueGreen.activeService.",
        ),
        (
            no_preview,
            "Rollout mochiapp has no previewService, so nobody could look at a version before it is live",
            "make a Service like mochiapp for that, and name it in spec.strategy.blueGreen.previewService.",
        ),
        (
            one_service,
            "Rollout mochiapp has Service mochiapp as activeService and as previewService",
            "make a Service of its own for the preview, and name it in spec.strategy.blueGreen.previewService.",
        ),
        (
            promotes,
            BY_ITSELF,
            "set spec.strategy.blueGreen.autoPromotionEnabled to false.",
        ),
        (
            promotes_by_default,
            BY_ITSELF,
            "set spec.strategy.blueGreen.autoPromotionEnabled to false.",
        ),
        (
            no_service,
            "Service mochiapp-preview, the previewService of Rollout mochiapp, is not in namespace mochi-argo",
            "create it there, or name another in the Rollout.",
        ),
        (
            no_selector,
            "Service mochiapp has no selector, so Argo Rollouts has nothing to switch",
            "give it the labels of the app's pods.",
        ),
        (
            shared,
            "Service mochiapp belongs to Rollout other as well: they would move each other's traffic",
            "give mochiapp or other a Service of its own.",
        ),
        (
            shared_with_a_canary,
            "Service mochiapp-preview belongs to Rollout other as well: they would move each other's traffic",
            "give mochiapp or other a Service of its own.",
        ),
        (
            several_containers,
            "Rollout mochiapp has several containers (myapp, proxy)",
            "set `container` in [apps.mochi] to one of them.",
        ),
        (
            no_deployment,
            "Deployment mochi, by which Rollout mochiapp makes its pods, is not in namespace mochi-argo",
            "create it there, or name another in spec.workloadRef.",
        ),
        (
            no_template,
            "Rollout mochiapp has no pod template",
            "give it one, or a workloadRef that names a Deployment.",
        ),
        (
            pod_template,
            "Rollout mochiapp makes its pods by PodTemplate mochi",
            "let its workloadRef name a Deployment, or put the pod template into the Rollout.",
        ),
        (
            frozen,
            "Rollout mochiapp was paused by somebody (spec.paused), so nothing in it moves",
            GO_ON,
        ),
        (
            invalid,
            f"Argo Rollouts does not take Rollout mochiapp as it is ({INVALID})",
            "mend what it names.",
        ),
        (
            missing_port,
            "Ingress mochiapp leads to port http of Service mochiapp, which has no such port",
            "name one of its ports there: 80.",
        ),
    ],
)
def test_what_allows_no_release_is_one_sentence_with_its_fix(app, team, spoil, wrong, fix):
    spoil(team)
    [found] = wrongs(app, team.found)
    assert (found.wrong, found.fix) == (wrong, fix)
    with pytest.raises(Unfit) as raised:
        fit(app, team.found)
    assert str(raised.value) == f"{wrong}: {fix}"


@pytest.mark.parametrize(
    ("spoil", "service"), [(lost_its_hash, "mochiapp"), (preview_lost_its_hash, "mochiapp-preview")]
)
def test_a_selector_that_lost_its_hash_is_told_with_the_hash_to_put_back(app, team, spoil, service):
    """Argo Rollouts does not mend it, and the next version goes live in it without anybody's approval."""
    known = team.service(service)["spec"]["selector"][HASH]
    spoil(team)
    [found] = wrongs(app, team.found)
    assert found.wrong == f"the selector of Service {service} lost its label {HASH}: it lets in pods of any version"
    assert found.fix == (
        f"find out who took it, then put it back: kubectl patch service {service} -n mochi-argo --type merge -p "
        f"""'{{"spec":{{"selector":{{"{HASH}":"{known}"}}}}}}'"""
    )


def test_a_first_version_that_is_still_coming_up_is_waited_for(app, team):
    """Its controller calls it stable at once, and lets the Service lead to it when its pods are ready."""
    lost_its_hash(team)
    status, called = team.rollout["status"], team.rollout["metadata"]["name"]
    status |= {"blueGreen": {}, "stableRS": status["currentPodHash"], "readyReplicas": 0}
    [found] = wrongs(app, team.found)
    assert found.wrong == f"the first version of Rollout {called} is still coming up, so nothing is live yet"
    assert found.fix == "wait until it is."
    status["readyReplicas"] = team.rollout["spec"]["replicas"]
    [found] = wrongs(app, team.found)
    assert "lost its label" in found.wrong


def test_before_the_controller_has_seen_it_a_selector_needs_no_hash(app, team):
    lost_its_hash(team)
    del team.rollout["status"]
    assert [*wrongs(app, team.found)] == []


def test_a_condition_that_is_over_is_no_fault(app, team):
    invalid(team)
    team.rollout["status"]["conditions"][-1]["status"] = "False"
    assert [*wrongs(app, team.found)] == []


def test_what_the_controller_does_not_take_is_told_once(app, team):
    """Its own words say again what is told with the fix already."""
    no_service(team)
    invalid(team)
    assert [each.fix for each in wrongs(app, team.found)] == ["create it there, or name another in the Rollout."]


def test_all_faults_are_told_and_a_canary_alone_hides_the_others(app, team):
    promotes(team)
    frozen(team)
    no_service(team)
    assert len([*wrongs(app, team.found)]) == 3
    canary(team)
    assert len([*wrongs(app, team.found)]) == 1
    assert not is_blue_green(team.rollout)


def test_a_container_that_is_named_is_one_of_them(app, team):
    several_containers(team)
    named = replace(app, target=replace(app.target, container="proxy"))
    assert [*wrongs(named, team.found)] == []
    [found] = wrongs(replace(app, target=replace(app.target, container="db")), team.found)
    assert found.wrong == "Rollout mochiapp has no container db (myapp, proxy)"


def test_a_template_in_a_deployment_is_read_from_there(app, team):
    no_deployment(team)
    team.workload = {"kind": DEPLOYMENT.name, "metadata": {"name": "mochi"}, "spec": {"template": {"spec": {}}}}
    team.workload["spec"]["template"]["spec"]["containers"] = [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]
    assert behind(team.rollout).workload == "mochi"
    [found] = wrongs(app, team.found)
    assert found.wrong == "Deployment mochi has several containers (a, b)"


# Where there is none --------------------------------------------------------------------------------------------------


def test_a_cluster_without_rollouts_is_told_with_how_to_install_them(app):
    found = not_installed(app)
    assert found.wrong == "the cluster of mochi knows no Rollouts: Argo Rollouts is not installed there"
    assert "kubectl apply -n argo-rollouts -f https://github.com/argoproj/argo-rollouts/releases/" in found.fix
    assert found.fix.endswith("or name two Deployments in [apps.mochi] instead of `rollout`.")


def test_a_rollout_that_is_not_there_is_told_with_those_that_are(app, team):
    found = not_there(app, [])
    assert (found.wrong, found.fix) == (
        "Rollout mochiapp is not in namespace mochi-argo",
        "create it there, or name another in `rollout` or `namespace` of [apps.mochi].",
    )
    assert not_there(app, [other(team.rollout)]).fix.endswith("of [apps.mochi] (there is other).")


def test_a_rollout_in_another_namespace_is_told_with_which(app, team):
    elsewhere = copy.deepcopy(team.rollout)
    elsewhere["metadata"]["namespace"] = "shop"
    found = not_there(app, [], [elsewhere, other(elsewhere)])
    assert (found.wrong, found.fix) == (
        "Rollout mochiapp is not in namespace mochi-argo, but in shop",
        'set `namespace = "shop"` in [apps.mochi].',
    )


# Rights ---------------------------------------------------------------------------------------------------------------


def named(app, known):
    return {
        (each.kind.resource, verb, name) for each in rights(app, known) for verb in each.verbs for name in each.names
    }


def test_s15_what_is_changed_is_named_and_only_the_rollout_knows_some_of_the_names(app, team):
    """A right on Services by name cannot be asked for before their names are known, and must not be wider."""
    alone = {
        ("rollouts", "get", "mochiapp"),
        ("rollouts", "patch", "mochiapp"),
        ("rollouts/status", "patch", "mochiapp"),
    }
    services = {("services", verb, "mochiapp") for verb in ("get", "patch")} | {("services", "get", "mochiapp-preview")}
    assert named(app, Behind()) == alone
    assert named(app, behind(team.rollout)) == alone | services
    no_deployment(team)
    workload = {("deployments", verb, "mochi") for verb in ("get", "patch")}
    assert named(app, behind(team.rollout)) == alone | services | workload


@pytest.mark.parametrize("known", [True, False])
def test_s15_nothing_is_patched_without_a_name_and_nothing_is_created_or_deleted(app, team, known):
    """Also where the Rollout could not be read: rather too few rights are asked for than those on all Services."""
    for rule in rules([app], {app.name: behind(team.rollout)} if known else {}):
        assert {*rule["verbs"]} <= {"get", "patch", "list", "watch"}
        assert ("resourceNames" in rule) == ("list" not in rule["verbs"])
        assert "*" not in (*rule["resources"], *rule["verbs"], *rule["apiGroups"])
