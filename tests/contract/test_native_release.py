"""A release from staging to live and back, as the API server and everybody who watches it sees it."""

import json

import pytest
from installed import names, ready, selectors

import mochi
from bot.clusters.cluster import ACTOR_NOTE, LABEL, RELEASE_NOTE
from bot.clusters.reading import container, replicas, selector, template_labels
from bot.release.record import Phase
from bot.release.snapshot import Traffic
from bot.release.verbs import Verb
from world import KIM, REPOSITORY, SAM, digest

WARM_AGAIN = {"minutes": 11}
"""More than the warm time of the example."""


async def test_staging_gives_the_idle_slot_image_label_and_pods_and_the_preview_follows(bot, installed):
    await bot.deploy("green")
    release = await bot.reaches(Phase.READY)
    slot, live = await installed.deployment(mochi.IDLE), await installed.deployment(mochi.LIVE)
    assert container(slot, None)[1]["image"] == f"{REPOSITORY}@{digest('green')}"
    assert template_labels(slot) == {"app": "mochi", "color": "green", LABEL: release.label}
    assert replicas(slot) == replicas(live) == 2
    assert selector(await installed.service(mochi.PREVIEW)) == release.selector
    assert release.selector == {"app": "mochi", LABEL: release.label}
    assert await installed.serving(2, mochi.PREVIEW) == names(await installed.pods_of("green"))


async def test_a_release_is_ready_only_when_the_endpoints_list_all_its_pods(bot, installed):
    """Its Deployment is long there before its pods are: the image is slow."""
    async with installed.record_endpoints(mochi.PREVIEW) as preview:
        await bot.deploy("slow")
        waiting = await bot.sees(lambda moment: moment.reason)
        assert waiting.reason == "mochiapp-green has 0 of 2 pods ready"
        refusal = await bot.desk.vote(waiting.release, KIM, approve=True)
        assert refusal == "mochi #1 is not waiting for approval."
        await bot.reaches(Phase.READY)
        assert len(ready((await preview.so_far())[-1], mochi.PREVIEW)) == 2


async def test_a_preview_that_shows_something_else_is_nothing_to_approve(bot, installed):
    """What the preview Service shows is what people look at, so without it nothing is complete."""
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await installed.select(mochi.PREVIEW, **{LABEL: "something-else"})
    await bot.sees(lambda moment: moment.seen and not moment.seen.candidate.complete)
    async with installed.record_service() as service:
        await bot.approve()
        waiting = await bot.sees(lambda moment: moment.reason)
        assert (waiting.release.phase, waiting.reason) == (Phase.READY, "mochiapp-green has 0 of 2 pods ready")
        assert len(await service.so_far()) == 1


async def test_the_switch_is_one_write_and_what_is_served_was_live_or_approved(bot, installed):
    """I3: after every event, not only at the end."""
    await bot.deploy("green")
    release = await bot.reaches(Phase.READY)
    blue, green = names(await installed.pods_of("blue")), names(await installed.pods_of("green"))
    async with installed.record_service() as service, installed.record_endpoints() as serving:
        await bot.approve()
        await bot.reaches(Phase.BAKING)
        assert await installed.serving(2) == green
        [before, after] = await service.so_far()
        assert selectors([before, after]) == [release.previous.selector, release.selector]
        assert all(ready(moment) <= blue | green for moment in await serving.so_far())
    notes = after[0]["metadata"]["annotations"]
    assert (notes[RELEASE_NOTE], notes[ACTOR_NOTE]) == (release.label, "kim, leo")
    assert after[0]["metadata"]["managedFields"][-1]["manager"] == "greenlight"


@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
async def test_the_switch_in_bytes(bot, sandbox, installed):
    """S26: method, path, content type and body of the one request that moves traffic."""
    await bot.deploy("green")
    release = await bot.reaches(Phase.READY)
    version = (await installed.service())["metadata"]["resourceVersion"]
    writes = len(sandbox.cluster.server.writes)
    await bot.approve()
    await bot.reaches(Phase.BAKING)
    [write] = sandbox.cluster.server.writes[writes:]
    assert (write.method, write.path) == ("PATCH", f"/api/v1/namespaces/{sandbox.namespace}/services/mochiapp")
    assert (write.content_type, write.query) == ("application/json-patch+json", {"fieldManager": "greenlight"})
    assert (write.status, write.user_agent) == (200, "greenlight")
    assert json.loads(write.body) == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "test", "path": "/spec/selector", "value": {"app": "mochi", "color": "blue"}},
        {"op": "remove", "path": "/spec/selector/color"},
        {"op": "add", "path": "/spec/selector/greenlight.dev~1release", "value": release.label},
        {"op": "add", "path": "/metadata/annotations/greenlight.dev~1released", "value": release.label},
        {"op": "add", "path": "/metadata/annotations/greenlight.dev~1by", "value": "kim, leo"},
    ]


async def test_rolling_back_is_one_write_to_the_service_while_the_previous_version_is_warm(bot, installed):
    """I10: no pod is made, no image is pulled, nothing but the Service is written."""
    release = await bot.release("green")
    green = await installed.serving(2)
    blue = names(await installed.pods_of("blue"))
    sent = len(bot.door.sent)
    async with installed.record_service() as service, installed.record_endpoints() as serving:
        await bot.ask(Verb.ROLL_BACK, SAM, "wrong prices")
        reverted = await bot.reaches(Phase.REVERTED)
        assert await installed.serving(2) == blue
        [_, after] = await service.so_far()
        assert selector(after[0]) == release.previous.selector
        assert all(ready(moment) <= blue | green for moment in await serving.so_far())
    assert [(kind, name) for kind, name, _ in bot.door.sent[sent:]] == [("Service", mochi.ACTIVE)]
    assert (reverted.by, reverted.reason, reverted.was_live) == (SAM, "wrong prices", True)
    assert after[0]["metadata"]["annotations"][ACTOR_NOTE] == "sam"


async def test_the_previous_version_stays_warm_until_its_time_is_over(bot, installed):
    """I11: its pods are as many as before the switch until `warm_for`, and none after it."""
    async with installed.record_deployment(mochi.LIVE) as blue:
        release = await bot.release("green")
        warm = await bot.stays_live()
        assert warm.until == release.live_at + bot.app.timing.warm_for
        assert {slot["status"].get("readyReplicas") for [slot] in await blue.so_far()} == {2}
        assert {replicas(slot) for [slot] in await blue.so_far()} == {2}
        bot.clock.skip(**WARM_AGAIN)
        await bot.reaches(Phase.DONE, retired=True)
        assert replicas((await blue.so_far())[-1][0]) == 0
    assert await installed.serving(2) == names(await installed.pods_of("green"))


async def test_going_back_to_a_version_that_is_gone_starts_it_first(bot, installed):
    """The Service is switched only when the previous version could take all the traffic."""
    release = await bot.release("green")
    await bot.stays_live()
    bot.clock.skip(**WARM_AGAIN)
    await bot.reaches(Phase.DONE, retired=True)
    green = await installed.serving(2)
    async with installed.record_service() as service, installed.record_endpoints() as serving:
        await bot.ask(Verb.ROLL_BACK, SAM)
        await bot.reaches(Phase.REVERTED)
        blue = await installed.serving(2)
        assert blue == names(await installed.pods_of("blue"))
        assert selectors(await service.so_far()) == [release.selector, release.previous.selector]
        assert all(ready(moment) <= blue | green for moment in await serving.so_far())
    assert container(await installed.deployment(mochi.LIVE), None)[1]["image"] == f"{REPOSITORY}:blue"


async def test_going_back_further_than_the_slots_reach_deploys_the_version_before_anew(bot, installed):
    """The slot of the version before was used for a release that came to nothing. Nobody has to approve a way back."""
    await bot.release("green")
    await bot.stays_live()
    await bot.deploy("purple")
    await bot.reaches(Phase.READY)
    await bot.ask(Verb.REJECT, KIM)
    await bot.reaches(Phase.REVERTED, retired=True)
    restored = await bot.desk.roll_back(bot.app, SAM, "wrong prices")
    await bot.reaches(Phase.BAKING)
    assert await installed.serving(2) == names(await installed.pods_with(restored.label))
    image = container(await installed.deployment(mochi.LIVE), None)[1]["image"]
    assert image == f"{REPOSITORY}@{digest('blue')}"  # what the pods had said they ran, whatever the tag means by now


async def test_the_next_release_goes_to_the_other_slot_and_back_to_the_one_before(bot, installed):
    first = await bot.release("green")
    await bot.stays_live()
    second = await bot.release("purple")
    assert (second.slot, second.previous.slot) == (mochi.LIVE, mochi.IDLE)
    assert second.previous.selector == first.selector
    slot = await installed.deployment(mochi.LIVE)
    assert container(slot, None)[1]["image"] == f"{REPOSITORY}@{digest('purple')}"
    assert await installed.serving(2) == names(await installed.pods_with(second.label))
    await bot.ask(Verb.ROLL_BACK, SAM)
    await bot.reaches(Phase.REVERTED)
    assert await installed.serving(2) == names(await installed.pods_with(first.label))


async def test_a_release_that_replaces_another_takes_its_slot_and_none_of_its_approvals(bot, installed):
    """I8: approvals were for what was shown."""
    await bot.deploy("green")
    old = await bot.reaches(Phase.READY)
    await bot.approve(KIM)
    async with installed.record_service() as service:
        new = await bot.deploy("purple", replace=True)
        await bot.reaches(Phase.READY)
        assert (new.slot, new.previous.selector) == (old.slot, old.previous.selector)
        assert await bot.store.votes(new) == ()
        assert len(selectors(await service.so_far())) == 1
    await bot.approve()
    moment = await bot.sees(lambda moment: moment.seen and moment.seen.traffic is Traffic.CANDIDATE)
    assert moment.release.label == new.label
    assert await installed.serving(2) == names(await installed.pods_with(new.label))
