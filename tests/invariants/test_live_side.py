"""I3, I9, I12: what others do to the live side while a release waits: it stays reachable, and as much stands by."""

import pytest
from story import ACTIVE, BLUE, GREEN, Onlooker, by_hand, replicas, scaled_by_hand, switches_to

from bot.clusters.api import AUTOSCALER, DEPLOYMENT, Listing
from bot.clusters.cluster import LABEL
from bot.clusters.errors import Away, ClusterError, Forbidden
from bot.clusters.reading import HASH, selector
from bot.release.record import Phase
from bot.release.verbs import Verb
from mochi import mochi
from world import ANN, KIM, LEO, NAMESPACE, REPOSITORY, SAM, World, example


@pytest.fixture
async def alike(tmp_path):
    """The live pods have no label that the idle slot's have not: the adoption narrows the Service to their hash."""
    made = World(tmp_path / "greenlight.db", example())
    await made.start()
    await made.store.close()
    objects = mochi(NAMESPACE, live_image=f"{REPOSITORY}:blue", selector={"app": "mochi"})
    for item in objects:
        if item["kind"] == "Deployment":
            labels = {"app": "mochi"} | ({"slot": "b"} if item["metadata"]["name"] == GREEN else {})
            item["spec"]["selector"]["matchLabels"] = labels
            item["spec"]["template"]["metadata"]["labels"] = labels
    again = World(made.database, example())
    again.cluster.apply(objects)
    again.cluster.settle()
    again.build()
    yield again
    await again.store.close()


def restart_live(world, when: str = "now") -> None:
    note = {"kubectl.kubernetes.io/restartedAt": when}
    by_hand(world, "deployments", BLUE, {"spec": {"template": {"metadata": {"annotations": note}}}})


def autoscaled(world, *slots: str, error: Exception | None = None) -> None:
    listed = world.api.list
    targets = [{"kind": DEPLOYMENT.name, "name": slot} for slot in slots]

    async def with_autoscalers(kind, namespace, *, labels=""):
        if kind != AUTOSCALER:
            return await listed(kind, namespace, labels=labels)
        if error:
            raise error
        return Listing([{"spec": {"scaleTargetRef": target}} for target in targets], "1")

    world.api.list = with_autoscalers


async def test_i3_live_pods_that_get_another_hash_are_followed_and_nobody_else_is_let_in(alike):
    await alike.deploy("green")
    onlooker = Onlooker(alike, "blue")
    narrowed = selector(alike.service)
    for when in ("now", "later"):
        restart_live(alike, when)
        release = await alike.advance(minutes=2)
        assert (release.phase, alike.serving()) == (Phase.READY, {"blue"})
        assert selector(alike.service).keys() == {"app", HASH}
        assert selector(alike.service) != narrowed
        narrowed = selector(alike.service)
    assert onlooker.strangers == []
    assert (await alike.approve(KIM, LEO)).phase is Phase.BAKING


async def test_what_comes_after_a_restart_of_live_pods_goes_as_ever(alike):
    """Taken back before the switch, and after it, when the way back has another hash than it had."""
    await alike.deploy("green")
    restart_live(alike)
    release = await alike.advance(minutes=2)
    await alike.desk.ask("mochi", release.number, Verb.REJECT, KIM)
    release = await alike.run()
    assert (release.phase, release.retired, alike.serving()) == (Phase.REVERTED, True, {"blue"})
    assert selector(alike.service) == {"app": "mochi"}
    await alike.release_live("green")
    restart_live(alike, "later")
    await alike.advance(seconds=40)
    await alike.desk.ask("mochi", 2, Verb.ROLL_BACK, SAM)
    release = await alike.advance(seconds=1)
    assert (release.phase, alike.serving()) == (Phase.REVERTED, {"blue"})


async def test_a_release_that_was_left_because_live_was_changed_leaves_no_outage_behind(alike):
    """Only our own selector keeps the pods out that somebody else rolled out."""
    await alike.deploy("green")
    containers = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"{REPOSITORY}:purple"}]
    alike.cluster.objects.patch("deployments", NAMESPACE, BLUE, containers, "application/json-patch+json")
    await alike.controller.attempt(alike.app)
    assert await alike.phase() is Phase.ABANDONED
    assert "mochi" not in alike.controller._resting
    await alike.advance(minutes=2)
    assert alike.serving() == {"purple"}


async def test_the_hash_of_the_candidate_is_no_way_in(alike):
    release = await alike.deploy("green")
    pods = alike.cluster.objects.items("pods", NAMESPACE, f"{LABEL}={release.label}")
    theirs = pods[0]["metadata"]["labels"][HASH]
    by_hand(alike, "services", ACTIVE, {"spec": {"selector": {HASH: theirs}}})
    assert (await alike.run()).phase is Phase.ABANDONED


async def test_following_costs_one_write_for_a_restart(alike):
    await alike.deploy("green")
    before = len(alike.api.writes)
    restart_live(alike)
    await alike.advance(minutes=2)
    assert len(alike.api.writes) == before + 1
    told = [event.text for event in await alike.store.events(await alike.newest()) if event.kind == "written"]
    assert told[-1].startswith("point mochiapp to the restarted pods of mochiapp-blue (")


async def test_i9_a_candidate_grows_with_what_is_live_before_it_is_switched_to(world):
    """A day may lie between staging and approval, and ten pods' traffic is too much for two."""
    await world.deploy()
    scaled_by_hand(world, BLUE, 5)
    await world.approve(KIM, LEO)
    assert (world.switches()[-1].ready_before, replicas(world, GREEN)) == (5, 5)
    texts = [event.text for event in await world.store.events(await world.newest())]
    assert any(text.startswith("scale mochiapp-green to 5, as many as are live (") for text in texts)


async def test_a_candidate_is_neither_scaled_down_nor_started_against_somebodys_will(world):
    await world.deploy()
    scaled_by_hand(world, BLUE, 1)
    await world.run()
    assert replicas(world, GREEN) == 2
    scaled_by_hand(world, GREEN, 0)
    await world.run()
    assert replicas(world, GREEN) == 0


async def test_an_autoscaled_candidate_is_left_to_its_autoscaler(world):
    autoscaled(world, GREEN)
    await world.deploy()
    scaled_by_hand(world, BLUE, 5)
    await world.approve(KIM, LEO)
    assert (await world.phase(), replicas(world, GREEN)) == (Phase.BAKING, 2)


async def test_who_may_not_list_autoscalers_has_as_many_candidates_as_are_live(world):
    """The manifest says that the right may be left out."""
    autoscaled(world, error=Forbidden("Greenlight may not list horizontalpodautoscalers"))
    await world.deploy()
    scaled_by_hand(world, BLUE, 5)
    await world.approve(KIM, LEO)
    assert (await world.phase(), replicas(world, GREEN)) == (Phase.BAKING, 5)


async def test_i9_while_it_cannot_be_told_who_scales_the_candidate_nothing_is_switched(world):
    release = await world.deploy()
    scaled_by_hand(world, BLUE, 5)
    autoscaled(world, error=Away("no answer"))
    assert (await world.approve(KIM, LEO)).phase is Phase.READY
    assert (switches_to(world, release), replicas(world, GREEN)) == ([], 2)
    assert world.controller.moments["mochi"].trouble == (
        "it cannot be told right now whether mochiapp-green is autoscaled"
    )


async def test_nobody_asks_who_scales_what_where_that_decides_nothing(world):
    """Both sides are equally large: every call that is not made before the switch makes it quicker."""
    await world.deploy()
    assert "list HorizontalPodAutoscaler" in world.api.calls
    world.api.calls.clear()
    assert (await world.approve(KIM, LEO)).phase is Phase.BAKING
    assert "list HorizontalPodAutoscaler" not in world.api.calls


async def test_i10_a_rollback_does_not_ask_who_scales_what(world):
    await world.release_live()
    autoscaled(world, error=Away("no answer"))
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    assert ((await world.run()).phase, world.serving()) == (Phase.REVERTED, {"blue"})


async def test_a_slot_whose_autoscaler_cannot_be_read_keeps_its_pods_until_it_can(world):
    by_hand(world, "services", ACTIVE, {"spec": {"selector": {"color": "blue"}}})
    scaled_by_hand(world, GREEN, 1)
    autoscaled(world, GREEN, error=Away("no answer"))
    await world.desk.deploy(world.app, "green", ANN)
    await world.run()
    assert (await world.phase(), replicas(world, GREEN)) == (Phase.STAGING, 1)
    autoscaled(world, GREEN)
    await world.run()
    assert (await world.phase(), replicas(world, GREEN)) == (Phase.READY, 1)


async def test_links_are_not_forgotten_because_the_api_server_is_away(world):
    """Who asks keeps those that it has; only what is not served, or not to be read, has none."""
    assert (await world.backend.links(world.app)).production == "https://mochi.example.com/"

    def fault(call: str) -> None:
        raise Away("no answer")

    world.api.fault = fault
    with pytest.raises(ClusterError, match="no answer"):
        await world.backend.links(world.app)
