"""Beside Argo CD: who keeps an app's objects, and what a release and Git would do to each other, with the fix."""

import json

import pytest
import yaml
from checked_team import BOT, ArgoTeam, Team

import mochi
from bot.check.finding import State
from bot.clusters.api import APPLICATION, DEPLOYMENT, ROLLOUT, SERVICE
from bot.clusters.argocd import LAST_APPLIED, OPTIONS, TRACKED
from world import NAMESPACE

HASH = "rollouts-pod-template-hash"
OBJECTS = {
    ArgoTeam: [("argoproj.io/Rollout", ROLLOUT, "mochiapp")],
    Team: [("apps/Deployment", DEPLOYMENT, mochi.LIVE), ("apps/Deployment", DEPLOYMENT, mochi.IDLE)],
}
SERVICES = [("/Service", SERVICE, mochi.ACTIVE), ("/Service", SERVICE, mochi.PREVIEW)]


@pytest.fixture(params=[ArgoTeam, Team], ids=["Argo Rollouts", "Deployments"])
def runs_on(request):
    return request.param


async def kept(team, policy=None, *ignored, readable=True, **notes):
    """All that a release writes to is in Git; None: Greenlight is not told of an Application."""
    for group, kind, name in (*OBJECTS[type(team)], *SERVICES):
        marks = {TRACKED: f"shop:{group}:{NAMESPACE}/{name}"} | (notes if kind is SERVICE else {})
        await team.change(kind.plural, name, {"metadata": {"annotations": marks}})
    team.cluster.apply(
        [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": {"name": "shop", "namespace": "argocd"},
                "spec": {"syncPolicy": policy or {}, "ignoreDifferences": list(ignored)},
            }
        ]
    )
    if readable:
        rule = {"apiGroups": ["argoproj.io"], "resources": [APPLICATION.plural], "verbs": ["get"]}
        team.cluster.access.restrict(BOT, [rule | {"resourceNames": ["shop"]}], "argocd")


def about(found):
    return [each for each in found if each.about == "Argo CD"]


HEALS = {"automated": {"selfHeal": True}}
SERVER_SIDE = {"syncOptions": ["ServerSideApply=true"]}
LEFT_OUT = {"ignoreDifferences": [{"group": "*", "kind": "*", "jsonPointers": ["/spec/template", "/spec/replicas"]}]}


async def test_the_application_that_keeps_an_app_is_named(checked, team):
    await kept(team, {})
    told = about(await checked())[0]
    names = ", ".join(f"{kind.name} {name}" for _, kind, name in (*OBJECTS[type(team)], *SERVICES))
    assert (told.part, told.state) == ("app mochi", State.OK)
    assert told.sentence == f"application shop keeps {names} to what Git says."
    await team.change(SERVICE.plural, mochi.ACTIVE, {"metadata": {"annotations": {TRACKED: None}}})
    assert f"Service {mochi.ACTIVE}," not in about(await checked())[0].sentence


async def test_what_nobody_keeps_is_not_spoken_of(checked, team):
    assert about(await checked()) == []


async def test_where_git_is_put_back_at_once_it_is_told_what_works_instead(checked, team, runs_on):
    """On Argo Rollouts a commit is the normal way; two Deployments would only lose, whatever anybody does."""
    await kept(team, HEALS)
    named, images, *others = about(await checked())
    assert named.sentence.endswith(" and heals itself.")
    assert others == []
    if runs_on is ArgoTeam:
        assert images.state is State.OK
        assert images.sentence.endswith(": a release begins by a commit, and not by /deploy.")
    else:
        assert images.state is State.FAIL
        assert "Deployment mochiapp-blue" in images.sentence
        assert "(and so it is with mochiapp-green)" in images.sentence
        team.cluster.objects.delete(APPLICATION.plural, "argocd", "shop")
        added = yaml.safe_load(images.paste)
        assert {each["name"] for each in added["ignoreDifferences"]} == {mochi.LIVE, mochi.IDLE}
        image = "/spec/template/spec/containers/0/image"
        assert [each["jsonPointers"] for each in added["ignoreDifferences"]] == [[image, "/spec/replicas"]] * 2
        await kept(team, HEALS | added["syncPolicy"], *added["ignoreDifferences"])
        assert [each for each in about(await checked()) if each.state is not State.OK] == []


async def test_without_adoption_a_rollout_in_git_is_released_by_nobody(checked, team, runs_on):
    if runs_on is ArgoTeam:
        team.reconfigure(more="adopt = false")
    await kept(team, HEALS)
    [found] = [each for each in about(await checked()) if each.state is not State.OK]
    assert found.state is (State.WARN if runs_on is ArgoTeam else State.FAIL)
    assert found.paste.startswith("ignoreDifferences:")


async def test_what_goes_with_the_next_sync_is_a_warning(checked, team):
    await kept(team, {})
    [found] = [each for each in about(await checked()) if each.state is not State.OK]
    assert found.state is State.WARN
    assert found.sentence.startswith("the next sync of Argo CD's application shop puts the image that Git names back")
    assert "RespectIgnoreDifferences=true" in found.paste


async def test_without_rights_on_the_application_it_is_a_warning_with_the_right_to_give(checked, team, runs_on):
    """Nothing is required: the mark on the objects decides."""
    await kept(team, HEALS, readable=False)
    found = about(await checked())
    wrong = [each for each in found if each.state is not State.OK]
    if runs_on is ArgoTeam:
        assert wrong == []
    else:
        assert [each.state for each in wrong] == [State.WARN]
        assert "resources: [applications], resourceNames: [shop], verbs: [get]" in wrong[0].fix


async def test_server_side_apply_that_strips_the_selector_puts_the_app_out_of_service(checked, team, runs_on):
    """With what to add: pasted into the Application, nothing is left to say."""
    left_out = [{"group": "*", "kind": kept, "jsonPointers": ["/spec"]} for kept in ("Rollout", "Deployment")]
    await kept(team, SERVER_SIDE, *left_out)
    wrong = [each for each in about(await checked()) if each.state is State.FAIL]
    assert len(wrong) == 1
    assert wrong[0].sentence.startswith("Argo CD's application shop applies Service mochiapp server-side, and takes ")
    assert "(and so it is with mochiapp-preview)" in wrong[0].sentence
    added = yaml.safe_load(wrong[0].paste)
    assert {each["name"] for each in added["ignoreDifferences"]} == {mochi.ACTIVE, mochi.PREVIEW}
    pointers = {pointer for each in added["ignoreDifferences"] for pointer in each["jsonPointers"]}
    assert pointers == {f"/spec/selector/{HASH}" if runs_on is ArgoTeam else "/spec/selector"}
    team.cluster.objects.delete(APPLICATION.plural, "argocd", "shop")
    options = [*SERVER_SIDE["syncOptions"], *added["syncPolicy"]["syncOptions"]]
    await kept(team, {"syncOptions": options}, *left_out, *added["ignoreDifferences"])
    assert [each for each in about(await checked()) if each.state is not State.OK] == []


async def test_what_cannot_be_told_of_a_selector_is_a_warning(checked, team):
    await kept(team, HEALS, readable=False, **{OPTIONS: "ServerSideApply=true"})
    wrong = [each for each in about(await checked()) if "server-side" in each.sentence]
    assert [each.state for each in wrong] == [State.WARN]
    assert wrong[0].sentence.endswith(", unless its spec says so already, which Greenlight may not read.")


async def test_a_selector_in_git_that_tells_two_slots_apart_is_told(checked, team, runs_on):
    """For a Rollout the same is said of nobody: there Git's labels stay, and one is added."""
    configuration = json.dumps({"spec": {"selector": {"app": "mochi", "color": "blue"}}})
    await kept(team, HEALS, **{LAST_APPLIED: configuration})
    wrong = [each for each in about(await checked()) if "Git says color: blue in the selector" in each.sentence]
    assert [each.state for each in wrong] == ([] if runs_on is ArgoTeam else [State.FAIL])
