"""One run of a check: what it comes to, or why it comes to nothing."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import structlog

from bot.gates.finding import Finding, unclear
from bot.release.app import Gate, Guard
from bot.release.record import Release

log = structlog.get_logger()


class CutShortError(Exception):
    """It has no finding of its own; the text says why. `late`: it was not through in time, else it broke."""

    def __init__(self, why: str, *, late: bool) -> None:
        super().__init__(why)
        self.late = late


def token() -> str:
    """By which a person's words lead to a line of the log."""
    return secrets.token_hex(2)


async def outcome(
    asked: Awaitable[Finding], of: Gate | Guard, release: Release, token: Callable[[], str] = token
) -> Finding:
    """Raises `CutShortError`. A finding of one that did not let itself be stopped in time is not taken for one."""
    late = f"it was not through after {of.timeout.total_seconds():g} s"
    try:
        async with asyncio.timeout(of.timeout.total_seconds()) as limit:
            finding = await asked
    except TimeoutError:
        raise CutShortError(late, late=True) from None
    except Exception as error:
        what, ref = "guard" if isinstance(of, Guard) else "gate", token()
        event = f"{what} broke"
        log.exception(event, release=release, ref=ref, **{what: of.name})
        raise CutShortError(f"something broke on our side (ref {ref})", late=False) from error
    return unclear(late) if limit.expired() else finding
