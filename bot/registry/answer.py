"""What a registry's answer says: a document, where a list goes on, how to get in, when to come back.

Pure, and safe against anything that may stand there: what makes no sense raises `RegistryError`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from multidict import CIMultiDictProxy
from yarl import URL

from bot.registry.errors import RegistryError

_LONGEST_TOKEN = 3600.0  # seconds; what a registry says beyond that is not relied on
_TIMESTAMP = 1_000_000_000  # seconds that are so many are no waiting time but a date


@dataclass(frozen=True)
class Answer:
    """`host` is the registry as people call it, for sentences."""

    host: str
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def kind(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def json(self) -> dict[str, Any]:
        """The body, when it is a JSON object; else raises `RegistryError`."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise RegistryError(f"{self.host} answered something that no registry should: is it the right host?")
        return content

    def next_page(self, url: URL) -> URL | None:
        """Where the list that is at `url` goes on, on the same host; None at its end."""
        match = re.search(r'<([^<>]*)>\s*;[^,]*\brel="?next\b', self.headers.get("Link", ""))
        following = None if match is None else address(self.host, match[1], url)
        return following if following is not None and following.origin() == url.origin() else None


def address(host: str, text: str, base: URL) -> URL:
    """An address that a registry gave us, as it is written: signed ones do not survive being quoted anew."""
    try:
        given = base.join(URL(text, encoded=True))
        legal = re.fullmatch(r"[!-~]+", text) and given.scheme in {"http", "https"} and given.host
    except ValueError:
        legal = False
    if not legal or given.user is not None or given.password is not None:
        raise RegistryError(f"{host} sends us to an address that makes no sense. Is it the right host?")
    return given


def challenge(headers: list[str]) -> tuple[str, dict[str, str]]:
    """The scheme that a registry wants, and its parameters. Bearer where both are offered, as docker does."""
    for scheme in ("bearer", "basic"):
        for header in headers:
            match = re.search(rf"(?i)(?:^|,)\s*{scheme}\b(.*)", header)
            if match is not None:
                asked: dict[str, str] = {}
                for key, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s",]+))', match[1]):
                    asked.setdefault(key.lower(), quoted or plain)
                return scheme, asked
    return "", {}


def bearer(answer: Answer) -> tuple[str, float]:
    """The header that a token server's answer makes, and for how many seconds it is good."""
    given = answer.json()
    token, lives = given.get("token") or given.get("access_token"), given.get("expires_in")
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
        raise RegistryError(f"{answer.host} gave no token where it should have. Is it the right host?")
    # 60 is the standard's default; some seconds less, for the way there. The bound comes first: JSON knows numbers
    # that are too large to reckon with.
    seconds = min(lives, _LONGEST_TOKEN) if isinstance(lives, int | float) else 60.0
    return f"Bearer {token}", max(seconds, 0.0) - 5.0


def pause(answer: Answer) -> float | None:
    """For how many seconds we are asked to wait, by the registry's own clock; None if that is not said."""
    asked = answer.headers.get("Retry-After", "").strip()
    seconds = int(asked) if re.fullmatch(r"[0-9]{1,12}", asked) else None
    if seconds is not None and seconds < _TIMESTAMP:
        return float(seconds)
    until, now = _date(asked) if seconds is None else float(seconds), _date(answer.headers.get("Date", ""))
    return None if until is None or now is None else max(0.0, until - now)


def rationed(answer: Answer) -> str:
    wait = pause(answer)
    when = "try again later" if wait is None else f"try again in {_span(wait)}"
    return f"{answer.host} rations requests and ours are used up: log in there, or {when}."


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _span(seconds: float) -> str:
    """Rounded up: whoever comes back then does not come too early."""
    unit, name = next((each for each in ((1, "s"), (60, "min")) if seconds <= 99 * each[0]), (3600, "h"))
    return f"{max(1, math.ceil(seconds / unit))} {name}"
