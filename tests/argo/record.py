"""Drives a real Rollout into every state that there is a rule for, and writes down what the API server shows of it.

Run by hand, when a state is added or another version of Argo Rollouts is to be known; README.md says how.
"""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cluster")]

import after_the_switch  # noqa: E402, F401 - they add to ROWS
import before_the_switch  # noqa: E402, F401
import click  # noqa: E402 - the line above is for what follows
from aiohttp import web  # noqa: E402
from deployed import Mochiapp, deployed  # noqa: E402
from hold import Hold, Notifications, held  # noqa: E402
from mochiapp import COLLECTIONS, rollout  # noqa: E402
from scenes import ROWS, Row, Scene  # noqa: E402
from state import State  # noqa: E402

from control_plane import NODE, ControlPlane, free_port  # noqa: E402
from places import BIN_DIR, argo_directory  # noqa: E402
from pod_maker import PodMaker  # noqa: E402
from rollouts import Rollouts  # noqa: E402

Json = dict[str, Any]

RECORDED = HERE / "recorded"
ATTEMPTS = 20
"""Some states last for milliseconds."""
SLOW_FOR = 3.0


@dataclass
class Stage:
    """Where the scenes are played."""

    plane: ControlPlane
    rollouts: Rollouts
    notifications: Notifications
    metric_url: str = ""

    async def record(self, row: Row) -> State:
        """The row's state with the controller frozen; AssertionError when it could not be caught."""
        for _ in range(ATTEMPTS):
            async with AsyncExitStack() as stack:
                try:
                    app = await row.play(_Scene(self, stack))
                    self.rollouts.freeze()
                    state = await app.state()
                finally:
                    self.rollouts.thaw()
                if row.holds(state):
                    return state
        raise AssertionError(f"{row.name} was not to be seen in {ATTEMPTS} attempts.")


@dataclass
class _Scene(Scene):
    stage: Stage
    stack: AsyncExitStack

    @property
    def rollouts(self) -> Rollouts:
        return self.stage.rollouts

    @property
    def metric_url(self) -> str:
        return self.stage.metric_url

    async def hold(self, app: Mochiapp, *triggers: str) -> Hold:
        return await self.stack.enter_async_context(held(app, self.stage.notifications, *triggers))

    async def install(self, *, live: bool = True, templates: tuple[Json, ...] = (), **manifest: Any) -> Mochiapp:
        namespace = f"mochi-{secrets.token_hex(4)}"
        made = deployed(self.rollouts, namespace, rollout(**manifest), templates)
        app = await self.stack.enter_async_context(made)
        if live:
            await app.live_on()
        return app


def write(row: Row, state: State, version: str) -> Path:
    """One object a line: so a file stays small, and what changes from one version to the next shows in a diff."""
    head = {"row": row.number, "name": row.name, "state": row.sentence, "argo_rollouts": version}
    lines = [f' "{key}": {json.dumps(value)}' for key, value in head.items()]
    lines.append(f' "rollout": {json.dumps(state.rollout)}')
    for collection in COLLECTIONS:
        if collection != "rollouts":
            items = ",\n  ".join(json.dumps(item) for item in getattr(state, collection))
            lines.append(f' "{collection}": [\n  {items}\n ]' if items else f' "{collection}": []')
    path = RECORDED / f"{row.name}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return path


async def play(stage: Stage, rows: list[Row]) -> None:
    async with _metric() as stage.metric_url:
        await _play(stage, rows)


@asynccontextmanager
async def _metric() -> AsyncIterator[str]:
    server = web.Application()

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"errors": 3})

    server.router.add_get("/", answer)
    runner = web.AppRunner(server, shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port := free_port())
        await site.start()
        yield f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


async def _play(stage: Stage, rows: list[Row]) -> None:
    for row in rows:
        state = await stage.record(row)
        path = write(row, state, stage.rollouts.version)
        click.echo(f"{row.number:>3}  {path.name:<28} {path.stat().st_size:>6} bytes  {row.sentence}")


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in ROWS]:
        click.echo(f"No such rows: {', '.join(unknown)}. There are: {', '.join(ROWS)}.", err=True)
        return 2
    RECORDED.mkdir(exist_ok=True)
    plane = ControlPlane(BIN_DIR)
    plane.start()
    try:
        maker = PodMaker(plane.url, plane.admin_token, plane.ssl_context, node=NODE, slow_for=SLOW_FOR)
        maker.start()
        rollouts = Rollouts(plane, argo_directory())
        rollouts.install()
        notifications = Notifications(plane)
        rollouts.start()
        stage = Stage(plane, rollouts, notifications)
        asyncio.run(play(stage, [ROWS[name] for name in names] or [*ROWS.values()]))
        maker.stop()
    finally:
        plane.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
