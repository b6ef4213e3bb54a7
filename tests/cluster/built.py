"""The control plane that was built, started for one session of tests; what it costs stands in README.md."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane import PROGRAMS, ControlPlane

BIN_DIR = Path(__file__).parents[2] / ".cluster" / "bin"
REQUIRE = "GREENLIGHT_REQUIRE_CLUSTER"


def running() -> Iterator[ControlPlane]:
    """For a fixture. Where nothing was built its tests are skipped, or fail if the environment demands them."""
    if not all((BIN_DIR / name).is_file() for name in PROGRAMS):
        sentence = "The real control plane has not been built: run tests/cluster/build.sh (needs Go, about 8 minutes)."
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)
    plane = ControlPlane(BIN_DIR)
    plane.start()
    yield plane
    plane.stop()
