"""The conditional writes to a Rollout: JSON Patches whose `test`s say what they were decided upon. Pure.

Never among them: `abort` (after the switch it can strand the traffic on a sick version), `undo` (it picks a revision by
its number), `retry` (within the abort delay it promotes without a pause).
"""

import copy
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.clusters.api import Json
from bot.clusters.argo.reading import WORKLOAD_GENERATION, container, template_label, template_of, workload
from bot.clusters.cluster import LABEL
from bot.clusters.patches import Operations, add_annotations, pointer, unchanged
from bot.clusters.reading import annotations

WRITTEN = "greenlight.dev/written"
"""Annotation of whoever has the pod template, changed together with it: JSON, the `generation` that this made, and
when (`at`, by Greenlight's own clock); to tell whether the controller has taken it up, and how long it has had."""
NUDGED = "greenlight.dev/nudged"
"""Annotation, changed for nothing but to have the controller look again: JSON, `for` what, `times`, `at`."""


def stage(rollout: Json, holder: Json, image: str, label: str, wanted: str | None, now: datetime) -> Operations:
    """Give the pod template another image and release label: a pod hash that never was, so a preview and a pause.

    Only while the controller is with the same version as when it was read: nobody's promotion is written over.
    """
    index, present = container(holder, wanted)
    path = ("spec", "template", "spec", "containers", str(index))
    return (
        unchanged("/metadata/uid", holder["metadata"]["uid"]),
        unchanged(pointer(*path, "name"), present["name"]),
        unchanged(pointer(*path, "image"), present["image"]),
        *(_as_read(rollout, "status", key) for key in _PROGRESS if holder is rollout),
        {"op": "replace", "path": pointer(*path, "image"), "value": image},
        *_stamp_template(holder, label),
        *_written(holder, now),
    )


def stage_anew(
    rollout: Json, holder: Json, template: Json, image: str, label: str, wanted: str | None, now: datetime
) -> Operations:
    """Write a whole pod template with an image and a release label, in the place of one that is not to be gone on with:
    somebody else's, or that of another version. As conditional as `stage`.
    """
    made = copy.deepcopy(template)
    container({"metadata": holder["metadata"], "spec": {"template": made}}, wanted)[1]["image"] = image
    metadata = made.get("metadata") or {}
    made["metadata"] = {**metadata, "annotations": {**(metadata.get("annotations") or {}), LABEL: label}}
    return (
        unchanged("/metadata/uid", holder["metadata"]["uid"]),
        unchanged("/spec/template", template_of(holder)),
        *(_as_read(rollout, "status", key) for key in _PROGRESS if holder is rollout),
        {"op": "replace", "path": "/spec/template", "value": made},
        *_written(holder, now),
    )


def put_back(holder: Json, template: Json, now: datetime) -> Operations:
    """Write a whole pod template, only in the place of the one that was read."""
    return (
        unchanged("/metadata/uid", holder["metadata"]["uid"]),
        unchanged("/spec/template", template_of(holder)),
        {"op": "replace", "path": "/spec/template", "value": template},
        *_written(holder, now),
    )


def promote(rollout: Json) -> Operations:
    """To `/status`: end the pause of the very version and template that were read, and no other pause."""
    return (
        unchanged("/metadata/uid", rollout["metadata"]["uid"]),
        _as_read(rollout, "status", "currentPodHash"),
        _as_read(rollout, "status", "pauseConditions"),
        *_template_as_read(rollout),
        _as_read(rollout, "spec", "paused"),
        _as_read(rollout, "status", "abort"),
        {"op": "remove", "path": "/status/pauseConditions"},
    )


def nudge(rollout: Json, what: str, times: int, now: datetime) -> Operations:
    """Change an annotation, so that a controller that has lost a write reads the Rollout again."""
    note = json.dumps({"for": what, "times": times, "at": now.isoformat()})
    known = annotations(rollout)
    # One that comes late must not be taken for another, nor take the place of the next.
    as_read = (unchanged(pointer("metadata", "annotations", NUDGED), known.get(NUDGED)),) if known else ()
    return (unchanged("/metadata/uid", rollout["metadata"]["uid"]), *as_read, *add_annotations(rollout, {NUDGED: note}))


def _written(holder: Json, now: datetime) -> Operations:
    """Only upon the generation that was read, so that the next one is known to be this."""
    generation = holder["metadata"].get("generation")
    note = json.dumps({"generation": (generation or 0) + 1, "at": now.isoformat()})
    return (unchanged("/metadata/generation", generation), *add_annotations(holder, {WRITTEN: note}))


_PROGRESS = ("currentPodHash", "stableRS", "pauseConditions", "controllerPause", "abort")


def _template_as_read(rollout: Json) -> Operations:
    if not workload(rollout):
        return (unchanged("/spec/template", template_of(rollout)),)
    # The template is in another object; which one of its generations the controller has taken up stands here.
    return (
        _as_read(rollout, "spec", "workloadRef"),
        unchanged(
            pointer("metadata", "annotations", WORKLOAD_GENERATION), annotations(rollout).get(WORKLOAD_GENERATION)
        ),
        _as_read(rollout, "status", "workloadObservedGeneration"),
    )


def _stamp_template(holder: Json, label: str) -> Operations:
    metadata = template_of(holder).get("metadata")
    if metadata is None:
        return ({"op": "add", "path": "/spec/template/metadata", "value": {"annotations": {LABEL: label}}},)
    if not metadata.get("annotations"):
        return ({"op": "add", "path": "/spec/template/metadata/annotations", "value": {LABEL: label}},)
    path = pointer("spec", "template", "metadata", "annotations", LABEL)
    known = template_label(holder)
    return (*((unchanged(path, known),) if known else ()), {"op": "add", "path": path, "value": label})


def _as_read(item: Json, part: str, key: str) -> Mapping[str, Any]:
    """What is not there is tested for `null`, which the API server takes for the same."""
    return unchanged(pointer(part, key), (item.get(part) or {}).get(key))
