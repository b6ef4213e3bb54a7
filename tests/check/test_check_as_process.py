"""`greenlight check` as its own process: what scripts and people get of it."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from sandbox.bot_process import BotProcess

ROOT = Path(__file__).parents[2]


@pytest.fixture
def greenlight(team):
    async def run(*arguments: str) -> tuple[int, str, str]:
        base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            *arguments,
            cwd=team.folder,
            env=base | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"} | team.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    return run


async def test_a_warning_is_no_reason_to_fail_and_stands_in_the_table_with_its_fix(greenlight, team):
    await team.change("deployments", "mochiapp-blue", {"spec": {"replicas": 1}})
    code, out, err = await greenlight("check")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  warn  pods  "))
    assert lines[start + 2].strip() == "fix: Run at least two."
    assert lines[-1] == "All is right, with 1 warning."
    assert "\x1b" not in out  # nobody looks at it: no colours


async def test_scripts_get_findings_with_stable_keys_and_an_exit_code(greenlight, team):
    team.reconfigure(deployers=4711)
    code, out, err = await greenlight("check", "--json")
    assert (code, err) == (1, "")
    found = json.loads(out)
    assert {tuple(each) for each in found} == {("part", "about", "state", "sentence", "fix", "paste")}
    assert [each for each in found if each["state"] != "ok"] == [
        {
            "part": "app mochi",
            "about": "role 4711",
            "state": "fail",
            "sentence": "is no role of Mochi Ltd: nobody has it.",
            "fix": "Put the id of a role of your team into `deployers` of [apps.mochi].",
            "paste": "",
        }
    ]
    assert team.discord.token not in out


async def test_wrong_settings_are_findings_too_and_exit_2(greenlight, team):
    team.reconfigure(more='flavour = "matcha"')
    code, out, err = await greenlight("check", "--json")
    assert (code, err) == (2, "")
    [found] = json.loads(out)
    assert (found["part"], found["state"]) == ("settings", "fail")
    assert found["sentence"].startswith(f"{team.folder / 'greenlight.toml'}:")
    assert "[apps.mochi] flavour: is not known" in found["sentence"]


async def test_a_bot_that_is_running_is_checked_and_not_disturbed(greenlight, team):
    """The first thing that somebody does whose bot does not do what was expected."""
    bot = BotProcess(team.environment, team.folder / "bot.log")
    await bot.start()
    try:
        await team.discord.bot_ready("deploy", "rollback", within=45)
        code, out, err = await greenlight("check", "--json")
        assert (code, err) == (0, ""), out
        told = {each["about"]: each for each in json.loads(out)}
        assert told["commands"]["sentence"] == "/deploy, /history, /releases, /rollback, /status"
        assert told["database"]["sentence"].endswith("greenlight.db is up to date.")
        assert team.discord.gateway.identified == 1
    finally:
        await bot.stop()
    assert await bot.ended() == 0, bot.last_lines()
