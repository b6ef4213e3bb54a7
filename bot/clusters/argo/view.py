"""One release of an app on Argo Rollouts, and the next write that an order would need. Pure.

How it stands is in `standing.py`.
"""

from datetime import timedelta

from bot.clusters import patches as service_patches
from bot.clusters.api import DEPLOYMENT, ROLLOUT, ROLLOUT_STATUS, SERVICE, Json
from bot.clusters.argo import patches
from bot.clusters.argo.reading import HASH, blue_green, deadline
from bot.clusters.argo.standing import GIVEN_BACK_NOTE, Standing
from bot.clusters.argo.state import State
from bot.clusters.claim import STORE, check_claim, claimed_by
from bot.clusters.cluster import ACTOR_NOTE, RELEASE_NOTE, Write, label_of
from bot.clusters.errors import ClusterError, Pending
from bot.clusters.reading import Selector, name, selector
from bot.release.machine import Order
from bot.release.record import Phase
from bot.release.snapshot import Traffic

GOES_WITHIN = timedelta(seconds=5)
"""Of a ReplicaSet whose deadline is nearer than this it is not sure that it still has its pods when a write arrives."""


class RolloutView(Standing):
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
        what = self._owed
        if what is None or not what.needs_nudge or (self.barred and self._may_go_home):
            return None
        check_claim(self.objects.active, self.store_id)
        patch = patches.nudge(self.objects.rollout, what.what, what.nudges + 1, self.read_at)
        return self._write(ROLLOUT.name, self.objects.rollout, patch, "nudge {}, which shows no effect")

    @property
    def needs_upkeep(self) -> bool:
        return False

    # What to write

    def _claim(self) -> Write | None:
        service = self.objects.active
        if claimed_by(service) == self.store_id:
            return None
        return self._select(selector(service), "claim {} for this Greenlight", {})

    def _stage(self) -> Write | None:
        if self._versions.is_stamped:
            return None
        if self._traffic is not Traffic.PREVIOUS or self._state in {State.OBSERVING, State.RESUMING}:
            raise Pending(self._pending or f"Rollout {name(self.objects.rollout)} is in the middle of a release")
        objects, release, wanted = self.objects, self.release, self.app.argo.container
        what = (release.image, release.label, wanted, self.read_at)
        base = self._versions.taken_back or self._versions.previous_template
        if not release.pod_template and (base is None or self._versions.template_is_previous):
            patch = patches.stage(objects.rollout, objects.holder, *what)
        elif base is None:
            raise ClusterError(f"the pod template of {release.asked} is not on record any more: deploy it instead")
        else:  # what is deployed is what is live with another image, whatever else somebody has prepared there
            patch = patches.stage_anew(objects.rollout, objects.holder, base, *what)
        return self._change(patch, f"set {{}} to {self.release.asked}")

    def _promote(self) -> Write:
        side = self._candidate_side
        if not (side.complete and self._versions.is_present and self._traffic is Traffic.PREVIOUS):
            raise Pending(side.trouble or side.progress)
        return self._end_pause(self.release.asked)

    def _end_pause(self, asked: str) -> Write:
        patch = patches.promote(self.objects.rollout)
        return self._write(ROLLOUT_STATUS.name, self.objects.rollout, patch, f"promote {asked} in {{}}")

    def _revert(self, actor: str) -> Write:
        """The traffic first: that needs one write to the Service and no controller. Then what the Rollout asks for."""
        if self._may_go_home and not self._is_held:
            helps = None if self.barred else self._keep_pods() or self._grow()
            helps = helps or (self._make_last() if self._was_given_back else None)
            return helps or self._give_back(actor)
        application = self._keeper
        if application and self._is_held:
            raise ClusterError(
                "Argo Rollouts keeps the traffic on what it takes for stable as long as its pod template is this one: "
                f"revert the commit in Git, so that Argo CD's application {application} changes it"
            )
        if application and self._traffic is Traffic.CANDIDATE:
            raise ClusterError(
                f"{self._previous_side.name} has no pods any more, and its image must come from Git: revert the commit "
                f"there, and Argo CD's application {application} brings it up again"
            )
        write = self._put_back()
        if write is None:
            raise Pending(self._pending or self._previous_side.progress)
        return write

    @property
    def _may_go_home(self) -> bool:
        """One write to the active Service would do."""
        goes, side = self.release.phase is Phase.REVERTING and self._traffic is Traffic.CANDIDATE, self._previous_side
        anew = self._comes_up_anew and self._candidate_side.ready > 0
        return goes and side.ready > 0 and (side.complete or not anew)

    @property
    def _is_held(self) -> bool:
        """After an abort the controller sets the active Service to what it takes for stable, again and again."""
        return self._state is State.ABORTED and self.objects.stable == self.objects.active_hash

    def _give_back(self, actor: str) -> Write:
        back = {RELEASE_NOTE: label_of(self.release.previous), GIVEN_BACK_NOTE: self.release.label}
        notes = {**back, ACTOR_NOTE: actor}
        wanted = {**selector(self.objects.active), HASH: self._versions.previous}
        return self._select(wanted, f"switch {{}} to {self._back}", notes)

    def _keep_pods(self) -> Write | None:
        """At its deadline the previous version's pods go, wherever the Service points by then. Its template keeps them,
        and a controller that does not take that up in time does not take pods either.
        """
        replica_set = self._previous_set
        goes_at = deadline(replica_set) if replica_set else None
        if goes_at is None or self.read_at < goes_at - GOES_WITHIN:
            return None
        if self._owed is not None and not self._owed.is_late:
            raise Pending(self._pending or self._previous_side.progress)
        return self._put_back() if self._versions.template_is_candidates else None

    def _make_last(self) -> Write | None:
        """Controllers from 1.10 on send the traffic to what the pod template asks for, once they call it stable, and to
        nothing else. So what is to be given back again waits for the template, and then it stays.
        """
        if self._versions.template_is_candidates:
            write = None if self.barred else self._put_back()
            if write is None:
                raise ClusterError(self._why_it_is_kept)
            return write
        small = "previewReplicaCount" in blue_green(self.objects.rollout)
        if small and self._state is not State.PAUSED and self._candidate_side.ready:
            raise Pending(self._pending or self._previous_side.progress)  # it makes a preview of it first, and smaller
        return None

    @property
    def _why_it_is_kept(self) -> str:
        kept, application = f"Argo Rollouts keeps the traffic on {self.release.asked}", self._keeper
        if application:
            fix = f"revert the commit there, and Argo CD's application {application} takes it back"
            return f"{kept}, which Git asks for: {fix}"
        if self.barred:
            return f"{kept}, which Rollout {name(self.objects.rollout)} asks for, and it may not be written"
        return f"{kept}, and the pod template of {self._back} is not on record any more: deploy it instead"

    def _grow(self) -> Write | None:
        """A preview that may be smaller than what is live gets its other pods, and then the traffic, by its promotion;
        what has no pod ready is no reason to wait for that.
        """
        return self._end_pause(self._back) if self._is_small_preview and self._candidate_side.ready else None

    def _put_back(self) -> Write | None:
        """None as well when it would be put in again from Git, or when somebody else's version is there: that is only
        taken out where the traffic has no other way back.
        """
        template, versions = self._versions.previous_template, self._versions
        if template is None or self._keeper:
            return None
        needed = self._traffic is Traffic.CANDIDATE and not versions.template_is_previous
        if not versions.is_to_go and not needed:
            return None
        if self._would_shrink:
            raise Pending("Argo Rollouts has not seen yet that the traffic is back")
        patch = patches.put_back(self.objects.holder, template, self.read_at)
        return self._change(patch, f"set {{}} back to {self._back}")

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
