"""How events become messages of a release's thread."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.store import Event
from cogs.limits import CONTENT, length, validate_message
from cogs.table import table
from cogs.thread import tellings

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
STAMP = f"<t:{int(AT.timestamp())}:t>"


def events(*texts, kind="note"):
    return [Event(kind, text, at=AT, id=number) for number, text in enumerate(texts, start=1)]


def test_what_fits_is_one_message_with_a_line_for_each_event():
    (telling,) = tellings(events("one", "two"))
    assert telling.text == f"{STAMP} one\n{STAMP} two"
    assert telling.told == 2
    assert not telling.ends


def test_what_does_not_fit_is_more_messages_each_of_which_knows_how_far_it_tells():
    found = list(tellings(events(*["x" * 500] * 10)))
    assert [telling.told for telling in found] == [3, 6, 9, 10]
    for telling in found:
        validate_message({"content": telling.text})


def test_a_very_long_event_is_cut():
    (telling,) = tellings(events("x" * 5000))
    assert len(telling.text) < CONTENT
    assert telling.text.endswith("…")


def test_events_without_a_text_are_told_by_silence():
    (telling,) = tellings(events("", "", ""))
    assert (telling.text, telling.told) == ("", 3)


def test_nothing_new_is_no_message():
    assert list(tellings([])) == []


def test_the_end_of_a_release_is_marked_even_when_it_has_no_text():
    for kind in ("phase:done", "phase:reverted", "phase:abandoned", "replaced"):
        assert [telling.ends for telling in tellings(events("", kind=kind))] == [True]


def test_lines_from_outside_mean_exactly_their_characters():
    (telling,) = tellings(events("@everyone **x** `code`\n# not a heading"))
    assert telling.text == f"{STAMP} @\u200beveryone \\*\\*x\\*\\* `code` \\# not a heading"


def test_an_earlier_message_that_got_there_with_its_ping_tells_what_it_told():
    """Its answer was lost, and an event came meanwhile: Discord answers the retry with what is there."""
    first, second, third = events("one", "one more", "scaled down", kind="phase:done")
    (late,) = tellings([first, second, third])
    for told in ([first], [first, second], [first, second, third]):
        (early,) = tellings(told)
        assert late.told_by(f"{early.text}\n<@1> mochi #1 is live") == told[-1].id
        assert late.told_by(early.text) == told[-1].id


def test_a_line_is_not_taken_for_another_that_it_begins_like():
    (late,) = tellings(events("one", "two"))
    assert late.told_by(f"{STAMP} one and a half") == 2  # none that is known: it is not told twice


# A whole result

RAW = '{"label": "mochi-1"}'


def result(*rows, number=2, text="gate load passed: p(95) 212 ms < 300 ms"):
    return Event(
        "gate:passed", text, at=AT, id=number, detail={"gate": "load", "report": {"raw": RAW, "rows": list(rows)}}
    )


def test_a_whole_result_is_a_message_of_its_own_between_the_lines_before_and_after():
    before, after = Event("note", "one", at=AT, id=1), Event("note", "two", at=AT, id=3)
    found = list(tellings([before, result(["✓", "p(95)", "212 ms"], ["✗", "http_reqs", "6"], ["checks"]), after]))
    assert [(telling.text, telling.told, telling.file) for telling in found] == [
        (f"{STAMP} one", 1, None),
        (
            f"{STAMP} gate load passed: p(95) 212 ms \\< 300 ms\n```\n✓ p(95)     212 ms\n✗ http_reqs 6\nchecks\n```",
            2,
            ("load.json", RAW),
        ),
        (f"{STAMP} two", 3, None),
    ]


def test_what_is_silent_before_a_whole_result_is_not_told_with_it():
    """The message is known by where it begins: it has to begin at the same place when it is tried again."""
    found = list(tellings([Event("intent", "", at=AT, id=1), result(["✓", "x", "1"]), Event("x", "", at=AT, id=3)]))
    assert [(telling.told, bool(telling.text)) for telling in found] == [(1, False), (2, True), (3, False)]


@pytest.mark.parametrize("detail", ["x" * 5000, "<" * 5000, "🟢" * 5000])
def test_a_whole_result_is_within_discords_limits_and_says_what_is_left_out(detail):
    rows = [["✓", f"{number} {'🟢' * 100}", "`" * 3 + "x"] for number in range(40)]
    [telling] = tellings([result(*rows, text=detail)])
    validate_message({"content": telling.text})
    *_, last, fence = telling.text.splitlines()
    assert (last.startswith("… "), last.endswith(" more, in the file"), fence) == (True, True, "```")


def test_what_stands_in_a_table_does_not_end_it():
    shown = table([["✓", "```\n@everyone", "<b>\u202e``"]], CONTENT)
    assert shown == "```\n✓ ''' @everyone <b>''\n```"


@given(st.lists(st.sampled_from([["heading"], ["✓", "name", "1 of 2"]]), max_size=60), st.integers(40, 400))
def test_a_table_says_how_many_rows_it_does_not_show(rows, room):
    shown = table(rows, room)
    assert length(shown) <= room
    left = re.search(r"… (\d+) more, in the file", shown)
    assert len(shown.splitlines()) - 2 - bool(left) + int(left[1] if left else 0) == len(rows)
