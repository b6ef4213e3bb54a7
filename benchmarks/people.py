"""From what people do until the traffic has moved, beside a client that sends nothing but the patch."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.stage import APPROVE, QUIET_FOR, SLOTS, Json, Stage, process, stage
from sandbox.registry import Registry

ROUND_TRIPS = (0.0, 0.005, 0.020, 0.080)
"""Seconds, on the connection to Discord and on that to the API server."""
QUEUED = 1000
"""Events that arrive before a press."""


@dataclass(frozen=True)
class Row:
    """Seconds; `bare` are those of the client beside it, measured in turn with the others."""

    what: str
    rtt: float
    took: Sequence[float]
    bare: Sequence[float]

    @property
    def ratio(self) -> float:
        return median(self.took) / median(self.bare)

    @property
    def p99(self) -> float:
        return p99(self.took)


def p99(took: Sequence[float]) -> float:
    return quantiles(took, n=100, method="inclusive")[98] if len(took) > 1 else took[0]


async def measure(each: int) -> tuple[list[Row], list[Row]]:
    """Votes (B-01) and rollbacks (B-03), `each` for every round trip."""
    names = [f"app-{number}" for number in range(each * len(ROUND_TRIPS))]

    @asynccontextmanager
    async def cluster(registry: Registry) -> AsyncIterator[Json]:
        asked = {"names": names, "image": f"{registry.host}/mochi:blue", "digests": registry.digests}
        async with process("-m", "benchmarks.cluster", json.dumps(asked)) as said:
            yield said

    async with stage(cluster, dict.fromkeys(names, SLOTS)) as made:
        shares = [made.apps[start :: len(ROUND_TRIPS)] for start in range(len(ROUND_TRIPS))]
        for app in made.apps:
            await made.discord.people["ann"].slash(made.channel, "deploy", app=app, image="green")
        for app in made.apps:
            await made.discord.people["kim"].react(await made.ballot(app), APPROVE)
        votes = [await _votes(made, rtt, apps) for rtt, apps in zip(ROUND_TRIPS, shares, strict=True)]
        await made.registry.stop()
        rollbacks = [await _rollbacks(made, rtt, apps) for rtt, apps in zip(ROUND_TRIPS, shares, strict=True)]
        return votes, rollbacks


async def _votes(made: Stage, rtt: float, apps: Sequence[str]) -> Row:
    """The last approving vote received at the gateway → the switch answered."""
    took, bare = [], []
    made.rtt(rtt)
    for number, app in enumerate(apps):
        ballot = await made.ballot(app)
        await made.quiet()
        bare.append(await made.bare_patch(number))
        await made.quiet()
        voted = asyncio.get_running_loop().time()
        await made.discord.people["leo"].react(ballot, APPROVE)
        [switched] = await made.patches(app, voted)
        took.append(switched - voted - rtt / 2)  # the vote's own way to the bot is not the bot's
        await made.card(app, "🟢")
    return Row("vote → switched", rtt, took, bare)


async def _rollbacks(made: Stage, rtt: float, apps: Sequence[str]) -> Row:
    """The press received → the traffic is home, while Discord's REST and the registry are down and a thousand events
    stand before it, on the wire: what they cost the simulated Discord is not the bot's. Asserts what a time cannot
    tell: one write to the Service, and no new pod.
    """
    people = made.ports[1]
    took, bare = [], []
    made.rtt(rtt)
    for number, app in enumerate(apps):
        await made.quiet()
        bare.append(await made.bare_patch(number))
        form = await made.discord.people["sam"].click(await made.card(app, "🟢"), "Roll back")
        pods = await made.pods(app)
        made.discord.faults.add(status=502, times=1_000_000)
        await made.quiet()
        people.open.clear()
        made.chatter(app, QUEUED)
        submitting = asyncio.create_task(made.discord.people["sam"].submit_modal(form, reason="too slow"))
        await asyncio.sleep(0)
        await people.quiet(QUIET_FOR + rtt)
        pressed = asyncio.get_running_loop().time()
        people.open.set()
        written = await made.patches(app, pressed)
        took.append(written[0] - pressed)
        if len(written) != 1 or not await made.pods(app) <= pods:
            raise RuntimeError(
                f"{app} was rolled back with {len(written)} writes: {await made.pods(app) - pods} are new"
            )
        made.discord.faults.clear()
        submitting.cancel()
        await asyncio.gather(submitting, return_exceptions=True)
        await made.card(app, "🟠")
    return Row("roll back → traffic home", rtt, took, bare)
