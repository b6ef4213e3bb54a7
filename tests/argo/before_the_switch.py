"""States before the switch, each with the way into it; README.md has the rules that are numbered."""

from http import HTTPStatus
from typing import Any

from deployed import Mochiapp
from hold import PAUSED, SERVICE_SWITCHED, about_to_forget, forgotten
from mochiapp import ACTIVE, GREEN, HASH, NEVER_READY, PREVIEW, PURPLE, check
from scenes import Scene, row
from state import State, is_observed

Json = dict[str, Any]


@row(
    1,
    "observing",
    "Healthy: a new image that the controller has not looked at",
    lambda s: not s.observed and s.phase == "Healthy",
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    scene.rollouts.freeze()
    await app.stage(GREEN, "mochi-2")
    return app


@row(
    1,
    "observing-in-a-pause",
    "Paused on green: a newer image that the controller has not looked at",
    lambda s: not s.observed and s.phase == "Paused",
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.previewing(GREEN)
    scene.rollouts.freeze()
    await app.stage(PURPLE, "mochi-3")
    return app


@row(
    1,
    "observing-a-deployment",
    "the template is a Deployment's: a new image there that the controller has not looked at",
    lambda s: is_observed(s.rollout) and not s.observed and s.phase == "Healthy",
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install(workload=True)
    scene.rollouts.freeze()
    await app.stage(GREEN, "mochi-2")
    return app


@row(
    7,
    "paused-from-a-deployment",
    "the template is a Deployment's: waiting for promotion, with its preview",
    lambda s: s.paused_on(GREEN) and s.ready_behind(PREVIEW) == 2,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install(workload=True)
    await app.previewing(GREEN)
    await app.until(lambda s: s.ready_behind(PREVIEW) == 2)
    return app


@row(2, "invalid", "the preview Service is missing", lambda s: s.condition("InvalidSpec").get("status") == "True")
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.delete(f"{app.paths['services']}/{PREVIEW}")
    await app.nudge()
    await app.until(lambda s: s.condition("InvalidSpec"))
    return app


@row(
    3,
    "aborted",
    "aborted before the switch: traffic on blue, the preview still selects green",
    lambda s: s.status.get("abortedAt") and s.live == s.stable,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.previewing(GREEN)
    await app.abort()
    await app.until(lambda s: s.status.get("abortedAt") and s.phase == "Degraded" and s.deadline(s.current))
    return app


@row(
    3,
    "aborted-by-analysis",
    "the gate before the promotion failed",
    lambda s: s.status.get("abortedAt") and s.analysisruns,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install(templates=(check("gate", "crash"),), prePromotionAnalysis=gates("gate"))
    await app.stage(GREEN, "mochi-2")
    await app.until(lambda s: s.status.get("abortedAt") and s.phase == "Degraded" and s.deadline(s.current))
    return app


@row(
    4,
    "timed-out",
    "green's pods did not become ready within the progress deadline",
    lambda s: progressing(s) == "ProgressDeadlineExceeded",
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install(spec={"progressDeadlineSeconds": 1})
    await app.stage(NEVER_READY, "mochi-2")
    await app.until(lambda s: progressing(s) == "ProgressDeadlineExceeded", within=20)
    return app


@row(5, "frozen", "Healthy on blue with spec.paused", lambda s: s.observed and s.spec.get("paused"))
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.patch(app.path, {"spec": {"paused": True}})
    await app.until(lambda s: s.observed and s.phase == "Paused")
    return app


@row(
    5,
    "frozen-in-a-pause",
    "waiting for its promotion, with spec.paused",
    lambda s: s.observed and s.spec.get("paused") and s.pauses,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.previewing(GREEN)
    await app.patch(app.path, {"spec": {"paused": True}})
    await app.until(lambda s: s.observed and s.phase == "Paused")
    return app


@row(
    6,
    "inconclusive",
    "a gate that neither passed nor failed: somebody has to judge",
    lambda s: "InconclusiveAnalysisRun" in s.pauses,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install(templates=(undecided("gate", scene.metric_url),), prePromotionAnalysis=gates("gate"))
    await app.stage(GREEN, "mochi-2")
    await app.until(lambda s: "InconclusiveAnalysisRun" in s.pauses)
    return app


@row(
    7,
    "paused",
    "waiting for promotion, with its preview",
    lambda s: s.paused_on(GREEN) and s.ready_behind(PREVIEW) == 2,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.previewing(GREEN)
    await app.until(lambda s: s.ready_behind(PREVIEW) == 2)
    return app


@row(
    7,
    "paused-with-the-old-hash",
    "a newer image in a pause, looked at and not yet taken up: pause and hash are those of the image before",
    lambda s: s.observed and s.pauses == ["BlueGreenPause"] and s.image(s.current) == GREEN,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.previewing(GREEN)
    hold = await scene.hold(app, SERVICE_SWITCHED)
    await app.idle()
    await app.stage(PURPLE, "mochi-3")
    await hold.arrived()
    await app.until(lambda s: s.previewed in s.hashes(PURPLE))
    return app


@row(
    7,
    "paused-without-hash",
    "waiting for promotion, and the active Service lost its hash: the controller's next look makes green live",
    lambda s: s.paused_on(GREEN) and s.live == "",
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.previewing(GREEN)
    await app.select(ACTIVE, **{HASH: None})
    await app.until(lambda s: s.ready_behind(ACTIVE) == 4)
    return app


@row(
    7,
    "abort-lost",
    "aborted, and the controller has looked and does not know: `abort` without `abortedAt`",
    lambda s: s.status.get("abort") and not s.status.get("abortedAt"),
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    hold = await scene.hold(app, PAUSED, SERVICE_SWITCHED)
    await about_to_forget(app, hold, GREEN)
    await app.abort()
    await forgotten(app, hold)
    return app


@row(
    8,
    "resuming",
    "promoted, and the controller has not looked at it",
    lambda s: s.observed and s.status.get("controllerPause") and not s.pauses,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    shown = await app.previewing(GREEN)
    scene.rollouts.freeze()
    status, body = await app.approve(shown)
    assert status == HTTPStatus.OK, body
    return app


@row(
    8,
    "promotion-lost",
    "promoted, and the controller has looked and does not know: it shows what resuming shows",
    lambda s: s.observed and s.status.get("controllerPause") and not s.pauses and s.live == s.stable,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    hold = await scene.hold(app, PAUSED, SERVICE_SWITCHED)
    shown = await about_to_forget(app, hold, GREEN)
    status, body = await app.approve(shown)
    assert status == HTTPStatus.OK, body
    await forgotten(app, hold)
    return app


@row(
    9,
    "gate-running",
    "green is ready, and its gate before the promotion runs: no pause yet",
    lambda s: s.observed and s.current != s.live and not s.pauses and s.analysisruns,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install(templates=(check("gate", "nopull"),), prePromotionAnalysis=gates("gate"))
    await app.stage(GREEN, "mochi-2")
    await app.until(lambda s: gate_of(s) == "Running")
    return app


@row(
    10,
    "preview-starting",
    "green's pods are not ready yet",
    lambda s: s.observed and s.current != s.live and not s.pauses,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.stage(NEVER_READY, "mochi-2")
    await app.until(lambda s: s.observed and s.previewed == s.current and len(s.pods_of(s.current)) == 2)
    await app.reconciled()
    return app


@row(
    10,
    "cut-over-pending",
    "promoted while a green pod was not ready: the promotion is dropped, the pause will come back",
    lambda s: s.observed and s.current != s.live and not s.pauses and not s.status.get("controllerPause"),
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    shown = await app.previewing(GREEN)
    await app.pods_become(shown.current, ready=False)
    await app.until(lambda s: s.ready_behind(PREVIEW) == 1)
    await app.idle()
    status, body = await app.approve(shown)
    assert status == HTTPStatus.OK, body
    await app.nudged_until(lambda s: s.phase == "Progressing" and not s.status.get("controllerPause"))
    return app


def gates(name: str) -> Json:
    return {"templates": [{"templateName": name}]}


def undecided(name: str, url: str) -> Json:
    """An AnalysisTemplate whose value is between what would pass and what would fail."""
    metric = {
        "name": "errors",
        "successCondition": "result < 1",
        "failureCondition": "result > 5",
        "provider": {"web": {"url": url, "jsonPath": "{$.errors}"}},
    }
    return check(name, "v1") | {"spec": {"metrics": [metric]}}


def gate_of(state: State) -> str:
    return str(state.status.get("blueGreen", {}).get("prePromotionAnalysisRunStatus", {}).get("status", ""))


def progressing(state: State) -> str:
    return str(state.condition("Progressing").get("reason", ""))
