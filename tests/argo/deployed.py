"""The app in a namespace of a real control plane, and what people and programs do to it."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import aiohttp
import mochiapp
from mochiapp import ACTIVE, BLUE, GREEN, HASH, PREVIEW, RELEASE, ROLLOUT
from state import State
from witness import Witness, witness

from rollouts import Passes, Rollouts

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
PROMOTE = {"op": "remove", "path": "/status/pauseConditions"}
READY_CONDITIONS = ("Ready", "ContainersReady")


class Mochiapp:
    """What its administrator sees and does. Every write returns when `until` cannot answer from before it."""

    def __init__(self, api: aiohttp.ClientSession, namespace: str, seen: Witness, rollouts: Rollouts) -> None:
        self.api = api
        self.namespace = namespace
        self.seen = seen
        self._rollouts = rollouts
        self.paths = {kind: "/" + path.format(namespace=namespace) for kind, path in mochiapp.COLLECTIONS.items()}
        self.path = f"{self.paths['rollouts']}/{ROLLOUT}"
        self.template_path = self.path
        """What is patched for another version: the Rollout, or the Deployment that it has its template from."""

    # What there is

    async def until(self, holds: Callable[[State], object], *, within: float = 10) -> State:
        return await self.seen.until(holds, within=within)

    async def state(self) -> State:
        """By lists that are asked for now: of one moment only while nobody writes."""
        listed = {kind: (await self.get(path))["items"] for kind, path in self.paths.items()}
        [rollout] = listed.pop("rollouts")
        return State(rollout=rollout, **{kind: tuple(items) for kind, items in listed.items()})

    async def idle(self) -> None:
        """Returns when the controller has nothing more to do: what is written then cannot be lost.

        Between its own write and the end of that pass it forgets what others write.
        """
        while (await self._completed(1)).wrote:
            with suppress(TimeoutError):
                await self._completed(self._passes.begun + 1, within=0.5)
                continue
            await self.looked_at()

    async def looked_at(self) -> None:
        """Returns when the controller has looked at the Rollout once more, without being told anything new about it:
        it does that when a Service has changed."""
        before = self._passes.begun
        annotation = {"metadata": {"annotations": {"example.com/touched": str(before)}}}
        await self.patch(f"{self.paths['services']}/{PREVIEW}", annotation)
        await self._completed(before + 1)

    async def _completed(self, passes: int, *, within: float = 10) -> Passes:
        """After so many, when it is in none."""
        async with asyncio.timeout(within):
            while not (passes <= (now := self._passes).completed == now.begun):  # noqa: ASYNC110 - a log has no events
                await asyncio.sleep(0.01)
        return now

    @property
    def _passes(self) -> Passes:
        return self._rollouts.passes(self.namespace)

    async def controller_has_heard(self) -> None:
        """Returns when the controller has been told what was last written to the Rollout, whatever it made of it.

        It hears of all Rollouts in one stream: so when it acts upon a later one, it has heard of this one.
        """
        path = "/" + mochiapp.ARGO.format(namespace="default") + "/rollouts"
        name = f"bystander-{secrets.token_hex(4)}"
        await self.create(path, mochiapp.rollout(replicas=0) | {"metadata": {"name": name}})
        async with asyncio.timeout(10):
            while "status" not in await self.get(f"{path}/{name}"):
                pass
        await self.delete(f"{path}/{name}")

    async def get(self, path: str) -> Json:
        async with self.api.get(path, raise_for_status=True) as answer:
            found: Json = await answer.json()
            return found

    async def ages(self) -> None:
        """Returns when whatever is made from now on is younger than what is there, to the second."""
        newest = max(each["metadata"]["creationTimestamp"] for each in (await self.state()).replicasets)
        left = datetime.fromisoformat(newest) + timedelta(seconds=1) - datetime.now(UTC)
        await asyncio.sleep(max(0.0, left.total_seconds()))

    async def reconciled(self) -> State:
        """After the controller has looked at everything once more: what it has not done by now, it will not do.

        It answers a changed spec by `observedGeneration`, and this field decides nothing that matters here.
        """
        await self.idle()
        rollout = await self.get(self.path)
        deadline = rollout["spec"].get("progressDeadlineSeconds", 600) + 1
        changed = await self.patch(self.path, {"spec": {"progressDeadlineSeconds": deadline}})
        generation = changed["metadata"]["generation"]
        return await self.until(lambda s: s.observed and s.rollout["metadata"]["generation"] >= generation)

    # What anybody may send

    async def send(
        self, path: str, patch: Any, *, form: str = JSON_PATCH, manager: str = "kubectl-patch", **query: str
    ) -> tuple[int, Json]:
        async with self.api.patch(
            path, data=json.dumps(patch), headers={"Content-Type": form}, params={"fieldManager": manager} | query
        ) as answer:
            body: Json = await answer.json()
            status = answer.status
        if status == HTTPStatus.OK and "dryRun" not in query:
            await self._seen(body)
        return status, body

    async def patch(self, path: str, patch: Any, *, form: str = MERGE, manager: str = "kubectl-patch") -> Json:
        status, body = await self.send(path, patch, form=form, manager=manager)
        assert status == HTTPStatus.OK, body
        return body

    async def create(self, collection: str, item: Json) -> None:
        path = self.paths.get(collection, collection)
        query = {"fieldManager": "kubectl-create"}
        headers = {"Content-Type": "application/json"}
        async with self.api.post(path, data=json.dumps(item), headers=headers, params=query) as answer:
            assert answer.ok, await answer.text()

    async def delete(self, path: str) -> None:
        async with self.api.delete(path, raise_for_status=True):
            pass

    async def _seen(self, written: Json) -> None:
        if f"{written['kind'].lower()}s" in self.paths:
            await self.seen.has_seen(written)

    # What Greenlight does

    async def stage(self, image: str, release: str, *, manager: str = "greenlight") -> Json:
        """The image and the release's name, in one write: so the release has a pod hash that no other has."""
        holder = await self.get(self.template_path)
        annotations = holder["spec"]["template"]["metadata"].get("annotations", {}) | {RELEASE: release}
        patch = [
            {"op": "replace", "path": f"{CONTAINERS}/0/image", "value": image},
            {"op": "add", "path": "/spec/template/metadata/annotations", "value": annotations},
        ]
        return await self.patch(self.template_path, patch, form=JSON_PATCH, manager=manager)

    async def approve(self, shown: State) -> tuple[int, Json]:
        """Promotes what was shown, and nothing else: the answer is the API server's."""
        return await self.send(f"{self.path}/status", [*approved(shown), PROMOTE], manager="greenlight")

    async def write_template(self, template: Json, *, manager: str = "greenlight") -> Json:
        patch = [{"op": "replace", "path": "/spec/template", "value": template}]
        return await self.patch(self.template_path, patch, form=JSON_PATCH, manager=manager)

    async def send_traffic_to(self, pod_hash: str, *, manager: str = "greenlight") -> Json:
        """The active Service itself, without a word to the controller."""
        patch = [{"op": "add", "path": f"/spec/selector/{HASH}", "value": pod_hash}]
        return await self.patch(f"{self.paths['services']}/{ACTIVE}", patch, form=JSON_PATCH, manager=manager)

    async def nudge(self, value: str = "1") -> Json:
        annotation = {"metadata": {"annotations": {"greenlight.dev/nudge": value}}}
        return await self.patch(self.path, annotation, manager="greenlight")

    # What people do

    async def set_image(self, image: str) -> Json:
        """`kubectl argo rollouts set image`, as it leaves the plugin."""
        patch = [{"op": "replace", "path": f"{CONTAINERS}/0/image", "value": image}]
        return await self.patch(self.template_path, patch, form=JSON_PATCH, manager="kubectl-argo-rollouts")

    async def plugin(self, *arguments: str) -> str:
        """`kubectl argo rollouts …` itself."""
        process = await asyncio.create_subprocess_exec(
            str(self._rollouts.plugin),
            f"--kubeconfig={self._rollouts.plane.admin_kubeconfig_file()}",
            f"--namespace={self.namespace}",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        await self._seen(await self.get(self.path))
        return output.decode()

    async def set_status(self, **fields: Any) -> Json:
        """What the plugin's verbs come down to."""
        return await self.patch(f"{self.path}/status", {"status": fields}, manager="kubectl-argo-rollouts")

    async def abort(self) -> Json:
        return await self.set_status(abort=True)

    async def retry(self) -> Json:
        return await self.set_status(abort=False)

    async def promote_unseen(self) -> Json:
        """`kubectl argo rollouts promote`: whatever is there now."""
        return await self.set_status(pauseConditions=None)

    async def select(self, service: str, **labels: str | None) -> Json:
        """`kubectl patch service`: changes labels of its selector, None takes one out."""
        return await self.patch(f"{self.paths['services']}/{service}", {"spec": {"selector": labels}})

    # What becomes of pods

    async def pods_become(self, pod_hash: str, *, ready: bool, count: int = 1) -> None:
        """So many pods of a set report that they are ready, or that they are no longer."""
        wanted = "True" if ready else "False"
        state = await self.until(lambda s: len(with_status(s, pod_hash)) >= count)
        for pod in with_status(state, pod_hash)[:count]:
            conditions = [{"type": kind, "status": wanted} for kind in READY_CONDITIONS]
            status = {"phase": "Running", "conditions": conditions}
            path = f"{self.paths['pods']}/{pod['metadata']['name']}/status"
            await self.patch(path, {"status": status}, form=STRATEGIC, manager="kubelet")

    async def nudged_until(self, holds: Callable[[State], object]) -> State:
        """As Greenlight does after its writes: what has no effect within 2 s is brought to the controller's notice."""
        for number in range(3):
            try:
                return await self.until(holds, within=2)
            except AssertionError:
                await self.nudge(str(number))
        return await self.until(holds)

    # From the beginning up to …, and the controller idle

    async def live_on(self, image: str = BLUE) -> State:
        return await self._at(lambda s: s.healthy_on(s.current) and s.image(s.current) == image)

    async def paused_on(self, image: str = GREEN) -> State:
        return await self._at(lambda s: s.paused_on(image))

    async def previewing(self, image: str = GREEN, release: str = "mochi-2") -> State:
        """Staged, and waiting for its promotion."""
        await self.stage(image, release)
        return await self.paused_on(image)

    async def promoted(self, image: str = GREEN, release: str = "mochi-2", *, kept: bool = True) -> State:
        """Live, and the set before it has its deadline, or is gone when it is not `kept` any longer than a moment."""
        before = await self.previewing(image, release)
        status, body = await self.approve(before)
        assert status == HTTPStatus.OK, body

        def over(state: State) -> object:
            return state.deadline(before.live) if kept else state.replicas(before.live) == 0

        return await self._at(lambda s: s.healthy_on(before.current) and over(s))

    async def _at(self, holds: Callable[[State], object]) -> State:
        await self.until(holds)
        await self.idle()
        await self._seen(await self.get(self.path))
        return await self.until(holds)


CONTAINERS = "/spec/template/spec/containers"


def approved(shown: State) -> list[Json]:
    """What an approval is bound to."""
    tests = [
        {"op": "test", "path": "/metadata/uid", "value": shown.rollout["metadata"]["uid"]},
        {"op": "test", "path": "/status/currentPodHash", "value": shown.current},
        {"op": "test", "path": "/status/pauseConditions/0/reason", "value": "BlueGreenPause"},
    ]
    # A patch tests one object: with a Deployment it says nothing about the template.
    if not shown.deployments:
        tests.append({"op": "test", "path": "/spec/template", "value": shown.template})
    return tests


def with_status(state: State, pod_hash: str) -> list[Json]:
    """The pods of a set that somebody has reported about."""
    return [pod for pod in state.pods_of(pod_hash) if pod["status"].get("conditions")]


@asynccontextmanager
async def deployed(
    rollouts: Rollouts, namespace: str, rollout: Json, templates: Iterable[Json] = ()
) -> AsyncIterator[Mochiapp]:
    """The Rollout and both Services in a fresh namespace, which is deleted afterwards; `templates` are for analysis."""
    plane = rollouts.plane
    connector = aiohttp.TCPConnector(ssl=plane.ssl_context)
    headers = {"Authorization": f"Bearer {plane.admin_token}"}
    async with (
        aiohttp.ClientSession(plane.url, headers=headers, connector=connector) as api,
        witness(api, namespace) as seen,
    ):
        app = Mochiapp(api, namespace, seen, rollouts)
        await app.create("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": namespace}})
        for template in templates:
            await app.create("/" + mochiapp.ARGO.format(namespace=namespace) + "/analysistemplates", template)
        for name in (ACTIVE, PREVIEW):
            await app.create("services", mochiapp.service(name))
        if "workloadRef" in rollout["spec"]:
            await app.create("deployments", mochiapp.deployment())
            app.template_path = f"{app.paths['deployments']}/{ROLLOUT}"
        await app.create("rollouts", rollout)
        yield app
        async with api.delete(f"/api/v1/namespaces/{namespace}", raise_for_status=True):
            pass
