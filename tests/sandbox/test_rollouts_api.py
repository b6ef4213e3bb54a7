"""Rollouts as the API server keeps them: a custom kind with a real status subresource, if its CRD is there at all."""

from collections.abc import AsyncIterator

import pytest

from mochi_rollout import ROLLOUT, mochi_rollout, rollout
from rollout_cluster import APPLY, JSON, MERGE, NAMESPACE, STRATEGIC, RolloutCluster, image, rollout_cluster

ARGO = "apis/argoproj.io/v1alpha1"
PROMOTE = {"op": "remove", "path": "/status/pauseConditions"}


@pytest.fixture
async def argo() -> AsyncIterator[RolloutCluster]:
    """Green waits for its promotion."""
    async with rollout_cluster() as made:
        await made.set_image("green")
        yield made


def test_of(path: str, value: object) -> dict:
    return {"op": "test", "path": path, "value": value}


test_of.__test__ = False


async def test_a_status_patch_drops_what_it_says_of_the_spec_and_the_reverse(argo):
    before = await argo.rollout()
    await argo.done(
        "rollouts", ROLLOUT, {"spec": {"paused": True}, "metadata": {"labels": {"x": "y"}}}, subresource="status"
    )
    await argo.done("rollouts", ROLLOUT, {"status": {"pauseConditions": None, "phase": "Healthy"}})
    assert await argo.rollout() == before


async def test_a_status_patch_may_test_everything_and_the_answer_is_the_whole_object(argo):
    found = await argo.rollout()
    tests = [
        test_of("/metadata/uid", found["metadata"]["uid"]),
        test_of("/metadata/generation", found["metadata"]["generation"]),
        test_of("/spec/template", found["spec"]["template"]),
        test_of("/spec/template/spec/containers/0/image", image("green")),
        test_of("/status/currentPodHash", found["status"]["currentPodHash"]),
        test_of("/status/pauseConditions/0/reason", "BlueGreenPause"),
        test_of("/status/abort", None),
    ]
    answer = await argo.patch("rollouts", ROLLOUT, [*tests, PROMOTE], subresource="status")
    assert (answer.status, answer.body["spec"]) == (200, found["spec"])
    assert await argo.selected() == "green"


async def test_a_patch_of_the_spec_may_test_the_status(argo):
    change = {"op": "add", "path": "/spec/paused", "value": True}
    answer = await argo.patch("rollouts", ROLLOUT, [test_of("/status/phase", "Healthy"), change])
    assert answer.status == 422
    answer = await argo.patch("rollouts", ROLLOUT, [test_of("/status/phase", "Paused"), change])
    assert answer.status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        test_of("/status/currentPodHash", "5d8f7c9b4"),
        test_of("/spec/template/spec/containers/0/image", image("purple")),
        test_of("/metadata/uid", "another"),
        test_of("/metadata/resourceVersion", "1"),
        test_of("/status/abort", False),
        {"op": "remove", "path": "/status/abortedAt"},
    ],
)
async def test_one_wrong_test_is_a_422_that_does_not_say_which_and_nothing_is_written(argo, wrong):
    before = await argo.rollout()
    answer = await argo.patch("rollouts", ROLLOUT, [PROMOTE, wrong], subresource="status")
    assert (answer.status, answer.body["reason"], answer.body["details"]) == (422, "Invalid", {})
    assert answer.body["message"] == "the server rejected our request due to an error in our request"
    assert await argo.rollout() == before


async def test_a_stale_version_is_a_conflict_in_a_merge_patch_and_when_it_is_replaced(argo):
    stale = {"metadata": {"resourceVersion": "1"}, "status": {"pauseConditions": None}}
    assert (await argo.patch("rollouts", ROLLOUT, stale, subresource="status")).status == 409
    replace = {"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}
    assert (await argo.patch("rollouts", ROLLOUT, [replace, PROMOTE], subresource="status")).status == 409


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ({"spec": {"paused": True}}, STRATEGIC, 415),
        ([PROMOTE], MERGE, 400),
        ({"spec": {"paused": True}}, JSON, 400),
        ({"spec": {"paused": True}}, "application/json", 415),
    ],
)
async def test_only_merge_json_patch_and_apply_are_understood(argo, body, content_type, status):
    assert (await argo.patch("rollouts", ROLLOUT, body, content_type)).status == status


async def test_a_dry_run_tells_whether_it_would_work_and_promotes_nothing(argo):
    before = await argo.rollout()
    answer = await argo.patch("rollouts", ROLLOUT, [PROMOTE], subresource="status", query="&dryRun=All")
    assert (answer.status, "pauseConditions" in answer.body["status"]) == (200, False)
    assert await argo.rollout() == before


async def test_only_the_spec_counts_for_the_generation(argo):
    generation = (await argo.rollout())["metadata"]["generation"]
    await argo.nudge()
    await argo.promote()
    assert (await argo.rollout())["metadata"]["generation"] == generation
    await argo.set_spec(replicas=3)
    assert (await argo.rollout())["metadata"]["generation"] == generation + 1
    assert (await argo.status())["observedGeneration"] == str(generation + 1)


async def test_every_writer_is_noted_with_what_he_wrote(argo):
    entries = (await argo.rollout())["metadata"]["managedFields"]
    known = {(entry["manager"], entry.get("subresource", "")): entry["fieldsV1"] for entry in entries}
    image_of = known["kubectl", ""]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"myapp"}']
    assert "f:image" in image_of
    assert "f:pauseConditions" in known["rollouts-controller", "status"]["f:status"]
    await argo.done("rollouts", ROLLOUT, [{"op": "add", "path": "/status/abort", "value": True}], subresource="status")
    entries = (await argo.rollout())["metadata"]["managedFields"]
    assert [entry["manager"] for entry in entries if "f:abort" in entry["fieldsV1"].get("f:status", {})] == ["kubectl"]


async def test_the_right_to_promote_is_patch_on_the_status_and_nothing_else(argo):
    user = "greenlight"
    argo.cluster.access.tokens["t"] = user

    async def status_of(*rules: tuple[str, str, tuple[str, ...]], subresource: str = "/status") -> int:
        argo.cluster.access.reset(user)
        argo.cluster.access.restrict(
            user,
            [
                {"apiGroups": ["argoproj.io"], "resources": [what], "verbs": [verb], "resourceNames": list(names)}
                for verb, what, names in rules
            ],
            NAMESPACE,
        )
        path = f"{argo.path('rollouts', ROLLOUT)}{subresource}?dryRun=All"
        body = [test_of("/spec/template/spec/containers/0/image", image("green")), PROMOTE]
        return (await argo.call("PATCH", path, body, JSON, token="t")).status

    assert await status_of(("patch", "rollouts/status", (ROLLOUT,))) == 200
    assert await status_of(("patch", "rollouts/status", ("another",))) == 403
    assert await status_of(("update", "rollouts/status", ()), ("patch", "rollouts", ())) == 403
    assert await status_of(("patch", "rollouts/status", ()), subresource="") == 403


async def test_discovery_names_the_kinds_their_short_names_and_their_parts(argo):
    resources = (await argo.call("GET", ARGO)).body["resources"]
    names = {row["name"]: (row["kind"], row.get("shortNames")) for row in resources}
    assert names["rollouts"] == ("Rollout", ["ro"])
    assert names["rollouts/status"] == ("Rollout", None)
    assert names["rollouts/scale"] == ("Scale", None)
    assert names["analysisruns"] == ("AnalysisRun", ["ar"])
    assert {"analysistemplates", "applications"} <= names.keys()
    assert "analysisruns/status" not in names


async def test_without_its_crd_nobody_knows_a_rollout(argo):
    server = argo.cluster.server
    server.uninstall("rollouts", "analysisruns", "analysistemplates")
    missing = await argo.call("GET", argo.path("rollouts"))
    assert (missing.status, missing.body["reason"], missing.body["message"]) == (
        404,
        "NotFound",
        "the server could not find the requested resource",
    )
    assert [row["name"] for row in (await argo.call("GET", ARGO)).body["resources"]] == ["applications"]
    server.uninstall("applications")
    missing = await argo.call("GET", argo.path("rollouts", ROLLOUT))
    assert (missing.status, missing.body) == (404, {"text": "404 page not found\n"})
    assert (await argo.call("GET", ARGO)).status == 404
    groups = (await argo.call("GET", "apis")).body["groups"]
    assert "argoproj.io" not in {group["name"] for group in groups}
    server.install()
    assert (await argo.rollout())["kind"] == "Rollout"


async def test_what_is_no_custom_kind_is_always_there(argo):
    with pytest.raises(ValueError, match="services"):
        argo.cluster.server.uninstall("services")


def _without(*path: str | int) -> dict:
    body = rollout(NAMESPACE, image=image("blue"))
    body["metadata"]["name"] = "another"
    at = body
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (_without("spec"), "spec"),
        (_without("spec", "strategy", "blueGreen", "activeService"), "spec.strategy.blueGreen.activeService"),
        (_without("spec", "template", "spec", "containers"), "spec.template.spec.containers"),
        (_without("spec", "template", "spec", "containers", 0, "name"), "spec.template.spec.containers[0].name"),
    ],
)
async def test_what_the_schema_demands_is_demanded(argo, body, field):
    answer = await argo.call("POST", argo.path("rollouts"), body)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == field


async def test_what_the_schema_leaves_open_is_taken(argo):
    """A container without an image, or no strategy at all: the controller says what is wrong, in the status."""
    bodies = [
        (_without("spec", "strategy", "blueGreen"), "spec.strategy: Required value"),
        (_without("spec", "template", "spec", "containers", 0, "image"), "image: Required value"),
        (_without("spec", "selector"), "spec.selector: Required value"),
    ]
    for number, (body, why) in enumerate(bodies):
        body["metadata"]["name"] = f"r{number}"
        await argo.create("rollouts", body)
        status = (await argo.get("rollouts", f"r{number}"))["status"]
        assert status["phase"] == "Degraded"
        assert why in status["message"]


async def test_a_selector_cannot_be_changed(argo):
    answer = await argo.patch("rollouts", ROLLOUT, {"spec": {"selector": {"matchLabels": {"app": "other"}}}})
    assert (answer.status, answer.body["details"]["causes"][0]["field"]) == (422, "spec.selector")


async def test_apply_works_as_for_every_kind(argo):
    body = rollout(NAMESPACE, image=image("purple"))
    answer = await argo.patch("rollouts", ROLLOUT, body, APPLY, query="&force=true")
    assert answer.status == 200
    assert (await argo.previewed(), await argo.pauses()) == ("purple", ["BlueGreenPause"])


async def test_a_rollout_is_invalid_while_its_service_is_missing_and_heals_when_it_appears():
    async with rollout_cluster(install=False) as argo:
        rollout, *rest = mochi_rollout(NAMESPACE, image=image("blue"))
        await argo.create("rollouts", rollout)
        status = await argo.status()
        assert (status["phase"], status["observedGeneration"]) == ("Degraded", "1")
        assert status["message"] == (
            'InvalidSpec: The Rollout "mochiapp" is invalid: spec.strategy.blueGreen.activeService: '
            'Invalid value: "mochiapp": service "mochiapp" not found'
        )
        assert await argo.condition("InvalidSpec") == ("True", "InvalidSpec")
        argo.cluster.apply(rest)
        argo.cluster.settle()
        argo.cluster.advance(19)
        assert (await argo.phase())[0] == "Degraded"
        argo.cluster.advance(1)
        assert (await argo.phase(), await argo.condition("InvalidSpec")) == (("Healthy", ""), None)


@pytest.mark.parametrize(
    ("blue_green", "why"),
    [
        ({"previewService": "mochiapp"}, "uses the same service for the active and preview services"),
        ({"previewService": "gone"}, 'service "gone" not found'),
        ({"scaleDownDelayRevisionLimit": 9}, "revision history limit can not be smaller"),
    ],
)
async def test_what_else_makes_a_rollout_invalid(blue_green, why):
    async with rollout_cluster(blue_green=blue_green) as argo:
        phase, message = await argo.phase()
        assert phase == "Degraded"
        assert why in message


async def test_a_service_that_selects_other_pods_or_belongs_to_another_rollout_is_no_service_of_this_one(argo):
    await argo.done("services", "mochiapp", {"spec": {"selector": {"tier": "web"}}})
    argo.cluster.advance(0)
    assert 'Service "mochiapp" has unmatch label "tier" in rollout' in (await argo.phase())[1]
    second = rollout(NAMESPACE, image=image("blue"))
    second["metadata"]["name"] = "second"
    await argo.done("services", "mochiapp", {"spec": {"selector": {"tier": None}}})
    await argo.create("rollouts", second)
    message = (await argo.get("rollouts", "second"))["status"]["message"]
    assert 'Service "mochiapp" is managed by another Rollout' in message
