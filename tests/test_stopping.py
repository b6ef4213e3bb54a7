"""How the bot ends when a part of it does not want to: it is cut off, and at last the process ends itself."""

import asyncio
import signal
import sys

import pytest

from bot import stopping

SCRIPT = """
import asyncio, sys, time
from bot import stopping

stopping.WITHIN = 0.5

async def hangs():
    print("at work", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        {how}

asyncio.run(stopping.until_stopped(hangs()))
"""
HANGS = {
    "the loop": "time.sleep(60)",
    "a task": "await asyncio.Event().wait()",
    "a thread": "await asyncio.to_thread(time.sleep, 60)",
    "nothing": "pass",
}


@pytest.mark.parametrize("how", HANGS)
async def test_whatever_hangs_the_process_ends_with_0(pytestconfig, how):
    """Whoever waits for its place need not wait longer: a bot that is killed goes on where it was."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT.format(how=HANGS[how]),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(pytestconfig.rootpath)},
    )
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"at work\n"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_a_part_that_ends_by_an_error_ends_the_others_and_is_what_is_raised():
    ended = []

    async def works():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("works")

    async def fails():
        await asyncio.sleep(0)
        raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        await stopping.together(works(), fails())
    assert ended == ["works"]


async def test_a_part_that_does_not_listen_does_not_keep_the_others(monkeypatch):
    monkeypatch.setattr(stopping, "PARTS_WITHIN", 0.05)
    let_go = asyncio.Event()

    async def deaf():
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    async def ends():
        await asyncio.sleep(0)

    await stopping.together(deaf(), ends())
    let_go.set()


async def test_whoever_is_still_at_work_for_somebody_may_finish_and_not_for_ever(monkeypatch):
    monkeypatch.setattr(stopping, "OTHERS_WITHIN", 0.2)
    before, done = asyncio.all_tasks(), []

    async def quick():
        await asyncio.sleep(0)
        done.append("quick")

    async def endless():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            done.append("cut off")

    tasks = [asyncio.create_task(quick()), asyncio.create_task(endless())]
    await stopping.let_finish(before)
    assert done == ["quick", "cut off"]
    assert all(task.done() for task in tasks)


async def test_a_goodbye_that_nobody_answers_is_given_up():
    await stopping.limited(asyncio.Event().wait, 0.01)()
