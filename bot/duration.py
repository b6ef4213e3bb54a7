"""Durations as people who run clusters write them."""

import json
import re
from datetime import timedelta

# Seven digits keep timedelta from overflowing; what is still absurd is refused as longer than a year.
_DURATION = re.compile(
    r"(?:(?P<days>\d{1,7})d)?(?:(?P<hours>\d{1,7})h)?(?:(?P<minutes>\d{1,7})m)?(?:(?P<seconds>\d{1,7})s)?"
)


def parse_duration(text: str) -> timedelta:
    """Read `30s`, `15m`, `2h`, `1d` or `1h30m`: whole numbers, the larger unit first, as Prometheus has it.

    Raises ValueError with a sentence. More than a year is taken for a slip.
    """
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f'{json.dumps(text)} is not a duration: write it like "30s", "15m", "2h", "1d" or "1h30m".')
    duration = timedelta(**{unit: int(amount) for unit, amount in match.groupdict().items() if amount})
    if not duration:
        raise ValueError(f"{json.dumps(text)} is no time at all: a duration is longer than zero.")
    if duration > timedelta(days=365):
        raise ValueError(f"{json.dumps(text)} is longer than a year (365d).")
    return duration


def write_duration(duration: timedelta) -> str:
    """As it is read, to the whole second: `1h30m`."""
    left, found = int(duration.total_seconds()), ""
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, left = divmod(left, seconds)
        found += f"{amount}{unit}" if amount else ""
    return found or "0s"
