"""From what people do until the active Service selects another version, on the real control plane: on two Deployments
and on Argo Rollouts, beside what does nothing but tell Argo's controller, and beside its plugin for kubectl.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import aiohttp

from benchmarks.cluster import app, service
from benchmarks.seen import Seen, seen
from benchmarks.stage import APPROVE, PATIENCE, SLOTS, Json, Stage, process, session, stage
from sandbox.registry import Registry

ROUND_TRIPS = (0.0, 0.020)
"""Seconds, on the connection to Discord and on those to the API server, whoever holds them."""
SETTLED = 0.5
"""Seconds without a change of any Service or Rollout: for as long as its controller is at work after a status that it
wrote, before 1.10, it may lose what others write, and that is another matter."""
LOST_AFTER = 2.0
"""Seconds after which it is made to look again, as Greenlight does."""

NATIVE, ARGO = (tuple(f"{kind}-{number}" for number in range(8)) for kind in ("native", "argo"))
"""Apps of Greenlight's, each in the namespace of its name. So many, since what was rolled back takes no other version
for half a minute."""
PLUGIN, STATUS, SERVICE = "plugin", "status", "service"
"""Namespaces that Greenlight does not know: a Rollout each, and a Service alone."""

VOTE, BACK = "vote → switched", "roll back → traffic home"
NATIVE_VOTE, ARGO_VOTE = f"{VOTE}, native", f"{VOTE}, Argo"
NATIVE_BACK, ARGO_BACK = f"{BACK}, native", f"{BACK}, Argo"
BARE_SERVICE, BARE_STATUS = "a bare patch of the Service", "a bare patch of the status"
PROMOTE = "kubectl argo rollouts promote"
WAYS = (NATIVE_VOTE, BARE_SERVICE, ARGO_VOTE, BARE_STATUS, PROMOTE, NATIVE_BACK, ARGO_BACK)
AIMED_AT = (
    (NATIVE_VOTE, ARGO_VOTE, 1.0),
    (NATIVE_VOTE, BARE_STATUS, 1.0),
    (ARGO_VOTE, BARE_STATUS, 1.3),
    (ARGO_VOTE, PROMOTE, 1.0),
    (NATIVE_BACK, NATIVE_VOTE, 1.0),
    (ARGO_BACK, ARGO_VOTE, 1.0),
)
"""The median of the first is at most so many times that of the second."""


@dataclass(frozen=True)
class Measured:
    """Seconds, by round trip and by way."""

    argo: str
    took: dict[float, dict[str, list[float]]]


class NotBuilt(Exception):
    """The real control plane, or Argo Rollouts, has not been built in this checkout."""


async def measure(rounds: int) -> Measured:
    """So many of each way for every round trip, in turn, each round beginning with another. Raises `NotBuilt`."""
    took = dict[float, dict[str, list[float]]]()
    targets = dict.fromkeys(NATIVE, SLOTS) | dict.fromkeys(ARGO, 'rollout     = "web"')
    async with (
        stage(_cluster, targets) as made,
        session(made.cluster["kubeconfig"]) as api,
        seen(api) as watched,
    ):
        bench = _Bench(made, watched)
        for rtt in ROUND_TRIPS:
            made.rtt(rtt)
            took[rtt] = defaultdict(list)
            for number in range(rounds):
                ways = [bench.native, bench.bare_service, bench.on_argo, bench.bare_status, bench.with_plugin]
                for way in (*ways[number % len(ways) :], *ways[: number % len(ways)]):
                    for name, seconds in (await way(number)).items():
                        took[rtt][name].append(seconds)
        return Measured(made.cluster["argo"], took)


class _Bench:
    def __init__(self, made: Stage, watched: Seen) -> None:
        self.made = made
        self._seen = watched
        self._now = asyncio.get_running_loop().time

    async def native(self, number: int) -> dict[str, float]:
        vote, back = await self._released(NATIVE[number % len(NATIVE)])
        return {NATIVE_VOTE: vote, NATIVE_BACK: back}

    async def on_argo(self, number: int) -> dict[str, float]:
        vote, back = await self._released(ARGO[number % len(ARGO)])
        return {ARGO_VOTE: vote, ARGO_BACK: back}

    async def bare_service(self, number: int) -> dict[str, float]:
        await self._settled()
        selector = {"op": "replace", "path": "/spec/selector", "value": {"color": f"{number}-{self._now()}"}}
        began = self._now()
        await self._patch(f"/api/v1/namespaces/{SERVICE}/services/active", [selector])
        return {BARE_SERVICE: await self._seen.switched(SERVICE, "active", began) - began}

    async def bare_status(self, number: int) -> dict[str, float]:
        await self._previewing(STATUS, number)
        began = self._now()
        promote = [{"op": "remove", "path": "/status/pauseConditions"}]
        await self._patch(f"{_rollout(STATUS)}/status", promote)
        return {BARE_STATUS: await self._promoted(STATUS, began)}

    async def with_plugin(self, number: int) -> dict[str, float]:
        await self._previewing(PLUGIN, number)
        began = self._now()
        argv = (
            self.made.cluster["plugin"],
            f"--kubeconfig={self.made.kubeconfig}",
            f"--namespace={PLUGIN}",
            "promote",
            "web",
        )
        running = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.DEVNULL)
        took = await self._promoted(PLUGIN, began)
        if await running.wait():
            raise RuntimeError("the plugin could not promote")
        return {PROMOTE: took}

    async def _released(self, name: str) -> tuple[float, float]:
        """Seconds from the last approving vote, and from the press that rolls back, until the Service had changed."""
        made, people = self.made, self.made.discord.people
        rtt = made.ports[1].rtt
        # It was taken back before, and is wanted all the same.
        asking = partial(people["ann"].slash, made.channel, "deploy", app=name, image="green", replace=True)
        while "try again in" in (await asking()).text:  # noqa: ASYNC110 - as it says
            await asyncio.sleep(1)
        ballot = await made.ballot(name)
        await people["kim"].react(ballot, APPROVE)
        await self._settled()
        voted = self._now()
        await people["leo"].react(ballot, APPROVE)
        switched = await self._seen.switched(name, "active", voted)
        form = await people["sam"].click(await made.card(name, "🟢"), "Roll back")
        await self._settled()
        pressed = self._now()
        submitting = asyncio.create_task(people["sam"].submit_modal(form, reason="too slow"))
        home = await self._seen.switched(name, "active", pressed)
        await submitting
        await made.card(name, "🟠")
        # What people do is on its own way to the bot for half of a round trip.
        return switched - voted - rtt / 2, home - pressed - rtt / 2

    async def _settled(self) -> None:
        await self.made.quiet()
        await self._seen.quiet(SETTLED)

    async def _previewing(self, namespace: str, number: int) -> None:
        """A new version is up and waits for its promotion."""
        path = _rollout(namespace)
        # Every version has a hash of its own: one whose pods are still there would be live without a pause.
        note = {"metadata": {"annotations": {"bench": f"{number}-{self._now()}"}}}
        written = await self._patch(path, {"spec": {"template": note}}, "application/merge-patch+json")

        def waits(rollout: Json) -> bool:
            status, generation = rollout.get("status") or {}, rollout["metadata"]["generation"]
            observed = status.get("observedGeneration") == str(generation)
            new = status.get("currentPodHash") != status.get("stableRS")
            asked: int = written["metadata"]["generation"]
            return observed and new and generation >= asked and bool(status.get("pauseConditions"))

        await self._seen.rollout(namespace, waits)
        await self._settled()

    async def _promoted(self, namespace: str, began: float) -> float:
        try:
            return await self._seen.switched(namespace, "active", began, within=LOST_AFTER) - began
        except TimeoutError:
            note = {"metadata": {"annotations": {"nudged": f"{began}"}}}
            await self._patch(_rollout(namespace), note, "application/merge-patch+json")
        return await self._seen.switched(namespace, "active", began) - began

    async def _patch(self, path: str, patch: Json | list[Json], form: str = "application/json-patch+json") -> Json:
        headers = {"Content-Type": form}
        async with self.made.http.patch(path, data=json.dumps(patch), headers=headers) as answer:
            found: Json = await answer.json()
            return found


def _rollout(namespace: str) -> str:
    return f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/web"


@asynccontextmanager
async def _cluster(registry: Registry) -> AsyncIterator[Json]:
    async with process("tests/cluster/serve.py", json.dumps(registry.digests)) as said:
        if "kubeconfig" not in said:
            raise NotBuilt
        async with session(said["kubeconfig"]) as api:
            await _install(api, f"{registry.host}/mochi:blue")
        yield said


async def _install(api: aiohttp.ClientSession, image: str) -> None:
    """All apps, each live in the namespace of its name."""
    rollouts = {name: _on_argo(name, image) for name in (*ARGO, PLUGIN, STATUS)}
    apps = rollouts | {name: app(name, image) for name in NATIVE}
    apps[SERVICE] = [service(SERVICE, "active", {"color": "blue"})]
    for name, objects in apps.items():
        await _create(api, "/api/v1/namespaces", {"metadata": {"name": name}})
        for each in objects:
            root = "api" if each["apiVersion"] == "v1" else "apis"
            path = f"/{root}/{each['apiVersion']}/namespaces/{name}/{each['kind'].lower()}s"
            await _create(api, path, each)
    live = [*(f"/apis/apps/v1/namespaces/{name}/deployments/blue" for name in NATIVE), *map(_rollout, rollouts)]
    async with asyncio.timeout(PATIENCE):
        for path in live:
            while not (await _get(api, path)).get("status", {}).get("availableReplicas"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # nothing is watched yet


def _on_argo(name: str, image: str) -> list[Json]:
    labels = {"app": "web"}
    containers = [{"name": "main", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]
    spec = {
        "replicas": 1,
        "revisionHistoryLimit": 2,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        "strategy": {
            "blueGreen": {"activeService": "active", "previewService": "preview", "autoPromotionEnabled": False}
        },
    }
    metadata = {"name": "web", "namespace": name}
    rollout = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": metadata, "spec": spec}
    return [service(name, "active", labels), service(name, "preview", labels), rollout]


async def _create(api: aiohttp.ClientSession, path: str, item: Json) -> None:
    async with api.post(path, json=item):
        pass


async def _get(api: aiohttp.ClientSession, path: str) -> Json:
    async with api.get(path) as answer:
        found: Json = await answer.json()
        return found
