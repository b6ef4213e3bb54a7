"""The tier leaves no process and no file behind, however it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from control_plane import PROGRAMS, ControlPlane, ControlPlaneError

HERE = Path(__file__).parent
# Starts something that would run for ever, says what, and waits to be killed.
ASKING = """
import sys
from pathlib import Path
from control_plane import ControlPlane
plane = ControlPlane(Path("unused"))
plane._start_keeper()
print(plane.directory, plane._ask({"start": "endless", "argv": ["sleep", "600"]})["pid"], flush=True)
sys.stdin.read()
"""


def programs_that(tmp_path: Path, script: str) -> Path:
    for name in PROGRAMS:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_nothing_is_left_when_the_process_that_asked_is_killed():
    asking = subprocess.Popen(
        [sys.executable, "-c", ASKING],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    directory, pid = asking.stdout.readline().split()
    os.kill(int(pid), 0)
    assert Path(directory).is_dir()
    asking.kill()
    # The keeper holds the same standard error: its end comes when the keeper, too, has ended.
    _, errors = asking.communicate(timeout=20)
    assert errors == ""
    assert not Path(directory).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_server_that_ends_at_once_shows_its_last_words_and_leaves_nothing(tmp_path):
    plane = ControlPlane(programs_that(tmp_path, "echo the disk is on fire; exit 3"))
    with pytest.raises(ControlPlaneError, match=r"etcd ended with code 3[\s\S]*the disk is on fire"):
        plane.start()
    assert plane.directory.name.startswith("greenlight-cluster-")
    assert not plane.directory.exists()


def test_a_server_that_never_answers_is_given_up_and_taken_away(tmp_path):
    plane = ControlPlane(programs_that(tmp_path, "exec sleep 600"), start_within=0.2)
    with pytest.raises(ControlPlaneError, match=r"etcd was not ready within 0\.2 s"):
        plane.start()
    assert not plane.directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(plane.pids["etcd"], 0)


def test_missing_programs_are_named_with_the_way_to_get_them(tmp_path):
    with pytest.raises(ControlPlaneError, match=r"server, kube-apiserver.*run tests/cluster/build\.sh"):
        ControlPlane(tmp_path).start()


def state_of(pid: int) -> str:
    """`T` for a process that has been stopped."""
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], check=True, capture_output=True, text=True).stdout[0]


def test_a_frozen_process_stands_still_until_it_is_thawed(tmp_path):
    """What a test does while a controller is frozen has to come before whatever the controller does next."""
    plane = ControlPlane(programs_that(tmp_path, "exit 0"))
    plane._start_keeper()
    try:
        plane.start_controller("busy", ["sh", "-c", "while :; do :; done"], lambda: True)
        plane.freeze("busy")
        assert state_of(plane.pids["busy"]) == "T"
        plane.freeze("busy")
        plane.thaw("busy")
        assert state_of(plane.pids["busy"]) != "T"
        plane.freeze("busy")
        plane.kill_controller("busy")
        with pytest.raises(ProcessLookupError):
            os.kill(plane.pids["busy"], 0)
    finally:
        plane.stop()
