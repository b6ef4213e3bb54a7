"""What was built, started for one session of tests; what it costs stands in README.md."""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import rollouts
from control_plane import PROGRAMS, ControlPlane
from places import ARGO, BIN_DIR, argo_directory

REQUIRE = "GREENLIGHT_REQUIRE_CLUSTER"


def running() -> Iterator[ControlPlane]:
    """For a fixture. Where nothing was built its tests are skipped, or fail if the environment demands them."""
    _there(BIN_DIR, PROGRAMS, "The real control plane has not been built: run tests/cluster/build.sh")
    plane = ControlPlane(BIN_DIR)
    plane.start()
    yield plane
    plane.stop()


def with_rollouts(plane: ControlPlane) -> rollouts.Rollouts:
    """For a fixture: CRDs and controller, which end with the control plane. Skips or fails as `running` does."""
    directory = argo_directory()
    way = "" if directory == BIN_DIR else f" .cluster/{directory.name} {os.environ[ARGO]}"
    _there(directory, rollouts.PROGRAMS, f"Argo Rollouts has not been built: run tests/cluster/build.sh{way}")
    made = rollouts.Rollouts(plane, directory)
    made.install()
    made.start()
    return made


def k6() -> Path:
    """The program. Skips or fails as `running` does."""
    _there(BIN_DIR, ["k6"], "k6 has not been built: run tests/cluster/build.sh")
    return BIN_DIR / "k6"


def prometheus() -> Path:
    """Debian's. Skips or fails as `running` does."""
    if known := shutil.which("prometheus"):
        return Path(known)
    _there(
        BIN_DIR, ["prometheus"], "There is no prometheus: run tests/debian.sh prometheus", "a few seconds, on Debian"
    )
    return BIN_DIR / "prometheus"


def _there(directory: Path, programs: Iterable[str], sentence: str, takes: str = "needs Go, about ten minutes") -> None:
    if all((directory / name).is_file() for name in programs):
        return
    sentence += f" ({takes})."
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)
