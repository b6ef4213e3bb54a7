"""The scheduler and the kubelet of the one simulated node: pods get an address, start, and do what their image does."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sandbox.cluster.behaviour import Behaviour, Images
from sandbox.cluster.controllers import PerNamespace, condition, earliest
from sandbox.cluster.errands import Errands, Outcome
from sandbox.cluster.objects import Objects, timestamp
from sandbox.cluster.patches import Json

NODE = "sandbox"
NODE_ADDRESS = "10.0.0.1"
_MANAGER = "kubelet"
_FIRST_BACK_OFF = 10
_LONGEST_BACK_OFF = 300
_PER_BLOCK = 250
_AT_ONCE = datetime.min.replace(tzinfo=UTC)


class Kubelet(PerNamespace):
    """Runs every pod. It remembers when each one began and began to stop: API times have no fractions."""

    def __init__(self, images: Images, errands: Errands) -> None:
        super().__init__()
        self.wake: Callable[[], None] = lambda: None
        self._images = images
        self._errands = errands
        self._failing: set[tuple[str, str]] = set()
        self._restarted: Counter[tuple[str, str]] = Counter()
        self._began: dict[tuple[str, str], datetime] = {}
        self._stopping: dict[tuple[str, str], datetime] = {}
        self._addresses = 0

    def probe(self, namespace: str, pod: str, *, passes: bool) -> None:
        """From now on this pod fails its readiness probe, or does again what its image does."""
        (self._failing.discard if passes else self._failing.add)((namespace, pod))
        self._again(namespace)

    def restart(self, namespace: str, pod: str) -> None:
        """The containers of this pod end, and run again at once."""
        self._restarted[namespace, pod] += 1
        self._again(namespace)

    def look(self, objects: Objects, namespace: str, now: datetime) -> datetime | None:
        pods = objects.items("pods", namespace)
        due = [self._one(objects, pod, now) for pod in pods]
        living = {_key(pod) for pod in pods}
        self._errands.forget(namespace, {uid for _, uid in living})
        for memory in (self._began, self._stopping):
            for key in [key for key in memory if key[0] == namespace and key not in living]:
                del memory[key]
        return earliest(due)

    def _again(self, namespace: str) -> None:
        self._due[namespace] = _AT_ONCE
        self.wake()

    def log(self, pod: Json) -> str:
        """What `kubectl logs` shows of a pod."""
        lines = []
        for container in pod["spec"]["containers"]:
            behaviour = self._images.behaviour(container["image"])
            lines.append(f"{container['name']} {self._images.tag(container['image'])} starting")
            lines.append(behaviour.crash or "listening on :8080")
        return "".join(f"{line}\n" for line in lines)

    def _one(self, objects: Objects, pod: Json, now: datetime) -> datetime | None:
        metadata = pod["metadata"]
        if "deletionTimestamp" in metadata:
            return self._stop(objects, pod, now)
        if not pod["spec"].get("nodeName"):
            pod = self._place(objects, pod, now)
        began = self._began.setdefault(_key(pod), now)
        if pod["status"].get("phase") in {"Failed", "Succeeded"}:
            return None
        mishaps = _Mishaps(_named(pod) in self._failing, self._restarted[_named(pod)])
        lives = [_Life(self._images, container, began, now, mishaps) for container in pod["spec"]["containers"]]
        status = self._status(pod, lives, now)
        if pod["spec"]["restartPolicy"] != "Always" and status["phase"] == "Running":
            again = partial(self._again, metadata["namespace"])
            if ended := self._errands.ended(objects, pod, again):
                status = _over(status, ended, now)
        if status != pod["status"]:
            body = {**pod, "status": status}
            objects.replace(
                "pods", metadata["namespace"], metadata["name"], body, subresource="status", manager=_MANAGER
            )
        return earliest([life.next_change() for life in lives])

    def _stop(self, objects: Objects, pod: Json, now: datetime) -> datetime | None:
        metadata = pod["metadata"]
        seen = self._stopping.setdefault(_key(pod), now)
        needed = max(self._images.behaviour(c["image"]).stops_after for c in pod["spec"]["containers"])
        gone = seen + timedelta(seconds=min(needed, metadata.get("deletionGracePeriodSeconds", 0)))
        if now < gone:
            return gone
        if metadata.get("deletionGracePeriodSeconds"):
            objects.delete("pods", metadata["namespace"], metadata["name"], grace=0)
        return None

    def _place(self, objects: Objects, pod: Json, now: datetime) -> Json:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        binding = {"spec": {"nodeName": NODE}}
        objects.patch("pods", namespace, name, binding, subresource="binding", manager="kube-scheduler")
        address = self._address()
        status = {
            **pod["status"],
            "phase": "Pending",
            "hostIP": NODE_ADDRESS,
            "hostIPs": [{"ip": NODE_ADDRESS}],
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": timestamp(now),
            "conditions": [_condition(pod, "PodScheduled", met=True, now=now)],
        }
        return objects.patch("pods", namespace, name, {"status": status}, subresource="status", manager=_MANAGER)

    def _address(self) -> str:
        self._addresses += 1
        block, host = divmod(self._addresses, _PER_BLOCK)
        return f"10.244.{block % 256}.{host + 1}"

    def _status(self, pod: Json, lives: list[_Life], now: datetime) -> Json:
        ready = all(life.ready for life in lives)
        running = all(life.started for life in lives)
        unready = [life.container["name"] for life in lives if not life.ready]
        why: Json = {}
        if unready:
            why = {
                "reason": "ContainersNotReady",
                "message": f"containers with unready status: [{' '.join(unready)}]",
            }
        conditions = [
            _condition(pod, "PodReadyToStartContainers", met=True, now=now),
            _condition(pod, "Initialized", met=True, now=now),
            {**_condition(pod, "Ready", met=ready, now=now), **why},
            {**_condition(pod, "ContainersReady", met=ready, now=now), **why},
            _condition(pod, "PodScheduled", met=True, now=now),
        ]
        return {
            **pod["status"],
            "phase": "Running" if running else "Pending",
            "conditions": conditions,
            "containerStatuses": [life.status(pod) for life in lives],
        }


def _over(status: Json, ended: Sequence[Outcome], now: datetime) -> Json:
    """The status of a pod whose containers ended, each with its outcome."""
    containers = []
    for told, outcome in zip(status["containerStatuses"], ended, strict=True):
        began = (told["state"].get("running") or {}).get("startedAt", timestamp(now))
        state: Json = {
            "exitCode": outcome.exit_code,
            "reason": "Error" if outcome.exit_code else "Completed",
            "startedAt": began,
            "finishedAt": timestamp(now),
        }
        if outcome.message:
            state["message"] = outcome.message
        more = {"state": {"terminated": state}, "lastState": {}, "ready": False, "started": False, "restartCount": 0}
        containers.append({**told, **more})
    well = all(outcome.exit_code == 0 for outcome in ended)
    unready = {"status": "False", "reason": "PodCompleted" if well else "PodFailed"}
    conditions = [{**c, **(unready if c["type"] in {"Ready", "ContainersReady"} else {})} for c in status["conditions"]]
    phase = "Succeeded" if well else "Failed"
    return {**status, "phase": phase, "conditions": conditions, "containerStatuses": containers}


def _key(pod: Json) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["uid"]


def _named(pod: Json) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _condition(pod: Json, name: str, *, met: bool, now: datetime) -> Json:
    status = "True" if met else "False"
    current = condition(pod, name)
    since = current["lastTransitionTime"] if current and current["status"] == status else timestamp(now)
    return {"type": name, "status": status, "lastTransitionTime": since}


@dataclass(frozen=True)
class _Mishaps:
    """What a test has happen to a pod, whatever its image."""

    failing: bool
    """Its readiness probe."""
    restarts: int


class _Life:
    """One container at one moment."""

    def __init__(self, images: Images, container: Json, began: datetime, now: datetime, mishaps: _Mishaps) -> None:
        self.container = container
        self._mishaps = mishaps
        self._images = images
        self._behaviour: Behaviour = images.behaviour(container["image"])
        self._began = began
        self._now = now

    @property
    def _due(self) -> datetime:
        return self._began + timedelta(seconds=self._behaviour.ready_after)

    @property
    def started(self) -> bool:
        """It runs, or has run: a container that crashes has started, one whose image is missing has not."""
        return self._now >= self._due and not self._behaviour.pull_error

    @property
    def ready(self) -> bool:
        if not self.started or self._behaviour.crash or self._mishaps.failing:
            return False
        tired = self._behaviour.unready_after
        return tired is None or self._now < self._due + timedelta(seconds=tired)

    def next_change(self) -> datetime | None:
        tired = self._behaviour.unready_after
        moments = [self._due, *self._restarts()]
        if tired is not None:
            moments.append(self._due + timedelta(seconds=tired))
        return min((moment for moment in moments if moment > self._now), default=None)

    def status(self, pod: Json) -> Json:
        image = self.container["image"]
        unpulled = bool(self._behaviour.pull_error) or not self.started
        found: Json = {
            "name": self.container["name"],
            "state": self._state(),
            "lastState": self._last_state(),
            "ready": self.ready,
            "restartCount": self._restarted(),
            "image": image,
            "imageID": "" if unpulled else self._images.image_id(image),
            "started": self.started and not self._behaviour.crash,
        }
        if not unpulled:
            identity = f"{pod['metadata']['uid']}/{found['name']}/{found['restartCount']}"
            found["containerID"] = "containerd://" + hashlib.sha256(identity.encode()).hexdigest()
        return found

    def _state(self) -> dict[str, Any]:
        behaviour = self._behaviour
        if behaviour.pull_error:
            image = self.container["image"]
            message = f'Back-off pulling image "{image}": ErrImagePull: failed to pull and unpack image "{image}": '
            return {"waiting": {"reason": "ImagePullBackOff", "message": message + behaviour.pull_error}}
        if not self.started:
            return {"waiting": {"reason": "ContainerCreating"}}
        if behaviour.crash:
            message = f"back-off {self._pause()}s restarting failed container={self.container['name']}"
            return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        return {"running": {"startedAt": timestamp(self._due)}}

    def _last_state(self) -> dict[str, Any]:
        if not (self.started and self._behaviour.crash):
            return {}
        died = timestamp(max(moment for moment in self._restarts() if moment <= self._now))
        message = self._behaviour.crash
        ended = {"exitCode": 1, "reason": "Error", "message": message, "startedAt": died, "finishedAt": died}
        return {"terminated": ended}

    def _restarted(self) -> int:
        return self._mishaps.restarts + sum(moment <= self._now for moment in self._restarts())

    def _pause(self) -> int:
        return int(min(_FIRST_BACK_OFF * 2 ** (self._restarted() - 1), _LONGEST_BACK_OFF))

    def _restarts(self) -> Iterable[datetime]:
        """The moments of its restarts up to the next one: at once, then after 10, 20, 40 seconds and so on."""
        if not self._behaviour.crash:
            return []
        moments = [self._due]
        pause = _FIRST_BACK_OFF
        while moments[-1] <= self._now:
            moments.append(moments[-1] + timedelta(seconds=pause))
            pause = min(pause * 2, _LONGEST_BACK_OFF)
        return moments
