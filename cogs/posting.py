"""Messages are posted exactly once, however often that is tried: what a repetition is known by, and when it comes."""

import hashlib
from collections.abc import Mapping

import discord

from cogs.card import Face

RETRY, RETRY_AT_MOST = 2.0, 60.0
REFUSED, REFUSED_AT_MOST = 60.0, 600.0  # 10,000 refusals in ten minutes would ban our address
AN_HOUR = 3600.0
_LIMITED = 429


def retry_after(error: Exception, failures: int) -> float:
    """Seconds until the next attempt after that many failures in a row; rarer where nobody expects us to be."""
    status = getattr(error, "status", 0)
    refused = status in {401, 403, 404, 429}
    first, most = (REFUSED, REFUSED_AT_MOST) if refused else (RETRY, RETRY_AT_MOST)
    said = _said(error) if status == _LIMITED else None
    return min(most, first * 2.0 ** min(failures - 1, 10)) if said is None else min(said, AN_HOUR)


def _said(error: Exception) -> float | None:
    """How long to wait as whoever limits us says it, be it Discord or what stands before it."""
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", {})
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return None


def shows(message: discord.Message, shown: Face) -> bool:
    """Whether it is this that was posted, and not an earlier face of the card, which Discord answers with when it has
    seen the nonce before.
    """
    if message.content != shown.content or len(message.embeds) != 1:
        return False
    [there], wanted = message.embeds, shown.embed
    return all(
        getattr(there, part) == getattr(wanted, part) for part in ("title", "description", "fields", "footer", "author")
    )


def nonce(label: str, what: str, number: int) -> int:
    """The same for the same step of the same release; Discord drops a message whose nonce it has just seen."""
    return int.from_bytes(hashlib.sha256(f"{label} {what} {number}".encode()).digest()[:8])
