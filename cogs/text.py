"""Text from outside made safe to show: cut, on one line, with neither markdown nor mentions nor hidden characters."""

import re
import unicodedata
from datetime import datetime
from typing import Literal

from cogs.limits import length

Style = Literal["R", "t", "f"]

# Block marks (#, >, -) mean something at the start of a line only; escaped elsewhere they would spoil push
# notifications, which show the backslashes.
_MARKDOWN = re.compile(r"([\\*_~`|\[<]|^[#>+-])")
_LIST = re.compile(r"^(\d+)(?=[.)])")
_MENTION = re.compile(r"@(?=everyone|here|[!&]?\d)")
_NO_WIDTH = "\u200b"
_KEPT = re.compile(r"(`[^`]+`|<@&\d{1,20}>)")
NAME = 32
"""Of a person or a role inside a sentence."""
# Beyond this nothing is shown anywhere, and nobody should be able to make us escape a megabyte.
_LONGEST = 5000


def clip(text: str, limit: int) -> str:
    """At most `limit` of Discord's characters, with an ellipsis for what is cut."""
    if length(text) <= limit:
        return text
    cut = text[: max(0, limit - 1)]
    while length(cut) > limit - 1:
        cut = cut[:-1]
    return cut.rstrip("\\") + "…"


def line(text: str, limit: int) -> str:
    """One line without control, direction and other invisible characters; markdown is left as it is."""
    words = " ".join(text[:_LONGEST].split())
    shown = "".join(c for c in words if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
    return clip(shown, limit)


def plain(text: str, limit: int) -> str:
    """For prose: a sentence from outside that means exactly its characters. The escapes count, too."""
    head = line(text, limit)
    while True:
        escaped = _LIST.sub(rf"\1{_NO_WIDTH}", _MARKDOWN.sub(r"\\\1", head))
        # Nobody should be sent anywhere by a pod's message.
        escaped = _MENTION.sub(f"@{_NO_WIDTH}", escaped).replace("://", f":{_NO_WIDTH}//")
        if length(escaped) <= limit:
            return escaped
        head = clip(head, len(head) - max(1, (length(escaped) - limit) // 2))


def sentence(text: str, limit: int) -> str:
    """For our own sentences with names from outside in them: code spans and roles stay, all else is plain."""
    found, room = "", limit
    for part in _KEPT.split(line(text, limit)):
        if not part:
            continue
        shown = part if _KEPT.fullmatch(part) else _spaced(part, room)
        if length(shown) > room:
            return clip(found + "…", limit)
        found, room = found + shown, room - length(shown)
    return found


def _spaced(part: str, room: int) -> str:
    """`plain`, with the blanks at both ends that part it from its neighbours."""
    head, tail = " " * part.startswith(" "), " " * (part.endswith(" ") and part != " ")
    return f"{head}{plain(part, max(1, room - 2))}{tail}"


def person_name(name: str) -> str:
    """`@kim`; nobody is called by it, even one whose name is `everyone`."""
    return plain(f"@{name}", NAME)


def code(text: str, limit: int) -> str:
    """In a code span, where neither markdown nor mentions mean anything; never empty."""
    inside = line(text, limit - 2).replace("`", "'") or "-"
    return f"`{inside}`"


def stamp(at: datetime, style: Style = "R") -> str:
    """A moment that each reader sees on his own clock."""
    return f"<t:{int(at.timestamp())}:{style}>"


def span(seconds: float) -> str:
    """A duration as people say it: `40 s`, `4 min`, `3 h`, `2 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def listed(names: list[str], word: str = "and", most: int = 4) -> str:
    """`QC`, `QC and Lead`, `QC, Lead and 2 more`."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return f" {word} ".join([part for part in (", ".join(names[:-1]), names[-1]) if part]) if names else ""
