"""Abort, retry and the other orders that people give a Rollout, with what they do besides what one would think."""

from collections.abc import AsyncIterator

import pytest

from rollout_cluster import RolloutCluster, rollout_cluster


@pytest.fixture
async def argo() -> AsyncIterator[RolloutCluster]:
    """Green waits for its promotion."""
    async with rollout_cluster() as made:
        await made.set_image("green")
        yield made


async def test_an_abort_says_so_and_sends_the_preview_away_after_its_delay(argo):
    await argo.abort()
    status = await argo.status()
    assert (status["phase"], status["message"]) == (
        "Degraded",
        "RolloutAborted: Rollout aborted update to revision 2",
    )
    assert (status["abort"], status["abortedAt"]) == (True, "2026-01-05T09:00:00Z")
    assert await argo.condition("Progressing") == ("False", "RolloutAborted")
    assert "pauseConditions" not in status
    assert (await argo.selected(), await argo.deadline("green")) == ("blue", "2026-01-05T09:00:30Z")
    argo.cluster.advance(29)
    assert await argo.replicas("green") == 2
    argo.cluster.advance(1)
    assert (await argo.replicas("green"), await argo.selected(), await argo.ready_addresses()) == (0, "blue", 2)


async def test_a_retry_within_the_delay_goes_live_at_once(argo):
    """Nobody pressed promote, and no pause was ever shown."""
    await argo.abort()
    argo.cluster.advance(10)
    since = argo.cluster.objects.version
    await argo.retry()
    assert (await argo.selected(), await argo.stable(), await argo.phase()) == ("green", "green", ("Healthy", ""))
    assert not [state for state in argo.past(since=since) if state["status"].get("pauseConditions")]
    assert (await argo.status())["abort"] is False  # what retry wrote is left standing: to Argo it is no abort


async def test_a_retry_after_the_delay_pauses_again(argo):
    await argo.abort()
    argo.cluster.advance(31)
    await argo.retry()
    assert (await argo.replicas("green"), await argo.pauses(), await argo.selected()) == (
        2,
        ["BlueGreenPause"],
        "blue",
    )


async def test_the_same_image_set_again_after_an_abort_changes_nothing(argo):
    await argo.abort()
    before = await argo.rollout()
    await argo.set_image("green")
    assert await argo.rollout() == before


async def test_another_image_ends_an_abort_and_the_aborted_one_then_comes_back_without_a_pause(argo):
    await argo.abort()
    await argo.set_image("purple")
    assert (await argo.pauses(), (await argo.status()).get("abort")) == (["BlueGreenPause"], None)
    await argo.set_image("green")
    assert (await argo.selected(), await argo.pauses()) == ("green", [])


async def test_without_an_abort_delay_a_retry_pauses_and_the_preview_stays_up():
    async with rollout_cluster(blue_green={"abortScaleDownDelaySeconds": 0}) as argo:
        await argo.set_image("green")
        await argo.abort()
        argo.cluster.advance(300)
        assert (await argo.replicas("green"), await argo.deadline("green")) == (2, None)
        await argo.retry()
        assert (await argo.pauses(), await argo.selected()) == (["BlueGreenPause"], "blue")


async def test_an_abort_of_what_is_fully_promoted_is_taken_back_by_the_controller(argo):
    await argo.promote()
    await argo.abort()
    status = await argo.status()
    assert ("abort" in status, status["phase"], await argo.selected()) == (False, "Healthy", "green")


async def test_a_promote_while_a_pod_is_not_ready_pauses_again_once_it_is(argo):
    (sick,) = await argo.fail("green")
    await argo.promote()
    status = await argo.status()
    assert (status["phase"], status["message"]) == ("Progressing", "active service cutover pending")
    assert "controllerPause" not in status
    assert await argo.selected() == "blue"
    argo.recover(sick)
    assert (await argo.pauses(), await argo.selected()) == (["BlueGreenPause"], "blue")


async def test_a_pod_that_turns_bad_after_the_promote_does_not_undo_the_cut_over(argo):
    await argo.promote()
    await argo.fail("green")
    assert (await argo.selected(), await argo.ready_addresses()) == ("green", 1)
    assert await argo.phase() == ("Progressing", "updated replicas are still becoming available")
    assert await argo.condition("Available") == ("False", "AvailableReason")


async def test_a_hash_taken_out_of_the_selector_in_the_pause_is_a_cut_over_at_the_next_look(argo):
    """The Service then selects blue and green alike, and nothing makes the controller look before something changes."""
    await argo.select(None)
    assert (await argo.selected(), await argo.ready_addresses(), await argo.pauses()) == (None, 4, ["BlueGreenPause"])
    argo.cluster.advance(600)
    assert await argo.selected() is None
    await argo.nudge()
    assert (await argo.selected(), await argo.stable(), await argo.phase()) == ("green", "green", ("Healthy", ""))


async def test_a_hash_taken_out_while_it_is_healthy_comes_back_at_the_next_look():
    async with rollout_cluster() as argo:
        await argo.select(None)
        argo.cluster.advance(600)
        assert (await argo.selected(), await argo.phase()) == (None, ("Healthy", ""))
        await argo.nudge()
        assert (await argo.selected(), await argo.phase()) == ("blue", ("Healthy", ""))


async def test_without_its_hash_in_the_selector_the_next_image_is_live_at_once():
    async with rollout_cluster() as argo:
        await argo.select(None)
        since = argo.cluster.objects.version
        await argo.set_image("green")
        assert (await argo.selected(), await argo.stable()) == ("green", "green")
        assert not [state for state in argo.past(since=since) if state["status"].get("pauseConditions")]


async def test_the_hash_of_the_preview_written_by_hand_is_a_promote(argo):
    await argo.select(await argo.hash_of("green"))
    assert (await argo.selected(), await argo.stable(), await argo.phase()) == ("green", "green", ("Healthy", ""))


async def test_a_hash_that_nobody_has_is_kept_and_nothing_answers():
    async with rollout_cluster() as argo:
        await argo.select("nobody")
        assert (await argo.selected(), await argo.ready_addresses()) == ("nobody", 0)
        assert (await argo.phase(), await argo.current(), await argo.stable()) == (
            ("Paused", "BlueGreenPause"),
            "blue",
            "blue",
        )


async def test_the_old_hash_written_by_hand_is_kept_and_keeps_the_old_set_up(argo):
    await argo.promote()
    await argo.select(await argo.hash_of("blue"))
    assert (await argo.selected(), await argo.pauses()) == ("blue", ["BlueGreenPause"])
    argo.cluster.advance(300)
    assert (await argo.selected(), await argo.replicas("blue"), await argo.ready_addresses()) == ("blue", 2, 2)


async def test_nothing_switches_while_a_person_has_frozen_it_and_the_promote_is_lost(argo):
    await argo.set_spec(paused=True)
    assert await argo.phase() == ("Paused", "manually paused")
    await argo.promote()
    assert (await argo.selected(), "controllerPause" in await argo.status()) == ("blue", False)
    await argo.set_spec(paused=False)
    assert (await argo.selected(), await argo.pauses()) == ("blue", ["BlueGreenPause"])
    await argo.promote()
    assert await argo.selected() == "green"


async def test_a_frozen_rollout_loses_its_instant_way_back(argo):
    await argo.promote()
    await argo.set_spec(paused=True)
    assert await argo.deadline("blue")
    await argo.set_image("blue")
    assert (await argo.deadline("blue"), await argo.selected()) == (None, "green")
    await argo.set_spec(paused=False)
    assert (await argo.selected(), await argo.pauses()) == ("green", ["BlueGreenPause"])


async def test_freezing_it_together_with_the_image_forces_the_pause_that_a_deadline_would_skip(argo):
    await argo.promote()
    await argo.set_spec(
        paused=True, template={**(await argo.rollout())["spec"]["template"], "spec": await _spec_of(argo, "blue")}
    )
    assert await argo.deadline("blue") is None
    await argo.set_spec(paused=False)
    assert (await argo.selected(), await argo.pauses()) == ("green", ["BlueGreenPause"])


async def _spec_of(argo: RolloutCluster, tag: str) -> dict:
    spec = (await argo.rollout())["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return {"containers": [{**container, "image": container["image"].rpartition(":")[0] + f":{tag}"}]}


async def test_promote_full_skips_the_pause_and_takes_its_own_flag_away(argo):
    await argo.promote_full()
    assert (await argo.selected(), await argo.stable(), await argo.phase()) == ("green", "green", ("Healthy", ""))
    assert "promoteFull" not in await argo.status()


async def test_promote_full_of_what_is_healthy_does_nothing_to_the_next_image():
    async with rollout_cluster() as argo:
        await argo.promote_full()
        assert "promoteFull" not in await argo.status()
        await argo.set_image("green")
        assert (await argo.pauses(), await argo.selected()) == (["BlueGreenPause"], "blue")


async def test_an_update_that_does_not_progress_says_so_and_goes_on_when_it_can():
    async with rollout_cluster(progressDeadlineSeconds=60) as argo:
        await argo.set_image("crash")
        argo.cluster.advance(60)
        assert (await argo.phase())[0] == "Progressing"
        argo.cluster.advance(2)
        phase, message = await argo.phase()
        assert (phase, message.partition(":")[0]) == ("Degraded", "ProgressDeadlineExceeded")
        assert message.endswith(" has timed out progressing.")
        assert await argo.condition("Progressing") == ("False", "ProgressDeadlineExceeded")
        assert await argo.selected() == "blue"
        await argo.set_image("green")
        assert await argo.pauses() == ["BlueGreenPause"]


async def test_an_update_that_does_not_progress_is_aborted_when_that_is_wanted():
    async with rollout_cluster(progressDeadlineSeconds=60, progressDeadlineAbort=True) as argo:
        await argo.set_image("crash")
        argo.cluster.advance(62)
        assert (await argo.status())["abort"] is True
        assert (await argo.phase())[0] == "Degraded"
        argo.cluster.advance(31)
        assert await argo.replicas("crash") == 0


async def test_nobody_waits_for_progress_while_an_old_set_is_kept_warm():
    async with rollout_cluster(progressDeadlineSeconds=60, blue_green={"scaleDownDelaySeconds": 600}) as argo:
        await argo.set_image("green")
        await argo.set_image("crash")
        argo.cluster.advance(300)
        assert await argo.deadline("green")
        assert (await argo.phase())[0] == "Progressing"
        argo.cluster.advance(400)
        assert (await argo.phase())[0] == "Degraded"


async def test_nobody_waits_for_progress_in_a_pause(argo):
    argo.cluster.advance(24 * 3600)
    assert await argo.phase() == ("Paused", "BlueGreenPause")
