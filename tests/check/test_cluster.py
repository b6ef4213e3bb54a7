"""What can be wrong in a cluster: its door, the rights, the app's objects. Each fault is one finding, with its fix.

That each single right is asked for is claimed in tests/contract/, where a real API server answers.
"""

import asyncio
import json
from functools import partial

import pytest

import mochi
from bot.check import checkup
from bot.check.cluster import SECRET
from bot.check.finding import State
from bot.clusters.api import DEPLOYMENT, INGRESS, SERVICE, KubeApi, Patience
from bot.clusters.argocd import OPTIONS, TRACKED
from bot.clusters.claim import STORE
from bot.clusters.rights import rights
from bot.policy import read_policy
from world import NAMESPACE


def allowed(team):
    return team.allowed()


def _without_name(rule, name):
    if "resourceNames" not in rule:
        return rule
    return rule | {"resourceNames": [each for each in rule["resourceNames"] if each != name]}


# The door -------------------------------------------------------------------------------------------------------------


async def test_a_cluster_that_is_away_hides_nothing_else(checked, team):
    config = json.loads((team.folder / "kubeconfig").read_text())
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
    (team.folder / "kubeconfig").write_text(json.dumps(config))
    found = await checked()
    [wrong] = found.wrong
    assert (wrong.part, wrong.about, wrong.state) == ("cluster", "API server", State.FAIL)
    assert "cannot be reached at http://127.0.0.1:9" in wrong.sentence
    assert {"#mochi", "roles", "registry"} <= {each.about for each in found if each.part == "app mochi"}


async def test_a_cluster_that_never_answers_is_one_finding(checked, team, monkeypatch):
    """Half-open connections: accepted, and then silence."""
    monkeypatch.setattr(checkup, "KubeApi", partial(KubeApi, patience=Patience(call=0.3)))
    held = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    config = json.loads((team.folder / "kubeconfig").read_text())
    config["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    (team.folder / "kubeconfig").write_text(json.dumps(config))
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("cluster", "API server", State.FAIL)
    assert "did not answer in time" in wrong.sentence
    for writer in held:
        writer.close()
    server.close()


async def test_credentials_that_are_not_taken_fail(checked, team):
    del team.cluster.access.tokens["the-bots-token"]
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("cluster", "API server", State.FAIL)
    assert "does not take Greenlight's credentials" in wrong.sentence


async def test_of_two_clusters_the_one_that_is_set_up_wrongly_is_named(checked, team):
    """Its app is out, the other is looked at as ever."""
    file = team.folder / "greenlight.toml"
    text = file.read_text()
    table = text[text.index("[apps.mochi]") :].replace("apps.mochi", "apps.dango")
    table = table.replace('namespace   = "mochi"', 'namespace = "mochi"\ncluster = "eu-2"')
    file.write_text(f'{text}\n{table}\n[clusters.eu-2]\nkubeconfig = "nowhere"\n')
    found = await checked()
    [wrong] = found.wrong
    assert (wrong.part, wrong.about, wrong.state) == ("cluster eu-2", "API server", State.FAIL)
    assert "nowhere is no file" in wrong.sentence
    abouts = {part: {each.about for each in found if each.part == part} for part in ("app mochi", "app dango")}
    assert {"rights", "slots"} <= abouts["app mochi"]
    assert not {"rights", "slots"} & abouts["app dango"]


# Rights ---------------------------------------------------------------------------------------------------------------


async def test_of_two_names_only_the_missing_one_is_told(checked, team):
    team.may([_without_name(rule, mochi.PREVIEW) for rule in allowed(team)])
    told = {each.sentence: each.fix for each in (await checked()).wrong}
    assert told == {
        f"Greenlight may not {verb} Service mochi/{mochi.PREVIEW}: no release is possible.": (
            f'Add to its Role in mochi: - {{apiGroups: [""], resources: [services], '
            f"resourceNames: [{mochi.PREVIEW}], verbs: [{verb}]}}"
        )
        for verb in ("get", "patch")
    }


async def test_a_bot_without_any_right_is_one_finding(checked, team):
    """No Role, no RoleBinding, another ServiceAccount, or no such namespace: twenty lines would not tell which."""
    team.may([])
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("app mochi", "rights", State.FAIL)
    assert "RoleBinding" in wrong.fix


async def test_s15_rights_that_no_release_needs_are_told(checked, team):
    wide = [
        {"apiGroups": [""], "resources": ["services"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]},
    ]
    team.may([*allowed(team), *wide])
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("cluster", "namespace mochi", State.WARN)
    assert wrong.sentence == "Greenlight may do more here than it needs: change any Service, start pods."


async def test_s15_the_rights_of_an_administrator_are_told(checked, team):
    (team.folder / "kubeconfig").write_text(json.dumps(team.cluster.kubeconfig()))
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("cluster", "namespace mochi", State.WARN)
    for each in ("change any Deployment", "run commands in pods", "look into every namespace"):
        assert each in wrong.sentence
    assert "only the Role of deploy/examples/role.yaml" in wrong.fix


def test_no_release_needs_a_secret(team):
    [app] = read_policy(team.folder / "greenlight.toml").apps.values()
    assert SECRET not in {right.kind for right in rights(app)}


# Objects --------------------------------------------------------------------------------------------------------------


async def no_service(team):
    team.cluster.objects.delete(SERVICE.plural, NAMESPACE, mochi.PREVIEW)


async def no_deployment(team):
    team.cluster.objects.delete(DEPLOYMENT.plural, NAMESPACE, mochi.IDLE)


async def nothing(team):
    team.reconfigure()
    file = team.folder / "greenlight.toml"
    file.write_text(file.read_text().replace('"mochi"\nchannel', '"elsewhere"\nchannel'))
    team.cluster.access.restrict("system:serviceaccount:mochi:greenlight", allowed(team), "elsewhere")


async def no_selector(team):
    await team.change("services", mochi.ACTIVE, {"spec": {"selector": None}})


async def empty_value(team):
    await team.change("services", mochi.ACTIVE, {"spec": {"selector": {"color": ""}}})


async def two_containers(team):
    slot = team.manifest("Deployment", mochi.IDLE)
    slot["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "proxy:1"})
    await team.replace("deployments", mochi.IDLE, slot)


async def same_selector(team):
    slot, live = team.manifest("Deployment", mochi.IDLE), team.manifest("Deployment", mochi.LIVE)
    slot["spec"]["selector"] = live["spec"]["selector"]
    slot["spec"]["template"]["metadata"] = live["spec"]["template"]["metadata"]
    await team.replace("deployments", mochi.IDLE, slot)


async def both_live(team):
    await team.change("deployments", mochi.IDLE, {"spec": {"replicas": 1}})


async def claimed(team):
    await team.change("services", mochi.ACTIVE, {"metadata": {"annotations": {STORE: "another"}}})


@pytest.mark.parametrize(
    ("spoil", "wrong", "fix"),
    [
        (no_service, "Service mochiapp-preview is not in namespace mochi.", "Create it there, or name another in"),
        (no_deployment, "Deployment mochiapp-green is not in namespace mochi.", "Create it there, or name another in"),
        (nothing, "Nothing of mochi is in namespace elsewhere, if there is such a namespace.", "Create its Services"),
        (no_selector, "Service mochiapp has no selector, so there is nothing to switch.", "Give it the labels of"),
        (empty_value, "Service mochiapp selects color with an empty value.", "Give it a value or remove it."),
        (two_containers, "Deployment mochiapp-green has several containers (myapp, proxy).", "Set `container` to one"),
        (
            same_selector,
            "Deployments mochiapp-blue and mochiapp-green select each other's pods.",
            "Create the one that",
        ),
        (both_live, "Service mochiapp routes to both slots.", "Scale the one that is not live to 0."),
        (claimed, "Service mochiapp is released by another Greenlight", "If that one is gone for good, take over with"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_objects_that_allow_no_release_fail_with_the_sentence_of_deploy(checked, team, spoil, wrong, fix):
    await spoil(team)
    found, *others = (await checked()).wrong
    assert (found.part, found.about, found.state) == ("app mochi", "objects", State.FAIL)
    assert {each.about for each in others} <= {"production"}  # a selector that selects nobody: nobody answers
    assert found.sentence.startswith(wrong)
    assert found.fix.startswith(fix)


async def wide_selector(team):
    """What `init` makes beside a Deployment that has been alone: it keeps its selector, which cannot be changed."""
    live, idle = team.manifest("Deployment", mochi.LIVE), team.manifest("Deployment", mochi.IDLE)
    for slot, labels in ((live, {"app": "mochi"}), (idle, {"app": "mochi", "slot": "b"})):
        slot["spec"]["selector"]["matchLabels"] = slot["spec"]["template"]["metadata"]["labels"] = labels
    await team.replace("deployments", mochi.LIVE, live)
    await team.replace("deployments", mochi.IDLE, idle)
    await team.change("services", mochi.PREVIEW, {"spec": {"selector": {"color": None, "slot": "b"}}})


async def one_pod(team):
    await team.change("deployments", mochi.LIVE, {"spec": {"replicas": 1}})


async def killed_quickly(team):
    patch = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 3}}}}
    await team.change("deployments", mochi.IDLE, patch)
    await team.change("deployments", mochi.LIVE, patch)


async def nobody_asks(team):
    for slot in (mochi.IDLE, mochi.LIVE):
        manifest = team.manifest("Deployment", slot)
        del manifest["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
        await team.replace("deployments", slot, manifest)


async def different_slots(team):
    slot = team.manifest("Deployment", mochi.IDLE)
    slot["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "DATABASE", "value": "old"}]
    await team.replace("deployments", mochi.IDLE, slot)


async def half_scaled(team):
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": mochi.LIVE}
    team.cluster.apply(
        [
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "mochiapp", "namespace": NAMESPACE},
                "spec": {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 5},
            }
        ]
    )


async def tracked_service(team):
    note = {TRACKED: f"shop:/Service:{NAMESPACE}/{mochi.ACTIVE}", OPTIONS: "ServerSideApply=true"}
    await team.change("services", mochi.ACTIVE, {"metadata": {"annotations": note}})


async def tracked_slot(team):
    note = {TRACKED: f"shop:apps/Deployment:{NAMESPACE}/{mochi.IDLE}"}
    await team.change("deployments", mochi.IDLE, {"metadata": {"annotations": note}})


async def missing_port(team):
    [ingress] = [
        each for each in team.objects() if (each["kind"], each["metadata"]["name"]) == ("Ingress", mochi.PREVIEW)
    ]
    ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = {"name": "https"}
    await team.replace(INGRESS.plural, mochi.PREVIEW, ingress)


async def strange_image(team):
    team.registry.push("mochi-nightly", "blue")
    team.reconfigure(image=f"{team.registry.host}/mochi-nightly")


@pytest.mark.parametrize(
    ("spoil", "about", "wrong", "fix"),
    [
        (
            wide_selector,
            "slots",
            "the selector of Deployment mochiapp-blue takes in the pods of ",
            "While",
        ),
        (one_pod, "pods", "mochiapp-blue has one pod: whenever that is restarted", "Run at least two."),
        (killed_quickly, "pods", "Pods of mochiapp-blue are killed 3 s after they are told to end and have no", "Set"),
        (nobody_asks, "pods", "nobody asks the pods of mochiapp-blue and mochiapp-green whether they are", "Give the"),
        (different_slots, "slots", "mochiapp-blue and mochiapp-green differ in more than the image", "Make the pod"),
        (half_scaled, "autoscaler", "an autoscaler sets the pods of one slot only: while mochiapp-green is", "Make a"),
        (
            tracked_service,
            "Argo CD",
            "Argo CD's application shop applies Service mochiapp server-side, and takes what Greenlight writes out",
            "Leave that out of what shop compares and applies.",
        ),
        (
            tracked_slot,
            "Argo CD",
            "Argo CD's application shop keeps Deployment mochiapp-green to what Git",
            "Leave its image",
        ),
        (
            missing_port,
            "preview",
            "Ingress mochiapp-preview leads to port https of Service mochiapp-preview, which has no such port.",
            "Name a port of the Service there",
        ),
        (strange_image, "image", "live is an image of 127.0.0.1", "Add it to `images` of [apps.mochi]"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_what_a_release_lives_with_is_a_warning(checked, team, spoil, about, wrong, fix):
    await spoil(team)
    [found] = (await checked()).wrong
    assert (found.part, found.about, found.state) == ("app mochi", about, State.WARN)
    assert found.sentence.startswith(wrong)
    assert found.fix.startswith(fix)


async def test_a_pre_stop_hook_makes_time_for_requests(checked, team):
    for name in (mochi.IDLE, mochi.LIVE):
        slot = team.manifest("Deployment", name)
        slot["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 3
        slot["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 2}}}
        await team.replace("deployments", name, slot)
    assert (await checked()).wrong == []


async def test_a_tracking_annotation_that_was_inherited_says_nothing(checked, team):
    """Copies of an object carry the annotation of the first one."""
    note = {TRACKED: f"shop:/Service:{NAMESPACE}/another"}
    await team.change("services", mochi.ACTIVE, {"metadata": {"annotations": note}})
    assert (await checked()).wrong == []


# Addresses ------------------------------------------------------------------------------------------------------------


async def test_an_address_without_tls_is_told(checked, team):
    """The Ingress of the preview names no certificate for its host."""
    production = team._values["links"].splitlines()[0]
    team.reconfigure(links=production)
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("app mochi", "preview", State.WARN)
    assert wrong.sentence == f"http://{mochi.PREVIEW_HOST}/ is without TLS: no certificate covers the host."


async def test_a_service_without_an_address_is_told(checked, team):
    team.cluster.objects.delete(INGRESS.plural, NAMESPACE, mochi.PREVIEW)
    team.reconfigure(links=team._values["links"].splitlines()[0])
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("app mochi", "preview", State.WARN)
    assert wrong.sentence == (
        "no Ingress and no HTTPRoute leads to Service mochiapp-preview: the card has no button to it."
    )
    assert wrong.fix == 'Make one, or set links = { preview = "https://…" } in [apps.mochi].'


async def test_production_that_does_not_answer_is_told(checked, team):
    team.reconfigure(links='production = "http://127.0.0.1:9/"\n' + team._values["links"].splitlines()[1])
    [wrong] = (await checked()).wrong
    assert (wrong.part, wrong.about, wrong.state) == ("app mochi", "production", State.WARN)
    assert wrong.sentence.startswith("http://127.0.0.1:9/ does not answer from here")
