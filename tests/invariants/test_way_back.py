"""I10 and I11: the way back is always open, needs nobody but the cluster, and stays warm as long as was promised."""

import asyncio

import pytest
from story import ACTIVE, BLUE, GREEN, PREVIEW, agree, by_hand, cached, replicas, running, scaled_by_hand, switches_to

from bot.clusters.errors import Away, Forbidden
from bot.registry import RegistryError
from bot.release.app import Timing
from bot.release.machine import DRAIN
from bot.release.record import Cause, Phase
from bot.release.verbs import Verb
from world import KIM, LEO, NAMESPACE, REPOSITORY, SAM

LONG = (2 * Timing().stage_within).total_seconds()


class Broken:
    def changed(self, release):
        raise RuntimeError("the card cannot be drawn")


def everything_else_is_down(world) -> None:
    world.shelf.away = RegistryError("the registry is away")
    world.crowd.away = True
    world.controller._drawing._cards = Broken()


async def staging(world):
    await world.deploy("slow")


async def ready(world):
    await world.deploy()
    await world.approve(KIM)


async def promoting(world):
    """The intent is stored, and nothing written yet."""
    await ready(world)
    world.api.fault = lambda call: (_ for _ in ()).throw(asyncio.CancelledError) if "patch" in call else None
    with pytest.raises(asyncio.CancelledError):
        await world.approve(LEO)
    world.api.fault = None


async def switched(world):
    """The switch is made, and no pod answers."""
    await ready(world)

    def die(call: str) -> None:
        if "patch" in call:
            world.api.fault = None
            scaled_by_hand(world, GREEN, 0)

    world.api.fault = die
    await world.approve(LEO)


async def baking(world):
    await world.release_live()


async def done(world):
    await world.release_live()
    await world.advance(minutes=6)


async def abandoned(world):
    await world.release_live()
    other = {"name": "myapp", "image": f"{REPOSITORY}:purple", "ports": [{"name": "http", "containerPort": 8080}]}
    by_hand(world, "deployments", GREEN, {"spec": {"template": {"spec": {"containers": [other]}}}})
    await world.run()


PHASES = {
    staging: (Phase.STAGING, 0),
    ready: (Phase.READY, 0),
    promoting: (Phase.PROMOTING, 0),
    switched: (Phase.PROMOTING, 1),
    baking: (Phase.BAKING, 1),
    done: (Phase.DONE, 1),
    abandoned: (Phase.ABANDONED, 1),
}


@pytest.mark.parametrize("reach", PHASES, ids=lambda reach: reach.__name__)
async def test_i10_a_rollback_is_taken_in_every_phase_and_moves_the_traffic_with_one_write(world, reach):
    """Registry, Discord's roles and cards are down."""
    await reach(world)
    phase, moves = PHASES[reach]
    assert await world.phase() is phase
    everything_else_is_down(world)
    before, switches, asked = len(world.switches()), len(switches_to(world, await world.newest())), world.crowd.asked
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM, "broken")
    async with running(world) as rest:
        await rest()
        moved = world.switches()[before:]
        world.cluster.settle()
        assert world.serving() == {"blue"}
        back = [sent for sent in moved if any(op["path"].startswith("/spec/selector/greenlight") for op in sent.patch)]
        assert len(back) == moves
        assert all(sent.ready_before == 2 for sent in back)
        for _ in range(4):
            world.cluster.advance(DRAIN.total_seconds())
            await rest()
    release = await world.newest()
    assert (release.phase, release.by.name) == (Phase.REVERTED, "sam")
    assert agree(world, release)
    assert len(switches_to(world, release)) == switches
    assert world.crowd.asked == asked  # who waits for Discord would be too late
    assert world.crowd.asked == asked


@pytest.mark.parametrize("reach", [switched, baking, done], ids=lambda reach: reach.__name__)
async def test_i10_a_rollback_that_begins_with_the_cache_waits_for_nobody_either(world, reach):
    """It is looked afresh, at the cluster alone: who waits for Discord would be five seconds late."""
    await reach(world)
    await cached(world)
    asked = world.crowd.asked
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    await world.controller.attempt(world.app)
    world.cluster.settle()
    assert (world.serving(), world.crowd.asked) == ({"blue"}, asked)


async def preview_deleted(world):
    world.cluster.objects.delete("services", NAMESPACE, PREVIEW)


async def candidate_deleted(world):
    world.cluster.objects.delete("deployments", NAMESPACE, GREEN)


async def candidate_has_a_sidecar(world):
    """Which of the two containers a release changes cannot be told any more."""
    slot = world.cluster.objects.get("deployments", NAMESPACE, GREEN)
    spec = slot["spec"]["template"]["spec"]
    spec["containers"].append({"name": "logs", "image": "registry.example.com/logs:1"})
    by_hand(world, "deployments", GREEN, {"spec": {"template": {"spec": spec}}})


async def autoscalers_forbidden(world):
    def fault(call: str) -> None:
        if "Autoscaler" in call:
            raise Forbidden("list horizontalpodautoscalers")

    world.api.fault = fault


async def candidate_dead(world):
    scaled_by_hand(world, GREEN, 0)


async def api_server_restarted(world):
    left = iter(range(25))

    def fault(call: str) -> None:
        if next(left, None) is not None:
            raise Away("no answer")

    world.api.fault = fault


TROUBLES = [
    preview_deleted,
    candidate_deleted,
    candidate_has_a_sidecar,
    autoscalers_forbidden,
    candidate_dead,
    api_server_restarted,
]


@pytest.mark.parametrize("looked", [True, False], ids=["after a look", "at once"])
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
async def test_i10_nothing_that_is_missing_keeps_anybody_from_going_back(world, trouble, looked):
    await world.release_live()
    before = len(world.switches())
    await trouble(world)
    if looked:
        await world.run()
    async with running(world) as rest:
        await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
        for _ in range(10):
            await rest()
        world.cluster.settle()
    assert world.serving() == {"blue"}
    assert len(world.switches()) == before + 1
    assert world.switches()[-1].ready_before == 2


async def test_i10_a_cold_rollback_moves_the_traffic_when_the_old_version_is_ready(world):
    """Never to an empty side: blue is started first, and its pods take a while."""
    await world.release_live()
    await world.advance(hours=2)
    assert replicas(world, BLUE) == 0
    before = len(world.switches())
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    await world.controller.attempt(world.app)
    assert (replicas(world, BLUE), len(world.switches()), world.serving()) == (2, before, {"green"})
    await world.run()
    assert (world.serving(), len(world.switches())) == ({"blue"}, before + 1)


@pytest.mark.parametrize("unread", [f"get Deployment/{GREEN}", "list EndpointSlice", "list Pod"])
async def test_i1_what_cannot_be_read_of_the_live_side_is_not_taken_for_empty(world, unread):
    """A side that is started anew waits until it can carry all, unless what is live is known to carry nothing."""
    await world.release_live()
    await world.advance(hours=2)
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    await world.controller.attempt(world.app)
    world.cluster.settle()
    [starting, _] = world.cluster.objects.items("pods", NAMESPACE, "color=blue")
    world.cluster.objects.delete("pods", NAMESPACE, starting["metadata"]["name"])
    before, failing = len(world.switches()), True

    def fault(call):
        if failing and call == unread:
            raise Away("the API server answered 500")

    world.api.fault = fault
    await world.controller.attempt(world.app)
    assert (len(world.switches()), world.serving()) == (before, {"green"})
    failing = False
    await world.advance(minutes=1)
    assert (len(world.switches()), world.serving()) == (before + 1, {"blue"})


async def test_i10_a_way_back_that_does_not_exist_any_more_is_said_and_not_taken(world):
    """Somebody put another image into blue: going there would serve what nobody approved."""
    await world.release_live()
    slot = world.cluster.objects.get("deployments", NAMESPACE, BLUE)
    slot["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.com/mochi:purple"
    by_hand(world, "deployments", BLUE, {"spec": {"template": slot["spec"]["template"]}})
    world.cluster.settle()
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    release = await world.run()
    assert (release.phase, release.cause, world.serving()) == (Phase.ABANDONED, Cause.FOREIGN, {"green"})
    assert "kubectl" in release.reason


async def test_i11_the_old_version_keeps_its_pods_until_the_warm_time_is_over(world):
    release = await world.release_live()
    warm_for = world.app.timing.warm_for.total_seconds()
    for seconds in (1, 30, 300, warm_for - 332):
        release = await world.advance(seconds=seconds)
        assert (release.retired, replicas(world, BLUE)) == (False, 2)
        pods = world.cluster.objects.items("pods", NAMESPACE, labels="color=blue")
        assert len(pods) == 2
    release = await world.advance(seconds=1)
    assert (release.retired, replicas(world, BLUE), world.serving()) == (True, 0, {"green"})


async def test_i11_capacity_is_released_earlier_only_when_somebody_asks_and_connections_had_their_time(world):
    await done(world)
    await world.desk.ask("mochi", 1, Verb.RELEASE_CAPACITY, SAM)
    assert (await world.run()).retired
    assert replicas(world, BLUE) == 0


async def test_i11_the_old_version_stays_warm_while_the_new_one_does_not_answer(world):
    """The way back is never given up while it may be needed, and is given up once it is not."""
    await done(world)
    scaled_by_hand(world, GREEN, 0)
    release = await world.advance(hours=1)
    assert (release.retired, replicas(world, BLUE)) == (False, 2)
    scaled_by_hand(world, GREEN, 2)
    async with running(world) as rest:
        await rest()
        world.controller.changed("", NAMESPACE)
        await rest()
    assert replicas(world, BLUE) == 0


async def test_i11_nothing_of_the_live_version_is_ever_scaled_or_changed(world):
    """Also not by a release that goes nowhere, and not by one after another."""
    await world.deploy()
    await world.desk.ask("mochi", 1, Verb.REJECT, KIM)
    await world.run()
    await world.advance(minutes=1)
    assert not [sent for sent in world.api.writes if sent.name == BLUE]
    await world.release_live("purple")
    await world.advance(hours=2)
    world.api.writes.clear()
    await world.deploy("green")
    await world.advance(minutes=31)
    await world.advance(minutes=1)
    assert (await world.phase(), world.serving()) == (Phase.REVERTED, {"purple"})
    assert not [sent for sent in world.api.writes if sent.name == GREEN]
    assert {sent.name for sent in world.api.writes} <= {ACTIVE, PREVIEW, BLUE}


async def a_bot_that_is_down(world):
    await world.restart()
    world.cluster.advance(LONG)


async def an_api_server_that_is_away(world):
    for _ in range(int(LONG / 60)):
        world.cluster.advance(60)
        await world.controller.attempt(world.app)


@pytest.mark.parametrize("away", [a_bot_that_is_down, an_api_server_that_is_away], ids=lambda away: away.__name__)
async def test_i10_a_cold_way_back_is_not_given_up_for_the_time_in_which_nobody_could_look(world, away):
    """It needs pods that are started anew, and whoever comes back late has asked for none yet."""
    await world.release_live()
    for _ in range(8):
        await world.advance(minutes=10)
    assert replicas(world, BLUE) == 0

    def unreachable(call):
        raise Away("no answer")

    world.api.fault = unreachable
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    await world.controller.attempt(world.app)
    await away(world)
    world.api.fault = None
    await world.run()
    await world.advance(seconds=30)
    release = await world.newest()
    assert (release.phase, world.serving()) == (Phase.REVERTED, {"blue"})
