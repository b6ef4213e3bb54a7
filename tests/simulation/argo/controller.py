"""Argo Rollouts' controller with its one Rollout: what it believes of it, and one write at a time.

After a reconciliation it puts the object of its own last status write into its cache, without comparing versions. What
others wrote in between disappears from its view until the Rollout changes again.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from bot.clusters.argo.reading import HASH, annotations
from bot.clusters.reading import selector
from simulation.argo.plan import (
    DEADLINE,
    DESIRED,
    REVISION,
    Operation,
    Seen,
    planned,
    revision,
    rewritten,
    template_hash,
)
from simulation.cluster import ACTIVE, PREVIEW
from simulation.objects import Json

MANAGER = "rollouts-controller"
ROLLOUT = "mochiapp"
AGAIN = 2.0
"""Seconds after which a refused write is tried anew."""
VERIFIES = 20.0
"""Seconds that an analysis after the promotion takes."""


class Controller:
    """All that it holds is replaced and never changed, so a copy is shallow."""

    def __init__(self) -> None:
        self.believed: Json | None = None
        self.operations: tuple[Operation, ...] = ()
        """What is left of the reconciliation under way."""
        self.written: Json | None = None
        self.runs = True
        self.dirty = False
        """Something changed since the reconciliation under way began."""
        self.deaf = False
        """The next write of anybody else is not seen."""
        self.lost = False
        """One was not, and with the next change it will be."""
        self.analyses: dict[str, str] = {}
        self.route = ("", "")
        """Why it switched the active Service last, and to which hash."""

    def copy(self) -> "Controller":
        other = Controller.__new__(Controller)
        other.__dict__.update(self.__dict__)
        other.analyses = dict(self.analyses)
        return other

    def heard(self, rollout: Json) -> None:
        """Of a change that somebody else made."""
        if self.deaf and not self.lost:
            self.lost = True
        else:
            self.believed, self.lost = rollout, False
        self.deaf = False

    def stop(self) -> None:
        self.runs = False

    def resume(self, cluster: Any, *, anew: bool) -> None:
        """`anew`: as a new process, which reads everything and has lost nothing."""
        self.runs = True
        if anew:
            self.operations, self.written, self.deaf, self.lost = (), None, False, False
            self.believed = cluster.rollout()

    def step(self, cluster: Any, *, whole: bool) -> None:
        """The next write of a reconciliation; `whole`: all of them, with nobody in between."""
        if not self.runs:
            return
        if not self.operations:
            self.dirty = False
            self._begin(cluster)
        while self.operations:
            operation, self.operations = self.operations[0], self.operations[1:]
            if not self._DO[operation[0]](self, cluster, *operation[1:]):  # somebody was quicker
                self.operations, self.written = (), None
                cluster.later(cluster.seconds() + AGAIN, "rollouts", ROLLOUT)
                return
            if not whole:
                break
        if self.operations or self.dirty:
            dirty = self.dirty
            cluster.need("rollouts", ROLLOUT)
            self.dirty = dirty

    def _begin(self, cluster: Any) -> None:
        objects = cluster.objects
        believed = self.believed if self.believed is not None else cluster.rollout()
        seen = Seen(
            rollout=believed,
            sets={each["metadata"]["labels"][HASH]: each for each in objects.kinds["replicasets"].values()},
            active=_selected(objects.kinds["services"][ACTIVE]),
            preview=_selected(objects.kinds["services"][PREVIEW]),
            now=objects.moment(),
            runs=self.analyses,
        )
        plan = planned(seen)
        for due in plan.due:
            cluster.later(due, "rollouts", ROLLOUT)
        self.operations = (*plan.operations, *((("keep",),) if plan.operations else ()))

    # The writes; False when one is refused

    def _again(self, cluster: Any) -> bool:
        self.operations = ()
        cluster.need("rollouts", ROLLOUT)
        return True

    def _create(self, cluster: Any) -> bool:
        """The ReplicaSet of a template that has none yet, with no pods; and the news of it in the Rollout."""
        rollout, sets = self._own(cluster), cluster.objects.kinds["replicasets"]
        if rollout is None:
            return False
        template = rewritten(rollout["spec"]["template"])
        hash_ = template_hash(template)
        marked = {**template["metadata"]["labels"], HASH: hash_}
        notes = {REVISION: str(max((revision(each) for each in sets.values()), default=0) + 1)}
        owner = {"kind": "Rollout", "name": ROLLOUT, "uid": rollout["metadata"]["uid"], "controller": True}
        made: Json = {
            "metadata": {
                "name": f"{ROLLOUT}-{hash_}",
                "labels": marked,
                "annotations": {**notes, DESIRED: str(rollout["spec"]["replicas"])},
                "ownerReferences": [owner],
            },
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {**rollout["spec"]["selector"]["matchLabels"], HASH: hash_}},
                "template": {**template, "metadata": {**template["metadata"], "labels": marked}},
            },
            "status": {},
        }
        cluster.objects.create("replicasets", made)
        created = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetCreated", "message": "created"}
        as_go_has_it = {key: value for key, value in rollout["status"].items() if value}
        self._store(cluster, {**rollout, "status": {**as_go_has_it, "conditions": [created]}})
        return True

    def _note(self, cluster: Any, number: str) -> bool:
        """Its revision. This write puts the whole spec back as Go has it: that may be another generation."""
        rollout = self._own(cluster)
        if rollout is None:
            return False
        metadata = {**rollout["metadata"], "annotations": {**annotations(rollout), REVISION: number}}
        spec = {**rollout["spec"], "template": rewritten(rollout["spec"]["template"])}
        self._store(cluster, {**rollout, "metadata": metadata, "spec": spec})
        return True

    def _own(self, cluster: Any) -> Json | None:
        """What it believes, if that is what is there: else a whole write is refused."""
        present = cluster.rollout()
        known = self.believed if self.believed is not None else present
        same = known["metadata"]["resourceVersion"] == present["metadata"]["resourceVersion"]
        return present if same else None

    def _store(self, cluster: Any, changed: Json) -> None:
        self.believed = cluster.objects.change("rollouts", changed)
        cluster.need("rollouts", ROLLOUT)

    def _set(self, cluster: Any, known: Json, changes: dict[str, Any]) -> bool:
        present = cluster.objects.kinds["replicasets"].get(known["metadata"]["name"])
        if present is None or present["spec"] != known["spec"] or annotations(present) != annotations(known):
            return False
        notes = dict(annotations(present))
        for key, what in (("revision", REVISION), ("desired", DESIRED)):
            if key in changes:
                notes[what] = changes[key]
        if "deadline" in changes:
            notes.pop(DEADLINE, None)
            if (delay := changes["deadline"]) is not None:
                notes[DEADLINE] = cluster.objects.moment(delay)
                cluster.later(cluster.seconds() + delay + 1, "rollouts", ROLLOUT)
        spec = {**present["spec"], "replicas": changes.get("replicas", present["spec"]["replicas"])}
        changed = {**present, "spec": spec, "metadata": {**present["metadata"], "annotations": notes}}
        cluster.objects.change("replicasets", changed)
        cluster.need("replicaset", present["metadata"]["name"])
        cluster.need("rollouts", ROLLOUT)
        return True

    def _delete(self, cluster: Any, known: Json) -> bool:
        name = known["metadata"]["name"]
        if name in cluster.objects.kinds["replicasets"]:
            cluster.objects.delete("replicasets", name)
        return True

    def _select(self, cluster: Any, which: str, hash_: str, why: str) -> bool:
        name = ACTIVE if which == "active" else PREVIEW
        service = cluster.objects.kinds["services"][name]
        wanted = {**selector(service), HASH: hash_}
        changed = {**service, "spec": {**service["spec"], "selector": wanted}}
        if which == "active":
            self.route = (why, hash_)
        if wanted != selector(service):
            cluster.objects.change("services", changed, MANAGER, "spec", "selector")
            cluster.changed("services", name)
        return True

    def _status(self, cluster: Any, changes: Json) -> bool:
        present = cluster.rollout()
        status = {key: value for key, value in present["status"].items() if key not in changes}
        status |= {key: value for key, value in changes.items() if value is not None}
        if status != present["status"]:
            changed = {**present, "status": status}
            self.written = cluster.objects.change("rollouts", changed)
            cluster.need("rollouts", ROLLOUT)
        else:
            self.written = present
        return True

    def _keep(self, cluster: Any) -> bool:
        if self.written is not None:
            self.believed, self.written = self.written, None
        return True

    def _analyse(self, cluster: Any, hash_: str) -> bool:
        self.analyses[hash_] = "Running"
        cluster.later(cluster.seconds() + VERIFIES, "analysis", hash_)
        cluster.need("rollouts", ROLLOUT)
        return True

    def judged(self, cluster: Any, hash_: str, *, passed: bool) -> None:
        """An analysis is over."""
        if self.analyses.get(hash_) == "Running":
            self.analyses[hash_] = "Successful" if passed else "Failed"
            cluster.need("rollouts", ROLLOUT)

    _DO: ClassVar[dict[str, Callable[..., bool]]] = {
        "again": _again,
        "create": _create,
        "note": _note,
        "set": _set,
        "delete": _delete,
        "select": _select,
        "status": _status,
        "keep": _keep,
        "analyse": _analyse,
    }


def _selected(service: Json) -> str:
    return selector(service).get(HASH, "")
