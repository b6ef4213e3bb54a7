"""The states that a Rollout can be seen in, each with the way into it; README.md has the rules that are numbered."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from deployed import Mochiapp
from hold import Notifications
from mochiapp import ACTIVE, NEVER_READY, PREVIEW, REPOSITORY
from state import State

from rollouts import Rollouts

Json = dict[str, Any]

# As Greenlight writes them: by digest, and with the release's name.
GREEN, PURPLE = (f"{REPOSITORY}@sha256:{tag.encode().hex():0<64}" for tag in ("green", "purple"))


class Scene(Protocol):
    """What a row may use; it is cleared up behind it."""

    rollouts: Rollouts
    notifications: Notifications

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
