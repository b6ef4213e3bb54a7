"""The conditional writes: JSON Patches whose `test`s say what they were decided upon. Pure.

A `test` that fails is answered 422 and nothing is written (RFC 6902; the API server applies a patch as a whole).
"""

from collections.abc import Mapping
from typing import Any

from bot.clusters.api import Json
from bot.clusters.cluster import LABEL
from bot.clusters.reading import Selector, container, replicas, selector, template_labels

Operations = tuple[Mapping[str, Any], ...]


def select(service: Json, wanted: Selector, notes: Mapping[str, str]) -> Operations:
    """Point a Service at other pods, only if it is exactly as it was read; `notes` become annotations."""
    present = selector(service)
    return (
        unchanged("/metadata/resourceVersion", service["metadata"]["resourceVersion"]),
        unchanged("/spec/selector", dict(present)),
        *({"op": "remove", "path": pointer("spec", "selector", key)} for key in present if key not in wanted),
        *_add(("spec", "selector"), {key: value for key, value in wanted.items() if present.get(key) != value}),
        *add_annotations(service, notes),
    )


def stage(deployment: Json, image: str, label: str, count: int | None, wanted_container: str | None) -> Operations:
    """Give a slot another image and release label; `count` None leaves the number of pods to its autoscaler."""
    index, present = container(deployment, wanted_container)
    path = ("spec", "template", "spec", "containers", str(index))
    return (
        unchanged("/metadata/uid", deployment["metadata"]["uid"]),
        unchanged(pointer(*path, "name"), present["name"]),
        unchanged(pointer(*path, "image"), present["image"]),
        *_unchanged_label(deployment),
        {"op": "replace", "path": pointer(*path, "image"), "value": image},
        {"op": "add", "path": pointer("spec", "template", "metadata", "labels", LABEL), "value": label},
        *(() if count is None else ({"op": "add", "path": "/spec/replicas", "value": count},)),
    )


def scale(deployment: Json, count: int, wanted_container: str | None) -> Operations:
    """Change the number of pods of a slot, only if it still runs what it ran."""
    index, present = container(deployment, wanted_container)
    path = ("spec", "template", "spec", "containers", str(index), "image")
    return (
        unchanged("/metadata/uid", deployment["metadata"]["uid"]),
        unchanged(pointer(*path), present["image"]),
        *_unchanged_label(deployment),
        unchanged("/spec/replicas", replicas(deployment)),
        {"op": "replace", "path": "/spec/replicas", "value": count},
    )


def pointer(*keys: str) -> str:
    """A JSON Pointer (RFC 6901)."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def add_annotations(item: Json, notes: Mapping[str, str]) -> Operations:
    if not notes:
        return ()
    if not item["metadata"].get("annotations"):
        return ({"op": "add", "path": "/metadata/annotations", "value": dict(notes)},)
    return _add(("metadata", "annotations"), notes)


def _unchanged_label(deployment: Json) -> Operations:
    label = template_labels(deployment).get(LABEL)
    return () if label is None else (unchanged(pointer("spec", "template", "metadata", "labels", LABEL), label),)


def _add(path: tuple[str, ...], values: Mapping[str, str]) -> Operations:
    return tuple({"op": "add", "path": pointer(*path, key), "value": value} for key, value in values.items())


def unchanged(path: str, value: Any) -> Mapping[str, Any]:
    """The operation that refuses the whole patch unless `value` still stands there."""
    return {"op": "test", "path": path, "value": value}
