"""Which version of a Rollout is which of a release's, and which of them has the traffic. Pure.

The active Service is the truth of traffic. Whose a version is, its pod hash tells: for a release of ours that of the
ReplicaSet whose pod template is stamped with its label, for one that somebody else began the hash itself.
"""

import copy
import json
from dataclasses import dataclass
from functools import cached_property

from bot.clusters.api import Json
from bot.clusters.argo.objects import Objects
from bot.clusters.argo.reading import HASH, container, fingerprint, image_of, runs, template_label
from bot.clusters.argo.state import State
from bot.clusters.errors import Unfit
from bot.release.app import App
from bot.release.record import Phase, Release
from bot.release.snapshot import Traffic


@dataclass(frozen=True)
class Versions:
    app: App
    release: Release
    objects: Objects

    @cached_property
    def candidate(self) -> str:
        """Its pod hash; "" before the controller has made anything of it."""
        known, release = self.release.selector.get(HASH), self.release
        return known or self.objects.hash_of_release(release.label, release.image, self.app.argo.container)

    @cached_property
    def previous(self) -> str:
        """Its pod hash. Where its ReplicaSet was pruned, its template may have come back under another one."""
        previous = self.release.previous
        known = previous.selector.get(HASH, "")
        if self.objects.replica_set(known) is not None:
            return known
        anew = self.objects.hash_of_release(previous.label, previous.image, self.app.argo.container)
        if anew not in {"", self.candidate}:
            return anew
        if self.release.phase is not Phase.REVERTING or not (self.objects.is_observed and self.is_put_back):
            return known
        # For a moment the newest generation may be observed with the hash of the version before it.
        current = self.objects.replica_set(self.objects.current)
        is_back = current is not None and image_of(current, self.app.argo.container) == previous.image
        return self.objects.current if is_back else known

    @cached_property
    def previous_template(self) -> Json | None:
        return _template(self.release.previous.template)

    @property
    def taken_back(self) -> Json | None:
        """The template that the release is to write again; None for one that only changes an image."""
        return _template(self.release.pod_template)

    @cached_property
    def traffic(self) -> Traffic:
        active = self.objects.active_hash
        if active and (active == self.candidate or self.is_handed_over or self._is_left):
            return Traffic.CANDIDATE
        if not active or active != self.previous:
            return Traffic.OTHER
        # The controller has switched and takes the candidate for stable, and somebody took the Service back.
        undone = self.release.phase is Phase.PROMOTING and self.objects.stable == self.candidate != ""
        return Traffic.OTHER if undone else Traffic.PREVIOUS

    @property
    def is_handed_over(self) -> bool:
        """The controller gave the candidate up, and the traffic to what it takes for stable: a version that was taken
        back before, while this one was in its pod template already.
        """
        return self._is_elsewhere and self.objects.state is State.ABORTED and self.is_desired

    @property
    def _is_left(self) -> bool:
        """The same, once the pod template asks for the previous version, to which everybody goes from there."""
        return self.release.phase is Phase.REVERTING and self._is_elsewhere and self.template_is_previous

    @property
    def _is_elsewhere(self) -> bool:
        objects = self.objects
        return objects.active_hash == objects.stable and objects.active_hash not in {self.candidate, self.previous}

    # What the pod template asks for

    @cached_property
    def image(self) -> str:
        """Empty when the container cannot be told any more: then it is not what we knew."""
        return image_of(self.objects.holder, self.app.argo.container)

    @property
    def is_stamped(self) -> bool:
        """The template bears the release's label, whatever was changed in it since."""
        return template_label(self.objects.holder) == self.release.label

    @cached_property
    def template_is_candidates(self) -> bool:
        """It asks for the candidate, whatever but the image was changed in it.

        The hash may be that of the version before for a moment, though the newest generation is observed.
        """
        if HASH in self.release.selector:
            asked = self.objects.fingerprint == self.release.template
            return asked or (self.is_desired and not self.is_put_back and self._is_made_of_template)
        return self.is_stamped and self.image == self.release.image

    @property
    def _is_made_of_template(self) -> bool:
        """What the controller works towards runs what the template asks for."""
        made = self.objects.replica_set(self.objects.current)
        return made is None or runs(self.objects.holder) == runs(made)

    @property
    def is_left_over(self) -> bool:
        """The template asks for a release of which this one, never staged itself, was to take the place."""
        stamp = template_label(self.objects.holder)
        return not self.release.staged and stamp != self.release.previous.label and stamp in self.release.replaces

    @property
    def is_to_go(self) -> bool:
        """The template is not to stay when nothing comes of the release."""
        return self.template_is_candidates or self.is_left_over

    @cached_property
    def is_put_back(self) -> bool:
        """It is the previous version's, as it was written back."""
        template, objects = self.previous_template, self.objects
        return template is not None and fingerprint(template, objects.rollout) == objects.fingerprint

    @cached_property
    def template_is_previous(self) -> bool:
        """Also by its hash, once the controller has said it: it may fill in what a template leaves out."""
        return self.is_put_back or (self.objects.is_observed and self.objects.current == self.previous)

    @cached_property
    def is_present(self) -> bool:
        """The candidate still is what it was: before the switch, while approvals bind it or if it was begun elsewhere,
        to the last letter of its pod template. What is live is told by its hash, and a hash never means another
        version, whatever is being prepared beside it.
        """
        if self.traffic is Traffic.CANDIDATE:
            return True
        if not self.template_is_candidates:
            return False
        bound = self.release.phase in {Phase.READY, Phase.PROMOTING} or HASH in self.release.selector
        if bound and self.release.template and self.objects.fingerprint != self.release.template:
            return False
        return self.image == self.release.image and (self.release.phase is not Phase.STAGING or self._is_as_staged)

    @property
    def _is_as_staged(self) -> bool:
        """What its containers run is what was live with the image of the release."""
        base, holder = self.taken_back or self.previous_template, self.objects.holder
        if base is None or HASH in self.release.selector:
            return True
        made = {"metadata": holder["metadata"], "spec": {"template": copy.deepcopy(base)}}
        try:
            container(made, self.app.argo.container)[1]["image"] = self.release.image
        except Unfit:  # it cannot be told
            return True
        return runs(made) == runs(holder)

    # What the controller works towards

    @property
    def is_desired(self) -> bool:
        """The candidate, and nothing newer."""
        return self.objects.is_observed and self.objects.current == self.candidate != ""

    @property
    def is_restarting(self) -> bool:
        """The previous version: it had lost its pods, and comes up again like any other."""
        return self.objects.is_observed and self.previous == self.objects.current != self.objects.active_hash

    @cached_property
    def is_undone(self) -> bool:
        """Nothing is left by which the candidate could still take traffic without being asked for again."""
        objects = self.objects
        if objects.is_gone:
            return True
        if self.is_to_go:
            return False
        if not self.release.staged and not self.candidate:
            return True
        if self.template_is_previous:  # then until Rollout and Service agree upon it
            return objects.is_observed and self.previous == objects.current == objects.stable == objects.active_hash
        return objects.is_observed and objects.current != self.candidate


def _template(text: str) -> Json | None:
    try:
        template = json.loads(text)
    except ValueError:
        return None
    return template if isinstance(template, dict) else None
