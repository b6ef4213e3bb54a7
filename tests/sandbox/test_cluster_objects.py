"""The API server's rules, in process. The answers were compared with those of kube-apiserver 1.34."""

from datetime import UTC, datetime

import pytest

from sandbox.cluster import ApiError, Cluster, Objects, PatchType


def deployment(name: str = "web", **spec) -> dict:
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "r/web:blue"}]},
            },
            **spec,
        },
    }


def service(name: str = "web", **selector) -> dict:
    return {
        "metadata": {"name": name},
        "spec": {"selector": selector or {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }


@pytest.fixture
def objects(cluster: Cluster) -> Objects:
    return cluster.objects


def refusal(error: pytest.ExceptionInfo[ApiError]) -> tuple[int, str]:
    return error.value.status, error.value.reason


def test_resource_versions_grow_over_all_objects(objects):
    one = objects.create("services", "mochi", service("a"))
    other = objects.create("configmaps", "mochi", {"metadata": {"name": "b"}})
    again = objects.patch("services", "mochi", "a", {"metadata": {"labels": {"x": "y"}}})
    versions = [int(item["metadata"]["resourceVersion"]) for item in (one, other, again)]
    assert versions == sorted(set(versions))


def test_a_write_that_changes_nothing_keeps_the_resource_version(objects):
    before = objects.create("services", "mochi", service())
    after = objects.patch("services", "mochi", "web", {"spec": {"selector": {"app": "web"}}})
    assert after == before


def test_generation_counts_spec_and_annotations_of_a_deployment_but_not_its_status(objects):
    """The Deployment strategy counts annotations as well; a revision written with the status must not count."""
    objects.create("deployments", "mochi", deployment())
    scaled = objects.patch("deployments", "mochi", "web", {"spec": {"replicas": 5}}, subresource="scale")
    assert scaled["spec"] == {"replicas": 5}
    labelled = objects.patch("deployments", "mochi", "web", {"metadata": {"labels": {"a": "b"}}})
    noted = objects.patch("deployments", "mochi", "web", {"metadata": {"annotations": {"a": "b"}}})
    status = {"metadata": {"annotations": {"revision": "4"}}, "status": {"replicas": 2}}
    reported = objects.patch("deployments", "mochi", "web", status, subresource="status")
    assert [item["metadata"]["generation"] for item in (labelled, noted, reported)] == [2, 3, 3]
    assert reported["metadata"]["annotations"] == {"a": "b", "revision": "4"}


def test_a_subresource_takes_its_part_and_drops_the_rest(objects):
    objects.create("deployments", "mochi", deployment())
    both = {"metadata": {"labels": {"l": "m"}}, "spec": {"replicas": 9}, "status": {"replicas": 3}}
    as_status = objects.patch("deployments", "mochi", "web", both, subresource="status")
    assert (as_status["spec"]["replicas"], as_status["status"]["replicas"]) == (2, 3)
    assert "labels" not in as_status["metadata"]
    as_main = objects.patch("deployments", "mochi", "web", {"spec": {"replicas": 4}, "status": {"replicas": 8}})
    assert (as_main["spec"]["replicas"], as_main["status"]["replicas"]) == (4, 3)


def test_a_service_gets_the_defaults_that_clients_rely_on(objects):
    spec = objects.create("services", "mochi", service())["spec"]
    assert spec["clusterIP"].startswith("10.96.")
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("ClusterIP", "None", "Cluster")
    assert spec["ports"] == [{"port": 80, "targetPort": "http", "protocol": "TCP"}]


def test_a_replaced_service_keeps_its_address(objects):
    before = objects.create("services", "mochi", service())
    after = objects.replace("services", "mochi", "web", service(app="other"))
    assert after["spec"]["clusterIP"] == before["spec"]["clusterIP"]
    with pytest.raises(ApiError) as error:
        objects.patch("services", "mochi", "web", {"spec": {"clusterIP": "10.96.200.200"}})
    assert refusal(error) == (422, "Invalid")


def test_a_deployment_gets_the_defaults_of_its_pod_template(objects):
    spec = objects.create("deployments", "mochi", deployment())["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": "25%"}
    assert (spec["progressDeadlineSeconds"], spec["revisionHistoryLimit"]) == (600, 10)
    assert spec["template"]["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize(
    ("plural", "body", "field"),
    [
        ("deployments", deployment(selector={"matchLabels": {"app": "other"}}), "spec.template.metadata.labels"),
        ("deployments", deployment(replicas=-1), "spec.replicas"),
        ("deployments", deployment(name="Not_A_Name"), "metadata.name"),
        ("deployments", deployment(selector={}), "spec.selector"),
        (
            "deployments",
            deployment(strategy={"rollingUpdate": {"maxSurge": "a lot"}}),
            "spec.strategy.rollingUpdate.maxSurge",
        ),
        (
            "deployments",
            deployment(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
            "spec.strategy.rollingUpdate.maxUnavailable",
        ),
        ("services", service(app="two words"), "spec.selector"),
        ("services", service(name="1-starts-with-a-digit"), "metadata.name"),
        ("services", {"metadata": {"name": "s"}, "spec": {}}, "spec.ports"),
        ("configmaps", {"metadata": {}}, "metadata.name"),
        ("configmaps", {"metadata": {"name": "c", "labels": {"k": "v" * 64}}}, "metadata.labels"),
        ("ingresses", {"metadata": {"name": "i"}, "spec": {}}, "spec"),
    ],
)
def test_an_invalid_object_is_refused_with_its_field(objects, plural, body, field):
    with pytest.raises(ApiError) as error:
        objects.create(plural, "mochi", body)
    assert refusal(error) == (422, "Invalid")
    assert field in [cause["field"] for cause in error.value.details["causes"]]


def test_a_deployment_without_containers_is_refused(objects):
    body = deployment()
    body["spec"]["template"]["spec"]["containers"] = []
    with pytest.raises(ApiError, match=r"spec\.template\.spec\.containers: Required value"):
        objects.create("deployments", "mochi", body)


def test_the_selector_of_a_deployment_never_changes(objects):
    objects.create("deployments", "mochi", deployment())
    other = deployment(
        selector={"matchLabels": {"app": "x"}},
        template={
            "metadata": {"labels": {"app": "x"}},
            "spec": {"containers": [{"name": "main", "image": "r/web:blue"}]},
        },
    )
    with pytest.raises(ApiError, match="field is immutable"):
        objects.replace("deployments", "mochi", "web", other)


def test_a_patch_that_leaves_no_object_of_its_kind_is_invalid(objects):
    objects.create("deployments", "mochi", deployment())
    with pytest.raises(ApiError) as error:
        objects.patch("deployments", "mochi", "web", {"spec": {"replicas": "three"}})
    assert refusal(error) == (422, "Invalid")


def test_names_are_taken_once_and_unknown_ones_are_not_found(objects):
    objects.create("services", "mochi", service())
    with pytest.raises(ApiError) as error:
        objects.create("services", "mochi", service())
    assert refusal(error) == (409, "AlreadyExists")
    with pytest.raises(ApiError) as error:
        objects.get("deployments", "mochi", "web")
    assert error.value.body() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "web" not found',
        "reason": "NotFound",
        "details": {"name": "web", "group": "apps", "kind": "deployments"},
        "code": 404,
    }
    with pytest.raises(ApiError, match='namespaces "nowhere" not found'):
        objects.create("services", "nowhere", service())


def test_a_stale_resource_version_is_a_conflict_for_every_kind_of_write(objects):
    stale = objects.create("services", "mochi", service())
    objects.patch("services", "mochi", "web", {"metadata": {"labels": {"a": "b"}}})
    version = stale["metadata"]["resourceVersion"]
    writes = [
        lambda: objects.replace("services", "mochi", "web", stale),
        lambda: objects.patch("services", "mochi", "web", {"metadata": {"resourceVersion": version, "labels": {}}}),
        lambda: objects.patch(
            "services",
            "mochi",
            "web",
            [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}],
            PatchType.JSON,
        ),
        lambda: objects.delete("services", "mochi", "web", version=version),
    ]
    for write in writes:
        with pytest.raises(ApiError) as error:
            write()
        assert refusal(error) == (409, "Conflict")


def test_a_failed_test_changes_nothing(objects):
    before = objects.create("services", "mochi", service())
    patch = [
        {"op": "replace", "path": "/spec/selector/app", "value": "green"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
    ]
    with pytest.raises(ApiError) as error:
        objects.patch("services", "mochi", "web", patch, PatchType.JSON)
    assert refusal(error) == (422, "Invalid")
    assert objects.get("services", "mochi", "web") == before


def test_a_dry_run_answers_and_changes_nothing(objects):
    objects.create("services", "mochi", service())
    version = objects.version
    patched = objects.patch("services", "mochi", "web", {"spec": {"selector": {"app": "green"}}}, dry_run=True)
    objects.create("services", "mochi", service("other"), dry_run=True)
    objects.delete("services", "mochi", "web", dry_run=True)
    assert patched["spec"]["selector"] == {"app": "green"}
    assert objects.version == version
    assert [item["metadata"]["name"] for item in objects.items("services")] == ["web"]


def owner_of(item: dict, field: str) -> list[tuple[str, str]]:
    """(manager, subresource) of those who own a field, written as in `spec.selector`."""
    path = [f"f:{part}" for part in field.split(".")]
    found = []
    for entry in item["metadata"]["managedFields"]:
        node = entry["fieldsV1"]
        for part in path:
            node = node.get(part) if node is not None else None
        if node is not None:
            found.append((entry["manager"], entry.get("subresource", "")))
    return found


def test_managed_fields_tell_who_last_changed_the_selector(objects):
    objects.create("services", "mochi", service(), manager="kubectl")
    changed = objects.patch("services", "mochi", "web", {"spec": {"selector": {"app": "x"}}}, manager="greenlight")
    assert owner_of(changed, "spec.selector") == [("greenlight", "")]
    assert owner_of(changed, "spec.type") == [("kubectl", "")]
    assert owner_of(changed, "spec.clusterIP") == []


def test_a_scale_is_noted_as_one(objects):
    objects.create("deployments", "mochi", deployment(), manager="kubectl")
    objects.patch("deployments", "mochi", "web", {"spec": {"replicas": 7}}, subresource="scale", manager="hpa")
    assert owner_of(objects.get("deployments", "mochi", "web"), "spec.replicas") == [("hpa", "scale")]


def test_apply_refuses_what_another_manager_owns_until_forced(objects):
    objects.create("services", "mochi", service(), manager="kubectl")
    config = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "green"}},
    }
    with pytest.raises(ApiError) as error:
        objects.patch("services", "mochi", "web", config, PatchType.APPLY, manager="greenlight")
    assert error.value.status == 409
    assert error.value.details["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl" using v1',
            "field": ".spec.selector",
        }
    ]
    forced = objects.patch("services", "mochi", "web", config, PatchType.APPLY, manager="greenlight", force=True)
    assert forced["spec"]["selector"] == {"app": "green"}
    assert owner_of(forced, "spec.selector") == [("greenlight", "")]


def test_what_an_apply_no_longer_names_goes(objects):
    def apply(**data: str) -> dict:
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}
        return objects.patch("configmaps", "mochi", "c", config, PatchType.APPLY, manager="me")

    apply(a="1", b="2")
    objects.patch("configmaps", "mochi", "c", {"data": {"z": "9"}}, manager="other")
    assert apply(a="1")["data"] == {"a": "1", "z": "9"}


def test_lists_are_paged_consistently(objects):
    """A continue token goes on with the state of its first page, whatever happened since."""
    for name in "abc":
        objects.create("configmaps", "mochi", {"metadata": {"name": name}})
    first = objects.list("configmaps", "mochi", limit=2)
    assert first["metadata"]["remainingItemCount"] == 1
    objects.delete("configmaps", "mochi", "c")
    objects.create("configmaps", "mochi", {"metadata": {"name": "d"}})
    rest = objects.list("configmaps", "mochi", after=first["metadata"]["continue"])
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    objects.compact()
    with pytest.raises(ApiError) as error:
        objects.list("configmaps", "mochi", after=first["metadata"]["continue"])
    assert refusal(error) == (410, "Expired")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ("", ["a", "b", "c"]),
        ("color=blue", ["a"]),
        ("color!=blue", ["b", "c"]),
        ("color", ["a", "b"]),
        ("!color", ["c"]),
        ("color in (blue, green)", ["a", "b"]),
        ("color notin (blue)", ["b", "c"]),
        ("color=green,tier==web", ["b"]),
    ],
)
def test_label_selectors(objects, labels, names):
    for name, given in (("a", {"color": "blue"}), ("b", {"color": "green", "tier": "web"}), ("c", {})):
        objects.create("configmaps", "mochi", {"metadata": {"name": name, "labels": given}})
    assert [item["metadata"]["name"] for item in objects.items("configmaps", "mochi", labels)] == names


def test_malformed_selectors_are_bad_requests(objects):
    for selectors in ({"labels": "a b c"}, {"fields": "spec.nonsense=1"}):
        with pytest.raises(ApiError) as error:
            objects.list("pods", "mochi", **selectors)
        assert refusal(error) == (400, "BadRequest")


def test_finalizers_hold_an_object_back(objects):
    objects.create("configmaps", "mochi", {"metadata": {"name": "c", "finalizers": ["example.com/wait"]}})
    objects.delete("configmaps", "mochi", "c")
    assert "deletionTimestamp" in objects.get("configmaps", "mochi", "c")["metadata"]
    objects.patch("configmaps", "mochi", "c", {"metadata": {"finalizers": None}})
    with pytest.raises(ApiError, match="not found"):
        objects.get("configmaps", "mochi", "c")


def test_a_lease_is_only_taken_by_who_has_seen_it(objects):
    body = {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "a"}}
    objects.replace("leases", "mochi", "leader", body)  # PUT creates a lease
    with pytest.raises(ApiError, match="must be specified for an update"):
        objects.replace("leases", "mochi", "leader", body)


def test_a_running_pod_changes_nothing_but_its_image(objects):
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "r/web:blue"}]}}
    objects.create("pods", "mochi", pod)
    image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "r/web:green"}]
    objects.patch("pods", "mochi", "p", image, PatchType.JSON)
    with pytest.raises(ApiError, match="pod updates may not change fields"):
        objects.patch("pods", "mochi", "p", {"spec": {"restartPolicy": "Never"}})


def test_an_event_lives_where_its_object_lives(objects):
    event = {"metadata": {"generateName": "e-"}, "involvedObject": {"namespace": "mochi"}, "reason": "Promoted"}
    assert objects.create("events", "mochi", event)["metadata"]["name"].startswith("e-")
    with pytest.raises(ApiError, match=r"does not match event\.namespace"):
        objects.create("events", "default", event)


def test_what_is_handed_out_is_a_copy(objects):
    body = service()
    objects.create("services", "mochi", body)
    body["spec"]["selector"]["app"] = "changed"
    objects.get("services", "mochi", "web")["spec"]["selector"]["app"] = "changed"
    objects.items("services")[0]["spec"]["selector"]["app"] = "changed"
    assert objects.get("services", "mochi", "web")["spec"]["selector"] == {"app": "web"}


def test_changes_are_told_in_order_and_expire():
    objects = Objects(lambda: datetime(2026, 1, 1, tzinfo=UTC), keep_changes=3)
    start = objects.version
    seen = []
    unsubscribe = objects.subscribe(lambda change: seen.append(change.version))
    objects.create("configmaps", "default", {"metadata": {"name": "a"}})
    objects.patch("configmaps", "default", "a", {"data": {"k": "v"}})
    objects.delete("configmaps", "default", "a")
    told = objects.changes(start)
    assert [(change.before is None, change.gone) for change in told] == [(True, False), (False, False), (False, True)]
    assert seen == [change.version for change in told]
    unsubscribe()
    objects.create("configmaps", "default", {"metadata": {"name": "b"}})
    assert len(seen) == 3
    with pytest.raises(ApiError) as error:
        objects.changes(start)
    assert refusal(error) == (410, "Expired")


def test_an_apply_takes_back_the_items_of_keyed_lists_that_it_no_longer_names(objects):
    def apply(*env: str) -> dict:
        config = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment()}
        container = {"name": "main", "image": "r/web:blue", "env": [{"name": name, "value": "1"} for name in env]}
        config["spec"]["template"]["spec"]["containers"] = [container]
        applied = objects.patch("deployments", "mochi", "web", config, PatchType.APPLY, manager="me")
        (found,) = applied["spec"]["template"]["spec"]["containers"]
        return [variable["name"] for variable in found.get("env", [])]

    assert apply("A", "B") == ["A", "B"]
    by_hand = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "C", "value": "2"}]}]}}}}
    objects.patch("deployments", "mochi", "web", by_hand, PatchType.STRATEGIC, manager="somebody")
    assert apply("A") == ["A", "C"]
    assert apply() == ["C"]


def test_an_apply_conflict_names_the_field_within_its_list(objects):
    objects.create("deployments", "mochi", deployment(), manager="kubectl")
    config = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment()}
    config["spec"]["replicas"] = 9
    config["spec"]["template"]["spec"]["containers"] = [{"name": "main", "image": "r/web:green"}]
    with pytest.raises(ApiError, match="Apply failed with 2 conflicts") as error:
        objects.patch("deployments", "mochi", "web", config, PatchType.APPLY, manager="me")
    assert [cause["field"] for cause in error.value.details["causes"]] == [
        ".spec.replicas",
        '.spec.template.spec.containers[name="main"].image',
    ]


def test_another_object_of_the_same_name_is_not_the_one_that_was_meant(objects):
    objects.create("configmaps", "mochi", {"metadata": {"name": "c"}})
    with pytest.raises(ApiError, match="does not match the UID in record"):
        objects.delete("configmaps", "mochi", "c", uid="of-its-predecessor")
    with pytest.raises(ApiError, match="field is immutable"):
        objects.patch("configmaps", "mochi", "c", {"metadata": {"uid": "of-its-predecessor"}})


@pytest.mark.parametrize(
    "body",
    [
        ["no object"],
        {"kind": "Pod", "metadata": {"name": "x"}},
        {"metadata": {"name": "x", "namespace": "elsewhere"}},
        {"metadata": {"name": "x", "labels": {"a": 1}}},
        {"metadata": "x"},
    ],
)
def test_what_cannot_be_decoded_is_a_bad_request(objects, body):
    with pytest.raises(ApiError) as error:
        objects.create("configmaps", "mochi", body)
    assert refusal(error) == (400, "BadRequest")


def test_a_selector_may_have_expressions(objects):
    def selected(*expressions: dict) -> None:
        objects.create(
            "deployments", "mochi", deployment(selector={"matchExpressions": list(expressions)}), dry_run=True
        )

    for fitting in (
        {"key": "app", "operator": "In", "values": ["web"]},
        {"key": "app", "operator": "NotIn", "values": ["db"]},
        {"key": "app", "operator": "Exists"},
        {"key": "other", "operator": "DoesNotExist"},
    ):
        selected(fitting)
    with pytest.raises(ApiError, match="does not match template"):
        selected({"key": "app", "operator": "In", "values": ["db"]})
