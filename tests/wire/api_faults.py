"""What the tests of a failing API server share: the cluster of the sandbox, reached as the bot reaches it."""

import contextlib
import json
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

for _folder in ("contract", "cluster"):
    sys.path.insert(0, str(Path(__file__).parents[1] / _folder))

import role  # noqa: E402 - the lines above are for what follows
from installed import Mochi, selectors  # noqa: E402
from staff import Greenlight, greenlight  # noqa: E402
from targets import Sandbox  # noqa: E402

import mochi  # noqa: E402
from bot.clusters.api import KubeApi, Patience  # noqa: E402
from bot.release.app import Timing  # noqa: E402
from bot.store import migrate  # noqa: E402
from sandbox.cluster import Cluster, wall_clock  # noqa: E402
from world import REPOSITORY, TAGS, digest, example  # noqa: E402

__all__ = ["NAMESPACE", "SHORT", "Mochi", "Sandbox", "cluster", "crew", "kubeconfig", "reached", "selectors"]

Json = dict[str, Any]
NAMESPACE = "mochi"
SHORT = Patience(call=0.6, write=0.4, silence=0.4)
"""For faults that only patience ends."""
HOURS = timedelta(hours=9)
UNDER_LOAD = Patience(call=3.0, write=0.5)
"""The same, where many calls have to come through."""


@asynccontextmanager
async def cluster(tls: ssl.SSLContext | None = None, **settings: Any) -> AsyncIterator[Cluster]:
    """Mochi with blue live, served."""
    made = Cluster(now=wall_clock, seed=7, **settings)
    made.apply(mochi.mochi(NAMESPACE, live_image=f"{REPOSITORY}:blue"))
    await made.start(tls=tls)
    try:
        yield made
    finally:
        await made.stop()


def kubeconfig(place: Path, cluster: Cluster, *, user: Json | None = None, **more: Any) -> Path:
    """A file for this cluster; `user` instead of its administrator's token, `more` goes to its `cluster`."""
    made = cluster.kubeconfig()
    made["clusters"][0]["cluster"] |= more
    if user is not None:
        made["users"][0]["user"] = user
    place.write_text(json.dumps(made))
    return place


@asynccontextmanager
async def reached(kubeconfig: Path | None, patience: Patience | None = None) -> AsyncIterator[KubeApi]:
    api = await KubeApi.connect(kubeconfig=None if kubeconfig is None else str(kubeconfig), patience=patience)
    async with contextlib.aclosing(_closing(api)):
        yield api


class _closing:  # noqa: N801 - `aclosing` wants the method under this name
    def __init__(self, api: KubeApi) -> None:
        self.aclose = api.close


@asynccontextmanager
async def crew(folder: Path, patience: Patience = UNDER_LOAD) -> AsyncIterator[tuple[Sandbox, Mochi, Greenlight]]:
    """The cluster, what its administrator sees of Mochi, and Greenlight at work on it with the shipped rights."""
    target = Sandbox(NAMESPACE)
    target.knows({digest(tag): tag for tag in TAGS})
    async with target.running():
        await target.apply(mochi.mochi(NAMESPACE, live_image=f"{REPOSITORY}:blue"))
        installed = Mochi(target)
        await installed.serving(2)
        timing = Timing(stage_within=HOURS, promote_within=HOURS, grace=HOURS, bake_for=HOURS)
        (folder / "kubeconfig").write_text(json.dumps(await target.kubeconfig(role.rules())))
        await migrate(f"sqlite+aiosqlite:///{folder / 'greenlight.db'}")
        app = replace(example(timing=timing), namespace=NAMESPACE)
        async with greenlight(app, folder / "kubeconfig", folder / "greenlight.db", patience) as bot:
            yield target, installed, bot
