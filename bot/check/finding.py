"""What a check has found out: one thing each, right or wrong, and how to put it right."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum

WITHIN = 20.0
"""Seconds for one part of a check: longer than the deadlines of the calls in it, which name what they asked."""
UNREACHABLE = "See whether it can be reached from where Greenlight runs, and check again."


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    """Releases work; something is missed that the sentence names."""
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    part: str
    """Of what it is a part, for example `Discord` or `app mochi`."""
    about: str
    state: State
    sentence: str
    fix: str = ""
    """What to do; "" when it is right as it is."""
    paste: str = ""
    """Lines that are to be copied into a file as they are; "" when there are none."""


def ok(part: str, about: str, sentence: str, paste: str = "") -> Finding:
    return Finding(part, about, State.OK, sentence, paste=paste)


def warn(part: str, about: str, sentence: str, fix: str, paste: str = "") -> Finding:
    return Finding(part, about, State.WARN, sentence, fix, paste)


def fail(part: str, about: str, sentence: str, fix: str, paste: str = "") -> Finding:
    return Finding(part, about, State.FAIL, sentence, fix, paste)


async def answered(
    part: str, about: str, work: Awaitable[list[Finding]], *, within: float = WITHIN, fix: str = UNREACHABLE
) -> list[Finding]:
    """What `work` finds; that it hangs or breaks is one finding too, and never the end of the check."""
    try:
        async with asyncio.timeout(within):
            return await work
    except TimeoutError:
        return [fail(part, about, f"did not answer within {within:.0f} s.", fix)]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        why = " ".join(str(error).split())[:300] or type(error).__name__
        return [fail(part, about, why if why.endswith(".") else f"{why}.", fix)]
