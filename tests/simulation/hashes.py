"""Hashes of pod templates, remembered by identity: a template is replaced, never changed."""

from collections.abc import Callable

from simulation.objects import Json


def remembered(sign: Callable[[Json], str]) -> Callable[[Json], str]:
    """What was signed is kept here as long as its signature is known, so no identity comes twice."""
    known: dict[int, tuple[Json, str]] = {}

    def signed(template: Json) -> str:
        found = known.get(id(template))
        if found is None or found[0] is not template:
            if len(known) > 10_000:
                known.clear()
            found = known[id(template)] = (template, sign(template))
        return found[1]

    return signed
