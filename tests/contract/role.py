"""The bot's rights in a namespace: exactly those of the manifest that is shipped, so that it is known to be enough."""

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Json = dict[str, Any]

MANIFEST = Path(__file__).parents[2] / "deploy" / "examples" / "role.yaml"
SHIPPED_FOR, NAME = "mochi", "greenlight"


class Right(NamedTuple):
    """The smallest that can be granted or asked for; `name` is "" where there is none, as in a list."""

    verb: str
    group: str
    resource: str
    name: str = ""

    @property
    def rule(self) -> Json:
        named = {"resourceNames": [self.name]} if self.name else {}
        return {"apiGroups": [self.group], "resources": [self.resource], **named, "verbs": [self.verb]}

    def __str__(self) -> str:
        return " ".join(filter(None, (self.verb, self.resource, self.name)))


def granted(wanted: Iterable[Json]) -> frozenset[Right]:
    """What rules of a Role allow, one by one."""
    parts = (
        itertools.product(rule["verbs"], rule["apiGroups"], rule["resources"], rule.get("resourceNames", [""]))
        for rule in wanted
    )
    return frozenset(Right(*each) for each in itertools.chain.from_iterable(parts))


def rules() -> list[Json]:
    """The rules of the Role, as the file has them."""
    [role] = [item for item in _shipped() if item["kind"] == "Role"]
    found: list[Json] = role["rules"]
    return found


def without(*missing: Right) -> list[Json]:
    """Rules that allow what the shipped ones do, but not this."""
    assert granted(rules()) >= {*missing}
    return [right.rule for right in sorted(granted(rules()) - {*missing})]


def manifests(namespace: str, wanted: list[Json]) -> list[Json]:
    """ServiceAccount, Role with the `wanted` rules, and RoleBinding, all in one namespace instead of two."""
    items: list[Json] = json.loads(json.dumps(_shipped()))
    for item in items:
        item["metadata"]["namespace"] = namespace
        for subject in item.get("subjects", ()):
            subject["namespace"] = namespace
        if item["kind"] == "Role":
            item["rules"] = wanted
    account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": NAME, "namespace": namespace}}
    return [account, *items]


def _shipped() -> list[Json]:
    items: list[Json] = list(yaml.safe_load_all(MANIFEST.read_text("utf-8")))
    assert all((item["metadata"]["namespace"], item["metadata"]["name"]) == (SHIPPED_FOR, NAME) for item in items)
    return items
