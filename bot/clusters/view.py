"""One release of a native app as its objects show it, and the next write that an order would need. Pure."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Self

from bot.clusters import patches
from bot.clusters.adoption import BEFORE
from bot.clusters.api import DEPLOYMENT, SERVICE, Json, Kind
from bot.clusters.claim import STORE, check_claim, claimed_by
from bot.clusters.cluster import ACTOR_NOTE, LABEL, RELEASE_NOTE, Write
from bot.clusters.errors import ClusterError, Pending
from bot.clusters.reading import (
    HASH,
    Selector,
    annotations,
    changed_by,
    container,
    fingerprint,
    is_complete,
    is_ready,
    labels,
    matches,
    name,
    only_hash,
    owner,
    pods_behind,
    replicas,
    selector,
    template_labels,
)
from bot.clusters.trouble import image_doubt, restarts, trouble
from bot.release.app import App
from bot.release.machine import Order
from bot.release.record import Phase, Release
from bot.release.snapshot import Side, Snapshot, Traffic

NARROWED_FOR = "greenlight.dev/narrowed-for"
"""The release that rests upon the narrowed selector, in the Service's annotations."""


@dataclass(frozen=True)
class NativeView:
    app: App
    release: Release
    service: Json
    preview: Json | None
    """None when somebody deleted it: that must not keep anybody from going back."""
    slots: Sequence[Json]
    """The Deployments of the two slots, as far as they exist."""
    pods: Sequence[Json]
    slices: Sequence[Json]
    autoscaled: frozenset[str] | None
    """Names of Deployments whose number of pods an autoscaler sets; None while that cannot be told."""
    store_id: str
    """Of the store that remembers the release: only the one that has claimed the Service writes anything."""
    read_at: datetime
    fresh: bool

    @cached_property
    def snapshot(self) -> Snapshot:
        return Snapshot(
            traffic=self._traffic,
            candidate=self._candidate_side,
            previous=self._previous_side,
            read_at=self.read_at,
            changed_by=changed_by(self.service, "spec", "selector"),
            candidate_changed_by=changed_by(self._candidate, "spec", "template"),
            previous_changed_by=changed_by(self._previous, "spec", "template"),
            fresh=self.fresh,
        )

    def of(self, release: Release) -> Self:
        return replace(self, release=release)

    def plan(self, order: Order, *, actor: str) -> Write | None:
        """The next write of the order; None when nothing is left. Raises `ClusterError` when it cannot be done now."""
        check_claim(self.service, self.store_id)
        match order:
            case Order.STAGE:
                before = self._narrow() or self._keep_narrow() or self._claim()
                return before or self._fill_slot() or self._show_preview()
            case Order.PROMOTE:
                return self._switch(self.release.selector, self.release.asked, actor)
            case Order.REVERT:
                previous = self.release.previous
                return self._warm() or self._switch(self._previous_selector, previous.asked or previous.image, actor)
            case Order.RETIRE if self.release.phase is Phase.REVERTED:
                return self._hide_preview() or self._empty(self._candidate) or self._widen()
            case Order.RETIRE:
                return self._empty(self._previous)

    def upkeep(self) -> Write | None:
        """The next write that what is live needs meanwhile. Raises `ClusterError` as `plan` does."""
        write = self._follow() or self._grow()
        if write is not None:
            check_claim(self.service, self.store_id)
        return write

    @property
    def needs_upkeep(self) -> bool:
        present = selector(self.service)
        return HASH in present and self._selects_previous(present)

    # What is there

    @cached_property
    def _candidate(self) -> Json | None:
        return next((slot for slot in self.slots if name(slot) == self.release.slot), None)

    @cached_property
    def _previous(self) -> Json | None:
        return next((slot for slot in self.slots if name(slot) == self.release.previous.slot), None)

    @cached_property
    def _candidate_pods(self) -> Sequence[Json]:
        return [pod for pod in self.pods if labels(pod).get(LABEL) == self.release.label]

    @cached_property
    def _previous_pods(self) -> Sequence[Json]:
        version = self.release.previous
        if HASH not in version.selector:
            return [pod for pod in self.pods if matches(version.selector, labels(pod))]
        wanted = _hashless(version.selector)
        return [pod for pod in self.pods if owner(pod) == version.slot and matches(wanted, labels(pod))]

    @cached_property
    def _previous_selector(self) -> Selector:
        """Of pods that only their hash tells apart, that of most: a restart of theirs gives them another."""
        wanted, present = self.release.previous.selector, selector(self.service)
        if HASH not in wanted:
            return wanted
        hashes = Counter(labels(pod).get(HASH, "") for pod in self._previous_pods if is_ready(pod))
        if not hashes:
            return present if self._selects_previous(present) else wanted
        return {**wanted, HASH: max(hashes, key=lambda each: (hashes[each], each == present.get(HASH)))}

    def _selects_previous(self, present: Selector) -> bool:
        wanted = self.release.previous.selector
        if present == wanted or HASH not in wanted or HASH not in present:
            return present == wanted
        strangers = any(owner(pod) != self.release.previous.slot and matches(present, labels(pod)) for pod in self.pods)
        return _hashless(present) == _hashless(wanted) and not strangers

    @cached_property
    def _traffic(self) -> Traffic:
        present = selector(self.service)
        if present == self.release.selector:
            return Traffic.CANDIDATE
        if self._selects_previous(present):
            return Traffic.OTHER if self._undone else Traffic.PREVIOUS
        # Not narrowed yet, or widened again: right only as long as the candidate has no pods that it could let in.
        if present == self.release.previous.before and not self._candidate_pods and not self._candidate_runs:
            return Traffic.PREVIOUS
        return Traffic.OTHER

    @property
    def _undone(self) -> bool:
        """The switch was made, though its answer never came, and somebody took it back: one approval is one switch."""
        notes = annotations(self.service)
        return self.release.phase is Phase.PROMOTING and notes.get(RELEASE_NOTE) == self.release.label

    @cached_property
    def _is_staged(self) -> bool:
        slot = self._candidate
        if slot is None or template_labels(slot).get(LABEL) != self.release.label:
            return False
        # What was approved is the whole template; once it is live, a restart or another variable is its owner's matter.
        bound = self.release.phase in {Phase.READY, Phase.PROMOTING} and self.release.template
        if bound and fingerprint(slot) != self.release.template:
            return False
        return self._container(slot).get("image") == self.release.image

    def _container(self, slot: Json) -> Json:
        """Empty when it cannot be told any more, since somebody added or renamed one: then it is not what we knew."""
        try:
            return container(slot, self.app.native.container)[1]
        except ClusterError:
            return {}

    @cached_property
    def _candidate_runs(self) -> bool:
        return self._is_staged and self._candidate is not None and replicas(self._candidate) > 0

    @cached_property
    def _candidate_side(self) -> Side:
        service = self.service if self._traffic is Traffic.CANDIDATE else self.preview
        ready = self._ready_behind(service, self.release.selector, self._candidate_pods)
        return self._side(self._candidate, self.release.slot, self._candidate_pods, ready, present=self._is_staged)

    @cached_property
    def _previous_side(self) -> Side:
        slot, version = self._previous, self.release.previous
        present = (
            slot is not None
            and self._container(slot).get("image") == version.image
            and (LABEL not in version.selector or template_labels(slot).get(LABEL) == version.selector[LABEL])
        )
        if self._traffic is Traffic.PREVIOUS:
            ready = self._ready_behind(self.service, selector(self.service), self._previous_pods)
        else:  # no Service selects it, so its pods speak for themselves
            ready = sum(is_ready(pod) for pod in self._previous_pods)
        return self._side(slot, version.slot, self._previous_pods, ready, present=present)

    def _ready_behind(self, service: Json | None, wanted: Selector, pods: Sequence[Json]) -> int:
        """Ready endpoints of the Service that are pods of this side: right after a switch others are still listed."""
        if service is None or selector(service) != wanted:
            return 0
        names = {name(pod) for pod in pods}
        return len(pods_behind(self.slices, name(service)) & names)

    def _side(self, slot: Json | None, called: str, pods: Sequence[Json], ready: int, *, present: bool) -> Side:
        if slot is None:
            return Side(called, present=False, wanted=0, ready=0, complete=False, trouble=f"{called} does not exist")
        wanted = replicas(slot)
        why, failed = trouble(slot, pods)
        complete = is_complete(slot) and ready >= wanted
        doubt = self._doubt(slot, pods, certain=complete) if called == self.release.slot else None
        if doubt:
            complete, why = False, doubt
        shown = None if complete else why
        told = (fingerprint(slot), restarts(pods), only_hash(pods))
        return Side(called, present, wanted, ready, complete, shown, failed, *told)

    def _doubt(self, slot: Json, pods: Sequence[Json], *, certain: bool) -> str | None:
        called = self._container(slot).get("name", "")
        return image_doubt(pods, called, self.release.digests, self.release.asked, certain=certain)

    # What to write

    def _claim(self) -> Write | None:
        if claimed_by(self.service) == self.store_id:
            return None
        return self._select(self.service, selector(self.service), "claim {} for this Greenlight")

    def _narrow(self) -> Write | None:
        previous = self.release.previous
        if previous.before is None or selector(self.service) != previous.before:
            return None
        names = {name(pod) for pod in self._previous_pods if matches(self._previous_selector, labels(pod))}
        if pods_behind(self.slices, name(self.service)) - names:
            raise ClusterError(f"Service {name(self.service)} would lose endpoints if narrowed to {previous.slot}.")
        notes = {BEFORE: json.dumps(dict(previous.before), sort_keys=True), NARROWED_FOR: self.release.label}
        return self._select(self.service, self._previous_selector, f"narrow {{}} to the pods of {previous.slot}", notes)

    def _keep_narrow(self) -> Write | None:
        """Before there is a pod that the former selector would let in: an earlier release may have sent it, to give it
        back, and never have heard of that. Any change of the Service has it refused when it arrives.
        """
        notes = annotations(self.service)
        if self.release.previous.before is None or notes.get(NARROWED_FOR) == self.release.label:
            return None
        why = f"keep {{}} narrowed to the pods of {self.release.previous.slot}"
        return self._select(self.service, selector(self.service), why, {NARROWED_FOR: self.release.label})

    def _fill_slot(self) -> Write | None:
        slot = self._candidate
        if slot is None:
            raise ClusterError(
                f"Deployment {self.release.slot} does not exist: create it like {self.release.previous.slot}."
            )
        if self._candidate_runs:
            return None
        count = None if replicas(slot) and self._is_autoscaled(slot) else self._pods_of_live
        patch = patches.stage(slot, self.release.image, self.release.label, count, self.app.native.container)
        return self._deploy(slot, patch, f"set {name(slot)} to {self.release.asked}")

    def _show_preview(self) -> Write | None:
        if self.preview is None:
            raise ClusterError(
                f"Service {self.app.native.preview} does not exist: create it like {name(self.service)}."
            )
        if selector(self.preview) == self.release.selector:
            return None
        return self._select(self.preview, self.release.selector, f"point {{}} to {self.release.asked}")

    def _switch(self, wanted: Selector, image: str, actor: str) -> Write | None:
        if selector(self.service) == wanted:
            return None
        notes = {RELEASE_NOTE: self.release.label, ACTOR_NOTE: actor}
        return self._select(self.service, wanted, f"switch {{}} to {image}", notes)

    def _warm(self) -> Write | None:
        slot = self._previous
        if slot is None:
            raise ClusterError(f"Deployment {self.release.previous.slot}, the way back, does not exist.")
        if replicas(slot):
            return None
        count = max(1, replicas(self._candidate) if self._candidate else 1)
        return self._deploy(slot, patches.scale(slot, count, self.app.native.container), f"start {name(slot)} again")

    def _hide_preview(self) -> Write | None:
        if self.preview is None or selector(self.preview) != self.release.selector:
            return None
        return self._select(self.preview, self._previous_selector, "point {} to what is live")

    def _empty(self, slot: Json | None) -> Write | None:
        side = self._candidate_side if slot is self._candidate else self._previous_side
        if slot is None or not replicas(slot) or not (side.present or self._is_left_over(slot)):
            return None
        if self._traffic is (Traffic.CANDIDATE if slot is self._candidate else Traffic.PREVIOUS):
            raise ClusterError(f"{name(slot)} has the traffic and keeps its pods.")
        return self._deploy(slot, patches.scale(slot, 0, self.app.native.container), f"scale {name(slot)} to 0")

    def _is_left_over(self, slot: Json) -> bool:
        """It runs a release that this one replaced and of which, never staged itself, it was to take the place."""
        label = template_labels(slot).get(LABEL, self.release.label)
        return slot is self._candidate and not self.release.staged and label != self.release.label

    def _widen(self) -> Write | None:
        before = self.release.previous.before
        if before is None or not self._selects_previous(selector(self.service)):
            return None
        # Pods of others had the traffic before and get it again: a team's jobs often have the labels of its app.
        slot = self._candidate
        to_come = slot is not None and replicas(slot) > 0 and matches(before, template_labels(slot))
        if to_come or any(matches(before, labels(pod)) and self._is_of_candidate(pod) for pod in self.pods):
            raise Pending(f"{name(self.service)} would let in pods of another version, which are still going away.")
        return self._select(self.service, before, "give {} its former selector back")

    def _is_of_candidate(self, pod: Json) -> bool:
        return owner(pod) == self.release.slot or labels(pod).get(LABEL) == self.release.label

    def _follow(self) -> Write | None:
        """Live pods that were restarted have another hash than the one that the Service was narrowed to."""
        if not self.needs_upkeep or selector(self.service) == self._previous_selector:
            return None
        why = f"point {{}} to the restarted pods of {self.release.previous.slot}"
        return self._select(self.service, self._previous_selector, why)

    def _grow(self) -> Write | None:
        """What is live was scaled up since the candidate was given as many pods; none at all is somebody's wish."""
        slot, wanted, awaited = self._candidate, self._pods_of_live, self.release.staged and self._is_staged
        before_the_switch = self.release.phase in {Phase.STAGING, Phase.READY, Phase.PROMOTING}
        if slot is None or not awaited or not before_the_switch or self._traffic is not Traffic.PREVIOUS:
            return None
        if not 0 < replicas(slot) < wanted or self._is_autoscaled(slot):
            return None
        why = f"scale {name(slot)} to {wanted}, as many as are live"
        return self._deploy(slot, patches.scale(slot, wanted, self.app.native.container), why)

    def _is_autoscaled(self, slot: Json) -> bool:
        if self.autoscaled is None and self.fresh:
            raise ClusterError(f"it cannot be told right now whether {name(slot)} is autoscaled")
        return name(slot) in (self.autoscaled or ())

    @property
    def _pods_of_live(self) -> int:
        return max(1, replicas(self._previous) if self._previous else 1)

    def _select(self, service: Json, wanted: Selector, why: str, notes: dict[str, str] | None = None) -> Write:
        notes = dict(notes or {})
        if service is self.service and claimed_by(service) is None:
            notes[STORE] = self.store_id
        return self._write(SERVICE, service, patches.select(service, wanted, notes), why.format(name(service)))

    def _deploy(self, slot: Json, patch: patches.Operations, why: str) -> Write:
        return self._write(DEPLOYMENT, slot, patch, why)

    def _write(self, kind: Kind, item: Json, patch: patches.Operations, why: str) -> Write:
        return Write(self.app.name, self.app.cluster, kind.name, self.app.namespace, name(item), patch, why)


def _hashless(wanted: Selector) -> Selector:
    return {key: value for key, value in wanted.items() if key != HASH}
