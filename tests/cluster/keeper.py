"""Runs the control plane's processes and takes them and their directory away when whoever asked for them is gone.

A program of its own, in a session of its own: its standard input is a pipe whose other end only the asking process has,
so the end of that process, however it came, is the end of the input, and then everything started here is killed.
One JSON request a line, one JSON answer a line:

    {"start": "etcd", "argv": [...]}  ->  {"pid": 123}        output goes to <directory>/etcd.log
    {"poll": "etcd"}                  ->  {"code": null}      its exit code, null while it runs
    {"kill": "etcd"}                  ->  {"code": -9}
    {"freeze": "etcd"}                ->  {}                  it does nothing until it is thawed or killed
    {"thaw": "etcd"}                  ->  {}
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="greenlight-cluster-"))
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        _answer({"directory": str(directory)})
        for line in sys.stdin:
            try:
                _answer(_obey(json.loads(line), running, directory))
            except (OSError, KeyError) as problem:
                _answer({"error": str(problem)})
    finally:
        # Killed, not asked: nothing here is worth keeping, and the API server takes its time to say goodbye to watches.
        for process in running.values():
            process.kill()
        for process in running.values():
            process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _obey(request: dict[str, Any], running: dict[str, subprocess.Popen[bytes]], directory: Path) -> dict[str, Any]:
    match request:
        case {"start": name, "argv": argv}:
            with (directory / f"{name}.log").open("ab") as log:
                running[name] = subprocess.Popen(
                    argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                )
            return {"pid": running[name].pid}
        case {"poll": name}:
            return {"code": running[name].poll()}
        case {"kill": name}:
            running[name].kill()
            return {"code": running[name].wait()}
        case {"freeze": name}:
            running[name].send_signal(signal.SIGSTOP)
            # Its threads go on for a moment; whoever asked must find it standing still, or learn that it has ended.
            os.waitid(os.P_PID, running[name].pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            return {}
        case {"thaw": name}:
            running[name].send_signal(signal.SIGCONT)
            return {}
    return {"error": f"{request} is no request."}


def _answer(answer: dict[str, Any]) -> None:
    # A reader who has gone shows as the end of the input a moment later; clearing up must happen all the same.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
