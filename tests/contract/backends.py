"""The two ways in which mochi may run, for the tests that are the same on both: its objects, its policy, its rights."""

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import role
import yaml

import mochi
import versions
from bot.clusters.argo.reading import HASH
from bot.clusters.cluster import LABEL
from bot.clusters.patches import pointer
from bot.release.app import App, Argo
from mochi_rollout import mochi_rollout
from versions import Version

Json = dict[str, Any]
Selector = dict[str, str]

ROLLOUT_ROLE = Path(__file__).parents[2] / "deploy" / "examples" / "mochi-argo" / "role.yaml"


class Backend(Protocol):
    @property
    def name(self) -> str: ...

    target: str
    """Where the app runs, as its table in `greenlight.toml` has it."""

    def policy(self, app: App) -> App:
        """As that table makes it."""

    def manifests(self, namespace: str, image: str) -> list[Json]: ...

    def rules(self) -> list[Json]:
        """Of the shipped Role."""

    def went_there_and_back(self, selectors: list[Selector], label: str) -> bool:
        """Whether the active Service, with all the selectors that it had in turn, gave its traffic to the release with
        this label once, and took it back to what had it before, and to nothing else.
        """

    def went_there(self, selectors: list[Selector], label: str) -> bool:
        """Whether it gave it to that release once, and to nothing else."""

    def is_switch(self, path: str, patch: list[Json], label: str) -> bool:
        """Whether this JSON Patch to this path of the API server gives the traffic to the release with this label."""


class OnDeployments:
    name = "deployments"
    target = """\
service     = "mochiapp"
preview     = "mochiapp-preview"
slots       = ["mochiapp-blue", "mochiapp-green"]"""

    def policy(self, app: App) -> App:
        return app

    def manifests(self, namespace: str, image: str) -> list[Json]:
        return mochi.mochi(namespace, live_image=image)

    def rules(self) -> list[Json]:
        return role.rules()

    def went_there_and_back(self, selectors: list[Selector], label: str) -> bool:
        narrow = {"app": "mochi", "color": "blue"}
        return selectors == [{"app": "mochi"}, narrow, {"app": "mochi", LABEL: label}, narrow]

    def went_there(self, selectors: list[Selector], label: str) -> bool:
        return selectors[1:] == [{"app": "mochi", LABEL: label}]

    def is_switch(self, path: str, patch: list[Json], label: str) -> bool:
        to_it = {"op": "add", "path": pointer("spec", "selector", LABEL), "value": label}
        return path.endswith(f"/services/{mochi.ACTIVE}") and to_it in patch


@dataclass(frozen=True)
class OnRollout:
    strategy: Json = field(default_factory=dict)
    """What its blueGreen strategy has beside the Services and that a person promotes."""
    spec: Json = field(default_factory=dict)
    in_deployment: bool = False
    """Whether the Rollout takes its pod template from a Deployment (`workloadRef`)."""
    adopt: bool = False
    """What others bring up becomes a release: most tests are about what it does to the release that is there."""
    version: Version = versions.SIMULATED

    target = 'rollout     = "mochiapp"'

    @property
    def name(self) -> str:
        return "rollout-of-a-deployment" if self.in_deployment else "rollout"

    def policy(self, app: App) -> App:
        return replace(app, target=Argo("mochiapp", adopt=self.adopt))

    def manifests(self, namespace: str, image: str) -> list[Json]:
        made = mochi_rollout(namespace, image=image, blue_green=self.strategy, **self.spec)
        parts = (with_workload(each) if self.in_deployment and each["kind"] == "Rollout" else [each] for each in made)
        # A Rollout that finds no Service is invalid, and looked at again after twenty seconds.
        return sorted(itertools.chain.from_iterable(parts), key=lambda item: item["kind"] == "Rollout")

    def rules(self) -> list[Json]:
        [found] = [item for item in yaml.safe_load_all(ROLLOUT_ROLE.read_text("utf-8")) if item["kind"] == "Role"]
        rules: list[Json] = found["rules"]
        named = {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["mochiapp"]}
        return [*rules, named | {"verbs": ["get", "patch"]}] if self.in_deployment else rules

    def went_there_and_back(self, selectors: list[Selector], label: str) -> bool:
        hashes = [selector[HASH] for selector in selectors]
        plain = all(selector == {"app": "mochi", HASH: selector[HASH]} for selector in selectors)
        return plain and went_home(hashes[1:], hashes[0], self.version)

    def went_there(self, selectors: list[Selector], label: str) -> bool:
        hashes = [selector[HASH] for selector in selectors]
        return len(hashes) == 2 and hashes[0] != hashes[1]

    def is_switch(self, path: str, patch: list[Json], label: str) -> bool:
        return path.endswith("/rollouts/mochiapp/status")  # nothing else is ever written there


def went_home(hashes: list[str], home: str, version: Version) -> bool:
    """Whether a Service that selected all these in turn, another one first, came home at once, and stayed there."""
    away = hashes[0]
    once = [away, home]
    return away != home and hashes in ([once] if version.leaves_the_service else [once, [*once, *once]])


def with_workload(rollout: Json) -> list[Json]:
    """A Deployment without pods that has the Rollout's pod template, and the Rollout that takes it from there."""
    spec, metadata = rollout["spec"], {key: rollout["metadata"][key] for key in ("name", "namespace")}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": 0, "selector": spec["selector"], "template": spec["template"]},
    }
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"]}
    kept = {key: value for key, value in spec.items() if key not in ("template", "selector")}
    return [deployment, {**rollout, "spec": {**kept, "workloadRef": reference}}]


BACKENDS: tuple[Backend, ...] = (OnDeployments(), OnRollout())
WITH_WORKLOAD = OnRollout(in_deployment=True)
