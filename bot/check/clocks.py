"""Whether our clock and another one agree. Pure."""

from datetime import datetime, timedelta

from bot.check.finding import Finding, fail, ok, warn

SHOWN = timedelta(seconds=5)
"""From here on people see it: their apps show a card's times by their own clocks. The times in an answer's headers are
whole seconds, so less than this is no news.
"""
HARMFUL = timedelta(minutes=1)
"""From here on it decides: once the clock is put right, an `expires` or `bake_for` that is running ends that much too
early or too late, and credentials that are bound to a time are not taken.
"""
FIX = "Let NTP set the clock of the machine that Greenlight runs on."


def compared(part: str, whose: str, theirs: datetime | None, ours: datetime) -> list[Finding]:
    """Nothing to say when they did not tell the time."""
    if theirs is None:
        return []
    apart = ours - theirs
    if abs(apart) < SHOWN:
        return [ok(part, "clock", f"agrees with {whose}.")]
    side = "ahead of" if apart > timedelta() else "behind"
    said = f"is {abs(apart).total_seconds():.0f} s {side} that of {whose}:"
    if abs(apart) < HARMFUL:
        return [warn(part, "clock", f"{said} the times on cards are off by that.", FIX)]
    sentence = f"{said} deadlines end too early or too late, and credentials may not be taken."
    return [fail(part, "clock", sentence, FIX)]
