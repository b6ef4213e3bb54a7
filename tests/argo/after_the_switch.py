"""States after the switch, and of what has never been switched; README.md has the rules that are numbered."""

from http import HTTPStatus
from typing import Any

from deployed import Mochiapp
from hold import SERVICE_SWITCHED
from mochiapp import ACTIVE, BLUE, GREEN, HASH, NEVER_READY, check
from scenes import Scene, row


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
    12,
    "live-without-deadline",
    "live on green, blue's delay is over and its pods are gone",
    lambda s: s.healthy_on(s.current) and not s.deadline(s.live) and len(s.pods) == 2,
)
async def _(scene: Scene) -> Mochiapp:
    app = await scene.install(keep_old_for=1)
    await app.promoted(GREEN, kept=False)
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


async def verifying(scene: Scene, **manifest: Any) -> Mochiapp:
    app = await scene.install(
        templates=(check("verify", "nopull"),),
        postPromotionAnalysis={"templates": [{"templateName": "verify"}]},
        **manifest,
    )
    shown = await app.previewing(GREEN)
    status, body = await app.approve(shown)
    assert status == HTTPStatus.OK, body
    await app.nudged_until(lambda s: s.observed and s.current == s.live != s.stable and s.analysisruns)
    await app.idle()
    return app
