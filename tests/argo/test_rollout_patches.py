"""The writes to a Rollout, operation by operation, and what each of them is refused for. On recorded objects."""

import copy
import json

import pytest
from recordings import BLUE, GREEN, NOW, blue, objects, recorded

from bot.clusters import patches as service_patches
from bot.clusters.argo import patches
from bot.clusters.argo.reading import HASH
from bot.clusters.cluster import LABEL
from sandbox.cluster import ApiError
from sandbox.cluster.patches import json_patch

AT = "2026-11-26T23:12:30+00:00"
CONTAINER = "/spec/template/spec/containers/0"
STAMP = {"greenlight.dev/release": "mochi-2-abc"}


def holds(path, value):
    return {"op": "test", "path": path, "value": value}


def stage(rollout, **changes):
    sent = {"image": "mochi:green", "label": "mochi-2-abc", "wanted": None, "now": NOW} | changes
    return patches.stage(rollout, sent.pop("holder", rollout), *sent.values())


def test_a_version_is_staged_with_a_stamp_that_gives_it_a_hash_of_its_own():
    rollout = recorded("healthy")["rollout"]
    assert stage(rollout) == (
        holds("/metadata/uid", rollout["metadata"]["uid"]),
        holds(f"{CONTAINER}/name", "myapp"),
        holds(f"{CONTAINER}/image", "registry.example.com/mochiapp:blue"),
        holds("/status/currentPodHash", BLUE),
        holds("/status/stableRS", BLUE),
        holds("/status/pauseConditions", None),
        holds("/status/controllerPause", None),
        holds("/status/abort", None),
        {"op": "replace", "path": f"{CONTAINER}/image", "value": "mochi:green"},
        {
            "op": "add",
            "path": "/spec/template/metadata/annotations",
            "value": {"greenlight.dev/release": "mochi-2-abc"},
        },
        holds("/metadata/generation", 2),
        {"op": "add", "path": "/metadata/annotations/greenlight.dev~1written", "value": note(3)},
    )


def note(generation):
    return json.dumps({"generation": generation, "at": AT})


def test_a_version_in_the_place_of_one_that_waits_has_another_stamp():
    rollout = recorded("paused")["rollout"]
    written = stage(rollout, label="mochi-3-def")
    assert holds("/spec/template/metadata/annotations/greenlight.dev~1release", "mochi-2") in written
    path = "/spec/template/metadata/annotations/greenlight.dev~1release"
    assert {"op": "add", "path": path, "value": "mochi-3-def"} in written


def test_a_template_without_metadata_gets_some_and_one_with_other_annotations_keeps_them():
    rollout = recorded("healthy")["rollout"]
    rollout["spec"]["template"]["metadata"]["annotations"] = {"team": "mochi"}
    kept = json_patch(rollout, [*stage(rollout)])["spec"]["template"]["metadata"]["annotations"]
    assert kept == {"team": "mochi"} | STAMP
    del rollout["spec"]["template"]["metadata"]
    assert json_patch(rollout, [*stage(rollout)])["spec"]["template"]["metadata"] == {"annotations": STAMP}


def test_a_template_in_a_deployment_is_staged_there_and_knows_nothing_of_the_status():
    rollout = with_workload("healthy")
    holder = deployment()
    written = stage(rollout, holder=holder)
    assert {op["path"] for op in written if op["op"] == "test"} == {
        "/metadata/uid",
        f"{CONTAINER}/name",
        f"{CONTAINER}/image",
        "/spec/template/metadata/annotations/greenlight.dev~1release",
        "/metadata/generation",
    }


def with_workload(name):
    rollout = recorded(name)["rollout"]
    del rollout["spec"]["template"]
    rollout["spec"]["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mochi"}
    rollout["metadata"].setdefault("annotations", {})["rollout.argoproj.io/workload-generation"] = "4"
    rollout["status"]["workloadObservedGeneration"] = "4"
    return rollout


def deployment():
    template = recorded("paused")["rollout"]["spec"]["template"]
    metadata = {"name": "mochi", "namespace": "mochi", "uid": "d", "generation": 4}
    return {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": 0, "template": template}}


def test_a_template_is_written_back_whole_in_the_place_of_the_one_that_was_read():
    rollout, back = recorded("paused")["rollout"], json.loads(blue().template)
    assert patches.put_back(rollout, back, NOW) == (
        holds("/metadata/uid", rollout["metadata"]["uid"]),
        holds("/spec/template", rollout["spec"]["template"]),
        {"op": "replace", "path": "/spec/template", "value": back},
        holds("/metadata/generation", 3),
        {"op": "add", "path": "/metadata/annotations/greenlight.dev~1written", "value": note(4)},
    )


def test_a_promotion_ends_the_pause_that_was_read_and_nothing_else():
    rollout = recorded("paused")["rollout"]
    assert patches.promote(rollout) == (
        holds("/metadata/uid", rollout["metadata"]["uid"]),
        holds("/status/currentPodHash", GREEN),
        holds("/status/pauseConditions", [{"reason": "BlueGreenPause", "startTime": paused_since(rollout)}]),
        holds("/spec/template", rollout["spec"]["template"]),
        holds("/spec/paused", None),
        holds("/status/abort", None),
        {"op": "remove", "path": "/status/pauseConditions"},
    )


def paused_since(rollout):
    return rollout["status"]["pauseConditions"][0]["startTime"]


def test_a_promotion_of_a_template_in_a_deployment_is_bound_to_the_generation_that_was_taken_up():
    rollout = with_workload("paused")
    assert patches.promote(rollout)[3:6] == (
        holds("/spec/workloadRef", rollout["spec"]["workloadRef"]),
        holds("/metadata/annotations/rollout.argoproj.io~1workload-generation", "4"),
        holds("/status/workloadObservedGeneration", "4"),
    )


def test_a_nudge_changes_an_annotation_and_nothing_else():
    rollout = recorded("paused")["rollout"]
    value = json.dumps({"for": "generation 3", "times": 2, "at": AT})
    assert patches.nudge(rollout, "generation 3", 2, NOW) == (
        holds("/metadata/uid", rollout["metadata"]["uid"]),
        {"op": "test", "path": "/metadata/annotations/greenlight.dev~1nudged", "value": None},
        {"op": "add", "path": "/metadata/annotations/greenlight.dev~1nudged", "value": value},
    )


def test_traffic_goes_back_by_one_label_of_the_service_as_it_was_read():
    active = objects("live-with-deadline").active
    wanted = {"app": "mochiapp", HASH: BLUE}
    assert service_patches.select(active, wanted, {"greenlight.dev/by": "sam"}) == (
        holds("/metadata/resourceVersion", active["metadata"]["resourceVersion"]),
        holds("/spec/selector", {"app": "mochiapp", HASH: GREEN}),
        {"op": "add", "path": f"/spec/selector/{HASH}", "value": BLUE},
        {"op": "add", "path": "/metadata/annotations/greenlight.dev~1by", "value": "sam"},
    )


# What somebody else does between the look and the write


def recreated(rollout):
    rollout["metadata"]["uid"] = "another"


def newer_image(rollout):
    rollout["spec"]["template"]["spec"]["containers"][0]["image"] = "mochi:purple"


def newer_variable(rollout):
    rollout["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "b"}]


def newer_pause(rollout):
    rollout["status"]["pauseConditions"] = [{"reason": "BlueGreenPause", "startTime": "2026-11-26T23:13:00Z"}]


def inconclusive(rollout):
    rollout["status"]["pauseConditions"].append({"reason": "InconclusiveAnalysisRun", "startTime": AT})


def promoted(rollout):
    del rollout["status"]["pauseConditions"]


def newer_hash(rollout):
    rollout["status"]["currentPodHash"] = "purple"


def frozen(rollout):
    rollout["spec"]["paused"] = True


def aborted(rollout):
    rollout["status"]["abort"] = True


def renamed(rollout):
    rollout["spec"]["template"]["spec"]["containers"].insert(0, {"name": "sidecar", "image": "envoy"})


def resized(rollout):
    rollout["spec"]["replicas"] = 3
    rollout["metadata"]["generation"] += 1


def annotated(rollout):
    rollout["metadata"]["annotations"]["example.com/touched"] = "yes"


PROMOTE_REFUSED = (
    recreated,
    newer_image,
    newer_variable,
    newer_pause,
    inconclusive,
    promoted,
    newer_hash,
    frozen,
    aborted,
    renamed,
)


@pytest.mark.parametrize("change", PROMOTE_REFUSED, ids=lambda change: change.__name__)
def test_a_promotion_is_refused_when_anything_it_rests_upon_has_changed(change):
    rollout = recorded("paused")["rollout"]
    assert is_refused(rollout, patches.promote(rollout), change)


@pytest.mark.parametrize("change", [annotated, resized], ids=lambda change: change.__name__)
def test_a_promotion_is_not_refused_for_what_does_not_concern_it(change):
    """An autoscaler and a note keep nobody from an approval."""
    rollout = recorded("paused")["rollout"]
    assert not is_refused(rollout, patches.promote(rollout), change)


STAGE_REFUSED = (recreated, newer_image, newer_pause, promoted, newer_hash, aborted, renamed, resized)


@pytest.mark.parametrize("change", STAGE_REFUSED, ids=lambda change: change.__name__)
def test_a_version_is_not_staged_over_what_was_not_seen(change):
    rollout = recorded("paused")["rollout"]
    assert is_refused(rollout, stage(rollout), change)


def stage_anew(rollout):
    return patches.stage_anew(rollout, rollout, json.loads(blue().template), "mochi:purple", "mochi-3-x", None, NOW)


@pytest.mark.parametrize("change", [*STAGE_REFUSED, newer_variable], ids=lambda change: change.__name__)
def test_a_version_in_the_place_of_somebodys_is_not_staged_over_what_was_not_seen(change):
    """Of theirs every letter was seen: all of it is to go."""
    rollout = recorded("paused")["rollout"]
    assert is_refused(rollout, stage_anew(rollout), change)


def test_a_version_in_the_place_of_somebodys_is_the_template_that_ran_with_its_image_and_stamp():
    rollout, ran = recorded("paused")["rollout"], json.loads(blue().template)
    made = json_patch(rollout, [*stage_anew(rollout)])["spec"]["template"]
    assert made["spec"]["containers"][0].pop("image") == "mochi:purple"
    assert made["metadata"]["annotations"].pop(LABEL) == "mochi-3-x"
    ran["spec"]["containers"][0].pop("image")
    assert made["spec"] == ran["spec"]
    assert made["metadata"]["annotations"] == ran["metadata"].get("annotations", {})
    assert made["metadata"]["labels"] == ran["metadata"]["labels"]


PUT_BACK_REFUSED = (recreated, newer_image, newer_variable, renamed, resized)


@pytest.mark.parametrize("change", PUT_BACK_REFUSED, ids=lambda change: change.__name__)
def test_a_template_is_not_written_back_over_another_than_was_seen(change):
    rollout = recorded("paused")["rollout"]
    assert is_refused(rollout, patches.put_back(rollout, json.loads(blue().template), NOW), change)


@pytest.mark.parametrize(
    "change", [newer_pause, promoted, newer_hash, frozen, aborted], ids=lambda change: change.__name__
)
def test_whatever_the_controller_does_meanwhile_is_no_reason_to_refuse_a_way_back(change):
    rollout = recorded("paused")["rollout"]
    assert not is_refused(rollout, patches.put_back(rollout, json.loads(blue().template), NOW), change)


def is_refused(rollout, operations, change):
    changed = copy.deepcopy(rollout)
    change(changed)
    json_patch(rollout, [*operations])
    try:
        json_patch(changed, [*operations])
    except ApiError as error:
        return error.status == 422
    return False


def test_none_of_the_words_that_do_harm_is_in_any_write():
    """`abort` strands traffic, `retry` (`abort: false`) and `promoteFull` promote without a pause, `undo` guesses."""
    rollout = recorded("paused")["rollout"]
    writes = (
        stage(rollout),
        stage_anew(rollout),
        patches.promote(rollout),
        patches.put_back(rollout, json.loads(blue().template), NOW),
        patches.nudge(rollout, "generation 3", 1, NOW),
    )
    changed = [op["path"] for write in writes for op in write if op["op"] != "test"]
    assert [path for path in changed if path.startswith("/status")] == ["/status/pauseConditions"]
    assert not [path for path in changed if path in {"/spec/paused", "/spec/restartAt", "/spec/rollbackWindow"}]
