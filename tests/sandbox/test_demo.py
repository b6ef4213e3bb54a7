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

from bot.policy import Policy, read_policy
from bot.registry import RegistryHost
from bot.release.app import Argo, Native
from sandbox import demo as demonstration
from sandbox.apps import APPS, DANGO, MOCHI
from sandbox.demo import Demo, Sites, configuration, step
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
    assert step(MOCHI, [card(line) for line in cards], live) == expected


def policy(tmp_path: Path, *, fast: bool) -> Policy:
    file = tmp_path / "greenlight.toml"
    sites = {app: Sites(f"http://{app.name}.localhost/", f"http://preview.{app.name}.localhost/") for app in APPS}
    text = configuration(DiscordServer(demonstration.WORLD), "127.0.0.1:5000", sites, fast=fast)
    file.write_text(text, encoding="utf-8")
    return read_policy(file)


@pytest.mark.parametrize("fast", [True, False])
def test_the_bot_accepts_the_demos_configuration(tmp_path, fast):
    read = policy(tmp_path, fast=fast)
    assert read.registries == {"127.0.0.1:5000": RegistryHost(insecure=True)}
    mochi, dango = read.apps["mochi"], read.apps["dango"]
    assert (mochi.image, type(mochi.target)) == ("127.0.0.1:5000/mochi", Native)
    assert (dango.image, dango.target) == ("", Argo("dango"))
    assert mochi.channel != dango.channel


def test_argo_rollouts_keeps_the_previous_pods_for_as_long_as_the_file_promises(tmp_path):
    [rollout] = [each for each in DANGO.manifests("127.0.0.1:5000/dango") if each["kind"] == "Rollout"]
    kept = rollout["spec"]["strategy"]["blueGreen"]["scaleDownDelaySeconds"]
    assert kept == policy(tmp_path, fast=False).apps["dango"].timing.warm_for.total_seconds()


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    async with demonstration.running(fast=True) as running:
        yield running


async def shown(demo: Demo, name: str) -> dict:
    """What the page is told of an app."""
    return next(app for app in (await demo.state())["apps"] if app["name"] == name)


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
async def test_the_story_of_the_demo_from_what_is_live_to_what_is_next_and_back(demo, app):
    people, channel = demo.discord.people, demo.discord.channel_id(app.name)

    async def shows(sign: str, words: str = "") -> Message:
        def reached() -> Message | None:
            cards = demo.cards(app)
            return cards[-1] if cards and cards[-1].content.startswith(sign) and words in cards[-1].content else None

        try:
            return await demo.discord.until(reached, within=30, what=f"the card shows {sign} {words}")
        except TimeoutError as late:
            told = "\n".join(message.text for message in demo.discord.messages(channel))
            raise AssertionError(f"{late}\n{told}\n{demo.bot.last_lines()}") from None

    assert await demo.live(app) == app.live
    assert (await shown(demo, app.name))["step"] == "deploy"
    reply = await people["ann"].slash(channel, "deploy", image=app.next)
    assert reply.ephemeral, reply.text
    waiting = await shows("🟡")
    # On the page one can only join a reaction that is there; the bot puts its own once votes count.
    await demo.discord.until(
        lambda: "Greenlight" in demo.discord.message(channel, waiting.id).reactions.get("✅", ()), what="the bot's ✅"
    )
    now = await shown(demo, app.name)
    assert (now["production"]["version"], now["preview"]["version"]) == (app.live, app.next)
    await people["kim"].react(waiting, "✅")
    await people["leo"].react(waiting, "✅")
    now_live = await shows("🟢")
    assert await demo.live(app) == app.next
    form = await people["sam"].click(now_live, "Roll back")
    assert "at once" in str(form.modal)
    await people["sam"].submit_modal(form)
    await shows("🟠", "rolled back")
    assert await demo.live(app) == app.live
    assert (await shown(demo, app.name))["step"] == "done"
    also = (await shown(demo, app.name))["also"]
    assert also == ("image:slow, image:flaky" if app is MOCHI else "image:crash, /status")
    for other in set(APPS) - {app}:
        assert (await demo.live(other), (await shown(demo, other.name))["step"]) == (other.live, "deploy")
        assert demo.cards(other) == []
    assert demo.discord.rest.gaps == []


async def told(demo: Demo, words: str, within: float = 60) -> Message:
    """The first card of mochi that says so."""

    def reached() -> Message | None:
        return next((card for card in demo.cards(MOCHI) if words in card.text), None)

    try:
        return await demo.discord.until(reached, within=within, what=f"the card shows {words}")
    except TimeoutError as late:
        raise AssertionError(f"{late}\n{[card.text for card in demo.cards(MOCHI)]}\n{demo.bot.last_lines()}") from None


async def test_a_version_that_is_too_slow_does_not_pass_its_load_test(demo):
    people, channel = demo.discord.people, demo.discord.channel_id(MOCHI.name)
    await people["ann"].slash(channel, "deploy", image="slow")
    failed = await told(demo, "load (k6) failed")
    [thread] = demo.discord.threads(channel).values()

    def whole() -> Message | None:
        return next((each for each in demo.discord.messages(thread) if each.files), None)

    result = await demo.discord.until(whole, within=10, what="the whole result is in the thread")
    assert result.files == ("load.json",)
    assert "it answers" in result.content
    assert f"<#{thread}>" in (await told(demo, f"<#{thread}>")).text
    await people["kim"].react(failed, "✅")
    await people["leo"].react(failed, "✅")
    await told(demo, "cannot be promoted yet: gate load failed: http")
    assert await demo.live(MOCHI) == MOCHI.live


async def test_a_version_that_turns_bad_after_the_switch_is_rolled_back_before_anybody_presses_anything(demo):
    people, channel = demo.discord.people, demo.discord.channel_id(MOCHI.name)
    await people["ann"].slash(channel, "deploy", image="flaky")
    passed = await told(demo, "load (k6) passed")
    await people["kim"].react(passed, "✅")
    await people["leo"].react(passed, "✅")
    back = await told(demo, "rolled back to `mochi:blue`", within=30)
    why = r"guard public failed: .* answered 500, not 200 \(3 in a row\)"
    assert re.match(rf"🟠 mochi #1 \(flaky\) was rolled back to `mochi:blue` after \d+ s: {why}", back.content)
    assert await demo.live(MOCHI) == MOCHI.live


async def test_a_stranger_may_not_deploy(demo):
    for app in APPS:
        reply = await demo.discord.people["guest"].slash(demo.discord.channel_id(app.name), "deploy", image=app.next)
        assert reply.ephemeral
        assert demo.cards(app) == []


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
