"""The bot as its own operating system process, unmodified: started, watched, stopped."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

OURS = ("DISCORD_", "GREENLIGHT_", "DATABASE_URL", "KUBECONFIG", "DOCKER_CONFIG", "LOG_")
"""Settings of the person's own bot must not reach the demo's."""
ROOT = Path(__file__).resolve().parent.parent
STOP_WITHIN = 10.0
SHOWN_LINES = 15


PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""


def _die_with_parent() -> Callable[[], None] | None:
    """For the child before it becomes the bot: end when we end, also if we are killed and can stop nothing (Linux)."""
    if sys.platform != "linux":
        return None
    # Looked up before the fork: afterwards as little as possible may run.
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)

    return ask


class BotProcess:
    """`python -m bot run` with these settings; what it prints goes to `log`."""

    def __init__(self, settings: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith(OURS)} | {
            **settings,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "bot",
                "run",
                # Python looks for `bot` in the working directory first: that must not be just anyone's.
                cwd=self._log.parent,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C reaches a terminal's whole group; the bot shall get one signal, and from us.
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )

    async def ended(self) -> int:
        """The exit code, once it has one."""
        if self._process is None:
            raise RuntimeError("the bot was not started")
        return await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if it does not end in time."""
        process = self._process
        if process is None:
            return
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(kind)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_WITHIN)
                return

    def last_lines(self) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:])
        return ""
