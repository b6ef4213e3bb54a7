"""Comments for files that people read, in TOML and YAML alike. Pure.

What comes from a cluster may stand in them: no label and no message can end a line and begin something else.
"""

import textwrap
from collections.abc import Iterable, Iterator

WIDTH = 100


def comment(text: str, first: str = "# ", then: str = "# ") -> list[str]:
    return textwrap.wrap(
        visible(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    )


def bullets(sentences: Iterable[str]) -> Iterator[str]:
    for sentence in sentences:
        yield from comment(sentence, "# - ", "#   ")


def visible(text: str) -> str:
    """What could end a line, or turn its direction, is written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
