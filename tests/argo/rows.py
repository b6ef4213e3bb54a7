"""The states that a Rollout can be seen in, each with the way into it; README.md has the rules that are numbered."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from deployed import Mochiapp
from hold import PAUSED, SERVICE_SWITCHED, Hold, about_to_forget, forgotten
from mochiapp import ACTIVE, BLUE, HASH, NEVER_READY, PREVIEW, REPOSITORY, check
from state import State

from rollouts import Rollouts

Json = dict[str, Any]

# As Greenlight writes them: by digest, and with the release's name.
GREEN, PURPLE = (f"{REPOSITORY}@sha256:{tag.encode().hex():0<64}" for tag in ("green", "purple"))


class Scene(Protocol):
    """What a row may use; it is cleared up behind it."""

    rollouts: Rollouts
    metric_url: str
    """Answers `{"errors": 3}`."""

    async def hold(self, app: Mochiapp, *triggers: str) -> Hold: ...

    async def install(self, *, live: bool = True, templates: tuple[Json, ...] = (), **manifest: Any) -> Mochiapp: ...


Play = Callable[[Scene], Awaitable[Mochiapp]]
Holds = Callable[[State], object]


@dataclass(frozen=True)
class Row:
    number: int
    name: str
    sentence: str
    holds: Holds
    """Whether it is this state: a caught one may have passed while it was being read."""
    play: Play


ROWS: dict[str, Row] = {}


def row(number: int, name: str, sentence: str, holds: Holds) -> Callable[[Play], Play]:
    def added(play: Play) -> Play:
        ROWS[name] = Row(number, name, sentence, holds, play)
        return play

    return added


def progressing(state: State) -> str:
    return str(state.condition("Progressing").get("reason", ""))


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
    12,
    "healthy",
    "live on blue, the first that there was",
    lambda s: s.healthy_on(s.current) and s.ready_behind(ACTIVE) == 2,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.until(lambda s: s.ready_behind(ACTIVE) == 2)
    return app


@row(
    12,
    "live-with-deadline",
    "live on green, blue is kept until its deadline",
    lambda s: s.healthy_on(s.current) and s.image(s.live) == GREEN,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.promoted(GREEN)
    await app.until(lambda s: s.ready_behind(ACTIVE) == 2)
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
    3,
    "aborted-stranded",
    "aborted after the switch with a green pod not ready: traffic stays on green",
    lambda s: s.status.get("abortedAt") and s.live != s.stable and s.ready_behind(ACTIVE) == 1,
)
async def _(scene: Scene) -> Mochiapp:
    app = await verifying(scene)
    green = (await app.state()).current
    await app.pods_become(green, ready=False)
    await app.until(lambda s: s.ready_behind(ACTIVE) == 1)
    await app.idle()
    await app.abort()
    await app.until(lambda s: s.status.get("abortedAt") and s.phase == "Degraded" and s.deadline(green))
    return app


@row(
    3,
    "aborted-stranded-empty",
    "the same after the abort delay: green has no pods, and traffic still goes there",
    lambda s: s.status.get("abortedAt") and s.live != s.stable and not s.pods_of(s.live),
)
async def _(scene: Scene) -> Mochiapp:
    app = await verifying(scene, keep_aborted_for=1)
    green = (await app.state()).current
    await app.pods_become(green, ready=False)
    await app.until(lambda s: s.ready_behind(ACTIVE) == 1)
    await app.idle()
    await app.abort()
    await app.until(lambda s: s.replicas(green) == 0 and not s.pods_of(green))
    await app.reconciled()
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


@row(
    10,
    "first-starting",
    "the first version, before any pod is ready: stable, and the active Service selects it",
    lambda s: s.observed and s.ready_behind(ACTIVE) == 0,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install(live=False, image=NEVER_READY)
    await app.until(lambda s: s.observed and len(s.pods_of(s.current)) == 2)
    await app.reconciled()
    return app


@row(
    11,
    "verifying",
    "green is live, and its analysis after the promotion runs: blue is still stable",
    lambda s: s.observed and s.current == s.live != s.stable,
)
async def _(scene: Scene) -> Mochiapp:
    return await verifying(scene)


@row(
    12,
    "live-without-deadline",
    "live on green, blue's delay is over and its pods are gone",
    lambda s: s.healthy_on(s.current) and not s.deadline(s.live) and len(s.pods) == 2,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install(keep_old_for=1)
    await app.promoted(GREEN)
    await app.until(lambda s: len(s.pods) == 2 and s.ready_behind(ACTIVE) == 2)
    return app


@row(
    12,
    "switched-before-the-deadline",
    "live on green, in the moment before blue has a deadline: no instant rollback by the template yet",
    lambda s: s.image(s.live) == GREEN and not any(s.deadline(each) for each in s.hashes(BLUE)),
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    shown = await app.previewing(GREEN)
    hold = await scene.hold(app, SERVICE_SWITCHED)
    await app.idle()
    status, body = await app.approve(shown)
    assert status == HTTPStatus.OK, body
    await hold.arrived()
    return app


@row(
    12,
    "home-by-the-service",
    "fully promoted, then the active Service set back to blue: traffic is home, the Rollout still asks for green",
    lambda s: s.observed and s.image(s.live) == BLUE and s.image(s.current) == GREEN,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    blue = await app.state()
    await app.promoted(GREEN)
    await app.send_traffic_to(blue.live)
    await app.until(lambda s: s.ready_behind(ACTIVE) == 2)
    await app.reconciled()
    return app


@row(
    12,
    "home-for-good",
    "and then blue's template written back: Healthy on blue, green has a deadline",
    lambda s: s.healthy_on(s.current) and s.image(s.live) == BLUE and any(map(s.deadline, s.hashes(GREEN))),
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    blue = await app.state()
    await app.promoted(GREEN)
    await app.send_traffic_to(blue.live)
    await app.write_template(blue.template)
    await app.nudged_until(lambda s: s.healthy_on(blue.live) and any(map(s.deadline, s.hashes(GREEN))))
    return app


@row(
    13,
    "live-with-unready-pods",
    "live on blue with one pod that is no longer ready",
    lambda s: s.current == s.live == s.stable and s.status.get("availableReplicas") == 1,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.pods_become((await app.state()).live, ready=False)
    await app.until(lambda s: s.phase == "Progressing" and s.ready_behind(ACTIVE) == 1)
    return app


@row(
    13,
    "active-without-hash",
    "live on blue, and the active Service lost its hash: until the controller looks, nobody puts it back",
    lambda s: s.observed and s.live == "" and s.stable,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.select(ACTIVE, **{HASH: None})
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
    13,
    "active-with-unknown-hash",
    "live on blue, and the active Service was pointed at a set that does not exist",
    lambda s: s.observed and s.live == "0000000000" and s.ready_behind(ACTIVE) == 0,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install()
    await app.send_traffic_to("0000000000", manager="kubectl-patch")
    await app.until(lambda s: s.ready_behind(ACTIVE) == 0)
    await app.reconciled()
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


async def verifying(scene: Scene, **manifest: Any) -> Mochiapp:
    app = await scene.install(templates=(check("verify", "nopull"),), postPromotionAnalysis=gates("verify"), **manifest)
    shown = await app.previewing(GREEN)
    status, body = await app.approve(shown)
    assert status == HTTPStatus.OK, body
    await app.nudged_until(lambda s: s.observed and s.current == s.live != s.stable and s.analysisruns)
    await app.idle()
    return app
