"""What is logged and how: one line per event on stderr, for people or as JSON, and never a secret.

Hides structlog and the standard library's logging behind one call. Everything, also what discord.py and aiohttp say,
takes the same way, and on it the last thing that happens to a line is that secrets are taken out of it: so no caller
has to remember.
"""

import json
import logging
import re
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from bot.release.record import Release
from bot.settings import LogFormat, LogLevel

_OURS = ("bot", "cogs", "migrations")

_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # An Authorization header, with or without its name: "Bearer …", "Basic …", "Bot …" (Discord's scheme).
    (re.compile(r"\b(Bearer|Basic|Bot|Token)(\s+)[A-Za-z0-9+/=._~-]{16,}", re.IGNORECASE), r"\1\2[secret]"),
    # A Discord bot token: its id in base64, a time stamp, a signature.
    (re.compile(r"\b[A-Za-z0-9_-]{23,30}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,}"), "[secret]"),
    # A JSON Web Token, such as a Kubernetes service account's.
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), "[secret]"),
    # Whoever has the token of an interaction or a webhook can answer in the bot's name.
    (re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/\s\"'?]+"), r"\1[secret]"),
    # The user part of an address: a database's or a proxy's password.
    (re.compile(r"(://[^/\s:@\"']*:)[^/\s@\"']+@"), r"\1[secret]@"),
)


def configure(level: LogLevel, format: LogFormat, *, secrets: tuple[str, ...] = (), to: TextIO | None = None) -> None:  # noqa: A002 - the setting's own name
    """Route every logger to `to` (stderr); `secrets` (the bot's token) and whatever looks like one are not shown.

    May be called again; the last call holds.
    """
    stream = to if to is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _about_release,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Redacting(secrets, shared, _rendering(format, colours=stream.isatty())))
    root = logging.getLogger()
    root.handlers = [handler]
    number = logging.getLevelNamesMapping()[level.upper()]
    # At DEBUG, libraries print whole bodies of answers: of the API server, of Discord, of a registry's token service.
    root.setLevel(max(number, logging.INFO))
    for name in _OURS:
        logging.getLogger(name).setLevel(number)
    # It tells every start at INFO how SQLite differs from other databases.
    logging.getLogger("alembic").setLevel(max(number, logging.WARNING))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _about_release(_: Any, __: str, event: EventDict) -> EventDict:
    """Whoever logs something of a release passes the record; a line then says its app, its label and its phase."""
    release = event.get("release")
    if isinstance(release, Release):
        event.update(app=release.app, release=release.label, phase=release.phase.value)
    return event


def redact(line: str, secrets: tuple[str, ...] = ()) -> str:
    """The line without `secrets`, bearer headers, tokens and passwords in addresses."""
    for secret in secrets:
        for spelling in {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}:
            line = line.replace(spelling, "[secret]") if spelling else line
    for pattern, instead in _SECRETS:
        line = pattern.sub(instead, line)
    return line


def _rendering(format: LogFormat, *, colours: bool) -> list[Processor]:  # noqa: A002 - as above
    tidy: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if format is LogFormat.JSON:
        # The plain traceback: the structured one would print the values of local variables.
        return [*tidy, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    console = structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)
    return [*tidy, console]


class _Redacting(structlog.stdlib.ProcessorFormatter):
    def __init__(self, secrets: tuple[str, ...], shared: list[Processor], rendering: list[Processor]) -> None:
        # What a library passes as `extra` is shown like our own keys.
        super().__init__(processors=rendering, foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()])
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record), self._secrets)
