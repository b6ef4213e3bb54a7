"""The API server over HTTP, with an unmodified kubernetes_asyncio as its client."""

import asyncio
import json

import aiohttp
import pytest
from kubernetes_asyncio import client
from kubernetes_asyncio.client.exceptions import ApiException

from sandbox.cluster import Cluster

MERGE = "application/merge-patch+json"


def manifest(name: str = "web", image: str = "r/web:blue", replicas: int = 1) -> dict:
    labels = {"app": name}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": image, "env": [{"name": "A", "value": "1"}]}]},
            },
        },
    }


def service(name: str = "web") -> dict:
    return {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}}


def body(error: pytest.ExceptionInfo[ApiException]) -> dict:
    return json.loads(error.value.body)


async def test_a_deployment_is_made_read_changed_listed_and_deleted(api):
    apps = client.AppsV1Api(api)
    made = await apps.create_namespaced_deployment("mochi", manifest())
    assert (made.metadata.generation, made.spec.strategy.type) == (1, "RollingUpdate")
    # A dict goes out as a strategic merge patch: the variable is found by its name, the image stays.
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "B", "value": "2"}]}]}}}}
    patched = await apps.patch_namespaced_deployment("web", "mochi", change)
    (container,) = patched.spec.template.spec.containers
    assert (container.image, [v.name for v in container.env]) == ("r/web:blue", ["A", "B"])
    listed = await apps.list_deployment_for_all_namespaces(label_selector="app=web")
    assert [item.metadata.name for item in listed.items] == ["web"]
    replaced = await apps.read_namespaced_deployment("web", "mochi")
    replaced.spec.paused = True
    assert (await apps.replace_namespaced_deployment("web", "mochi", replaced)).spec.paused
    deleted = await apps.delete_namespaced_deployment("web", "mochi")
    assert deleted.status == "Success"
    with pytest.raises(ApiException) as error:
        await apps.read_namespaced_deployment("web", "mochi")
    assert (error.value.status, body(error)["reason"]) == (404, "NotFound")


async def test_a_list_patch_goes_out_as_json_patch_and_its_test_can_fail(api):
    core = client.CoreV1Api(api)
    made = await core.create_namespaced_service("mochi", service())
    patch = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": made.metadata.resource_version},
        {"op": "test", "path": "/spec/selector", "value": {"app": "web"}},
        {"op": "replace", "path": "/spec/selector/app", "value": "green"},
    ]
    switched = await core.patch_namespaced_service("web", "mochi", patch)
    assert switched.spec.selector == {"app": "green"}
    with pytest.raises(ApiException) as error:
        await core.patch_namespaced_service("web", "mochi", patch)
    assert (error.value.status, body(error)["reason"]) == (422, "Invalid")


async def test_conflicts_existing_names_and_wrong_types_have_their_codes(api):
    core = client.CoreV1Api(api)
    made = await core.create_namespaced_service("mochi", service())
    with pytest.raises(ApiException) as error:
        await core.create_namespaced_service("mochi", service())
    assert (error.value.status, body(error)["reason"]) == (409, "AlreadyExists")
    await core.patch_namespaced_service("web", "mochi", {"metadata": {"labels": {"a": "b"}}})
    with pytest.raises(ApiException) as error:
        await core.replace_namespaced_service("web", "mochi", made)
    assert (error.value.status, body(error)["reason"]) == (409, "Conflict")
    with pytest.raises(ApiException) as error:
        await core.patch_namespaced_service("web", "mochi", {}, _content_type="application/json")
    assert (error.value.status, body(error)["reason"]) == (415, "UnsupportedMediaType")
    with pytest.raises(ApiException) as error:
        await core.create_namespaced_service("mochi", {"metadata": {"name": "x"}, "spec": {}})
    assert error.value.status == 422
    assert body(error)["details"]["causes"][0]["field"] == "spec.ports"


async def test_a_custom_object_knows_no_strategic_merge(api):
    custom = client.CustomObjectsApi(api)
    where = ("gateway.networking.k8s.io", "v1", "mochi", "httproutes")
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "web"},
        "spec": {"hostnames": ["a.example.com"], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]},
    }
    await custom.create_namespaced_custom_object(*where, route)
    patch = {"spec": {"hostnames": ["b.example.com"]}}
    with pytest.raises(ApiException) as error:
        await custom.patch_namespaced_custom_object(
            *where, "web", patch, _content_type="application/strategic-merge-patch+json"
        )
    assert error.value.status == 415
    with pytest.raises(ApiException) as error:
        await custom.patch_namespaced_custom_object(*where, "web", patch)  # the client sends it as json-patch
    assert error.value.status == 400
    patched = await custom.patch_namespaced_custom_object(*where, "web", patch, _content_type=MERGE)
    assert patched["spec"]["hostnames"] == ["b.example.com"]
    assert (await custom.list_namespaced_custom_object(*where))["items"][0]["kind"] == "HTTPRoute"


async def test_scale_and_status_are_their_own_resources(api):
    apps = client.AppsV1Api(api)
    await apps.create_namespaced_deployment("mochi", manifest())
    scale = await apps.patch_namespaced_deployment_scale("web", "mochi", {"spec": {"replicas": 3}})
    assert (scale.kind, scale.spec.replicas, scale.status.selector) == ("Scale", 3, "app=web")
    status = {"spec": {"replicas": 9}, "status": {"collisionCount": 2}}
    patched = await apps.patch_namespaced_deployment_status("web", "mochi", status)
    assert (patched.spec.replicas, patched.status.collision_count) == (3, 2)


async def test_lists_are_paged(api):
    core = client.CoreV1Api(api)
    for name in "abc":
        await core.create_namespaced_config_map("mochi", {"metadata": {"name": name}})
    first = await core.list_namespaced_config_map("mochi", limit=2)
    assert (len(first.items), first.metadata.remaining_item_count) == (2, 1)
    last = await core.list_namespaced_config_map("mochi", limit=2, _continue=first.metadata._continue)
    assert ([item.metadata.name for item in last.items], last.metadata._continue) == (["c"], None)


async def test_apply_names_its_manager_and_conflicts(api, served):
    core = client.CoreV1Api(api)
    await core.create_namespaced_service("mochi", service(), field_manager="kubectl")
    config = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "x"}},
    }
    apply = {"_content_type": "application/apply-patch+yaml", "field_manager": "greenlight"}
    with pytest.raises(ApiException) as error:
        await core.patch_namespaced_service("web", "mochi", config, **apply)
    assert body(error)["details"]["causes"][0]["message"] == 'conflict with "kubectl" using v1'
    forced = await core.patch_namespaced_service("web", "mochi", config, force=True, **apply)
    assert {(entry.manager, entry.operation) for entry in forced.metadata.managed_fields} == {
        ("kubectl", "Update"),
        ("greenlight", "Apply"),
    }


async def test_an_apply_without_a_manager_is_refused(api):
    core = client.CoreV1Api(api)
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    with pytest.raises(ApiException) as error:
        await core.patch_namespaced_config_map("c", "mochi", config, _content_type="application/apply-patch+yaml")
    assert (error.value.status, body(error)["details"]["causes"][0]["field"]) == (422, "fieldManager")


async def test_only_json_is_taken_as_a_body(served: Cluster):
    headers = {"Authorization": f"Bearer {served.token}"}
    path = "/api/v1/namespaces/mochi/configmaps"
    async with aiohttp.ClientSession(served.url, headers=headers) as session:
        for content, text, status in (
            ("text/plain", "x", 415),
            ("application/vnd.kubernetes.protobuf", "x", 415),
            ("application/json", "{not json", 400),
        ):
            async with session.post(path, data=text, headers={"Content-Type": content}) as answer:
                assert answer.status == status
        for method, where, status in (
            ("PUT", path, 405),
            ("POST", f"{path}/c", 405),
            ("GET", f"{path}/c/nothing", 404),
            ("GET", "/nothing", 404),
            ("GET", f"{path}?limit=many", 400),
            ("GET", f"{path}?resourceVersion=999999", 504),
        ):
            async with session.request(method, where, json={}) as answer:
                assert (answer.status, where) == (status, where)


async def test_what_kubectl_asks_before_it_applies_is_answered(served: Cluster):
    headers = {"Authorization": f"Bearer {served.token}"}
    async with aiohttp.ClientSession(served.url, headers=headers, raise_for_status=True) as session:
        async with session.get("/openapi/v3") as answer:
            roots = (await answer.json())["paths"]
        async with session.get(roots["apis/apps/v1"]["serverRelativeURL"]) as answer:
            patch = (await answer.json())["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
        assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
        for path in ("/api", "/api/v1", "/apis/apps", "/apis/authorization.k8s.io/v1"):
            async with session.get(path) as answer:
                assert (await answer.json())["kind"] in {"APIVersions", "APIResourceList", "APIGroup"}


async def test_a_writer_without_a_manager_goes_by_its_user_agent(api, served):
    await client.CoreV1Api(api).create_namespaced_service("mochi", service())
    (entry,) = served.objects.get("services", "mochi", "web")["metadata"]["managedFields"]
    assert entry["manager"] == "OpenAPI-Generator"


async def test_without_a_known_token_nobody_gets_in(served: Cluster):
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            async with session.get(f"{served.url}/api/v1/pods", headers=headers) as answer:
                assert (answer.status, (await answer.json())["reason"]) == (401, "Unauthorized")


async def test_a_restricted_user_gets_403_beyond_its_role(api, served: Cluster):
    served.access.tokens["t"] = "bot"
    rules = [
        {"apiGroups": [""], "resources": ["services"], "resourceNames": ["web"], "verbs": ["get", "patch"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "watch"]},
    ]
    served.access.restrict("bot", rules, "mochi")
    for name in ("web", "other"):
        served.objects.create("services", "mochi", service(name))
    settings = client.Configuration(host=served.url)
    settings.api_key["BearerToken"] = "Bearer t"
    async with client.ApiClient(settings) as restricted:
        core = client.CoreV1Api(restricted)
        await core.patch_namespaced_service("web", "mochi", {"metadata": {"labels": {"a": "b"}}})
        await client.AppsV1Api(restricted).list_namespaced_deployment("mochi")
        with pytest.raises(ApiException) as error:
            await core.patch_namespaced_service("other", "mochi", {"metadata": {"labels": {"a": "b"}}})
        assert error.value.status == 403
        assert body(error)["message"] == (
            'services "other" is forbidden: User "bot" cannot patch resource "services" in API group "" '
            'in the namespace "mochi"'
        )
        reviews = client.AuthorizationV1Api(restricted)
        for name, allowed in (("web", True), ("other", False)):
            attributes = {"namespace": "mochi", "verb": "patch", "resource": "services", "name": name}
            asked = {"spec": {"resourceAttributes": attributes}}
            answer = await reviews.create_self_subject_access_review(asked)
            assert answer.status.allowed is allowed
        listed = await reviews.create_self_subject_rules_review({"spec": {"namespace": "mochi"}})
        assert {name for rule in listed.status.resource_rules for name in rule.resources} == {
            "services",
            "deployments",
        }


async def test_a_denied_verb_is_refused_until_it_is_permitted(api, served: Cluster):
    core = client.CoreV1Api(api)
    await core.create_namespaced_service("mochi", service())
    served.access.deny("patch", "services", "web")
    with pytest.raises(ApiException) as error:
        await core.patch_namespaced_service("web", "mochi", {"metadata": {"labels": {"a": "b"}}})
    assert (error.value.status, body(error)["reason"]) == (403, "Forbidden")
    served.access.permit()
    await core.patch_namespaced_service("web", "mochi", {"metadata": {"labels": {"a": "b"}}})


async def test_dry_run_over_http_changes_nothing(api, served: Cluster):
    core = client.CoreV1Api(api)
    await core.create_namespaced_service("mochi", service())
    version = served.objects.get("services", "mochi", "web")["metadata"]["resourceVersion"]
    await core.patch_namespaced_service("web", "mochi", {"spec": {"selector": {"x": "y"}}}, dry_run="All")
    await core.create_namespaced_service("mochi", service("other"), dry_run="All")
    assert served.objects.get("services", "mochi", "web")["metadata"]["resourceVersion"] == version
    assert len(served.objects.items("services")) == 1


async def test_every_write_is_logged(api, served: Cluster):
    core = client.CoreV1Api(api)
    await core.create_namespaced_service("mochi", service())
    await core.read_namespaced_service("web", "mochi")
    patch = [{"op": "test", "path": "/spec/type", "value": "no"}]
    with pytest.raises(ApiException):
        await core.patch_namespaced_service("web", "mochi", patch)
    assert [(w.method, w.path, w.status, w.user) for w in served.server.writes] == [
        ("POST", "/api/v1/namespaces/mochi/services", 201, "admin"),
        ("PATCH", "/api/v1/namespaces/mochi/services/web", 422, "admin"),
    ]
    last = served.server.writes[-1]
    assert (last.content_type, last.json()[0]["op"]) == ("application/json-patch+json", "test")
    assert last.user_agent.startswith("OpenAPI-Generator/")


async def test_discovery_tells_what_is_there(api, served: Cluster):
    assert (await client.VersionApi(api).get_code()).minor == "34"
    groups = await client.ApisApi(api).get_api_versions()
    assert {"apps", "discovery.k8s.io", "gateway.networking.k8s.io"} <= {group.name for group in groups.groups}
    listed = await client.AppsV1Api(api).get_api_resources()
    names = {resource.name for resource in listed.resources}
    assert {"deployments", "deployments/status", "deployments/scale", "replicasets"} <= names
    async with aiohttp.ClientSession() as session, session.get(f"{served.url}/apis/none/v1/things") as answer:
        assert answer.status == 401  # even to learn that there is nothing one has to be somebody


async def test_what_was_applied_can_be_lost_on_the_way_back(api, served: Cluster):
    core = client.CoreV1Api(api)
    await core.create_namespaced_service("mochi", service())
    served.server.faults.lose_answer("PATCH", "services/web", times=2)  # aiohttp asks again on a kept connection
    with pytest.raises(aiohttp.ClientError):
        await core.patch_namespaced_service("web", "mochi", {"spec": {"selector": {"app": "green"}}})
    assert served.objects.get("services", "mochi", "web")["spec"]["selector"] == {"app": "green"}
    assert served.server.writes[-1].status == 0


async def test_a_reset_request_was_never_applied(api, served: Cluster):
    core = client.CoreV1Api(api)
    await core.create_namespaced_service("mochi", service())
    served.server.faults.reset("PATCH", times=2)
    with pytest.raises(aiohttp.ClientError):
        await core.patch_namespaced_service("web", "mochi", {"spec": {"selector": {"app": "green"}}})
    assert served.objects.get("services", "mochi", "web")["spec"]["selector"] == {"app": "web"}


async def test_a_write_that_has_arrived_is_done_though_nobody_waits_for_it(api, served: Cluster):
    """The worst case of a time-out: it was not too late at all, only slow."""
    core = client.CoreV1Api(api)
    await core.create_namespaced_service("mochi", service())
    held = served.server.faults.hold("PATCH")
    with pytest.raises(TimeoutError):
        await core.patch_namespaced_service(
            "web", "mochi", {"spec": {"selector": {"app": "green"}}}, _request_timeout=0.05
        )
    await core.list_namespaced_service("mochi")  # by now the server knows that the first connection is gone
    assert served.objects.get("services", "mochi", "web")["spec"]["selector"] == {"app": "web"}
    applied = asyncio.Event()
    served.objects.subscribe(lambda change: applied.set() if change.plural == "services" else None)
    held.released.set()
    await asyncio.wait_for(applied.wait(), 5)
    assert served.objects.get("services", "mochi", "web")["spec"]["selector"] == {"app": "green"}


async def test_faults_answer_hold_stay_silent_and_truncate(api, served: Cluster):
    core = client.CoreV1Api(api)
    faults = served.server.faults
    faults.answer(503, "GET", "configmaps")
    with pytest.raises(ApiException) as error:
        await core.list_namespaced_config_map("mochi")
    assert error.value.status == 503
    await core.list_namespaced_config_map("mochi")  # a fault is used up

    held = faults.hold("GET", "configmaps")
    asked = asyncio.create_task(core.list_namespaced_config_map("mochi"))
    await asyncio.wait_for(held.met.wait(), 5)
    assert not asked.done()
    held.released.set()
    assert (await asyncio.wait_for(asked, 5)).items is not None

    faults.silence("GET", "configmaps")
    with pytest.raises(TimeoutError):
        await core.list_namespaced_config_map("mochi", _request_timeout=0.05)

    faults.truncate("GET", "configmaps", times=2)
    with pytest.raises(aiohttp.ClientPayloadError):
        await core.list_namespaced_config_map("mochi")


async def test_stopping_ends_what_is_silent_or_slow(served: Cluster):
    faults = [served.server.faults.silence("GET"), served.server.faults.delay(3600, "DELETE")]
    headers = {"Authorization": f"Bearer {served.token}"}
    async with aiohttp.ClientSession(f"{served.url}", headers=headers) as session:
        asked = [
            asyncio.create_task(session.get("/version")),
            asyncio.create_task(session.delete("/api/v1/namespaces/mochi")),
        ]
        for fault in faults:
            await asyncio.wait_for(fault.met.wait(), 5)
        await asyncio.wait_for(served.stop(), 5)
        for each in asked:
            with pytest.raises(aiohttp.ClientError):
                await asyncio.wait_for(each, 5)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert served.objects.get("namespaces", "", "mochi")["status"]["phase"] == "Active"
