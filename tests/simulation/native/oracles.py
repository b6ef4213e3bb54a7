"""What must hold of an app on two Deployments: who serves is told by the release label in the selector."""

from datetime import timedelta
from typing import Any

from bot.clusters.cluster import LABEL
from bot.clusters.reading import fingerprint, is_ready, matches, selector, template_labels
from bot.release.machine import DRAIN
from bot.release.record import Phase, Release
from simulation import oracles
from simulation.checks import AT_ONCE
from simulation.cluster import ACTIVE, PREVIEW, digest
from simulation.hashes import remembered
from simulation.native.cluster import SLOTS, release_of
from simulation.objects import EPOCH, Json
from simulation.oracles import runs

Content = tuple[str, str]
"""What a pod really runs: the digest that its node reports, in which template."""


class Oracles(oracles.Oracles):
    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.was_live: set[str] = {digest("blue")}
        self.debts: dict[Content, float] = {}
        """Contents that nobody approved, let in by a change between a look and the switch, and since when: they have to
        be taken back."""
        self.seen_before_switch = -1
        """The step of the last look at the slots before the bot moved the traffic."""

    # What the bot commits

    def _phase_changed(self, known: Release | None, release: Release) -> None:
        super()._phase_changed(known, release)
        if known is not None and known.phase is Phase.REVERTING and not release.switch_sent_at:
            self._came_back(release)

    def _came_back(self, release: Release) -> None:
        """I10: nothing holds it up, gates least of all."""
        began = self.goes_back[release.label]
        undisturbed = not self.world.weather and not self.others and self.alive_since < began
        if undisturbed and self.now > began + AT_ONCE:
            self.fail("I10", f"{release.title} took {self.now - began:.0f} s to go back")

    def _was_looked_at(self, release: Release) -> None:
        slot, theirs = f"deployments/{release.slot}", f"pods?{LABEL}={release.label}"
        if not self._read_afresh(release, f"services/{ACTIVE}", slot, "endpointslices", theirs):
            return
        ready = self._ready_when_read(PREVIEW, self.reads[theirs][2])
        wanted = [each["spec"]["replicas"] for each in self._as_read(slot)]
        if not any(0 < each <= ready for each in wanted):
            self.fail("I1", f"{release.title} had {ready} of {wanted} ready when it was looked at")

    # What the bot writes

    def _not_blindly(self, resource: str, name: str, patch: Any, before: Json) -> None:
        if resource == "services":
            self._service_is_as_read(name, before)
            return
        _, _, read = self.reads.get(f"{resource}/{name}", (0, 0, None))
        if read is None:
            self.fail("I6", f"{name} was written without being read")
        elif _runs(read) != _runs(before):
            self.fail("I6", f"{name} was written over another version than the one that was seen")

    def _done(
        self, release: Release, resource: str, name: str, patch: Any, before: Json, after: Json, *, late: bool
    ) -> None:
        if resource == "services" and name == ACTIVE and selector(before) != selector(after):
            self._moved(release, after, late=late)
        if resource == "deployments" and after["spec"]["replicas"] < before["spec"]["replicas"]:
            self._may_shrink(name, release)

    def _moved(self, release: Release, after: Json, *, late: bool) -> None:
        """The bot gave the traffic to somebody else."""
        self.moved_by_others = False
        if not late:
            self.seen_before_switch = min(self.reads.get(f"deployments/{slot}", (0, -1, None))[1] for slot in SLOTS)
        if selector(after) == release.selector:
            self._switched(release)
        elif release.phase is Phase.REVERTING:
            self._switched_back(release)
            if not release.retired and not late:
                self._came_back(release)

    def _may_shrink(self, slot: str, release: Release) -> None:
        wanted = selector(self.world.cluster.service())
        if matches(wanted, template_labels(self.world.cluster.slot(slot))):
            moved = self.changed_by_others.get(f"services/{ACTIVE}", -1)
            if moved <= self.reads.get(f"services/{ACTIVE}", (0, 0, None))[1]:
                self.fail("I11", f"{slot} has the traffic and was scaled down")
            return
        timing, at = self.world.app.timing, EPOCH + timedelta(seconds=self.now)
        if release.phase is Phase.DONE and slot == release.previous.slot and release.live_at:
            warm = DRAIN if release.retire_asked else max(DRAIN, timing.warm_for)
            if at < release.live_at + warm:
                self.fail("I11", f"{slot} was scaled down {at - release.live_at} after the switch")

    # What is true in the cluster

    def _serves(self, *, by_bot: bool) -> None:
        for pod in self.world.cluster.selected():
            self._may_serve(pod)
        if self.debts:
            served = {_content(pod) for pod in self.world.cluster.selected()}
            self.debts = {content: since for content, since in self.debts.items() if content in served}
            undisturbed = self.world.bot is not None and not self.world.weather
            if undisturbed and any(self.now > max(since, self.alive_since) + AT_ONCE for since in self.debts.values()):
                self.fail("I3", f"not taken back at once: {sorted(self.debts)}")

    def _may_serve(self, pod: Json) -> None:
        content = _content(pod)
        if content is None or content[0] in self.was_live or content in self.theirs or content in self.debts:
            return
        if content in self.approved:
            if is_ready(pod):
                self.was_live.add(content[0])
            return
        slot = f"deployments/{pod['slot']}"
        changed = self.changed_by_others.get(slot, -1)
        if self.moved_by_others or self.world.memory.get(f"live when changed: {pod['slot']}"):
            self.theirs.add(content)  # whoever may change what is live can serve anything
            return
        # The one moment that nobody can promise: the slot was changed after the bot's last look at it. Only pods that
        # still carry the label of the release that was approved can be let in by that.
        seen, newest = self.seen_before_switch, self.newest
        if changed > seen and newest is not None and newest.previous.slot == pod["slot"]:
            self.theirs.add(content)  # on the way back there is nowhere else to go
            return
        if changed > seen and newest is not None and release_of(pod) == newest.label:
            self.debts[content] = self.now
            self.world.counts["changed between look and switch"] += 1
            return
        self.fail("I3", f"{pod['metadata']['name']} serves {content[0]}, which nobody approved")

    # At the end

    def at_the_end(self) -> None:
        if self.debts:
            self.fail("I3", f"never taken back: {sorted(self.debts)}")
        super().at_the_end()

    def _agrees(self, release: Release) -> None:
        present = selector(self.world.cluster.service())
        meddled = f"services/{ACTIVE}" in self.changed_by_others
        match release.phase:
            case Phase.DONE:
                agree = (present == release.selector and (release.retired or self.others)) or meddled
            case Phase.REVERTED:
                back = present in (release.previous.selector, release.previous.before)
                agree = (back and release.retired) or self.others
            case Phase.ABANDONED:
                agree = bool(self.others)
            case _:
                agree = False
        if not agree:
            self.fail(
                "I4", f"{release.title} ended as {release.phase} ({release.reason}), the Service selects {present}"
            )


def _content(pod: Json) -> Content | None:
    digest = runs(pod)
    return None if digest is None else (digest, _fingerprint(pod["template"]))


@remembered
def _fingerprint(template: Json) -> str:
    return fingerprint({"spec": {"template": template}})


def _runs(slot: Json) -> tuple[str, str | None]:
    template = slot["spec"]["template"]
    return template["spec"]["containers"][0]["image"], (template["metadata"].get("labels") or {}).get(LABEL)
