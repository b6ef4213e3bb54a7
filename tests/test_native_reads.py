"""What is read of a native app counts for what it is: pods that are over, and pods with two addresses."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from bot.clusters.api import POD, Listing
from bot.clusters.cluster import LABEL
from bot.clusters.reading import selects
from bot.release.record import Phase
from bot.release.verbs import Verb
from mochi import Json
from sandbox.cluster import PatchType
from sandbox.cluster.selectors import matches_labels
from world import ANN, KIM, LEO, NAMESPACE, World


def pod(name: str, phase: str, *, owner: tuple[str, str] | None = None, **labels: str) -> Json:
    references = [{"controller": True, "kind": owner[0], "name": owner[1]}] if owner else []
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels, "ownerReferences": references}
    return {"metadata": metadata, "spec": {"containers": []}, "status": {"phase": phase}}


def among_the_pods(world: World, *others: Json) -> None:
    """The simulated node runs every pod for ever, so those that are not to run are put into the answers."""
    listed = world.api.list

    async def with_others(kind: Any, namespace: str, *, labels: str = "") -> Listing:
        found = await listed(kind, namespace, labels=labels)
        more = [each for each in others if matches_labels(labels, each["metadata"]["labels"])] if kind == POD else []
        return replace(found, items=[*found.items, *copy.deepcopy(more)])

    world.api.list = with_others


async def test_a_finished_job_with_the_labels_of_the_app_does_not_keep_anybody_from_a_release(world):
    """`app: mochi` is often on everything that a team has."""
    among_the_pods(world, pod("migrate-x7", "Succeeded", owner=("Job", "migrate"), app="mochi"))
    release = await world.deploy("green")
    assert (release.phase, release.previous.slot) == (Phase.READY, "mochiapp-blue")


async def test_an_evicted_pod_of_the_candidate_counts_for_nothing(world):
    """Its ReplicaSet has replaced it; the API server keeps it until it is collected."""
    release = await world.desk.deploy(world.app, "green", ANN)
    among_the_pods(world, pod("mochiapp-green-1-evicted", "Failed", app="mochi", **{LABEL: release.label}))
    assert (await world.run()).phase is Phase.READY
    assert (await world.approve(KIM, LEO)).phase is Phase.BAKING


async def test_what_is_over_is_not_seen_out_of_the_cache_either(world):
    release = await world.deploy("green")
    among_the_pods(world, pod("mochiapp-green-1-evicted", "Failed", app="mochi", **{LABEL: release.label}))
    for watch in world.backend._watches.all:
        await watch._list()
    view = world.backend.seen(world.app, release)
    assert "mochiapp-green-1-evicted" not in {each["metadata"]["name"] for each in view.pods}
    assert view.snapshot.candidate.complete


async def test_a_job_that_runs_does_not_keep_an_adoption_from_being_undone(world):
    """The Service's own selector let its pod in before, and lets it in again."""
    release = await world.deploy("green")
    among_the_pods(world, pod("nightly-x7", "Running", owner=("Job", "nightly"), app="mochi"))
    await world.desk.ask("mochi", release.number, Verb.REJECT, KIM)
    release = await world.run()
    assert (release.phase, release.retired) == (Phase.REVERTED, True)
    assert world.service["spec"]["selector"] == {"app": "mochi"}


async def test_i12_pods_of_the_candidate_that_do_not_go_are_waited_for_ever_less_often(world):
    """I3: whatever the former selector lets in must not be among them."""
    release = await world.deploy("green")
    labels = {"app": "mochi", "pod-template-hash": "abc", LABEL: release.label}
    stuck = pod("mochiapp-green-abc-1", "Running", owner=("ReplicaSet", "mochiapp-green-abc"), **labels)
    among_the_pods(world, stuck)
    await world.desk.ask("mochi", release.number, Verb.REJECT, KIM)
    pauses = [(await world.controller.attempt(world.app) - world.clock.now()).total_seconds() for _ in range(7)]
    assert pauses == [3, 6, 12, 24, 48, 60, 60]
    assert (await world.phase(), world.service["spec"]["selector"]["color"]) == (Phase.REVERTED, "blue")


async def test_a_pod_with_two_addresses_is_one_pod(world):
    """A dual-stack Service has an EndpointSlice for each family of addresses."""
    release = await world.deploy("green")
    view = await world.backend.look(world.app, release)
    second = _as_ipv6(list(view.slices))
    both = replace(view, slices=[*view.slices, *second])
    assert (both.snapshot.candidate.ready, both.snapshot.candidate.complete) == (2, True)
    for piece in (*view.slices, *second):
        piece["endpoints"] = piece["endpoints"][:1]
    half = replace(view, slices=[*view.slices, *second])
    assert (half.snapshot.candidate.ready, half.snapshot.candidate.complete) == (1, False)


async def test_pods_with_two_addresses_are_counted_once_at_the_start_too(world):
    listed = world.api.list

    async def dual(kind: Any, namespace: str, *, labels: str = "") -> Listing:
        found = await listed(kind, namespace, labels=labels)
        return found if kind == POD else replace(found, items=[*found.items, *_as_ipv6(found.items)])

    world.api.list = dual
    assert (await world.backend.start(world.app)).live_ready == 2


def _as_ipv6(slices: list[Json]) -> list[Json]:
    twins = copy.deepcopy(slices)
    for piece in twins:
        for endpoint in piece.get("endpoints") or []:
            endpoint["addresses"] = [f"fd00::{address.replace('.', ':')}" for address in endpoint["addresses"]]
    return twins


@pytest.mark.parametrize(
    ("rule", "present", "taken"),
    [
        ({"operator": "In", "values": ["a", "b"]}, {"slot": "b"}, True),
        ({"operator": "In", "values": ["a"]}, {"slot": "b"}, False),
        ({"operator": "NotIn", "values": ["a"]}, {"slot": "b"}, True),
        ({"operator": "NotIn", "values": ["b"]}, {"slot": "b"}, False),
        ({"operator": "NotIn", "values": ["b"]}, {}, True),
        ({"operator": "Exists"}, {"slot": "b"}, True),
        ({"operator": "Exists"}, {}, False),
        ({"operator": "DoesNotExist"}, {}, True),
        ({"operator": "DoesNotExist"}, {"slot": "b"}, False),
    ],
)
def test_a_workloads_selector_may_have_expressions(rule, present, taken):
    """metav1.LabelSelector: all of its rules hold, beside its labels."""
    wanted = {"matchLabels": {"app": "mochi"}, "matchExpressions": [{"key": "slot", **rule}]}
    assert selects(wanted, {"app": "mochi"} | present) is taken
    assert not selects(wanted, {"app": "dango"} | present)


async def test_pods_that_are_killed_before_their_requests_end_are_noted_on_the_card(world):
    """Without a preStop hook and with three seconds to end in, every connection that is open is cut."""
    for slot in ("mochiapp-blue", "mochiapp-green"):
        template = {"spec": {"terminationGracePeriodSeconds": 3}}
        world.cluster.objects.patch(
            "deployments", "mochi", slot, {"spec": {"template": template}}, PatchType.MERGE, manager="kubectl"
        )
    world.cluster.settle()
    release = await world.deploy("green")
    assert [note for note in release.notes if note.startswith("Pods of mochiapp-blue are killed 3 s after")]
