"""Buttons and forms: each verb, whom it obeys, pressed twice, pressed on old cards, pressed when Discord fails."""

from dataclasses import replace

import pytest

from bot.release.app import Switch
from bot.release.record import Cause, Phase
from bot.release.verbs import Verb
from sandbox.cluster import PatchType


async def test_reject_asks_for_a_reason_and_shows_it_on_the_card(stage):
    await stage.deploy()
    shown = await stage.press(stage.kim, Verb.REJECT)
    assert shown.modal["title"] == "Reject mochi #1"
    answer = await stage.fill(stage.kim, shown, "logo is\n**wrong**")
    assert answer.response.content == "mochi #1 is rejected; nothing was released."
    assert answer.ephemeral
    card = await stage.card()
    assert card.content == r'⚪ mochi #1 (green) was rejected by @kim: "logo is \*\*wrong\*\*"'
    assert stage.world.serving() == {"blue"}


async def test_reject_is_for_approvers(stage):
    await stage.deploy()
    answer = await stage.press(stage.guest, Verb.REJECT)
    assert answer.modal is None
    assert answer.ephemeral
    assert "may reject mochi" in answer.response.content


async def test_a_form_is_judged_by_the_roles_when_it_is_sent(stage):
    await stage.deploy()
    shown = await stage.press(stage.kim, Verb.REJECT)
    stage.env.backend.get_guild(stage.guild.id).members[stage.kim.id].role_ids.clear()
    answer = await stage.fill(stage.kim, shown, "")
    assert "may reject mochi" in answer.response.content
    assert await stage.phase() is Phase.READY


async def test_abandon_is_for_the_author_and_the_deployers(stage):
    await stage.deploy("slow")
    answer = await stage.press(stage.kim, Verb.ABANDON)
    assert "may abandon mochi" in answer.response.content
    answer = await stage.press(stage.ann, Verb.ABANDON)
    assert answer.response.content == "mochi #1 is abandoned; nothing was released."
    assert (await stage.card()).content.startswith("⚪ mochi #1 (slow) was abandoned by @ann")


async def test_the_author_can_abandon_without_the_role(stage):
    await stage.deploy("slow")
    stage.env.backend.get_guild(stage.guild.id).members[stage.ann.id].role_ids.clear()
    await stage.press(stage.ann, Verb.ABANDON)
    assert (await stage.world.newest()).cause is Cause.WITHDRAWN


async def test_promote_is_pressed_by_an_approver_after_the_quorum(stage):
    app = stage.world.app
    approval = replace(app.approval, switch=Switch.BUTTON)
    stage.world.app = replace(app, approval=approval)
    await stage.restart()
    await stage.deploy()
    await stage.react(stage.kim)
    assert "Promote" not in stage.labels(await stage.card())
    await stage.react(stage.leo)
    card = await stage.card()
    assert card.content == "🟡 mochi #1 (green) is approved and waits for an approver to press Promote"
    assert stage.labels(card) == ["Preview", "Production", "Promote", "Reject"]
    assert stage.world.serving() == {"blue"}
    answer = await stage.press(stage.ann, Verb.PROMOTE)
    assert "may promote mochi" in answer.response.content
    await stage.press(stage.leo, Verb.PROMOTE)
    assert stage.world.serving() == {"green"}


async def test_roll_back_asks_back_once_and_says_which_kind_it_would_be(stage):
    await stage.go_live()
    shown = await stage.press(stage.sam, Verb.ROLL_BACK)
    assert shown.modal["title"] == "Roll back mochi #1"
    assert shown.modal["components"][0]["description"] == "Moves traffic back to mochi:blue at once."
    assert stage.world.serving() == {"green"}


async def test_roll_back_is_role_gated(stage):
    await stage.go_live()
    answer = await stage.press(stage.kim, Verb.ROLL_BACK)
    assert answer.modal is None
    assert answer.response.content == (
        f"Only {stage.roles['On-call'].mention} may roll back mochi. You do not have that role."
    )
    assert stage.world.serving() == {"green"}


async def test_pressing_twice_does_nothing_twice(stage):
    """I2, I10: two forms are open, both are sent; traffic moves back once."""
    await stage.go_live()
    first, second = [await stage.press(stage.sam, Verb.ROLL_BACK) for _ in range(2)]
    switches = len(stage.world.switches())
    await stage.fill(stage.sam, first, "")
    answer = await stage.fill(stage.sam, second, "")
    assert len(stage.world.switches()) == switches + 1
    assert "there is nothing to roll back" in answer.response.content


async def test_a_rollback_needs_no_answer_from_discord(stage):
    """I10: nothing missing ever blocks a rollback."""
    await stage.go_live()
    shown = await stage.press(stage.sam, Verb.ROLL_BACK)
    for method, path in (("POST", "/interactions/*"), ("*", "/channels/*"), ("*", "/webhooks/*"), ("GET", "/guilds/*")):
        stage.env.inject_error(method, path, status=503, times=None)
    await stage.fill(stage.sam, shown, "")
    assert stage.world.serving() == {"blue"}
    stage.env.backend.faults.clear()
    await stage.env.advance_time(120)
    await stage.settle()
    assert (await stage.card()).content.startswith("🟠 mochi #1 (green) was rolled back by @sam")


async def test_capacity_is_not_released_unconfirmed(stage):
    await stage.go_live()
    await stage.advance(minutes=6)
    stage.env.inject_error("POST", "/interactions/*/*/callback", status=404, code=10062)
    await stage.press(stage.sam, Verb.RELEASE_CAPACITY)
    assert not (await stage.world.newest()).retire_asked


async def test_deploy_again_begins_a_new_release_of_the_very_same_content(stage):
    await stage.deploy()
    await stage.react(stage.kim, "⛔")
    before = await stage.world.newest()
    stage.world.shelf.tags["green"] = stage.world.shelf.tags["purple"]
    answer = await stage.press(stage.ann, "Deploy again")
    assert answer.response.content.startswith("mochi #2 (`mochi:green`) is being prepared")
    again = await stage.world.newest()
    assert (again.image, again.asked) == (before.image, "mochi:green")


async def test_deploy_again_is_for_deployers_and_for_the_newest_card(stage):
    await stage.deploy()
    await stage.react(stage.kim, "⛔")
    old = await stage.card()
    answer = await stage.press(stage.kim, "Deploy again")
    assert "may deploy mochi" in answer.response.content
    await stage.press(stage.ann, "Deploy again")
    assert stage.labels(await stage.card(1)) == []
    answer = await stage.press_stale(stage.ann, old, "again")
    assert answer == "mochi #1 is not the newest release any more: the buttons of an old card act on nothing."


@pytest.mark.parametrize("verb", ["promote", "reject", "abandon", "roll_back", "release_capacity"])
async def test_the_buttons_of_an_old_card_act_on_nothing(stage, verb):
    """I8: somebody presses a button that an outdated client still shows."""
    await stage.deploy("green")
    old = await stage.card()
    await stage.deploy("purple", replace=True)
    before = [await stage.world.store.release("mochi", number) for number in (1, 2)]
    answer = await stage.press_stale(stage.bo, old, verb)
    assert "mochi #1 is not the newest release" in answer
    assert before == [await stage.world.store.release("mochi", number) for number in (1, 2)]


@pytest.mark.parametrize(
    "custom_id", ["greenlight:mocha:1:reject", "greenlight:mochi:99:reject", "greenlight:mochi:1:x"]
)
async def test_a_button_about_something_unknown_is_answered(stage, custom_id):
    await stage.deploy("green")
    answer = await stage.press_stale(stage.kim, await stage.card(), custom_id)
    assert answer == "That release is not known any more: this button acts on nothing."


async def test_our_own_mistake_behind_a_button_is_answered_too(stage, monkeypatch):
    """discord.py only logs what a dynamic item's callback raises: the person would see nothing."""

    async def broken(*_, **__):
        raise KeyError("secret detail")

    await stage.deploy("slow")
    monkeypatch.setattr(stage.world.desk, "ask", broken)
    stage.expects_bugs = True
    answer = await stage.press(stage.ann, Verb.ABANDON)
    assert answer.response.content.startswith("That broke on our side (ref ")


async def test_the_rollback_command_works_in_every_phase_and_says_which_kind(stage):
    await stage.deploy("slow")
    answer = await stage.slash(stage.sam, "rollback", app="mochi", reason="never mind")
    assert answer.ephemeral
    assert answer.response.content == (
        "mochi #1 is being rolled back. The traffic has not moved; the new version is taken away again."
    )
    await stage.advance(minutes=1)
    await stage.go_live("green")
    answer = await stage.slash(stage.sam, "rollback")
    assert answer.response.content == "mochi #2 is being rolled back. Moves traffic back to `mochi:blue` at once."
    assert stage.world.serving() == {"blue"}
    answer = await stage.slash(stage.sam, "rollback")
    assert "there is nothing to roll back" in answer.response.content


async def test_a_live_version_can_be_taken_back_after_a_candidate_was_rejected(stage):
    """The slot of the version before it is gone: it is deployed anew, and that asks and pings nobody."""
    await stage.go_live("green")
    await stage.advance(minutes=6)
    await stage.deploy("purple")
    await stage.react(stage.kim, "⛔")
    await stage.advance(minutes=1)
    pings = len([body for body in stage.messages if body["allowed_mentions"].get("roles")])
    answer = await stage.slash(stage.sam, "rollback", reason="500s everywhere")
    assert answer.response.content == (
        "mochi #1 is being rolled back. Redeploys `mochi:blue`, about 40 s: the old pods are gone."
    )
    await stage.settle()
    assert stage.world.serving() == {"blue"}
    assert (await stage.card(3)).content.startswith("🟢 mochi #3 (blue) is live, watching until")
    assert (await stage.card(1)).content == "⚪ mochi #1 (green) was live until #3"
    assert len([body for body in stage.messages if body["allowed_mentions"].get("roles")]) == pings


async def test_the_rollback_command_is_role_gated_and_needs_a_release(stage):
    answer = await stage.slash(stage.sam, "rollback")
    assert answer.response.content == "mochi has had no release that could be rolled back."
    await stage.go_live()
    answer = await stage.slash(stage.guest, "rollback")
    assert "may roll back mochi" in answer.response.content
    assert stage.world.serving() == {"green"}


async def test_apps_are_proposed_to_those_who_may_roll_them_back(stage):
    offered = await stage.sam.autocomplete(stage.channel, "rollback", "app", "")
    assert [each["value"] for each in offered] == ["mochi"]
    assert await stage.guest.autocomplete(stage.channel, "rollback", "app", "") == []


async def test_a_live_card_offers_its_way_back_when_the_next_release_came_to_nothing(stage):
    await stage.go_live()
    await stage.advance(minutes=6)
    await stage.deploy("purple")
    assert "Roll back" not in stage.labels(await stage.card(1))
    await stage.react(stage.kim, "⛔")
    card = await stage.card(1)
    assert card.content == "🟢 mochi #1 (green) is live"
    assert stage.labels(card) == ["Production", "Roll back"]
    assert {field.name: field.value for field in card.embeds[0].fields}["Roll back"] == "redeploys `mochi:blue`"
    refused = await stage.press(stage.kim, Verb.ROLL_BACK, message=card)
    assert "may roll back mochi" in refused.response.content
    shown = await stage.press(stage.sam, Verb.ROLL_BACK, message=card)
    assert shown.modal["title"] == "Roll back mochi #1"
    assert shown.modal["components"][0]["description"].startswith("Redeploys mochi:blue")
    answer = await stage.fill(stage.sam, shown, "500s")
    assert answer.response.content.startswith("mochi #1 is being rolled back. Redeploys `mochi:blue`")
    await stage.advance(minutes=1)
    assert stage.world.serving() == {"blue"}
    assert "Roll back" not in stage.labels(await stage.card(1))
    assert (await stage.card(1)).content == "⚪ mochi #1 (green) was live until #3"


async def test_a_live_card_of_traffic_that_somebody_moved_says_who(stage):
    await stage.go_live()
    await stage.advance(minutes=6)
    patch = [{"op": "replace", "path": "/spec/selector", "value": {"app": "mochi"}}]
    stage.world.cluster.objects.patch("services", "mochi", "mochiapp", patch, PatchType.JSON, manager="kubectl")
    await stage.settle()
    card = await stage.card()
    assert card.content.startswith("🔴 mochi #1 (green) was live until its traffic was moved away by kubectl at ")
    assert "live now: not known, the traffic was moved by kubectl at " in card.embeds[0].description
    assert card.embeds[0].title == "mochi #1 · was live"


async def test_a_reason_that_somebody_typed_is_only_text_in_a_refusal(stage):
    await stage.go_live()
    await stage.roll_back(stage.sam, "**bold** [link](https://evil.example.com)")
    await stage.advance(minutes=1)
    answer = await stage.deploy("green")
    assert "rolled back as mochi #1" in answer.response.content
    assert "`replace:True`" in answer.response.content
    assert "**bold**" not in answer.response.content.replace("\\*", "")
    assert "https://" not in answer.response.content
