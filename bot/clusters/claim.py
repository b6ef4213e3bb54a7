"""Whose Service it is: at most one Greenlight releases an app, whoever else has rights on the cluster. Pure.

Only what is remembered tells what is ours from what is not, so it is the store that claims and not a process: after a
restart, or in another pod with the same database, it goes on; a second Greenlight with a database of its own finds the
Service taken. The claim is an annotation of the active Service, made by the first write of a release, and conditional
as all writes are: of two that claim at once, one is refused, looks again, and stops.
"""

from bot.clusters.api import Json
from bot.clusters.errors import Unfit
from bot.clusters.reading import annotations, name

STORE = "greenlight.dev/store"
"""Annotation of the active Service: the identity of the store that releases it."""


def claimed_by(service: Json) -> str | None:
    """The identity of a store, None when nobody has claimed it (or whoever had was told to give it up)."""
    return annotations(service).get(STORE) or None


def check_claim(service: Json, store_id: str) -> None:
    """Raises `Unfit` when another Greenlight releases the Service."""
    theirs = claimed_by(service)
    if theirs in {None, store_id}:
        return
    where = service["metadata"].get("namespace", "")
    raise Unfit(
        f"Service {name(service)} is released by another Greenlight, whose database has the id {theirs}, "
        "and two would overrule each other",
        f"if that one is gone for good, take over with: kubectl annotate service {name(service)} -n {where} {STORE}-",
    )
