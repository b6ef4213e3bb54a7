"""The objects of one Rollout, as read together, and what they say of each other. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from bot.clusters.api import Json
from bot.clusters.argo.reading import (
    HASH,
    fingerprint,
    image_of,
    pod_hash,
    promotes_itself,
    template_label,
    template_of,
)
from bot.clusters.argo.state import State, current_hash, is_observed, observed_generation, stable_hash, state
from bot.clusters.argocd import keeps_image
from bot.clusters.errors import ClusterError, NotThere, Unfit
from bot.clusters.reading import changed_by, is_over, last_change, name, selector
from bot.release.image import is_same

CONTROLLER = "rollouts-controller"
"""As the API server records it in managedFields."""
SOMEBODY = "somebody"


@dataclass(frozen=True)
class Objects:
    rollout: Json
    workload: Json | None
    """The Deployment that holds the pod template, where the Rollout refers to one."""
    active: Json
    preview: Json | None
    replica_sets: Sequence[Json]
    """Those of the Rollout."""
    pods: Sequence[Json]
    slices: Sequence[Json]
    analysis_runs: Sequence[Json] = ()
    """Those of the Rollout, as far as they are known: they are shown, and nothing rests upon them."""
    application: Json | None = None
    """The Argo CD Application that keeps the holder of the template; None when there is none, or it may not be read."""
    unread: ClusterError | None = None
    """Why the Rollout is as it was read before all else; None when it was read beside it."""

    def kept(self, wanted: str | None) -> Unfit | None:
        """Why what is written to the pod template would not stay there; `wanted` is the container."""
        return keeps_image(self.holder, wanted, self.application)

    @property
    def holder(self) -> Json:
        """Whoever has the pod template."""
        return self.rollout if self.workload is None else self.workload

    @property
    def is_gone(self) -> bool:
        """The Rollout was deleted."""
        return isinstance(self.unread, NotThere)

    @cached_property
    def state(self) -> State:
        return state(self.rollout, self.active_hash, self.workload)

    @cached_property
    def is_observed(self) -> bool:
        return is_observed(self.rollout, self.workload)

    @property
    def generation(self) -> int:
        """Of whoever has the pod template."""
        return int(self.holder["metadata"].get("generation") or 0)

    @property
    def observed_generation(self) -> int:
        """Of whoever has the pod template, as far as the controller has taken it up; 0 when it does not say."""
        return observed_generation(self.rollout)

    @property
    def current(self) -> str:
        """The pod hash that the controller works towards. Only where `is_observed` that of the template."""
        return current_hash(self.rollout)

    @property
    def stable(self) -> str:
        return stable_hash(self.rollout)

    @property
    def active_hash(self) -> str:
        """The pod hash that has the traffic; "" when the Service selects none."""
        return selector(self.active).get(HASH, "")

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(template_of(self.holder), self.rollout)

    def replica_set(self, wanted: str) -> Json | None:
        return next((each for each in self.replica_sets if wanted and pod_hash(each) == wanted), None)

    def hash_of_release(self, label: str, image: str, wanted: str | None) -> str:
        """Of the ReplicaSet that was made for it, with this image in the container `wanted`; "" when there is none.

        Whoever edits the template later keeps the stamp in it, so its image decides, and then who was first.
        """
        stamped = [each for each in self.replica_sets if label and template_label(each) == label]
        made = [each for each in stamped if is_same(image_of(each, wanted), image)]
        return min(((_made_at(each), pod_hash(each)) for each in made), default=("", ""))[1]

    def pods_of(self, wanted: str) -> Sequence[Json]:
        return [pod for pod in self.pods if wanted and pod_hash(pod) == wanted and not is_over(pod)]

    @cached_property
    def promoted_by(self) -> str:
        """Who moved the active Service or wrote the status last, and is not the controller: a promotion by a patch that
        only takes a field away leaves no trace, and is somebody's.
        """
        by_hand = _by_others(self.active, "spec", "selector")
        if by_hand == SOMEBODY and promotes_itself(self.rollout):
            return f"Rollout {name(self.rollout)} itself (autoPromotionEnabled)"
        return _by_others(self.rollout, "status") if by_hand == SOMEBODY else by_hand

    @property
    def changed_by(self) -> str:
        """Who last changed the pod template; the controller only fills in what a template leaves out."""
        return _by_others(self.holder, "spec", "template")

    @property
    def changed_at(self) -> datetime | None:
        """When that was; None when it is not on record."""
        latest = last_change(_without_controller(self.holder), "spec", "template")
        return latest[0] if latest else None


def _by_others(item: Json, *path: str) -> str:
    return changed_by(_without_controller(item), *path)


def _without_controller(item: Json) -> Json:
    entries = item["metadata"].get("managedFields") or []
    others = [entry for entry in entries if not str(entry.get("manager", "")).startswith(CONTROLLER)]
    return {**item, "metadata": {**item["metadata"], "managedFields": others}}


def _made_at(item: Json) -> str:
    return str(item["metadata"].get("creationTimestamp") or "")
