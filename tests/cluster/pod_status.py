"""What a kubelet would report about a pod, moment by moment, by the outcome that its image is to have.

Pure: no clock but the one passed in, no I/O. The shapes are those of a kubelet 1.34 on containerd.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Outcome = Literal["ready", "slow", "flaky", "never", "crash", "nopull"]
Json = dict[str, Any]
EVER = None  # nothing more happens
MOST_BACK_OFF = 10.0  # seconds between two restarts; a kubelet's own limit is five minutes


def outcome_of(image: str, digests: dict[str, str]) -> Outcome:
    """By the image's tag, or the tag that its digest stands for: anything but the other outcomes' names gets ready."""
    _, at, digest = image.partition("@")
    last = image.rpartition("/")[2]
    tag = digests.get(digest, "") if at else last.partition(":")[2]
    match tag:
        case "slow" | "flaky" | "never" | "crash" | "nopull":
            return tag
    return "ready"


@dataclass
class Report:
    """Writes one pod's status again and again; a condition keeps its transition time while it keeps its value."""

    pod: Json
    ip: str
    node_ip: str
    digests: dict[str, str]
    now: Callable[[], datetime]
    _since: dict[str, tuple[str, str]] = field(default_factory=dict)
    _started: str = ""

    def story(self, slow_for: float, flaky_after: float, restart_every: float) -> Iterator[tuple[Json, float | None]]:
        """Each status with the seconds until the next one, None after the last; a crashing pod's story never ends."""
        outcome = outcome_of(self.pod["spec"]["containers"][0]["image"], self.digests)
        ends = self.pod["spec"].get("restartPolicy", "Always") != "Always"
        if outcome == "nopull":
            yield self._pulling("ErrImagePull", "failed to pull and unpack image {}: not found"), restart_every
            yield self._pulling("ImagePullBackOff", "Back-off pulling image {}"), EVER
        elif ends:
            yield self._running(ready=True), 0.0
            yield self._ended(code=int(outcome == "crash")), EVER
        elif outcome == "crash":
            yield from self._crashing(restart_every)
        elif outcome == "slow":
            yield self._running(ready=False), slow_for
            yield self._running(ready=True), EVER
        elif outcome == "never":
            yield self._running(ready=False), EVER
        elif outcome == "flaky":
            yield self._running(ready=True), flaky_after
            yield self._running(ready=False), EVER
        else:
            yield self._running(ready=True), EVER

    def _crashing(self, restart_every: float) -> Iterator[tuple[Json, float | None]]:
        restarts, wait = 0, restart_every
        while True:
            yield self._running(ready=False, restarts=restarts), 0.0
            restarts += 1
            name, uid = self.pod["metadata"]["name"], self.pod["metadata"]["uid"]
            container = self.pod["spec"]["containers"][0]["name"]
            message = f"back-off {wait:g}s restarting failed container={container} pod={name}({uid})"
            waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
            yield self._status("Running", waiting, ready=False, restarts=restarts, last=self._terminated(1)), wait
            wait = min(2 * wait, MOST_BACK_OFF)

    def _pulling(self, reason: str, message: str) -> Json:
        image = self.pod["spec"]["containers"][0]["image"]
        return self._status(
            "Pending",
            {"waiting": {"reason": reason, "message": message.format(f'"{image}"')}},
            ready=False,
            pulled=False,
        )

    def _running(self, *, ready: bool, restarts: int = 0) -> Json:
        state = {"running": {"startedAt": self._time()}}
        return self._status(
            "Running", state, ready=ready, restarts=restarts, last=self._terminated(1) if restarts else None
        )

    def _ended(self, *, code: int) -> Json:
        status = self._status("Failed" if code else "Succeeded", self._terminated(code), ready=False)
        if not code:
            for condition in status["conditions"]:
                if condition["type"] in ("Ready", "ContainersReady"):
                    condition["reason"] = "PodCompleted"
        return status

    def _terminated(self, code: int) -> Json:
        reason = "Error" if code else "Completed"
        return {
            "terminated": {"exitCode": code, "reason": reason, "startedAt": self._started, "finishedAt": self._time()}
        }

    def _status(
        self, phase: str, state: Json, *, ready: bool, restarts: int = 0, last: Json | None = None, pulled: bool = True
    ) -> Json:
        self._started = self._started or self._time()
        containers = self.pod["spec"]["containers"]
        unready = {
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(c['name'] for c in containers)}]",
        }
        return {
            "phase": phase,
            "startTime": self._started,
            "hostIP": self.node_ip,
            "hostIPs": [{"ip": self.node_ip}],
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "conditions": [
                self._condition("PodReadyToStartContainers", holds=True),
                self._condition("Initialized", holds=True),
                self._condition("Ready", holds=ready, otherwise=unready),
                self._condition("ContainersReady", holds=ready, otherwise=unready),
                self._condition("PodScheduled", holds=True),
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": self._image_id(container["image"]) if pulled else "",
                    "containerID": self._container_id(container["name"], restarts) if pulled else "",
                    "ready": ready,
                    "started": "running" in state,
                    "restartCount": restarts,
                    "state": state,
                    "lastState": last or {},
                }
                for container in containers
            ],
        }

    def _container_id(self, name: str, restarts: int) -> str:
        return f"containerd://{_hash(self.pod['metadata']['uid'], name, str(restarts))}"

    def _condition(self, kind: str, *, holds: bool, otherwise: Json | None = None) -> Json:
        value = "True" if holds else "False"
        if kind not in self._since or self._since[kind][0] != value:
            self._since[kind] = (value, self._time())
        why = {"reason": None, "message": None} if holds else (otherwise or {})  # null takes an old reason away
        return {"type": kind, "status": value, "lastProbeTime": None, "lastTransitionTime": self._since[kind][1], **why}

    def _image_id(self, image: str) -> str:
        """repository@digest: the digest asked for, else the one known for the tag, else one made of the name."""
        name, at, digest = image.partition("@")
        head, slash, last = name.rpartition("/")
        repository, _, tag = last.partition(":")
        if not at:
            of_tag = [known for known, its in self.digests.items() if its == (tag or "latest")]
            digest = of_tag[0] if of_tag else f"sha256:{_hash(image)}"
        return f"{head}{slash}{repository}@{digest}"

    def _time(self) -> str:
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _hash(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()
