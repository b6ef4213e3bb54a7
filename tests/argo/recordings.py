"""What was recorded of the real controller, as the bot reads it: objects, and looks at a release of green in them."""

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.clusters.argo.objects import Objects
from bot.clusters.argo.reading import HASH, container, fingerprint, template_label, template_of
from bot.clusters.argo.view import RolloutView
from bot.clusters.claim import STORE
from bot.release.app import App, Argo
from bot.release.record import Phase, Release, Version
from world import ANN, example

Json = dict[str, Any]

RECORDED = Path(__file__).parent / "recorded"
NAMES = sorted(path.stem for path in RECORDED.glob("*.json"))
ACTIVE, PREVIEW = "mochiapp", "mochiapp-preview"
BLUE, GREEN = "5db865ffb4", "58d866897f"
"""Pod hashes: of what was live before, and of green where its image can be pulled."""
GREEN_LABEL, PURPLE_LABEL = "mochi-2", "mochi-3"
STORE_ID = "0a1b2c3d4e5f6071"
NOW = datetime(2026, 11, 26, 23, 12, 30, tzinfo=UTC)
"""A moment after the recording."""


def recorded(name: str) -> Json:
    found: Json = json.loads((RECORDED / f"{name}.json").read_text())
    return found


def objects(name: str) -> Objects:
    """Of a namespace whose active Service this Greenlight has claimed."""
    found = recorded(name)
    reference = found["rollout"]["spec"].get("workloadRef")
    [workload] = [
        each for each in found["deployments"] if reference and each["metadata"]["name"] == reference["name"]
    ] or [None]
    services = {each["metadata"]["name"]: each for each in found["services"]}
    services[ACTIVE]["metadata"].setdefault("annotations", {})[STORE] = STORE_ID
    return Objects(
        rollout=found["rollout"],
        workload=workload,
        active=services[ACTIVE],
        preview=services.get(PREVIEW),
        replica_sets=[each for each in found["replicasets"] if HASH in each["metadata"]["labels"]],
        pods=[pod for pod in found["pods"] if HASH in pod["metadata"]["labels"]],
        slices=found["endpointslices"],
    )


def app() -> App:
    return example(target=Argo("mochiapp"))


def release(seen: Objects, phase: Phase, *, label: str = GREEN_LABEL, **changes: Any) -> Release:
    """Of green in place of blue, with everything remembered that a release has by this phase."""
    green = next((each for each in seen.replica_sets if template_label(each) == label), seen.holder)
    image = container(green, None)[1]["image"]
    sound = Release(
        app="mochi",
        number=2,
        label=label,
        image=image,
        asked="mochi:green",
        digests=frozenset({image.partition("@")[2]} - {""}),
        author=ANN,
        slot="a new ReplicaSet of mochiapp",
        selector={},
        previous=blue() if seen.workload is None else blue_of_deployment(seen),
        created_at=NOW,
        since=NOW,
        phase=phase,
        staged=True,
        template="" if phase is Phase.STAGING else fingerprint(template_of(seen.holder), seen.rollout),
    )
    return replace(sound, **changes)


def blue() -> Version:
    first = recorded("healthy")["rollout"]
    return Version(
        image=container(first, None)[1]["image"],
        slot=f"mochiapp-{BLUE}",
        selector={"app": "mochiapp", HASH: BLUE},
        template=json.dumps(first["spec"]["template"], sort_keys=True),
        asked="mochi:blue",
    )


def blue_of_deployment(seen: Objects) -> Version:
    """As it began: nobody has recorded the template before, and that of the ReplicaSet says the same."""
    old = next(each for each in seen.replica_sets if not template_label(each))
    template = copy.deepcopy(old["spec"]["template"])
    pod_hash = template["metadata"]["labels"].pop(HASH)
    image = container(old, None)[1]["image"]
    selector = {"app": "mochiapp", HASH: pod_hash}
    return Version(image, f"mochiapp-{pod_hash}", selector, template=json.dumps(template), asked="mochi:blue")


def view(name: str, phase: Phase, **changes: Any) -> RolloutView:
    """A fresh look, at the moment at which the release came into its phase."""
    return seen_by(objects(name), phase, **changes)


def seen_by(seen: Objects, phase: Phase, **changes: Any) -> RolloutView:
    return RolloutView(app(), release(seen, phase, **changes), seen, STORE_ID, NOW, fresh=True)
