"""What keeps pods from becoming ready, as a sentence: shown within seconds, not at a deadline. Pure."""

from collections.abc import Iterable, Mapping

from bot.clusters.api import Json
from bot.clusters.reading import name

HOPELESS = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
"""Waiting reasons that no patience cures; a crash loop is one after its second restart."""
PULLING = {"ErrImagePull", "ImagePullBackOff"}
CRASHES = 2
LONGEST = 200


def trouble(deployment: Json, pods: Iterable[Json]) -> tuple[str | None, bool]:
    """The sentence, None when all is well, and whether waiting is hopeless."""
    worst: tuple[str | None, bool] = (None, False)
    for pod in pods:
        found = _of_pod(pod)
        if found[1]:
            return found
        worst = worst if worst[0] else found
    return worst if worst[0] else _of_deployment(deployment)


def restarts(pods: Iterable[Json]) -> Mapping[str, int]:
    """How often each container was started again, where it was; what only prepares a pod is not counted."""
    known = ((pod, status) for pod in pods for status in (pod.get("status") or {}).get("containerStatuses") or [])
    counts = {f"{name(pod)}/{status.get('name')}": status.get("restartCount") or 0 for pod, status in known}
    return {container: count for container, count in counts.items() if count}


def image_doubt(pods: Iterable[Json], called: str, digests: frozenset[str], asked: str, *, certain: bool) -> str | None:
    """About a pod of which the node reports that the container `called` runs another image than the one that was
    resolved (`digests`, none for one that was not): it blocks.

    `certain`: so does one whose node reports none, which pods do until they have started.
    """
    for pod in pods if digests else ():
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        runs = next((status.get("imageID") or "" for status in statuses if status.get("name") == called), "")
        digest = runs.rpartition("@")[2]
        if digest.startswith("sha256:") and digest not in digests:
            return f"pod {name(pod)} runs an image that is not {asked}"
        if not digest.startswith("sha256:") and certain:
            return f"pod {name(pod)} does not say which image it runs"
    return None


def _of_pod(pod: Json) -> tuple[str | None, bool]:
    status = pod.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for container in statuses:
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in PULLING:
            said = _cut(waiting.get("message", "")) or reason
            return f"pod {name(pod)}: cannot pull the image ({said})", reason in HOPELESS
        if reason == "CrashLoopBackOff":
            times = container.get("restartCount", 0)
            often = "once" if times == 1 else f"{times} times"
            return f"pod {name(pod)}: crashes at start, {often} so far{_last_words(container)}", times >= CRASHES
        if reason not in {"", "ContainerCreating", "PodInitializing"}:
            said = _cut(waiting.get("message", ""))
            return f"pod {name(pod)}: {reason}" + (f" ({said})" if said else ""), reason in HOPELESS
        if (container.get("state") or {}).get("terminated") and container.get("restartCount", 0):
            return f"pod {name(pod)}: has crashed{_last_words(container)}", False
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"pod {name(pod)}: cannot be scheduled ({_cut(condition.get('message', ''))})", False
    return None, False


def _of_deployment(deployment: Json) -> tuple[str | None, bool]:
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return f"{name(deployment)}: pods cannot be created ({_cut(condition.get('message', ''))})", False
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return f"{name(deployment)}: made no progress within its progressDeadlineSeconds", True
    return None, False


def _last_words(container: Json) -> str:
    ended = (
        (container.get("lastState") or {}).get("terminated") or (container.get("state") or {}).get("terminated") or {}
    )
    if "exitCode" not in ended:
        return ""
    said = _cut(ended.get("message", "") or ended.get("reason", ""))
    return f" (exit code {ended['exitCode']}{': ' + said if said else ''})"


def _cut(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
