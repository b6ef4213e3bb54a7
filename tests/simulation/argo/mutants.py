"""The bot broken on purpose where it works with Argo Rollouts."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.clusters.api import ROLLOUT_STATUS
from bot.clusters.argo import backend, owed, patches
from bot.clusters.argo.objects import Objects
from bot.clusters.argo.state import State
from bot.clusters.argo.versions import Versions
from bot.clusters.argo.view import RolloutView
from bot.clusters.errors import Pending
from bot.release.record import Phase
from bot.release.snapshot import Traffic

Changes = tuple[Any, str, Any]


def promote_without_the_template_test() -> Iterator[Changes]:
    """Whatever the pod template has become since it was approved."""
    yield patches, "_template_as_read", lambda rollout: ()


def a_promotion_is_believed_without_its_effect() -> Iterator[Changes]:
    """It was answered, so the traffic has moved."""
    traffic = Versions.traffic.func

    def believed(self):
        told = self.release.switch_sent_at and self.release.phase in {Phase.PROMOTING, Phase.BAKING, Phase.DONE}
        return Traffic.CANDIDATE if told else traffic(self)

    yield Versions, "traffic", property(believed)
    yield RolloutView, "_owed", None
    yield RolloutView, "_ready_behind", lambda self, service, wanted: len(self.objects.pods_of(wanted))


def what_was_put_back_is_believed_without_its_effect() -> Iterator[Changes]:
    """It was answered, so the candidate is gone."""
    yield Versions, "is_undone", property(lambda self: not self.is_to_go)


def nobody_nudges() -> Iterator[Changes]:
    """What the controller has lost it never sees."""
    yield RolloutView, "upkeep", lambda self: None


def nudged_for_ever() -> Iterator[Changes]:
    """Every two seconds, whether it answers or not."""
    yield owed, "AGAIN", timedelta()
    yield owed, "SELDOM", timedelta()


def a_late_nudge_is_one_more() -> Iterator[Changes]:
    """Nothing tells it from the one that is due."""
    nudge = patches.nudge

    def blind(*args):
        first, *_, last = nudge(*args)
        return first, last

    yield patches, "nudge", blind


def abort_after_the_switch() -> Iterator[Changes]:
    """What Argo's own plugin would do."""
    revert = RolloutView._revert

    def abort(self, actor):
        return _verb(self, True) if self._traffic is Traffic.CANDIDATE else revert(self, actor)

    yield RolloutView, "_revert", abort


def retry() -> Iterator[Changes]:
    """A version that was given up is tried again."""
    revert = RolloutView._revert

    def retry(self, actor):
        return _verb(self, False) if self._state is State.ABORTED else revert(self, actor)

    yield RolloutView, "_revert", retry


def _verb(self, value):
    uid = {"op": "test", "path": "/metadata/uid", "value": self.objects.rollout["metadata"]["uid"]}
    change = {"op": "add", "path": "/status/abort", "value": value}
    return self._write(ROLLOUT_STATUS.name, self.objects.rollout, (uid, change), "abort or retry {}")


def the_phase_is_believed_early() -> Iterator[Changes]:
    """After our write `Paused` means that it has paused upon our write."""
    side = RolloutView._candidate_side.func

    def early(self):
        paused = self._versions.is_present and self.objects.rollout["status"].get("phase") == "Paused"
        found = side(self)
        return replace(found, complete=True, ready=max(1, found.ready)) if paused else found

    yield Objects, "is_observed", True
    yield RolloutView, "_candidate_side", property(early)


def the_way_back_goes_through_the_controller() -> Iterator[Changes]:
    """Only the template is written back: the controller will switch."""
    revert = RolloutView._revert

    def controlled(self, actor):
        if self._traffic is not Traffic.CANDIDATE or self._versions.is_restarting:
            return revert(self, actor)
        write = self._put_back()
        if write is None:
            raise Pending("the controller will switch")
        return write

    yield RolloutView, "_revert", controlled


def a_service_may_be_older_than_its_rollout() -> Iterator[Changes]:
    """They were read side by side, so they agree."""
    yield backend, "reported_active", lambda rollout: ""
    yield backend, "selector", lambda service: {}


def the_next_promotion_overrules_who_took_it_back() -> Iterator[Changes]:
    """One approval is good for any number of switches."""
    traffic = Versions.traffic.func

    def forgotten(self):
        home = self.objects.active_hash == self.previous != ""
        return Traffic.PREVIOUS if home else traffic(self)

    yield Versions, "traffic", property(forgotten)
    yield RolloutView, "_was_taken_back", False


def any_pause_is_ours() -> Iterator[Changes]:
    """The controller may be with somebody else's version by now."""

    def nothing(item, part, key):
        return {"op": "test", "path": "/metadata/uid", "value": item["metadata"]["uid"]}

    yield Versions, "is_desired", property(lambda self: True)
    yield patches, "_as_read", nothing


def the_rollout_is_left_with_the_candidate() -> Iterator[Changes]:
    """Once the traffic is home nothing else is written back."""
    yield Versions, "is_undone", property(lambda self: self.traffic is Traffic.PREVIOUS)
    yield RolloutView, "_put_back", lambda self: None


def what_was_replaced_is_left_over() -> Iterator[Changes]:
    """A release that came to nothing before it was staged leaves there what it was to take the place of."""
    yield Versions, "is_left_over", False


def one_pause_is_like_another() -> Iterator[Changes]:
    """A promotion of which nothing was heard is made again, though it was heeded and then undone."""
    yield RolloutView, "_was_taken_back", False


MUTANTS = {
    each.__name__.replace("_", " "): each
    for each in (
        promote_without_the_template_test,
        a_promotion_is_believed_without_its_effect,
        what_was_put_back_is_believed_without_its_effect,
        nobody_nudges,
        nudged_for_ever,
        a_late_nudge_is_one_more,
        abort_after_the_switch,
        retry,
        the_phase_is_believed_early,
        the_way_back_goes_through_the_controller,
        a_service_may_be_older_than_its_rollout,
        the_next_promotion_overrules_who_took_it_back,
        any_pause_is_ours,
        the_rollout_is_left_with_the_candidate,
        what_was_replaced_is_left_over,
        one_pause_is_like_another,
    )
}
