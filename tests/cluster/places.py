"""Where what build.sh builds is to be found."""

import os
from pathlib import Path

CLUSTER_DIR = Path(__file__).parents[2] / ".cluster"
BIN_DIR = CLUSTER_DIR / "bin"
ARGO = "GREENLIGHT_ARGO"
"""Another version of Argo Rollouts than the one that is built with the control plane, as `1.8.5`."""


def argo_directory() -> Path:
    version = os.environ.get(ARGO, "")
    return CLUSTER_DIR / f"argo-{version}" if version else BIN_DIR
