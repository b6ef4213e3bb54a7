"""What the objects of a native app say of a release: traffic, sides, the next write, and whom nothing is believed."""

import copy
from dataclasses import replace

import pytest

from bot.clusters.cluster import LABEL, ClusterError
from bot.release.approvals import Ballots, Vote
from bot.release.machine import Order, decide
from bot.release.record import Phase
from bot.release.snapshot import Traffic
from world import KIM, LEO, NAMESPACE

QUORUM = (Vote(KIM, approve=True), Vote(LEO, approve=True))


@pytest.fixture
async def view(world):
    """A look at a release that is approved and ready to be switched."""
    release = replace(await world.deploy(), phase=Phase.PROMOTING)
    return await world.backend.look(world.app, release)


def ordered(view) -> Order | None:
    """What would be done upon this look, everybody having approved."""
    now = view.read_at
    return decide(view.release, view.app, view.snapshot, Ballots(QUORUM, now), now).order


def changed(view, **parts):
    return replace(view, **{key: copy.deepcopy(value) for key, value in parts.items()})


def at(item, path: str):
    *parents, last = (LABEL if key == "label" else key for key in path.split("/"))
    for key in parents:
        item = item[int(key) if isinstance(item, list) else key]
    return item, int(last) if isinstance(item, list) else last


def candidate(view):
    return next(slot for slot in view.slots if slot["metadata"]["name"] == view.release.slot)


def pods_of(view):
    return [pod for pod in view.pods if pod["metadata"]["labels"].get(LABEL) == view.release.label]


def preview_slice(view):
    wanted = view.preview["metadata"]["name"]
    return next(piece for piece in view.slices if piece["metadata"]["labels"]["kubernetes.io/service-name"] == wanted)


CONTAINER = "spec/template/spec/containers/0"
RESTS_UPON = {
    "service": (lambda view: [view.service], ["metadata", "spec", "spec/selector", "spec/selector/app"]),
    "preview": (lambda view: [view.preview], ["metadata/name", "spec", "spec/selector", "spec/selector/label"]),
    "candidate": (
        lambda view: [candidate(view)],
        [
            "metadata/name",
            "metadata/generation",
            "spec/template",
            "spec/template/metadata",
            "spec/template/metadata/labels",
            "spec/template/spec",
            f"{CONTAINER}/image",
            f"{CONTAINER}/name",
            "status",
            "status/observedGeneration",
            "status/replicas",
            "status/updatedReplicas",
            "status/availableReplicas",
        ],
    ),
    "pods": (
        pods_of,
        [
            "metadata/name",
            "metadata/labels",
            "status",
            "status/containerStatuses",
            "status/containerStatuses/0/name",
            "status/containerStatuses/0/imageID",
        ],
    ),
    "slice": (
        lambda view: [preview_slice(view)],
        [
            "metadata/labels",
            "endpoints",
            "endpoints/0/addresses",
            "endpoints/0/conditions",
            "endpoints/0/conditions/ready",
            "endpoints/0/targetRef",
            "endpoints/0/targetRef/name",
        ],
    ),
}
CASES = [(which, path) for which, (_, paths) in RESTS_UPON.items() for path in paths]


async def test_i9_whatever_the_switch_rests_upon_may_be_null_or_missing_and_then_nothing_is_switched(view):
    """An error is as good as a wait: the loop takes it for "look again later"."""
    assert ordered(view) is Order.PROMOTE
    for which, path in CASES:
        for missing in (False, True):
            broken = changed(
                view, service=view.service, preview=view.preview, slots=view.slots, pods=view.pods, slices=view.slices
            )
            for item in RESTS_UPON[which][0](broken):
                parent, key = at(item, path)
                if missing:
                    del parent[key]
                else:
                    parent[key] = None
            try:
                order = ordered(broken)
            except (KeyError, TypeError, AttributeError, ClusterError):
                continue
            assert order is not Order.PROMOTE, (which, path, missing)


async def test_i9_no_single_null_anywhere_changes_what_is_switched(view):
    """Every leaf of every object, one after another: if there is a switch at all, it is the one that was decided on."""
    right, tried = view.plan(Order.PROMOTE, actor="kim"), 0
    parts = {"service": view.service, "preview": view.preview, "slots": list(view.slots), "pods": list(view.pods)}
    for part, whole in parts.items():
        for path in leaves(whole):
            broken = copy.deepcopy(whole)
            parent, key = broken, path[-1]
            for step in path[:-1]:
                parent = parent[step]
            parent[key] = None
            seen = replace(view, **{part: broken})
            tried += 1
            try:
                if ordered(seen) is not Order.PROMOTE:
                    continue
                write = seen.plan(Order.PROMOTE, actor="kim")
            except (KeyError, TypeError, AttributeError, ValueError, ClusterError):
                continue
            adds = [op for op in write.patch if op["op"] != "test" and op["path"].startswith("/spec")]
            assert adds == [op for op in right.patch if op["op"] != "test" and op["path"].startswith("/spec")]
            assert {op["path"] for op in write.patch if op["op"] == "test"} == {
                "/metadata/resourceVersion",
                "/spec/selector",
            }
    assert tried > 150


def leaves(item, path=()):
    pairs = item.items() if isinstance(item, dict) else enumerate(item)
    for key, value in pairs:
        if key == "managedFields":
            continue
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))


def test_i6_the_switch_is_conditional_upon_the_version_and_the_whole_selector_that_were_read(view):
    write = view.plan(Order.PROMOTE, actor="kim, leo")
    assert [op for op in write.patch if op["op"] == "test"] == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": view.service["metadata"]["resourceVersion"]},
        {"op": "test", "path": "/spec/selector", "value": view.service["spec"]["selector"]},
    ]
    assert (write.kind, write.namespace, write.name) == ("Service", NAMESPACE, "mochiapp")


def test_i3_what_is_live_is_selected_by_a_label_that_no_other_release_ever_has(view):
    """A colour alone would follow whatever is put into that slot."""
    assert view.release.selector[LABEL] == view.release.label
    write = view.plan(Order.PROMOTE, actor="kim")
    assert {"op": "add", "path": "/spec/selector/greenlight.dev~1release", "value": view.release.label} in write.patch


def test_i3_another_image_under_the_same_label_is_not_what_was_approved(view):
    """`kubectl set image` leaves the label in the template."""
    slots = copy.deepcopy(list(view.slots))
    seen = replace(view, slots=slots)
    candidate(seen)["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.com/mochi:purple"
    assert (seen.snapshot.candidate.present, ordered(seen)) == (False, None)


@pytest.mark.parametrize(
    ("selector", "traffic"),
    [
        ({"app": "mochi", "color": "blue"}, Traffic.PREVIOUS),
        ({"app": "mochi", LABEL: "mochi-1-t0"}, Traffic.CANDIDATE),
        ({"app": "mochi"}, Traffic.OTHER),
        ({"app": "mochi", "color": "green"}, Traffic.OTHER),
        ({"app": "mochi", "color": "blue", "tier": "web"}, Traffic.OTHER),
        ({LABEL: "mochi-1-t0"}, Traffic.OTHER),
        ({}, Traffic.OTHER),
        (None, Traffic.OTHER),
    ],
)
def test_i3_who_has_the_traffic_is_read_from_the_whole_selector(view, selector, traffic):
    """Also the one before an adoption: it lets candidate pods in as soon as there are any."""
    service = copy.deepcopy(view.service)
    service["spec"]["selector"] = selector
    assert replace(view, service=service).snapshot.traffic is traffic


def test_endpoints_of_others_do_not_make_a_side_ready(view):
    """Right after a switch the slices still list the old pods."""
    service = {**view.service, "spec": {**view.service["spec"], "selector": dict(view.release.selector)}}
    seen = replace(view, service=service)
    assert seen.snapshot.traffic is Traffic.CANDIDATE
    assert seen.snapshot.candidate.ready == 0


def test_a_pod_that_is_going_away_is_not_ready(view):
    pods = copy.deepcopy(list(view.pods))
    for pod in pods:
        pod["metadata"]["deletionTimestamp"] = "2026-01-05T09:00:00Z"
    service = {**view.service, "spec": {**view.service["spec"], "selector": dict(view.release.selector)}}
    assert replace(view, service=service, pods=pods).snapshot.previous.ready == 0


@pytest.mark.parametrize(
    ("image_id", "doubt"),
    [
        ("registry.example.com/mochi@sha256:" + "f" * 64, "runs an image that is not mochi:green"),
        ("sha256:" + "f" * 64, "runs an image that is not mochi:green"),
        ("", "does not say which image it runs"),
        (None, "does not say which image it runs"),
    ],
)
def test_i9_an_unknown_digest_blocks(view, image_id, doubt):
    pods = copy.deepcopy(list(view.pods))
    seen = replace(view, pods=pods)
    pods_of(seen)[-1]["status"]["containerStatuses"][0]["imageID"] = image_id
    assert doubt in seen.snapshot.candidate.trouble
    assert ordered(seen) is None


def test_what_has_the_traffic_is_never_scaled_down(view):
    """Whatever the record says: the order would be wrong, and it is refused."""
    wrong = replace(view.release, phase=Phase.DONE)
    with pytest.raises(ClusterError, match="has the traffic and keeps its pods"):
        view.of(wrong).plan(Order.RETIRE, actor="ann")


def test_an_adoption_that_would_lose_endpoints_is_refused(view):
    service = copy.deepcopy(view.service)
    service["spec"]["selector"] = dict(view.release.previous.before)
    slices = copy.deepcopy(list(view.slices))
    for piece in slices:
        for endpoint in piece["endpoints"] or []:
            endpoint["targetRef"]["name"] = "somebody-elses-pod"
    with pytest.raises(ClusterError, match="would lose endpoints"):
        replace(view, service=service, slices=slices).plan(Order.STAGE, actor="ann")


async def test_an_interrupted_watch_is_not_believed(world):
    """Its objects may be long over: it is looked afresh, and if that fails the card says so."""
    release = await world.deploy()
    for watch in world.backend._watches.all:
        await watch._list()
    assert world.backend.seen(world.app, release) is not None
    watch.trouble = ClusterError("silent")
    assert world.backend.seen(world.app, release) is None
