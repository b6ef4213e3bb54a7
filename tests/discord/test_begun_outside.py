"""A version that somebody else brings up, as people on Discord meet it."""

import pytest
from stage import opened

from bot.release.app import Argo, Notify
from sandbox.cluster import PatchType
from world import NAMESPACE, REPOSITORY


@pytest.fixture
async def stage(tmp_path, monkeypatch):
    async with opened(tmp_path, monkeypatch, target=Argo("mochiapp")) as made:
        yield made


async def set_image(stage):
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"{REPOSITORY}:green"}]
    objects = stage.world.cluster.objects
    objects.patch("rollouts", NAMESPACE, "mochiapp", patch, PatchType.JSON, manager="kubectl-set")
    stage.world.cluster.settle()
    await stage.settle()


async def test_its_end_is_told_though_there_is_nobody_to_mention(stage):
    """Discord takes no message that mentions nobody's id."""
    await set_image(stage)
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    await stage.roll_back(stage.sam, "upside down")
    assert "was rolled back by @sam" in (await stage.card()).content
    assert (await stage.thread()).endswith("back as it was")
    assert not [body for body in stage.messages if body["allowed_mentions"].get("users")]


async def promote(stage):
    objects = stage.world.cluster.objects
    patch = {"status": {"pauseConditions": None}}
    kind = {"subresource": "status", "manager": "kubectl-argo-rollouts"}
    objects.patch("rollouts", NAMESPACE, "mochiapp", patch, PatchType.MERGE, **kind)
    stage.world.cluster.settle()
    await stage.settle()


def calls(stage):
    """What called a role."""
    return [body for body in stage.messages if body["allowed_mentions"].get("roles")]


async def test_it_has_a_card_that_says_who_began_it_and_that_anybody_entitled_may_approve(stage):
    await set_image(stage)
    card = await stage.card()
    assert card.content == "🟡 mochi #1 (green) is waiting for QC and Lead"
    [embed] = card.embeds
    assert embed.footer.text == "started by kubectl-set at 09:00 UTC · mochi-1-t0"
    assert "begun outside by kubectl-set at 09:00 UTC, who that was is not known" in embed.description
    assert "anybody entitled may approve" in embed.description
    assert "begun outside by kubectl-set at 09:00 UTC" in await stage.thread()
    assert len(calls(stage)) == 1


async def test_the_same_people_approve_it_and_nobody_is_said_to_have_deployed_it(stage):
    await set_image(stage)
    await stage.react(stage.kim)
    await stage.react(stage.leo)
    assert (await stage.card()).content.startswith("🟢 mochi #1 (green) is live")
    await stage.advance(minutes=6)
    answer = await stage.slash(stage.guest, "status")
    live = next(field.value for field in answer.response.embeds[0].fields if field.name == "Live")
    assert "mochi:green" in live
    assert "by @" not in live
    answer = await stage.slash(stage.guest, "history")
    assert "started by kubectl-set at 09:00 UTC, approved by @kim and @leo" in answer.response.embeds[0].description


async def test_what_goes_live_without_them_calls_those_who_would_have_approved_once(stage):
    await set_image(stage)
    before = len(calls(stage))
    await promote(stage)
    card = await stage.card()
    assert card.content.startswith("🔴 mochi #1 (green) went live without approval: promoted outside by ")
    assert "`/rollback` takes it back." in card.embeds[0].description
    [call] = calls(stage)[before:]
    qc, lead = (stage.roles[name].id for name in ("QC", "Lead"))
    assert call["allowed_mentions"]["roles"] == [qc, lead]
    assert call["content"].startswith(f"<@&{qc}> <@&{lead}>: mochi #1 went live without your approval (promoted ")
    assert int(call["message_reference"]["message_id"]) == card.id
    await stage.restart()
    stage.bot.cards.changed(await stage.world.newest())
    await stage.settle()
    assert len(calls(stage)) == before + 1


async def test_a_rollback_takes_it_back(stage):
    await set_image(stage)
    await promote(stage)
    assert stage.world.serving() == {"green"}
    await stage.slash(stage.sam, "rollback", reason="nobody approved that")
    assert stage.world.serving() == {"blue"}
    assert "was rolled back by @sam to `mochi:blue`" in (await stage.card()).content


async def test_nobody_is_called_where_that_is_off(stage):
    stage.world.app = stage.app(target=Argo("mochiapp"), notify=Notify.OFF)
    await stage.restart()
    await set_image(stage)
    await promote(stage)
    assert (await stage.card()).content.startswith("🔴")
    assert calls(stage) == []
