"""What Greenlight builds on, as the real API server and controllers do it."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

import aiohttp
import pytest

import mochi
from control_plane import ControlPlane
from pod_maker import PodMaker
from watching import event_stream, until

Json = dict[str, Any]
BLUE, GREEN = "registry.example.com/mochi:blue", "registry.example.com/mochi:green"
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def app(control_plane: ControlPlane, namespace: str) -> str:
    """The namespace in which mochi runs: blue live with two pods."""
    objects = mochi.mochi(namespace, live_image=BLUE)
    await mochi.apply(control_plane.url, control_plane.admin_token, objects, ssl_context=control_plane.ssl_context)
    return namespace


def core(namespace: str, rest: str) -> str:
    return f"/api/v1/namespaces/{namespace}/{rest}"


def deployments(namespace: str, name: str = "") -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments" + (f"/{name}" if name else "")


def available(replicas: int):
    def holds(items: list[Json]) -> bool:
        status = items[0]["status"]
        return (
            status.get("availableReplicas", 0) == replicas
            and status.get("observedGeneration") == items[0]["metadata"]["generation"]
        )

    return holds


def ready_pods(slices: list[Json]) -> set[str]:
    return {
        endpoint["targetRef"]["name"]
        for each in slices
        for endpoint in each["endpoints"] or ()
        if endpoint["conditions"]["ready"]
    }


async def slices_serve(api: aiohttp.ClientSession, namespace: str, service: str, count: int) -> set[str]:
    """The names of the ready pods behind a Service, once there are `count`."""
    found = await until(
        api,
        f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
        lambda items: len(ready_pods(items)) == count,
        labelSelector=f"kubernetes.io/service-name={service}",
    )
    return ready_pods(found)


async def pods_until(api: aiohttp.ClientSession, namespace: str, color: str, holds) -> list[Json]:
    return await until(api, core(namespace, "pods"), holds, labelSelector=f"color={color}")


async def run_green(api: aiohttp.ClientSession, namespace: str, image: str, replicas: int = 1) -> None:
    container = {"name": "myapp", "image": image}
    patch = {"spec": {"replicas": replicas, "template": {"spec": {"containers": [container]}}}}
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    path = deployments(namespace, mochi.IDLE)
    async with api.patch(path, data=json.dumps(patch), headers=headers, raise_for_status=True):
        pass


async def patched(api: aiohttp.ClientSession, path: str, patch: Any, headers: dict[str, str]) -> tuple[int, Json]:
    async with api.patch(path, data=json.dumps(patch), headers=headers) as answer:
        return answer.status, await answer.json()


async def test_a_deployment_becomes_available_and_its_service_lists_its_ready_pods(api, app):
    await until(api, deployments(app), available(2), fieldSelector=f"metadata.name={mochi.LIVE}")
    serving = await slices_serve(api, app, mochi.ACTIVE, 2)
    assert all(name.startswith(mochi.LIVE) for name in serving)
    assert await slices_serve(api, app, mochi.PREVIEW, 0) == set()


async def test_every_pod_has_an_address_of_its_own_and_reports_the_digest_it_runs(api, app, pod_maker: PodMaker):
    digest = "sha256:" + "ab" * 32
    pod_maker.digests[digest] = "green"
    await run_green(api, app, f"registry.example.com/mochi@{digest}", replicas=2)
    await slices_serve(api, app, mochi.PREVIEW, 2)
    async with api.get(core(app, "pods"), raise_for_status=True) as answer:
        pods = (await answer.json())["items"]
    assert len({pod["status"]["podIP"] for pod in pods}) == len(pods) == 4
    green = [pod for pod in pods if pod["metadata"]["labels"]["color"] == "green"]
    assert {pod["status"]["containerStatuses"][0]["imageID"] for pod in green} == {
        f"registry.example.com/mochi@{digest}"
    }


async def test_a_changed_selector_moves_the_endpoints_to_the_other_pods(api, app):
    await run_green(api, app, GREEN, replicas=2)
    blue = await slices_serve(api, app, mochi.ACTIVE, 4)  # {app: mochi} matches both colours
    selector = {"app": "mochi", "color": "green"}
    patch = [
        {"op": "test", "path": "/spec/selector", "value": {"app": "mochi"}},
        {"op": "replace", "path": "/spec/selector", "value": selector},
    ]
    status, service = await patched(api, core(app, f"services/{mochi.ACTIVE}"), patch, JSON_PATCH)
    assert (status, service["spec"]["selector"]) == (HTTPStatus.OK, selector)
    serving = await slices_serve(api, app, mochi.ACTIVE, 2)
    assert serving < blue
    assert all(name.startswith(mochi.IDLE) for name in serving)


async def test_a_json_patch_whose_test_fails_changes_nothing_and_is_answered_422(api, app):
    path = core(app, f"services/{mochi.ACTIVE}")
    patch = [
        {"op": "test", "path": "/spec/selector/app", "value": "other"},
        {"op": "replace", "path": "/spec/selector/app", "value": "stolen"},
    ]
    status, answer = await patched(api, path, patch, JSON_PATCH)
    assert (status, answer["reason"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid")
    async with api.get(path, raise_for_status=True) as reply:
        assert (await reply.json())["spec"]["selector"] == {"app": "mochi"}


async def test_a_write_that_names_a_stale_resource_version_is_answered_409(api, app):
    path = core(app, f"services/{mochi.ACTIVE}")
    async with api.get(path, raise_for_status=True) as reply:
        stale = (await reply.json())["metadata"]["resourceVersion"]
    status, _ = await patched(api, path, {"metadata": {"annotations": {"a": "1"}}}, MERGE_PATCH)
    assert status == HTTPStatus.OK
    late = {"metadata": {"resourceVersion": stale, "annotations": {"a": "2"}}}
    status, answer = await patched(api, path, late, MERGE_PATCH)
    assert (status, answer["reason"]) == (HTTPStatus.CONFLICT, "Conflict")


async def test_a_role_that_names_one_service_opens_that_service_only(api, control_plane: ControlPlane, app):
    token = await bot_token(control_plane, app)
    as_bot = {"Authorization": f"Bearer {token}"} | MERGE_PATCH
    patch = {"metadata": {"annotations": {"greenlight.dev/actor": "kim"}}}
    status, _ = await patched(api, core(app, f"services/{mochi.ACTIVE}"), patch, as_bot)
    assert status == HTTPStatus.OK
    status, answer = await patched(api, core(app, f"services/{mochi.PREVIEW}"), patch, as_bot)
    assert (status, answer["reason"]) == (HTTPStatus.FORBIDDEN, "Forbidden")


async def bot_token(control_plane: ControlPlane, namespace: str) -> str:
    """Of a ServiceAccount that may get and patch the active Service and nothing else."""
    named = {"metadata": {"name": "greenlight", "namespace": namespace}}
    rule = {"apiGroups": [""], "resources": ["services"], "resourceNames": [mochi.ACTIVE], "verbs": ["get", "patch"]}
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "greenlight", "namespace": namespace}
    reference = {"apiGroup": group, "kind": "Role", "name": "greenlight"}
    objects = [
        {"apiVersion": "v1", "kind": "ServiceAccount"} | named,
        {"apiVersion": f"{group}/v1", "kind": "Role", "rules": [rule]} | named,
        {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "subjects": [subject], "roleRef": reference} | named,
    ]
    url, admin = control_plane.url, control_plane.admin_token
    await mochi.apply(url, admin, objects, ssl_context=control_plane.ssl_context)
    return control_plane.token_for(namespace, "greenlight")


async def first_event(api: aiohttp.ClientSession, path: str, version: str) -> Json:
    async with event_stream(api, path, {"watch": "true", "resourceVersion": version}, silence=15) as lines:
        return json.loads(await lines.readline())


async def test_a_watch_from_a_compacted_revision_is_told_410(api, control_plane: ControlPlane, app):
    """Events, because they alone are watched in etcd itself: of all else the API server remembers more than etcd."""
    assert control_plane.compact() > 1
    event = await first_event(api, core(app, "events"), "1")
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (HTTPStatus.GONE, "Expired")


async def test_a_watch_from_before_the_api_server_was_restarted_is_told_410(api, control_plane: ControlPlane, app):
    """What a long-lived client meets in an upgrade of the control plane."""
    async with api.get(core(app, "services"), raise_for_status=True) as answer:
        before = (await answer.json())["metadata"]["resourceVersion"]
    missed = {"metadata": {"annotations": {"a": "1"}}}  # without anything missed, the old revision would still do
    status, _ = await patched(api, core(app, f"services/{mochi.ACTIVE}"), missed, MERGE_PATCH)
    assert status == HTTPStatus.OK
    await asyncio.to_thread(control_plane.restart_api_server)  # our own connections must see it go
    event = await first_event(api, core(app, "services"), before)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (HTTPStatus.GONE, "Expired")


async def test_a_crashing_image_is_never_ready_and_counts_its_restarts(api, app):
    await run_green(api, app, "registry.example.com/mochi:crash")

    def restarted_twice(pods: list[Json]) -> bool:
        states = [state for pod in pods for state in pod["status"].get("containerStatuses", ())]
        assert not any(state["ready"] for state in states)
        return any(s["restartCount"] >= 2 and "waiting" in s["state"] for s in states)

    [pod] = await pods_until(api, app, "green", restarted_twice)
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert await slices_serve(api, app, mochi.PREVIEW, 0) == set()


async def test_an_image_that_cannot_be_pulled_says_so_and_stays_pending(api, app):
    await run_green(api, app, "registry.example.com/mochi:nopull")

    def backs_off(pods: list[Json]) -> bool:
        states = [state["state"] for pod in pods for state in pod["status"].get("containerStatuses", ())]
        return any(state.get("waiting", {}).get("reason") == "ImagePullBackOff" for state in states)

    [pod] = await pods_until(api, app, "green", backs_off)
    assert pod["status"]["phase"] == "Pending"


async def test_a_slow_image_runs_before_it_is_ready(api, app):
    await run_green(api, app, "registry.example.com/mochi:slow")
    seen: list[tuple[str, str]] = []

    def is_ready(pods: list[Json]) -> bool:
        for pod in pods:
            ready = {c["type"]: c["status"] for c in pod["status"].get("conditions", ())}.get("Ready", "")
            seen.append((pod["status"]["phase"], ready))
        return ("Running", "True") in seen

    await pods_until(api, app, "green", is_ready)
    assert ("Running", "False") in seen


async def test_pods_that_are_scaled_away_disappear(api, app):
    await slices_serve(api, app, mochi.ACTIVE, 2)
    status, _ = await patched(api, f"{deployments(app, mochi.LIVE)}/scale", {"spec": {"replicas": 0}}, MERGE_PATCH)
    assert status == HTTPStatus.OK
    await pods_until(api, app, "blue", lambda pods: not pods)
    assert await slices_serve(api, app, mochi.ACTIVE, 0) == set()


async def test_a_job_ends_as_its_image_says(api, control_plane: ControlPlane, namespace: str):
    def job(name: str, tag: str) -> Json:
        container = {"name": "check", "image": f"registry.example.com/check:{tag}"}
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        metadata = {"name": name, "namespace": namespace}
        spec = {"backoffLimit": 0, "template": template}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}

    objects = [job("good", "v1"), job("bad", "crash")]
    url, admin = control_plane.url, control_plane.admin_token
    await mochi.apply(url, admin, objects, ssl_context=control_plane.ssl_context)

    def outcomes(jobs: list[Json]) -> dict[str, set[str]]:
        return {
            each["metadata"]["name"]: {c["type"] for c in each["status"].get("conditions", ()) if c["status"] == "True"}
            for each in jobs
        }

    jobs = await until(
        api,
        f"/apis/batch/v1/namespaces/{namespace}/jobs",
        lambda jobs: all({"Complete", "Failed"} & found for found in outcomes(jobs).values()),
    )
    assert "Complete" in outcomes(jobs)["good"]
    assert "Failed" in outcomes(jobs)["bad"]


async def test_the_pod_maker_goes_on_after_the_api_server_was_restarted(api, control_plane: ControlPlane, app):
    await slices_serve(api, app, mochi.ACTIVE, 2)
    await asyncio.to_thread(control_plane.restart_api_server)  # our own connections must see it go
    await run_green(api, app, GREEN)
    await slices_serve(api, app, mochi.PREVIEW, 1)


def test_a_pod_maker_that_is_not_let_in_says_so_at_once(control_plane: ControlPlane):
    stranger = PodMaker(control_plane.url, "wrong", control_plane.ssl_context)
    with pytest.raises(ExceptionGroup) as raised:
        stranger.start()
    assert raised.group_contains(aiohttp.ClientResponseError, match="401")
