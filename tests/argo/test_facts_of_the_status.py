"""What a Rollout shows and when, and what the controller does unasked; each docstring says why that matters."""

from http import HTTPStatus

import pytest
from deployed import PROMOTE, approved
from hold import PAUSED, SERVICE_SWITCHED, about_to_forget, forgotten, held
from mochiapp import ACTIVE, BLUE, GREEN, HASH, NEVER_READY, PURPLE
from state import is_observed

pytestmark = [pytest.mark.cluster, pytest.mark.argo]


async def test_the_first_deployment_is_live_without_a_pause(install):
    """There is nothing to protect yet: so the first version of an app gets a card, and no question."""
    app = await install()
    state = await app.state()
    assert app.seen.live == ["", state.live]
    assert not any(each.get("status", {}).get("pauseConditions") for each in app.seen.rollouts)


async def test_a_first_version_that_never_starts_leaves_its_successor_unasked_too(install):
    """`stableRS` says nothing about pods: what is live is what has ready endpoints."""
    app = await install(live=False, image=NEVER_READY)
    first = await app.until(lambda s: s.observed and s.stable and s.current == s.stable)
    assert first.ready_behind(ACTIVE) == 0
    await app.idle()
    await app.set_image(GREEN)
    state = await app.nudged_until(lambda s: s.image(s.live) == GREEN and s.ready_behind(ACTIVE) == 2)
    assert state.pauses == []


async def test_a_new_image_shows_the_old_phase_until_the_controller_has_looked(install, rollouts):
    """Why no phase is believed before `observedGeneration` has caught up."""
    app = await install()
    blue = (await app.state()).live
    with rollouts.frozen():
        await app.stage(GREEN, "mochi-2")
        state = await app.state()
        assert (state.observed, state.phase, state.current) == (False, "Healthy", blue)
    await app.paused_on(GREEN)
    # From Healthy, the generation and the hash change in one write.
    shown = [each for each in app.seen.rollouts if each["spec"]["template"]["spec"]["containers"][0]["image"] == GREEN]
    observed = [each for each in shown if is_observed(each)]
    assert observed
    assert {each["status"]["currentPodHash"] for each in observed} == {
        app.seen.rollouts[-1]["status"]["currentPodHash"]
    }


async def test_a_new_image_in_a_pause_shows_that_pause_as_if_it_were_its_own(install, notifications):
    """Why `observedGeneration` is not enough: an approval is asked for only when the set that the status names runs the
    image that was asked for."""
    app = await install()
    green = await app.previewing(GREEN)
    async with held(app, notifications, SERVICE_SWITCHED) as hold:
        await app.idle()
        await app.stage(PURPLE, "mochi-3")
        await hold.arrived()
        state = await app.until(lambda s: s.previewed in s.hashes(PURPLE))
        assert state.observed
        assert (state.phase, state.pauses, state.current) == ("Paused", ["BlueGreenPause"], green.current)
        assert not state.paused_on(PURPLE)
        hold.end()
    await app.nudged_until(lambda s: s.paused_on(PURPLE))


@pytest.mark.parametrize("write", ["promotion", "abort"])
async def test_a_lost_write_is_woken_by_an_annotation_and_by_nothing_else(install, argo, notifications, write):
    """Why Greenlight looks for the effect of each of its writes, and nudges instead of writing again."""
    app = await install()
    async with held(app, notifications, PAUSED, SERVICE_SWITCHED) as hold:
        shown = await about_to_forget(app, hold, GREEN)
        if write == "promotion":
            assert (await app.approve(shown))[0] == HTTPStatus.OK
        else:
            await app.abort()
        if not argo.loses_writes:
            hold.end()
            await app.until(lambda s: s.healthy_on(shown.current) or s.status.get("abortedAt"))
            return
        lost = await forgotten(app, hold)
        assert (lost.live, lost.status.get("abortedAt")) == (shown.live, None)
        if write == "promotion":
            assert (lost.status["controllerPause"], lost.pauses) == (True, [])
            refused = await app.send(f"{app.path}/status", [*approved(shown)[:2], PROMOTE])
            assert refused[0] == HTTPStatus.UNPROCESSABLE_ENTITY
        await app.plugin("promote" if write == "promotion" else "abort", "mochiapp")
        await app.looked_at()
        assert (await app.state()).rollout == lost.rollout
        await app.nudge()
        if write == "promotion":
            await app.until(lambda s: s.healthy_on(shown.current))
        else:
            await app.until(lambda s: s.status.get("abortedAt") and s.phase == "Degraded")


async def test_the_hash_taken_out_of_the_active_selector_in_a_pause_switches_at_the_next_look(install):
    """Why the active Service's selector is watched, and nothing nudged while it has no hash: whoever takes this key
    out, as a strict apply does, promotes. The controller is not told of that: it acts upon it when it looks next."""
    app = await install()
    shown = await app.previewing(GREEN)
    await app.select(ACTIVE, **{HASH: None})
    await app.until(lambda s: s.ready_behind(ACTIVE) == 4)  # both versions have traffic now
    assert (await app.state()).paused_on(GREEN)
    await app.looked_at()
    await app.until(lambda s: s.healthy_on(shown.current))
    assert app.seen.live == ["", shown.live, "", shown.current]


async def test_the_hash_put_back_in_time_keeps_the_pause(install):
    """What Greenlight may do about it: the hash that was live is written back before the controller has looked."""
    app = await install()
    shown = await app.previewing(GREEN)
    await app.select(ACTIVE, **{HASH: None})
    await app.send_traffic_to(shown.live)
    await app.looked_at()
    state = await app.reconciled()
    assert (state.pauses, app.seen.live) == (["BlueGreenPause"], ["", shown.live, "", shown.live])


async def test_the_hash_taken_out_while_healthy_is_put_back_at_the_next_look(install):
    """The same without a pause: harmless, if nothing new comes before that look."""
    app = await install()
    blue = (await app.state()).live
    await app.select(ACTIVE, **{HASH: None})
    assert (await app.state()).live == ""
    await app.looked_at()
    await app.until(lambda s: s.healthy_on(blue))
    assert app.seen.live == ["", blue, "", blue]


async def test_a_new_image_while_the_active_selector_has_no_hash_is_live_without_a_pause(install, rollouts):
    """Why an app in this state takes no release."""
    app = await install()
    with rollouts.frozen():
        await app.select(ACTIVE, **{HASH: None})
        await app.stage(GREEN, "mochi-2")
    await app.nudged_until(lambda s: s.image(s.live) == GREEN)
    assert not any(each.get("status", {}).get("pauseConditions") for each in app.seen.rollouts)


async def test_an_unknown_hash_in_the_active_selector_is_kept(install, argo):
    """Why Greenlight writes only hashes of sets that it has just seen."""
    app = await install()
    blue = (await app.state()).live
    await app.send_traffic_to("0000000000")
    if not argo.leaves_the_service:
        await app.until(lambda s: s.healthy_on(blue) and s.ready_behind(ACTIVE) == 2)
        assert app.seen.live == ["", blue, "0000000000", blue]
        return
    await app.until(lambda s: s.ready_behind(ACTIVE) == 0)
    state = await app.reconciled()
    assert (state.live, state.ready_behind(ACTIVE)) == ("0000000000", 0)


async def test_spec_paused_stops_the_controller_but_not_the_way_back(install):
    """Why `spec.paused` is refused at a deploy and no obstacle to a rollback: the Service is not Argo's."""
    app = await install()
    blue = await app.state()
    green = (await app.promoted(GREEN)).current
    await app.patch(app.path, {"spec": {"paused": True}})
    await app.nudged_until(lambda s: s.observed and s.phase == "Paused")
    await app.idle()
    await app.send_traffic_to(blue.live)
    await app.write_template(blue.template)
    state = await app.nudged_until(lambda s: s.observed and s.current == blue.live)
    assert (state.live, app.seen.live) == (blue.live, ["", blue.live, green, blue.live])
    await app.idle()
    await app.patch(app.path, {"spec": {"paused": None}})
    await app.nudged_until(lambda s: s.healthy_on(blue.live))
    assert app.seen.live == ["", blue.live, green, blue.live]
    assert BLUE
