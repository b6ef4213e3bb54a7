"""Argo CD beside a native app and beside a Rollout: what it puts back, what it leaves, and what it does unasked."""

from collections.abc import AsyncIterator

import pytest

from mochi import ACTIVE, LIVE, PREVIEW, mochi
from mochi_rollout import ROLLOUT, mochi_rollout
from rollout_cluster import HASH, NAMESPACE, RolloutCluster, image, rollout_cluster
from sandbox.cluster.argocd import Tracked

RELEASE = "greenlight.dev/release"
TRACKING = "argocd.argoproj.io/tracking-id"
SERVER_SIDE = "ServerSideApply=true"
RESPECT = "RespectIgnoreDifferences=true"
SELECTORS = {"kind": "Service", "jsonPointers": ["/spec/selector"]}
ONE_SELECTOR_KEY = {"kind": "Service", "jqPathExpressions": [f'.spec.selector."{HASH}"']}


def native(tag: str = "blue", **more) -> list[dict]:
    return mochi(NAMESPACE, live_image=image(tag), **more)


def with_rollout(tag: str = "blue", **more) -> list[dict]:
    return mochi_rollout(NAMESPACE, image=image(tag), **more)


@pytest.fixture
async def argo() -> AsyncIterator[RolloutCluster]:
    async with rollout_cluster(install=False) as made:
        yield made


def installed(argo: RolloutCluster, manifests: list[dict], **policy) -> Tracked:
    app = argo.cluster.argocd.install("mochi", manifests, **policy)
    argo.cluster.settle()
    return app


def commit(argo: RolloutCluster, app: Tracked, manifests: list[dict]) -> str:
    revision = app.commit(manifests)
    argo.cluster.settle()
    return revision


async def application(argo: RolloutCluster) -> dict:
    answer = await argo.call("GET", "apis/argoproj.io/v1alpha1/namespaces/argocd/applications/mochi")
    assert answer.status == 200
    return answer.body


async def selector(argo: RolloutCluster, name: str = ACTIVE) -> dict:
    return (await argo.get("services", name))["spec"]["selector"]


async def image_of(argo: RolloutCluster, plural: str, name: str) -> str:
    return (await argo.get(plural, name))["spec"]["template"]["spec"]["containers"][0]["image"]


def set_image(tag: str) -> list[dict]:
    return [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image(tag)}]


CLIENT_OR_SERVER = pytest.mark.parametrize("options", [[], [SERVER_SIDE]], ids=["client-side", "server-side"])


@CLIENT_OR_SERVER
async def test_what_is_in_git_is_applied_and_marked_with_the_application(argo, options):
    app = installed(argo, native(), options=options)
    for plural, name, kind in (("deployments", LIVE, "apps/Deployment"), ("services", ACTIVE, "/Service")):
        item = await argo.get(plural, name)
        assert item["metadata"]["annotations"][TRACKING] == f"mochi:{kind}:{NAMESPACE}/{name}"
        assert "argocd-controller" in {entry["manager"] for entry in item["metadata"]["managedFields"]}
    found = await application(argo)
    assert found["status"]["sync"]["status"] == "Synced"
    assert found["status"]["sync"]["revision"] == app.revision
    assert found["status"]["health"]["status"] == "Healthy"
    assert found["status"]["operationState"]["syncResult"]["revision"] == app.revision
    assert found["spec"]["syncPolicy"]["automated"] == {"selfHeal": True}
    deployments = [each for each in found["status"]["resources"] if each["kind"] == "Deployment"]
    assert deployments[0] == {
        "group": "apps",
        "version": "v1",
        "kind": "Deployment",
        "namespace": NAMESPACE,
        "name": LIVE,
        "status": "Synced",
        "health": {"status": "Healthy"},
    }


async def test_older_installations_mark_with_a_label(argo):
    argo.cluster.argocd.tracking = type(argo.cluster.argocd.tracking).LABEL
    installed(argo, native())
    metadata = (await argo.get("services", ACTIVE))["metadata"]
    assert metadata["labels"]["app.kubernetes.io/instance"] == "mochi"
    assert TRACKING not in metadata["annotations"]


async def test_a_key_that_is_added_to_a_selector_stays_with_client_side_apply(argo):
    app = installed(argo, native())
    await argo.done("services", ACTIVE, {"spec": {"selector": {RELEASE: "mochi-1"}}})
    assert await selector(argo) == {"app": "mochi", RELEASE: "mochi-1"}
    assert (await application(argo))["status"]["sync"]["status"] == "Synced"
    app.sync()
    argo.cluster.settle()
    assert (await selector(argo))[RELEASE] == "mochi-1"


async def test_a_key_that_is_added_to_a_selector_is_stripped_with_server_side_apply(argo):
    installed(argo, native(), options=[SERVER_SIDE])
    await argo.done("services", ACTIVE, {"spec": {"selector": {RELEASE: "mochi-1"}}})
    assert await selector(argo) == {"app": "mochi"}


async def test_a_selector_that_git_does_not_have_is_left_alone(argo):
    manifests = native()
    (active,) = [item for item in manifests if item["kind"] == "Service" and item["metadata"]["name"] == ACTIVE]
    del active["spec"]["selector"]
    installed(argo, manifests, options=[SERVER_SIDE])
    await argo.done("services", ACTIVE, {"spec": {"selector": {"app": "mochi", RELEASE: "mochi-1"}}})
    assert await selector(argo) == {"app": "mochi", RELEASE: "mochi-1"}


@pytest.mark.parametrize("rule", [SELECTORS, {**SELECTORS, "group": ""}, {**SELECTORS, "name": ACTIVE}])
async def test_an_ignored_selector_is_left_alone_when_syncs_respect_that(argo, rule):
    app = installed(argo, native(), options=[SERVER_SIDE, RESPECT], ignore=[rule])
    await argo.done("services", ACTIVE, {"spec": {"selector": {RELEASE: "mochi-1"}}})
    assert (await selector(argo))[RELEASE] == "mochi-1"
    commit(argo, app, native(replicas=3))
    assert (await selector(argo))[RELEASE] == "mochi-1"


async def test_an_ignored_selector_is_no_drift_but_the_next_sync_strips_it_all_the_same(argo):
    """Ignoring the difference alone only hides it."""
    app = installed(argo, native(), options=[SERVER_SIDE], ignore=[SELECTORS])
    await argo.done("services", ACTIVE, {"spec": {"selector": {RELEASE: "mochi-1"}}})
    assert (await selector(argo))[RELEASE] == "mochi-1"
    commit(argo, app, native(replicas=3))
    assert await selector(argo) == {"app": "mochi"}


async def test_what_a_manager_owns_can_be_ignored(argo):
    rule = {"group": "*", "kind": "*", "managedFieldsManagers": ["kubectl"]}
    installed(argo, native(), options=[SERVER_SIDE, RESPECT], ignore=[rule])
    await argo.done("services", ACTIVE, {"spec": {"selector": {RELEASE: "mochi-1"}}})
    assert (await selector(argo))[RELEASE] == "mochi-1"


@CLIENT_OR_SERVER
async def test_a_key_of_a_selector_that_git_has_is_put_back(argo, options):
    installed(argo, native(selector={"app": "mochi", "color": "blue"}), options=options)
    await argo.done("services", ACTIVE, {"spec": {"selector": {"color": "green"}}})
    assert await selector(argo) == {"app": "mochi", "color": "blue"}


@CLIENT_OR_SERVER
async def test_labels_and_annotations_that_others_add_stay(argo, options):
    installed(argo, native(), options=options)
    mark = {RELEASE: "mochi-1"}
    change = {"metadata": {"labels": mark}, "spec": {"template": {"metadata": {"labels": mark, "annotations": mark}}}}
    await argo.done("deployments", LIVE, change)
    found = await argo.get("deployments", LIVE)
    assert found["metadata"]["labels"][RELEASE] == "mochi-1"
    assert found["spec"]["template"]["metadata"]["labels"][RELEASE] == "mochi-1"
    assert found["spec"]["template"]["metadata"]["annotations"][RELEASE] == "mochi-1"


@CLIENT_OR_SERVER
async def test_an_image_that_git_has_is_put_back(argo, options):
    installed(argo, native(), options=options)
    since = argo.cluster.objects.version
    await argo.done("deployments", LIVE, set_image("green"))
    assert await image_of(argo, "deployments", LIVE) == image("blue")
    seen = [
        item["spec"]["template"]["spec"]["containers"][0]["image"] for item in argo.past("deployments", LIVE, since)
    ]
    assert seen[0] == image("green")  # for a moment it was there


@CLIENT_OR_SERVER
async def test_replicas_are_put_back_only_if_git_has_them(argo, options):
    manifests = native()
    del manifests[1]["spec"]["replicas"]
    installed(argo, manifests, options=options)
    await argo.done("deployments", LIVE, {"spec": {"replicas": 5}})
    await argo.done("deployments", manifests[1]["metadata"]["name"], {"spec": {"replicas": 5}})
    assert (await argo.get("deployments", LIVE))["spec"]["replicas"] == 2
    assert (await argo.get("deployments", manifests[1]["metadata"]["name"]))["spec"]["replicas"] == 5


@CLIENT_OR_SERVER
async def test_a_deleted_object_is_made_again(argo, options):
    installed(argo, native(), options=options)
    await argo.delete("services", ACTIVE)
    assert await selector(argo) == {"app": "mochi"}


@pytest.mark.parametrize(
    "policy",
    [{"automated": {"selfHeal": False}}, {"automated": {}}, {"automated": {"selfHeal": True, "enabled": False}}, {}],
    ids=["no self-heal", "nothing said", "disabled", "by hand"],
)
async def test_without_self_heal_drift_is_only_reported(argo, policy):
    app = installed(argo, native())
    app.set({"spec": {"syncPolicy": {"automated": None}}})
    app.set({"spec": {"syncPolicy": policy}})
    argo.cluster.settle()
    await argo.done("deployments", LIVE, set_image("green"))
    assert await image_of(argo, "deployments", LIVE) == image("green")
    assert (await application(argo))["status"]["sync"]["status"] == "OutOfSync"


async def test_a_commit_is_synced_by_itself_or_when_somebody_asks(argo):
    app = installed(argo, native(), automated=False)
    assert (await application(argo))["status"]["health"]["status"] == "Missing"
    app.sync()
    argo.cluster.settle()
    assert (await application(argo))["status"]["sync"] | {"comparedTo": None} == {
        "status": "Synced",
        "revision": app.revision,
        "comparedTo": None,
    }
    assert "operation" not in await application(argo)
    app.set({"spec": {"syncPolicy": {"automated": {}}}})
    revision = commit(argo, app, native("green"))
    assert await image_of(argo, "deployments", LIVE) == image("green")
    assert (await application(argo))["status"]["sync"]["revision"] == revision


async def test_what_a_commit_takes_out_of_a_manifest_is_taken_out(argo):
    manifests = native()
    manifests[0]["spec"]["template"]["metadata"]["annotations"] = {"example.com/a": "b"}
    app = installed(argo, manifests)
    commit(argo, app, native())
    template = (await argo.get("deployments", LIVE))["spec"]["template"]
    assert "annotations" not in template["metadata"] or "example.com/a" not in template["metadata"]["annotations"]


async def test_a_lost_quarrel_looks_won_until_its_pause_is_over(argo):
    """The first drift is put back at once, the next ones after 2, 6, 18 seconds and so on."""
    installed(argo, native())
    await argo.done("deployments", LIVE, set_image("green"))
    for pause in (2, 6, 18):
        await argo.done("deployments", LIVE, set_image("green"))
        assert await image_of(argo, "deployments", LIVE) == image("green")
        argo.cluster.advance(pause - 1)
        assert await image_of(argo, "deployments", LIVE) == image("green")
        argo.cluster.advance(1)
        assert await image_of(argo, "deployments", LIVE) == image("blue")


async def test_a_stopped_argo_cd_puts_nothing_back(argo):
    installed(argo, native())
    argo.cluster.argocd.stop()
    await argo.done("deployments", LIVE, set_image("green"))
    assert await image_of(argo, "deployments", LIVE) == image("green")
    argo.cluster.argocd.resume()
    argo.cluster.settle()
    assert await image_of(argo, "deployments", LIVE) == image("blue")


# Beside a Rollout


async def test_a_commit_is_the_normal_start_of_an_update(argo):
    app = installed(argo, with_rollout())
    assert (await argo.phase(), await argo.selected()) == (("Healthy", ""), "blue")
    commit(argo, app, with_rollout("green"))
    assert (await argo.pauses(), await argo.selected()) == (["BlueGreenPause"], "blue")
    assert (await application(argo))["status"]["health"]["status"] == "Suspended"
    await argo.promote()
    assert (await argo.selected(), (await application(argo))["status"]["health"]["status"]) == ("green", "Healthy")
    assert (await application(argo))["status"]["sync"]["status"] == "Synced"


async def test_the_sets_of_a_rollout_inherit_its_mark(argo):
    """So whoever reads the mark has to compare it with the object that bears it."""
    installed(argo, with_rollout())
    (item,) = await argo.listed("replicasets")
    assert item["metadata"]["annotations"][TRACKING] == f"mochi:argoproj.io/Rollout:{NAMESPACE}/{ROLLOUT}"


@CLIENT_OR_SERVER
async def test_promote_and_abort_are_no_drift(argo, options):
    ignored = {"options": [*options, RESPECT], "ignore": [SELECTORS]} if options else {"options": options}
    app = installed(argo, with_rollout(), **ignored)
    commit(argo, app, with_rollout("green"))
    await argo.abort()
    assert (await application(argo))["status"]["sync"]["status"] == "Synced"
    assert (await application(argo))["status"]["health"]["status"] == "Degraded"
    argo.cluster.advance(31)
    await argo.retry()
    await argo.promote()
    assert (await argo.selected(), (await application(argo))["status"]["sync"]["status"]) == ("green", "Synced")


async def test_an_image_set_by_hand_is_put_back_before_anybody_can_promote_it(argo):
    installed(argo, with_rollout())
    await argo.set_image("green")
    assert (await argo.selected(), await argo.phase()) == ("blue", ("Healthy", ""))
    assert await image_of(argo, "rollouts", ROLLOUT) == image("blue")


async def test_the_active_service_set_back_stays_until_git_follows_and_then_nothing_pauses(argo):
    app = installed(argo, with_rollout())
    commit(argo, app, with_rollout("green"))
    await argo.promote()
    argo.cluster.advance(60)
    commit(argo, app, with_rollout("purple"))
    await argo.promote()
    await argo.select(await argo.hash_of("green"))
    app.sync()
    argo.cluster.advance(120)
    assert (await argo.selected(), await argo.ready_addresses(), (await argo.phase())[0]) == ("green", 2, "Paused")
    found = (await application(argo))["status"]
    assert (found["sync"]["status"], found["health"]["status"]) == ("Synced", "Suspended")
    since = argo.cluster.objects.version
    commit(argo, app, with_rollout("green"))
    assert (await argo.selected(), await argo.stable(), await argo.phase()) == ("green", "green", ("Healthy", ""))
    assert argo.past("services", ACTIVE, since) == []


async def test_a_commit_back_to_an_image_that_is_still_warm_goes_live_at_once(argo):
    app = installed(argo, with_rollout())
    commit(argo, app, with_rollout("green"))
    commit(argo, app, with_rollout("purple"))
    commit(argo, app, with_rollout("green"))
    assert (await argo.selected(), await argo.pauses()) == ("green", [])


async def test_server_side_apply_strips_the_hash_and_the_next_commit_goes_live_without_a_pause(argo):
    app = installed(argo, with_rollout(), options=[SERVER_SIDE])
    argo.cluster.advance(600)
    assert (await selector(argo), await selector(argo, PREVIEW)) == ({"app": "mochi"}, {"app": "mochi"})
    since = argo.cluster.objects.version
    commit(argo, app, with_rollout("green"))
    argo.cluster.advance(600)
    assert await argo.stable() == "green"
    assert not [state for state in argo.past(since=since) if state["status"].get("pauseConditions")]


@pytest.mark.parametrize("rule", [SELECTORS, ONE_SELECTOR_KEY], ids=["whole selector", "one key"])
async def test_with_the_difference_ignored_and_respected_the_hash_stays(argo, rule):
    app = installed(argo, with_rollout(), options=[SERVER_SIDE, RESPECT], ignore=[rule])
    commit(argo, app, with_rollout("green"))
    argo.cluster.advance(600)
    assert (await argo.selected(), await argo.previewed(), await argo.pauses()) == ("blue", "green", ["BlueGreenPause"])
    app.sync()
    argo.cluster.settle()
    assert (await argo.selected(), await argo.previewed()) == ("blue", "green")
    await argo.promote()
    argo.cluster.advance(600)
    assert await argo.selected() == "green"
