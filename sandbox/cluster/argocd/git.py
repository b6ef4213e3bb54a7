"""Repositories: an ordered list of commits each, of which the last one is what an Application follows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.cluster.patches import Json, copied


@dataclass(frozen=True)
class Commit:
    revision: str
    manifests: tuple[Json, ...]


class Repository:
    def __init__(self) -> None:
        self.commits: list[Commit] = []

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def commit(self, manifests: Sequence[Json]) -> str:
        """The revision: the same content a second time is another one."""
        text = json.dumps([len(self.commits), manifests], sort_keys=True)
        revision = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - Git's own choice
        self.commits.append(Commit(revision, tuple(copied(item) for item in manifests)))
        return revision
