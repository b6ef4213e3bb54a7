"""What a Rollout and what belongs to it say. Pure.

Field names and meanings are those of `argoproj.io/v1alpha1`; how the controller uses them was tried out with 1.9.1.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.clusters.api import Json
from bot.clusters.cluster import LABEL
from bot.clusters.errors import Unfit
from bot.clusters.reading import annotations, labels, name, owners
from bot.clusters.reading import container as container_of

HASH = "rollouts-pod-template-hash"
"""Label of a version's ReplicaSet and pods; the controller writes it into the selectors of the two Services."""
DEADLINE = "scale-down-deadline"
"""Annotation of a ReplicaSet that has lost the traffic: when its pods go. As long as it is there, the controller
switches to this version without a pause."""
AUTHOR = "greenlight.dev/author"
"""Annotation of the pod template or of its object: who began this version, a Discord user id or a name of the file."""
INJECTED = "rollout.argoproj.io/ephemeral-metadata"
"""Annotation of a ReplicaSet: what of `activeMetadata` or `previewMetadata` is in its pod template, as JSON."""
WORKLOAD_GENERATION = "rollout.argoproj.io/workload-generation"


def blue_green(rollout: Json) -> Json:
    """Its strategy. Raises `Unfit` for a canary."""
    strategy = rollout["spec"].get("strategy") or {}
    if not isinstance(strategy.get("blueGreen"), dict):
        what = "a canary" if "canary" in strategy else "without a strategy"
        raise Unfit(
            f"Rollout {name(rollout)} is {what}, and Greenlight drives blueGreen",
            "give it the blueGreen strategy with an activeService and a previewService, or take the app out.",
        )
    return dict(strategy["blueGreen"])


def active_service(rollout: Json) -> str:
    return str(blue_green(rollout).get("activeService") or "")


def preview_service(rollout: Json) -> str:
    return str(blue_green(rollout).get("previewService") or "")


def promotes_itself(rollout: Json) -> bool:
    """Whatever is ready, without a pause: unless it says otherwise."""
    return blue_green(rollout).get("autoPromotionEnabled") is not False


def workload(rollout: Json) -> str:
    """The Deployment that holds its pod template (`workloadRef`); "" when it holds it itself."""
    return str((rollout["spec"].get("workloadRef") or {}).get("name") or "")


def template_of(holder: Json) -> Json:
    """The pod template of a Rollout, a Deployment or a ReplicaSet."""
    return dict(holder["spec"].get("template") or {})


def template_label(holder: Json) -> str:
    """The release that its pod template is stamped for; "" when none."""
    return str(((template_of(holder).get("metadata") or {}).get("annotations") or {}).get(LABEL) or "")


def container(holder: Json, wanted: str | None) -> tuple[int, Json]:
    """The index and the container that a release changes. Raises `Unfit`."""
    return container_of(holder, wanted)


def image_of(holder: Json, wanted: str | None) -> str:
    """Of the container that a release changes; "" when that cannot be told any more."""
    try:
        return str(container(holder, wanted)[1].get("image", ""))
    except Unfit:
        return ""


def fingerprint(template: Json, rollout: Json) -> str:
    """Of a whole pod template and whose it is: any change of it is another one, and in a Rollout that was made anew it
    is another one without any. The label that only ReplicaSets have is left out.
    """
    metadata = template.get("metadata") or {}
    kept = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    bare = {**template, "metadata": {"labels": kept, "annotations": metadata.get("annotations") or {}}}
    said = json.dumps([rollout["metadata"]["uid"], bare], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def runs(holder: Json) -> Sequence[Any]:
    """What the containers of its pod template run, as far as neither controller nor API server fills anything in."""
    spec = template_of(holder).get("spec") or {}
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return [
        (*(each.get(key) or None for key in ("name", "image", "command", "args")), _variables(each))
        for each in containers
    ]


def _variables(container: Json) -> Sequence[Any]:
    return [(each.get("name"), each.get("value") or "") for each in container.get("env") or []]


def pod_hash(item: Json) -> str:
    """Of a ReplicaSet or a pod; "" when it is no Rollout's."""
    return labels(item).get(HASH, "")


def is_owned_by(item: Json, rollout: Json) -> bool:
    uid = rollout["metadata"]["uid"]
    return any(reference.get("controller") and reference.get("uid") == uid for reference in owners(item))


def injected(replica_set: Json) -> Mapping[str, Mapping[str, str]]:
    """The `labels` and `annotations` that the controller has put into its pod template; empty when it says of none."""
    try:
        found = json.loads(annotations(replica_set).get(INJECTED, ""))
    except ValueError:
        return {}
    parts = found.items() if isinstance(found, dict) else ()
    return {part: added for part, added in parts if part in ("labels", "annotations") and isinstance(added, dict)}


def deadline(replica_set: Json) -> datetime | None:
    """When its pods go; None when nothing is planned, or what stands there is no time."""
    return moment(annotations(replica_set).get(DEADLINE))


def moment(text: Any) -> datetime | None:
    """A time of the API server's, aware; None when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    return found if found.tzinfo else None
