"""The controller as a process beside the control plane: what the other tests take for granted."""

import asyncio

import pytest
from mochiapp import ACTIVE, GREEN, HASH, PREVIEW

from rollouts import NAME

pytestmark = [pytest.mark.cluster, pytest.mark.argo]


async def test_the_pods_of_a_rollout_carry_its_hash_and_go_when_it_goes(install):
    app = await install()
    state = await app.until(lambda s: s.ready_behind(ACTIVE) == 2)
    assert {pod["metadata"]["labels"][HASH] for pod in state.pods} == {state.current}
    await app.delete(app.path)
    await app.seen.has_none("pods", "replicasets")


async def test_a_frozen_controller_does_nothing_until_it_is_thawed(install, rollouts):
    app = await install()
    with rollouts.frozen():
        await app.stage(GREEN, "mochi-2")
        await app.select(PREVIEW, **{HASH: "0000000000"})  # at work, it would look at once
        await app.until(lambda s: s.ready_behind(PREVIEW) == 0)
        state = await app.state()
        assert (state.observed, len(state.replicasets)) == (False, 1)
    await app.paused_on(GREEN)


async def test_a_killed_controller_takes_up_what_it_missed_when_it_is_started_again(install, rollouts):
    app = await install()
    rollouts.kill()
    await app.stage(GREEN, "mochi-2")
    assert not (await app.state()).observed
    rollouts.start()
    await app.paused_on(GREEN)


async def test_the_controller_is_started_anew_with_the_api_server(install, rollouts):
    """Its own patience with an API server that is away is longer than any test's."""
    before = rollouts.plane.pids[NAME]
    await asyncio.to_thread(rollouts.plane.restart_api_server)
    assert rollouts.plane.pids[NAME] != before
    app = await install()
    await app.promoted(GREEN)
