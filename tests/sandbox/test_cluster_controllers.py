"""What Deployments, ReplicaSets, pods and EndpointSlices do by themselves, on virtual time."""

import asyncio
from typing import ClassVar

import aiohttp
import pytest

from mochi import mochi
from sandbox.cluster import ApiError, Behaviour, Cluster, controllers, wall_clock
from sandbox.cluster.controllers import PerNamespace
from sandbox.cluster.kubelet import NODE

BLUE = "registry.example.com/mochi:blue"
GREEN = "registry.example.com/mochi:green"


def staged(cluster: Cluster, image: str = BLUE, replicas: int = 3) -> None:
    """The example app, settled; the Service `mochiapp` selects what is blue."""
    cluster.apply(mochi("mochi", live_image=image, replicas=replicas, selector={"app": "mochi", "color": "blue"}))
    cluster.settle()


def deployment(cluster: Cluster, name: str = "mochiapp-blue") -> dict:
    return cluster.objects.get("deployments", "mochi", name)


def set_image(cluster: Cluster, image: str, name: str = "mochiapp-blue") -> None:
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
    cluster.objects.patch("deployments", "mochi", name, patch, "application/json-patch+json")


def condition(item: dict, name: str) -> tuple[str, str]:
    found = next(c for c in item["status"]["conditions"] if c["type"] == name)
    return found["status"], found["reason"]


def pods(cluster: Cluster, labels: str = "app=mochi") -> list[dict]:
    return cluster.objects.items("pods", "mochi", labels)


def ready(cluster: Cluster, service: str = "mochiapp") -> set[str]:
    """The addresses that take the traffic of a Service."""
    slices = cluster.objects.items("endpointslices", "mochi", f"kubernetes.io/service-name={service}")
    return {
        address
        for item in slices
        for endpoint in item["endpoints"] or ()
        if endpoint["conditions"]["ready"]
        for address in endpoint["addresses"]
    }


def test_a_deployment_becomes_available(cluster):
    staged(cluster)
    status = deployment(cluster)["status"]
    assert (status["replicas"], status["updatedReplicas"], status["availableReplicas"]) == (3, 3, 3)
    assert status["observedGeneration"] == deployment(cluster)["metadata"]["generation"] == 1
    assert "unavailableReplicas" not in status
    assert condition(deployment(cluster), "Available") == ("True", "MinimumReplicasAvailable")
    assert condition(deployment(cluster), "Progressing") == ("True", "NewReplicaSetAvailable")


def test_the_old_generation_shows_until_the_controller_ran(cluster):
    staged(cluster)
    set_image(cluster, GREEN)
    before = deployment(cluster)
    assert (before["metadata"]["generation"], before["status"]["observedGeneration"]) == (2, 1)
    cluster.settle()
    assert deployment(cluster)["status"]["observedGeneration"] == 2


def test_a_rollout_never_goes_below_what_must_be_available(cluster):
    """Three replicas with 25 % each way: at most one more, and never one less."""
    staged(cluster)
    available = []
    total = []
    cluster.objects.subscribe(
        lambda change: (
            (
                available.append(change.after["status"].get("availableReplicas", 0)),
                total.append(change.after["status"].get("replicas", 0)),
            )
            if change.plural == "deployments" and change.after["metadata"]["name"] == "mochiapp-blue"
            else None
        )
    )
    set_image(cluster, GREEN)
    cluster.settle()
    assert {pod["spec"]["containers"][0]["image"] for pod in pods(cluster)} == {GREEN}
    assert min(available) >= 3
    assert max(total) == 4


def test_a_template_that_comes_back_uses_its_old_replica_set(cluster):
    staged(cluster)
    for image in (GREEN, BLUE):
        set_image(cluster, image)
        cluster.settle()
    sets = [item for item in cluster.objects.items("replicasets") if item["metadata"]["labels"]["color"] == "blue"]
    assert len(sets) == 2
    assert deployment(cluster)["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


def test_a_rollout_of_a_crashing_image_stops_and_says_why(cluster):
    staged(cluster)
    set_image(cluster, "registry.example.com/mochi:crash")
    cluster.advance(60)
    crashed = [pod for pod in pods(cluster) if pod["spec"]["containers"][0]["image"].endswith("crash")]
    (pod,) = crashed
    (status,) = pod["status"]["containerStatuses"]
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["restartCount"] == 3  # at once, after 10 s, after 20 s more
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert "FLAVOUR" in status["lastState"]["terminated"]["message"]
    assert len(ready(cluster)) == 3
    assert condition(deployment(cluster), "Progressing") == ("True", "ReplicaSetUpdated")
    cluster.advance(600)
    assert condition(deployment(cluster), "Progressing") == ("False", "ProgressDeadlineExceeded")


def test_an_image_that_cannot_be_pulled_says_so(cluster):
    staged(cluster, "registry.example.com/mochi:nopull", replicas=1)
    (pod,) = pods(cluster)
    (status,) = pod["status"]["containerStatuses"]
    assert pod["status"]["phase"] == "Pending"
    assert status["state"]["waiting"]["reason"] == "ImagePullBackOff"
    assert status["imageID"] == ""
    assert ready(cluster) == set()


def test_a_slow_image_is_ready_when_its_time_has_come():
    cluster = Cluster(behaviours={"slow": Behaviour(ready_after=20)})
    staged(cluster, "r/mochi:slow", replicas=2)
    assert ready(cluster) == set()
    cluster.advance(19.9)
    assert ready(cluster) == set()
    cluster.advance(0.2)
    assert len(ready(cluster)) == 2


def test_a_flaky_image_loses_its_endpoints_again(cluster):
    staged(cluster, "r/mochi:flaky", replicas=2)
    assert len(ready(cluster)) == 2
    cluster.advance(30)
    assert ready(cluster) == set()
    assert condition(deployment(cluster), "Available") == ("False", "MinimumReplicasUnavailable")


def test_a_digest_behaves_as_the_tag_it_stands_for():
    digest = "sha256:" + "a" * 64
    cluster = Cluster(digests={digest: "crash"})
    staged(cluster, f"r/mochi@{digest}", replicas=1)
    (pod,) = pods(cluster)
    (status,) = pod["status"]["containerStatuses"]
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["imageID"] == f"r/mochi@{digest}"


def test_a_tag_runs_the_digest_that_is_known_for_it():
    digest = "sha256:" + "b" * 64
    cluster = Cluster(digests={digest: "blue"})
    staged(cluster, "r/mochi:blue", replicas=1)
    (pod,) = pods(cluster)
    assert pod["status"]["containerStatuses"][0]["imageID"] == f"r/mochi@{digest}"


def test_pods_have_addresses_of_their_own(cluster):
    staged(cluster, replicas=4)
    assert len({pod["status"]["podIP"] for pod in pods(cluster)}) == 4
    assert {pod["spec"]["nodeName"] for pod in pods(cluster)} == {NODE}


def test_scaling_down_takes_the_pods_that_are_not_ready_first():
    cluster = Cluster(behaviours={"": Behaviour(), "late": Behaviour(ready_after=100)})
    staged(cluster, "r/mochi:blue", replicas=2)
    steady = {pod["metadata"]["name"] for pod in pods(cluster)}
    set_image(cluster, "r/mochi:late")
    patch = {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}}}
    cluster.objects.patch("deployments", "mochi", "mochiapp-blue", patch)
    cluster.settle()
    assert len(pods(cluster)) == 4
    cluster.objects.patch("deployments", "mochi", "mochiapp-blue", {"spec": {"replicas": 1}}, subresource="scale")
    cluster.settle()
    left = {pod["metadata"]["name"] for pod in pods(cluster)}
    assert left & steady
    assert len(ready(cluster)) >= 1


def test_one_replica_set_drops_the_unready_before_the_ready(cluster):
    staged(cluster, replicas=3)
    sick = pods(cluster)[1]["metadata"]["name"]
    conditions = [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-05T09:00:00Z"}]
    cluster.objects.patch("pods", "mochi", sick, {"status": {"conditions": conditions}}, subresource="status")
    cluster.objects.patch("deployments", "mochi", "mochiapp-blue", {"spec": {"replicas": 2}}, subresource="scale")
    # The kubelet would heal the pod at once, so only the two controllers that decide have their turn.
    for controller in cluster.controllers[:2] * 2:
        controller.step(cluster.objects, cluster.now())
    going = [pod["metadata"]["name"] for pod in pods(cluster) if "deletionTimestamp" in pod["metadata"]]
    assert going == [sick]


def test_endpoints_follow_the_selector_of_the_service(cluster):
    staged(cluster)
    cluster.objects.patch("deployments", "mochi", "mochiapp-green", {"spec": {"replicas": 2}}, subresource="scale")
    cluster.settle()
    blue = ready(cluster)
    cluster.objects.patch("services", "mochi", "mochiapp", {"spec": {"selector": {"color": "green"}}})
    assert ready(cluster) == blue  # the selector is one object, the endpoints are another
    cluster.settle()
    assert len(ready(cluster)) == 2
    assert not ready(cluster) & blue


def test_a_service_without_pods_has_one_empty_slice(cluster):
    """Null, not a list: so the real controller writes it."""
    staged(cluster)
    (empty,) = cluster.objects.items("endpointslices", "mochi", "kubernetes.io/service-name=mochiapp-preview")
    assert (empty["endpoints"], empty["ports"]) == (None, None)
    cluster.objects.patch("deployments", "mochi", "mochiapp-green", {"spec": {"replicas": 1}}, subresource="scale")
    cluster.settle()
    (same,) = cluster.objects.items("endpointslices", "mochi", "kubernetes.io/service-name=mochiapp-preview")
    assert same["metadata"]["name"] == empty["metadata"]["name"]
    assert same["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


def test_a_slice_holds_a_hundred_endpoints(cluster):
    staged(cluster, replicas=205)
    slices = cluster.objects.items("endpointslices", "mochi", "kubernetes.io/service-name=mochiapp")
    assert sorted(len(item["endpoints"]) for item in slices) == [5, 100, 100]
    assert len(ready(cluster)) == 205


def test_a_pod_that_goes_serves_on_but_is_no_longer_ready_for_traffic():
    cluster = Cluster(behaviours={"": Behaviour(stops_after=5)})
    staged(cluster, replicas=2)
    name = pods(cluster)[0]["metadata"]["name"]
    cluster.objects.delete("pods", "mochi", name)
    cluster.settle()
    (item,) = cluster.objects.items("endpointslices", "mochi", "kubernetes.io/service-name=mochiapp")
    (going,) = [e for e in item["endpoints"] if e["targetRef"]["name"] == name]
    assert going["conditions"] == {"ready": False, "serving": True, "terminating": True}
    assert len(ready(cluster)) == 2  # another one was made in its place
    cluster.advance(5)
    with pytest.raises(ApiError, match="not found"):
        cluster.objects.get("pods", "mochi", name)


def test_what_a_deployment_owns_goes_with_it(cluster):
    staged(cluster)
    cluster.objects.delete("deployments", "mochi", "mochiapp-blue")
    cluster.settle()
    assert pods(cluster) == []
    assert [item["metadata"]["labels"]["color"] for item in cluster.objects.items("replicasets")] == ["green"]


def test_orphans_stay(cluster):
    staged(cluster)
    cluster.objects.delete("deployments", "mochi", "mochiapp-blue", propagation="Orphan")
    cluster.settle()
    assert len(pods(cluster)) == 3
    with pytest.raises(ApiError, match="not found"):
        deployment(cluster)


def test_a_foreground_deletion_waits_for_its_dependents():
    cluster = Cluster(behaviours={"": Behaviour(stops_after=5)})
    staged(cluster)
    cluster.objects.delete("deployments", "mochi", "mochiapp-blue", propagation="Foreground")
    cluster.settle()
    assert "deletionTimestamp" in deployment(cluster)["metadata"]
    cluster.advance(5)
    with pytest.raises(ApiError, match="not found"):
        deployment(cluster)


def test_a_namespace_takes_everything_with_it(cluster):
    staged(cluster)
    cluster.objects.delete("namespaces", "", "mochi")
    with pytest.raises(ApiError, match="because it is being terminated"):
        cluster.objects.create("configmaps", "mochi", {"metadata": {"name": "late"}})
    cluster.settle()
    assert cluster.objects.items("services", "mochi") == []
    assert [item["metadata"]["name"] for item in cluster.objects.items("namespaces")] == ["default", "kube-system"]


def test_recreate_has_no_two_versions_at_once(cluster):
    staged(cluster)
    patch = {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}
    cluster.objects.patch("deployments", "mochi", "mochiapp-blue", patch)
    images = set()
    together = []

    def look(_: object) -> None:
        running = {pod["spec"]["containers"][0]["image"] for pod in pods(cluster, "color=blue")}
        images.update(running)
        together.append(len(running))

    cluster.objects.subscribe(look)
    set_image(cluster, GREEN)
    cluster.settle()
    assert images == {BLUE, GREEN}
    assert max(together) == 1


def test_a_paused_deployment_rolls_nothing_out(cluster):
    staged(cluster)
    cluster.objects.patch("deployments", "mochi", "mochiapp-blue", {"spec": {"paused": True}})
    set_image(cluster, GREEN)
    cluster.settle()
    assert {pod["spec"]["containers"][0]["image"] for pod in pods(cluster)} == {BLUE}


def test_pods_must_stay_ready_for_a_while_when_asked():
    cluster = Cluster()
    staged(cluster, replicas=2)
    cluster.objects.patch("deployments", "mochi", "mochiapp-blue", {"spec": {"minReadySeconds": 30}})
    set_image(cluster, GREEN)
    cluster.advance(10)
    status = deployment(cluster)["status"]
    assert (status["readyReplicas"], status["availableReplicas"]) == (3, 2)
    cluster.advance(120)
    assert deployment(cluster)["status"]["updatedReplicas"] == 2


def test_time_brings_what_is_due_in_its_order():
    behaviours = {"": Behaviour(ready_after=10, unready_after=10)}
    cluster = Cluster(behaviours=behaviours)
    staged(cluster, replicas=1)
    seen = []
    cluster.objects.subscribe(lambda _: seen.append(len(ready(cluster))))
    cluster.advance(100)
    assert 1 in seen
    assert seen[-1] == 0


def test_sick_pods_make_room_only_as_far_as_new_ones_are_ready():
    """Three sick pods and one new that is not ready yet: nothing may go, or nobody would be left to come back."""
    cluster = Cluster(behaviours={"": Behaviour(unready_after=5), "late": Behaviour(ready_after=50)})
    staged(cluster)
    cluster.advance(5)
    set_image(cluster, "r/mochi:late")
    cluster.advance(1)
    images = [pod["spec"]["containers"][0]["image"] for pod in pods(cluster)]
    assert (images.count(BLUE), images.count("r/mochi:late")) == (3, 1)


def test_a_pod_that_is_relabelled_leaves_its_replica_set_and_an_orphan_joins_one(cluster):
    """How people take a pod out of service to look at it: it lives on, another one takes its place."""
    staged(cluster, replicas=2)
    first = pods(cluster)[0]["metadata"]["name"]
    cluster.objects.patch("pods", "mochi", first, {"metadata": {"labels": {"color": "grey"}}})
    cluster.settle()
    assert "ownerReferences" not in cluster.objects.get("pods", "mochi", first)["metadata"]
    assert len(pods(cluster, "color=blue")) == 2
    cluster.objects.patch("pods", "mochi", first, {"metadata": {"labels": {"color": "blue"}}})
    cluster.settle()
    left = pods(cluster, "color=blue")
    assert len(left) == 2
    assert all(pod["metadata"]["ownerReferences"] for pod in left)


def test_slices_that_are_no_longer_needed_go(cluster):
    staged(cluster, replicas=150)
    cluster.objects.patch("deployments", "mochi", "mochiapp-blue", {"spec": {"replicas": 0}}, subresource="scale")
    cluster.settle()
    (item,) = cluster.objects.items("endpointslices", "mochi", "kubernetes.io/service-name=mochiapp")
    assert item["endpoints"] is None


def test_a_port_may_be_a_number_or_a_name_that_only_some_pods_have(cluster):
    staged(cluster, replicas=1)
    ports = [{"name": "http", "port": 80, "targetPort": 9000}, {"name": "admin", "port": 81, "targetPort": "nowhere"}]
    cluster.objects.patch("services", "mochi", "mochiapp", {"spec": {"ports": ports}})
    cluster.settle()
    (item,) = cluster.objects.items("endpointslices", "mochi", "kubernetes.io/service-name=mochiapp")
    assert item["ports"] == [{"name": "http", "port": 9000, "protocol": "TCP"}]


def test_old_replica_sets_are_forgotten_beyond_the_limit(cluster):
    staged(cluster, replicas=1)
    cluster.objects.patch("deployments", "mochi", "mochiapp-blue", {"spec": {"revisionHistoryLimit": 2}})
    for number in range(5):
        set_image(cluster, f"r/mochi:v{number}")
        cluster.settle()
    sets = [item for item in cluster.objects.items("replicasets") if item["metadata"]["labels"]["color"] == "blue"]
    images = {item["spec"]["template"]["spec"]["containers"][0]["image"] for item in sets}
    assert images == {"r/mochi:v2", "r/mochi:v3", "r/mochi:v4"}


def test_an_orphan_joins_one_replica_set_only(cluster):
    """Two that match it: whoever comes first."""
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": BLUE}]}}
    cluster.objects.create(
        "pods", "mochi", {"metadata": {"name": "orphan", "labels": labels}, "spec": template["spec"]}
    )
    for name in ("first", "second"):
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        cluster.objects.create("replicasets", "mochi", {"metadata": {"name": name}, "spec": spec})
    cluster.settle()
    orphan = cluster.objects.get("pods", "mochi", "orphan")
    assert [owner["name"] for owner in orphan["metadata"]["ownerReferences"]] == ["first"]
    assert len(pods(cluster, "app=web")) == 2


def test_a_controller_that_failed_looks_at_everything_again(cluster):
    class Clumsy(PerNamespace):
        looked: ClassVar[list[str]] = []

        def look(self, objects, namespace, now):
            self.looked.append(namespace)
            if self.looked == ["default"]:
                raise KeyError("surprise")

    clumsy = Clumsy()
    with pytest.raises(KeyError):
        clumsy.step(cluster.objects, cluster.now())
    clumsy.step(cluster.objects, cluster.now())
    assert clumsy.looked == ["default", "default", "kube-system", "mochi"]
    clumsy.step(cluster.objects, cluster.now())
    assert len(clumsy.looked) == 4


async def test_whoever_changes_something_has_the_answer_before_the_controllers_act_upon_it(monkeypatch):
    """As real ones do, which hear of it by a watch: what they do is not part of the time that a write takes."""
    monkeypatch.setattr(controllers, "HEARS_AFTER", 3600.0)
    cluster = Cluster(now=wall_clock, anonymous=True)
    url = await cluster.start()
    try:
        await asyncio.sleep(0)  # the loop's own first turn
        made = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}])
        url += "/api/v1/namespaces/shop/services"
        async with aiohttp.ClientSession() as http, http.post(url, json=made) as answer:
            assert answer.status == 201
        assert cluster.objects.items("endpointslices", "shop") == []
        cluster.settle()
        assert len(cluster.objects.items("endpointslices", "shop")) == 1
    finally:
        await cluster.stop()
