"""The main job in process, told as stories: what a small team would see happen to its app."""

import pytest

from bot.release.errors import Refused
from bot.release.record import Cause, Phase
from bot.release.verbs import Verb
from world import ANN, KIM, LEO, QC, SAM


def replicas(world, slot: str) -> int:
    return world.cluster.objects.get("deployments", "mochi", slot)["spec"]["replicas"]


async def test_a_release_goes_live_and_back_home(world):
    await world.deploy("green")
    assert (await world.phase(), world.serving()) == (Phase.READY, {"blue"})

    await world.approve(KIM, LEO)
    assert (await world.phase(), world.serving()) == (Phase.BAKING, {"green"})

    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM, "logo is wrong")
    release = await world.run()
    assert (release.phase, release.cause, world.serving()) == (Phase.REVERTED, Cause.ROLLED_BACK, {"blue"})


async def test_a_cold_rollback_redeploys_and_then_gives_the_capacity_back(world):
    """The old pods are gone, so they are started first; the traffic moves when all are ready, then ours go."""
    await world.release_live("green")
    await world.advance(hours=2)
    assert replicas(world, "mochiapp-blue") == 0

    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    await world.run()
    assert (await world.phase(), world.serving()) == (Phase.REVERTED, {"blue"})
    assert replicas(world, "mochiapp-green") == 2

    await world.advance(minutes=1)
    assert replicas(world, "mochiapp-green") == 0
    assert replicas(world, "mochiapp-blue") == 2


async def test_nothing_comes_of_a_rejected_release(world):
    """The slot, the preview and the Service's selector are as they were."""
    before = world.service["spec"]["selector"]
    await world.deploy("green")
    await world.desk.ask("mochi", 1, Verb.REJECT, KIM, "not today")
    await world.run()
    await world.advance(minutes=1)

    assert world.service["spec"]["selector"] == before
    assert replicas(world, "mochiapp-green") == 0
    assert world.serving() == {"blue"}


async def test_a_version_that_was_rolled_back_needs_a_second_word(world):
    await world.release_live("green")
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM, "500s everywhere")
    await world.run()
    await world.advance(minutes=1)

    with pytest.raises(Refused, match=r"was rolled back as mochi #1 .500s everywhere.*replace:True"):
        await world.desk.deploy(world.app, "green", ANN)
    assert (await world.deploy("green", replace=True)).number == 2


async def test_a_slot_that_has_just_lost_the_traffic_is_not_used_at_once(world):
    """Open connections end on the old pods: a new candidate in their place would cut them."""
    await world.release_live("green")

    with pytest.raises(Refused, match="went live a moment ago"):
        await world.desk.deploy(world.app, "purple", ANN, replace=True)
    await world.advance(minutes=1)
    assert (await world.deploy("purple", replace=True)).number == 2


async def test_only_the_roles_that_the_policy_names_may_act(world):
    with pytest.raises(Refused, match=f"Only <@&{1001}> may deploy mochi"):
        await world.desk.deploy(world.app, "green", KIM)
    release = await world.deploy("green")
    assert f"<@&{QC}>" in str(await world.desk.vote(release, SAM, True))
    with pytest.raises(Refused, match="may roll back mochi"):
        await world.desk.ask("mochi", 1, Verb.ROLL_BACK, ANN)


async def test_crashing_pods_are_taken_back_with_their_own_words(world):
    await world.deploy("crash")
    release = await world.advance(minutes=1)

    assert (release.phase, release.cause) == (Phase.REVERTED, Cause.FAILED)
    assert "missing environment variable FLAVOUR" in release.reason
    assert world.serving() == {"blue"}


async def test_going_back_further_redeploys_without_asking_anybody(world):
    """Green is live, purple was rejected and used up blue's slot: blue must come back all the same, at night."""
    await world.release_live("green")
    await world.advance(hours=2)
    await world.deploy("purple")
    await world.desk.ask("mochi", 2, Verb.REJECT, KIM)
    await world.run()

    restoring = await world.desk.roll_back(world.app, SAM, "500s everywhere")
    assert (restoring.number, restoring.restores) == (3, 1)
    await world.run()

    assert (await world.phase(), world.serving()) == (Phase.BAKING, {"blue"})
    assert replicas(world, "mochiapp-green") == 2, "the version that was taken back stays warm, as after any switch"


async def test_whoever_presses_second_takes_nothing_further_back(world):
    await world.release_live("green")
    await world.desk.roll_back(world.app, SAM)
    await world.run()

    with pytest.raises(Refused, match="not live any more"):
        await world.desk.roll_back(world.app, SAM)
    assert (await world.newest()).number == 1


async def test_a_way_back_that_is_under_way_is_not_turned_round_by_a_second_press(world):
    await world.release_live("green")
    await world.advance(hours=2)
    await world.deploy("purple")
    await world.desk.ask("mochi", 2, Verb.REJECT, KIM)
    await world.run()
    await world.desk.roll_back(world.app, SAM)
    await world.run()

    with pytest.raises(Refused, match="is taking mochi #1 back already"):
        await world.desk.roll_back(world.app, SAM)
    assert world.serving() == {"blue"}


async def test_nobody_but_those_who_may_roll_back_goes_back_further(world):
    await world.release_live("green")
    await world.advance(hours=2)
    await world.deploy("purple")
    await world.desk.ask("mochi", 2, Verb.REJECT, KIM)
    await world.run()

    with pytest.raises(Refused, match="may roll back mochi"):
        await world.desk.roll_back(world.app, ANN)
