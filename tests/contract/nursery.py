"""Starts bots quickly: one process imports everything once and forks each bot, which is then a process of its own.

What runs in the fork is `greenlight run`, unmodified. Servers outside can kill it at what it asks of them; what it
writes to its file is seen from inside only, so a bot may be told to kill itself at a write of the store.
"""

import itertools
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.bot_process import _die_with_parent


@dataclass(frozen=True)
class Birth:
    folder: str
    log: str
    environment: dict[str, str]
    dies: tuple[str, int] | None = None
    """`before` or `after`, and the number of the store's write, from 1; `count`: it lives, and leaves their number."""


def ask(birth: Birth) -> bytes:
    return json.dumps(asdict(birth)).encode() + b"\n"


def main() -> None:
    import bot.compose  # noqa: F401, PLC0415 - a second's work, done once for all
    from bot.__main__ import main as greenlight  # noqa: PLC0415 - the line above

    die_with_parent = _die_with_parent() or (lambda: None)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever asked for a bot watches it by itself
    for line in sys.stdin:
        birth = Birth(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            os._exit(_live(birth, greenlight, die_with_parent))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _live(birth: Birth, greenlight: Any, die_with_parent: Any) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent()
    os.setsid()
    os.chdir(birth.folder)
    output = os.open(birth.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.clear()
    os.environ.update(birth.environment)
    if birth.dies:
        _doom(*birth.dies)
    sys.argv = ["greenlight", "run"]
    try:
        greenlight()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.stdout.flush()
    return 0


def _doom(moment: str, number: int) -> None:
    """Before: everything is said to the database, and nothing committed. After: committed, and nobody knows."""
    from bot.store import Store  # noqa: PLC0415 - only in the process that needs it

    write, counted = Store._write, itertools.count(1)
    marks = os.open("writes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def dying(self: Store, work: Any) -> Any:
        mine = next(counted) == number

        async def last(connection: Any) -> Any:
            result = await work(connection)
            if mine and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        result = await write(self, last)
        if moment == "count":
            os.write(marks, b".")
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Store._write = dying  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
