"""What can be wrong with an app on Argo Rollouts: rights, the Rollout, what is around it; and Rollouts of no app."""

import json
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml
from checked_team import BOT, ArgoTeam

import mochi
from bot.check.finding import State
from bot.clusters.api import INGRESS, ROLLOUT, SERVICE
from bot.clusters.claim import STORE
from bot.policy import read_policy
from mochi_rollout import CONTAINER
from world import NAMESPACE

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "mochi-argo"
HASH = "rollouts-pod-template-hash"


@pytest.fixture
def runs_on():
    return ArgoTeam


def rights_of(team, *, without):
    """One rule for each verb and resource, but for one."""
    every = [
        rule | {"resources": [resource], "verbs": [verb]}
        for rule in team.allowed()
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    return [rule for rule in every if (rule["resources"][0], rule["verbs"][0], "resourceNames" in rule) != without]


async def test_a_team_on_argo_rollouts_that_is_set_up_rightly_has_no_warning(checked, team):
    """With the Role that is shipped, and without a word in the file that the Rollout says as well."""
    found = await checked()
    assert found.wrong == []
    told = {(each.part, each.about): each.sentence for each in found}
    assert told["settings", "mochi"] == f"the repository of what is live → Rollout {NAMESPACE}/mochiapp"
    live = team.cluster.objects.get("rollouts", NAMESPACE, "mochiapp")["status"]["stableRS"]
    assert told["app mochi", "rollout"] == (
        f"version {live} of Rollout mochiapp is live with {team.registry.host}/mochi:blue."
    )
    assert told["app mochi", "registry"].startswith(f"{team.registry.host}/mochi has ")


# Rights ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "sentence"),
    [
        (("rollouts", "patch", True), "Greenlight may not patch Rollout mochi/mochiapp: no release is possible."),
        (
            ("rollouts/status", "patch", True),
            "Greenlight may not patch Rollout/status mochi/mochiapp: no release is possible.",
        ),
        (
            ("services", "patch", True),
            "Greenlight may not patch Service mochi/mochiapp: no release is",
        ),
        (("replicasets", "list", False), "Greenlight may not list replicasets in mochi: no release is possible."),
        (("rollouts", "watch", False), "Greenlight may not watch rollouts in mochi: no release is possible."),
    ],
)
async def test_a_right_that_is_missing_is_one_finding_with_the_rule_to_add(checked, team, lost, sentence):
    """The one on the status is asked for by its name: to patch a Rollout does not include to promote it."""
    team.may(rights_of(team, without=lost))
    [found] = [each for each in (await checked()).wrong if each.about == "rights"]
    assert (found.part, found.state) == ("app mochi", State.FAIL)
    assert found.sentence.startswith(sentence)
    assert f"resources: [{lost[0]}]" in found.fix


@pytest.mark.parametrize("resource", ["analysisruns", "ingresses"])
async def test_what_only_makes_the_card_better_is_a_warning(checked, team, resource):
    team.may(rights_of(team, without=(resource, "list", False)))
    assert {each.state for each in (await checked()).wrong} == {State.WARN}


async def test_without_a_right_on_the_rollout_its_services_are_not_asked_for(checked, team):
    """Their names are not known then, and to ask for all Services would be asking for more than is needed."""
    team.may(rights_of(team, without=("rollouts", "get", True)))
    [found] = [each for each in (await checked()).wrong if each.part == "app mochi"]
    assert found.sentence == "Greenlight may not get Rollout mochi/mochiapp: no release is possible."


async def test_s15_a_bot_that_may_promote_anything_is_told(checked, team):
    wide = {"apiGroups": ["argoproj.io"], "resources": ["rollouts/status"], "verbs": ["patch"]}
    team.may([*team.allowed(), wide])
    [found] = (await checked()).wrong
    assert found.sentence == "Greenlight may do more here than it needs: promote any Rollout."


async def test_a_bot_without_any_right_is_shown_the_role_for_a_rollout(checked, team):
    team.may([])
    [found] = (await checked()).wrong
    assert "deploy/examples/mochi-argo/role.yaml" in found.fix


# The Rollout ----------------------------------------------------------------------------------------------------------


async def nothing(team):
    team.cluster.objects.delete(ROLLOUT.plural, NAMESPACE, "mochiapp")
    await team.settled()


async def canary(team):
    rollout = team.manifest("Rollout", "mochiapp")
    rollout["spec"]["strategy"] = {"canary": {}}
    await team.replace(ROLLOUT.plural, "mochiapp", rollout)


async def promotes(team):
    await team.change(ROLLOUT.plural, "mochiapp", {"spec": {"strategy": {"blueGreen": {"autoPromotionEnabled": None}}}})


async def frozen(team):
    await team.change(ROLLOUT.plural, "mochiapp", {"spec": {"paused": True}})


async def shared(team):
    other = team.manifest("Rollout", "mochiapp")
    other["metadata"]["name"] = "other"
    other["spec"]["strategy"]["blueGreen"] |= {"activeService": "x", "previewService": "y"}
    team.cluster.apply([other])
    await team.settled()
    blue_green = {"activeService": mochi.ACTIVE}
    await team.change(ROLLOUT.plural, "other", {"spec": {"strategy": {"blueGreen": blue_green}}})


async def two_containers(team):
    rollout = team.manifest("Rollout", "mochiapp")
    rollout["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "proxy:1"})
    await team.replace(ROLLOUT.plural, "mochiapp", rollout)


async def wrong_port(team):
    [ingress] = [
        each for each in team.objects() if each["metadata"]["name"] == mochi.PREVIEW and each["kind"] == "Ingress"
    ]
    ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = {"number": 8080}
    await team.replace(INGRESS.plural, mochi.PREVIEW, ingress)


async def claimed(team):
    await team.change(SERVICE.plural, mochi.ACTIVE, {"metadata": {"annotations": {STORE: "another"}}})


@pytest.mark.parametrize(
    ("spoil", "wrong", "fix"),
    [
        (nothing, "Rollout mochiapp is not in namespace mochi.", "Create it there, or name another in `rollout` or"),
        (canary, "Rollout mochiapp is a canary, and Greenlight drives blueGreen.", "Give it the blueGreen strategy"),
        (promotes, "Rollout mochiapp promotes by itself whatever is ready (autoP", "Set spec.strategy.blueGreen.autoP"),
        (frozen, "Rollout mochiapp was paused by somebody (spec.paused)", "Let it go on: kubectl patch rollout mochi"),
        (shared, "Service mochiapp belongs to Rollout other as well", "Give mochiapp or other a Service of its own."),
        (
            two_containers,
            f"Rollout mochiapp has several containers ({CONTAINER}, proxy).",
            "Set `container` in [apps.m",
        ),
        (wrong_port, "Ingress mochiapp-preview leads to port 8080 of Service mochiapp-preview", "Name one of its port"),
        (claimed, "Service mochiapp is released by another Greenlight", "If that one is gone for good, take over with"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_what_allows_no_release_puts_the_app_out_of_service_with_its_fix(checked, team, spoil, wrong, fix):
    await spoil(team)
    found, *others = [each for each in (await checked()).wrong if each.about != "production"]
    assert (found.part, found.about, found.state) == ("app mochi", "objects", State.FAIL)
    assert found.sentence.startswith(wrong)
    assert found.fix.startswith(fix)
    assert others == []


async def test_a_selector_that_lost_its_hash_puts_the_app_out_of_service(checked, team):
    """Which a controller that comes to it meanwhile makes worse: it switches to whatever is newest."""
    with team.cluster.paused():
        patch = {"spec": {"selector": {HASH: None}}}
        merge = "application/merge-patch+json"
        team.cluster.objects.patch(SERVICE.plural, NAMESPACE, mochi.ACTIVE, patch, merge, manager="kubectl")
        [found] = [each for each in (await checked()).wrong if each.about == "objects"]
    assert found.state is State.FAIL
    assert found.sentence.startswith(f"The selector of Service mochiapp lost its label {HASH}")
    assert "kubectl patch service mochiapp -n mochi" in found.fix


async def test_a_cluster_without_argo_rollouts_is_told_with_how_to_install_it(checked, team):
    """Its API server knows no such path."""
    team.cluster.server.faults.answer(HTTPStatus.NOT_FOUND, "GET", "argoproj.io/v1alpha1", times=9)
    [found] = [each for each in (await checked()).wrong if each.about == "objects"]
    assert found.sentence == "The cluster of mochi knows no Rollouts: Argo Rollouts is not installed there."
    assert "argo-rollouts/releases/latest/download/install.yaml" in found.fix


async def test_a_rollout_in_another_namespace_is_found_where_that_may_be_listed(checked, team):
    elsewhere = team.manifest("Rollout", "mochiapp")
    elsewhere["metadata"]["namespace"] = "shop"
    team.cluster.apply([elsewhere])
    await nothing(team)
    [found] = [each for each in (await checked()).wrong if each.about == "objects"]
    assert found.sentence == "Rollout mochiapp is not in namespace mochi."
    everywhere = [{"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["list"]}]
    team.cluster.access.restrict(BOT, everywhere)
    [found] = [each for each in (await checked()).wrong if each.about == "objects"]
    assert found.sentence == "Rollout mochiapp is not in namespace mochi, but in shop."
    assert found.fix == 'Set `namespace = "shop"` in [apps.mochi].'


# What a release lives with --------------------------------------------------------------------------------------------


def strategy(**changes):
    async def change(team):
        await team.change(ROLLOUT.plural, "mochiapp", {"spec": {"strategy": {"blueGreen": changes}}})

    return change


def spec(**changes):
    async def change(team):
        await team.change(ROLLOUT.plural, "mochiapp", {"spec": changes})

    return change


async def nobody_asks(team):
    rollout = team.manifest("Rollout", "mochiapp")
    del rollout["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    await team.replace(ROLLOUT.plural, "mochiapp", rollout)


async def strange_image(team):
    team.registry.push("mochi-nightly", "blue")
    team.reconfigure(image=f"{team.registry.host}/mochi-nightly")


async def scaled_to_one(team):
    """No release needs to know it, so it is told only to who may list autoscalers anyway."""
    lists = {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list"]}
    team.may([*team.allowed(), lists])
    target = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "mochiapp"}
    team.cluster.apply(
        [
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "mochiapp", "namespace": NAMESPACE},
                "spec": {"scaleTargetRef": target, "maxReplicas": 5},
            }
        ]
    )


@pytest.mark.parametrize(
    ("spoil", "about", "wrong", "fix"),
    [
        (
            strategy(scaleDownDelaySeconds=None),
            "rollback",
            "Rollout mochiapp keeps the pods of the previous version for 30 s (scaleDownDelaySeconds): a rollback",
            "Set spec.strategy.blueGreen.scaleDownDelaySeconds to 3600, which is `warm_for` of [apps.mochi].",
        ),
        (
            strategy(scaleDownDelaySeconds=600),
            "rollback",
            "Rollout mochiapp keeps the pods of the previous version for 600 s",
            "Set spec.strategy.blueGreen.scaleDownDelaySeconds to 3600",
        ),
        (
            strategy(scaleDownDelaySeconds=0),
            "rollback",
            "Rollout mochiapp keeps the pods of previous versions for good (scaleDownDelaySeconds: 0), and without a",
            "Set spec.strategy.blueGreen.scaleDownDelaySeconds to 3600",
        ),
        (
            spec(progressDeadlineSeconds=60, progressDeadlineAbort=True),
            "rollout",
            "Rollout mochiapp gives a version up that makes no progress for 60 s (progressDeadlineAbort), though",
            "Set progressDeadlineSeconds to as long, or progressDeadlineAbort to false.",
        ),
        (
            spec(rollbackWindow={"revisions": 3}),
            "rollout",
            "Rollout mochiapp has a rollbackWindow: on the way back to a version in it, Argo Rollouts can get stuck.",
            "Take it out",
        ),
        (spec(replicas=1), "pods", "Rollout mochiapp has one pod: whenever that is restarted", "Run at least two."),
        (nobody_asks, "pods", "nobody asks the pods of Rollout mochiapp whether they are ready", "Give the container"),
        (strange_image, "image", "live is an image of 127.0.0.1", "Add it to `images` of [apps.mochi]"),
        (scaled_to_one, "autoscaler", "an autoscaler may leave Rollout mochiapp one pod.", "Set its minReplicas to 2"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_what_a_release_lives_with_is_a_warning(checked, team, spoil, about, wrong, fix):
    await spoil(team)
    [found] = (await checked()).wrong
    assert (found.part, found.about, found.state) == ("app mochi", about, State.WARN)
    assert found.sentence.startswith(wrong)
    assert found.fix.startswith(fix)


async def test_a_version_that_waits_beside_the_live_one_is_told(checked, team):
    image = f"{team.registry.host}/mochi:green"
    await team.change(ROLLOUT.plural, "mochiapp", {"spec": {"template": {"metadata": {"annotations": {"a": image}}}}})
    found = await checked()
    status = team.cluster.objects.get("rollouts", NAMESPACE, "mochiapp")["status"]
    assert found.wrong == []
    [told] = [each.sentence for each in found if each.about == "rollout"]
    assert f"version {status['stableRS']} of Rollout mochiapp is live" in told
    assert told.endswith(f"; version {status['currentPodHash']} is there beside it.")


async def test_a_controller_that_does_not_look_is_told(checked, team):
    with team.cluster.paused():
        objects = team.cluster.objects
        patch = {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}
        objects.patch(ROLLOUT.plural, NAMESPACE, "mochiapp", patch, "application/merge-patch+json", manager="kubectl")
        [found] = (await checked()).wrong
    assert (found.about, found.state) == ("objects", State.FAIL)
    assert found.sentence.startswith("Argo Rollouts has not taken up the last change of Rollout mochiapp")
    assert "kubectl get pods -n argo-rollouts" in found.fix


# What nobody releases -------------------------------------------------------------------------------------------------


async def test_rollouts_without_an_app_are_listed_with_the_lines_to_add(checked, team):
    other = team.manifest("Rollout", "mochiapp")
    other["metadata"]["name"] = "dango.shop"
    other["spec"]["strategy"]["blueGreen"] |= {"activeService": "x", "previewService": "y"}
    team.cluster.apply([other, other | {"metadata": other["metadata"] | {"name": "c"}} | {"spec": canary_of(other)}])
    found = await checked()
    assert found.wrong == []
    [told] = [each for each in found if each.paste]
    assert (told.part, told.about, told.state) == ("cluster", f"namespace {NAMESPACE}", State.OK)
    assert told.sentence.startswith("Rollout dango.shop is no app yet.")
    assert told.paste == '[apps.dango-shop]\nrollout = "dango.shop"\nnamespace = "mochi"'
    file = team.folder / "greenlight.toml"
    rest = file.read_text().partition("[apps.mochi.approval]")[2].replace("apps.mochi", "apps.dango-shop")
    channel = f"\nchannel = {team.discord.channel_id('mochi')}\ndeployers = [{team.discord.role_id('Developer')}]\n"
    file.write_text(f"{file.read_text()}{told.paste}{channel}[apps.dango-shop.approval]{rest}")
    assert [*read_policy(file).apps] == ["mochi", "dango-shop"]
    assert [each for each in await checked() if each.paste] == []


def canary_of(rollout):
    return rollout["spec"] | {"strategy": {"canary": {}}}


# Addresses ------------------------------------------------------------------------------------------------------------


async def test_the_example_is_checked_as_it_stands(checked, team):
    """Deployable, with links that answer, and each of its weaknesses named: none keeps anybody from a release."""
    items = [*yaml.safe_load_all((EXAMPLE / "app.yaml").read_text("utf-8"))]
    for item in items:
        item["metadata"]["namespace"] = NAMESPACE
        if item["kind"] == "Rollout":
            item["spec"]["template"]["spec"]["containers"][0]["image"] = f"{team.registry.host}/mochi:blue"
    for plural, name in (("rollouts", "mochiapp"), *((each, n) for each in ("services", "ingresses") for n in PAIR)):
        team.cluster.objects.delete(plural, NAMESPACE, name)
    await team.settled()
    team.cluster.apply(items)
    await team.settled()
    team.reconfigure(links="")
    found = await checked()
    assert {each.state for each in found.wrong} == {State.WARN}
    told = {each.about: [] for each in found.wrong}
    for each in found.wrong:
        told[each.about].append(each.sentence)
    assert {*told} == {"rollback", "pods", "production", "preview"}
    for about, name in (("production", "mochiapp"), ("preview", "mochiapp-preview")):
        assert (
            f"Ingress {name} answers at {name}.bluegreen.xyz and has certificates for {name}.bluegreen.domain only: "
            "by https browsers refuse it, so the button is http."
        ) in told[about]
        assert not any("is without TLS" in each for each in told[about])


PAIR = ("mochiapp", "mochiapp-preview")


async def test_a_load_balancer_that_knows_pods_by_itself_is_told(checked, team):
    note = {"cloud.google.com/neg": json.dumps({"ingress": True})}
    for name in PAIR:
        await team.change(SERVICE.plural, name, {"metadata": {"annotations": note}})
    [found] = (await checked()).wrong
    assert (found.about, found.state) == ("production", State.WARN)
    assert found.sentence == (
        "Service mochiapp has network endpoint groups (GKE): it learns of pods one by one, so a switch is not one "
        "moment there."
    )
