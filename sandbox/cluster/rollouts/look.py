"""What the controller knows and has decided during one reconciliation of one Rollout.

As in Argo's own controller, what is known of an object is not renewed by the writes of the same reconciliation (only
where it says so): several of Argo's habits come from that, such as the fast track of a set whose deadline it has just
removed itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.cluster.objects import Objects
from sandbox.cluster.patches import Json, PatchType, copied, merge_difference
from sandbox.cluster.rollouts import conditions, spec
from sandbox.cluster.rollouts.keys import MANAGER, pod_hash
from sandbox.cluster.rollouts.status import as_go


@dataclass
class Look:
    """`rollout` is what the controller has in its cache, with the template resolved: it may be old."""

    objects: Objects
    now: datetime
    rollout: Json
    sets: list[Json]
    # The parts of the spec that came from the workload, and are not written back.
    resolved: frozenset[str] = frozenset()
    new: Json | None = None
    stable: Json | None = None

    pre: Json | None = None
    post: Json | None = None
    other_runs: list[Json] = field(default_factory=list)
    run_status: Json = field(default_factory=dict)

    add_pause: list[str] = field(default_factory=list)
    drop_pause: list[str] = field(default_factory=list)
    clear_pause: bool = False
    abort_now: bool = False
    abort_over: bool = False
    abort_message: str = ""

    # The Rollout as the last write of its status left it: this is what goes back into the cache.
    written: Json | None = None
    due: list[datetime] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        found: str = self.rollout["metadata"]["namespace"]
        return found

    @property
    def name(self) -> str:
        found: str = self.rollout["metadata"]["name"]
        return found

    @property
    def status(self) -> Json:
        return spec.status(self.rollout)

    @property
    def is_aborted(self) -> bool:
        if self.abort_over:
            return False
        return self.abort_now or bool(self.status.get("abort"))

    @property
    def target(self) -> Json:
        """The new ReplicaSet, where there must be one by now."""
        if self.new is None:
            raise LookupError(f"Rollout {self.name} has no ReplicaSet for its template yet")
        return self.new

    @property
    def older(self) -> list[Json]:
        own = (self.new or {}).get("metadata", {}).get("uid")
        return [item for item in self.sets if item["metadata"]["uid"] != own]

    @property
    def others(self) -> list[Json]:
        """Neither new nor stable."""
        known = {item["metadata"]["name"] for item in (self.new, self.stable) if item}
        return [item for item in self.sets if item["metadata"]["name"] not in known]

    def set_of(self, hash_: str) -> Json | None:
        return next((item for item in self.sets if hash_ and pod_hash(item) == hash_), None)

    def come_back_in(self, delay: timedelta) -> None:
        self.due.append(self.now + delay)

    def service(self, which: str) -> Json | None:
        """The `active` or `preview` Service as it is now; None when the Rollout names none."""
        name = spec.blue_green(self.rollout).get(f"{which}Service")
        return self.objects.get("services", self.namespace, name) if name else None

    def write_status(self, after: Json) -> Json | None:
        """The Rollout afterwards; None when there was nothing to change."""
        after["observedGeneration"] = str(self.rollout["metadata"]["generation"])
        phase, message = conditions.phase(self.rollout, after)
        after["phase"], after["message"] = phase, message
        patch = merge_difference(as_go(self.status), as_go(after))
        if not patch:
            return None
        self.written = self.objects.patch(
            "rollouts",
            self.namespace,
            self.name,
            {"status": patch},
            PatchType.MERGE,
            subresource="status",
            manager=MANAGER,
        )
        return self.written

    def write_conditions(self, *fresh: Json, anew: bool = False) -> None:
        """Ahead of the rest of the status, which stays as the controller knows it. `anew`: also if only the message of
        a condition is another.
        """
        after: Json = copied(self.status)
        for each in fresh:
            if anew:
                conditions.drop(after, each["type"])
            conditions.put(after, each)
        self.write_status(after)
