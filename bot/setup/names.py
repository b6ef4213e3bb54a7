"""Names that nobody has yet, within the lengths that Kubernetes and Greenlight allow. Pure."""

from collections.abc import Iterable

_OF_AN_APP = 32


def free_app_name(wanted: str, taken: Iterable[str]) -> str:
    """For an app that is called like an object of the cluster."""
    return free(wanted.replace(".", "-")[:_OF_AN_APP].rstrip("-"), taken, _OF_AN_APP)


def free(name: str, taken: Iterable[str], limit: int) -> str:
    names = {*taken}
    number = 1
    found = name
    while found in names:
        number += 1
        found = f"{name[: limit - len(str(number)) - 1].rstrip('-')}-{number}"
    return found
