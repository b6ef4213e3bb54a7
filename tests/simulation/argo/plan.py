"""What one reconciliation of Argo Rollouts' controller would write, from what it believes. Pure.

It is the order of Argo's own controller for blueGreen (1.9.1), cut down to what a release meets: preview, pause,
cut-over, the set that stays warm, abort, and an analysis after the promotion. `test_stepped_rollouts.py` holds it
beside the sandbox's controller, which has all of it. Each write is an operation of its own, so that others can come in
between.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.clusters.argo.reading import HASH, annotations
from simulation.hashes import remembered
from simulation.objects import EPOCH, Json

PAUSE = {"reason": "BlueGreenPause"}
DEADLINE = "scale-down-deadline"
REVISION = "rollout.argoproj.io/revision"
DESIRED = "rollout.argoproj.io/desired-replicas"
DELAY = 30.0
"""Seconds for which a set stays up that has lost the traffic, or was aborted."""
ABORTED, PAUSED = "RolloutAborted", "RolloutPaused"

Operation = tuple[Any, ...]


@remembered
def template_hash(template: Json) -> str:
    return hashlib.sha256(json.dumps(rewritten(template), sort_keys=True).encode()).hexdigest()[:10]


def rewritten(template: Json) -> Json:
    """As it comes out of Go's types: the controller writes it back so, and its hash is the same either way."""
    containers = template["spec"]["containers"]
    if all("resources" in each for each in containers):
        return template
    return {
        **template,
        "spec": {**template["spec"], "containers": [{"resources": {}, **each} for each in containers]},
    }


@dataclass(frozen=True)
class Seen:
    """`rollout` as the controller believes it to be, which may be old; all else as it is."""

    rollout: Json
    sets: Mapping[str, Json]
    """By hash."""
    active: str
    preview: str
    """The hashes that the Services select."""
    now: str
    runs: Mapping[str, str]
    """The phase of each analysis after a promotion, by the hash of what it looks at."""


@dataclass
class Plan:
    operations: list[Operation] = field(default_factory=list)
    due: list[float] = field(default_factory=list)
    """When to look again although nothing changed."""


def planned(seen: Seen) -> Plan:
    """One operation `again` at its end: what was written changes what there is to be done."""
    new = seen.sets.get(template_hash(seen.rollout["spec"]["template"]))
    if new is None:
        return Plan([("create",), ("again",)])
    return _Look(seen, new).plan()


class _Look:
    """One reconciliation. What it knows of an object is not renewed by its own writes, as in Argo's controller."""

    def __init__(self, seen: Seen, new: Json) -> None:
        self.seen = seen
        self.plan_ = Plan()
        self.spec, self.status = seen.rollout["spec"], seen.rollout["status"]
        self.wanted: int = self.spec["replicas"]
        self.new, self.hash = new, new["metadata"]["labels"][HASH]
        self.stable_hash, self.current = self.status.get("stableRS", ""), self.status.get("currentPodHash", "")
        self.stable = seen.sets.get(self.stable_hash)
        self.pauses = self.status.get("pauseConditions") or []
        self.abort = bool(self.status.get("abort"))
        self.abort_over = self.abort and self.stable_hash == self.current
        self.frozen = bool(self.spec.get("paused"))
        self.full = bool(self.status.get("promoteFull"))
        self.run = seen.runs.get(self.hash, "")
        self.verifies = bool(self.spec["strategy"]["blueGreen"].get("postPromotionAnalysis"))
        self.fails = self.verifies and self.run == "Failed" and self.stable_hash != self.hash
        """The analysis has failed: the abort is written now, and obeyed the next time."""

    @property
    def aborted(self) -> bool:
        return self.abort and not self.abort_over

    def plan(self) -> Plan:
        do = self.plan_.operations
        if self._renumber():
            return self.plan_
        self._conditions_first()
        if self._is_resized():
            self._sets()
            self._write(self._counted(dict(self.status)))
            return self.plan_
        active, preview, fresh_pause, drop_pause = self.seen.active, self.seen.preview, False, False
        if not self.frozen and preview != self.hash:
            do.append(("select", "preview", self.hash, ""))
            preview = self.hash
        template_is_new = bool(self.current) and self.current != self.hash
        if not template_is_new:
            self._sets()
            fast = bool(annotations(self.new).get(DEADLINE)) or self.full or active in {"", self.hash}
            able = self._is_full(self.new) and not self.frozen
            if able and not self.abort:
                drop_pause = fast
                fresh_pause = not fast and not self.pauses and not self.status.get("controllerPause")
            over = bool(self.status.get("controllerPause")) and not self.pauses and not fresh_pause
            if able and annotations(self.new).get(DESIRED) == str(self.wanted):
                to, why = (self.hash, _why_fast(self, active)) if fast else (active, "")
                to, why = (self.hash, "promoted") if over and not fast else (to, why)
                to, why = (self.stable_hash, "abort") if self.abort else (to, why)
                if to != active:
                    do.append(("select", "active", to, why))
                    active = to
            self._analyse()
        self._write(self._after(active, preview, template_is_new, fresh_pause, drop_pause))
        return self.plan_

    # What stands at the beginning

    def _renumber(self) -> bool:
        """The new set has the highest revision, and the Rollout that of its set. Whether that is to be written."""
        others = (revision(each) for each in self.seen.sets.values() if each is not self.new)
        number = max((*others, 0)) + 1
        if revision(self.new) < number:
            self.plan_.operations += [("set", self.new, {"revision": str(number)}), ("again",)]
            return True
        note = annotations(self.seen.rollout).get(REVISION)
        if note != str(revision(self.new)) or rewritten(self.spec["template"]) is not self.spec["template"]:
            self.plan_.operations += [("note", str(revision(self.new))), ("again",)]
            return True
        return False

    def _conditions_first(self) -> None:
        """What follows from a pause is written alone, and ahead. For a template that comes in a pause this is the
        moment in which its generation is observed, with the pause and the hash of the one before.
        """
        reason, paused = progress(self.status), bool(self.pauses) or self.frozen
        complete = bool(self.stable_hash) and self.stable_hash == self.current
        fresh = ""
        if paused != (reason == PAUSED) and reason != ABORTED and not complete:
            fresh = PAUSED if paused else "RolloutResumed"
        if reason == ABORTED and not self.status.get("abort"):
            fresh = "RolloutRetry"
        if fresh:
            self._write({**self.status, "conditions": _progressing(fresh)})

    def _is_resized(self) -> bool:
        up = [each for each in (self.new, self.stable) if each is not None and each["spec"]["replicas"]]
        return any(annotations(each).get(DESIRED) not in {str(self.wanted), None} for each in up)

    # The ReplicaSets

    def _is_full(self, item: Json) -> bool:
        return bool(item["spec"]["replicas"] == self.wanted == item["status"].get("availableReplicas", 0))

    def _sets(self) -> None:
        late = self.aborted and self.stable is not None
        if not late and annotations(self.new).get(DEADLINE):
            self._set(self.new, deadline=None)
        if self.stable is not None and self.stable is not self.new:
            self._scale(self.stable, self.wanted, {"deadline": None} if annotations(self.stable).get(DEADLINE) else {})
        if late:
            self._let_go_of_aborted()
        else:
            self._scale(self.new, self.wanted)
        self._scale_others_down()

    def _let_go_of_aborted(self) -> None:
        deadline = annotations(self.new).get(DEADLINE)
        if deadline is None:
            if self.stable is not None and self.stable["status"].get("availableReplicas", 0) == self.wanted:
                self._set(self.new, deadline=DELAY)
        elif deadline > self.seen.now:
            self.plan_.due.append(_seconds(deadline))
        else:
            self._scale(self.new, 0)

    def _scale(self, item: Json, wanted: int, more: Mapping[str, Any] | None = None) -> None:
        changes = dict(more or {})
        if item["spec"]["replicas"] != wanted or annotations(item).get(DESIRED) != str(self.wanted):
            changes |= {"replicas": wanted, "desired": str(self.wanted)}
            if not wanted and not self.aborted and annotations(item).get(DEADLINE):
                changes["deadline"] = None
        if changes:
            self._set(item, **changes)

    def _set(self, item: Json, **changes: Any) -> None:
        self.plan_.operations.append(("set", item, changes))

    def _scale_others_down(self) -> None:
        others = [each for each in self.seen.sets.values() if each is not self.new and each is not self.stable]
        if self._waits_for_analysis():
            return
        seen = self.status.get("blueGreen") or {}
        wanted = {self.stable_hash, self.current, seen.get("activeSelector"), seen.get("previewSelector")}
        wanted |= {self.seen.active, self.hash if not self.frozen else self.seen.preview}
        for each in others:
            if not each["spec"]["replicas"] or each["metadata"]["labels"][HASH] in wanted:
                continue
            deadline = annotations(each).get(DEADLINE)
            if deadline is None:
                self._set(each, deadline=DELAY)
            elif deadline <= self.seen.now:
                self._scale(each, 0)
            else:
                self.plan_.due.append(_seconds(deadline))
                if each["spec"]["replicas"] != self.wanted:
                    self._scale(each, self.wanted)
        surplus = len(others) - self.spec.get("revisionHistoryLimit", 10)
        for each in sorted(others, key=_age)[: max(surplus, 0)]:
            if not each["spec"]["replicas"] and not each["status"].get("replicas"):
                self.plan_.operations.append(("delete", each))

    def _waits_for_analysis(self) -> bool:
        seen = self.status.get("blueGreen") or {}
        after = seen.get("activeSelector") == self.hash and self.stable_hash != self.hash
        return self.verifies and after and self.run != "Successful"

    # The analysis after the promotion

    def _analyse(self) -> None:
        seen = self.status.get("blueGreen") or {}
        due = seen.get("activeSelector") == self.hash != self.stable_hash and self._is_full(self.new)
        skipped = self.aborted or self.full or annotations(self.new).get(DEADLINE) or not self.stable_hash
        if self.verifies and due and not skipped and not self.run:
            self.plan_.operations.append(("analyse", self.hash))

    # The status

    def _after(self, active: str, preview: str, template_is_new: bool, fresh: bool, drop: bool) -> Json:
        status = self.status
        clear, over = template_is_new or self.full, self.abort_over or template_is_new or self.full
        full, stable = self.full and not template_is_new, self.stable_hash
        self.abort_over = over
        if self._is_complete(active):
            clear, self.abort_over, full, stable = True, True, False, self.hash
        after: Json = {
            "currentPodHash": self.hash,
            "stableRS": stable,
            "promoteFull": full,
            "blueGreen": {"previewSelector": preview, "activeSelector": active, **self._run_status(template_is_new)},
            "conditions": status.get("conditions", []),
        }
        if self.fails or (self.abort and not self.abort_over):
            after |= {"abort": True, "abortedAt": status.get("abortedAt") or self.seen.now}
        elif not clear:
            begun = [{**PAUSE, "startTime": self.seen.now}] if fresh else []
            left = self.pauses if self.pauses and not drop else begun
            if left:
                after |= {"pauseConditions": left, "controllerPause": fresh or bool(status.get("controllerPause"))}
        if self.aborted or self.fails:
            after["conditions"] = _progressing(ABORTED)
        elif stable == active == self.hash and self._is_full(self.new):
            after["conditions"] = _progressing("NewReplicaSetAvailable")
        elif progress(status) == ABORTED:
            after["conditions"] = _progressing("ReplicaSetUpdated")
        return self._counted(after)

    def _run_status(self, template_is_new: bool) -> Json:
        if not self.run or template_is_new:
            return {}
        return {"postPromotionAnalysisRunStatus": {"name": f"{self.hash}-post", "status": self.run}}

    def _is_complete(self, active: str) -> bool:
        if self.stable is None or not active:
            return True
        if active != self.hash:
            return False
        if self.full:
            return True
        if self.fails or (self.abort and not self.abort_over):
            return False
        return not self.verifies or bool(annotations(self.new).get(DEADLINE)) or self.run == "Successful"

    def _counted(self, after: Json) -> Json:
        active = self.seen.sets.get((after.get("blueGreen") or {}).get("activeSelector", ""))
        counted = [active] if active is not None else list(self.seen.sets.values())
        after["updatedReplicas"] = self.new["status"].get("replicas", 0)
        after["availableReplicas"] = sum(each["status"].get("availableReplicas", 0) for each in counted)
        return after

    def _write(self, after: Json) -> None:
        """Only what is another than in the status that the controller knows, as a merge patch."""
        after["observedGeneration"] = str(self.seen.rollout["metadata"]["generation"])
        after["phase"], after["message"] = _phase(self.spec, after)
        before = {key: value for key, value in self.status.items() if value}
        fresh = {key: value for key, value in after.items() if value}
        changes = {key: None for key in before if key not in fresh}
        changes |= {key: value for key, value in fresh.items() if before.get(key) != value}
        if changes:
            self.plan_.operations.append(("status", changes))


def progress(status: Json) -> str:
    """The reason of the condition `Progressing`, the only one that is kept here."""
    return next((str(each["reason"]) for each in status.get("conditions") or ()), "")


def _progressing(reason: str) -> list[Json]:
    met = "False" if reason == ABORTED else "True"
    return [{"type": "Progressing", "status": met, "reason": reason, "message": reason}]


def _phase(spec: Json, status: Json) -> tuple[str, str]:
    if progress(status) == ABORTED:
        return "Degraded", f"{ABORTED}: {ABORTED}"
    if spec.get("paused"):
        return "Paused", "manually paused"
    if status.get("pauseConditions"):
        return "Paused", PAUSE["reason"]
    wanted, active = spec["replicas"], (status.get("blueGreen") or {}).get("activeSelector", "")
    if status["updatedReplicas"] < wanted if "updatedReplicas" in status else True:
        return "Progressing", "more replicas need to be updated"
    if status.get("availableReplicas", 0) < wanted:
        return "Progressing", "updated replicas are still becoming available"
    if active != status.get("currentPodHash", ""):
        return "Progressing", "active service cutover pending"
    return ("Healthy", "") if status.get("stableRS") == active else ("Progressing", "waiting for analysis to complete")


def _why_fast(look: _Look, active: str) -> str:
    if annotations(look.new).get(DEADLINE):
        return "deadline"
    return "full" if look.full else f"service selects {active or 'nothing in particular'}"


def revision(item: Json) -> int:
    return int(annotations(item).get(REVISION, 0))


def _age(item: Json) -> tuple[str, str]:
    return item["metadata"]["creationTimestamp"], item["metadata"]["name"]


def _seconds(moment: str) -> float:
    return (datetime.fromisoformat(moment) - EPOCH).total_seconds()
