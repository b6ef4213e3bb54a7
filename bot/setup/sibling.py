"""The second slot of a Deployment that has none: what it is called, and how its pods can be told apart. Pure.

Its pods keep the labels of the first one's, because NetworkPolicies, dashboards and budgets select them too; one label
of their own comes on top. A Deployment that is called blue gets a green one beside it, labels included.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bot.clusters.cluster import LABEL
from bot.setup.objects import Deployment

SLOT = "greenlight.dev/slot"
"""In the pod template and the selector of a slot that `init` made. It says nothing about which slot is live."""

_OTHER = {"blue": "green", "green": "blue"}
_LETTERS = "bcdefghijklmnopqrstuvwxyz"
_LIMIT = 63
"""Of a name from which others are made."""


@dataclass(frozen=True)
class Sibling:
    name: str
    labels: Mapping[str, str]
    """Of its pods."""
    match_labels: Mapping[str, str]
    overlaps: bool
    """Whether the first one's selector, which can never be changed, matches these pods as well."""


def sibling(first: Deployment, taken: Collection[str]) -> Sibling:
    """`taken` are the names of the Deployments that exist."""
    name, letter = _name(first.name, taken)
    # Only of what is called by its colour: a team may be called blue as well.
    other = _OTHER if name == other_colour(first.name) else {}
    labels = {key: other.get(value, value) for key, value in first.labels.items() if key != LABEL}
    match = {key: labels[key] for key in first.match_labels if key in labels}
    if match == dict(first.match_labels) or not match:
        labels[SLOT] = match[SLOT] = letter
    overlaps = all(labels.get(key) == value for key, value in first.match_labels.items())
    return Sibling(name, labels, match, overlaps)


def other_colour(name: str) -> str | None:
    """`mochi-green` for `mochi-blue`; None where no part of a name is a colour."""
    parts = name.split("-")
    swapped = [_OTHER.get(part, part) for part in parts]
    return None if parts == swapped else "-".join(swapped)


def are_siblings(one: Deployment, two: Deployment) -> bool:
    """Whether their names say that they are the two slots of one app."""
    if other_colour(one.name) == two.name:
        return True
    return any(
        SLOT in second.labels and second.name == f"{_cut(first.name)}-{second.labels[SLOT]}"
        for first, second in ((one, two), (two, one))
    )


def _name(first: str, taken: Collection[str]) -> tuple[str, str]:
    coloured = other_colour(first)
    if coloured and coloured not in taken:
        return coloured, next(part for part in coloured.split("-") if part in _OTHER)
    names = ((f"{_cut(first)}-{letter}", letter) for letter in _LETTERS)
    return next(((name, letter) for name, letter in names if name not in taken), (f"{_cut(first)}-slot", "slot"))


def _cut(name: str) -> str:
    return name[: _LIMIT - 2].rstrip("-.")
