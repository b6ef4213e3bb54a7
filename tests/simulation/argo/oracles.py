"""What must hold of an app on Argo Rollouts, where a controller of the cluster's own moves the traffic.

Content is told by the whole pod template that pods were made from, never by a label. What somebody else ships on
purpose (by a promotion, by the Service, by an image whose set was still warm) is his; that the controller ships by a
promotion of the bot's is the bot's, whoever changed what meanwhile.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from bot.clusters.argo.patches import NUDGED
from bot.clusters.argo.reading import HASH, annotations, fingerprint
from bot.clusters.cluster import LABEL
from bot.clusters.reading import is_ready, selector
from bot.release.record import Cause, Phase, Release
from simulation import oracles
from simulation.argo.controller import ROLLOUT
from simulation.argo.plan import DEADLINE, template_hash
from simulation.cluster import ACTIVE, PREVIEW, digest
from simulation.hashes import remembered
from simulation.objects import Json
from simulation.oracles import runs

NUDGES = 3
"""For one write. After them people are told, and it is nudged seldom: a controller that is back has lost it, too."""
SELDOM = 30.0
"""Seconds between those: a minute, less what one of them may be late."""
LONG = 300.0
"""Seconds."""
HOME_WITHIN = 15.0
"""Seconds from a rollback until the traffic is home, when nobody interferes: it needs no controller."""
Content = tuple[str, str]
"""What a pod runs: the digest that its node reports, in which template."""


class Oracles(oracles.Oracles):
    def __init__(self, world: Any) -> None:
        super().__init__(world)
        template = world.cluster.rollout()["spec"]["template"]
        self.was_live: set[Content] = {(digest("blue"), content(template))}
        self.live = world.cluster.live
        """The hash that the active Service selected last."""
        self.route = world.cluster.controller.route
        self.nudges: dict[str, list[float]] = {}
        """When, by what for."""
        self.promoted: dict[str, str] = {}
        """By release, the hash that the bot promoted."""
        self.resumed_by = ""
        """Who took the pause away last."""
        self.asked_for = ""
        """The hash of the version that the bot wrote into the Rollout; "" when somebody else changed that last."""
        self.outside: tuple[str, int] | None = None
        """The release that somebody else promoted before the bot did, and how often others had interfered by then."""
        self.away = False
        """The controller was away for so long that a way back may have been given up."""
        self.home_by: float | None = None
        """Until when the traffic has to be back."""

    # The bot's life

    def began(self) -> None:
        super().began()
        if self.home_by is not None and not self._is_warm(self.newest):
            self.home_by = None

    def controller_goes(self, seconds: float) -> None:
        self.away = self.away or seconds > LONG

    # What the bot commits

    def _record_changed(self, known: Release | None, release: Release) -> None:
        super()._record_changed(known, release)
        if known is None or known.phase is release.phase:
            return
        if release.phase is Phase.REVERTING and self.version(release) == self.live:
            self.home_by = self.now + HOME_WITHIN if self._is_warm(release) and not self.others else None

    def _is_warm(self, release: Release) -> bool:
        """Its previous version, and for as long as the way home may take."""
        replica_set = self.world.cluster.set_of(release.previous.selector.get(HASH, ""))
        if replica_set is None or release.retired:
            return False
        pods = self.world.cluster.pods(replica_set["metadata"]["name"])
        goes_at = annotations(replica_set).get(DEADLINE)
        stays = goes_at is None or goes_at > self.world.cluster.objects.moment(HOME_WITHIN)
        return bool(pods) and all(map(is_ready, pods)) and stays

    def _promotes(self, release: Release) -> None:
        super()._promotes(release)
        _, _, read = self.reads.get(f"rollouts/{ROLLOUT}", (0, 0, None))
        if read is None or fingerprint(read["spec"]["template"], read) != release.template:
            self.fail("I3", f"{release.title} was approved with another template than the one that was seen")
            return
        digests = release.digests or {release.image.partition("@")[2]}
        self.approved |= {(each, content(read["spec"]["template"])) for each in digests}

    def _was_looked_at(self, release: Release) -> None:
        rollout, pods = f"rollouts/{ROLLOUT}", f"pods?{HASH}"
        read = rollout, f"services/{ACTIVE}", f"services/{PREVIEW}", "replicasets", pods, "endpointslices"
        if not self._read_afresh(release, *read):
            return
        seen = self.reads[rollout][2]
        status = seen["status"]
        current, observed = status.get("currentPodHash"), status.get("observedGeneration")
        if observed != str(seen["metadata"]["generation"]) or not status.get("pauseConditions"):
            self.fail("I1", f"{release.title} was not paused when it was looked at")
        sets = {each["metadata"]["labels"][HASH]: each for each in self.reads["replicasets"][2]}
        theirs = sets.get(current)
        if theirs is None or current not in {_stamped(sets, release.label), release.selector.get(HASH)}:
            self.fail("I1", f"the controller was not at {release.title} when it was looked at")
            return
        if content(theirs["spec"]["template"]) != content(seen["spec"]["template"]):
            self.fail("I1", f"the pause was not that of the template of {release.title}")
        present = [pod for pod in self.reads[pods][2] if pod["metadata"]["labels"].get(HASH) == current]
        ready, wanted = self._ready_when_read(PREVIEW, present), theirs["spec"]["replicas"]
        if not 0 < wanted <= ready:
            self.fail("I1", f"{release.title} had {ready} of {wanted} ready when it was looked at")

    # What the bot writes

    def _not_blindly(self, resource: str, name: str, patch: Any, before: Json) -> None:
        changes = [each["path"] for each in patch if each["op"] != "test"]
        if len(changes) == len(patch):
            self.fail("I6", f"{name} was written without a test")
        if resource == "services":
            self._service_is_as_read(name, before)
            return
        _, _, read = self.reads.get(f"rollouts/{name}", (0, 0, None))
        if read is None or read["metadata"]["uid"] != before["metadata"]["uid"]:
            self.fail("I6", f"{name} was written without being read")
        elif resource == "rollouts/status":
            self._promotes_what_was_read(changes, read, before)
        else:
            self._changes_what_was_read(changes, read, before)

    def _promotes_what_was_read(self, changes: list[str], read: Json, before: Json) -> None:
        if changes != ["/status/pauseConditions"]:
            self.fail("I6", f"only a pause is ever taken away, never {changes} changed")
        if _differ(read, before, _PROMOTED):
            self.fail("I6", "another version was promoted than the one that was seen")

    def _changes_what_was_read(self, changes: list[str], read: Json, before: Json) -> None:
        specs = [path for path in changes if path.startswith("/spec")]
        if any(not path.startswith("/spec/template") for path in specs):
            self.fail("I6", f"only the pod template is ever changed, never {changes}")
        if "/spec/template" in specs:
            if _differ(read, before, [("spec", "template")]):
                self.fail("I6", "a template was written over one that was not seen")
        elif specs and (_differ(read, before, _STAGED) or _runs(read) != _runs(before)):
            self.fail("I6", "an image was written over another version than the one that was seen")

    def _done(
        self, release: Release, resource: str, name: str, patch: Any, before: Json, after: Json, *, late: bool
    ) -> None:
        if resource == "services" and name == ACTIVE and selector(before) != selector(after):
            self.moved_by_others = False
            self.live = selector(after).get(HASH, "")
            if self.live == self.version(release):
                self.fail("I2", f"the Service was pointed to {release.title}, and only a promotion does that")
            if release.phase is Phase.REVERTING:
                self._switched_back(release)
        if resource == "rollouts/status":
            self.resumed_by = "greenlight"
            self._promoted(release, before, late=late)
        if resource == "rollouts":
            self._nudged(patch)
            if after["spec"] != before["spec"]:
                self.asked_for = template_hash(after["spec"]["template"])

    def _promoted(self, release: Release, before: Json, *, late: bool) -> None:
        """A pause that came back may be ended again, for the same version."""
        current = str(before["status"].get("currentPodHash"))
        if self.promoted.setdefault(release.label, current) != current:
            self.fail("I2", f"{release.title} was promoted as two versions")
        if self.records[release.label].phase is not Phase.PROMOTING:
            self.fail("I2", f"{release.title} is {release.phase} and was promoted")
        if self.switches.get(release.label) and not late:
            self.fail("I2", f"{release.title} had the traffic already and was promoted")

    def _counts(self, patch: Any) -> bool:
        """A nudge has a bound of its own."""
        return _nudge(patch) is None

    def _nudged(self, patch: Any) -> None:
        note = _nudge(patch)
        if note is None:
            return
        self.world.counts["nudged"] += 1
        what = json.loads(note)["for"]
        before_it = self.nudges.get(what, [])
        self.nudges = {**self.nudges, what: [*before_it, self.now]}
        if len(before_it) >= NUDGES and self.now < before_it[-1] + SELDOM:
            self.fail("I12", f"nudged {len(before_it) + 1} times for {what}")

    # What is true in the cluster

    def others_changed(self, what: str) -> None:
        super().others_changed(what)
        if what == f"rollouts/{ROLLOUT}":
            self.asked_for = ""
        if what == f"rollouts/{ROLLOUT}" and not self.world.cluster.rollout()["status"].get("pauseConditions"):
            self.resumed_by = "others"
        if what == f"services/{ACTIVE}":
            self._routed()

    def _serves(self, *, by_bot: bool) -> None:
        self._routed()
        for pod in self.world.cluster.selected():
            self._may_serve(pod)
        if self.home_by is not None:
            self._is_home()

    def _routed(self) -> None:
        """What the controller did to the active Service, and what others did."""
        cluster = self.world.cluster
        if cluster.controller.route is not self.route:
            self.route = cluster.controller.route
            self.moved_by_others = False
            self.world.counts[f"routed: {self.route[0].partition(' ')[0]}"] += 1
        if cluster.live == self.live:
            return
        self.live, newest = cluster.live, self.newest
        if newest is None or self.live != self.version(newest):
            return
        if newest.label in self.promoted:
            if not self.moved_by_others:
                self._switched(newest)
        elif newest.phase in {Phase.STAGING, Phase.READY} and self.route[0] in {"promoted", "full", "deadline"}:
            self.outside = newest.label, self.others
            self.world.counts["promoted outside"] += 1

    def _switched(self, release: Release) -> None:
        """The controller moved the traffic upon our promotion. Somebody else may take it back, and move it again."""
        self.switches[release.label] = self.switches.get(release.label, 0) + 1
        self.world.counts["switched"] += 1
        if self.switches[release.label] > 1 and not self.others:
            self.fail("I2", f"{release.title} was switched to twice")

    def _may_serve(self, pod: Json) -> None:
        digest = runs(pod)
        if digest is None:
            return
        served = digest, content(pod["template"])
        if served in self.was_live or served in self.theirs:
            return
        if served in self.approved:
            if is_ready(pod):
                self.was_live.add(served)
            return
        why, hash_ = self.route
        ours = {"promoted": self.resumed_by == "greenlight", "deadline": self.asked_for == hash_}
        let_in_by_controller = hash_ == pod["metadata"]["labels"][HASH] and not ours.get(why, False)
        if self.moved_by_others or let_in_by_controller:
            self.theirs.add(served)
            return
        self.fail("I3", f"{pod['metadata']['name']} serves {digest} ({why}), which nobody approved")

    def _is_home(self) -> None:
        newest = self.newest
        if newest is None or newest.phase is not Phase.REVERTING or self.others or self.version(newest) != self.live:
            self.home_by = None
            return
        undisturbed = self.world.bot is not None and not self.world.weather
        if undisturbed and self.now > max(self.home_by or 0, self.alive_since + HOME_WITHIN):
            self.fail("I10", f"{newest.title} is to be rolled back and has the traffic still")

    def version(self, release: Release) -> str:
        """The pod hash of a release; "" as long as it has none."""
        sets = self.world.cluster.objects.kinds["replicasets"].values()
        return release.selector.get(HASH) or _stamped(
            {each["metadata"]["labels"][HASH]: each for each in sets}, release.label
        )

    # At the end

    def _nobody_knew(self) -> bool:
        """The controller has lost what somebody else began, and nobody nudges it for others."""
        return bool(self.world.cluster.controller.lost)

    def _agrees(self, release: Release) -> None:
        cluster = self.world.cluster
        rollout, version = cluster.rollout(), self.version(release)
        status = rollout["status"]
        at_one = status.get("currentPodHash") == status.get("stableRS") == cluster.live
        match release.phase:
            case Phase.DONE:
                agree = cluster.live == version and at_one and (release.retired or bool(self.others))
            case Phase.REVERTED:
                agree = cluster.live == release.previous.selector.get(HASH) and at_one and release.retired
            case Phase.ABANDONED:
                agree = release.cause is Cause.STUCK and self.away
            case _:
                agree = False
        if not agree and not any(what in _MOVING for what in self.changed_by_others):
            self.fail(
                "I4",
                f"{release.title} ended as {release.phase} ({release.reason}), {cluster.live} is live, the controller "
                f"is at {status.get('currentPodHash')} with {status.get('stableRS')} for stable",
            )
        # One that was approved in that very moment, and whose switch somebody else was quicker to make, is what it was.
        unasked = release.label not in self.promoted and not release.approvers
        by_others = self.outside == (release.label, self.others) and unasked
        if by_others and release.phase is not Phase.REVERTED and release.cause is not Cause.PROMOTED_OUTSIDE:
            self.fail("I3", f"{release.title} was promoted by somebody else and ended as {release.phase}")


_MOVING = {f"rollouts/{ROLLOUT}", f"services/{ACTIVE}", "analyses"}
"""What others may do of which anything may become."""
_PROMOTED = ("spec", "template"), ("status", "currentPodHash"), ("status", "pauseConditions"), ("status", "abort")
_STAGED = (
    ("status", "currentPodHash"),
    ("status", "stableRS"),
    ("status", "pauseConditions"),
    ("status", "controllerPause"),
)


def _differ(one: Json, other: Json, where: Iterable[tuple[str, str]]) -> bool:
    return any((one.get(part) or {}).get(key) != (other.get(part) or {}).get(key) for part, key in where)


def _runs(rollout: Json) -> tuple[str, str | None]:
    template = rollout["spec"]["template"]
    return template["spec"]["containers"][0]["image"], (template["metadata"].get("annotations") or {}).get(LABEL)


def _nudge(patch: Any) -> str | None:
    """The note of a nudge, which changes nothing else."""
    value = patch[-1].get("value")
    return value.get(NUDGED) if isinstance(value, dict) else value if patch[-1]["path"].endswith("~1nudged") else None


def _stamped(sets: Mapping[str, Json], label: str) -> str:
    """The first that was made for a release: whoever edits the template later keeps its stamp."""
    found = [
        (int(each["metadata"]["uid"].rpartition("-")[2]), hash_)
        for hash_, each in sets.items()
        if (each["spec"]["template"]["metadata"].get("annotations") or {}).get(LABEL) == label
    ]
    return min(found, default=(0, ""))[1]


@remembered
def content(template: Json) -> str:
    """Of a pod template, but for what only tells one release from another."""
    metadata = template["metadata"]
    notes = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != LABEL}
    marks = {key: value for key, value in metadata["labels"].items() if key != HASH}
    said = json.dumps({**template, "metadata": {"labels": marks, "annotations": notes}}, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
