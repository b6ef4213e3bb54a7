"""How events become messages of a release's thread."""

from datetime import UTC, datetime

from bot.store import Event
from cogs.limits import CONTENT, validate_message
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
