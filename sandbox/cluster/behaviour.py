"""How an image behaves once it runs: chosen by its tag, or by the tag that its digest stands for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType


@dataclass(frozen=True)
class Behaviour:
    """Seconds count from the moment a pod is placed. `crash` is the last message of a container that exits with 1.

    `answers_after` is how long the application takes for an answer. `fails_as` is the name of a Service: whoever asks
    by that gets an error, from `fails_after` on, counted from the first who asked so.
    """

    ready_after: float = 0.0
    unready_after: float | None = None
    crash: str = ""
    pull_error: str = ""
    stops_after: float = 0.0
    answers_after: float = 0.0
    fails_as: str = ""
    fails_after: float = 0.0


_MISSING = "failed to resolve reference: not found"

# What tests want: everything that happens happens at once.
INSTANT: Mapping[str, Behaviour] = MappingProxyType(
    {
        "": Behaviour(),
        "slow": Behaviour(ready_after=20.0, answers_after=0.4),
        "flaky": Behaviour(unready_after=30.0),
        "crash": Behaviour(crash="panic: missing environment variable FLAVOUR"),
        "nopull": Behaviour(pull_error=_MISSING),
        "unknown": Behaviour(pull_error=_MISSING),
    }
)

# What people want to see: it takes a moment, as in life.
LIFELIKE: Mapping[str, Behaviour] = MappingProxyType(
    {
        tag: replace(behaviour, ready_after=behaviour.ready_after or 1.5, stops_after=1.0)
        for tag, behaviour in INSTANT.items()
    }
)


@dataclass(frozen=True)
class Images:
    """What is known about images: `behaviours` by tag ("" is any other), or by name and tag where one repository is
    different; `digests` maps a digest to its tag.
    """

    behaviours: Mapping[str, Behaviour] = field(default_factory=lambda: INSTANT)
    digests: Mapping[str, str] = field(default_factory=dict)

    def behaviour(self, image: str) -> Behaviour:
        name, tag = image.partition("@")[0].rpartition("/")[2].partition(":")[0], self.tag(image)
        found = (self.behaviours.get(key) for key in (f"{name}:{tag}", tag, ""))
        return next((each for each in found if each is not None), Behaviour())

    def tag(self, image: str) -> str:
        """The version that people know: the tag, also of a digest; else the digest's first 12 digits."""
        _, at, digest = image.partition("@")
        if at:
            return self.digests.get(digest) or digest.partition(":")[2][:12]
        return image.rpartition("/")[2].partition(":")[2] or "latest"

    def image_id(self, image: str) -> str:
        """As a container status has it: repository and digest."""
        name, at, digest = image.partition("@")
        path, slash, last = name.rpartition("/")
        repository = path + slash + last.partition(":")[0]
        if not at:
            tag = self.tag(image)
            known = (found for found, stands_for in self.digests.items() if stands_for == tag)
            digest = next(known, "sha256:" + hashlib.sha256(image.encode()).hexdigest())
        return f"{repository}@{digest}"
