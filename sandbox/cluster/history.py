"""What happened to the objects, in order, so that a watch can follow and a long list can stay consistent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.cluster.errors import too_old

Json = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One write: `before` is None for a creation, `gone` says whether `after` is the last one will see of it.

    The objects are shared with the store: read them, never change them.
    """

    version: int
    plural: str
    before: Json | None
    after: Json
    gone: bool = False

    def seen_through(self, matches: Callable[[Json], bool]) -> tuple[str, Json] | None:
        """The event type and object as a watch with a selector sees them; None when it sees nothing.

        An object that stops matching is DELETED for that watch, one that starts matching is ADDED.
        """
        was = self.before is not None and matches(self.before)
        if self.gone:
            return ("DELETED", self.after) if was else None
        now = matches(self.after)
        if was:
            return ("MODIFIED" if now else "DELETED", self.after)
        return ("ADDED", self.after) if now else None


class History:
    """The last `keep` changes; older ones are compacted away."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._changes: deque[Change] = deque()
        self.oldest = 0

    def record(self, change: Change) -> None:
        self._changes.append(change)
        if len(self._changes) > self._keep:
            self.oldest = self._changes.popleft().version

    def since(self, version: int) -> list[Change]:
        """Changes after a resourceVersion, oldest first; 410 when some of them are gone."""
        if version < self.oldest:
            raise too_old(version, self.oldest)
        return list(reversed([*self._back_to(version)]))

    def _back_to(self, version: int) -> Iterator[Change]:
        for change in reversed(self._changes):
            if change.version <= version:
                return
            yield change

    def compact(self, version: int) -> None:
        while self._changes and self._changes[0].version <= version:
            self._changes.popleft()
        self.oldest = max(self.oldest, version)
