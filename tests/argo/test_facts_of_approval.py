"""What the API server and the controller make of an approval; each docstring says why Greenlight relies on it."""

import secrets
from http import HTTPStatus

import aiohttp
import pytest
from deployed import JSON_PATCH, MERGE, PROMOTE, STRATEGIC, approved
from mochiapp import BLUE, CONTAINER, GREEN, PURPLE, RELEASE, check

import mochi

pytestmark = [pytest.mark.cluster, pytest.mark.argo]


def claim(path, value):
    return {"op": "test", "path": path, "value": value}


async def test_an_approval_that_is_true_in_all_it_says_makes_green_live(install):
    """The one write by which Greenlight promotes; its answer carries the whole object, spec included."""
    app = await install()
    shown = await app.previewing(GREEN)
    status, answer = await app.approve(shown)
    assert (status, answer["spec"]["template"]) == (HTTPStatus.OK, shown.template)
    assert answer["status"]["controllerPause"]
    assert "pauseConditions" not in answer["status"]
    await app.until(lambda s: s.healthy_on(shown.current) and s.deadline(shown.live))
    assert app.seen.live == ["", shown.live, shown.current]


async def test_an_approval_that_is_wrong_in_one_thing_is_refused_and_changes_nothing(install):
    """The API server itself is the guard: whatever has changed since the card was shown makes the approval void."""
    app = await install()
    shown = await app.previewing(GREEN)
    generation = shown.rollout["metadata"]["generation"]
    other = shown.template | {"metadata": {"labels": {"app": "mochiapp"}, "annotations": {RELEASE: "mochi-1"}}}
    wrong = [
        claim("/metadata/uid", "00000000-0000-0000-0000-000000000000"),
        claim("/metadata/generation", generation + 1),
        claim("/metadata/resourceVersion", "1"),
        claim("/status/currentPodHash", shown.live),
        claim("/status/pauseConditions/0/reason", "InconclusiveAnalysisRun"),
        claim("/status/pauseConditions/1/reason", "BlueGreenPause"),
        claim("/spec/template", other),
        claim("/spec/template/spec/containers/0/image", BLUE),
    ]
    for each in wrong:
        for patch in ([each, *approved(shown), PROMOTE], [*approved(shown), PROMOTE, each]):
            status, answer = await app.send(f"{app.path}/status", patch)
            assert (status, answer["reason"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid"), each
    assert (await app.state()).rollout == shown.rollout
    await app.reconciled()
    assert app.seen.live == ["", shown.live]


async def test_what_a_patch_of_a_paused_rollout_is_answered(install):
    """The words by which Greenlight tells apart: refused by a test, overtaken by another write, malformed, ignored."""
    app = await install()
    shown = await app.previewing(GREEN)
    status_path, version = f"{app.path}/status", shown.rollout["metadata"]["resourceVersion"]

    async def answered(patch, form=JSON_PATCH, path=status_path):
        status, answer = await app.send(path, patch, form=form, dryRun="All")
        return status, answer.get("reason", "")

    promote = {"status": {"pauseConditions": None}}
    stale = {"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}
    assert await answered([*approved(shown), PROMOTE]) == (HTTPStatus.OK, "")
    assert await answered([claim("/metadata/resourceVersion", version), PROMOTE]) == (HTTPStatus.OK, "")
    assert await answered([stale, PROMOTE]) == (HTTPStatus.CONFLICT, "Conflict")
    assert await answered(promote | {"metadata": {"resourceVersion": "1"}}, MERGE) == (HTTPStatus.CONFLICT, "Conflict")
    assert (await answered(promote, STRATEGIC))[0] == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert (await answered([PROMOTE], MERGE))[0] == HTTPStatus.BAD_REQUEST
    assert await answered([{"op": "remove", "path": "/status/nothing"}]) == (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Invalid",
    )
    # A field that is not there is null, and not false: after a retry `abort` is there, and false.
    assert await answered([claim("/status/abort", None)]) == (HTTPStatus.OK, "")
    assert await answered([claim("/status/abort", False)]) == (HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid")
    # What belongs to the other resource is dropped without a word.
    assert await answered({"spec": {"replicas": 9}}, MERGE) == (HTTPStatus.OK, "")
    assert await answered(promote, MERGE, app.path) == (HTTPStatus.OK, "")
    assert (await app.state()).rollout == shown.rollout

    for path, patch in ((status_path, {"spec": {"replicas": 9}}), (app.path, promote)):
        await app.patch(path, patch)
    state = await app.reconciled()
    assert (state.spec["replicas"], state.pauses) == (2, ["BlueGreenPause"])


async def test_a_second_promotion_of_the_same_pause_is_refused(install):
    """Two bots, two people, or an answer that was lost: the pause can be taken away once."""
    app = await install()
    shown = await app.previewing(GREEN)
    assert (await app.approve(shown))[0] == HTTPStatus.OK
    assert (await app.approve(shown))[0] == HTTPStatus.UNPROCESSABLE_ENTITY
    await app.until(lambda s: s.healthy_on(shown.current))
    assert (await app.approve(shown))[0] == HTTPStatus.UNPROCESSABLE_ENTITY


RACES = [
    "v3 approve",
    "freeze v3 approve",
    "v3 freeze approve",
    "v3 approve freeze",
    "approve v3",
    "freeze approve v3",
    "approve freeze v3",
    "approve v3 freeze",
    "v3 paused approve",
    "v3 paused freeze approve",
    "v3 paused approve freeze",
    "freeze approve v3 kill",
    "freeze v3 approve kill",
]


@pytest.mark.parametrize("race", RACES)
async def test_v3_is_never_live_by_an_approval_of_v2(install, rollouts, race):
    """Whichever comes first, and wherever the controller stood still or died meanwhile."""
    approved_first = race.index("approve") < race.index("v3")
    answer = HTTPStatus.OK if approved_first else HTTPStatus.UNPROCESSABLE_ENTITY
    await _runs(race, await install(), rollouts, answer)


@pytest.mark.parametrize(
    ("race", "answer"), [("freeze v3 approve", HTTPStatus.OK), ("v3 paused approve", HTTPStatus.UNPROCESSABLE_ENTITY)]
)
async def test_v3_is_never_live_by_an_approval_of_v2_where_the_template_is_a_deployments(
    install, rollouts, race, answer
):
    """A patch tests one object: there the hash alone has to do, and the controller pauses what it had not seen."""
    await _runs(race, await install(workload=True), rollouts, answer)


async def _runs(race, app, rollouts, answer):
    shown = await app.previewing(GREEN)
    answers = []
    for step in race.split():
        match step:
            case "v3":
                await app.stage(PURPLE, "mochi-3")
            case "paused":
                await app.paused_on(PURPLE)
            case "approve":
                answers.append((await app.approve(shown))[0])
            case "freeze":
                rollouts.freeze()
            case "kill":
                rollouts.kill()
                rollouts.start()
    rollouts.thaw()
    assert answers == [answer]
    state = await app.nudged_until(lambda s: s.paused_on(PURPLE))
    assert state.current not in app.seen.live
    if race.startswith(("freeze", "v3")):
        assert app.seen.live == ["", shown.live]  # then green cannot have been live either
    assert state.live == app.seen.live[-1]


async def test_a_promotion_without_tests_makes_v3_live_that_nobody_has_seen(install):
    """Why Greenlight's approval has tests: this is what `kubectl argo rollouts promote` would do."""
    app = await install()
    await app.previewing(GREEN)
    await app.stage(PURPLE, "mochi-3")
    v3 = await app.paused_on(PURPLE)
    await app.plugin("promote", "mochiapp")
    await app.until(lambda s: s.healthy_on(v3.current))


async def test_a_pod_hash_alone_does_not_tell_that_the_template_has_changed(install, rollouts):
    """Why the approval tests the whole template: the hash in the status is old until the controller has looked."""
    app = await install()
    shown = await app.previewing(GREEN)
    by_hash = [each for each in approved(shown) if each["path"] != "/spec/template"]
    with rollouts.frozen():
        await app.stage(PURPLE, "mochi-3")
        assert (await app.approve(shown))[0] == HTTPStatus.UNPROCESSABLE_ENTITY
        assert (await app.send(f"{app.path}/status", [*by_hash, PROMOTE]))[0] == HTTPStatus.OK
    await app.nudged_until(lambda s: s.paused_on(PURPLE))
    assert app.seen.live == ["", shown.live]


async def test_a_promotion_while_a_pod_is_not_ready_comes_back_as_the_same_pause(install):
    """Greenlight then promotes the same hash once more, for as long as the approval lives."""
    app = await install()
    shown = await app.previewing(GREEN)
    await app.pods_become(shown.current, ready=False)
    await app.until(lambda s: s.set_of(shown.current)["status"].get("readyReplicas") == 1)
    await app.idle()
    assert (await app.approve(shown))[0] == HTTPStatus.OK
    await app.nudged_until(lambda s: s.observed and not s.status.get("controllerPause"))
    await app.pods_become(shown.current, ready=True, count=2)
    again = await app.paused_on(GREEN)
    assert again.current == shown.current
    assert app.seen.live == ["", shown.live]
    assert (await app.approve(again))[0] == HTTPStatus.OK
    await app.nudged_until(lambda s: s.healthy_on(shown.current))


async def test_the_controller_completes_a_template_once_by_itself(install):
    """Why the template to be tested is the one read at the pause, and not the one that was written."""
    app = await install(live=False)
    state = await app.live_on(BLUE)
    written = app.seen.rollouts[0]
    assert "resources" not in written["spec"]["template"]["spec"]["containers"][0]
    [container] = state.template["spec"]["containers"]
    assert (container["name"], container["resources"]) == (CONTAINER, {})
    before = state.rollout["metadata"]["generation"]
    assert before > written["metadata"]["generation"]
    shown = await app.previewing(GREEN)
    assert shown.rollout["metadata"]["generation"] == before + 1


async def test_the_right_to_patch_the_status_of_one_rollout_is_enough_to_promote_it(install, rollouts):
    """The shipped Role gives no more: the tests on spec need no right on the Rollout itself."""
    app = await install()
    shown = await app.previewing(GREEN)
    patch = [*approved(shown), PROMOTE]
    assert await _as_bot(app, rollouts, "mochiapp-other", "rollouts/status", ["patch"], patch) == HTTPStatus.FORBIDDEN
    assert await _as_bot(app, rollouts, "mochiapp", "rollouts/status", ["update"], patch) == HTTPStatus.FORBIDDEN
    assert await _as_bot(app, rollouts, "mochiapp", "rollouts", ["patch", "update"], patch) == HTTPStatus.FORBIDDEN
    assert (await app.state()).pauses == ["BlueGreenPause"]
    assert await _as_bot(app, rollouts, "mochiapp", "rollouts/status", ["patch"], patch) == HTTPStatus.OK
    await app.until(lambda s: s.healthy_on(shown.current))


async def _as_bot(app, rollouts, name, resource, verbs, patch):
    """The answer to a ServiceAccount of its own that has this one right."""
    plane, account = rollouts.plane, f"bot-{secrets.token_hex(4)}"
    metadata = {"metadata": {"name": account, "namespace": app.namespace}}
    group = "rbac.authorization.k8s.io"
    rule = {"apiGroups": ["argoproj.io"], "resources": [resource], "resourceNames": [name], "verbs": verbs}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": app.namespace}
    reference = {"apiGroup": group, "kind": "Role", "name": account}
    objects = [
        {"apiVersion": "v1", "kind": "ServiceAccount"} | metadata,
        {"apiVersion": f"{group}/v1", "kind": "Role", "rules": [rule]} | metadata,
        {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "subjects": [subject], "roleRef": reference} | metadata,
    ]
    await mochi.apply(plane.url, plane.admin_token, objects, ssl_context=plane.ssl_context)
    headers = {"Authorization": f"Bearer {plane.token_for(app.namespace, account)}"}
    connector = aiohttp.TCPConnector(ssl=plane.ssl_context)
    async with aiohttp.ClientSession(plane.url, headers=headers, connector=connector) as session:
        await _may(session, rule | {"namespace": app.namespace})
        async with session.patch(f"{app.path}/status", json=patch, headers={"Content-Type": JSON_PATCH}) as answer:
            return answer.status


async def _may(session, right):
    """The API server learns of a Role a moment after it has stored it."""
    resource, _, subresource = right["resources"][0].partition("/")
    wanted = {"group": right["apiGroups"][0], "resource": resource, "subresource": subresource}
    wanted |= {"name": right["resourceNames"][0], "verb": right["verbs"][0], "namespace": right["namespace"]}
    review = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    while True:
        async with session.post(path, json=review | {"spec": {"resourceAttributes": wanted}}) as answer:
            if (await answer.json())["status"]["allowed"]:
                return


@pytest.mark.parametrize("running", [True, False])
async def test_a_gate_that_runs_or_has_failed_leaves_nothing_to_promote(install, running):
    """Argo's own gates come before its pause: an approval cannot overtake them."""
    strategy = {"prePromotionAnalysis": {"templates": [{"templateName": "gate"}]}}
    app = await install(templates=(check("gate", "nopull" if running else "crash"),), **strategy)
    blue = (await app.state()).live
    await app.stage(GREEN, "mochi-2")
    state = await app.until(
        lambda s: s.analysisruns if running else s.status.get("abortedAt") and s.phase == "Degraded"
    )
    if running:
        state = await app.reconciled()
        assert (state.phase, state.pauses) == ("Progressing", [])
        assert state.status["blueGreen"]["prePromotionAnalysisRunStatus"]["status"] in ("Pending", "Running")
    else:
        assert state.status["message"].startswith("RolloutAborted")
        assert state.condition("Progressing")["reason"] == "RolloutAborted"
    patch = [claim("/status/currentPodHash", state.current), PROMOTE]
    assert (await app.send(f"{app.path}/status", patch))[0] == HTTPStatus.UNPROCESSABLE_ENTITY
    await app.promote_unseen()
    await app.reconciled()
    assert app.seen.live == ["", blue]
