"""The ways back after a cut-over, and where each of them ends: one of them always ends on blue."""

from collections.abc import AsyncIterator

import pytest

from mochi import ACTIVE
from rollout_cluster import RolloutCluster, rollout_cluster

TEMPLATE = {"metadata": {"name": "probe"}, "spec": {"metrics": [{"name": "probe", "provider": {"job": {}}}]}}
ANALYSIS = {"postPromotionAnalysis": {"templates": [{"templateName": "probe"}]}}


class Cut:
    """Green has the traffic; the template and the hash of blue are known, as they were before."""

    def __init__(self, argo: RolloutCluster, template: dict, blue: str) -> None:
        self.argo = argo
        self.template = template
        self.blue = blue

    async def write_blue(self) -> None:
        await self.argo.write_template(self.template)

    async def select_blue(self) -> None:
        await self.argo.select(self.blue)

    async def end(self) -> tuple[str | None, str, int]:
        return await self.argo.selected(), (await self.argo.phase())[0], await self.argo.ready_addresses()


async def cut_over(argo: RolloutCluster) -> Cut:
    rollout = await argo.rollout()
    made = Cut(argo, rollout["spec"]["template"], rollout["status"]["stableRS"])
    await argo.set_image("green")
    await argo.promote()
    assert await argo.selected() == "green"
    return made


@pytest.fixture(params=["all ready", "one not ready"])
async def verifying(request) -> AsyncIterator[Cut]:
    """The analysis after the promotion is still running: blue is the stable one."""
    async with rollout_cluster(install=False) as argo:
        await argo.create("analysistemplates", TEMPLATE)
        argo.cluster.analyses.expect("probe", "Running")
        await argo.install(blue_green=ANALYSIS)
        made = await cut_over(argo)
        if request.param == "one not ready":
            await argo.fail("green")
        yield made


@pytest.fixture
async def promoted() -> AsyncIterator[Cut]:
    """Green is the stable one, blue waits for its scale-down."""
    async with rollout_cluster() as argo:
        yield await cut_over(argo)


async def test_the_template_alone_pauses_while_it_is_verified(verifying):
    await verifying.write_blue()
    argo = verifying.argo
    assert (await argo.selected(), await argo.previewed(), await argo.pauses()) == ("green", "blue", ["BlueGreenPause"])


@pytest.mark.parametrize("order", ["promote", "promote_full"])
async def test_the_template_and_then_a_promote_end_on_blue(verifying, order):
    await verifying.write_blue()
    await getattr(verifying.argo, order)()
    assert await verifying.end() == ("blue", "Healthy", 2)


async def test_an_abort_and_then_the_template_depend_on_every_pod(verifying):
    """With all pods ready the abort has brought the traffic home; without, it pauses on green."""
    argo = verifying.argo
    await argo.abort()
    home = await argo.selected() == "blue"
    await verifying.write_blue()
    assert await verifying.end() == (("blue", "Healthy", 2) if home else ("green", "Paused", 1))
    if not home:
        await argo.promote()
        assert await verifying.end() == ("blue", "Healthy", 2)


async def test_the_service_by_hand_is_kept_also_through_an_abort_and_its_delay(verifying):
    argo = verifying.argo
    await verifying.select_blue()
    assert (await argo.selected(), await argo.ready_addresses()) == ("blue", 2)
    await argo.abort()
    argo.cluster.advance(60)
    assert (await argo.selected(), await argo.ready_addresses(), await argo.replicas("green")) == ("blue", 2, 0)


@pytest.mark.parametrize("aborted", [False, True], ids=["as it is", "aborted first"])
@pytest.mark.parametrize("later", [0, 10], ids=["at once", "later"])
async def test_the_service_first_and_then_the_template_always_end_on_blue_without_a_pause(verifying, aborted, later):
    argo = verifying.argo
    if aborted:
        await argo.abort()
    since = argo.cluster.objects.version
    await verifying.select_blue()
    argo.cluster.advance(later)
    await verifying.write_blue()
    assert await verifying.end() == ("blue", "Healthy", 2)
    assert len(argo.past("services", ACTIVE, since)) <= 1  # ours, or none when the abort had done it


async def test_within_the_delay_the_template_is_an_instant_switch(promoted):
    since = promoted.argo.cluster.objects.version
    await promoted.write_blue()
    assert await promoted.end() == ("blue", "Healthy", 2)
    assert not [state for state in promoted.argo.past(since=since) if state["status"].get("pauseConditions")]


async def test_a_template_that_is_written_in_the_moment_of_the_cut_over_pauses_on_green():
    """Blue has no deadline yet."""
    async with rollout_cluster() as argo:
        template = (await argo.rollout())["spec"]["template"]
        await argo.set_image("green")
        objects = argo.cluster.objects

        def back(change):
            if change.plural == "services" and change.after["metadata"]["name"] == ACTIVE:
                unsubscribe()
                patch = [{"op": "replace", "path": "/spec/template", "value": template}]
                objects.patch("rollouts", "mochi", "mochiapp", patch, "application/json-patch+json")

        unsubscribe = objects.subscribe(back)
        await argo.promote()
        assert (await argo.selected(), await argo.previewed(), await argo.pauses()) == (
            "green",
            "blue",
            ["BlueGreenPause"],
        )


@pytest.mark.parametrize("later", [0, 10], ids=["at once", "later"])
@pytest.mark.parametrize("sick", [False, True], ids=["all ready", "one not ready"])
async def test_after_the_promotion_the_service_first_ends_on_blue_too(promoted, sick, later):
    argo = promoted.argo
    if sick:
        await argo.fail("green")
    await promoted.select_blue()
    argo.cluster.advance(later)
    await promoted.write_blue()
    assert await promoted.end() == ("blue", "Healthy", 2)


async def test_the_service_by_hand_outlives_the_delay_and_a_late_template_makes_it_good(promoted):
    argo = promoted.argo
    await promoted.select_blue()
    argo.cluster.advance(38)
    assert (await argo.selected(), await argo.replicas("blue"), (await argo.phase())[0]) == ("blue", 2, "Paused")
    await promoted.write_blue()
    status = await argo.status()
    assert await promoted.end() == ("blue", "Healthy", 2)
    assert status["currentPodHash"] == status["stableRS"] == status["blueGreen"]["activeSelector"] == promoted.blue


async def test_after_the_promotion_an_abort_does_nothing(promoted):
    await promoted.argo.abort()
    assert await promoted.end() == ("green", "Healthy", 2)


async def test_a_rollback_window_hangs_before_the_cut_over_until_it_is_promoted_in_full():
    async with rollout_cluster(rollbackWindow={"revisions": 2}) as argo:
        argo.cluster.advance(10)
        await argo.set_image("green")
        await argo.promote()
        argo.cluster.advance(31)
        await argo.set_image("blue")
        argo.cluster.advance(60)
        await argo.nudge()
        assert (await argo.phase(), await argo.pauses()) == (("Progressing", "active service cutover pending"), [])
        assert await argo.selected() == "green"
        await argo.promote_full()
        assert (await argo.selected(), await argo.phase()) == ("blue", ("Healthy", ""))
