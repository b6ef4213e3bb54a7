"""The bot as its own operating system process, unmodified: started, watched, stopped."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

OURS = ("DISCORD_", "GREENLIGHT_", "DATABASE_URL", "KUBECONFIG", "DOCKER_CONFIG", "LOG_")
"""Settings of the person's own bot must not reach the demo's."""
ROOT = Path(__file__).resolve().parent.parent
STOP_WITHIN = 10.0
SHOWN_LINES = 15


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
