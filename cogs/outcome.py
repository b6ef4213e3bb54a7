"""What became of a release, in one line: for lists of past ones."""

from bot.release.record import Cause, Phase, Release
from cogs import words
from cogs.card import version
from cogs.text import person_name, plain, sentence, span

_SHORT = 80


def outcome(release: Release) -> str:
    """Sign, number, version, what happened, how long it took."""
    sign, happened = _happened(release)
    return words.outcome(sign, release.number, plain(version(release), _SHORT), happened, span(duration(release)))


def duration(release: Release) -> float:
    """Seconds from the request until it was live, or until it ended without."""
    return ((release.live_at or release.since) - release.created_at).total_seconds()


def _happened(release: Release) -> tuple[str, str]:
    by = person_name(release.by.name) if release.by is not None else ""
    reason = sentence(release.reason, _SHORT)
    match release.phase:
        case Phase.STAGING:
            return "🔵", words.IS_PREPARED
        case Phase.READY:
            return "🟡", words.IS_WAITING
        case Phase.PROMOTING:
            return "🔵", words.IS_SWITCHING
        case Phase.BAKING:
            return "🟢", words.IS_WATCHED
        case Phase.DONE:
            return "🟢", words.WENT_LIVE
        case Phase.REVERTING:
            return "🟠", words.IS_GOING_BACK
        case Phase.ABANDONED if release.cause is Cause.PROMOTED_OUTSIDE:
            return "🔴", words.because_of(words.WENT_LIVE_UNAPPROVED, reason)
        case Phase.ABANDONED:
            return "🔴", words.because_of(words.WAS_LEFT, reason)
        case Phase.REVERTED if release.was_live:
            return "🟠", words.because_of(words.by_whom(words.WAS_ROLLED_BACK, by), reason)
    did = {
        Cause.REJECTED: words.WAS_REJECTED,
        Cause.EXPIRED: words.HAS_EXPIRED,
        Cause.REPLACED: words.WAS_REPLACED,
        Cause.WITHDRAWN: words.WAS_ABANDONED,
        Cause.ROLLED_BACK: words.WAS_ABANDONED,
        Cause.FAILED: words.DID_NOT_START,
    }
    return "⚪", words.because_of(words.by_whom(did.get(release.cause or Cause.LATE, words.NOT_RELEASED), by), reason)
