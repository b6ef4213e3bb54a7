"""The simulation's cluster against the sandbox's API server and controllers: the same patches, the same answers."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.clusters import patches
from bot.clusters.errors import Stale
from bot.clusters.reading import changed_by, is_ready, labels, pods_behind, selector, template_labels
from mochi import mochi
from sandbox.cluster import ApiError, PatchType
from sandbox.cluster import Cluster as Sandbox
from simulation.cluster import ACTIVE, NAMESPACE, PREVIEW, REPOSITORY, TAGS, digest
from simulation.native.cluster import BLUE, GREEN, Cluster

SERVICES, SLOTS = st.sampled_from([ACTIVE, PREVIEW]), st.sampled_from([BLUE, GREEN])
IMAGES = st.sampled_from([f"{REPOSITORY}@{digest(tag)}" for tag in ("green", "purple")])
LABELS = st.sampled_from(["mochi-1-t1", "mochi-2-t2"])
SELECTORS = st.sampled_from(
    [
        {"app": "mochi"},
        {"app": "mochi", "color": "blue"},
        {"app": "mochi", "color": "green"},
        {"app": "mochi", "greenlight.dev/release": "mochi-1-t1"},
    ]
)
DEEDS = st.one_of(
    st.tuples(st.just("select"), SERVICES, SELECTORS),
    st.tuples(st.just("stage"), SLOTS, IMAGES, LABELS),
    st.tuples(st.just("scale"), SLOTS, st.integers(0, 3)),
    st.tuples(st.just("set image"), SLOTS, IMAGES),
    st.tuples(st.just("look"), SERVICES | SLOTS),
    st.tuples(st.just("work"), st.just("")),
)
"""All but looks and work are decided upon the last look at the object, which may be old by then."""


class Both:
    """The two clusters, and what was last seen of their objects."""

    def __init__(self) -> None:
        live = f"{REPOSITORY}@{digest('blue')}"
        self.model = Cluster.built(lambda: 0.0, replicas=1)
        self.sandbox = Sandbox(digests={digest(tag): tag for tag in TAGS}, seed=1)
        self.sandbox.apply(mochi(NAMESPACE, live_image=live, replicas=1))
        self.sandbox.settle()
        self.seen = {name: self.read(name) for name in (ACTIVE, PREVIEW, BLUE, GREEN)}

    def read(self, name):
        plural = _plural(name)
        return self.model.objects.get(plural, name), self.sandbox.objects.get(plural, NAMESPACE, name)

    def do(self, what, name, *rest):
        if what == "look":
            self.seen[name] = self.read(name)
        elif what == "work":
            while self.model.work:
                self.model.step(0)
            self.sandbox.settle()
        else:
            patch = {"select": _select, "stage": _stage, "scale": _scale, "set image": _set_image}[what]
            manager = "kubectl" if what == "set image" else "greenlight"
            asked = [patch(each, *rest) for each in self.seen[name]]
            assert self._model(name, asked[0], manager) == self._sandbox(name, asked[1], manager)

    def _model(self, name, patch, manager):
        try:
            return bool(self.model.patch(_plural(name), name, patch, manager))
        except Stale:
            return False

    def _sandbox(self, name, patch, manager):
        try:
            operations = [dict(each) for each in patch]
            changed = self.sandbox.objects.patch(
                _plural(name), NAMESPACE, name, operations, PatchType.JSON, manager=manager
            )
            return bool(changed)
        except ApiError as error:
            assert error.status == 422  # noqa: PT017 - that it may be raised is the point
            return False

    def told(self):
        """What the bot would read, of both."""
        objects = self.sandbox.objects
        return [
            _told(
                lambda name: self.model.objects.get(_plural(name), name),
                list(self.model.objects.kinds["pods"].values()),
                list(self.model.objects.kinds["endpointslices"].values()),
            ),
            _told(
                lambda name: objects.get(_plural(name), NAMESPACE, name),
                objects.items("pods", NAMESPACE),
                objects.items("endpointslices", NAMESPACE),
            ),
        ]


def _told(get, pods, slices):
    told = {
        name: (selector(get(name)), changed_by(get(name), "spec", "selector").split(" at")[0])
        for name in (ACTIVE, PREVIEW)
    }
    for name in (BLUE, GREEN):
        slot, status = get(name), get(name)["status"]
        told[name] = (
            slot["spec"]["replicas"],
            template_labels(slot),
            slot["spec"]["template"]["spec"]["containers"][0]["image"],
            slot["metadata"]["generation"],
            status["observedGeneration"],
            [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")],
        )
    told["pods"] = sorted(
        (_who(pod), pod["status"]["containerStatuses"][0]["imageID"].partition("@")[2]) for pod in pods
    )
    by_name = {pod["metadata"]["name"]: pod for pod in pods}
    for service in (ACTIVE, PREVIEW):
        told[f"behind {service}"] = sorted(_who(by_name[name]) for name in pods_behind(slices, service))
    return told


def _who(pod):
    return labels(pod)["color"], labels(pod).get("greenlight.dev/release", ""), is_ready(pod)


def _plural(name):
    return "services" if name in {ACTIVE, PREVIEW} else "deployments"


def _select(service, wanted):
    return patches.select(service, wanted, {"greenlight.dev/by": "kim"})


def _stage(slot, image, label):
    return patches.stage(slot, image, label, 1, None)


def _scale(slot, count):
    return patches.scale(slot, count, None)


def _set_image(slot, image):
    return ({"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image},)


@settings(max_examples=25, deadline=None)
@given(st.lists(DEEDS, max_size=14))
def test_the_model_answers_as_the_sandbox_does(deeds):
    """Which patch is refused, who changed what, generations; and once controllers are done: pods and endpoints."""
    both = Both()
    for deed in deeds:
        both.do(*deed)
    both.do("work", "")
    model, sandbox = both.told()
    assert model == sandbox


def test_what_was_handed_out_never_changes():
    """Worlds fork by shallow copies, so that a change in place would travel back in time."""
    cluster = Cluster.built(lambda: 0.0, replicas=1)
    before = cluster.service()
    shown = repr(before)
    fork = cluster.copy(lambda: 0.0)
    cluster.patch("services", ACTIVE, _select(before, {"app": "mochi", "color": "blue"}), "greenlight")
    assert repr(before) == shown
    assert fork.service() is before
