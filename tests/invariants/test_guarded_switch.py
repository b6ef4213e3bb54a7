"""I1 and I6: no switch without a fresh look at what it switches to, and none over what somebody else did meanwhile."""

import pytest
from story import ACTIVE, BLUE, GREEN, Onlooker, agree, by_hand, cached, replicas, scaled_by_hand, switches_to

from bot.clusters.cluster import LABEL
from bot.clusters.errors import Away
from bot.release.record import Cause, Phase
from bot.release.snapshot import FRESH_FOR
from bot.release.verbs import Verb
from world import KIM, LEO, NAMESPACE, SAM

READ = {f"get Service/{ACTIVE}", f"get Deployment/{GREEN}", "list EndpointSlice", "list Pod"}
SWITCH = f"patch Service/{ACTIVE}"


def at_the_switch(world, happens) -> None:
    """Once, between the last look and the write."""

    def fault(call: str) -> None:
        if call == SWITCH:
            world.api.fault = None
            happens()

    world.api.fault = fault


async def kinds(world) -> list[str]:
    return [event.kind for event in await world.store.events(await world.newest())]


async def test_i1_everything_is_read_again_in_the_attempt_that_switches(world):
    await world.deploy()
    await world.approve(KIM)
    await world.desk.vote(await world.newest(), LEO, approve=True)
    world.api.calls.clear()
    await world.controller.attempt(world.app)
    before = world.api.calls[: world.api.calls.index(SWITCH)]
    assert set(before) >= READ
    assert world.switches()[-1].ready_before == 2


async def test_i1_what_the_cache_says_never_moves_traffic(world):
    """The cache still shows two ready pods, and they are gone."""
    await world.deploy()
    await cached(world)
    scaled_by_hand(world, GREEN, 0)
    release = await world.approve(KIM, LEO)
    assert release.phase is Phase.READY
    assert switches_to(world, release) == []
    scaled_by_hand(world, GREEN, 2)
    await cached(world)
    release = await world.run()
    assert len(switches_to(world, release)) == 1


async def test_i1_a_switch_whose_intent_took_long_to_record_is_decided_anew(world):
    """A database that is busy for seconds: the look would be that much older when the switch arrives."""
    await world.deploy()
    store, slow = world.store, [True]
    update = store.update

    async def busy(release, *events):
        stored = await update(release, *events)
        if slow and any(event.kind == "intent" and event.detail["order"] == "promote" for event in events):
            slow.clear()
            world.cluster.advance(3)
        return stored

    store.update = busy
    release = await world.approve(KIM, LEO)
    assert release.phase is Phase.BAKING
    kinds = [event.kind for event in await store.events(release) if event.kind in {"intent", "failed", "written"}]
    assert kinds[-4:] == ["intent", "failed", "intent", "written"]
    assert len(switches_to(world, release)) == 1


async def test_i1_a_look_that_became_old_is_taken_again(world):
    """Discord took its time to name the roles."""
    await world.deploy()
    await world.approve(KIM)
    people, slow = world.crowd.people, [True]

    async def slowly(ids):
        if slow:
            slow.pop()
            world.cluster.advance(FRESH_FOR.total_seconds() + 1)
        return await people(ids)

    world.crowd.people = slowly
    await world.desk.vote(await world.newest(), LEO, approve=True)
    world.api.calls.clear()
    await world.controller.attempt(world.app)
    before = world.api.calls[: world.api.calls.index(SWITCH)]
    # One to see that it is time, one beside the slow Discord, and one because that was too slow.
    assert before.count(f"get Deployment/{GREEN}") == 3
    assert world.crowd.asked == 2


@pytest.mark.parametrize("way", ["there", "back"])
async def test_i1_a_look_that_took_too_long_is_taken_again(world, way):
    """The API server took its time; what it said first may be over."""
    if way == "there":
        await world.deploy()
        await world.approve(KIM)
        await world.desk.vote(await world.newest(), LEO, approve=True)
    else:
        await world.release_live()
        await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    world.api.calls.clear()

    def slowly(call: str) -> None:
        if call == "list EndpointSlice" and world.api.calls.count(call) == 1:
            world.cluster.advance(FRESH_FOR.total_seconds() + 1)

    world.api.fault = slowly
    await world.controller.attempt(world.app)
    before = world.api.calls[: world.api.calls.index(SWITCH)]
    assert before.count("list EndpointSlice") == 2


async def test_i1_what_the_cache_says_never_takes_pods_away(world):
    """The cache still shows green live; somebody gave the traffic back to blue, whose warm time is now over."""
    await world.release_live()
    await world.advance(minutes=6)
    await cached(world)
    selector = {LABEL: None, "color": "blue"}
    by_hand(world, "services", ACTIVE, {"spec": {"selector": selector}})
    world.cluster.advance(3600)
    await world.controller.attempt(world.app)
    assert (replicas(world, BLUE), world.serving()) == (2, {"blue"})


@pytest.mark.parametrize("ready", [0, 1])
async def test_i1_a_side_that_is_not_complete_gets_no_traffic(world, ready):
    await world.deploy()
    pods = [pod for pod in world.cluster.objects.items("pods", NAMESPACE) if pod["metadata"]["name"].startswith(GREEN)]
    for pod in pods[ready:]:
        status = {**pod["status"], "conditions": [{"type": "Ready", "status": "False"}]}
        with world.cluster.paused():
            body = {**pod, "status": status}
            world.cluster.objects.replace("pods", NAMESPACE, pod["metadata"]["name"], body, subresource="status")
    release = await world.newest()
    for person in (KIM, LEO):
        await world.desk.vote(release, person, approve=True)
    await world.store.events(release)
    for controller in world.cluster.controllers:
        if type(controller).__name__ != "Kubelet":
            controller.step(world.cluster.objects, world.cluster.now())
    await world.controller.attempt(world.app)
    assert switches_to(world, release) == []
    assert f"{ready} of 2 pods ready" in world.controller.moments["mochi"].reason


async def test_i1_pods_that_die_between_the_look_and_the_switch_cost_no_more_than_the_grace(world):
    """The two are different objects, so it cannot be ruled out; it is noticed, and taken back."""
    await world.deploy()
    at_the_switch(world, lambda: scaled_by_hand(world, GREEN, 0))
    release = await world.approve(KIM, LEO)
    assert (release.phase, len(switches_to(world, release)), world.serving()) == (Phase.PROMOTING, 1, set())
    grace = world.app.timing.grace.total_seconds()
    assert await world.advance(seconds=grace - 1)
    assert world.serving() == set()
    release = await world.advance(seconds=1)
    assert (release.cause, world.serving()) == (Cause.EMPTY, {"blue"})
    release = await world.advance(minutes=1)
    assert release.phase is Phase.REVERTED
    assert agree(world, release)
    assert len(switches_to(world, release)) == 1


async def test_i1_a_release_whose_pods_die_while_it_is_watched_goes_back(world):
    release = await world.release_live("flaky")
    assert (release.phase, world.serving()) == (Phase.BAKING, {"flaky"})
    await world.advance(seconds=30)
    release = await world.advance(seconds=10)
    assert (release.phase, release.cause, world.serving()) == (Phase.REVERTED, Cause.EMPTY, {"blue"})


async def test_i1_pods_that_come_back_within_the_grace_keep_the_traffic(world):
    release = await world.release_live()
    scaled_by_hand(world, GREEN, 0)
    await world.run()
    await world.advance(seconds=5)
    scaled_by_hand(world, GREEN, 2)
    await world.run()
    release = await world.advance(seconds=9)
    assert (release.phase, release.empty_since, world.serving()) == (Phase.BAKING, None, {"green"})


async def test_i6_a_change_of_the_service_between_look_and_switch_is_looked_at_first(world):
    """Somebody only annotated it: the write is refused, everything is looked at again, then it is switched."""
    await world.deploy()
    note = {"metadata": {"annotations": {"team": "cats"}}}
    at_the_switch(world, lambda: by_hand(world, "services", ACTIVE, note))
    release = await world.approve(KIM, LEO)
    assert (release.phase, len(switches_to(world, release))) == (Phase.BAKING, 1)
    assert world.service["metadata"]["annotations"]["team"] == "cats"
    assert (await kinds(world)).count("refused") == 1


async def test_i6_traffic_that_somebody_moved_between_look_and_switch_stays_where_it_was_put(world):
    await world.deploy()
    at_the_switch(world, lambda: by_hand(world, "services", ACTIVE, {"spec": {"selector": {"color": "red"}}}))
    release = await world.approve(KIM, LEO)
    assert (release.phase, release.cause) == (Phase.ABANDONED, Cause.FOREIGN)
    assert "kubectl" in release.reason
    assert world.service["spec"]["selector"]["color"] == "red"
    assert switches_to(world, release) == []


async def test_i6_the_way_back_does_not_overwrite_either(world):
    release = await world.release_live()
    at_the_switch(world, lambda: by_hand(world, "services", ACTIVE, {"spec": {"selector": {"color": "red"}}}))
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    release = await world.run()
    assert release.phase is Phase.ABANDONED
    assert world.service["spec"]["selector"]["color"] == "red"


async def test_i6_a_slot_that_somebody_changed_before_it_was_staged_is_looked_at_first(world):
    def meddle(call: str) -> None:
        if call == f"patch Deployment/{GREEN}":
            world.api.fault = None
            containers = [{"name": "myapp", "image": "registry.example.com/mochi:purple"}]
            spec = world.cluster.objects.get("deployments", NAMESPACE, GREEN)["spec"]["template"]["spec"]
            template = {"spec": {**spec, "containers": [{**spec["containers"][0], **containers[0]}]}}
            by_hand(world, "deployments", GREEN, {"spec": {"template": template}})

    world.api.fault = meddle
    release = await world.deploy()
    assert (await kinds(world)).count("refused") == 1
    assert (release.phase, replicas(world, GREEN)) == (Phase.READY, 2)


async def test_i6_capacity_of_a_slot_that_somebody_uses_meanwhile_is_not_taken(world):
    """Blue was to be scaled down; somebody put another image there in that moment."""
    await world.release_live()

    def meddle(call: str) -> None:
        if call == f"patch Deployment/{BLUE}":
            world.api.fault = None
            slot = world.cluster.objects.get("deployments", NAMESPACE, BLUE)
            slot["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.com/mochi:purple"
            by_hand(world, "deployments", BLUE, {"spec": {"template": slot["spec"]["template"]}})

    await world.advance(minutes=6)
    world.api.fault = meddle
    await world.advance(hours=1)
    assert world.api.fault is None
    assert replicas(world, BLUE) == 2


@pytest.mark.parametrize("took_place", [True, False])
async def test_i2_a_switch_whose_answer_is_lost_is_read_before_it_is_written_again(world, took_place):
    await world.deploy()

    def lost(_: object) -> None:
        world.api.fault = world.api.after = None
        raise Away("no answer")

    if took_place:
        world.api.after = lost
    else:
        world.api.fault = lambda call: lost(call) if call == SWITCH else None
    release = await world.approve(KIM, LEO)
    assert (release.phase, len(switches_to(world, release)), world.serving()) == (Phase.BAKING, 1, {"green"})
    assert (await kinds(world)).count("unknown") == 1


async def test_i2_a_switch_that_somebody_took_back_before_its_answer_was_known_is_not_repeated(world):
    """The Service still carries the note of our switch, so it was made, and one approval is one switch."""
    await world.deploy()
    onlooker = Onlooker(world, "blue", "green")

    def taken_back(_: object) -> None:
        world.api.after = None
        previous = {**dict.fromkeys(world.service["spec"]["selector"]), "app": "mochi", "color": "blue"}
        by_hand(world, "services", ACTIVE, {"spec": {"selector": previous}})
        raise Away("no answer")

    world.api.after = taken_back
    release = await world.approve(KIM, LEO)
    assert (release.phase, len(switches_to(world, release)), world.serving()) == (Phase.ABANDONED, 1, {"blue"})
    assert (onlooker.strangers, onlooker.looks > 0) == ([], True)
