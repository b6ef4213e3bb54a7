"""What is logged reaches people whole, and secrets never do."""

import io
import json
import logging
import warnings

import pytest
import structlog

from bot.log import configure, redact
from bot.settings import LogFormat, LogLevel
from release.examples import release

NAMED = ("bot", "cogs", "migrations", "alembic")
TOKEN = "a-token.of/the+test"
DISCORD = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GaBcDe.0123456789-0123456789_0123456789abcdef"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl"


@pytest.fixture
def logged():
    """Logs as configured, into a text; puts everything back as it was."""
    root = logging.getLogger()
    before = (
        root.handlers,
        root.level,
        {name: logging.getLogger(name).level for name in ("bot", "cogs", "migrations")},
    )
    text = io.StringIO()

    def start(level: LogLevel = LogLevel.INFO, format_: LogFormat = LogFormat.JSON, *secrets: str) -> io.StringIO:
        configure(level, format_, secrets=secrets, to=text)
        return text

    yield start
    root.handlers, root.level = before[0], before[1]
    for name, level in before[2].items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_a_json_line_says_who_what_when_and_how_bad(logged):
    text = logged()
    structlog.get_logger("bot.controller").warning("waiting", app="mochi", pods=3)
    line = json.loads(text.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "waiting", "app": "mochi", "pods": 3, "level": "warning", "logger": "bot.controller"}


def test_a_line_about_a_release_says_its_app_its_label_and_its_phase(logged):
    """Whoever searches for one of them finds all that happened to it."""
    text = logged()
    structlog.get_logger("bot.controller").info("written", release=release(), write="switch")
    line = json.loads(text.getvalue())
    assert {key: line[key] for key in ("app", "release", "phase")} == {
        "app": "mochi",
        "release": release().label,
        "phase": "staging",
    }


def test_libraries_take_the_same_way(logged):
    text = logged()
    logging.getLogger("discord.client").info("logging in as %s", "bot")
    line = json.loads(text.getvalue())
    assert (line["event"], line["logger"], line["level"]) == ("logging in as bot", "discord.client", "info")


def test_debug_is_for_our_own_words_only(logged):
    """kubernetes_asyncio and discord.py log whole bodies at that level."""
    text = logged(LogLevel.DEBUG)
    logging.getLogger("kubernetes_asyncio.client.rest").debug("response body: secret")
    structlog.get_logger("bot.controller").debug("looked")
    structlog.get_logger("cogs.release").debug("drawn")
    assert [json.loads(line)["event"] for line in text.getvalue().splitlines()] == ["looked", "drawn"]


def test_less_than_the_level_is_not_shown(logged):
    text = logged(LogLevel.ERROR)
    structlog.get_logger("bot").warning("a warning")
    logging.getLogger("aiohttp").warning("another")
    structlog.get_logger("bot").error("an error")
    assert [json.loads(line)["event"] for line in text.getvalue().splitlines()] == ["an error"]


def test_the_last_configuration_holds_alone(logged):
    text = logged()
    logged(LogLevel.INFO, LogFormat.TEXT)
    structlog.get_logger("bot").info("once", app="mochi")
    assert text.getvalue().count("once") == 1
    assert "app=mochi" in text.getvalue()


def test_context_that_was_bound_is_on_every_line(logged):
    text = logged()
    with structlog.contextvars.bound_contextvars(release="mochi-7-k3f9q2"):
        logging.getLogger("aiohttp").warning("slow")
    assert json.loads(text.getvalue())["release"] == "mochi-7-k3f9q2"


def test_warnings_are_logged(logged):
    text = logged()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old" in json.loads(text.getvalue())["event"]


def refuse(local: str) -> None:
    try:
        {}["the cause"]
    except KeyError as why:
        raise ValueError(f"refused: {TOKEN}") from why


@pytest.mark.parametrize("format_", LogFormat)
def test_a_traceback_is_whole_and_shows_no_values_and_no_secret(logged, format_):
    text = logged(LogLevel.INFO, format_, TOKEN)
    try:
        refuse(len(said := "value-") * said)
    except ValueError:
        structlog.get_logger("bot").exception("broke", ref="4f2a")
        logging.getLogger("discord").exception("broke too")
    said = text.getvalue()
    assert said.count("Traceback") == 4
    assert said.count("KeyError: 'the cause'") == 2
    assert said.count("refused: [secret]") == 2
    assert TOKEN not in said
    assert "value-value-" not in said


@pytest.mark.parametrize("format_", LogFormat)
def test_the_token_is_never_in_the_log(logged, format_):
    secret = 'with"quotes\\and-more'
    text = logged(LogLevel.INFO, format_, TOKEN, secret)
    structlog.get_logger("bot").info(f"in the event {TOKEN}", plain=TOKEN, deep={"headers": [TOKEN, secret]})
    logging.getLogger("aiohttp").info("in an argument %s", TOKEN)
    assert text.getvalue().count("[secret]") == 5
    assert TOKEN not in text.getvalue()
    assert "and-more" not in text.getvalue()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Authorization: Bearer abcdefghijklmnop0123", "Authorization: Bearer [secret]"),
        ("{'Authorization': 'Bot abcdefghijklmnop0123'}", "{'Authorization': 'Bot [secret]'}"),
        ("authorization: basic dXNlcjpwYXNzd29yZA==", "authorization: basic [secret]"),
        (f"logging in with {DISCORD}", "logging in with [secret]"),
        (f'{{"token": "{JWT}"}}', '{"token": "[secret]"}'),
        ("POST /webhooks/123/aB-c_d?wait=1", "POST /webhooks/123/[secret]?wait=1"),
        ("POST /interactions/123/aBcd/callback", "POST /interactions/123/[secret]/callback"),
        ("postgresql://green:hunter2@db/x", "postgresql://green:[secret]@db/x"),
        ("Bot mochi is ready", "Bot mochi is ready"),
        ("image registry.example.com:5000/mochi@sha256:" + "a" * 64, None),
        ("https://mochi.example.com:8443/a@b", None),
        ("release mochi-7-k3f9q2 is live", None),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_and_nothing_else(line, expected):
    assert redact(line) == (line if expected is None else expected)
