"""Discord refuses what is over its limits; the simulated one does not, so every message of a test is checked here."""

import pytest

from cogs.limits import (
    OverLimit,
    is_link,
    validate_choices,
    validate_command,
    validate_message,
    validate_modal,
    validate_reactions,
    validate_response,
    validate_thread,
)
from cogs.text import clip, code, line, listed, plain, sentence, span


def button(**changes):
    return {"type": 2, "style": 2, "label": "Roll back", "custom_id": "a"} | changes


def link(**changes):
    return {"type": 2, "style": 5, "label": "Preview", "url": "https://example.com/"} | changes


def row(*buttons):
    return {"type": 1, "components": list(buttons)}


def field(name="a", value="b"):
    return {"name": name, "value": value}


MESSAGES = {
    "content": ({"content": "x" * 2000}, {"content": "x" * 2001}),
    "wide characters": ({"content": "🟢" * 1000}, {"content": "🟢" * 1001}),
    "blank content": ({"content": ""}, {"content": " \n"}),
    "nonce": ({"nonce": "1" * 25}, {"nonce": "1" * 26}),
    "title": ({"embeds": [{"title": "x" * 256}]}, {"embeds": [{"title": "x" * 257}]}),
    "description": ({"embeds": [{"description": "x" * 4096}]}, {"embeds": [{"description": "x" * 4097}]}),
    "footer": ({"embeds": [{"footer": {"text": "x" * 2048}}]}, {"embeds": [{"footer": {"text": "x" * 2049}}]}),
    "author": ({"embeds": [{"author": {"name": "x" * 256}}]}, {"embeds": [{"author": {"name": "x" * 257}}]}),
    "fields": ({"embeds": [{"fields": [field()] * 25}]}, {"embeds": [{"fields": [field()] * 26}]}),
    "field name": ({"embeds": [{"fields": [field("x" * 256)]}]}, {"embeds": [{"fields": [field("x" * 257)]}]}),
    "empty field name": ({"embeds": [{"fields": [field()]}]}, {"embeds": [{"fields": [field("")]}]}),
    "field value": (
        {"embeds": [{"fields": [field("a", "x" * 1024)]}]},
        {"embeds": [{"fields": [field("a", "x" * 1025)]}]},
    ),
    "empty field value": ({"embeds": [{"fields": [field()]}]}, {"embeds": [{"fields": [field("a", "")]}]}),
    "whole embed": (
        {"embeds": [{"description": "x" * 4096, "footer": {"text": "x" * 1904}}]},
        {"embeds": [{"description": "x" * 4096, "footer": {"text": "x" * 1905}}]},
    ),
    "all embeds together": (
        {"embeds": [{"description": "x" * 3000}] * 2},
        {"embeds": [{"description": "x" * 3001}] * 2},
    ),
    "embeds": ({"embeds": [{"title": "x"}] * 10}, {"embeds": [{"title": "x"}] * 11}),
    "rows": ({"components": [row(link())] * 5}, {"components": [row(link())] * 6}),
    "buttons": ({"components": [row(*[link()] * 5)]}, {"components": [row(*[link()] * 6)]}),
    "an empty row": ({"components": []}, {"components": [row()]}),
    "label": ({"components": [row(button(label="x" * 80))]}, {"components": [row(button(label="x" * 81))]}),
    "custom id": (
        {"components": [row(button(custom_id="x" * 100))]},
        {"components": [row(button(custom_id="x" * 101))]},
    ),
    "missing custom id": ({"components": [row(button())]}, {"components": [row(button(custom_id=None))]}),
    "the same custom id": (
        {"components": [row(button(), button(custom_id="b"))]},
        {"components": [row(button(), button())]},
    ),
    "a link's address": (
        {"components": [row(link(url="https://a/" + "x" * 502))]},
        {"components": [row(link(url="https://a/" + "x" * 503))]},
    ),
    "a link's scheme": ({"components": [row(link())]}, {"components": [row(link(url="ftp://example.com"))]}),
    "a link with a custom id": ({"components": [row(link())]}, {"components": [row(link(custom_id="a"))]}),
    "a button with an address": ({"components": [row(button())]}, {"components": [row(button(url="https://a/"))]}),
    "a component of another kind": ({"components": [row(button())]}, {"components": [row({"type": 3})]}),
    "content that is no text": ({"content": "7"}, {"content": 7}),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_legal_up_to_the_limit_and_not_beyond(name):
    legal, illegal = MESSAGES[name]
    validate_message(legal)
    with pytest.raises(OverLimit):
        validate_message(illegal)


def modal(title="Roll back", label="Reason", **text):
    return {
        "title": title,
        "custom_id": "a",
        "components": [{"type": 18, "label": label, "component": {"type": 4, "custom_id": "b", "style": 1} | text}],
    }


@pytest.mark.parametrize(
    ("check", "legal", "illegal"),
    [
        (validate_thread, {"name": "x" * 100}, {"name": "x" * 101}),
        (validate_thread, {"name": "x"}, {"name": ""}),
        (validate_thread, {"name": "x"}, {"name": "   "}),
        (validate_modal, modal("x" * 45), modal("x" * 46)),
        (validate_modal, modal(label="x" * 45), modal(label="x" * 46)),
        (validate_modal, modal(placeholder="x" * 100), modal(placeholder="x" * 101)),
        (validate_modal, modal(value="x" * 4000), modal(value="x" * 4001)),
        (validate_modal, modal(), modal() | {"components": []}),
        (validate_modal, modal(), modal(type=2)),
        (validate_choices, [{"name": "a", "value": "a"}] * 25, [{"name": "a", "value": "a"}] * 26),
        (validate_choices, [{"name": "x" * 100, "value": "a"}], [{"name": "x" * 101, "value": "a"}]),
        (validate_choices, [{"name": "a", "value": "x" * 100}], [{"name": "a", "value": "x" * 101}]),
        (validate_choices, [{"name": "a", "value": 7}], [{"name": "", "value": 7}]),
        (validate_reactions, [str(number) for number in range(20)], [str(number) for number in range(21)]),
        (validate_response, {"type": 4, "data": {"content": "x"}}, {"type": 4, "data": {"content": "x" * 2001}}),
        (validate_response, {"type": 5}, {"type": 7, "data": {"content": "x" * 2001}}),
        (validate_response, {"type": 8, "data": {"choices": []}}, {"type": 8, "data": {"choices": [{"name": ""}]}}),
        (validate_response, {"type": 9, "data": modal()}, {"type": 9, "data": modal("")}),
        (validate_command, {"name": "deploy", "description": "x"}, {"name": "Deploy", "description": "x"}),
        (validate_command, {"name": "deploy", "description": "x"}, {"name": "de ploy", "description": "x"}),
        (validate_command, {"name": "deploy", "description": "x" * 100}, {"name": "deploy", "description": "x" * 101}),
        (
            validate_command,
            {"name": "a", "description": "x", "options": [{"name": "b", "description": "x", "required": True}]},
            {
                "name": "a",
                "description": "x",
                "options": [
                    {"name": "b", "description": "x"},
                    {"name": "c", "description": "x", "required": True},
                ],
            },
        ),
    ],
)
def test_other_things_are_legal_up_to_the_limit_and_not_beyond(check, legal, illegal):
    check(legal)
    with pytest.raises(OverLimit):
        check(illegal)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://", "http://a b/", "//a", "https://[::1", "http://a:99999/"]
)
def test_what_discord_would_not_link_to_is_no_link(url):
    assert not is_link(url)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("**bold** _it_", r"\*\*bold\*\* \_it\_"),
        ("@everyone", "@\u200beveryone"),
        ("<@123>", "\\<@\u200b123>"),
        ("[click](https://evil.example)", "\\[click](https:\u200b//evil.example)"),
        ("# big", r"\# big"),
        ("two\nlines\r\n\tand more", "two lines and more"),
        ("\u202eevil\u202c", "evil"),
        ("1. one", "1\u200b. one"),
        ("kim-ho (ops)", "kim-ho (ops)"),
    ],
)
def test_text_from_outside_means_exactly_its_characters(hostile, shown):
    assert plain(hostile, 100) == shown


def test_escaped_text_is_cut_with_its_escapes_counted():
    for limit in (5, 20, 61):
        assert len(plain("*" * 500, limit)) <= limit
        assert plain("*" * 500, limit).endswith("…")


def test_our_own_sentences_keep_their_code_spans_and_roles():
    said = "Only <@&12> or <@&13> may deploy `mo_chi`; @everyone is *not* asked"
    assert sentence(said, 200) == said.replace("*", r"\*").replace("@everyone", "@\u200beveryone")
    assert sentence("a `b` c", 200) == "a `b` c"
    assert sentence("an odd ` backtick", 200) == "an odd \\` backtick"
    assert all(len(sentence("a_ `b` " * 100, limit)) <= limit for limit in range(10, 200, 7))


def test_a_code_span_cannot_be_left():
    assert code("a`b", 20) == "`a'b`"
    assert code("", 20) == "`-`"
    assert code("x" * 50, 10) == "`xxxxxxx…`"


def test_a_cut_never_splits_a_wide_character():
    assert clip("🟢🟢🟢", 4) == "🟢…"
    assert line("a  b\u0000c", 10) == "a bc"


def test_lists_and_durations_read_as_people_say_them():
    assert [listed(list("abcde")[:n]) for n in range(6)] == [
        "",
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and d",
        "a, b, c and 2 more",
    ]
    assert [span(s) for s in (-1, 0, 59, 60, 3599, 3600, 86400)] == [
        "0 s",
        "0 s",
        "59 s",
        "1 min",
        "59 min",
        "1 h",
        "1 d",
    ]
