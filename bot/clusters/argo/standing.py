"""How one release of an app on Argo Rollouts stands, as its objects show it. Pure.

Which version is whose and has the traffic is in `versions.py`, what the controller owes in `owed.py`, and what
follows in `view.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Self

from bot.clusters.api import Json
from bot.clusters.argo.analysis import checks
from bot.clusters.argo.objects import CONTROLLER, Objects
from bot.clusters.argo.owed import WITHIN, Owed, owed, written
from bot.clusters.argo.reading import HASH, blue_green, container, deadline
from bot.clusters.argo.state import State, paused_since, said
from bot.clusters.argo.versions import Versions
from bot.clusters.argocd import keeper
from bot.clusters.errors import ClusterError
from bot.clusters.reading import annotations, changed_by, is_ready, last_change, name, pods_behind, replicas, selector
from bot.clusters.trouble import image_doubt, restarts, trouble
from bot.release.app import App
from bot.release.record import Phase, Release
from bot.release.snapshot import Side, Snapshot, Traffic

SCALED_EVERY, SCALED_WITHIN = timedelta(seconds=15), timedelta(minutes=1)
"""How often, and for how long after it was to give pods up, it is looked whether the controller has."""
GIVEN_BACK_NOTE = "greenlight.dev/given-back"
"""Annotation of the active Service: the release whose traffic was taken back by it."""
NOT_TAKEN_UP = "Argo Rollouts has not taken up the last change yet"
WHY_ABORTED = ("RolloutAborted", "ProgressDeadlineExceeded")
"""How a message begins that tells it; the second is the first that the controller has for `progressDeadlineAbort`."""
SILENT = (
    "Argo Rollouts does not answer, though it was nudged three times: is its controller running? "
    "(kubectl get pods -n argo-rollouts)"
)


@dataclass(frozen=True)
class Standing:
    app: App
    release: Release
    objects: Objects
    store_id: str
    """Of the store that remembers the release: only the one that has claimed the active Service writes anything."""
    read_at: datetime
    fresh: bool
    barred: bool = False
    """A write to the Rollout has failed a moment ago, or it cannot be read: the traffic does not wait for another."""

    @cached_property
    def snapshot(self) -> Snapshot:
        return Snapshot(
            traffic=self._traffic,
            candidate=self._candidate_side,
            previous=self._previous_side,
            read_at=self.read_at,
            changed_by=changed_by(self.objects.active, "spec", "selector"),
            candidate_changed_by=self.objects.changed_by,
            previous_changed_by=self.objects.changed_by,
            fresh=self.fresh,
            pending=self._pending,
            undone=self._versions.is_undone,
            given_up=self._given_up,
            promoted_by=self._promoted_by,
            pause=paused_since(self.objects.rollout) if self._versions.is_desired else "",
            taken_back=self._was_taken_back,
            restarting=self._comes_up_anew,
            again_at=min(filter(None, (self._reminds_at, self._counts_again_at)), default=None),
            instant_until=self._kept_until,
            checks=checks(self.objects.rollout, self.objects.analysis_runs, self._versions.candidate),
        )

    def of(self, release: Release) -> Self:
        return replace(self, release=release)

    @property
    def _promoted_by(self) -> str:
        live = self._traffic is Traffic.CANDIDATE and not self._versions.is_handed_over
        return self.objects.promoted_by if live else ""

    @property
    def _was_taken_back(self) -> bool:
        """A promotion was heeded, of which no look has seen anything. That there is another pause is not enough: one
        that cannot be heeded when it comes, for want of a pod, is forgotten, and paused for once more.
        """
        ended, sent = self.release.switched_from, self.release.switch_sent_at
        if not ended or sent is None or paused_since(self.objects.rollout) in {"", ended}:
            return False
        moved = last_change(self.objects.active, "spec", "selector", HASH)
        return moved is not None and moved[0] >= sent.replace(microsecond=0)

    @property
    def _reminds_at(self) -> datetime | None:
        return None if self._owed is None else self._owed.look_at

    @property
    def _kept_until(self) -> datetime | None:
        """When the controller scales the previous version down, which has lost the traffic."""
        replica_set = self._previous_set
        if self._traffic is not Traffic.CANDIDATE or replica_set is None or not replicas(replica_set):
            return None
        return deadline(replica_set)

    @property
    def _counts_again_at(self) -> datetime | None:
        """When its pods may be gone: then the way back is another, though nothing else has happened."""
        end, shown = self._kept_until, self.release.phase in {Phase.PROMOTING, Phase.BAKING, Phase.DONE}
        if end is None or not shown or self.read_at > end + SCALED_WITHIN:
            return None
        return max(end, self.read_at) + SCALED_EVERY

    @cached_property
    def _versions(self) -> Versions:
        return Versions(self.app, self.release, self.objects)

    @property
    def _state(self) -> State:
        return self.objects.state

    @property
    def _traffic(self) -> Traffic:
        return self._versions.traffic

    @property
    def _back(self) -> str:
        """The previous version, as a person reads it."""
        return self.release.previous.asked or self.release.previous.image

    @property
    def is_torn(self) -> bool:
        """What was read belongs to two moments: the controller has taken the traffic back before its Service was read,
        and says why only in the Rollout as it has been since.
        """
        gone = self.release.was_live and self.release.phase.open and self._traffic is not Traffic.CANDIDATE
        by_itself = changed_by(self.objects.active, "spec", "selector").startswith(CONTROLLER)
        return gone and by_itself and self.release.phase is not Phase.REVERTING and not self._given_up

    @property
    def _previous_set(self) -> Json | None:
        return self.objects.replica_set(self._versions.previous)

    @cached_property
    def _keeper(self) -> str:
        """The Argo CD application that would put back what is written to the pod template; "" when none would.

        None has anything against the version to go back to where Git asks for its image already.
        """
        if self._versions.image == self.release.previous.image:
            return ""
        kept = self.objects.kept(self.app.argo.container)
        return "" if kept is None else keeper(self.objects.holder)

    # The two sides

    @cached_property
    def _candidate_side(self) -> Side:
        replica_set = self.objects.replica_set(self._versions.candidate)
        called = name(replica_set) if replica_set else f"a new ReplicaSet of {name(self.objects.rollout)}"
        live = self._traffic is Traffic.CANDIDATE
        ready = self._ready_behind(self.objects.active if live else self.objects.preview, self._versions.candidate)
        pods = self.objects.pods_of(self._versions.candidate)
        wanted = replicas(replica_set) if replica_set else replicas(self.objects.rollout)
        why, failed = trouble(replica_set, pods) if replica_set else (None, False)
        full = 0 < wanted <= ready
        why = self._doubt(pods, certain=full) or why
        full = full and why is None
        # A preview that is not paused may be switched to by itself in a moment, or not be the newest any more.
        complete = full and (live or (self._state is State.PAUSED and self._versions.is_desired))
        shown = None if complete else why or (None if live else self._pending or self._why_it_stands_still)
        told = (self.objects.fingerprint, restarts(pods), self._versions.candidate)
        return Side(called, self._versions.is_present, wanted, ready, complete, shown, failed, *told)

    @cached_property
    def _previous_side(self) -> Side:
        replica_set = self._previous_set
        called = name(replica_set) if replica_set else self.release.previous.slot
        pods = self.objects.pods_of(self._versions.previous)
        if self._traffic is Traffic.PREVIOUS:
            ready = self._ready_behind(self.objects.active, self._versions.previous)
        else:  # no Service selects it, so its pods speak for themselves, but for those that were given up a moment ago
            ready = sum(is_ready(pod) for pod in pods)
            ready = ready if replica_set is None else min(ready, replicas(replica_set))
        wanted = replicas(replica_set) if replica_set else 0
        why, failed = trouble(replica_set, pods) if replica_set else (None, False)
        complete = 0 < wanted <= ready and (wanted >= replicas(self.objects.rollout) or self._is_small_preview)
        present = self._versions.previous_template is not None or replica_set is not None
        shown, pod_hash = None if complete else why, self._versions.previous
        return Side(called, present, wanted, ready, complete, shown, failed, pod_hash=pod_hash)

    def _ready_behind(self, service: Json | None, wanted: str) -> int:
        if service is None or not wanted or selector(service).get(HASH) != wanted:
            return 0
        names = {name(pod) for pod in self.objects.pods_of(wanted)}
        return len(pods_behind(self.objects.slices, name(service)) & names)

    def _doubt(self, pods: Sequence[Json], *, certain: bool) -> str | None:
        try:
            called = container(self.objects.holder, self.app.argo.container)[1]["name"]
        except ClusterError:
            return None
        return image_doubt(pods, called, self.release.digests, self.release.asked, certain=certain)

    @property
    def _why_it_stands_still(self) -> str | None:
        rollout = name(self.objects.rollout)
        match self._state:
            case State.INVALID:
                return f"Rollout {rollout} is not valid: {said(self.objects.rollout)}"
            case State.TIMED_OUT:
                return f"Argo Rollouts says: {said(self.objects.rollout)}"
            case State.FROZEN:
                return (
                    f"somebody paused Rollout {rollout} (spec.paused), so nothing in it moves: "
                    f"kubectl argo rollouts resume {rollout} lets it go on"
                )
            case State.UNDECIDED:
                return "an analysis was inconclusive: somebody has to judge it before anything is promoted"
            case State.ANALYSING:
                return "the analysis before the promotion is under way"
            case _:
                return None

    @property
    def _was_given_back(self) -> bool:
        return annotations(self.objects.active).get(GIVEN_BACK_NOTE) == self.release.label

    @property
    def _comes_up_anew(self) -> bool:
        """What had the traffic a moment ago, and lost it to the controller, has its pods."""
        return self._versions.is_restarting and not self._was_given_back

    @cached_property
    def _is_small_preview(self) -> bool:
        """The previous version has all the pods that it gets while it is a preview (`previewReplicaCount`)."""
        count = blue_green(self.objects.rollout).get("previewReplicaCount")
        replica_set = self._previous_set
        if not isinstance(count, int) or replica_set is None or self._state is not State.PAUSED:
            return False
        return self._versions.is_restarting and replicas(replica_set) == count < replicas(self.objects.rollout)

    # What the controller was told, and what it has made of it

    @cached_property
    def _owed(self) -> Owed | None:
        """What of ours the controller has shown no effect of yet; None when there is nothing."""
        if not self.release.phase.open or self.objects.unread is not None:  # nobody waits for it, or nobody can
            return None
        # A Service that lets in any version is switched to the newest at the controller's next look.
        if not self.objects.active_hash:
            return None
        if self._state is State.OBSERVING:
            return self._owed_template
        return self._owed_switch if self._state is State.RESUMING else None

    @property
    def _owed_template(self) -> Owed | None:
        """Unless ours was taken up, and it is another's change that was not: that is only waited for where somebody
        else has brought the version back to which the release goes back.
        """
        told = written(self.objects.holder)
        if told is None or self.objects.observed_generation >= told[0]:
            goes_back = self.release.phase is Phase.REVERTING and not self._versions.is_to_go
            theirs = self.objects.changed_at if goes_back and self._brought_back else None
            told = (self.objects.generation, theirs) if theirs else None
        return told and owed(self.objects.rollout, f"generation {told[0]}", told[1], self.read_at)

    @property
    def _brought_back(self) -> bool:
        return self._versions.image == self.release.previous.image

    @property
    def _owed_switch(self) -> Owed | None:
        rollout, release, sent = self.objects.rollout, self.release, self.release.switch_sent_at
        switches = self._versions.is_desired and self._traffic is not Traffic.CANDIDATE
        if release.phase is Phase.PROMOTING and switches and sent is not None:
            return owed(rollout, f"promotion of {release.label} at {sent.isoformat()}", sent, self.read_at)
        if release.phase is Phase.REVERTING and self._versions.is_restarting:  # when that was told is not on record
            return owed(rollout, f"way back from {release.label}", self.read_at - WITHIN, self.read_at)
        return None

    @cached_property
    def _pending(self) -> str:
        if self.objects.unread is not None:
            return str(self.objects.unread)
        if self.release.phase in {Phase.REVERTING, Phase.REVERTED}:
            return self._pending_on_the_way_back
        if self._owed is not None and self._owed.is_given_up:
            return SILENT
        if self._state is State.OBSERVING:
            return NOT_TAKEN_UP
        resuming = self._state is State.RESUMING and self._versions.is_desired
        return "Argo Rollouts was told to switch, and has not yet" if resuming else ""

    @property
    def _pending_on_the_way_back(self) -> str:
        """What it was told before is to be undone, so that is never waited for."""
        if self._versions.is_to_go:  # it is written back whatever the controller does, unless it is Git's
            return self._git_differs
        if self._versions.is_undone:
            return ""
        if self._owed is not None and self._owed.is_given_up:
            return SILENT
        if self._state is State.OBSERVING:
            return NOT_TAKEN_UP
        if self._traffic is Traffic.CANDIDATE:
            return ""
        return self._why_it_stands_still or f"Argo Rollouts is still taking {name(self.objects.rollout)} back"

    @property
    def _git_differs(self) -> str:
        application = self._keeper
        if not application or self._traffic is not Traffic.PREVIOUS:
            return ""
        asks = (
            f"Git still asks for {self.release.asked}: revert that commit, so that Argo CD's application {application} "
            "does not bring it up again"
        )
        moved = self.release.was_live or self.release.switch_sent_at is not None
        return f"the traffic is back on {self._back}, but {asks}" if moved else asks

    @cached_property
    def _given_up(self) -> str:
        """Of the way back: the controller sends the traffic to what it takes for stable, whatever the Service says."""
        goes_back = self.release.phase is Phase.REVERTING
        whose = self._versions.is_restarting if goes_back else self._versions.is_desired
        if self._state is not State.ABORTED or not whose:
            return ""
        # Whoever sets `abort` is a moment ahead of what the controller says of it.
        why = said(self.objects.rollout)
        why = f" ({why})" if why.startswith(WHY_ABORTED) else ""
        if goes_back:
            again = f"once its analysis can pass, deploy {self._back}"
            return f"Argo Rollouts aborted {self._back}{why}, and keeps the traffic where it is: {again}"
        why = f"Argo Rollouts aborted it{why}"
        if self._versions.is_handed_over:
            return f"{why} and gave the traffic to a version that had been taken back"
        return f"{why}; the traffic was not taken back" if self._traffic is Traffic.CANDIDATE else why
