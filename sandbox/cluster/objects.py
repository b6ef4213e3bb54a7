"""The state of a simulated cluster and its rules: what the API server would store, refuse and tell.

Synchronous, without I/O, and without a clock of its own. HTTP (`server.py`), the controllers and in-process tests all
go through the same few methods. Objects are JSON as the API has it; whatever is passed in or handed out is a copy.
Kinds go by their plural (`"deployments"`), cluster-scoped ones have the namespace `""`. Everything that Kubernetes
would refuse raises `ApiError` with Kubernetes' status, reason and message. Unknown fields are kept, not pruned.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sandbox.cluster import admission, errors, ownership
from sandbox.cluster.errors import ApiError, Cause
from sandbox.cluster.history import Change, History
from sandbox.cluster.kinds import KINDS, Kind
from sandbox.cluster.ownership import Writer
from sandbox.cluster.paging import read_token, token
from sandbox.cluster.patches import Json, PatchType, apply_merge, copied, json_patch, merge_patch, strategic_merge
from sandbox.cluster.selectors import matches_fields, matches_labels
from sandbox.cluster.subresources import scale

# No vowels and no look-alikes: Kubernetes' own choice for generated names.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
# `Objects.list` hides the builtin inside the class.
Items = list[Json]
Changes = list[Change]


def timestamp(moment: datetime) -> str:
    """As Kubernetes writes a time: UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Objects:
    """Every object of the cluster. `now` gives aware UTC; `seed` makes uids and names repeatable."""

    def __init__(self, now: Callable[[], datetime], *, seed: int | None = None, keep_changes: int = 10_000) -> None:
        self._now = now
        self._dice = random.Random(seed)
        # By kind, namespace and name: the controllers mostly ask for one namespace.
        self._live: dict[str, dict[str, dict[str, Json]]] = {plural: {} for plural in KINDS}
        self._history = History(keep_changes)
        self._listeners: list[Callable[[Change], None]] = []
        self._version = 1
        for name in ("default", "kube-system"):
            self.create("namespaces", "", {"metadata": {"name": name}}, manager="kube-apiserver")

    @property
    def version(self) -> int:
        """The resourceVersion of the last write."""
        return self._version

    def get(self, plural: str, namespace: str, name: str, subresource: str = "") -> Json:
        kind = self._kind(plural)
        found: Json = copied(self._found(kind, namespace, name))
        return scale(found) if subresource == "scale" else found

    def items(self, plural: str, namespace: str = "", labels: str = "", fields: str = "") -> Items:
        """The matching objects of one namespace, or of all when it is empty, sorted by namespace and name."""
        return [copied(item) for item in self._matching(self._kind(plural), namespace, labels, fields)]

    def list(
        self, plural: str, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 0, after: str = ""
    ) -> Json:
        """The List that GET answers with; `after` is the `continue` of the page before, 410 once that is compacted."""
        kind = self._kind(plural)
        version, start = read_token(after) if after else (self._version, "")
        whole = self._matching(kind, namespace, labels, fields, at=version)
        rest = [item for item in whole if _key(item) > start]
        page = rest[:limit] if limit > 0 else rest
        metadata: Json = {"resourceVersion": str(version)}
        if len(page) < len(rest):
            metadata["continue"] = token(version, _key(page[-1]))
            if not (labels or fields):
                metadata["remainingItemCount"] = len(rest) - len(page)
        typeless = set() if kind.custom else {"kind", "apiVersion"}
        items = [{key: copied(value) for key, value in item.items() if key not in typeless} for item in page]
        return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata, "items": items}

    def create(
        self, plural: str, namespace: str, body: Json, *, manager: str = "sandbox", dry_run: bool = False
    ) -> Json:
        kind = self._kind(plural)
        item = self._new(kind, namespace, body)
        time = timestamp(self._now())
        writer = Writer(manager, kind.api_version)
        item["metadata"]["managedFields"] = ownership.noted_update(None, admission.asked(kind, item), writer, time)
        return self._commit(kind, None, item, dry_run=dry_run)

    def replace(
        self,
        plural: str,
        namespace: str,
        name: str,
        body: Json,
        *,
        subresource: str = "",
        manager: str = "sandbox",
        dry_run: bool = False,
    ) -> Json:
        """PUT. A resourceVersion in the body makes it conditional."""
        kind = self._kind(plural)
        if kind.put_creates and self._stored(kind, namespace, name) is None:
            return self.create(plural, namespace, body, manager=manager, dry_run=dry_run)
        given = str((body.get("metadata") or {}).get("name") or name)
        if given != name:
            raise errors.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
        if kind.put_needs_version and not subresource and not (body.get("metadata") or {}).get("resourceVersion"):
            cause = Cause.invalid("metadata.resourceVersion", "0", "must be specified for an update")
            raise errors.invalid(kind, name, [cause])
        if not subresource:
            admission.decoded(kind, namespace, body)
        return self._update(kind, namespace, name, lambda _: copied(body), subresource, manager, dry_run=dry_run)

    def patch(
        self,
        plural: str,
        namespace: str,
        name: str,
        patch: Any,
        content_type: str = PatchType.MERGE,
        *,
        subresource: str = "",
        manager: str = "sandbox",
        force: bool = False,
        dry_run: bool = False,
    ) -> Json:
        """PATCH, in the form that the content type says (see `PatchType`).

        `force` is for APPLY only: take over the fields that others own.
        """
        kind = self._kind(plural)
        if content_type not in kind.patch_types:
            raise errors.unsupported_patch_type()
        patch_type = PatchType(content_type)
        if patch_type is PatchType.APPLY:
            return self._apply(kind, namespace, name, patch, subresource, manager, force=force, dry_run=dry_run)
        if patch_type is not PatchType.JSON and not isinstance(patch, dict):
            raise errors.bad_request("error decoding patch: a merge patch is an object")

        def change(item: Json) -> Json:
            if patch_type is PatchType.JSON:
                return json_patch(item, patch)
            changed: Json = merge_patch(item, patch) if patch_type is PatchType.MERGE else strategic_merge(item, patch)
            return changed

        return self._update(kind, namespace, name, change, subresource, manager, dry_run=dry_run)

    def delete(
        self,
        plural: str,
        namespace: str,
        name: str,
        *,
        grace: int | None = None,
        propagation: str = "Background",
        uid: str | None = None,
        version: str | None = None,
        dry_run: bool = False,
    ) -> Json:
        """DELETE; answers with the object as it was, or as it stays while it waits for grace or finalizers.

        `grace` is in seconds, None is the pod's own. `propagation` is Background, Foreground or Orphan; owned objects
        are then the collector's work.
        """
        kind = self._kind(plural)
        before = self._found(kind, namespace, name)
        admission.check_preconditions(kind, before, uid, version)
        item: Json = copied(before)
        metadata = item["metadata"]
        finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)
        first = "deletionTimestamp" not in metadata
        if finalizer and first and finalizer not in metadata.get("finalizers", []):
            metadata.setdefault("finalizers", []).append(finalizer)
        seconds = admission.grace(kind, item, grace)
        if first and not seconds and not metadata.get("finalizers") and kind.plural != "namespaces":
            return self._commit(kind, before, item, dry_run=dry_run, gone=True)
        if first or seconds < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionTimestamp"] = timestamp(self._now() + timedelta(seconds=seconds))
            if kind.plural == "namespaces":
                item["status"]["phase"] = "Terminating"
            else:
                metadata["deletionGracePeriodSeconds"] = seconds
            if first and kind.generation:
                metadata["generation"] += 1
        if item == before:
            return item
        return self._commit(kind, before, item, dry_run=dry_run)

    def changes(self, since: int) -> Changes:
        """What happened after a resourceVersion, oldest first; 410 when that was compacted."""
        return self._history.since(since)

    def compact(self, version: int | None = None) -> None:
        """Forget what happened up to a resourceVersion (all of it by default): watches from there answer 410."""
        self._history.compact(self._version if version is None else version)

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `listener` after every write, in the writer's own call stack; the answer ends it."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            with suppress(ValueError):
                self._listeners.remove(listener)

        return unsubscribe

    # How it is done

    def _kind(self, plural: str) -> Kind:
        if plural not in KINDS:
            raise errors.no_such_path()
        return KINDS[plural]

    def _found(self, kind: Kind, namespace: str, name: str) -> Json:
        found = self._stored(kind, namespace, name)
        if found is None:
            raise errors.not_found(kind, name)
        return found

    def _stored(self, kind: Kind, namespace: str, name: str) -> Json | None:
        return self._live[kind.plural].get(namespace if kind.namespaced else "", {}).get(name)

    def _matching(self, kind: Kind, namespace: str, labels: str, fields: str, at: int | None = None) -> Items:
        spaces = self._live[kind.plural]
        chosen = {namespace: spaces.get(namespace, {})} if namespace else spaces
        stored = {(where, name): item for where, inside in chosen.items() for name, item in inside.items()}
        if at is not None and at != self._version:
            try:
                past = self._history.since(at)
            except ApiError:
                raise errors.continue_expired() from None
            for change in reversed([change for change in past if change.plural == kind.plural]):
                place = _place(change.after)
                if change.before is None:
                    stored.pop(place, None)
                else:
                    stored[place] = change.before
        matches_labels(labels, {})  # a malformed selector is refused even when there is nothing to select from
        matches_fields(fields, kind.plural, {})
        return [
            item
            for (where, _), item in sorted(stored.items())
            if not namespace or where == namespace
            if matches_labels(labels, item["metadata"].get("labels") or {})
            and matches_fields(fields, kind.plural, item)
        ]

    def _new(self, kind: Kind, namespace: str, body: Json) -> Json:
        """A complete and valid object that is not stored yet."""
        item = admission.decoded(kind, namespace, body)
        metadata = item["metadata"]
        if "generateName" in metadata and not metadata.get("name"):
            metadata["name"] = metadata["generateName"] + "".join(self._dice.choices(_ALPHABET, k=5))
        if metadata.pop("resourceVersion", ""):
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        for key in (*admission.KEPT_BY_SERVER, "managedFields"):
            metadata.pop(key, None)
        if kind.namespaced:
            metadata["namespace"] = namespace
            self._check_namespace(kind, namespace, str(metadata.get("name", "")))
        metadata["uid"] = str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
        metadata["creationTimestamp"] = timestamp(self._now())
        if kind.generation:
            metadata["generation"] = 1
        if "status" in kind.subresources:
            item.pop("status", None)
        admission.complete(kind, item, None, self._version + 1)
        if self._stored(kind, *_place(item)) is not None:
            raise errors.already_exists(kind, metadata["name"])
        return item

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        found = self._found(KINDS["namespaces"], "", namespace)
        if "deletionTimestamp" in found["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise errors.forbidden(kind, name, why)

    def _update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Callable[[Json], Json],
        subresource: str,
        manager: str,
        *,
        dry_run: bool,
    ) -> Json:
        before = self._found(kind, namespace, name)
        view = scale(before) if subresource == "scale" else copied(before)
        wanted = change(view)
        after = admission.merged(kind, before, wanted, subresource)
        writer = Writer(manager, kind.api_version, subresource=subresource)
        time = timestamp(self._now())

        def noted() -> Items:
            return ownership.noted_update(before, after, writer, time)

        stored = self._store(kind, before, after, noted, subresource, dry_run=dry_run)
        return scale(stored) if subresource == "scale" else stored

    def _apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        config: Any,
        subresource: str,
        manager: str,
        *,
        force: bool,
        dry_run: bool,
    ) -> Json:
        if not isinstance(config, dict) or not (config.get("apiVersion") and config.get("kind")):
            raise errors.bad_request("invalid object type: /, Kind=")
        config = admission.decoded(kind, namespace, config)
        config["metadata"].setdefault("name", name)
        writer = Writer(manager, kind.api_version, "Apply", subresource)
        time = timestamp(self._now())
        before = self._stored(kind, namespace, name)
        if before is None:
            item = self._new(kind, namespace, config)
            item["metadata"]["managedFields"] = ownership.noted_apply(None, item, config, writer, time)
            return self._commit(kind, None, item, dry_run=dry_run)
        if not force:
            ownership.check_conflicts(before, config, writer)
        wanted = apply_merge(ownership.without_abandoned(before, config, writer), config)
        after = admission.merged(kind, before, wanted, subresource)

        def noted() -> Items:
            return ownership.noted_apply(before, after, config, writer, time)

        return self._store(kind, before, after, noted, subresource, dry_run=dry_run)

    def _store(
        self,
        kind: Kind,
        before: Json,
        after: Json,
        noted: Callable[[], Items],
        subresource: str,
        *,
        dry_run: bool,
    ) -> Json:
        admission.complete(kind, after, before, self._version + 1)
        if subresource in {"", "scale"} and admission.counts(kind, before) != admission.counts(kind, after):
            after["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        after["metadata"]["managedFields"] = noted()
        if after == before:
            same: Json = copied(before)
            return same
        return self._commit(kind, before, after, dry_run=dry_run)

    def _commit(self, kind: Kind, before: Json | None, after: Json, *, dry_run: bool, gone: bool = False) -> Json:
        if not dry_run:
            self._version += 1
            after["metadata"]["resourceVersion"] = str(self._version)
            gone = gone or admission.may_go(kind, after)
            where, name = _place(after)
            inside = self._live[kind.plural].setdefault(where, {})
            if gone:
                inside.pop(name, None)
            else:
                inside[name] = after
            change = Change(self._version, kind.plural, before, after, gone)
            self._history.record(change)
            for listener in tuple(self._listeners):
                listener(change)
        result: Json = copied(after)
        return result


def _place(item: Json) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _key(item: Json) -> str:
    return "\0".join(_place(item))
