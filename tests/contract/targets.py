"""The two clusters that the contract is held against: the sandbox over HTTP, and the real control plane.

A target is one fresh namespace with its administrator's session; the bot gets a kubeconfig of its own, with exactly
the rights of the shipped Role. What differs between the two stands here and nowhere else.
"""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import aiohttp
import role

import mochi
from control_plane import ControlPlane
from pod_maker import PodMaker
from rollouts import Rollouts
from sandbox.cluster import INSTANT, Behaviour, Cluster, wall_clock

Json = dict[str, Any]

SLOW = 1.0
"""Seconds until a pod of the image `slow` is ready."""
NEVER = 86400.0
"""Seconds that no test lasts."""
NEXT_CRASH = 11
"""Seconds between the first and the second restart of a crashing container in the sandbox."""


class Target(Protocol):
    name: str
    namespace: str
    session: aiohttp.ClientSession
    """The administrator's; paths are relative to the API server."""

    async def apply(self, objects: list[Json]) -> None:
        """Create what is not there yet."""

    async def kubeconfig(self, rules: list[Json]) -> Json:
        """For a bot that may do what these rules of a Role say, in the target's namespace."""

    def asked(self) -> frozenset[role.Right]:
        """All that bots with such a kubeconfig have tried up to now, allowed or not."""

    def admin_kubeconfig(self) -> Json:
        """For whoever runs `greenlight init` and kubectl."""

    async def restrict(self, rules: list[Json]) -> None:
        """Whoever has the newest kubeconfig may do what these rules say from now on (or a moment later)."""

    def knows(self, digests: dict[str, str]) -> None:
        """Pods of an image with such a digest do what the tag does that it stands for."""

    def crash_again(self) -> None:
        """The pods that have crashed once do it a second time, without anybody waiting for the back-off."""

    async def probe(self, pod: str, *, passes: bool) -> None:
        """This pod fails its readiness probe from now on, or passes it again."""

    async def restart(self, pod: str, times: int) -> None:
        """The containers of this pod have ended so often, and run again."""

    async def restart_api_server(self) -> None:
        """Connections break, and what was watched can only be watched again from now on."""


class Sandbox:
    name = "sandbox"

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._digests: dict[str, str] = {}
        behaviours = {**INSTANT, "slow": Behaviour(ready_after=SLOW), "never": Behaviour(ready_after=NEVER)}
        self.cluster = Cluster(now=wall_clock, behaviours=behaviours, digests=self._digests)
        self._users = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Sandbox"]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.cluster.stop)
            await self.cluster.start()
            self.session = await stack.enter_async_context(_session(self.cluster.url, self.cluster.token))
            await self.apply([_namespace(self.namespace)])
            yield self

    async def apply(self, objects: list[Json]) -> None:
        await mochi.apply(self.cluster.url, self.cluster.token, objects)

    async def kubeconfig(self, rules: list[Json]) -> Json:
        self._users += 1
        user, token = self._newest, secrets.token_hex(8)
        self.cluster.access.tokens[token] = user
        self.cluster.access.restrict(user, rules, self.namespace)
        made = self.cluster.kubeconfig()
        made["users"][0]["user"]["token"] = token
        return made

    def asked(self) -> frozenset[role.Right]:
        tried = (attempt for user, attempt in self.cluster.server.asked if user.startswith("system:serviceaccount:"))
        return frozenset(role.Right(each.verb, each.kind.group, each.resource, each.name) for each in tried)

    def admin_kubeconfig(self) -> Json:
        return self.cluster.kubeconfig()

    async def restrict(self, rules: list[Json]) -> None:
        self.cluster.access.reset(self._newest)
        self.cluster.access.restrict(self._newest, rules, self.namespace)

    @property
    def _newest(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{role.NAME}-{self._users}"

    def knows(self, digests: dict[str, str]) -> None:
        self._digests.update(digests)

    def crash_again(self) -> None:
        self.cluster.advance(NEXT_CRASH)

    async def probe(self, pod: str, *, passes: bool) -> None:
        self.cluster.kubelet.probe(self.namespace, pod, passes=passes)

    async def restart(self, pod: str, times: int) -> None:
        for _ in range(times):
            self.cluster.kubelet.restart(self.namespace, pod)

    async def restart_api_server(self) -> None:
        # No client gets a turn between these two.
        self.cluster.server.drop_watches()
        self.cluster.objects.compact()


class RolloutController(Protocol):
    """Argo's own, as a test may treat it."""

    async def freeze(self) -> None:
        """It stands still from now on, between two of its passes; what happens meanwhile waits for it."""

    def thaw(self) -> None:
        """It goes on, with all that it has missed; does nothing to one that runs."""

    def kill(self) -> None:
        """It is gone, with all that it knew."""

    async def start(self) -> None:
        """Another one, that knows nothing but what it now reads."""


class SandboxRollouts:
    def __init__(self, target: Sandbox) -> None:
        self._rollouts = target.cluster.rollouts

    async def freeze(self) -> None:
        self._rollouts.stop()

    def thaw(self) -> None:
        self._rollouts.resume()

    def kill(self) -> None:
        self._rollouts.stop()

    async def start(self) -> None:
        self._rollouts.restart()


class RealRollouts:
    def __init__(self, rollouts: Rollouts, namespace: str) -> None:
        self._rollouts = rollouts
        self._namespace = namespace

    async def freeze(self) -> None:
        # In the middle of a pass it would forget, after that, what others have written meanwhile.
        async with asyncio.timeout(20):
            before = None
            while before != (now := self._rollouts.passes(self._namespace)) or now.begun != now.completed:
                before = now
                await asyncio.sleep(0.3)  # what it is at only its log tells
        self._rollouts.freeze()

    def thaw(self) -> None:
        self._rollouts.thaw()

    def kill(self) -> None:
        self._rollouts.kill()

    async def start(self) -> None:
        await asyncio.to_thread(self._rollouts.start)  # the bot goes on meanwhile


@asynccontextmanager
async def dead(controller: RolloutController) -> AsyncIterator[None]:
    """There is another one afterwards."""
    controller.kill()
    try:
        yield
    finally:
        await controller.start()


@asynccontextmanager
async def frozen(controller: RolloutController) -> AsyncIterator[None]:
    await controller.freeze()
    try:
        yield
    finally:
        controller.thaw()


class Real:
    name = "real"

    def __init__(self, namespace: str, plane: ControlPlane, maker: PodMaker) -> None:
        self.namespace = namespace
        self.plane = plane
        self.user = f"system:serviceaccount:{namespace}:{role.NAME}"
        self._maker = maker

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Real"]:
        async with _session(self.plane.url, self.plane.admin_token, self.plane.ssl_context) as self.session:
            await self.apply([_namespace(self.namespace)])
            yield self
            async with self.session.delete(f"/api/v1/namespaces/{self.namespace}", raise_for_status=True):
                pass
        self._maker.check()

    async def apply(self, objects: list[Json]) -> None:
        await mochi.apply(self.plane.url, self.plane.admin_token, objects, ssl_context=self.plane.ssl_context)

    async def kubeconfig(self, rules: list[Json]) -> Json:
        await self.apply(role.manifests(self.namespace, rules))
        token = self.plane.token_for(self.namespace, role.NAME)
        async with _session(self.plane.url, token, self.plane.ssl_context) as session:
            # The API server learns of a Role a moment after it has stored it.
            while not await self._may(session, rules[-1]):
                pass
        return self.plane.kubeconfig(token, namespace=self.namespace)

    def asked(self) -> frozenset[role.Right]:
        # Nothing that everybody may do, as asking for the version or for what one may do.
        tried = [event["objectRef"] | {"verb": event["verb"]} for event in self._asked() if "objectRef" in event]
        return frozenset(
            role.Right(each["verb"], each.get("apiGroup", ""), _resource(each), each.get("name", ""))
            for each in tried
            if each.get("apiGroup") != "authorization.k8s.io"
        )

    def _asked(self) -> list[Json]:
        return self.plane.asked_by(self.user)

    def admin_kubeconfig(self) -> Json:
        return self.plane.kubeconfig(self.plane.admin_token)

    async def restrict(self, rules: list[Json]) -> None:
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}/roles/{role.NAME}"
        headers = {"Content-Type": "application/merge-patch+json"}
        async with self.session.patch(path, json={"rules": rules}, headers=headers, raise_for_status=True):
            pass

    def knows(self, digests: dict[str, str]) -> None:
        self._maker.digests.update(digests)

    def crash_again(self) -> None:
        """Its pod maker lets them crash twice a second by itself."""

    async def probe(self, pod: str, *, passes: bool) -> None:
        conditions = [{"type": kind, "status": str(passes)} for kind in ("Ready", "ContainersReady")]
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/status"
        headers = {"Content-Type": "application/strategic-merge-patch+json"}
        body = {"status": {"conditions": conditions}}
        async with self.session.patch(path, json=body, headers=headers, raise_for_status=True):
            pass

    async def restart(self, pod: str, times: int) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}"
        async with self.session.get(path, raise_for_status=True) as answer:
            statuses = (await answer.json())["status"]["containerStatuses"]
        body = {"status": {"containerStatuses": [{**each, "restartCount": times} for each in statuses]}}
        headers = {"Content-Type": "application/merge-patch+json"}
        async with self.session.patch(f"{path}/status", json=body, headers=headers, raise_for_status=True):
            pass

    async def restart_api_server(self) -> None:
        await asyncio.to_thread(self.plane.restart_api_server)  # the bot must see its connections go

    async def _may(self, session: aiohttp.ClientSession, rule: Json) -> bool:
        wanted = {"namespace": self.namespace, "verb": rule["verbs"][0]}
        wanted |= {"group": rule["apiGroups"][0], "resource": rule["resources"][0]}
        wanted["name"] = rule.get("resourceNames", [""])[0]
        review = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
        body = review | {"spec": {"resourceAttributes": wanted}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        async with session.post(path, json=body, raise_for_status=True) as answer:
            return bool((await answer.json())["status"]["allowed"])


def _resource(reference: Json) -> str:
    return "/".join(filter(None, (reference["resource"], reference.get("subresource", ""))))


def _namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@asynccontextmanager
async def _session(url: str, token: str, trust: ssl.SSLContext | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=trust or True)
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(url, headers=headers, connector=connector, timeout=timeout) as session:
        yield session
