"""What the objects of a Rollout say of a release: traffic, sides, what comes next, and whom nothing is believed."""

import copy
import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from recordings import (
    ACTIVE,
    BLUE,
    GREEN,
    GREEN_LABEL,
    NAMES,
    NOW,
    PURPLE_LABEL,
    STORE_ID,
    app,
    blue,
    objects,
    recorded,
    seen_by,
    view,
)

from bot.clusters.api import ROLLOUT
from bot.clusters.argo.patches import NUDGED, WRITTEN
from bot.clusters.argo.reading import DEADLINE, HASH, INJECTED, fingerprint
from bot.clusters.argo.standing import NOT_TAKEN_UP
from bot.clusters.argo.start import start
from bot.clusters.argocd import TRACKED
from bot.clusters.claim import STORE
from bot.clusters.cluster import LABEL, ClusterError
from bot.clusters.errors import Malformed, Pending, Unfit
from bot.clusters.shape import sound
from bot.release.approvals import Ballots, Vote
from bot.release.machine import Order, decide, observe
from bot.release.record import Phase
from bot.release.snapshot import Traffic, Verdict
from world import KIM, LEO

QUORUM = (Vote(KIM, approve=True), Vote(LEO, approve=True))
STAGING, READY, PROMOTING = Phase.STAGING, Phase.READY, Phase.PROMOTING
BAKING, DONE, REVERTING = Phase.BAKING, Phase.DONE, Phase.REVERTING
REVERTED, ABANDONED = Phase.REVERTED, Phase.ABANDONED
STAGE, PROMOTE, REVERT = Order.STAGE, Order.PROMOTE, Order.REVERT
SECOND = timedelta(seconds=1)


def image_of(name):
    return objects(name).rollout["spec"]["template"]["spec"]["containers"][0]["image"]


def comes_next(look) -> Order | Phase | None:
    """What is done upon this look, everybody having approved; None for waiting."""
    release = observe(look.release, look.snapshot, look.read_at)
    decision = decide(release, look.app, look.snapshot, Ballots(QUORUM, look.read_at), look.read_at)
    return decision.order or decision.phase


NEXT = {
    # The release is …             being staged, ready,  being switched, live,      going back
    "observing":                    (None,       None,       None,      ABANDONED, REVERT),
    "observing-in-a-pause":         (ABANDONED,  ABANDONED,  ABANDONED, ABANDONED, None),
    "invalid":                      (ABANDONED,  ABANDONED,  ABANDONED, ABANDONED, REVERTED),
    "aborted":                      (REVERTING,  REVERTING,  REVERTING, REVERTING, REVERT),
    "aborted-by-analysis":          (REVERTING,  REVERTING,  REVERTING, REVERTING, REVERT),
    "abort-lost":                   (REVERTING,  REVERTING,  REVERTING, REVERTING, REVERT),
    "aborted-stranded":             (ABANDONED,  ABANDONED,  REVERTING, REVERTING, REVERT),
    "aborted-stranded-empty":       (ABANDONED,  ABANDONED,  REVERTING, REVERTING, REVERT),
    "timed-out":                    (REVERTING,  None,       None,      ABANDONED, REVERT),
    "frozen":                       (ABANDONED,  ABANDONED,  ABANDONED, ABANDONED, REVERTED),
    "frozen-in-a-pause":            (None,       None,       None,      ABANDONED, REVERT),
    "inconclusive":                 (None,       None,       None,      ABANDONED, REVERT),
    "paused":                       (READY,      PROMOTING,  PROMOTE,   ABANDONED, REVERT),
    "paused-from-a-deployment":     (READY,      PROMOTING,  PROMOTE,   ABANDONED, REVERT),
    "paused-with-the-old-hash":     (ABANDONED,  ABANDONED,  ABANDONED, ABANDONED, None),
    "paused-without-hash":          (ABANDONED,  ABANDONED,  ABANDONED, ABANDONED, ABANDONED),
    "active-with-unknown-hash":     (ABANDONED,  ABANDONED,  ABANDONED, ABANDONED, ABANDONED),
    "active-without-hash":          (ABANDONED,  ABANDONED,  ABANDONED, ABANDONED, ABANDONED),
    "home-by-the-service":          (READY,      PROMOTING,  ABANDONED, ABANDONED, REVERT),
    "resuming":                     (None,       None,       None,      ABANDONED, REVERT),
    "promotion-lost":               (None,       None,       None,      ABANDONED, REVERT),
    "switched-before-the-deadline": (ABANDONED,  ABANDONED,  BAKING,    None,      REVERT),
    "gate-running":                 (None,       None,       None,      ABANDONED, REVERT),
    "preview-starting":             (None,       None,       None,      ABANDONED, REVERT),
    "cut-over-pending":             (None,       None,       None,      ABANDONED, REVERT),
    "first-starting":               (ABANDONED,  ABANDONED,  ABANDONED, ABANDONED, ABANDONED),
    "verifying":                    (ABANDONED,  ABANDONED,  BAKING,    None,      REVERT),
    "healthy":                      (ABANDONED,  ABANDONED,  ABANDONED, ABANDONED, REVERTED),
    "live-with-deadline":           (ABANDONED,  ABANDONED,  BAKING,    None,      REVERT),
    "live-without-deadline":        (ABANDONED,  ABANDONED,  BAKING,    None,      REVERT),
    "live-with-unready-pods":       (ABANDONED,  ABANDONED,  ABANDONED, ABANDONED, REVERTED),
    "home-for-good":                (ABANDONED,  ABANDONED,  ABANDONED, ABANDONED, REVERTED),
    "observing-a-deployment":       (None,       None,       None,      ABANDONED, REVERT),
}  # fmt: skip
CASES = [
    (name, phase, expected)
    for name, row in NEXT.items()
    for phase, expected in zip((STAGING, READY, PROMOTING, BAKING, REVERTING), row, strict=True)
]


@pytest.mark.parametrize(("name", "phase", "expected"), CASES)
def test_what_comes_next_upon_each_recorded_state(name, phase, expected):
    was_live = {"live_at": NOW} if phase is BAKING else {}
    look = view(name, phase, **was_live)
    if name == "preview-starting":  # whether their image can be pulled they have not said yet
        for pod in look.objects.pods:
            pod["status"]["containerStatuses"] = []
    assert comes_next(look) == expected


def test_every_recorded_state_is_looked_at():
    assert set(NEXT) == set(NAMES)


# What is written


BACK_BY = {
    "observing": "template",
    "aborted": "template",
    "aborted-by-analysis": "template",
    "timed-out": "template",
    "frozen-in-a-pause": "template",
    "inconclusive": "template",
    "paused": "template",
    "resuming": "template",
    "preview-starting": "template",
    "abort-lost": "template",
    "paused-from-a-deployment": "template",
    "observing-a-deployment": "template",
    "home-by-the-service": "template",
    "promotion-lost": "template",
    "gate-running": "template",
    "cut-over-pending": "template",
    "live-without-deadline": "template",
    "verifying": "Service",
    "switched-before-the-deadline": "Service",
    "aborted-stranded": "Service",
    "aborted-stranded-empty": "Service",
    "live-with-deadline": "Service",
}


@pytest.mark.parametrize("name", [name for name, row in NEXT.items() if row[-1] is REVERT])
def test_the_way_back_is_the_template_before_the_switch_and_the_service_first_after_it(name):
    """A controller that was told to switch and has not, or that has not seen the version yet, is no reason to wait."""
    look = view(name, REVERTING)
    write, holder = look.plan(REVERT, actor="sam"), look.objects.workload
    if BACK_BY[name] == "Service":
        assert (write.kind, write.name) == ("Service", ACTIVE)
        assert {"op": "add", "path": f"/spec/selector/{HASH}", "value": BLUE} in write.patch
    else:
        called = ("Deployment", holder["metadata"]["name"]) if holder else ("Rollout", "mochiapp")
        assert (write.kind, write.name) == called
        template = json.loads(look.release.previous.template)
        assert {"op": "replace", "path": "/spec/template", "value": template} in write.patch


def test_the_promotion_goes_to_the_status_and_is_conditional_upon_all_that_was_read():
    look = view("paused", PROMOTING)
    write, rollout = look.plan(PROMOTE, actor="kim, leo"), look.objects.rollout
    assert (write.kind, write.name) == ("Rollout/status", "mochiapp")
    assert write.patch[-1] == {"op": "remove", "path": "/status/pauseConditions"}
    assert {op["path"]: op["value"] for op in write.patch[:-1]} == {
        "/metadata/uid": rollout["metadata"]["uid"],
        "/status/currentPodHash": GREEN,
        "/status/pauseConditions": rollout["status"]["pauseConditions"],
        "/spec/template": rollout["spec"]["template"],
        "/spec/paused": None,
        "/status/abort": None,
    }


@pytest.mark.parametrize("name", [name for name, row in NEXT.items() if row[2] is not PROMOTE])
def test_no_other_state_can_be_promoted_even_if_somebody_orders_it(name):
    with pytest.raises(ClusterError):
        view(name, PROMOTING).plan(PROMOTE, actor="kim")


@pytest.mark.parametrize("order", [STAGE, PROMOTE, REVERT])
def test_nothing_is_written_where_another_greenlight_has_claimed_the_service(order):
    look = view("paused", REVERTING if order is REVERT else PROMOTING)
    look.objects.active["metadata"]["annotations"][STORE] = "f" * 16
    with pytest.raises(Unfit, match="released by another Greenlight"):
        look.plan(order, actor="kim")


def test_a_version_that_somebody_else_began_is_claimed_before_it_is_promoted():
    """Its release never staged anything, and of two that take it over only one may go on."""
    look = outside("paused", PROMOTING)
    del look.objects.active["metadata"]["annotations"][STORE]
    write = look.plan(PROMOTE, actor="kim")
    assert (write.kind, write.name) == ("Service", ACTIVE)
    assert {"op": "add", "path": f"/metadata/annotations/{STORE.replace('/', '~1')}", "value": STORE_ID} in write.patch
    look.objects.active["metadata"]["annotations"][STORE] = STORE_ID
    assert look.plan(PROMOTE, actor="kim").kind == "Rollout/status"


def outside(name, phase, **changes):
    """A look at a release of green that somebody else began."""
    seen = objects(name)
    return seen_by(seen, phase, **{"label": "mochi-9", "selector": {HASH: GREEN}} | changes)


def test_a_version_that_somebody_else_began_is_told_by_its_hash():
    assert comes_next(outside("paused", PROMOTING, image=image_of("paused"))) is PROMOTE


# Which version is which


def add_set(look, pod_hash, *, label, image=None, made="2026-11-26T23:12:20Z", replicas=0):
    """A ReplicaSet beside those that were recorded."""
    made_of = copy.deepcopy(look.objects.replica_sets[0])
    made_of["metadata"] |= {"name": f"mochiapp-{pod_hash}", "uid": pod_hash, "creationTimestamp": made}
    made_of["metadata"]["labels"][HASH] = pod_hash
    template = made_of["spec"]["template"]
    template["metadata"]["labels"][HASH] = pod_hash
    template["metadata"]["annotations"] = {LABEL: label}
    template["spec"]["containers"][0]["image"] = image or template["spec"]["containers"][0]["image"]
    made_of["spec"]["replicas"] = replicas
    look.objects.replica_sets.append(made_of)


@pytest.mark.parametrize("other", ["000", "zzz"])
def test_a_version_that_inherits_the_stamp_is_not_the_release_whatever_its_hash_and_age(other):
    """`kubectl set image` leaves the stamp in the template: two ReplicaSets of one second then bear the same."""
    look = view("paused", PROMOTING)
    green = look.objects.replica_set(GREEN)
    add_set(look, other, label="mochi-2", image="mochi:purple", made=green["metadata"]["creationTimestamp"])
    assert comes_next(look) is PROMOTE


@pytest.mark.parametrize("image", [blue().image, image_of("paused")])
def test_what_inherits_the_stamp_of_the_version_before_is_not_the_version_before(image):
    """Blue was pruned; green, which somebody made of blue by `kubectl set image` or `set env`, bears blue's stamp."""
    before = replace(blue(), label="mochi-1", image=image)
    look = outside("live-with-deadline", REVERTING, previous=before, live_at=NOW, image=image_of("paused"))
    prune(look, BLUE)
    stamp(look.objects.replica_sets[0], "mochi-1")
    assert look.snapshot.traffic is Traffic.CANDIDATE
    assert (look.snapshot.previous.ready, look.snapshot.previous.wanted) == (0, 0)
    assert look.plan(REVERT, actor="sam").kind == "Rollout"


def prune(look, pod_hash):
    """Its ReplicaSet is gone, and so are its pods."""
    for kind in (look.objects.replica_sets, look.objects.pods):
        kind[:] = [each for each in kind if each["metadata"]["labels"][HASH] != pod_hash]


def stamp(item, label):
    item["spec"]["template"]["metadata"]["annotations"] = {LABEL: label}


def test_the_version_before_is_found_again_under_another_hash_once_it_was_pruned():
    """Its template was written back, and the controller made a ReplicaSet of its own of it."""
    look = view("preview-starting", REVERTING, label="mochi-9", previous=replace(blue(), label="mochi-2", image=BACK))
    prune(look, BLUE)
    look.objects.active["spec"]["selector"][HASH] = "gone"
    assert look.snapshot.previous.name == "mochiapp-75d9f884d9"


BACK = "registry.example.com/mochiapp:nopull"


@pytest.mark.parametrize("edited", ["image", "environment"])
def test_what_is_live_is_what_was_released_whatever_is_prepared_beside_it(edited):
    """A ReplicaSet's pods never change: a newer version in the template is somebody's next release, not this one."""
    look = view("live-with-deadline", BAKING, live_at=NOW)
    container = look.objects.rollout["spec"]["template"]["spec"]["containers"][0]
    container |= {"image": "mochi:purple"} if edited == "image" else {"env": [{"name": "A", "value": "b"}]}
    look.objects.rollout["metadata"]["generation"] += 1
    assert look.snapshot.candidate.present
    assert comes_next(look) is None


# What is not there, or is something else than expected


RESTS_UPON = {
    "rollout": (
        lambda look: [look.objects.rollout],
        [
            "metadata/generation",
            "status",
            "status/observedGeneration",
            "status/currentPodHash",
            "status/pauseConditions",
            "status/pauseConditions/0/reason",
            "spec/template",
            "spec/template/metadata",
            "spec/template/metadata/annotations",
            "spec/template/metadata/labels",
            "spec/template/spec/containers",
            "spec/template/spec/containers/0/name",
            "spec/template/spec/containers/0/image",
        ],
    ),
    "active": (lambda look: [look.objects.active], ["spec/selector", f"spec/selector/{HASH}"]),
    "preview": (lambda look: [look.objects.preview], ["metadata/name", "spec/selector", f"spec/selector/{HASH}"]),
    "replica set": (
        lambda look: [look.objects.replica_set(GREEN)],
        ["metadata/labels", f"metadata/labels/{HASH}", "spec/template/metadata/annotations"],
    ),
    "pods": (
        lambda look: look.objects.pods_of(GREEN),
        [
            "metadata/name",
            "metadata/labels",
            "status",
            "status/containerStatuses",
            "status/containerStatuses/0/imageID",
        ],
    ),
    "slices": (
        lambda look: [
            each
            for each in look.objects.slices
            if each["metadata"]["labels"]["kubernetes.io/service-name"].endswith("preview")
        ],
        [
            "metadata/labels",
            "endpoints",
            "endpoints/0/addresses",
            "endpoints/0/conditions/ready",
            "endpoints/0/targetRef",
        ],
    ),
}


PARTS = [(which, path) for which, (_, paths) in RESTS_UPON.items() for path in paths]


@pytest.mark.parametrize(("which", "path"), PARTS)
@pytest.mark.parametrize("missing", [False, True])
def test_i9_whatever_the_promotion_rests_upon_may_be_null_or_missing_and_then_nothing_is_promoted(which, path, missing):
    """An error is as good as a wait: the loop takes it for "look again later"."""
    look = view("paused", PROMOTING)
    for item in RESTS_UPON[which][0](look):
        *parents, last = path.split("/") if HASH not in path else [*path.removesuffix(f"/{HASH}").split("/"), HASH]
        parent = item
        for key in parents:
            parent = parent[int(key) if isinstance(parent, list) else key]
        if missing:
            del parent[last]
        else:
            parent[last] = None
    try:
        found = comes_next(look)
    except (KeyError, TypeError, AttributeError, ClusterError):
        return
    assert found is not PROMOTE


def test_i9_no_single_null_anywhere_in_the_rollout_changes_what_is_promoted():
    """Every leaf, one after another: if there is a promotion at all, it has all of its conditions."""
    whole, tried = recorded("paused")["rollout"], 0
    right = {op["path"] for op in view("paused", PROMOTING).plan(PROMOTE, actor="kim").patch}
    for path in leaves(whole):
        seen = objects("paused")
        look = seen_by(seen, PROMOTING)
        broken = copy.deepcopy(whole)
        parent = broken
        for step in path[:-1]:
            parent = parent[step]
        parent[path[-1]] = None
        try:
            sound(ROLLOUT, broken)
        except Malformed:
            continue
        look = replace(look, objects=replace(seen, rollout=broken))
        tried += 1
        try:
            if comes_next(look) is not PROMOTE:
                continue
            write = look.plan(PROMOTE, actor="kim")
        except (KeyError, TypeError, AttributeError, ValueError, ClusterError):
            continue
        assert {op["path"] for op in write.patch} == right
    assert tried > 50


def leaves(item, path=()):
    for key, value in item.items() if isinstance(item, dict) else enumerate(item):
        if key == "managedFields":
            continue
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))


@pytest.mark.parametrize(
    ("image_id", "doubt"),
    [
        ("registry.example.com/mochiapp@sha256:" + "0" * 64, "runs an image that is not mochi:green"),
        ("", "does not say which image it runs"),
    ],
)
def test_i9_a_pod_that_runs_another_image_or_does_not_say_which_blocks(image_id, doubt):
    look = view("paused", PROMOTING)
    look.objects.pods_of(GREEN)[0]["status"]["containerStatuses"][0]["imageID"] = image_id
    assert comes_next(look) is None
    assert doubt in look.snapshot.candidate.trouble


def test_another_template_than_the_one_that_was_approved_is_never_promoted():
    """To the last letter, also under the same hash, image and stamp."""
    look = view("paused", PROMOTING)
    look.objects.rollout["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 5
    assert comes_next(look) is ABANDONED
    with pytest.raises(Pending):
        look.plan(PROMOTE, actor="kim")


def test_a_pause_of_another_hash_is_not_the_release_s():
    """A newer version that came in a pause shows, for a moment, the pause and the hash of the version before it."""
    look = view("paused", STAGING, label=PURPLE_LABEL, image="mochi:purple")
    template = look.objects.rollout["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "mochi:purple"
    template["metadata"]["annotations"] = {LABEL: PURPLE_LABEL}
    assert look.snapshot.candidate.present
    assert comes_next(look) is None
    add_set(look, "purple", label=PURPLE_LABEL, image="mochi:purple", replicas=2)
    assert comes_next(look) is None


# The two sides


def test_pods_of_a_set_that_was_scaled_down_carry_nothing_though_they_are_still_ready():
    """The controller has given them up a moment ago, and they go: the traffic must not be sent to them."""
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    look.objects.replica_set(BLUE)["spec"]["replicas"] = 0
    assert look.snapshot.previous.ready == 0
    assert look.plan(REVERT, actor="sam").kind == "Rollout"


def test_pods_whose_set_cannot_be_read_carry_all_the_same():
    """What is missing never blocks the way back."""
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    look.objects.replica_sets.clear()
    look = replace(look, release=replace(look.release, selector={HASH: GREEN}))
    assert look.snapshot.previous.ready == 2
    assert look.plan(REVERT, actor="sam").kind == "Service"


def test_pods_that_the_controller_is_about_to_take_are_made_to_stay_first():
    """At its deadline a set is scaled down, wherever the Service points by then; its template keeps it."""
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    for late, kind in ((10 * SECOND, "Service"), (SECOND, "Rollout"), (-SECOND, "Rollout")):
        annotations = look.objects.replica_set(BLUE)["metadata"]["annotations"]
        annotations[DEADLINE] = f"{NOW + late:%Y-%m-%dT%H:%M:%SZ}"
        assert look.plan(REVERT, actor="sam").kind == kind


def given_back(look, write):
    """After a write to the active Service, when the controller has switched once more to what the template asks for."""
    assert write.kind == "Service"
    look.objects.active["metadata"].setdefault("annotations", {}).update(noted(write))
    return replace(look, objects=replace(look.objects))


def noted(write):
    """The annotations that it adds."""
    prefix, found = "/metadata/annotations", {}
    for each in write.patch:
        if each["op"] == "add" and each["path"] == prefix:
            found |= each["value"]
        elif each["op"] == "add" and each["path"].startswith(f"{prefix}/"):
            found[each["path"].removeprefix(f"{prefix}/").replace("~1", "/")] = each["value"]
    return found


def test_traffic_that_the_controller_takes_again_comes_home_by_the_template_first():
    """From 1.10 on it sends what is stable its traffic back at every look: to the Service alone it would answer for
    ever."""
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    look = given_back(look, look.plan(REVERT, actor="sam"))
    write = look.plan(REVERT, actor="sam")
    assert {"op": "replace", "path": "/spec/template", "value": json.loads(blue().template)} in write.patch
    look.objects.rollout["spec"]["template"] = json.loads(blue().template)
    look = replace(look, objects=replace(look.objects))
    assert look.plan(REVERT, actor="sam").kind == "Service"


def test_what_had_the_traffic_a_moment_ago_has_its_pods_and_waits_for_no_more_of_them():
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    look = given_back(look, look.plan(REVERT, actor="sam"))
    look.objects.rollout["spec"]["template"] = json.loads(blue().template)
    look.objects.rollout["status"]["currentPodHash"] = BLUE
    look.objects.pods_of(BLUE)[0]["status"]["conditions"] = []
    look = replace(look, objects=replace(look.objects))
    assert (look.snapshot.previous.ready, look.snapshot.candidate.ready) == (1, 2)
    assert comes_next(look) is REVERT
    assert look.plan(REVERT, actor="sam").kind == "Service"


def test_what_another_release_gave_back_is_no_reason_to_let_the_traffic_wait():
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    look = given_back(look, look.plan(REVERT, actor="sam"))
    look = replace(look, release=replace(look.release, label="mochi-9-zzzzzz", selector={HASH: GREEN}))
    assert look.plan(REVERT, actor="sam").kind == "Service"


def test_traffic_that_the_controller_takes_again_for_git_waits_for_git():
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    look = given_back(look, look.plan(REVERT, actor="sam"))
    metadata = look.objects.rollout["metadata"]
    kept = f"shop:argoproj.io/Rollout:{metadata['namespace']}/{metadata['name']}"
    metadata.setdefault("annotations", {})["argocd.argoproj.io/tracking-id"] = kept
    look = replace(look, objects=replace(look.objects))
    with pytest.raises(ClusterError, match="revert the commit there"):
        look.plan(REVERT, actor="sam")


def test_a_preview_that_the_controller_is_about_to_make_smaller_gets_no_traffic():
    """It makes one of what the template asks for, unless it knows that it is live."""
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    look.objects.rollout["spec"]["strategy"]["blueGreen"]["previewReplicaCount"] = 1
    look = given_back(look, look.plan(REVERT, actor="sam"))
    look.objects.rollout["spec"]["template"] = json.loads(blue().template)
    look = replace(look, objects=replace(look.objects))
    with pytest.raises(Pending):
        look.plan(REVERT, actor="sam")


@pytest.mark.parametrize("waited", [0, 1, 3])
def test_a_controller_that_does_not_answer_takes_no_pods(waited):
    """The template is written, the deadline is over, and nothing happens: the Service is all that is needed."""
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    rollout, pods = look.objects.rollout, look.objects.replica_set(BLUE)["metadata"]
    pods["annotations"][DEADLINE] = f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
    write = look.plan(REVERT, actor="sam")
    rollout["spec"]["template"] = json.loads(blue().template)
    rollout["metadata"]["generation"] += 1
    rollout["metadata"].setdefault("annotations", {})[WRITTEN] = next(
        op["value"] for op in write.patch if op["path"].endswith(WRITTEN.replace("/", "~1"))
    )
    look = replace(look, objects=replace(look.objects), read_at=NOW + waited * SECOND)
    if waited < 2:
        with pytest.raises(Pending):
            look.plan(REVERT, actor="sam")
    else:
        assert look.plan(REVERT, actor="sam").kind == "Service"


def test_a_smaller_preview_is_complete_when_all_of_its_pods_are_ready():
    look = view("paused", PROMOTING)
    look.objects.rollout["spec"]["strategy"]["blueGreen"]["previewReplicaCount"] = 1
    look.objects.replica_set(GREEN)["spec"]["replicas"] = 1
    look.objects.pods[:] = [*look.objects.pods_of(GREEN)[:1], *look.objects.pods_of(BLUE)]
    assert comes_next(look) is PROMOTE


# A version before the live one that lost its pods


def going_back(*, previewed=None, ready=2, wanted=2):
    """Green is live, blue's template is written back, and blue comes up again as the new version."""
    look = view("paused", REVERTING, live_at=NOW)
    rollout, release = look.objects.rollout, look.release
    # Turned round: what was recorded as green's preview plays blue's, and blue's live set plays green.
    turned = replace(
        release.previous,
        selector={"app": "mochiapp", HASH: GREEN},
        template=json.dumps(rollout["spec"]["template"]),
        label="mochi-2",
        image=release.image,
    )
    live = replace(release, label="mochi-9", selector={HASH: BLUE}, template="0" * 16, previous=turned)
    look.objects.replica_set(GREEN)["spec"]["replicas"] = wanted
    for pod in look.objects.pods_of(GREEN)[ready:]:
        pod["status"]["conditions"] = []
    if previewed is not None:
        rollout["spec"]["strategy"]["blueGreen"]["previewReplicaCount"] = previewed
    return replace(look, release=live)


def test_a_version_that_comes_up_again_gets_the_traffic_when_it_can_carry_all_of_it():
    half, whole = going_back(ready=1), going_back()
    assert half.snapshot.restarting
    assert comes_next(half) is None
    assert comes_next(whole) is REVERT
    assert whole.plan(REVERT, actor="sam").kind == "Service"


def test_a_way_back_that_comes_up_as_a_smaller_preview_is_promoted_to_its_full_size():
    """The controller gives it no more pods before, and one pod does not carry what two have carried."""
    look = going_back(previewed=1, wanted=1)
    assert comes_next(look) is REVERT
    assert look.plan(REVERT, actor="sam").kind == "Rollout/status"


def test_a_smaller_preview_gets_the_traffic_at_once_when_what_is_live_carries_none():
    look = going_back(previewed=1, wanted=1)
    for pod in look.objects.pods_of(BLUE):
        pod["status"]["conditions"] = []
    for piece in look.objects.slices:
        if piece["metadata"]["labels"]["kubernetes.io/service-name"] == ACTIVE:
            piece["endpoints"] = []
    assert comes_next(look) is REVERT
    assert look.plan(REVERT, actor="sam").kind == "Service"


def test_a_way_back_that_the_controller_does_not_carry_on_with_is_brought_to_its_notice():
    look = going_back(previewed=1, wanted=1)
    del look.objects.rollout["status"]["pauseConditions"]
    assert comes_next(look) is None
    nudge = look.upkeep()
    assert nudge.kind == "Rollout"
    assert nudge.patch[-1]["path"] in {"/metadata/annotations", f"/metadata/annotations/{NUDGED.replace('/', '~1')}"}


def test_a_template_is_written_back_only_when_the_controller_knows_that_its_version_is_live():
    """With `previewReplicaCount` it would take pods from it otherwise, as from any preview."""
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    look.objects.rollout["spec"]["strategy"]["blueGreen"]["previewReplicaCount"] = 1
    look.objects.active["spec"]["selector"][HASH] = BLUE
    with pytest.raises(Pending, match="has not seen yet that the traffic is back"):
        look.plan(REVERT, actor="sam")
    look.objects.rollout["status"]["blueGreen"]["activeSelector"] = BLUE
    assert look.plan(REVERT, actor="sam").kind == "Rollout"


def test_somebody_s_newer_preview_stands_in_the_way_of_nobody_who_goes_back():
    """What is live is sick, the version before it has no pods, and a third one waits for its promotion."""
    look = outside("live-with-deadline", REVERTING, live_at=NOW)
    look.objects.rollout["spec"]["template"]["spec"]["containers"][0]["image"] = "mochi:purple"
    look.objects.rollout["status"]["currentPodHash"] = "purple"
    prune(look, BLUE)
    assert comes_next(look) is REVERT
    write = look.plan(REVERT, actor="sam")
    assert {"op": "replace", "path": "/spec/template", "value": json.loads(blue().template)} in write.patch


def test_somebody_s_newer_preview_stays_when_the_traffic_is_home():
    look = outside("paused", REVERTING, live_at=NOW)
    look.objects.rollout["spec"]["template"]["spec"]["containers"][0]["image"] = "mochi:purple"
    look.objects.rollout["status"]["currentPodHash"] = "purple"
    assert comes_next(look) is REVERTED


def test_an_image_that_somebody_set_upon_ours_is_theirs_and_is_not_written_over():
    """The stamp stays in the template, and it is another version all the same."""
    look = view("paused", REVERTING)
    look.objects.rollout["spec"]["template"]["spec"]["containers"][0]["image"] = "mochi:purple"
    look.objects.rollout["status"]["currentPodHash"] = "purple"
    assert comes_next(look) is REVERTED


def test_a_release_that_never_came_up_takes_out_what_it_was_to_take_the_place_of():
    """Nobody else does: the release that it replaced is over."""
    look = view("paused", REVERTING, label=PURPLE_LABEL, staged=False, replaces=(GREEN_LABEL,))
    assert comes_next(look) is REVERT
    write = look.plan(REVERT, actor="sam")
    assert {"op": "replace", "path": "/spec/template", "value": json.loads(blue().template)} in write.patch


def test_a_release_that_never_came_up_leaves_alone_what_bears_a_stamp_that_it_was_not_to_take_the_place_of():
    """Another Greenlight's, say, which has claimed the app in the same moment."""
    assert comes_next(view("paused", REVERTING, label=PURPLE_LABEL, staged=False)) is REVERTED


def test_a_template_is_written_back_although_git_keeps_its_image_when_it_has_that_image():
    """Somebody gave what is live another variable, and nobody approved that: no commit would take it out again."""
    look = outside("paused", REVERTING)
    rollout = look.objects.rollout
    metadata = rollout["metadata"]
    metadata["annotations"][TRACKED] = f"mochi:argoproj.io/Rollout:{metadata['namespace']}/{metadata['name']}"
    assert comes_next(look) is None
    [only] = rollout["spec"]["template"]["spec"]["containers"]
    only |= {"image": blue().image, "env": [{"name": "DEBUG", "value": "1"}]}
    theirs = replace(look.release, image=blue().image, template=fingerprint(rollout["spec"]["template"], rollout))
    look = replace(look, objects=replace(look.objects), release=theirs)
    assert comes_next(look) is REVERT
    write = look.plan(REVERT, actor="sam")
    assert {"op": "replace", "path": "/spec/template", "value": json.loads(blue().template)} in write.patch


def test_a_release_that_never_came_up_leaves_what_is_live_alone():
    look = view("live-with-deadline", REVERTING, label=PURPLE_LABEL, staged=False, replaces=(GREEN_LABEL,))
    live = replace(look.release.previous, selector={"app": "mochiapp", HASH: GREEN}, label="mochi-2")
    look = look.of(replace(look.release, previous=live))
    assert comes_next(look) is REVERTED


# What the controller was told, and has shown no effect of


def lost_template(*, waited, nudges=0, nudged=None):
    """Our change of the template, `waited` seconds ago, which the controller has not taken up."""
    look = view("observing", STAGING)
    metadata = look.objects.rollout["metadata"]
    metadata.setdefault("annotations", {})[WRITTEN] = json.dumps(
        {"generation": metadata["generation"], "at": (NOW - waited * SECOND).isoformat()}
    )
    return with_nudges(look, f"generation {metadata['generation']}", nudges, nudged)


def lost_promotion(*, waited, nudges=0, nudged=None):
    sent = NOW - waited * SECOND
    look = view("resuming", PROMOTING, switch_sent_at=sent)
    return with_nudges(look, f"promotion of mochi-2 at {sent.isoformat()}", nudges, nudged)


def with_nudges(look, what, nudges, nudged):
    if nudges:
        note = {"for": what, "times": nudges, "at": (NOW - (nudged or 0) * SECOND).isoformat()}
        look.objects.rollout["metadata"].setdefault("annotations", {})[NUDGED] = json.dumps(note)
    return look


@pytest.mark.parametrize("lost", [lost_template, lost_promotion])
def test_a_write_without_effect_is_brought_to_the_controller_s_notice_after_two_seconds(lost):
    early = lost(waited=1)
    assert early.upkeep() is None
    assert early.snapshot.again_at == NOW + SECOND
    late = lost(waited=2)
    nudge = late.upkeep()
    assert (nudge.kind, nudge.name) == ("Rollout", "mochiapp")
    [test, as_read, change] = nudge.patch
    assert as_read == {"op": "test", "path": change["path"], "value": None}
    assert test == {"op": "test", "path": "/metadata/uid", "value": late.objects.rollout["metadata"]["uid"]}
    assert change["path"] == "/metadata/annotations/greenlight.dev~1nudged"
    assert json.loads(change["value"])["times"] == 1


@pytest.mark.parametrize("lost", [lost_template, lost_promotion])
def test_the_controller_is_nudged_three_times_two_seconds_apart_and_then_it_is_said(lost):
    for nudges in (1, 2):
        assert lost(waited=20, nudges=nudges, nudged=1).upkeep() is None
        change = lost(waited=20, nudges=nudges, nudged=2).upkeep().patch[-1]
        assert json.loads(change["value"])["times"] == nudges + 1
    waits = lost(waited=20, nudges=3, nudged=1)
    assert waits.upkeep() is None
    assert waits.snapshot.again_at == NOW + SECOND
    assert "nudged three times" not in waits.snapshot.pending
    silent = lost(waited=20, nudges=3, nudged=2)
    assert silent.upkeep() is None
    assert "Argo Rollouts does not answer, though it was nudged three times" in silent.snapshot.pending


@pytest.mark.parametrize("lost", [lost_template, lost_promotion])
@pytest.mark.parametrize(("nudges", "minutes"), [(3, 1), (4, 2), (5, 4), (8, 32), (9, 60), (900, 60)])
def test_a_silent_controller_is_nudged_on_more_and_more_seldom(lost, nudges, minutes):
    """It may be back, and have lost all nudges with the write."""
    early = lost(waited=9999, nudges=nudges, nudged=60 * minutes - 1)
    assert early.upkeep() is None
    assert early.snapshot.again_at == NOW + SECOND
    late = lost(waited=9999, nudges=nudges, nudged=60 * minutes)
    assert json.loads(late.upkeep().patch[-1]["value"])["times"] == nudges + 1
    assert "does not answer" in lost(waited=9999, nudges=nudges + 1, nudged=0).snapshot.pending


@pytest.mark.parametrize("lost", [lost_template, lost_promotion])
def test_nobody_is_nudged_while_the_active_service_lets_in_any_version(lost):
    """The controller is not told that its hash was taken away; at its next look it switches to the newest version."""
    look = lost(waited=20)
    del look.objects.active["spec"]["selector"][HASH]
    assert look.upkeep() is None


def test_nudges_of_something_else_are_not_counted():
    look = with_nudges(lost_template(waited=2), "generation 1", 3, 0)
    assert json.loads(look.upkeep().patch[-1]["value"])["times"] == 1


@pytest.mark.parametrize("note", ["", "{}", "[]", "no JSON", '{"for": "generation 3", "times": "3"}', '{"times": 3}'])
def test_whatever_stands_in_our_annotations_is_no_surprise(note):
    look = lost_template(waited=2)
    look.objects.rollout["metadata"]["annotations"][NUDGED] = note
    assert json.loads(look.upkeep().patch[-1]["value"])["times"] == 1
    look = lost_template(waited=2)
    look.objects.rollout["metadata"]["annotations"][WRITTEN] = note
    assert look.upkeep() is None
    assert look.snapshot.pending


def test_nobody_is_nudged_for_what_others_have_written():
    """An autoscaler's resize is seen on its way to the controller as anybody's change is; ours is taken up long ago."""
    look = lost_template(waited=600)
    look.objects.rollout["metadata"]["generation"] += 1
    look.objects.rollout["status"]["observedGeneration"] = str(look.objects.rollout["metadata"]["generation"] - 1)
    assert look.upkeep() is None
    assert look.snapshot.again_at is None


def put_back_by_others(template, *, waited):
    """The traffic is home, and somebody has put a version in for good, which the controller has not taken up."""
    look = view("live-with-deadline", REVERTING)
    look.objects.active["spec"]["selector"][HASH] = BLUE
    rollout = look.objects.rollout
    rollout["spec"]["template"] = json.loads(template)
    rollout["metadata"]["generation"] += 1
    when = (NOW - waited * SECOND).isoformat()
    by = {"manager": "argocd-controller", "operation": "Update", "fieldsV1": {"f:spec": {"f:template": {}}}}
    rollout["metadata"]["managedFields"] = [{**by, "time": when}]
    return look


def test_the_controller_is_nudged_for_what_others_have_written_where_a_way_back_waits_for_just_that():
    """The commit was reverted and Argo CD has brought it: nobody else would notice that the controller has lost it."""
    early = put_back_by_others(blue().template, waited=1)
    assert early.snapshot.pending == NOT_TAKEN_UP
    assert early.upkeep() is None
    assert early.snapshot.again_at == NOW + SECOND
    late = put_back_by_others(blue().template, waited=2)
    assert json.loads(late.upkeep().patch[-1]["value"])["times"] == 1
    another = put_back_by_others(blue().template.replace(blue().image, "registry.example.com/mochi:evil"), waited=20)
    assert another.upkeep() is None


@pytest.mark.parametrize("phase", [DONE, REVERTED, ABANDONED])
def test_a_closed_release_is_never_looked_at_again_and_again(phase):
    for open_one in (lost_template(waited=20), lost_promotion(waited=20)):
        look = replace(open_one, release=replace(open_one.release, phase=phase))
        assert look.snapshot.again_at is None
        assert look.upkeep() is None


def test_a_promotion_that_is_not_carried_out_yet_is_not_repeated():
    """Repeating it wakes nobody, and would be a second switch for one approval."""
    look = lost_promotion(waited=1)
    assert comes_next(look) is None
    assert look.snapshot.pending == "Argo Rollouts was told to switch, and has not yet"
    with pytest.raises(Pending):
        look.plan(PROMOTE, actor="kim")


def test_a_promotion_whose_approvals_were_lost_since_is_not_helped_on():
    """Back in READY, what resumes there is somebody else's, or must not come any more."""
    look = lost_promotion(waited=20)
    look = replace(look, release=replace(look.release, phase=READY))
    assert look.upkeep() is None


def test_a_template_is_written_back_although_the_controller_calls_the_rollout_invalid():
    """Then it observes each generation, and works towards none: the hash stays that of the version before."""
    look = view("invalid", REVERTING)
    template = look.objects.rollout["spec"]["template"]
    template["metadata"]["annotations"] = {LABEL: "mochi-2"}
    template["spec"]["containers"][0]["image"] = "mochi:green"
    look = replace(look, release=replace(look.release, image="mochi:green"))
    assert comes_next(look) is REVERT
    assert look.plan(REVERT, actor="sam").kind == "Rollout"


def test_a_way_back_that_is_not_taken_up_says_so_and_does_not_end():
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    look.objects.active["spec"]["selector"][HASH] = BLUE
    rollout = look.objects.rollout
    rollout["spec"]["template"] = json.loads(blue().template)
    rollout["metadata"]["generation"] += 1
    assert comes_next(look) is None
    assert look.snapshot.pending == "Argo Rollouts has not taken up the last change yet"
    with pytest.raises(Pending):  # it is not written once more
        look.plan(REVERT, actor="sam")


def test_a_template_that_is_back_is_not_written_again_while_the_hash_is_still_the_other():
    """From a pause the newest generation is observed a moment before the hash is that of its template."""
    look = outside("paused", REVERTING, image=image_of("paused"))
    look.objects.rollout["spec"]["template"] = json.loads(blue().template)
    assert comes_next(look) is None
    with pytest.raises(Pending):
        look.plan(REVERT, actor="sam")


def test_a_template_that_brings_lost_pods_back_is_written_once():
    look = view("live-without-deadline", REVERTING, live_at=NOW)
    assert look.plan(REVERT, actor="sam").kind == "Rollout"
    look.objects.rollout["spec"]["template"] = json.loads(blue().template)
    look.objects.rollout["metadata"]["generation"] += 1
    look = seen_by(replace(look.objects), REVERTING, live_at=NOW)
    assert comes_next(look) is None
    with pytest.raises(Pending):
        look.plan(REVERT, actor="sam")


def test_somebody_who_took_the_service_back_at_once_is_not_overruled():
    """The switch was ours, was never seen, and the controller takes green for stable: one approval is one switch."""
    look = view("live-with-deadline", PROMOTING)
    look.objects.active["spec"]["selector"][HASH] = BLUE
    assert comes_next(look) is ABANDONED


def test_a_switch_that_has_been_made_is_not_asked_for_again():
    look = view("switched-before-the-deadline", PROMOTING, switch_sent_at=NOW - 9 * SECOND)
    assert look.upkeep() is None
    assert look.snapshot.again_at is None


@pytest.mark.parametrize(
    ("stands_still", "words"),
    [
        (lambda rollout: rollout["spec"].update(paused=True), "somebody paused Rollout mochiapp"),
        (
            lambda rollout: rollout["status"]["conditions"].append(
                {"type": "InvalidSpec", "status": "True", "message": "no such Service"}
            ),
            "Rollout mochiapp is not valid: no such Service",
        ),
    ],
)
def test_a_way_back_that_stands_still_says_of_whom(stands_still, words):
    look = view("live-with-deadline", REVERTING, live_at=NOW)
    look.objects.active["spec"]["selector"][HASH] = BLUE
    rollout = look.objects.rollout
    rollout["spec"]["template"] = json.loads(blue().template)
    rollout["status"]["currentPodHash"] = BLUE
    stands_still(rollout)
    assert comes_next(look) is None
    assert words in look.snapshot.pending


# Where a release would begin


def test_the_version_to_go_back_to_is_what_the_rollout_asks_for_word_for_word():
    begun = start(app(), objects("healthy"), STORE_ID)
    assert json.loads(begun.live.template) == recorded("healthy")["rollout"]["spec"]["template"]
    assert begun.live.selector == {"app": "mochiapp", HASH: BLUE}
    assert begun.live_ready == 2


def test_while_the_rollout_asks_for_something_else_the_replica_set_has_the_words():
    """Without what the controller put into them: its label, and the metadata of what is active or a preview."""
    seen = objects("paused")
    live = seen.replica_set(BLUE)
    live["metadata"]["annotations"][INJECTED] = json.dumps({"labels": {"role": "live"}, "annotations": {"tier": "1"}})
    live["spec"]["template"]["metadata"]["labels"] |= {"role": "live", "team": "mochi"}
    live["spec"]["template"]["metadata"]["annotations"] = {"tier": "1"}
    template = json.loads(start(app(), seen, STORE_ID).live.template)
    assert template["metadata"] == {"labels": {"app": "mochiapp", "team": "mochi"}, "annotations": {}}
    assert template["spec"] == live["spec"]["template"]["spec"]


@pytest.mark.parametrize("note", ["", "no JSON", "[]", '{"labels": 3}', '{"labels": {"missing": "x"}}'])
def test_whatever_stands_for_injected_metadata_is_no_surprise(note):
    seen = objects("paused")
    seen.replica_set(BLUE)["metadata"]["annotations"][INJECTED] = note
    template = json.loads(start(app(), seen, STORE_ID).live.template)
    assert template["metadata"]["labels"] == {"app": "mochiapp"}


def test_a_service_that_selects_no_version_is_refused_with_the_hash_to_put_back():
    seen = objects("healthy")
    del seen.active["spec"]["selector"][HASH]
    with pytest.raises(Unfit, match=f"put {HASH}: {BLUE} back into its selector"):
        start(app(), seen, STORE_ID)


def test_a_change_that_the_controller_has_not_taken_up_is_refused():
    with pytest.raises(Unfit, match="has not taken up the last change of Rollout mochiapp"):
        start(app(), objects("observing"), STORE_ID)


# Until when the way back is instant, and what its analyses measured


def deadline_of(look):
    [blue_set] = [each for each in look.objects.replica_sets if each["metadata"]["labels"][HASH] == BLUE]
    return datetime.fromisoformat(blue_set["metadata"]["annotations"][DEADLINE])


def test_the_way_back_is_instant_until_the_controller_gives_its_pods_up():
    look = view("live-with-deadline", DONE, live_at=NOW)
    assert look.snapshot.instant_until == deadline_of(look)
    assert view("switched-before-the-deadline", DONE, live_at=NOW).snapshot.instant_until is None
    assert view("paused", READY).snapshot.instant_until is None


def test_pods_that_are_gone_are_not_kept_until_any_time():
    look = view("live-with-deadline", DONE, live_at=NOW)
    for each in look.objects.replica_sets:
        each["spec"]["replicas"] = 0 if each["metadata"]["labels"][HASH] == BLUE else 2
    assert look.snapshot.instant_until is None
    assert look.snapshot.again_at is None


def test_when_its_pods_are_to_go_it_is_looked_at_again_and_not_for_ever():
    """Nothing else wakes an app at rest, and its card would go on promising an instant way back."""
    look = view("live-with-deadline", DONE, live_at=NOW)
    end = deadline_of(look)
    assert look.snapshot.again_at == end + 15 * SECOND
    late = replace(look, read_at=end + 40 * SECOND)
    assert late.snapshot.again_at == end + 55 * SECOND
    assert replace(look, read_at=end + 61 * SECOND).snapshot.again_at is None
    assert view("live-with-deadline", REVERTING, live_at=NOW).snapshot.again_at is None


BEFORE, AFTER = "pre-promotion analysis", "post-promotion analysis"


@pytest.mark.parametrize(
    ("name", "phase", "expected"),
    [
        ("gate-running", READY, (BEFORE, Verdict.RUNNING, "")),
        (
            "aborted-by-analysis",
            READY,
            (BEFORE, Verdict.FAILED, 'Metric "probe" assessed Failed due to failed (1) > failureLimit (0)'),
        ),
        (
            "inconclusive",
            READY,
            (BEFORE, Verdict.NONE, "errors measured 3, wanted result < 1, fails at result > 5"),
        ),
        ("verifying", BAKING, (AFTER, Verdict.RUNNING, "")),
        ("aborted-stranded", BAKING, (AFTER, Verdict.NONE, "it was called off before it was over")),
    ],
)
@pytest.mark.parametrize("heard", [True, False])
def test_its_analyses_are_told_with_what_they_measured_as_far_as_it_may_be_read(name, phase, expected, heard):
    look = view(name, phase)
    look = replace(look, objects=replace(look.objects, analysis_runs=recorded(name)["analysisruns"] if heard else ()))
    [check] = look.snapshot.checks
    called, verdict, detail = expected
    assert (check.name, check.verdict) == (called, verdict)
    assert check.detail == detail or (not heard and check.detail.startswith('Metric "errors" assessed Inconclusive'))


def test_what_was_analysed_of_another_version_is_not_shown():
    assert view("paused", READY).snapshot.checks == ()
    other = view("aborted-by-analysis", READY, label="mochi-9")
    runs = recorded("aborted-by-analysis")["analysisruns"]
    assert replace(other, objects=replace(other.objects, analysis_runs=runs)).snapshot.checks == ()
