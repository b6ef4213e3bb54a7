"""Mochi's Rollout: what it shows, and what other people and programs do to it."""

import contextlib
from collections.abc import Callable
from typing import Any

from installed import Mochi

from bot.clusters.api import Patch
from bot.clusters.argo.patches import NUDGED
from bot.clusters.argo.reading import HASH, template_of
from bot.clusters.reading import annotations, selector
from watching import until
from world import REPOSITORY, digest

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
PLUGIN = "kubectl-argo-rollouts"
CONTAINER = "/spec/template/spec/containers/0"


class Rollout:
    def __init__(self, installed: Mochi) -> None:
        self._installed = installed
        namespace = installed.target.namespace
        self.all = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts"
        self.path = f"{self.all}/mochiapp"
        self.replica_sets = f"/apis/apps/v1/namespaces/{namespace}/replicasets"

    # What it shows

    async def get(self) -> Json:
        return await self._installed.get(self.path)

    async def until(self, holds: Callable[[Json], object], *, within: float = 15) -> Json:
        """The Rollout, once this is true of it."""
        session = self._installed.target.session
        [found] = await until(session, self.all, lambda items: items and holds(items[0]), within=within)
        return found

    async def woken(self, holds: Callable[[Json], object]) -> Json:
        """As `until`; a controller that lost what somebody wrote, as those before 1.10 do, is made to look again."""
        for number in range(5):
            with contextlib.suppress(AssertionError):
                return await self.until(holds, within=3)
            await self._installed.patch(self.path, {"metadata": {"annotations": {"example.com/look": f"{number}"}}})
        return await self.until(holds)

    async def live(self) -> str:
        """The pod hash that has the traffic; "" when the Service selects none."""
        return selector(await self._installed.service()).get(HASH, "")

    async def sets_of(self, tag: str) -> list[Json]:
        """The ReplicaSets that run an image, the oldest first."""
        wanted = {f"{REPOSITORY}:{tag}", f"{REPOSITORY}@{digest(tag)}"}
        items = (await self._installed.get(self.replica_sets, labelSelector=HASH))["items"]
        found = [each for each in items if template_of(each)["spec"]["containers"][0]["image"] in wanted]
        return sorted(found, key=lambda each: str(each["metadata"]["creationTimestamp"]))

    async def hash_of(self, tag: str) -> str:
        [found] = await self.sets_of(tag)
        return hash_of(found)

    async def until_set(self, tag: str, holds: Callable[[Json], object]) -> Json:
        """The ReplicaSet of an image, once there is one and this is true of it."""
        wanted = {f"{REPOSITORY}:{tag}", f"{REPOSITORY}@{digest(tag)}"}

        def there(items: list[Json]) -> list[Json]:
            mine = [each for each in items if template_of(each)["spec"]["containers"][0]["image"] in wanted]
            return [each for each in mine if holds(each)]

        found = await until(self._installed.target.session, self.replica_sets, there, labelSelector=HASH)
        return there(found)[0]

    # What people and programs do

    async def set_image(self, tag: str, *, manager: str = "kubectl-set") -> Json:
        return await self._json(
            [{"op": "replace", "path": f"{CONTAINER}/image", "value": f"{REPOSITORY}:{tag}"}], manager
        )

    async def bring_up(self, tag: str) -> None:
        """Sets the image; returns when the controller, which must be at work, has a preview of it paused.

        The very first version of a Rollout is not paused, so there has to be one before.
        """
        await self.woken(lambda each: (each.get("status") or {}).get("stableRS"))
        written = await self.set_image(tag)
        await self.woken(
            lambda each: (
                each["metadata"]["generation"] >= written["metadata"]["generation"]
                and works_towards(each)
                and is_paused(each)
            )
        )

    async def set_variable(self, key: str, value: str) -> Json:
        change = {"op": "add", "path": f"{CONTAINER}/env", "value": [{"name": key, "value": value}]}
        return await self._json([change], "kubectl-set")

    async def set_template(self, template: Json, *, manager: str) -> Json:
        return await self._json([{"op": "replace", "path": "/spec/template", "value": template}], manager)

    async def set_spec(self, **changes: Any) -> Json:
        return await self._installed.patch(self.path, {"spec": changes}, manager="kubectl-edit")

    async def promote(self) -> Json:
        """`kubectl argo rollouts promote`: whatever is there now. Returns when the controller has taken it up."""
        await self._status(pauseConditions=None)
        return await self.woken(lambda each: not is_paused(each) and not each["status"].get("controllerPause"))

    async def abort(self) -> Json:
        """Returns when the controller has taken it up."""
        await self._status(abort=True)
        return await self.woken(lambda each: each["status"].get("abortedAt"))

    async def annotate(self) -> Json:
        return await self._installed.annotate(self.path)

    async def delete(self, path: str = "") -> None:
        async with self._installed.target.session.delete(path or self.path, raise_for_status=True):
            pass

    async def _status(self, **fields: Any) -> Json:
        return await self._installed.patch(f"{self.path}/status", {"status": fields}, manager=PLUGIN)

    async def _json(self, patch: list[Json], manager: str) -> Json:
        return await self._installed.patch(self.path, patch, manager=manager, content_type=JSON_PATCH)

    # What becomes of pods

    async def fail(self, pods: frozenset[str]) -> None:
        """They fail their readiness probes; returns when none of them is behind a Service."""
        await self._probe(pods, passes=False)

    async def recover(self, pods: frozenset[str]) -> None:
        await self._probe(pods, passes=True)

    async def _probe(self, pods: frozenset[str], *, passes: bool) -> None:
        for pod in pods:
            await self._installed.target.probe(pod, passes=passes)


def hash_of(item: Json) -> str:
    """Of a ReplicaSet."""
    return str(item["metadata"]["labels"][HASH])


def is_paused(rollout: Json) -> bool:
    reasons = [each["reason"] for each in (rollout.get("status") or {}).get("pauseConditions") or []]
    return "BlueGreenPause" in reasons


def works_towards(rollout: Json) -> str:
    """The pod hash, if the controller has taken up all that was written."""
    status = rollout.get("status") or {}
    observed = str(status.get("observedGeneration")) == str(rollout["metadata"]["generation"])
    return str(status.get("currentPodHash") or "") if observed else ""


def nudges(rollout: Json) -> str:
    return str(annotations(rollout).get(NUDGED, ""))


NOTE = f"/metadata/annotations/{NUDGED.replace('/', '~1')}"


def is_nudge(patch: Patch) -> bool:
    """Of what the bot wrote: that it only wakes the controller, which may be due whenever one is busy."""
    return any((each["op"], each["path"]) == ("add", NOTE) for each in patch)


def hashes(moments: list[list[Json]]) -> list[str]:
    """Each pod hash that a recorded Service has selected, in order."""
    found: list[str] = []
    for [service] in moments:
        pod_hash = selector(service).get(HASH, "")
        if not found or found[-1] != pod_hash:
            found.append(pod_hash)
    return found


def harmful(sent: list[tuple[str, str, Patch]]) -> list[Patch]:
    """Of what was written, what no release ever needs: `abort` strands traffic, `retry` and `promote --full` promote
    without a pause, `undo` guesses; and a promotion is nothing but the end of the pause.
    """
    allowed = {"/status/pauseConditions"}
    touched = ("/status", "/spec/paused", "/spec/restartAt", "/spec/strategy", "/spec/replicas")
    return [
        patch
        for kind, _, patch in sent
        if kind.startswith("Rollout")
        and any(
            change["op"] != "test" and change["path"].startswith(touched) and change["path"] not in allowed
            for change in patch
        )
    ]
