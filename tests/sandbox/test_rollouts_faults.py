"""A controller that sleeps, dies, or forgets what others wrote; and what a status shows before it is true."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mochi import ACTIVE
from mochi_rollout import ROLLOUT
from rollout_cluster import NAMESPACE, RolloutCluster, image, rollout_cluster
from sandbox.cluster import PatchType


@pytest.fixture
async def argo() -> AsyncIterator[RolloutCluster]:
    async with rollout_cluster() as made:
        yield made


@pytest.fixture
async def paused(argo: RolloutCluster) -> RolloutCluster:
    """Green waits for its promotion."""
    await argo.set_image("green")
    return argo


def shown(state: dict) -> tuple[bool, str, str]:
    """Whether the generation is observed, the phase, and the hash that is called the current one."""
    status = state["status"]
    observed = status["observedGeneration"] == str(state["metadata"]["generation"])
    return observed, status["phase"], status["currentPodHash"]


async def test_after_a_new_image_the_phase_is_healthy_for_a_moment(argo):
    """Whoever believes the phase alone takes an update for done that has not begun."""
    blue = await argo.hash_of("blue")
    since = argo.cluster.objects.version
    await argo.set_image("green")
    states = [shown(state) for state in argo.past(since=since)]
    early = [state for state in states if not state[0]]
    assert early
    assert set(early) == {(False, "Healthy", blue)}
    first = states[len(early)]  # from Healthy, the generation and the hash become right in one write
    assert first == (True, "Progressing", await argo.hash_of("green"))


async def test_after_a_new_image_in_a_pause_the_old_pause_shows_as_if_it_were_the_new_one(paused):
    """Observed, Paused, BlueGreenPause, and still the hash of the version before."""
    green = await paused.hash_of("green")
    since = paused.cluster.objects.version
    await paused.set_image("purple")
    states = [shown(state) for state in paused.past(since=since)]
    assert (True, "Paused", green) in states
    assert states[-1] == (True, "Paused", await paused.hash_of("purple"))


async def test_the_set_of_a_new_image_is_there_before_the_status_speaks_of_it(paused):
    since = paused.cluster.objects.version
    await paused.set_image("purple")
    hash_ = await paused.hash_of("purple")
    made = paused.past("replicasets", f"{ROLLOUT}-{hash_}", since)[0]
    named = next(state for state in paused.past(since=since) if state["status"]["currentPodHash"] == hash_)
    assert int(made["metadata"]["resourceVersion"]) < int(named["metadata"]["resourceVersion"])


async def test_a_stopped_controller_leaves_everything_as_it_is_and_catches_up_later(argo):
    argo.cluster.rollouts.stop()
    await argo.set_image("green")
    argo.cluster.advance(60)
    state = await argo.rollout()
    assert shown(state)[:2] == (False, "Healthy")
    assert len(await argo.listed("replicasets")) == 1
    argo.cluster.rollouts.resume()
    argo.cluster.settle()
    assert await argo.pauses() == ["BlueGreenPause"]


async def test_a_controller_that_is_stopped_shows_a_promotion_as_accepted_and_not_handled(paused):
    paused.cluster.rollouts.stop()
    await paused.promote()
    status = await paused.status()
    assert (status["phase"], status["controllerPause"], status.get("pauseConditions")) == ("Paused", True, None)
    assert await paused.selected() == "blue"
    paused.cluster.rollouts.resume()
    paused.cluster.settle()
    assert await paused.selected() == "green"


async def test_pods_go_on_without_the_controller(paused):
    """The Service first: traffic is home, though nobody is there to make it permanent."""
    await paused.promote()
    paused.cluster.rollouts.stop()
    await paused.select(await paused.hash_of("blue"))
    assert (await paused.selected(), await paused.ready_addresses()) == ("blue", 2)
    (pod, _) = await paused.pods("blue")
    await paused.delete("pods", pod["metadata"]["name"])
    assert await paused.ready_addresses() == 2


async def test_a_lost_promote_has_no_effect_until_the_rollout_changes_again(paused):
    paused.cluster.rollouts.lose_next_write(NAMESPACE, ROLLOUT)
    await paused.promote()
    paused.cluster.advance(600)
    status = await paused.status()
    assert (status["phase"], status["controllerPause"], status.get("pauseConditions")) == ("Paused", True, None)
    assert await paused.selected() == "blue"
    await paused.nudge()
    assert (await paused.selected(), await paused.phase()) == ("green", ("Healthy", ""))


async def test_a_promote_that_was_lost_is_not_helped_by_another(paused):
    paused.cluster.rollouts.lose_next_write(NAMESPACE, ROLLOUT)
    await paused.promote()
    again = await paused.patch(
        "rollouts", ROLLOUT, [{"op": "remove", "path": "/status/pauseConditions"}], subresource="status"
    )
    assert again.status == 422
    await paused.set_status(pauseConditions=None)  # as the plugin sends it: nothing changes, so nobody hears of it
    assert await paused.selected() == "blue"


async def test_a_lost_promote_is_also_woken_through_the_status(paused):
    """For whoever may not write anything else."""
    paused.cluster.rollouts.lose_next_write(NAMESPACE, ROLLOUT)
    await paused.promote()
    await paused.set_status(promoteFull=False)
    assert await paused.selected() == "green"


async def test_a_lost_abort_has_no_effect_either(paused):
    paused.cluster.rollouts.lose_next_write(NAMESPACE, ROLLOUT)
    await paused.abort()
    status = await paused.status()
    assert (status["phase"], status["abort"], "abortedAt" in status) == ("Paused", True, False)
    await paused.nudge()
    assert (await paused.phase())[0] == "Degraded"


async def test_a_lost_image_is_not_even_observed(argo):
    argo.cluster.rollouts.lose_next_write(NAMESPACE, ROLLOUT)
    await argo.set_image("green")
    assert shown(await argo.rollout())[:2] == (False, "Healthy")
    await argo.nudge()
    assert await argo.pauses() == ["BlueGreenPause"]


async def test_what_the_controller_hears_of_anything_else_does_not_wake_a_lost_write(paused):
    """It reconciles again, from its old copy."""
    paused.cluster.rollouts.lose_next_write(NAMESPACE, ROLLOUT)
    await paused.promote()
    await paused.done("services", ACTIVE, {"metadata": {"annotations": {"example.com/touched": "1"}}})
    await paused.done("replicasets", f"{ROLLOUT}-{await paused.hash_of('green')}", {"metadata": {"labels": {"x": "y"}}})
    assert await paused.selected() == "blue"


async def test_only_the_next_write_is_lost_and_only_of_this_rollout(argo):
    argo.cluster.rollouts.lose_next_write(NAMESPACE, "another")
    await argo.set_image("green")
    assert await argo.pauses() == ["BlueGreenPause"]
    argo.cluster.rollouts.lose_next_write(NAMESPACE, ROLLOUT)
    await argo.set_image("purple")
    await argo.nudge()
    await argo.promote()
    assert await argo.selected() == "purple"


async def test_a_new_process_reads_everything_anew_and_has_lost_nothing(paused):
    paused.cluster.rollouts.lose_next_write(NAMESPACE, ROLLOUT)
    await paused.promote()
    paused.cluster.rollouts.restart()
    paused.cluster.settle()
    assert await paused.selected() == "green"


async def test_a_write_in_the_moment_after_the_controllers_own_is_lost_by_itself(argo):
    """No switch needed: whoever promotes as soon as the pause stands in the conditions is in that moment."""
    objects = argo.cluster.objects

    def promote(change):
        if change.plural != "rollouts":
            return
        status = change.after["status"]
        conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
        if status.get("pauseConditions") and conditions.get("Paused") == "True":
            patch = [{"op": "remove", "path": "/status/pauseConditions"}]
            objects.patch("rollouts", NAMESPACE, ROLLOUT, patch, PatchType.JSON, subresource="status", manager="hasty")

    unsubscribe = objects.subscribe(promote)
    await argo.set_image("green")
    unsubscribe()
    status = await argo.status()
    assert (status["controllerPause"], status.get("pauseConditions"), await argo.selected()) == (True, None, "blue")
    await argo.nudge()
    assert await argo.selected() == "green"


GUARDS = [
    ["/status/currentPodHash"],
    ["/status/currentPodHash", "/spec/template"],
]


@pytest.mark.parametrize("guards", [[], *GUARDS], ids=["no guard", "hash", "hash and template"])
async def test_an_approval_of_v2_when_v3_has_come_and_nobody_has_looked_yet(paused, guards):
    """The hash alone does not help: the status is still the old one. v3 pauses in any case."""
    tests = await _tests(paused, guards)
    paused.cluster.rollouts.stop()
    await paused.set_image("purple")
    answer = await _promote(paused, tests)
    assert answer == (422 if "/spec/template" in guards else 200)
    paused.cluster.rollouts.resume()
    paused.cluster.settle()
    assert (await paused.selected(), await paused.current(), await paused.pauses()) == (
        "blue",
        "purple",
        ["BlueGreenPause"],
    )


@pytest.mark.parametrize("guards", [[], *GUARDS], ids=["no guard", "hash", "hash and template"])
async def test_an_approval_of_v2_before_v3_and_nobody_has_looked_yet(paused, guards):
    tests = await _tests(paused, guards)
    paused.cluster.rollouts.stop()
    assert await _promote(paused, tests) == 200
    since = paused.cluster.objects.version
    await paused.set_image("purple")
    paused.cluster.rollouts.resume()
    paused.cluster.settle()
    assert paused.past("services", ACTIVE, since) == []  # v2 was never live
    assert (await paused.selected(), await paused.pauses()) == ("blue", ["BlueGreenPause"])


@pytest.mark.parametrize("guards", [[], *GUARDS], ids=["no guard", "hash", "hash and template"])
async def test_an_approval_of_v2_when_v3_waits_ships_v3_unless_it_is_guarded(paused, guards):
    tests = await _tests(paused, guards)
    await paused.set_image("purple")
    answer = await _promote(paused, tests)
    assert (answer, await paused.selected()) == ((422, "blue") if guards else (200, "purple"))


async def _tests(argo: RolloutCluster, paths: list[str]) -> list[dict]:
    rollout = await argo.rollout()
    values = {
        "/status/currentPodHash": rollout["status"]["currentPodHash"],
        "/spec/template": rollout["spec"]["template"],
    }
    return [{"op": "test", "path": path, "value": values[path]} for path in paths]


async def _promote(argo: RolloutCluster, tests: list[dict]) -> int:
    patch = [*tests, {"op": "remove", "path": "/status/pauseConditions"}]
    return (await argo.patch("rollouts", ROLLOUT, patch, subresource="status")).status


async def test_a_controller_that_takes_its_time_can_be_seen_at_work(argo):
    """Then also those see the early phase who do not watch, but ask."""
    argo.cluster.rollouts.pace = timedelta(milliseconds=100)
    await argo.set_image("green")
    assert shown(await argo.rollout())[:2] == (False, "Healthy")
    argo.cluster.advance(0.1)
    assert shown(await argo.rollout())[:2] == (True, "Progressing")
    assert await argo.replicas("green") == 0
    argo.cluster.advance(1)
    assert await argo.pauses() == ["BlueGreenPause"]
    since = argo.cluster.objects.version
    await argo.promote()
    assert await argo.selected() == "blue"
    argo.cluster.advance(0.1)
    assert (await argo.selected(), await argo.deadline("blue")) == ("green", None)
    argo.cluster.advance(0.1)
    assert await argo.deadline("blue")
    assert len(argo.past("services", ACTIVE, since)) == 1


async def test_the_image_of_the_promoted_set_is_what_was_asked_for(paused):
    await paused.promote()
    (pod, _) = await paused.pods("green")
    assert pod["spec"]["containers"][0]["image"] == image("green")
