"""Argo CD's application controller: compares what is in Git with what is there, and syncs when its policy says so.

Behaviour measured on Argo CD 3.2.11 (the main rows again on 3.5.7). There it takes 0.1 to 0.6 s; here it is at once,
but for the pauses between self-heals that had to be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox.cluster.argocd import health
from sandbox.cluster.argocd.comparing import merged, settled, with_last_applied
from sandbox.cluster.argocd.git import Commit, Repository
from sandbox.cluster.argocd.ignoring import as_live, ignored_paths, without
from sandbox.cluster.argocd.tracking import Tracking, tracked
from sandbox.cluster.controllers import earliest
from sandbox.cluster.errors import ApiError
from sandbox.cluster.kinds import kind_of
from sandbox.cluster.objects import Objects, timestamp
from sandbox.cluster.patches import Json, PatchType, copied, merge_difference

MANAGER = "argocd-controller"
NAMESPACE = "argocd"
_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(seconds=300)
_FORGOTTEN = timedelta(seconds=330)
_FACTOR = 3
_NOT_FOUND = 404


@dataclass(frozen=True)
class Compared:
    """One object of an Application: what Git says, what is there, and whether these are two things."""

    wanted: Json
    live: Json | None
    drifted: bool


@dataclass
class _Memory:
    """What the controller remembers of an Application: which commit it has synced, and how often it had to again."""

    synced: str = ""
    heals: int = 0
    healed_at: datetime | None = None


@dataclass(frozen=True)
class Tracked:
    """An Application and the repository that it follows."""

    name: str
    objects: Objects
    repository: Repository
    wake: Callable[[], None]

    def commit(self, manifests: Sequence[Json]) -> str:
        """Somebody pushes; the answer is the revision."""
        revision = self.repository.commit(manifests)
        self.wake()
        return revision

    @property
    def revision(self) -> str:
        """What Git asks for."""
        return self.repository.head.revision

    def read(self) -> Json:
        return self.objects.get("applications", NAMESPACE, self.name)

    def set(self, patch: Json) -> Json:
        """A merge patch of the Application."""
        return self.objects.patch("applications", NAMESPACE, self.name, patch, manager="argocd")

    def sync(self) -> Json:
        """`argocd app sync`: everything is applied once, whatever the policy is."""
        return self.set({"operation": {"sync": {"revision": self.revision}, "initiatedBy": {"username": "admin"}}})


class ArgoCD:
    """The controller, and the way to give it something to do. Without Applications it does nothing."""

    def __init__(self, objects: Objects) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.tracking = Tracking.ANNOTATION
        self._objects = objects
        self._repositories: dict[str, Repository] = {}
        self._memory: dict[str, _Memory] = {}
        self._stopped = False

    def install(
        self,
        name: str,
        manifests: Sequence[Json],
        *,
        namespace: str = "mochi",
        automated: bool = True,
        self_heal: bool = True,
        options: Sequence[str] = (),
        ignore: Sequence[Json] = (),
    ) -> Tracked:
        """An Application for these manifests, as their first commit.

        `options` are its syncOptions (`"ServerSideApply=true"`, `"RespectIgnoreDifferences=true"`), `ignore` its
        ignoreDifferences.
        """
        url = f"https://git.example.com/{name}.git"
        policy: Json = {"syncOptions": list(options)} if options else {}
        if automated:
            policy["automated"] = {"selfHeal": self_heal}
        spec: Json = {
            "project": "default",
            "source": {"repoURL": url, "path": "deploy", "targetRevision": "HEAD"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": policy,
        }
        if ignore:
            spec["ignoreDifferences"] = [copied(rule) for rule in ignore]
        app = Tracked(name, self._objects, self.repository(url), self.wake)
        app.commit(manifests)
        for needed in (NAMESPACE, namespace):
            if not self._objects.items("namespaces", fields=f"metadata.name={needed}"):
                self._objects.create("namespaces", "", {"metadata": {"name": needed}})
        body = {"metadata": {"name": name}, "spec": spec}
        self._objects.create("applications", NAMESPACE, body, manager="kubectl")
        return app

    def repository(self, url: str) -> Repository:
        """For Applications that are made by hand: their `spec.source.repoURL`."""
        return self._repositories.setdefault(url, Repository())

    def stop(self) -> None:
        self._stopped = True

    def resume(self) -> None:
        self._stopped = False
        self.wake()

    def step(self, objects: Objects, now: datetime) -> datetime | None:
        if self._stopped:
            return None
        return earliest([self._one(objects, app, now) for app in objects.items("applications")])

    def _one(self, objects: Objects, app: Json, now: datetime) -> datetime | None:
        repository = self._repositories.get(app["spec"].get("source", {}).get("repoURL", ""))
        if repository is None or not repository.commits or "deletionTimestamp" in app["metadata"]:
            return None
        look = _Look(objects, app, repository.head, self.tracking)
        memory = self._memory.setdefault(app["metadata"]["uid"], _Memory())
        compared = look.compared()
        due = None
        if app.get("operation"):
            compared = look.sync(compared, now)
            memory.synced = repository.head.revision
        elif any(each.drifted for each in compared):
            due = self._due(look, memory, now)
            if due is not None and due <= now:
                due = None
                drifted = [each for each in compared if each.drifted]
                compared = look.sync(compared if look.is_new(memory.synced) else drifted, now)
                _remember(memory, repository.head.revision, now)
        look.write_status(compared, now)
        return due

    def _due(self, look: _Look, memory: _Memory, now: datetime) -> datetime | None:
        """When what has drifted is to be put back; None: never by itself."""
        if not look.automated:
            return None
        if look.is_new(memory.synced):
            return now
        if not look.automated.get("selfHeal"):
            return None
        if memory.healed_at is None or now - memory.healed_at >= _FORGOTTEN:
            memory.heals = 0
        if memory.healed_at is None or not memory.heals:
            return now
        pause = min(_FIRST_PAUSE * float(_FACTOR ** (memory.heals - 1)), _LONGEST_PAUSE)
        return memory.healed_at + pause


def _remember(memory: _Memory, revision: str, now: datetime) -> None:
    if memory.synced == revision:
        memory.heals += 1
        memory.healed_at = now
    else:
        memory.synced, memory.heals, memory.healed_at = revision, 0, None


@dataclass(frozen=True)
class _Look:
    """One look at one Application."""

    objects: Objects
    app: Json
    head: Commit
    tracking: Tracking

    @property
    def options(self) -> set[str]:
        return set(self.app["spec"].get("syncPolicy", {}).get("syncOptions") or ())

    @property
    def automated(self) -> Json:
        """Empty when nothing is synced without being asked."""
        found: Json | None = self.app["spec"].get("syncPolicy", {}).get("automated")
        if found is None or found.get("enabled") is False:
            return {}
        return {"selfHeal": False, **found}

    @property
    def by_server(self) -> bool:
        return "ServerSideApply=true" in self.options

    def is_new(self, synced: str) -> bool:
        return synced != self.head.revision

    def compared(self) -> list[Compared]:
        return [self._compare(item) for item in self._wanted()]

    def _wanted(self) -> list[Json]:
        namespace = self.app["spec"].get("destination", {}).get("namespace", "default")
        name = self.app["metadata"]["name"]
        return [tracked(name, item, namespace, self.tracking) for item in self.head.manifests]

    def _compare(self, wanted: Json) -> Compared:
        kind, metadata = kind_of(wanted), wanted["metadata"]
        try:
            live = self.objects.get(kind.plural, metadata.get("namespace", ""), metadata["name"])
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            return Compared(wanted, None, drifted=True)
        paths = ignored_paths(self.app["spec"].get("ignoreDifferences") or (), live)
        if "RespectIgnoreDifferences=true" in self.options:
            wanted = as_live(wanted, live, paths)
        before, after = (without(settled(item), paths) for item in (live, self._applied(live, wanted)))
        return Compared(wanted, live, drifted=before != after)

    def _applied(self, live: Json, wanted: Json) -> Json:
        """The object as it would be after a sync."""
        if self.by_server:
            return self._write(wanted, PatchType.APPLY, dry_run=True)
        return merged(live, wanted)

    def sync(self, compared: Sequence[Compared], now: datetime) -> list[Compared]:
        for each in compared:
            if self.by_server:
                self._write(each.wanted, PatchType.APPLY)
            elif each.live is None:
                kind, metadata = kind_of(each.wanted), each.wanted["metadata"]
                body = with_last_applied(each.wanted, each.wanted)
                self.objects.create(kind.plural, metadata.get("namespace", ""), body, manager=MANAGER)
            else:
                after = with_last_applied(merged(each.live, each.wanted), each.wanted)
                if patch := merge_difference(each.live, after):
                    self._write({**patch, "metadata": {**(patch.get("metadata") or {})}}, PatchType.MERGE, of=each.live)
        self._note_operation(now)
        return self.compared()

    def _write(self, body: Json, patch_type: PatchType, *, of: Json | None = None, dry_run: bool = False) -> Json:
        item = of or body
        return self.objects.patch(
            kind_of(item).plural,
            item["metadata"].get("namespace", ""),
            item["metadata"]["name"],
            body,
            patch_type,
            manager=MANAGER,
            force=True,
            dry_run=dry_run,
        )

    def _note_operation(self, now: datetime) -> None:
        asked = self.app.get("operation") or {"initiatedBy": {"automated": True}}
        state = {
            "phase": "Succeeded",
            "message": "successfully synced (all tasks run)",
            "operation": {"sync": {"revision": self.head.revision}, "initiatedBy": asked.get("initiatedBy") or {}},
            "syncResult": {"revision": self.head.revision},
            "startedAt": timestamp(now),
            "finishedAt": timestamp(now),
        }
        self._patch({"operation": None, "status": {"operationState": state}})

    def write_status(self, compared: Sequence[Compared], now: datetime) -> None:
        resources = [_resource(each) for each in compared]
        drifted = any(each.drifted for each in compared)
        found = {
            "sync": {
                "status": "OutOfSync" if drifted else "Synced",
                "revision": self.head.revision,
                "comparedTo": {"source": self.app["spec"]["source"], "destination": self.app["spec"]["destination"]},
            },
            "health": {"status": health.worst((each.get("health") or {}).get("status") for each in resources)},
            "resources": resources,
            "sourceType": "Directory",
        }
        known = self.objects.get("applications", self.app["metadata"]["namespace"], self.app["metadata"]["name"])
        if any((known.get("status") or {}).get(key) != value for key, value in found.items()):
            self._patch({"status": {**found, "reconciledAt": timestamp(now)}})

    def _patch(self, patch: Json) -> None:
        metadata = self.app["metadata"]
        self.objects.patch(
            "applications", metadata["namespace"], metadata["name"], patch, PatchType.MERGE, manager=MANAGER
        )


def _resource(each: Compared) -> Json:
    kind, metadata = kind_of(each.wanted), each.wanted["metadata"]
    found: dict[str, Any] = {
        "version": kind.version,
        "kind": kind.kind,
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "status": "OutOfSync" if each.drifted else "Synced",
    }
    if kind.group:
        found["group"] = kind.group
    state = "Missing" if each.live is None else health.health(each.live)
    return {**found, "health": {"status": state}} if state else found
