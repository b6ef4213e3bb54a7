"""Other people and programs change the same objects: nothing of theirs is overwritten, nothing wrong is served."""

from installed import selectors
from staff import Held

import mochi
from bot.clusters.api import SERVICE
from bot.clusters.cluster import LABEL
from bot.clusters.reading import container, selector
from bot.release.record import Cause, Phase
from world import KIM, REPOSITORY


async def test_a_switch_decided_upon_an_older_service_is_refused_and_decided_again(bot, installed):
    """I6: the annotation that somebody made in between is still there after the switch."""
    await bot.deploy("green")
    release = await bot.reaches(Phase.READY)
    held = Held(bot, SERVICE, mochi.ACTIVE)
    await bot.approve()
    await held.until_decided()
    await installed.annotate(f"{installed.services}/{mochi.ACTIVE}")
    held.let_go.set()
    await bot.reaches(Phase.BAKING)
    [refused] = await bot.events("refused")
    assert refused.detail["write"] == "switch mochiapp to mochi:green"
    service = await installed.service()
    assert service["metadata"]["annotations"]["example.com/touched"] == "yes"
    assert selector(service) == release.selector


async def test_a_selector_that_somebody_changed_just_before_the_switch_stays_theirs(bot, installed):
    """I6: the write that comes too late fails its tests, and then a person must look."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    held = Held(bot, SERVICE, mochi.ACTIVE)
    await bot.approve()
    await held.until_decided()
    await installed.select(mochi.ACTIVE, color="green")
    held.let_go.set()
    release = await bot.reaches(Phase.ABANDONED)
    assert len(await bot.events("refused")) == 1
    assert release.cause is Cause.FOREIGN
    assert release.reason.startswith("the active Service was changed by kubectl-patch at ")
    assert selector(await installed.service()) == {"app": "mochi", "color": "green"}


async def test_a_service_that_somebody_else_switched_ends_the_release_with_who_it_was(bot, installed):
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    async with installed.record_service() as service:
        await installed.select(mochi.ACTIVE, color="green")
        release = await bot.reaches(Phase.ABANDONED)
        assert release.reason.startswith("the active Service was changed by kubectl-patch at ")
        assert len(selectors(await service.so_far())) == 2  # as it was, and as they made it


async def test_an_image_that_somebody_set_on_the_live_slot_ends_the_release_with_who_it_was(bot, installed):
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await installed.set_image(mochi.LIVE, f"{REPOSITORY}:purple")
    release = await bot.reaches(Phase.ABANDONED)
    assert release.reason.startswith("mochiapp-blue, which is live, was changed by kubectl-set at ")
    assert container(await installed.deployment(mochi.LIVE), None)[1]["image"] == f"{REPOSITORY}:purple"


async def test_an_image_that_somebody_set_on_the_candidate_voids_its_approvals(bot, installed):
    """I3, I9: the approvals were for another image."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await bot.approve(KIM)
    async with installed.record_service() as service:
        await installed.set_image(mochi.IDLE, f"{REPOSITORY}:purple")
        release = await bot.reaches(Phase.ABANDONED)
        assert release.reason.startswith("mochiapp-green was changed by kubectl-set at ")
        assert release.reason.endswith(", so its approvals are void")
        assert len(await service.so_far()) == 1


async def test_a_slot_that_was_given_away_between_the_last_look_and_the_switch_is_taken_back(bot, installed):
    """I1: the Service then selects a label that no pod has, which must not last."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    blue = await installed.serving(2)
    held = Held(bot, SERVICE, mochi.ACTIVE)
    await bot.approve()
    await held.until_decided()
    await installed.label_template(mochi.IDLE, **{LABEL: "something-else"})
    await installed.serving(0, mochi.PREVIEW)
    held.let_go.set()
    await bot.reaches(Phase.REVERTED)
    assert await installed.serving(2) == blue


async def test_an_image_that_was_set_between_the_last_look_and_the_switch_is_taken_back(bot, installed):
    """I3: `kubectl set image` leaves the release label where it is, so for a moment it is let in; not for longer."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    blue = await installed.serving(2)
    held = Held(bot, SERVICE, mochi.ACTIVE)
    await bot.approve()
    await held.until_decided()
    await installed.set_image(mochi.IDLE, f"{REPOSITORY}:purple")
    held.let_go.set()
    release = await bot.reaches(Phase.REVERTED)
    assert "mochiapp-green was changed by kubectl-set at " in release.reason
    assert await installed.serving(2) == blue


async def test_a_candidate_with_another_environment_is_not_what_was_approved(bot, installed):
    """The approval is for the whole pod template, not for its image alone."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await bot.approve(KIM)
    async with installed.record_service() as service:
        await installed.set_variable(mochi.IDLE, "MOCHI_FLAVOUR", "salt")
        release = await bot.reaches(Phase.ABANDONED)
        assert release.reason.endswith(", so its approvals are void")
        assert len(await service.so_far()) == 1
