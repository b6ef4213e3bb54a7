"""I13: of two bots on one database the second does not start and says who is there; one that is leaving is awaited."""

import asyncio
import os
import signal
import socket
import sys
from datetime import UTC, datetime

import pytest

from bot.store import Unusable, exclusive

HOLDER = """
import asyncio, sys
from datetime import UTC, datetime
from bot.store import exclusive

async def hold(url):
    async with exclusive(url, lambda: datetime(2026, 1, 5, 9, 0, tzinfo=UTC)):
        print("held", flush=True)
        sys.stdin.readline()

asyncio.run(hold(sys.argv[1]))
"""


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def url(tmp_path):
    return f"sqlite+aiosqlite:///{tmp_path / 'green light.db'}"


@pytest.fixture
async def holder(url, pytestconfig):
    """Another process that has it."""
    pipe, path = asyncio.subprocess.PIPE, {"PYTHONPATH": str(pytestconfig.rootpath)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, url, stdin=pipe, stdout=pipe, env=path)
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"held\n"
        yield process
        if process.returncode is None:
            await process.communicate(b"go\n")


async def test_i13_a_second_bot_is_told_who_is_there_and_what_to_do(url, holder, tmp_path):
    with pytest.raises(Unusable) as refused:
        async with exclusive(url, now, wait=0):
            pytest.fail("two at once")
    assert str(refused.value) == (
        f"DATABASE_URL: {tmp_path}/green light.db: another Greenlight is running on it "
        f"(host {socket.gethostname()}, process {holder.pid}, since 2026-01-05 09:00 UTC): "
        "stop that one first. Two would both do what is asked of one."
    )


async def test_a_bot_that_is_on_its_way_out_is_waited_for(url, holder):
    """As a rolling restart needs it."""

    async def leave() -> None:
        await holder.communicate(b"go\n")

    async def take() -> None:
        async with exclusive(url, now, wait=30):
            pass

    await asyncio.gather(take(), leave())
    assert holder.returncode == 0


async def test_a_bot_that_was_killed_holds_nothing(url, holder, tmp_path):
    """What it said of itself is still there, and stops nobody."""
    holder.send_signal(signal.SIGKILL)
    await holder.wait()
    said = tmp_path / "green light.db.running"
    assert str(holder.pid) in said.read_text()
    async with exclusive(url, now, wait=0):
        assert f"process {os.getpid()}," in said.read_text()
    assert not said.exists()


async def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match=r"^DATABASE_URL: .*/file/green.db: .*: Greenlight must be able to write"):
        async with exclusive(f"sqlite+aiosqlite:///{tmp_path}/file/green.db", now):
            pytest.fail("there is no such folder")


async def test_a_database_without_a_file_needs_no_lock():
    async with exclusive("sqlite+aiosqlite://", now), exclusive("sqlite+aiosqlite://", now):
        pass
