"""SIGTERM while something is under way: within ten seconds the bot is gone, with exit code 0, and nothing half done."""

import asyncio
import json
import signal
import sqlite3
import time
from contextlib import closing

import filelock
import pytest
from installed import Mochi
from team import APPROVE, Team, until

import mochi
from bot.clusters.cluster import LABEL
from bot.clusters.patches import pointer
from bot.clusters.reading import selector

TEN_SECONDS = 10.0


class Deaf:
    """Discord's REST API, which takes a request and never answers once it is `on`."""

    def __init__(self, rest) -> None:
        self._serve, rest.serve = rest.serve, self.serve
        self.on = False
        self.met = asyncio.Event()

    async def serve(self, request):
        if self.on:
            self.met.set()
            await asyncio.Event().wait()
        return await self._serve(request)


@pytest.fixture
async def team(target, tmp_path):
    made = Team(target, tmp_path)
    made.deaf = Deaf(made.discord.rest)
    async with made.at_work():
        await target.apply(mochi.mochi(target.namespace, live_image=made.image("blue")))
        made.mochi = Mochi(target)
        await made.mochi.serving(2)
        yield made
        await made.bot.stop()


async def stopped(team, *signals):
    """The seconds that it took from the first signal; its exit code is 0."""
    began = time.monotonic()
    for each in signals or (signal.SIGTERM,):
        team.bot.send(each)
    code = await asyncio.wait_for(team.bot.ended(), 30)
    took = time.monotonic() - began
    assert code == 0, team.bot.last_lines()
    assert took < TEN_SECONDS, team.bot.last_lines()
    assert "Traceback" not in team.log.read_text(), team.bot.last_lines()
    return took


def journal(team):
    with closing(sqlite3.connect(team.folder / "greenlight.db")) as raw:
        return [kind for (kind,) in raw.execute("SELECT kind FROM events ORDER BY id")]


async def approved(team, hold):
    """A release whose switch is held by the API server."""
    await team.start_bot()
    await team.person("ann").slash(team.channel, "deploy", image="green")
    waiting = await team.ballot()
    fault = hold()
    await team.person("kim").react(waiting, APPROVE)
    await team.person("leo").react(waiting, APPROVE)
    await asyncio.wait_for(fault.met.wait(), 30)
    return fault


SWITCH = ("PATCH", r"/services/mochiapp\?")


@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
async def test_a_write_that_is_answered_while_the_bot_stops_is_recorded_with_its_outcome(team, sandbox):
    """And nothing more is begun: what follows from it is the next process's matter."""
    held = await approved(team, lambda: sandbox.cluster.server.faults.hold(*SWITCH))
    team.bot.send(signal.SIGTERM)
    await team.said("stopping")
    held.released.set()
    await stopped(team)
    assert journal(team)[-2:] == ["intent", "written"]
    writes = len(sandbox.cluster.server.writes)
    await team.start_bot()
    await team.card("🟢", "mochi #1 (green) is live")
    assert len(sandbox.cluster.server.writes) == writes


@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
async def test_a_write_that_is_never_answered_is_handed_over_as_unknown(team, sandbox):
    """It is carried out after the process is gone; the next one reads before it writes, so there is one switch (I2)."""
    held = await approved(team, lambda: sandbox.cluster.server.faults.hold(*SWITCH))
    await stopped(team)
    assert journal(team)[-2:] == ["intent", "unknown"]
    held.released.set()
    await team.start_bot()
    await team.card("🟢", "mochi #1 (green) is live")
    service = await team.mochi.service()
    label = selector(service)[LABEL]
    given = json.dumps({"op": "add", "path": pointer("spec", "selector", LABEL), "value": label}).encode()
    moved = [write for write in sandbox.cluster.server.writes if write.status == 200 and given in write.body]
    assert len([write for write in moved if write.path.endswith("/services/mochiapp")]) == 1


@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
async def test_a_second_signal_does_no_harm(team, sandbox):
    await approved(team, lambda: sandbox.cluster.server.faults.hold(*SWITCH))
    await stopped(team, signal.SIGTERM, signal.SIGTERM, signal.SIGINT)
    assert journal(team)[-2:] == ["intent", "unknown"]


@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
async def test_a_database_that_is_locked_does_not_keep_the_bot(team):
    """A vote is being recorded, and waits for whoever has the file."""
    await team.start_bot()
    await team.person("ann").slash(team.channel, "deploy", image="green")
    waiting = await team.ballot()
    with closing(sqlite3.connect(team.folder / "greenlight.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        await team.person("kim").react(waiting, APPROVE)
        await stopped(team)


@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
async def test_a_discord_that_does_not_answer_does_not_keep_the_bot(team):
    """Neither a request that is under way nor the goodbye on the gateway."""
    await team.start_bot()
    team.deaf.on = True
    asking = asyncio.create_task(team.person("ann").slash(team.channel, "deploy", image="green"))
    await asyncio.wait_for(team.deaf.met.wait(), 30)
    await stopped(team)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
async def test_a_bot_that_has_not_logged_in_yet_stops_as_well(team):
    """Discord is away, so it waits to try again."""
    team.discord.faults.add("GET", "/users/@me", status=500, times=1000)
    await team.launch_bot()
    await team.said("Discord does not answer")
    await stopped(team)


@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
async def test_a_bot_that_waits_for_another_to_leave_stops_as_well(team):
    """Before its tables are looked at, and before it has said a word to anybody."""
    await team.start_bot()
    first = team.bot
    await team.launch_bot()
    await team.said("another Greenlight is running on this database")
    await stopped(team)
    team.bot = first


@pytest.mark.parametrize("target", ["sandbox"], indirect=True)
async def test_a_bot_that_waits_for_the_tables_stops_as_well(team):
    """Another process migrates them, and a thread of ours waits for that: what cannot be cancelled is left behind."""
    with filelock.FileLock(team.folder / "greenlight.db.lock"):
        await team.launch_bot()
        await until((team.folder / "greenlight.db.running").exists, within=30)
        await stopped(team)
