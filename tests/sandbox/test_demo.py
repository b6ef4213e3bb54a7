"""The demo as a person starts it: one command, one address, the story it tells, nothing left behind."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bot.policy import read_policy
from bot.registry import RegistryHost
from sandbox import demo as demonstration
from sandbox.demo import Demo, configuration, step
from sandbox.discord import DiscordServer, Message

ROOT = Path(__file__).parents[2]


def card(first_line: str) -> Message:
    return Message(1, 2, "Greenlight", first_line, (), (), {}, frozenset(), None, False, False, False, False)


@pytest.mark.parametrize(
    ("cards", "live", "expected"),
    [
        ([], "blue", "deploy"),
        ([], None, "deploy"),
        (["🔵 mochi #1 (green) is being prepared"], "blue", "approve"),
        (["🟡 mochi #1 (green) is waiting for QC and Lead"], "blue", "approve"),
        (["🟢 mochi #1 (green) is live"], "green", "rollback"),
        (["🟠 mochi #1 (green) was rolled back by @sam"], "blue", "done"),
        (["⚪ mochi #1 (crash) could not start"], "blue", "deploy"),
    ],
)
def test_the_page_marks_what_to_try_next(cards, live, expected):
    assert step([card(line) for line in cards], live) == expected


@pytest.mark.parametrize("fast", [True, False])
def test_the_bot_accepts_the_demos_configuration(tmp_path, fast):
    discord_server = DiscordServer(demonstration.WORLD)
    file = tmp_path / "greenlight.toml"
    file.write_text(
        configuration(discord_server, "127.0.0.1:5000", "http://localhost:8081/", "http://localhost:8082/", fast=fast),
        encoding="utf-8",
    )
    policy = read_policy(file)
    assert policy.registries == {"127.0.0.1:5000": RegistryHost(insecure=True)}
    assert policy.apps["mochi"].image == "127.0.0.1:5000/mochi"


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    async with demonstration.running(fast=True) as running:
        yield running


async def live(demo: Demo) -> str | None:
    return (await demo.state())["production"]["version"]


async def test_the_story_of_the_demo_from_blue_to_green_and_back(demo):
    people, channel = demo.discord.people, demo.discord.channel_id("mochi")

    async def shows(sign: str, words: str = "") -> Message:
        def reached() -> Message | None:
            cards = demo.cards()
            return cards[-1] if cards and cards[-1].content.startswith(sign) and words in cards[-1].content else None

        try:
            return await demo.discord.until(reached, within=30, what=f"the card shows {sign} {words}")
        except TimeoutError as late:
            shown = "\n".join(message.text for message in demo.discord.messages(channel))
            raise AssertionError(f"{late}\n{shown}\n{demo.bot.last_lines()}") from None

    assert await live(demo) == "blue"
    reply = await people["ann"].slash(channel, "deploy", image="green")
    assert reply.ephemeral, reply.text
    waiting = await shows("🟡")
    # On the page one can only join a reaction that is there; the bot puts its own once votes count.
    await demo.discord.until(
        lambda: "Greenlight" in demo.discord.message(channel, waiting.id).reactions.get("✅", ()), what="the bot's ✅"
    )
    assert (await demo.state())["preview"]["version"] == "green"
    await people["kim"].react(waiting, "✅")
    await people["leo"].react(waiting, "✅")
    now_live = await shows("🟢")
    assert await live(demo) == "green"
    form = await people["sam"].click(now_live, "Roll back")
    assert form.modal is not None
    await people["sam"].submit_modal(form)
    await shows("🟠", "rolled back")
    assert await live(demo) == "blue"
    assert demo.discord.rest.gaps == []


async def test_a_stranger_may_not_deploy(demo):
    channel = demo.discord.channel_id("mochi")
    reply = await demo.discord.people["guest"].slash(channel, "deploy", image="green")
    assert reply.ephemeral
    assert demo.cards() == []


async def test_ctrl_c_leaves_nothing_behind(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sandbox", "demo", "--no-browser", "--fast"),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            said = ""
            while "Press Roll back." not in said:
                line = await process.stdout.readline()
                assert line, (said, (await process.stderr.read()).decode())
                said += line.decode()
            url = re.search(r"http://127\.0\.0\.1:\d+/", said)[0]
            async with aiohttp.ClientSession() as session:
                async with session.get(url) as page:
                    assert "Greenlight demo" in await page.text()
                async with session.get(f"{url}state") as answer:
                    state = await answer.json()
            assert [person["name"] for person in state["people"]] == ["ann", "kim", "leo", "sam", "guest"]
            assert _processes_of(tmp_path) in ({"sandbox", "bot"}, None)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0, (await process.stderr.read()).decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert list(tmp_path.iterdir()) == []
    assert not _processes_of(tmp_path)
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_a_demo_that_is_killed_takes_its_bot_along(tmp_path):
    """A test run that is cut off must not leave bots that ask a dead Discord for ever."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sandbox", "demo", "--no-browser", "--fast"),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            while b"Press Roll back." not in (line := await process.stdout.readline()):
                assert line or not process.stdout.at_eof()
            watched = os.pidfd_open(_only_child(process.pid))
            ended = asyncio.Event()
            asyncio.get_running_loop().add_reader(watched, ended.set)
            process.kill()
            await ended.wait()
            asyncio.get_running_loop().remove_reader(watched)
            os.close(watched)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _only_child(pid: int) -> int:
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(child)


def _processes_of(folder: Path) -> set[str] | None:
    """The modules that Python processes run which were started with this folder for temporary files; None: unknown."""
    if not Path("/proc/self/environ").exists():
        return None
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            mine = f"TMPDIR={folder}".encode() in (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mine and b"-m" in command:
            found.add(command[command.index(b"-m") + 1].decode())
    return found
