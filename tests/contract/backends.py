"""The two ways in which mochi may run, for the tests that are the same on both: its objects, its policy, its rights."""

from pathlib import Path
from typing import Any, Protocol

import role
import yaml

import mochi
from bot.clusters.argo.reading import HASH
from bot.clusters.cluster import LABEL
from mochi_rollout import mochi_rollout

Json = dict[str, Any]
Selector = dict[str, str]

ROLLOUT_ROLE = Path(__file__).parents[2] / "deploy" / "examples" / "mochi-argo" / "role.yaml"


class Backend(Protocol):
    name: str
    target: str
    """Where the app runs, as its table in `greenlight.toml` has it."""

    def manifests(self, namespace: str, image: str) -> list[Json]: ...

    def rules(self) -> list[Json]:
        """Of the shipped Role."""

    def went_there_and_back(self, selectors: list[Selector], label: str) -> bool:
        """Whether the active Service, with all the selectors that it had in turn, gave its traffic to the release with
        this label once, and took it back to what had it before, and to nothing else.
        """


class OnDeployments:
    name = "deployments"
    target = """\
service     = "mochiapp"
preview     = "mochiapp-preview"
slots       = ["mochiapp-blue", "mochiapp-green"]"""

    def manifests(self, namespace: str, image: str) -> list[Json]:
        return mochi.mochi(namespace, live_image=image)

    def rules(self) -> list[Json]:
        return role.rules()

    def went_there_and_back(self, selectors: list[Selector], label: str) -> bool:
        narrow = {"app": "mochi", "color": "blue"}
        return selectors == [{"app": "mochi"}, narrow, {"app": "mochi", LABEL: label}, narrow]


class OnRollout:
    name = "rollout"
    target = 'rollout     = "mochiapp"'

    def manifests(self, namespace: str, image: str) -> list[Json]:
        return mochi_rollout(namespace, image=image)

    def rules(self) -> list[Json]:
        [found] = [item for item in yaml.safe_load_all(ROLLOUT_ROLE.read_text("utf-8")) if item["kind"] == "Role"]
        rules: list[Json] = found["rules"]
        return rules

    def went_there_and_back(self, selectors: list[Selector], label: str) -> bool:
        hashes = [selector[HASH] for selector in selectors]
        plain = all(selector == {"app": "mochi", HASH: selector[HASH]} for selector in selectors)
        return plain and len(hashes) == 3 and hashes[0] == hashes[2] != hashes[1]


BACKENDS: tuple[Backend, ...] = (OnDeployments(), OnRollout())
