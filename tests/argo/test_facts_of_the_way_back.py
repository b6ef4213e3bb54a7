"""How traffic comes home, and which ways lead astray; each docstring says why Greenlight relies on it."""

from datetime import UTC, datetime
from http import HTTPStatus

import pytest
from hold import SERVICE_SWITCHED, held
from mochiapp import ACTIVE, BLUE, GREEN, PURPLE, check

pytestmark = [pytest.mark.cluster, pytest.mark.argo]

VERIFY = {"postPromotionAnalysis": {"templates": [{"templateName": "verify"}]}}
ENDLESS = check("verify", "nopull")
"""While it runs, green is live and blue is still `stable`."""


# Before the switch


async def test_the_stored_template_ends_a_pause_without_a_switch(install):
    """Greenlight's way back before the switch: nothing else is written, and nothing is aborted."""
    app = await install()
    blue = await app.state()
    await app.previewing(GREEN)
    await app.write_template(blue.template)
    state = await app.nudged_until(lambda s: s.healthy_on(blue.live) and s.previewed == blue.live)
    assert app.seen.live == ["", blue.live]
    assert not state.status.get("abort")


async def test_a_retry_within_the_abort_delay_is_live_without_a_pause(install, argo):
    """Why Greenlight never retries: the verb that sounds like "show it again" is a promotion."""
    app = await install()
    green = (await app.previewing(GREEN)).current
    await app.abort()
    await app.nudged_until(lambda s: s.phase == "Degraded" and s.deadline(green))
    await app.idle()
    seen = len(app.seen.rollouts)
    await app.plugin("retry", "rollout", "mochiapp")
    if not argo.deadline_is_a_promotion:
        await app.nudged_until(lambda s: s.paused_on(GREEN))
        return
    await app.nudged_until(lambda s: s.healthy_on(green))
    assert not any(each["status"].get("pauseConditions") for each in app.seen.rollouts[seen:])


async def test_a_retry_after_a_failed_gate_is_live_without_another_gate(install, argo):
    """The same, and what had failed is not even asked again."""
    gate = {"prePromotionAnalysis": {"templates": [{"templateName": "verify"}]}}
    app = await install(templates=(check("verify", "crash"),), **gate)
    await app.stage(GREEN, "mochi-2")
    state = await app.until(lambda s: s.phase == "Degraded" and s.status.get("abortedAt") and s.deadline(s.current))
    await app.idle()
    await app.retry()
    if not argo.deadline_is_a_promotion:
        state = await app.reconciled()
        assert state.live == state.stable != state.current
        return
    state = await app.nudged_until(lambda s: s.live == s.current and s.phase == "Healthy")
    assert [each["status"]["phase"] for each in state.analysisruns] == ["Failed"]


async def test_the_image_of_a_set_with_a_deadline_is_live_without_a_pause(install, argo):
    """Why an image alone is no release: v2 was never approved and never aborted, only overtaken by v3."""
    app = await install()
    await app.set_image(GREEN)
    v2 = (await app.paused_on(GREEN)).current
    await app.set_image(PURPLE)
    await app.paused_on(PURPLE)
    await app.nudged_until(lambda s: s.deadline(v2))
    await app.idle()
    await app.set_image(GREEN)
    await app.nudged_until(lambda s: s.healthy_on(v2) if argo.deadline_is_a_promotion else s.paused_on(GREEN))


async def test_a_release_of_its_own_name_is_always_shown_first(install):
    """Why Greenlight writes the release's name into the pod template: the same image, aborted or overtaken a moment ago
    and with its pods still there, is a new set with a pause."""
    app = await install()
    shown = await app.previewing(GREEN, "mochi-2")
    await app.abort()
    await app.nudged_until(lambda s: s.phase == "Degraded" and s.deadline(shown.current))
    await app.idle()
    await app.stage(GREEN, "mochi-3")
    third = await app.paused_on(GREEN)
    await app.stage(PURPLE, "mochi-4")
    await app.paused_on(PURPLE)
    await app.stage(GREEN, "mochi-5")
    fifth = await app.paused_on(GREEN)
    assert len({shown.live, shown.current, third.current, fifth.current}) == 4
    assert not fifth.status.get("abort")
    assert app.seen.live == ["", shown.live]


# After the switch: what Greenlight does


@pytest.mark.parametrize(
    ("controller", "verifying", "green_is_ready"),
    [
        ("at work", True, True),
        ("at work", False, False),
        ("looks between", True, False),
        ("looks between", False, True),
        ("frozen between", True, True),
        ("frozen between", False, False),
        ("dead between", True, False),
        ("dead between", False, True),
    ],
)
async def test_the_service_first_and_then_the_template_is_home_without_a_pause(
    install, argo, rollouts, controller, verifying, green_is_ready
):
    """Greenlight's way back after the switch. The first write alone moves the traffic, whatever the controller does;
    the second makes it last. Where the controller has moved it once more, it is moved once more."""
    app = await install(templates=(ENDLESS,), **(VERIFY if verifying else {}))
    blue = await app.state()
    green = (await _live_on_green(app, verifying)).current
    if not green_is_ready:
        await app.pods_become(green, ready=False)
        await app.until(lambda s: s.ready_behind(ACTIVE) == 1)
        await app.idle()
    if controller == "frozen between":
        rollouts.freeze()
    if controller == "dead between":
        rollouts.kill()
    await app.send_traffic_to(blue.live)
    await app.until(lambda s: s.ready_behind(ACTIVE) == 2)
    if controller == "looks between":
        await app.reconciled()
    await app.write_template(blue.template)
    if controller == "dead between":
        rollouts.start()
    rollouts.thaw()
    if not argo.leaves_the_service:
        await app.nudged_until(lambda s: s.observed and s.current == blue.live)
        await app.send_traffic_to(blue.live)
    state = await app.nudged_until(lambda s: s.healthy_on(blue.live))
    moved = ["", blue.live, green, blue.live]
    assert app.seen.live in ([moved] if argo.leaves_the_service else [moved, [*moved, green, blue.live]])
    assert (state.replicas(blue.live), state.ready_behind(ACTIVE)) == (2, 2)
    assert "BlueGreenPause" not in state.pauses


async def _live_on_green(app, verifying):
    shown = await app.previewing(GREEN)
    assert (await app.approve(shown))[0] == HTTPStatus.OK
    if verifying:
        state = await app.nudged_until(lambda s: s.live == s.current and s.analysisruns and s.deadline(s.stable) == "")
        assert state.stable != state.current
    else:
        await app.nudged_until(lambda s: s.healthy_on(shown.current) and s.deadline(shown.live))
    await app.idle()
    return await app.state()


async def test_blue_outlives_its_deadline_while_the_service_selects_it(install, argo):
    """So the template may follow as late as it likes, for example when the controller is repaired or Git is changed."""
    app = await install(keep_old_for=1)
    blue = await app.state()
    shown = await app.previewing(GREEN)
    assert (await app.approve(shown))[0] == HTTPStatus.OK
    state = await app.until(lambda s: s.deadline(blue.live))
    await app.send_traffic_to(blue.live)
    if not argo.leaves_the_service:
        await app.until(lambda s: s.healthy_on(shown.current))
        assert app.seen.live == ["", blue.live, shown.current, blue.live, shown.current]
        return
    while datetime.now(UTC) <= datetime.fromisoformat(state.deadline(blue.live)):
        await app.looked_at()
    state = await app.reconciled()
    assert (state.live, state.replicas(blue.live), state.ready_behind(ACTIVE)) == (blue.live, 2, 2)
    await app.idle()
    await app.write_template(blue.template)
    await app.nudged_until(lambda s: s.healthy_on(blue.live))
    assert app.seen.live == ["", blue.live, shown.current, blue.live]


async def test_the_template_alone_is_home_at_once_within_the_delay(install):
    """What Greenlight meets when somebody else rolls back, and why it does not need a pause then."""
    app = await install()
    blue = await app.state()
    await app.ages()
    green = (await app.promoted(GREEN)).current
    await app.write_template(blue.template)
    await app.nudged_until(lambda s: s.healthy_on(blue.live))
    assert app.seen.live == ["", blue.live, green, blue.live]


async def test_the_template_alone_is_only_a_preview_after_the_delay(install):
    """Why the card says before the press that the previous set is gone: this way back needs its own approval."""
    app = await install(keep_old_for=1)
    blue = await app.state()
    green = (await app.promoted(GREEN, kept=False)).current
    await app.write_template(blue.template)
    state = await app.nudged_until(lambda s: s.paused_on(BLUE))
    assert (state.current, state.live) == (blue.live, green)


async def test_the_template_alone_pauses_with_traffic_on_green_before_blue_has_its_deadline(install, notifications):
    """Why the Service comes first: the instant rollback of the controller needs an annotation that it writes only after
    the switch, and until then writing the template just asks for another approval."""
    app = await install()
    blue = await app.state()
    shown = await app.previewing(GREEN)
    async with held(app, notifications, SERVICE_SWITCHED) as hold:
        await app.idle()
        assert (await app.approve(shown))[0] == HTTPStatus.OK
        await hold.arrived()
        state = await app.until(lambda s: s.live == shown.current)
        assert not state.deadline(blue.live)
        await app.write_template(blue.template)
        hold.end()
        state = await app.nudged_until(lambda s: s.paused_on(BLUE))
    assert state.live == shown.current
    await app.idle()
    await app.send_traffic_to(blue.live)
    await app.nudged_until(lambda s: s.healthy_on(blue.live))


# After the switch: what it leaves alone


async def test_an_abort_after_the_switch_leaves_the_traffic_on_a_sick_green_and_then_takes_its_pods(install):
    """Why Greenlight never aborts after the switch: with one green pod not ready this ends without any endpoint."""
    app = await install(templates=(ENDLESS,), keep_aborted_for=1, **VERIFY)
    green = (await _live_on_green(app, verifying=True)).current
    await app.pods_become(green, ready=False)
    await app.until(lambda s: s.ready_behind(ACTIVE) == 1)
    await app.idle()
    await app.abort()
    state = await app.nudged_until(lambda s: s.status.get("abortedAt") and s.phase == "Degraded")
    assert state.live == green
    assert state.ready_behind(ACTIVE) <= 1  # the abort delay is short, and this look may be late
    await app.until(lambda s: s.replicas(green) == 0 and s.ready_behind(ACTIVE) == 0)
    state = await app.reconciled()
    assert (state.live, state.ready_behind(ACTIVE), state.replicas(state.stable)) == (green, 0, 2)


async def test_an_abort_of_what_is_fully_promoted_does_nothing(install):
    """The same verb once the controller calls green stable: it takes its flag away, and green stays."""
    app = await install()
    green = (await app.promoted(GREEN)).current
    await app.abort()
    await app.nudged_until(lambda s: not s.status.get("abort"))
    state = await app.reconciled()
    assert state.healthy_on(green)


async def test_an_undo_takes_a_version_that_was_never_live(install):
    """Why Greenlight keeps the template of what was live: the second highest revision is whatever was tried last."""
    app = await install()
    v2 = (await app.previewing(GREEN, "mochi-2")).current
    await app.stage(PURPLE, "mochi-3")
    v3 = await app.paused_on(PURPLE)
    assert (await app.approve(v3))[0] == HTTPStatus.OK
    await app.nudged_until(lambda s: s.healthy_on(v3.current))
    await app.idle()
    assert v2 not in app.seen.live
    await app.plugin("undo", "mochiapp")
    await app.nudged_until(lambda s: s.observed and s.current == v2 and s.image(s.current) == GREEN)
