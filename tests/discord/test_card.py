"""What a card shows in each phase, and that it stays readable and legal whatever things are called."""

from dataclasses import replace
from datetime import timedelta

import pytest
from views import ANN, APP, KIM, LEAD, LEE, NOW, QC, RELEASE, ROLES, SHAPES, extreme, view, with_button

from bot.clusters.cluster import Link
from bot.release.app import Approval, Requirement
from bot.release.approvals import Vote
from bot.release.record import NOBODY, Cause, Person
from bot.release.snapshot import Check, Verdict
from bot.release.verbs import Verb
from bot.view import Kind, WayBack
from cogs.card import Around, face, payload
from cogs.limits import length, validate_message

FIRST_LINES = {
    "staging": "🔵 mochi #7 (green) is being prepared",
    "ready": "🟡 mochi #7 (green) is waiting for QC and Lead",
    "promoting": "🔵 mochi #7 (green) was approved by @kim and @lee, switching",
    "baking": f"🟢 mochi #7 (green) is live, watching until <t:{int(NOW.timestamp()) + 1800}:t>",
    "done": "🟢 mochi #7 (green) is live",
    "done, cold": "🟢 mochi #7 (green) is live",
    "reverting": "🟠 mochi #7 (green) is being taken back: asked by @ann: too slow",
    "reverting, guarded": ("🟠 mochi #7 (green) is being taken back: guard page failed: answered 500, wanted 200"),
    "rejected": '⚪ mochi #7 (green) was rejected by @kim: "logo is wrong"',
    "expired": "⚪ mochi #7 (green) expired: nobody approved it in time",
    "failed": "⚪ mochi #7 (green) could not start: pod mochi-green-x2k: cannot pull the image",
    "late": "⚪ mochi #7 (green) was not released: not ready in time: green has 1 of 3 pods ready",
    "withdrawn": "⚪ mochi #7 (green) was abandoned by @ann",
    "replaced": "⚪ mochi #7 (green) was replaced by #8",
    "rolled back": "🟠 mochi #7 (green) was rolled back by @ann to `mochi:blue` after 4 min: too slow",
    "guarded": (
        "🟠 mochi #7 (green) was rolled back to `mochi:blue` after 24 s: guard page failed: answered 500, wanted 200"
    ),
    "unapproved": (
        "🔴 mochi #7 (green) went live without approval: promoted outside by kubectl-argo-rollouts at 14:02 UTC"
    ),
    "abandoned": "🔴 mochi #7 (green) was left alone: the active Service was changed by kubectl at 14:02 UTC",
}
TITLES = {
    "staging": "preparing",
    "ready": "waiting for approval",
    "promoting": "switching",
    "baking": "live, being watched",
    "done": "live",
    "done, cold": "live",
    "reverting": "rolling back",
    "reverting, guarded": "rolling back",
    "rejected": "not released",
    "expired": "not released",
    "failed": "not released",
    "late": "not released",
    "withdrawn": "not released",
    "replaced": "replaced",
    "rolled back": "rolled back",
    "guarded": "rolled back",
    "unapproved": "live without approval",
    "abandoned": "left as it is",
}
BUTTONS = {
    "staging": ("Preview", "Production", Verb.ABANDON),
    "ready": ("Preview", "Production", Verb.REJECT),
    "promoting": ("Production", Verb.ROLL_BACK),
    "baking": ("Production", Verb.ROLL_BACK),
    "done": ("Production", Verb.ROLL_BACK, Verb.RELEASE_CAPACITY),
    "done, cold": ("Production", Verb.ROLL_BACK),
    "reverting": ("Production",),
    "reverting, guarded": ("Production",),
    "rejected": ("again",),
    "expired": ("again",),
    "failed": ("again",),
    "late": ("again",),
    "withdrawn": ("again",),
    "replaced": ("#8",),
    "rolled back": ("Production",),
    "guarded": ("Production",),
    "unapproved": ("Production",),
    "abandoned": ("Production",),
}

BOTH = (Vote(KIM, approve=True), Vote(LEE, approve=True))


def drawn(*args, **changes):
    return face(view(*args, **changes), Around(ROLES))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_first_line_says_alone_what_happens(shape):
    assert drawn(shape).content == FIRST_LINES[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_title_says_the_state_in_words(shape):
    assert drawn(shape).embed.title == f"mochi #7 · {TITLES[shape]}"


@pytest.mark.parametrize("shape", SHAPES)
def test_each_phase_offers_what_can_be_done_in_it(shape):
    shown = face(view(shape), Around(ROLES, successor="https://discord.com/channels/1/2/3"))
    assert (*(link.label for link in shown.links), *shown.verbs, *(["again"] if shown.again else [])) == BUTTONS[shape]


def test_a_staging_card_shows_image_digest_live_version_and_how_many_pods_are_ready():
    lines = drawn("staging", reason="green has 3 of 5 pods ready").embed.description.splitlines()
    assert lines == [
        "`mochi:green` `sha256:1a2b3c4d5e6f`",
        f"live now: `mochi:blue`, since <t:{int(NOW.timestamp()) - 172800}:R>, by @ann",
        "`▰▰▰▱▱` 3 of 5 pods ready",
    ]


def test_what_the_bar_does_not_say_is_said_beside_it():
    trouble = "pod mochi-green-x2k: cannot pull the image (not found)"
    assert f"⏳ {trouble}" in drawn("staging", reason=trouble).embed.description


@pytest.mark.parametrize(
    ("ready", "wanted", "bar"), [(0, 3, "▱▱▱▱▱"), (3, 3, "▰▰▰▰▰"), (1, 3, "▰▱▱▱▱"), (4, 3, "▰▰▰▰▰")]
)
def test_the_bar_is_full_only_when_all_pods_are_ready(ready, wanted, bar):
    assert f"`{bar}` {ready} of {wanted}" in drawn("staging", progress=(ready, wanted)).embed.description


def test_nobody_divides_by_the_pods_of_an_empty_side():
    assert "0 of 0 pods ready" in drawn("staging", progress=(0, 0)).embed.description


def test_the_preview_of_a_version_that_is_being_prepared_is_offered_once_it_answers():
    silent = Link("http://preview.mochi.example.com/", answers=False)
    assert [link.label for link in drawn("staging", preview=silent).links] == ["Production"]
    ready = drawn("ready", preview=silent)
    assert [link.label for link in ready.links] == ["Preview", "Production"]
    assert "The preview does not answer yet." in ready.embed.description


def test_votes_are_counted_on_the_card_by_requirement():
    shown = drawn("ready", votes=(Vote(KIM, approve=True),))
    field = next(field for field in shown.embed.fields if field.name == "Approvals")
    assert field.value == "QC 1 of 1 ✅ @kim\nLead 0 of 1"
    assert shown.content == "🟡 mochi #7 (green) is waiting for Lead"


def test_more_than_one_missing_person_of_a_role_is_counted():
    app = replace(APP, approval=Approval((Requirement(frozenset({QC, LEAD}), 3),)))
    assert drawn("ready", app=app).content == "🟡 mochi #7 (green) is waiting for 3 from QC or Lead"


def test_a_reached_quorum_that_may_not_switch_yet_says_what_it_waits_for():
    shown = drawn("ready", votes=BOTH, reason="green has 1 of 3 pods ready")
    assert shown.content == "🟡 mochi #7 (green) cannot be promoted yet: green has 1 of 3 pods ready"
    assert shown.embed.title.endswith("waiting for checks")


def test_promote_is_offered_after_the_quorum_and_only_where_the_policy_has_the_button():
    assert Verb.PROMOTE not in drawn("ready", app=with_button()).verbs
    assert Verb.PROMOTE not in drawn("ready", votes=BOTH).verbs
    shown = drawn("ready", app=with_button(), votes=BOTH)
    assert shown.verbs == (Verb.PROMOTE, Verb.REJECT)
    assert shown.content == "🟡 mochi #7 (green) is approved and waits for an approver to press Promote"


@pytest.mark.parametrize(
    ("cause", "by", "reason", "says"),
    [
        (Cause.REJECTED, KIM, "logo", "rejected by @kim: logo"),
        (Cause.WITHDRAWN, ANN, "", "abandoned by @ann"),
        (Cause.ROLLED_BACK, None, "", "asked for"),
        (Cause.EXPIRED, None, "nobody approved it in time", "expired: nobody approved it in time"),
        (Cause.EMPTY, None, "no pod of green answered after the switch", "no pod of green answered after the switch"),
    ],
)
def test_a_release_that_goes_back_says_why(cause, by, reason, says):
    release = replace(view("reverting").release, cause=cause, by=by, reason=reason)
    shown = face(replace(view("reverting"), release=release), Around(ROLES))
    assert shown.content == f"🟠 mochi #7 (green) is being taken back: {says}"


def test_a_production_that_does_not_answer_is_said():
    shown = drawn("ready", production=Link("https://mochi.example.com/", answers=False), preview=None)
    assert "Production does not answer." in shown.embed.description
    assert "No address leads to the preview." in shown.embed.description
    assert [link.label for link in shown.links] == ["Production"]


@pytest.mark.parametrize("shape", ["staging", "ready", "promoting"])
def test_a_version_that_is_brought_back_asks_nobody(shape):
    shown = drawn(shape, restores=6, votes=BOTH)
    assert shown.content == "🟠 mochi #7 (green) is being brought back in the place of #6"
    assert shown.embed.title == "mochi #7 · rolling back"
    assert {field.name: field.value for field in shown.embed.fields}["Approvals"] == "not needed to go back"
    assert not shown.voting
    assert not drawn("failed", restores=6).again


def test_reactions_belong_below_a_card_only_while_votes_count():
    assert [shape for shape in SHAPES if drawn(shape).voting] == ["ready"]


@pytest.mark.parametrize(
    ("way_back", "says"),
    [
        (
            WayBack(Kind.INSTANT, "r.example.com/mochi:blue", NOW + timedelta(hours=1)),
            f"instant until <t:{int(NOW.timestamp()) + 3600}:t>",
        ),
        (WayBack(Kind.INSTANT, "r.example.com/mochi:blue"), "instant"),
        (WayBack(Kind.REDEPLOY, "r.example.com/mochi:blue"), "redeploys `mochi:blue`"),
    ],
)
def test_a_live_card_says_which_kind_of_rollback_there_is(way_back, says):
    fields = {field.name: field.value for field in drawn("done", way_back=way_back).embed.fields}
    assert fields["Roll back"] == says


def test_open_connections_are_mentioned_while_the_old_version_is_warm():
    assert "Connections that were open before" in drawn("done").embed.description
    assert "Connections that were open before" not in drawn("done, cold").embed.description


def test_a_release_that_is_not_live_any_more_does_not_say_so_and_offers_nothing():
    shown = face(view("done", current=False, buttons=()), Around(ROLES, taken_over=9))
    assert shown.content == "⚪ mochi #7 (green) was live until #9"
    assert shown.verbs == ()


def test_warnings_stay_on_the_card_while_the_release_is_open():
    notes = ("the tag could not be resolved",)
    assert "⚠️ the tag could not be resolved" in drawn("ready", notes=notes).embed.description
    assert "⚠️" not in (drawn("rejected", notes=notes).embed.description or "")


def test_the_footer_says_who_asked_and_what_to_search_the_cluster_for():
    assert drawn("ready").embed.footer.text == "asked by ann · mochi-7-k3f9q2"


def test_of_a_release_that_somebody_else_began_the_footer_says_who_and_when():
    outside = "kubectl-set at 14:02 UTC"
    known = drawn("ready", begun_by=outside).embed.footer.text
    assert known == "started by ann (kubectl-set at 14:02 UTC) · mochi-7-k3f9q2"
    unknown = drawn("ready", begun_by=outside, author=Person(NOBODY, "kubectl-set")).embed.footer.text
    assert unknown == "started by kubectl-set at 14:02 UTC · mochi-7-k3f9q2"


def test_what_went_live_unapproved_can_be_taken_back_as_long_as_it_is_the_newest():
    assert "`/rollback` takes it back." in drawn("unapproved").embed.description
    assert "/rollback" not in drawn("unapproved", current=False).embed.description
    assert "/rollback" not in drawn("abandoned").embed.description


# Gates

BEFORE = Check("pre-promotion analysis", "argo", Verdict.PASSED)
AFTER = Check("post-promotion analysis", "argo", Verdict.FAILED, "errors measured 3, wanted result < 1")


def gates(shape="ready", **changes):
    return {field.name: field.value for field in drawn(shape, **changes).embed.fields}.get("Gates")


def test_each_gate_is_a_row_with_its_state_in_a_sign_and_in_words():
    assert gates("baking", checks=(BEFORE, AFTER)).splitlines() == [
        "✅ pre-promotion analysis (argo) passed",
        "❌ post-promotion analysis (argo) failed: errors measured 3, wanted result \\< 1",
    ]


@pytest.mark.parametrize(
    ("verdict", "row"),
    [
        (Verdict.RUNNING, "⏳ pre-promotion analysis (argo) is running"),
        (Verdict.PASSED, "✅ pre-promotion analysis (argo) passed"),
        (Verdict.FAILED, "❌ pre-promotion analysis (argo) failed"),
        (Verdict.NONE, "❔ pre-promotion analysis (argo) has no verdict"),
    ],
)
def test_only_a_gate_that_passed_looks_like_one(verdict, row):
    assert gates(checks=(replace(BEFORE, verdict=verdict),)) == row


def test_a_card_without_gates_has_no_field_for_them():
    assert gates() is None


@pytest.mark.parametrize("shape", ["reverting", "failed", "abandoned"])
def test_what_a_gate_measured_stays_on_the_card_of_a_release_that_went_back_because_of_it(shape):
    assert "errors measured 3" in gates(shape, checks=(AFTER,))


def test_the_namespace_is_named_where_there_are_several():
    assert face(view(), Around(ROLES)).embed.author.name == "mochi"
    assert face(view(), Around(ROLES, place="eu/mochi")).embed.author.name == "mochi · eu/mochi"


def test_who_is_asked_reads_what_would_go_live_where_instead_of_what_and_until_when():
    """S7: against an approval out of habit."""
    waiting = view("ready")
    embed = face(waiting, Around(ROLES, place="eu-1/mochi")).embed
    assert embed.author.name == "mochi · eu-1/mochi"
    digest = RELEASE.image.partition("@sha256:")[2][:12]
    assert f"`mochi:green` `sha256:{digest}`" in embed.description
    assert "live now: `mochi:blue`" in embed.description
    [until] = [field.value for field in embed.fields if field.name == "Until"]
    assert until == f"<t:{int(waiting.until.timestamp())}:R>"


def test_two_looks_have_two_fingerprints_and_one_look_has_one():
    prints = [drawn(shape).fingerprint for shape in SHAPES]
    assert len(set(prints)) == len(prints) - 0
    assert prints == [drawn(shape).fingerprint for shape in SHAPES]
    assert all(len(each) <= 60 for each in prints)


HOSTILE = [
    "@everyone",
    "everyone",
    "<@123456789012345678> <@&123456789012345678> <#123456789012345678>",
    "**bold** __under__ ~~no~~ ||spoiler|| `code` [click](https://evil.example)",
    "```\nblock\n```",
    "# heading\n> quote\n- list\n1. one",
    "\u202etxet\u202c \u200b\u2066x\u0000\x07\x1b[31m",
    "\ud800 lone",
    "x" * 300,
    "`" * 120,
    "🟢" * 200,
    "\\" * 100,
    " ",
    "",
]


@pytest.mark.parametrize("text", HOSTILE, ids=[repr(text)[:20] for text in HOSTILE])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_card_is_legal_whatever_things_are_called(shape, text):
    shown = extreme(shape, text)
    validate_message(payload(shown, []))
    assert all(length(link.url) <= 512 for link in shown.links)
    everything = [shown.content, shown.embed.title, shown.embed.description, *(f.value for f in shown.embed.fields)]
    for each in everything:
        outside_code = "".join(each.split("`")[::2]) if each.count("`") % 2 == 0 else each
        assert "@everyone" not in outside_code
        assert "\n#" not in each
        assert not any(hidden in each for hidden in "\u202e\u2066\x00\x1b")
        assert "https://evil" not in outside_code
        assert each.count("`") % 2 == 0 or "\\`" in each


@pytest.mark.parametrize("shape", SHAPES)
def test_a_long_name_leaves_the_rest_of_the_first_line_readable(shape):
    shown = extreme(shape, "x" * 300)
    assert shown.content[1:].startswith(" mochi #7 (xxx")
    assert length(shown.content) <= 500


def test_the_record_of_the_example_is_not_changed_by_drawing():
    before = repr(RELEASE)
    drawn("ready", votes=(Vote(LEE, approve=True),))
    assert repr(RELEASE) == before
