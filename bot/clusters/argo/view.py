"""One release of an app on Argo Rollouts as its objects show it, and the next write that an order would need. Pure.

The active Service is the truth of traffic. Whose a version is, its pod hash tells: for a release of ours that of the
ReplicaSet whose pod template is stamped with its label, for one that somebody else began the hash itself.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Self

from bot.clusters import patches as service_patches
from bot.clusters.api import DEPLOYMENT, ROLLOUT, ROLLOUT_STATUS, SERVICE, Json
from bot.clusters.argo import patches
from bot.clusters.argo.objects import Objects
from bot.clusters.argo.reading import (
    HASH,
    annotations,
    blue_green,
    container,
    deadline,
    fingerprint,
    image_of,
    moment,
    template_label,
)
from bot.clusters.argo.state import State, said
from bot.clusters.argocd import keeper
from bot.clusters.claim import STORE, check_claim, claimed_by
from bot.clusters.cluster import Write, label_of
from bot.clusters.errors import ClusterError, Pending
from bot.clusters.reading import Selector, changed_by, is_ready, name, pods_behind, replicas, selector
from bot.clusters.trouble import trouble
from bot.release.app import App
from bot.release.machine import Order
from bot.release.record import Phase, Release
from bot.release.snapshot import Side, Snapshot, Traffic

RELEASE_NOTE = "greenlight.dev/released"
ACTOR_NOTE = "greenlight.dev/by"
EFFECT_WITHIN = timedelta(seconds=2)
"""After this a write that shows no effect may be lost: controllers up to 1.9.1 put their own last copy of a Rollout
over what others wrote meanwhile, and see it only when the object changes again. To repeat the write does not help."""
NUDGES = 3
GOES_WITHIN = timedelta(seconds=5)
"""Of a ReplicaSet whose deadline is nearer than this it is not sure that it still has its pods when a write arrives."""
NOT_TAKEN_UP = "Argo Rollouts has not taken up the last change yet"
SILENT = (
    "Argo Rollouts does not answer, though it was nudged three times: is its controller running? "
    "(kubectl get pods -n argo-rollouts)"
)


@dataclass(frozen=True)
class RolloutView:
    app: App
    release: Release
    objects: Objects
    store_id: str
    """Of the store that remembers the release: only the one that has claimed the active Service writes anything."""
    read_at: datetime
    fresh: bool

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
            undone=self._undone,
            given_up=self._given_up,
            promoted_by=self._promoted_by,
            restarting=self._is_restarting,
            again_at=self._nudge_at,
        )

    def of(self, release: Release) -> Self:
        return replace(self, release=release)

    def plan(self, order: Order, *, actor: str) -> Write | None:
        check_claim(self.objects.active, self.store_id)
        match order:
            case Order.STAGE:
                return self._claim() or self._stage()
            case Order.PROMOTE:  # what somebody else has staged was not claimed by that
                return self._claim() or self._promote()
            case Order.REVERT:
                return self._revert(actor)
            case Order.RETIRE if self.release.phase is Phase.REVERTED:
                return self._put_back()
            case Order.RETIRE:  # the controller scales down what has lost the traffic
                return None

    def upkeep(self) -> Write | None:
        """Have the controller look again when it shows no effect of what it was told."""
        waits_for, at = self._waits_for, self._nudge_at
        if waits_for is None or at is None or self.read_at < at or self._nudges >= NUDGES:
            return None
        check_claim(self.objects.active, self.store_id)
        patch = patches.nudge(self.objects.rollout, waits_for, self._nudges + 1, self.read_at)
        return self._write(ROLLOUT.name, self.objects.rollout, patch, "nudge {}, which shows no effect")

    @property
    def needs_upkeep(self) -> bool:
        return False

    # Which version is which

    @cached_property
    def _state(self) -> State:
        return self.objects.state

    @cached_property
    def _candidate_hash(self) -> str:
        """Empty before the controller has made anything of it."""
        known, release = self.release.selector.get(HASH), self.release
        return known or self.objects.hash_of_release(release.label, release.image, self.app.argo.container)

    @cached_property
    def _previous_hash(self) -> str:
        """Where its ReplicaSet was pruned, its template may have come back under another hash."""
        previous = self.release.previous
        known = previous.selector.get(HASH, "")
        if self.objects.replica_set(known) is not None:
            return known
        anew = self.objects.hash_of_release(previous.label, previous.image, self.app.argo.container)
        if anew not in {"", self._candidate_hash}:
            return anew
        taken_up = self.objects.is_observed and not self._template_is_candidates
        is_back = self.release.phase is Phase.REVERTING and self._image == previous.image
        return self.objects.current if taken_up and is_back else known

    @cached_property
    def _previous_template(self) -> Json | None:
        try:
            template = json.loads(self.release.previous.template)
        except ValueError:
            return None
        return template if isinstance(template, dict) else None

    @cached_property
    def _is_put_back(self) -> bool:
        """The pod template is the previous version's, as it was written back."""
        template = self._previous_template
        return template is not None and fingerprint(template) == self.objects.fingerprint

    @cached_property
    def _template_is_previous(self) -> bool:
        """Also by its hash, once the controller has said it: it may fill in what a template leaves out."""
        return self._is_put_back or (self.objects.is_observed and self.objects.current == self._previous_hash)

    @cached_property
    def _template_is_candidates(self) -> bool:
        """Whether the pod template asks for the candidate, whatever else was changed in it.

        The hash may be that of the version before for a moment, though the newest generation is observed.
        """
        if HASH in self.release.selector:
            asked = self.objects.fingerprint == self.release.template
            by_hash = self.objects.is_observed and self.objects.current == self._candidate_hash
            return asked or (by_hash and not self._is_put_back)
        return self._is_stamped and self._image == self.release.image

    @property
    def _is_stamped(self) -> bool:
        return template_label(self.objects.holder) == self.release.label

    @property
    def _is_left_over(self) -> bool:
        """The template asks for a release that this one replaced and of which, never staged itself, it was to take the
        place.
        """
        known = {"", self.release.label, self.release.previous.label}
        return not self.release.staged and template_label(self.objects.holder) not in known

    @cached_property
    def _is_to_go(self) -> bool:
        """The template is not to stay when nothing comes of the release."""
        return self._template_is_candidates or self._is_left_over

    @cached_property
    def _is_present(self) -> bool:
        """The candidate still is what it was: before the switch, while approvals bind it or if it was begun elsewhere,
        to the last letter of its pod template. What is live is told by its hash, and a hash never means another
        version, whatever is being prepared beside it.
        """
        if self._traffic is Traffic.CANDIDATE:
            return True
        if not self._template_is_candidates:
            return False
        bound = self.release.phase in {Phase.READY, Phase.PROMOTING} or HASH in self.release.selector
        if bound and self.release.template and self.objects.fingerprint != self.release.template:
            return False
        return self._image == self.release.image

    @property
    def _image(self) -> str:
        return image_of(self.objects.holder, self.app.argo.container)

    @cached_property
    def _traffic(self) -> Traffic:
        active = self.objects.active_hash
        if active and active == self._candidate_hash:
            return Traffic.CANDIDATE
        if not active or active != self._previous_hash:
            return Traffic.OTHER
        # The controller has switched and takes the candidate for stable, and somebody took the Service back.
        undone = self.release.phase is Phase.PROMOTING and self.objects.stable == self._candidate_hash != ""
        return Traffic.OTHER if undone else Traffic.PREVIOUS

    @property
    def _is_desired(self) -> bool:
        """The controller works towards the candidate, and towards nothing newer."""
        return self.objects.is_observed and self.objects.current == self._candidate_hash != ""

    @cached_property
    def _promoted_by(self) -> str:
        return self.objects.promoted_by if self._traffic is Traffic.CANDIDATE else ""

    # The two sides

    @cached_property
    def _candidate_side(self) -> Side:
        replica_set = self.objects.replica_set(self._candidate_hash)
        called = name(replica_set) if replica_set else f"a new ReplicaSet of {name(self.objects.rollout)}"
        live = self._traffic is Traffic.CANDIDATE
        ready = self._ready_behind(self.objects.active if live else self.objects.preview, self._candidate_hash)
        pods = self.objects.pods_of(self._candidate_hash)
        wanted = replicas(replica_set) if replica_set else replicas(self.objects.rollout)
        why, failed = trouble(replica_set, pods) if replica_set else (None, False)
        full = 0 < wanted <= ready
        why = self._doubt(pods, certain=full) or why
        full = full and why is None
        # A preview that is not paused may be switched to by itself in a moment, or not be the newest any more.
        complete = full and (live or (self._state is State.PAUSED and self._is_desired))
        shown = None if complete else why or (None if live else self._pending or self._why_it_stands_still)
        return Side(called, self._is_present, wanted, ready, complete, shown, failed, template=self.objects.fingerprint)

    @cached_property
    def _previous_side(self) -> Side:
        replica_set = self.objects.replica_set(self._previous_hash)
        called = name(replica_set) if replica_set else self.release.previous.slot
        pods = self.objects.pods_of(self._previous_hash)
        if self._traffic is Traffic.PREVIOUS:
            ready = self._ready_behind(self.objects.active, self._previous_hash)
        else:  # no Service selects it, so its pods speak for themselves, but for those that were given up a moment ago
            ready = sum(is_ready(pod) for pod in pods)
            ready = ready if replica_set is None else min(ready, replicas(replica_set))
        wanted = replicas(replica_set) if replica_set else 0
        why, failed = trouble(replica_set, pods) if replica_set else (None, False)
        complete = 0 < wanted <= ready and (wanted >= replicas(self.objects.rollout) or self._is_small_preview)
        present = self._previous_template is not None or replica_set is not None
        return Side(called, present, wanted, ready, complete, None if complete else why, failed)

    def _ready_behind(self, service: Json | None, wanted: str) -> int:
        if service is None or not wanted or selector(service).get(HASH) != wanted:
            return 0
        names = {name(pod) for pod in self.objects.pods_of(wanted)}
        return len(pods_behind(self.objects.slices, name(service)) & names)

    def _doubt(self, pods: Sequence[Json], *, certain: bool) -> str | None:
        """About a pod whose node reports another image than the one that was resolved: it blocks.

        `certain`: so does one whose node reports none, which pods do until they have started.
        """
        wanted = self.release.digests
        try:
            called = container(self.objects.holder, self.app.argo.container)[1]["name"]
        except ClusterError:
            return None
        for pod in pods if wanted else ():
            statuses = (pod.get("status") or {}).get("containerStatuses") or []
            runs = next((status.get("imageID") or "" for status in statuses if status.get("name") == called), "")
            digest = runs.rpartition("@")[2]
            if digest.startswith("sha256:") and digest not in wanted:
                return f"pod {name(pod)} runs an image that is not {self.release.asked}"
            if not digest.startswith("sha256:") and certain:
                return f"pod {name(pod)} does not say which image it runs"
        return None

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

    # What the controller was told, and what it has made of it

    @cached_property
    def _waits_for(self) -> str | None:
        """What of ours the controller has shown no effect of yet, as a name; None when it owes nothing."""
        if not self.release.phase.open:
            return None
        if (
            self._state is State.OBSERVING
            and self._written is not None
            and self.objects.observed_generation < self._written[0]
        ):
            return f"generation {self._written[0]}"
        if self._state is not State.RESUMING:
            return None
        if self._goes_back:
            return f"way back from {self.release.label}" if self.objects.current == self._previous_hash else None
        if self.release.switch_sent_at and self._is_desired:
            return f"promotion of {self.release.label} at {self.release.switch_sent_at.isoformat()}"
        return None

    @cached_property
    def _written(self) -> tuple[int, datetime] | None:
        """The generation that our last change of the spec made, and when."""
        note = _note(self.objects.holder, patches.WRITTEN)
        generation, at = note.get("generation"), moment(note.get("at"))
        return (generation, at) if isinstance(generation, int) and at else None

    @cached_property
    def _told(self) -> tuple[int, datetime | None]:
        """How often it was nudged for this, and when last."""
        note = _note(self.objects.rollout, patches.NUDGED)
        if note.get("for") != self._waits_for or not isinstance(note.get("times"), int):
            return 0, None
        return note["times"], moment(note.get("at"))

    @property
    def _nudges(self) -> int:
        return self._told[0]

    @property
    def _nudge_at(self) -> datetime | None:
        """When it is to be nudged next, or was given enough time after the last time; None when it owes nothing."""
        if self._waits_for is None or self._is_silent:
            return None
        return self._effect_by

    @cached_property
    def _effect_by(self) -> datetime:
        """Until then what it owes may come without being asked for once more."""
        told = self._told[1]
        if told is None and self._state is State.OBSERVING and self._written is not None:
            told = self._written[1]
        if told is None and not self._goes_back:
            told = self.release.switch_sent_at
        return self.read_at if told is None else told + EFFECT_WITHIN

    @cached_property
    def _is_silent(self) -> bool:
        """Whatever it was told, nothing comes of it."""
        return self._waits_for is not None and self._nudges >= NUDGES and self.read_at >= self._effect_by

    @property
    def _is_late(self) -> bool:
        """It owes something for longer than it should."""
        return self._waits_for is not None and (self._nudges > 0 or self.read_at >= self._effect_by)

    @property
    def _goes_back(self) -> bool:
        return self.release.phase in {Phase.REVERTING, Phase.REVERTED}

    @cached_property
    def _pending(self) -> str:
        if self._goes_back:
            return self._pending_on_the_way_back
        if self._is_silent:
            return SILENT
        if self._state is State.OBSERVING:
            return NOT_TAKEN_UP
        return "Argo Rollouts was told to switch, and has not yet" if self._is_resuming else ""

    @property
    def _is_resuming(self) -> bool:
        return self._state is State.RESUMING and self._is_desired

    @property
    def _pending_on_the_way_back(self) -> str:
        """What it was told before is to be undone, so that is never waited for."""
        if self._is_to_go:  # it is written back, whatever the controller makes of it, unless it is Git's
            return self._git_differs
        if self._undone:
            return ""
        if self._is_silent:
            return SILENT
        if self._state is State.OBSERVING:
            return NOT_TAKEN_UP
        if self._traffic is Traffic.CANDIDATE:
            return ""
        return self._why_it_stands_still or f"Argo Rollouts is still taking {name(self.objects.rollout)} back"

    @property
    def _git_differs(self) -> str:
        application = keeper(self.objects.holder)
        if not application or self._traffic is not Traffic.PREVIOUS:
            return ""
        return (
            f"the traffic is back on {self._back}, but Git still asks for {self.release.asked}: revert that commit, so "
            f"that Argo CD's application {application} does not bring it up again"
        )

    @property
    def _back(self) -> str:
        """The previous version, as a person reads it."""
        return self.release.previous.asked or self.release.previous.image

    @property
    def _is_settled(self) -> bool:
        """Rollout and Service agree upon the previous version."""
        objects = self.objects
        return objects.is_observed and self._previous_hash == objects.current == objects.stable == objects.active_hash

    @cached_property
    def _undone(self) -> bool:
        if self._is_to_go:
            return False
        if not self.release.staged and not self._candidate_hash:
            return True
        if self._template_is_previous:
            return self._is_settled
        return self.objects.is_observed and self.objects.current != self._candidate_hash

    @cached_property
    def _given_up(self) -> str:
        if self._state is not State.ABORTED or not self._is_desired:
            return ""
        # Whoever sets `abort` is a moment ahead of what the controller says of it.
        why = said(self.objects.rollout)
        why = "Argo Rollouts aborted it" + (f" ({why})" if why.startswith("RolloutAborted") else "")
        if self._traffic is Traffic.CANDIDATE:
            return f"{why}; the traffic was not taken back"
        return why

    @property
    def _is_restarting(self) -> bool:
        """The previous version is the controller's new one: it had lost its pods, and comes up again like any other."""
        return self.objects.is_observed and self._previous_hash == self.objects.current != self.objects.active_hash

    # What to write

    def _claim(self) -> Write | None:
        service = self.objects.active
        if claimed_by(service) == self.store_id:
            return None
        return self._select(selector(service), "claim {} for this Greenlight", {})

    def _stage(self) -> Write | None:
        if self._is_stamped:
            return None
        if self._traffic is not Traffic.PREVIOUS or self._state in {State.OBSERVING, State.RESUMING}:
            raise Pending(self._pending or f"Rollout {name(self.objects.rollout)} is in the middle of a release")
        patch = patches.stage(
            self.objects.rollout,
            self.objects.holder,
            self.release.image,
            self.release.label,
            self.app.argo.container,
            self.read_at,
        )
        return self._change(patch, f"set {{}} to {self.release.asked}")

    def _promote(self) -> Write:
        side = self._candidate_side
        if not (side.complete and self._is_present and self._traffic is Traffic.PREVIOUS):
            raise Pending(side.trouble or side.progress)
        return self._end_pause(self.release.asked)

    def _end_pause(self, asked: str) -> Write:
        patch = patches.promote(self.objects.rollout)
        return self._write(ROLLOUT_STATUS.name, self.objects.rollout, patch, f"promote {asked} in {{}}")

    def _revert(self, actor: str) -> Write:
        """The traffic first: that needs one write to the Service and no controller. Then what the Rollout asks for."""
        if self._traffic is Traffic.CANDIDATE and self._previous_side.ready:
            return self._keep_pods() or self._grow() or self._give_back(actor)
        application = keeper(self.objects.holder)
        if application and self._traffic is Traffic.CANDIDATE:
            raise ClusterError(
                f"{self._previous_side.name} has no pods any more, and its image must come from Git: revert the commit "
                f"there, and Argo CD's application {application} brings it up again"
            )
        write = self._put_back()
        if write is None:
            raise Pending(self._pending or self._previous_side.progress)
        return write

    def _give_back(self, actor: str) -> Write:
        notes = {RELEASE_NOTE: label_of(self.release.previous), ACTOR_NOTE: actor}
        wanted = {**selector(self.objects.active), HASH: self._previous_hash}
        return self._select(wanted, f"switch {{}} to {self._back}", notes)

    def _keep_pods(self) -> Write | None:
        """At its deadline the previous version's pods go, wherever the Service points by then. Its template keeps them,
        and a controller that does not take that up in time does not take pods either.
        """
        replica_set = self.objects.replica_set(self._previous_hash)
        goes_at = deadline(replica_set) if replica_set else None
        if goes_at is None or self.read_at < goes_at - GOES_WITHIN or self._is_late:
            return None
        if self.objects.is_observed and self.objects.current == self._previous_hash:
            return None
        if self._is_put_back:
            raise Pending(self._pending or self._previous_side.progress)
        return self._put_back() if self._template_is_candidates else None

    def _grow(self) -> Write | None:
        """A preview that may be smaller than what is live gets its other pods, and then the traffic, by its promotion;
        what has no pod ready is no reason to wait for that.
        """
        return self._end_pause(self._back) if self._is_small_preview and self._candidate_side.ready else None

    @cached_property
    def _is_small_preview(self) -> bool:
        """The previous version has all the pods that it gets while it is a preview (`previewReplicaCount`)."""
        count = blue_green(self.objects.rollout).get("previewReplicaCount")
        replica_set = self.objects.replica_set(self._previous_hash)
        if not isinstance(count, int) or replica_set is None or self._state is not State.PAUSED:
            return False
        return self._is_restarting and replicas(replica_set) == count < replicas(self.objects.rollout)

    def _put_back(self) -> Write | None:
        """None as well when it would be put in again from Git, or when somebody else's version is there: that is only
        taken out where the traffic has no other way back.
        """
        template = self._previous_template
        if template is None or keeper(self.objects.holder) or self._template_is_previous:
            return None
        if not self._is_to_go and self._traffic is not Traffic.CANDIDATE:
            return None
        if self._would_shrink:
            raise Pending("Argo Rollouts has not seen yet that the traffic is back")
        return self._change(
            patches.put_back(self.objects.holder, template, self.read_at), f"set {{}} back to {self._back}"
        )

    @property
    def _would_shrink(self) -> bool:
        """With `previewReplicaCount` the controller takes pods from what it does not know to be live."""
        if "previewReplicaCount" not in blue_green(self.objects.rollout):
            return False
        status = (self.objects.rollout.get("status") or {}).get("blueGreen") or {}
        return status.get("activeSelector") != self.objects.active_hash

    def _select(self, wanted: Selector, why: str, notes: dict[str, str]) -> Write:
        service = self.objects.active
        if claimed_by(service) is None:
            notes = {**notes, STORE: self.store_id}
        return self._write(SERVICE.name, service, service_patches.select(service, wanted, notes), why)

    def _change(self, patch: service_patches.Operations, why: str) -> Write:
        """Of the object that has the pod template."""
        kind = ROLLOUT if self.objects.holder is self.objects.rollout else DEPLOYMENT
        return self._write(kind.name, self.objects.holder, patch, why)

    def _write(self, kind: str, item: Json, patch: service_patches.Operations, why: str) -> Write:
        called = name(item)
        return Write(self.app.name, self.app.cluster, kind, self.app.namespace, called, patch, why.format(called))


def _note(item: Json, key: str) -> Json:
    """One of our annotations that hold JSON; empty when it is not there, or is not as we write it."""
    try:
        found = json.loads(annotations(item).get(key, ""))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
