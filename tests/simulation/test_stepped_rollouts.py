"""The simulation's Rollout controller beside the sandbox's, which has all of Argo's: same deeds, same states."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.clusters.argo.reading import HASH
from bot.clusters.reading import is_ready, labels, selector
from mochi_rollout import ROLLOUT, mochi_rollout
from sandbox.cluster import Cluster as Sandbox
from sandbox.cluster import PatchType
from simulation.argo.cluster import IMAGE, Cluster
from simulation.argo.plan import DEADLINE
from simulation.cluster import ACTIVE, NAMESPACE, PREVIEW, REPOSITORY, TAGS, digest

Json = dict[str, Any]
KUBECTL = "kubectl"
VERSIONS = st.sampled_from(["green", "purple", "blue"])
IMAGE_SET = st.tuples(st.just("image"), VERSIONS)
PROMOTED = st.tuples(st.just("promote"), st.just(""))
SELECTED = st.sampled_from([(ACTIVE, "new"), (ACTIVE, "stable"), (ACTIVE, ""), (PREVIEW, "stable")])
DEEDS = st.tuples(
    st.one_of(
        IMAGE_SET,
        IMAGE_SET,
        IMAGE_SET,
        PROMOTED,
        PROMOTED,
        st.tuples(st.just("variable"), st.sampled_from(["1", "2"])),
        st.tuples(st.just("status"), st.sampled_from(["abort", "retry", "full"])),
        st.tuples(st.just("status"), st.sampled_from(["abort", "retry", "full"])),
        st.tuples(st.just("freeze"), st.booleans()),
        st.tuples(st.just("scale"), st.integers(1, 2)),
        st.tuples(st.just("select"), SELECTED),
        st.tuples(st.just("wait"), st.sampled_from([10, 31])),
    ),
    st.sampled_from([True, True, True, False]),
)
"""What is done, and whether the controllers are done with it before the next."""
STATUS = {"abort": ("abort", True), "retry": ("abort", False), "full": ("promoteFull", True)}


class Both:
    """The two clusters, and what is done to both."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.model = Cluster.built(lambda: self.seconds, replicas=1, revisionHistoryLimit=2)
        self.sandbox = Sandbox(digests={digest(tag): tag for tag in TAGS}, seed=1)
        image = f"{REPOSITORY}@{digest('blue')}"
        self.sandbox.apply(mochi_rollout(NAMESPACE, image=image, replicas=1, revisionHistoryLimit=2))
        self.work()

    def work(self) -> None:
        self.model.settle()
        self.sandbox.settle()

    def wait(self, seconds: int) -> None:
        self.work()
        self.seconds += seconds
        self.model.ring()
        self.model.settle()
        self.sandbox.advance(seconds)

    def do(self, what: str, how: Any) -> None:
        match what:
            case "image":
                self.patch({"op": "replace", "path": IMAGE, "value": f"{REPOSITORY}@{digest(how)}"})
            case "variable":
                path = "/spec/template/spec/containers/0/env"
                self.patch({"op": "add", "path": path, "value": [{"name": "DEBUG", "value": how}]})
            case "promote":
                if self.model.rollout()["status"].get("pauseConditions"):
                    self.patch({"op": "remove", "path": "/status/pauseConditions"}, subresource="status")
            case "status":
                key, value = STATUS[how]
                self.patch({"op": "add", "path": f"/status/{key}", "value": value}, subresource="status")
            case "freeze":
                self.patch({"op": "add", "path": "/spec/paused", "value": how})
            case "scale":
                self.patch({"op": "replace", "path": "/spec/replicas", "value": how})
            case "select":
                self.select(*how)
            case _:
                self.wait(how)

    def patch(self, operation: Json, *, subresource: str = "") -> None:
        self.model.patch("rollouts", ROLLOUT, [operation], KUBECTL, subresource)
        more = {"subresource": subresource} if subresource else {}
        self.sandbox.objects.patch("rollouts", NAMESPACE, ROLLOUT, [operation], PatchType.JSON, manager=KUBECTL, **more)

    def select(self, service: str, which: str) -> None:
        for cluster in ("model", "sandbox"):
            status = self.read(cluster, "rollouts", ROLLOUT)["status"]
            hash_ = {"new": status["currentPodHash"], "stable": status["stableRS"]}.get(which, "")
            wanted = {"app": "mochi", **({HASH: hash_} if hash_ else {})}
            operation = {"op": "replace", "path": "/spec/selector", "value": wanted}
            if cluster == "model":
                self.model.patch("services", service, [operation], KUBECTL)
            else:
                self.sandbox.objects.patch("services", NAMESPACE, service, [operation], PatchType.JSON, manager=KUBECTL)

    def read(self, cluster: str, plural: str, name: str) -> Json:
        if cluster == "model":
            return self.model.objects.get(plural, name)
        return self.sandbox.objects.get(plural, NAMESPACE, name)

    def listed(self, cluster: str, plural: str) -> list[Json]:
        if cluster == "model":
            return list(self.model.objects.kinds[plural].values())
        return self.sandbox.objects.items(plural, NAMESPACE)

    def told(self, cluster: str) -> Json:
        """What the bot would read; sets by what they run, since only the letters of the hashes differ."""
        sets = {labels(each)[HASH]: each for each in self.listed(cluster, "replicasets")}
        called = {hash_: _called(each) for hash_, each in sets.items()} | {"": ""}
        rollout = self.read(cluster, "rollouts", ROLLOUT)
        status = rollout["status"]
        services = {name: selector(self.read(cluster, "services", name)).get(HASH, "") for name in (ACTIVE, PREVIEW)}
        return {
            "observed": status["observedGeneration"] == str(rollout["metadata"]["generation"]),
            "current": called[status["currentPodHash"]],
            "stable": called[status["stableRS"]],
            "pauses": [each["reason"] for each in status.get("pauseConditions") or []],
            "flags": [bool(status.get(key)) for key in ("controllerPause", "abort", "promoteFull")],
            "phase": status["phase"],
            "services": {name: called.get(hash_, "unknown") for name, hash_ in services.items()},
            "sets": {
                called[hash_]: (each["spec"]["replicas"], DEADLINE in each["metadata"]["annotations"])
                for hash_, each in sets.items()
                if each["spec"]["replicas"]  # which of those without pods is forgotten first, letters of hashes decide
            },
            "ready": sorted(
                called.get(labels(pod)[HASH], "gone") for pod in self.listed(cluster, "pods") if is_ready(pod)
            ),
        }


def _called(item: Json) -> str:
    container = item["spec"]["template"]["spec"]["containers"][0]
    return json.dumps([container["image"], container.get("env")])


@settings(max_examples=40, deadline=None)
@given(st.lists(DEEDS, min_size=6, max_size=14))
def test_the_model_comes_to_the_states_of_the_sandbox(deeds):
    both = Both()
    for deed, worked in deeds:
        both.do(*deed)
        if worked:
            both.work()
            assert both.told("model") == both.told("sandbox")
    both.work()
    assert both.told("model") == both.told("sandbox")


def test_what_was_handed_out_never_changes():
    """Worlds fork by shallow copies, so that a change in place would travel back in time."""
    both = Both()
    before, sets = both.model.rollout(), both.model.objects.kinds["replicasets"]
    shown, fork = repr((before, sets)), both.model.copy(lambda: both.seconds)
    both.do("image", "green")
    both.work()
    both.do("promote", "")
    both.work()
    assert repr((before, fork.objects.kinds["replicasets"])) == shown
    assert fork.rollout() is before
