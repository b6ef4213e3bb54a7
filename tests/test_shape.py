"""Objects with missing or wrong-typed parts: accepted or one named error, nothing else; never a switch, never a blocked
way back."""

import asyncio
import copy
import json
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

import mochi
from bot.clusters import adoption
from bot.clusters.api import AUTOSCALER, DEPLOYMENT, ENDPOINT_SLICE, POD, SERVICE, Kind
from bot.clusters.cluster import LABEL
from bot.clusters.errors import Away, ClusterError, Forbidden, Malformed
from bot.clusters.links import best_link
from bot.clusters.reading import labels, name
from bot.clusters.shape import sound
from bot.clusters.view import NativeView
from bot.release.approvals import Ballots, Vote
from bot.release.machine import Order, decide
from bot.release.record import Phase, Release
from bot.release.verbs import Verb
from world import KIM, LEO, NAMESPACE, SAM, World, example

IMAGE = ("spec", "template", "spec", "containers", 0, "image")
ODD = st.sampled_from([None, "", "text", 0, -1, 3.5, True, [], {}, [None], [1], [{}], {"a": 1}, {"a": None}, 10**30])
GONE = object()


def paths(value, at=()):
    """Of every part of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*at, key)
        yield from paths(part, (*at, key))


def without(item, path, instead):
    """A copy in which the part at `path` is something else, or is not there."""
    changed = copy.deepcopy(item)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if instead is GONE:
        del holder[path[-1]]
    else:
        holder[path[-1]] = instead
    return changed


@st.composite
def broken(draw, item):
    """An object with one to three parts replaced or gone."""
    for _ in range(draw(st.integers(1, 3))):
        known = sorted(paths(item), key=str)
        if known:
            item = without(item, draw(st.sampled_from(known)), draw(ODD | st.just(GONE)))
    return item


class Examples:
    """The objects of a release as the sandbox has them: `found` before it, `emptied` when it is ready and then loses
    its pods, `live` when it has the traffic."""

    found: adoption.Found
    emptied: tuple[World, Release]
    live: tuple[World, Release]

    def __init__(self) -> None:
        self.views: dict[Phase, NativeView] = {}
        with TemporaryDirectory() as folder, capture_logs():
            asyncio.run(self._gather(Path(folder)))

    @property
    def green(self) -> list[str]:
        return [name(pod) for pod in self.views[Phase.BAKING].pods if LABEL in labels(pod)]

    async def _gather(self, folder: Path) -> None:
        for number in range(2):
            world = World(folder / f"{number}.db", example())
            await world.start()
            objects = world.cluster.objects
            self.found = adoption.Found(
                world.service,
                objects.get("services", NAMESPACE, mochi.PREVIEW),
                [objects.get("deployments", NAMESPACE, slot) for slot in (mochi.LIVE, mochi.IDLE)],
                objects.items("pods", NAMESPACE),
                objects.items(ENDPOINT_SLICE.plural, NAMESPACE),
            )
            release = await world.deploy("green")
            self.views[release.phase] = await world.backend.look(world.app, release)
            if number:
                release = await world.approve(KIM, LEO)
                self.views[release.phase] = await world.backend.look(world.app, release)
                self.live = world, release
            else:
                objects.patch("deployments", NAMESPACE, mochi.IDLE, {"spec": {"replicas": 0}}, manager="kubectl")
                world.cluster.settle()
                self.emptied = world, release
            await world.store.close()


EXAMPLES = Examples()
PARTS = {
    SERVICE: [EXAMPLES.found.service],
    DEPLOYMENT: list(EXAMPLES.found.slots),
    POD: list(EXAMPLES.views[Phase.READY].pods),
    ENDPOINT_SLICE: list(EXAMPLES.found.slices),
    AUTOSCALER: [{"metadata": {"name": "a"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": mochi.LIVE}}}],
}


@pytest.mark.parametrize("kind", PARTS, ids=lambda kind: kind.name)
def test_what_an_api_server_sends_is_sound(kind: Kind):
    for item in PARTS[kind]:
        assert sound(kind, item) is item


@pytest.mark.parametrize(
    ("kind", "path", "instead", "where"),
    [
        (SERVICE, ("metadata", "resourceVersion"), GONE, "Service mochiapp cannot be read: metadata.resourceVersion"),
        (SERVICE, ("spec", "selector", "app"), 7, "Service mochiapp cannot be read: spec.selector.app"),
        (SERVICE, ("metadata", "name"), None, "Service without a name cannot be read: metadata.name"),
        (SERVICE, ("metadata",), [], "Service without a name cannot be read: metadata"),
        (DEPLOYMENT, ("spec", "replicas"), "2", "Deployment mochiapp-blue cannot be read: spec.replicas"),
        (DEPLOYMENT, IMAGE, GONE, "spec.template.spec.containers.0.image"),
        (POD, ("status", "conditions", 0, "status"), True, "cannot be read: status.conditions.0.status"),
        (ENDPOINT_SLICE, ("endpoints", 0, "conditions", "ready"), "true", "endpoints.0.conditions.ready"),
        (AUTOSCALER, ("spec", "scaleTargetRef", "name"), GONE, "spec.scaleTargetRef.name"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_by_object_and_field(kind, path, instead, where):
    with pytest.raises(Malformed) as error:
        sound(kind, without(PARTS[kind][0], path, instead))
    assert where in str(error.value)
    assert "is not what Kubernetes says that it is" in str(error.value)


def test_s21_an_object_that_cannot_be_read_is_not_quoted():
    secret = without(PARTS[DEPLOYMENT][0], IMAGE, {"top": "secret"})
    with pytest.raises(Malformed) as error:
        sound(DEPLOYMENT, secret)
    assert "secret" not in str(error.value)


def readable(kind, items):
    """Those that get past the door."""
    good = []
    for item in items:
        try:
            good.append(sound(kind, item))
        except Malformed:
            continue
    return good


@given(data=st.data())
def test_i9_whatever_gets_past_the_door_is_read_without_a_surprise(data):
    """Snapshot, every order, upkeep: an answer or one `ClusterError`."""
    view = EXAMPLES.views[data.draw(st.sampled_from([Phase.READY, Phase.BAKING]))]
    pods = readable(POD, [data.draw(broken(pod)) if data.draw(st.booleans()) else pod for pod in view.pods])
    slots = readable(DEPLOYMENT, [data.draw(broken(slot)) for slot in view.slots])
    slices = readable(ENDPOINT_SLICE, [data.draw(broken(piece)) for piece in view.slices])
    service = readable(SERVICE, [data.draw(broken(view.service))]) or [view.service]
    preview = readable(SERVICE, [data.draw(broken(view.preview))]) or [None]
    seen = replace(view, service=service[0], preview=preview[0], slots=slots, pods=pods, slices=slices)
    assert seen.snapshot
    for phase, order in product((view.release.phase, Phase.REVERTING, Phase.REVERTED), (None, *Order)):
        moved = seen.of(replace(view.release, phase=phase))
        try:
            write = moved.plan(order, actor="kim") if order else moved.upkeep()
        except ClusterError:
            continue
        assert write is None or json.dumps([dict(operation) for operation in write.patch])


@given(data=st.data())
def test_i9_whatever_gets_past_the_door_begins_a_release_or_says_why_not(data):
    found = EXAMPLES.found
    slots = [(readable(DEPLOYMENT, [data.draw(broken(slot))]) or [slot])[0] for slot in found.slots]
    service = (readable(SERVICE, [data.draw(broken(found.service))]) or [found.service])[0]
    note = data.draw(st.sampled_from(["", "{", "[]", '{"app": ["mochi"]}', '{"app": null}', '{"app": 1}', "[" * 9999]))
    service = copy.deepcopy(service)
    service["metadata"]["annotations"] = {**(service["metadata"].get("annotations") or {}), adoption.BEFORE: note}
    pods = readable(POD, [data.draw(broken(pod)) for pod in found.pods])
    slices = readable(ENDPOINT_SLICE, [data.draw(broken(piece)) for piece in found.slices])
    try:
        start = adoption.start(example(), adoption.Found(service, found.preview, slots, pods, slices), "0a1b")
    except ClusterError:
        return
    assert start.slot in (mochi.LIVE, mochi.IDLE)
    assert all(isinstance(value, str) for value in (start.live.image, *start.selector.values()))


ANYTHING = st.recursive(ODD, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner))


@given(st.data())
def test_links_never_fail_whatever_an_ingress_or_a_route_says(data):
    ingress = mochi.mochi(NAMESPACE, live_image="x")[-1]
    odd = data.draw(broken(ingress) | ANYTHING)
    best_link(mochi.PREVIEW, [odd], [data.draw(ANYTHING)], [data.draw(ANYTHING)])


# At the door of the API: what the backend makes of it


def lies(world, changes):
    """From now on the API answers with these objects changed: by kind and name, the path and what stands there."""
    world.api.get, world.api.list = type(world.api).get.__get__(world.api), type(world.api).list.__get__(world.api)
    get, listed = world.api.get, world.api.list

    def changed(kind, item):
        name = item["metadata"]["name"]  # as it is: the first lie may be about that
        for wanted, names, path, instead in changes:
            if wanted == kind and name in (names or {name}):
                with suppress(KeyError, IndexError, TypeError):  # the one before it has taken its place away
                    item = without(item, path, instead)
        return item

    async def lying_get(kind, namespace, name):
        return changed(kind, await get(kind, namespace, name))

    async def lying_list(kind, namespace, *, labels=""):
        found = await listed(kind, namespace, labels=labels)
        return replace(found, items=[changed(kind, copy.deepcopy(item)) for item in found.items])

    world.api.get, world.api.list = lying_get, lying_list


PATHS = {kind: sorted({path for item in items for path in paths(item)}, key=str) for kind, items in PARTS.items()}


@st.composite
def lie(draw, about):
    kind = draw(st.sampled_from(sorted(about, key=str)))
    return kind, about[kind], draw(st.sampled_from(PATHS[kind])), draw(ODD | st.just(GONE))


EVERYTHING = {SERVICE: None, DEPLOYMENT: None, POD: None, ENDPOINT_SLICE: None}


@given(changes=st.lists(lie(EVERYTHING), min_size=1, max_size=3), phase=st.sampled_from([Phase.READY, Phase.PROMOTING]))
def test_i9_no_lie_about_any_object_makes_a_switch_to_a_side_that_is_not_ready(changes, phase):
    """The candidate has lost its pods, and everything that would say so may be missing or of another type."""
    world, release = EXAMPLES.emptied
    lies(world, changes)
    release = replace(release, phase=phase, since=world.clock.now())
    try:
        view = asyncio.run(world.backend.look(world.app, release))
    except ClusterError:
        return
    now = world.clock.now()
    votes = tuple(Vote(person, approve=True) for person in (KIM, LEO))
    decision = decide(release, world.app, view.snapshot, Ballots(votes, checked_at=now), now)
    assert decision.phase is not Phase.PROMOTING
    assert decision.order is not Order.PROMOTE


LEFT_BEHIND = {DEPLOYMENT: {mochi.IDLE}, ENDPOINT_SLICE: None, AUTOSCALER: None, POD: set(EXAMPLES.green)}
"""What belongs to the candidate, which has the traffic."""


@given(changes=st.lists(lie(LEFT_BEHIND), min_size=1, max_size=3), preview=st.booleans())
def test_i10_no_lie_about_what_is_left_behind_blocks_the_way_back(changes, preview):
    """All that going back needs is the Service, and the previous version's slot and ready pods."""
    world, release = EXAMPLES.live
    lies(world, [*changes, *([(SERVICE, {mochi.PREVIEW}, ("spec",), 3)] if preview else [])])
    now = world.clock.now()
    release = replace(release, phase=Phase.REVERTING, since=now)
    view = asyncio.run(world.backend.look(world.app, release))
    assert decide(release, world.app, view.snapshot, Ballots(()), now).order is Order.REVERT
    write = view.plan(Order.REVERT, actor="sam")
    assert (write.kind, write.name) == ("Service", mochi.ACTIVE)
    assert {"op": "remove", "path": "/spec/selector/greenlight.dev~1release"} in write.patch


@given(changes=st.lists(lie(EVERYTHING), min_size=1, max_size=3))
def test_i9_a_release_that_is_asked_for_while_objects_lie_begins_or_is_refused(changes):
    world, _ = EXAMPLES.live
    lies(world, changes)
    try:
        start = asyncio.run(world.backend.start(world.app))
    except ClusterError as error:
        assert str(error)  # noqa: PT017 - either is right
        return
    assert start.slot in (mochi.LIVE, mochi.IDLE)


WHAT_MATTERS_NOT = [
    (DEPLOYMENT, {mochi.IDLE}, ("spec", "template"), 7),
    (POD, set(EXAMPLES.green), ("metadata", "labels"), GONE),
    (ENDPOINT_SLICE, None, ("endpoints",), {}),
    (SERVICE, {mochi.PREVIEW}, ("spec",), None),
]


@pytest.mark.parametrize("change", WHAT_MATTERS_NOT, ids=lambda change: change[0].name)
async def test_i10_a_rollback_is_one_write_whatever_cannot_be_read_of_the_candidate(world, change):
    release = await world.release_live()
    kind, names, path, instead = change
    if kind == POD:
        names = {name(pod) for pod in world.cluster.objects.items("pods", NAMESPACE, f"{LABEL}={release.label}")}
    lies(world, [(kind, names, path, instead)])
    writes = len(world.api.writes)
    await world.desk.ask(world.app.name, 1, Verb.ROLL_BACK, SAM)
    await world.controller.attempt(world.app)
    assert [(write.kind, write.name) for write in world.api.writes[writes:]] == [("Service", mochi.ACTIVE)]
    assert world.service["spec"]["selector"] == release.previous.selector


@pytest.mark.parametrize(
    "call", ["get Deployment/mochiapp-green", "get Service/mochiapp-preview", "list EndpointSlice"]
)
@pytest.mark.parametrize("error", [Away("no answer"), Forbidden("may not")])
async def test_i10_a_rollback_does_not_wait_for_answers_that_it_does_not_need(world, call, error):
    release = await world.release_live()

    def fault(called):
        if called == call:
            raise error

    world.api.fault = fault
    await world.desk.ask(world.app.name, 1, Verb.ROLL_BACK, SAM)
    await world.controller.attempt(world.app)
    assert world.service["spec"]["selector"] == release.previous.selector


@pytest.mark.parametrize("call", ["get Deployment/mochiapp-blue", "get Service/mochiapp", "list Pod"])
async def test_i5_where_the_way_back_is_not_known_nothing_is_written_and_nothing_is_given_up(world, call):
    await world.release_live()

    def fault(called):
        if called == call:
            raise Away("no answer")

    world.api.fault = fault
    await world.desk.ask(world.app.name, 1, Verb.ROLL_BACK, SAM)
    writes = len(world.api.writes)
    for _ in range(3):
        await world.advance(minutes=20)
    assert (await world.phase(), len(world.api.writes)) == (Phase.REVERTING, writes)
    world.api.fault = None
    assert (await world.run()).phase is Phase.REVERTED
