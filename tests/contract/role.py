"""The bot's rights in a namespace: exactly those of the manifest that is shipped, so that it is known to be enough."""

import json
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

MANIFEST = Path(__file__).parents[2] / "deploy" / "examples" / "role.yaml"
SHIPPED_FOR, NAME = "mochi", "greenlight"


def rules() -> list[Json]:
    """The rules of the Role, as the file has them."""
    [role] = [item for item in _shipped() if item["kind"] == "Role"]
    found: list[Json] = role["rules"]
    return found


def without(verb: str, resource: str) -> list[Json]:
    """The same rules, but nobody may `verb` a `resource`."""
    return [
        rule | {"verbs": [each for each in rule["verbs"] if resource not in rule["resources"] or each != verb]}
        for rule in rules()
    ]


def manifests(namespace: str, wanted: list[Json]) -> list[Json]:
    """ServiceAccount, Role with the `wanted` rules, and RoleBinding, in `namespace` instead of the shipped one."""
    items: list[Json] = json.loads(json.dumps(_shipped()))
    for item in items:
        item["metadata"]["namespace"] = namespace
        for subject in item.get("subjects", ()):
            subject["namespace"] = namespace
        if item["kind"] == "Role":
            item["rules"] = wanted
    return items


def _shipped() -> list[Json]:
    items: list[Json] = list(yaml.safe_load_all(MANIFEST.read_text("utf-8")))
    assert all((item["metadata"]["namespace"], item["metadata"]["name"]) == (SHIPPED_FOR, NAME) for item in items)
    return items
