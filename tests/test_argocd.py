"""Who keeps an object, and what of a release would be put back: read from the object, and from the Application."""

import json

import pytest
import yaml

from bot.clusters.api import SERVICE
from bot.clusters.argocd import (
    application_place,
    heals_itself,
    image_path,
    keeper,
    keeps_image,
    overrules_selector,
    remedy,
    resets_image,
    selector_path,
    strips_selector,
)

HASH = "rollouts-pod-template-hash"
HEALS = {"automated": {"selfHeal": True}}
SERVER_SIDE = {"syncOptions": ["CreateNamespace=true", "ServerSideApply=true"]}
RESPECTS = {"syncOptions": ["ServerSideApply=true", "RespectIgnoreDifferences=true"]}


def rollout(*, containers=("web",), **metadata):
    template = {"spec": {"containers": [{"name": each, "image": "mochi:1"} for each in containers]}}
    tracked = {"annotations": {"argocd.argoproj.io/tracking-id": "shop:argoproj.io/Rollout:mochi/mochiapp"}}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "mochiapp", "namespace": "mochi"} | (metadata or tracked),
        "spec": {"template": template},
    }


def service(*, options="", managers=(), **metadata):
    notes = {"argocd.argoproj.io/tracking-id": "shop:/Service:mochi/mochiapp"}
    notes |= {"argocd.argoproj.io/sync-options": options} if options else {}
    entries = [{"manager": manager, "operation": operation} for manager, operation in managers]
    written = {"name": "mochiapp", "namespace": "mochi", "annotations": notes, "managedFields": entries}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": written | metadata,
        "spec": {"selector": {"app": "mochi", HASH: "6f9"}},
    }


def application(policy=HEALS, *ignored):
    return {"metadata": {"name": "shop"}, "spec": {"syncPolicy": policy, "ignoreDifferences": list(ignored)}}


def ignored(kind="Rollout", group="argoproj.io", **what):
    return {"group": group, "kind": kind} | what


# Whose it is ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ("shop:argoproj.io/Rollout:mochi/mochiapp", "shop"),
        ("team-a_shop:argoproj.io/Rollout:mochi/mochiapp", "shop"),
        ("shop:argoproj.io/Rollout:mochi/another", ""),
        ("shop:argoproj.io/Rollout:other/mochiapp", ""),
        ("shop:apps/Deployment:mochi/mochiapp", ""),
        ("shop:apps/Rollout:mochi/mochiapp", ""),
        ("shop", ""),
        ("", ""),
    ],
)
def test_an_object_is_kept_by_the_application_whose_mark_is_about_this_very_object(note, expected):
    """ReplicaSets inherit the annotations of their owner, and people copy objects with all that is on them."""
    assert keeper(rollout(annotations={"argocd.argoproj.io/tracking-id": note})) == expected


def test_an_item_of_a_list_is_known_by_its_place_and_by_the_kind_that_was_listed():
    """Items of a list of Services say neither apiVersion nor kind."""
    item = service()
    del item["kind"], item["apiVersion"]
    assert keeper(item) == keeper(item, SERVICE) == "shop"
    item["metadata"]["name"] = "another"
    assert keeper(item) == keeper(item, SERVICE) == ""


@pytest.mark.parametrize("label", ["app.kubernetes.io/instance", "argocd.argoproj.io/instance"])
def test_the_label_of_older_installations_counts_only_where_argo_cd_has_written(label):
    """Helm charts set the very same label, and copies carry both."""
    assert keeper(rollout(labels={label: "shop"})) == ""
    helm = [{"manager": "helm", "operation": "Update"}]
    assert keeper(rollout(labels={label: "shop"}, managedFields=helm)) == ""
    written = [*helm, {"manager": "argocd-controller", "operation": "Update"}]
    assert keeper(rollout(labels={label: "shop"}, managedFields=written)) == "shop"
    assert keeper(rollout(managedFields=written)) == ""


def test_a_mark_for_another_object_is_not_made_good_by_a_label():
    marked = {"argocd.argoproj.io/tracking-id": "shop:argoproj.io/Rollout:mochi/another"}
    written = [{"manager": "argocd-controller", "operation": "Apply"}]
    labels = {"app.kubernetes.io/instance": "shop"}
    assert keeper(rollout(annotations=marked, labels=labels, managedFields=written)) == ""


@pytest.mark.parametrize("strange", [None, "x", [None, 5, {"manager": None}], {}])
def test_strange_marks_keep_nothing(strange):
    assert keeper(rollout(labels={"app.kubernetes.io/instance": "shop"}, managedFields=strange)) == ""


def test_the_application_is_in_argo_cds_own_namespace_unless_the_mark_names_another():
    assert application_place(rollout()) == ("argocd", "shop")
    marked = {"argocd.argoproj.io/tracking-id": "team-a_shop:argoproj.io/Rollout:mochi/mochiapp"}
    assert application_place(rollout(annotations=marked)) == ("team-a", "shop")
    assert application_place(rollout(annotations={})) is None


# What it does to an image ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "heals"),
    [
        (HEALS, True),
        ({"automated": {"selfHeal": True, "enabled": True}}, True),
        ({"automated": {"selfHeal": True, "enabled": False}}, False),
        ({"automated": {"prune": True}}, False),
        ({"automated": None}, False),
        ({}, False),
        (None, False),
    ],
)
def test_only_an_application_that_heals_itself_puts_an_image_back_at_once(policy, heals):
    assert heals_itself(application(policy)) is heals
    assert (keeps_image(rollout(), None, application(policy)) is not None) is heals
    assert (resets_image(rollout(), None, application(policy)) is not None) is not heals


def test_an_object_that_nobody_keeps_is_not_put_back():
    assert keeps_image(rollout(annotations={}), None) is None
    assert resets_image(rollout(annotations={}), None, application()) is None


def test_what_is_put_back_is_told_with_what_works_instead():
    kept = keeps_image(rollout(), None, application())
    assert kept.wrong == (
        "Argo CD's application shop keeps Rollout mochiapp to what Git says, and puts back within a second any image "
        "that is written here"
    )
    assert kept.fix.startswith("commit the image to Git, by which the release begins and needs the same approvals, or ")
    slot = rollout() | {"kind": "Deployment", "apiVersion": "apps/v1"}
    slot["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:mochi/mochiapp"}
    assert keeps_image(slot, None, application()).fix == (
        "leave its image, and its replicas if Git names them, out of what Argo CD compares and applies "
        "(ignoreDifferences)."
    )


def test_without_rights_on_the_application_the_mark_alone_decides():
    """And the sentence says what to allow, for an application that does not heal itself."""
    kept = keeps_image(rollout(), None)
    assert "may put back" in kept.wrong
    assert kept.fix.endswith(
        "if shop does not heal itself, let Greenlight read it (in its own namespace: "
        "- {apiGroups: [argoproj.io], resources: [applications], resourceNames: [shop], verbs: [get]})."
    )


@pytest.mark.parametrize(
    "what",
    [
        {"jsonPointers": ["/spec/template/spec/containers/1/image"]},
        {"jsonPointers": ["/spec/replicas", "/spec/template/spec/containers"]},
        {"jsonPointers": ["/spec/template"]},
        {"jqPathExpressions": [".spec.template.spec.containers[1].image"]},
        {"jqPathExpressions": [".spec.template.spec.containers[].image"]},
        {"jqPathExpressions": [".spec.template.spec.containers[]?.image"]},
        {"jqPathExpressions": ['.spec.template.spec.containers[] | select(.name == "web") | .image']},
        {"jqPathExpressions": ['.spec.template.spec.containers[] | select(.name=="web").image']},
        {"jqPathExpressions": ['.spec["template"]']},
        {"managedFieldsManagers": ["kube-controller-manager", "greenlight"]},
        {"jsonPointers": ["/spec/template"], "name": "mochiapp", "namespace": "mochi"},
        {"jsonPointers": ["/spec/template"], "group": "*", "kind": "*"},
    ],
    ids=str,
)
def test_an_image_that_is_left_out_stays_until_the_next_sync_and_for_good_where_that_respects_it(what):
    holder, entry = rollout(containers=("proxy", "web")), ignored(**what) if "kind" not in what else what
    assert keeps_image(holder, "web", application(HEALS, entry)) is None
    assert resets_image(holder, "web", application(HEALS, entry)).wrong == (
        "the next sync of Argo CD's application shop puts the image that Git names back into Rollout mochiapp"
    )
    assert resets_image(holder, "web", application(HEALS | RESPECTS, entry)) is None


@pytest.mark.parametrize(
    "what",
    [
        {"jsonPointers": ["/spec/template/spec/containers/0/image"]},
        {"jsonPointers": ["/spec/replicas", "/spec/template/spec/containers/1/image/more"]},
        {"jqPathExpressions": [".spec.template.spec.containers[0].image"]},
        {"jqPathExpressions": ['.spec.template.spec.containers[] | select(.name == "proxy") | .image']},
        {"jqPathExpressions": [".spec.template.spec.initContainers[].image"]},
        {"jqPathExpressions": [".spec.replicas", "spec.template", ".", ".spec |", 5]},
        {"managedFieldsManagers": ["kube-controller-manager"]},
        {"jsonPointers": ["/spec/template"], "name": "another"},
        {"jsonPointers": ["/spec/template"], "namespace": "another"},
        {"jsonPointers": ["/spec/template"], "kind": "Deployment"},
        {"jsonPointers": ["/spec/template"], "group": "apps"},
        {"jsonPointers": None},
    ],
    ids=str,
)
def test_what_leaves_out_something_else_leaves_the_image_in(what):
    holder, entry = rollout(containers=("proxy", "web")), ignored() | what
    assert keeps_image(holder, "web", application(HEALS | RESPECTS, entry)) is not None


@pytest.mark.parametrize("spec", [None, 5, {"ignoreDifferences": {}, "syncPolicy": []}, {"ignoreDifferences": [5]}])
def test_an_application_that_cannot_be_read_heals_nothing(spec):
    assert keeps_image(rollout(), None, {"spec": spec}) is None
    assert resets_image(rollout(), None, {"spec": spec}) is not None


# What it does to a selector -------------------------------------------------------------------------------------------

APPLIED = [("argocd-controller", "Apply")]


@pytest.mark.parametrize(
    ("item", "policy"),
    [
        (service(), SERVER_SIDE),
        (service(options="Prune=false, ServerSideApply=true"), HEALS),
        (service(options="ServerSideApply=true"), None),
        (service(managers=[("rollouts-controller", "Update"), *APPLIED]), None),
    ],
)
def test_server_side_apply_takes_what_git_does_not_say_out_of_a_selector(item, policy):
    """Whether it heals itself or not: the next sync does it as well."""
    found = strips_selector(item, HASH, application(policy) if policy else None)
    assert found.wrong == (
        "Argo CD's application shop applies Service mochiapp server-side, and takes the label "
        f"{HASH} out of its selector: then it lets in the pods of a version that nobody approved"
    )


@pytest.mark.parametrize(
    ("item", "policy"),
    [
        (service(), HEALS),
        (service(), None),
        (service(options="ServerSideApply=false"), SERVER_SIDE),
        (service(managers=APPLIED), HEALS),
        (service(managers=[("argocd-controller", "Update")]), None),
        (service(managers=[("kubectl", "Apply")]), None),
        (service(annotations={}), SERVER_SIDE),
    ],
)
def test_client_side_apply_leaves_what_was_added_to_a_selector(item, policy):
    assert strips_selector(item, HASH, application(policy) if policy else None) is None


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (HASH, {"jsonPointers": [f"/spec/selector/{HASH}"]}),
        (HASH, {"jsonPointers": ["/spec/selector"]}),
        (HASH, {"jqPathExpressions": [f'.spec.selector."{HASH}"']}),
        (HASH, {"jqPathExpressions": [f'.spec.selector["{HASH}"]', ".status"]}),
        (HASH, {"managedFieldsManagers": ["rollouts-controller"]}),
        ("", {"jsonPointers": ["/spec/selector"]}),
        ("", {"managedFieldsManagers": ["greenlight"]}),
    ],
)
def test_a_selector_that_is_left_out_of_both_is_safe_and_of_one_alone_is_not(key, what):
    """What is only left out of the comparison is applied with the next commit all the same."""
    entry = ignored("Service", "", **what)
    assert strips_selector(service(), key, application(RESPECTS, entry)) is None
    assert strips_selector(service(), key, application(SERVER_SIDE, entry)) is not None
    assert strips_selector(service(), key, application(RESPECTS)) is not None


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("", {"jsonPointers": [f"/spec/selector/{HASH}"]}),
        (HASH, {"jsonPointers": ["/spec/selector/app"]}),
        (HASH, {"managedFieldsManagers": ["greenlight"]}),
        (HASH, {"jqPathExpressions": [".spec.selector | keys"]}),
        (HASH, {"jsonPointers": ["/spec/selector"], "name": "mochiapp-preview"}),
    ],
)
def test_less_than_what_is_written_is_not_enough(key, what):
    assert strips_selector(service(), key, application(RESPECTS, ignored("Service", "", **what))) is not None


def applied(selector):
    configuration = json.dumps({"spec": {"selector": selector}})
    notes = service()["metadata"]["annotations"] | {"kubectl.kubernetes.io/last-applied-configuration": configuration}
    return service(annotations=notes)


def test_a_selector_in_git_that_tells_the_slots_apart_is_put_back_by_client_side_apply_as_well():
    """Git says `color: blue`; a switch to green takes that out, and with both the Service selects nobody."""
    found = overrules_selector(applied({"app": "mochi", "color": "blue"}), {"app": "mochi"}, application())
    assert found.wrong == (
        "Git says color: blue in the selector of Service mochiapp, which pods of the other slot do not have: after a "
        "switch Argo CD's application shop puts that back, and the Service leads nowhere"
    )


@pytest.mark.parametrize(
    "item",
    [
        applied({"app": "mochi"}),
        applied(None),
        applied("x"),
        service(),
        service(annotations={"kubectl.kubernetes.io/last-applied-configuration": '{"spec":{"selector":{"a":"b"}}}'}),
    ],
)
def test_a_selector_in_git_that_both_slots_have_or_that_nobody_keeps_is_none_to_worry_about(item):
    assert overrules_selector(item, {"app": "mochi"}, application()) is None


def test_a_selector_that_is_left_out_is_not_put_back():
    entry = ignored("Service", "", jsonPointers=["/spec/selector"])
    item = applied({"color": "blue"})
    assert overrules_selector(item, {}, application(RESPECTS, entry)) is None
    assert overrules_selector(item, {}, application(HEALS, entry)) is not None
    assert overrules_selector(item, {}) is not None


@pytest.mark.parametrize("key", [HASH, "", "greenlight.dev/release"])
def test_the_remedy_is_yaml_that_helps(key):
    text = remedy(SERVICE, {each: [selector_path(key)] for each in ("mochiapp", "mochiapp-preview")})
    added = yaml.safe_load(text)
    assert [each["name"] for each in added["ignoreDifferences"]] == ["mochiapp", "mochiapp-preview"]
    policy = {"syncOptions": ["ServerSideApply=true", *added["syncPolicy"]["syncOptions"]]}
    assert strips_selector(service(), key, application(policy, *added["ignoreDifferences"])) is None


def test_the_path_of_an_image_is_that_of_the_container_that_a_release_changes():
    assert image_path(rollout(containers=("proxy", "web")), "web") == "/spec/template/spec/containers/1/image"
