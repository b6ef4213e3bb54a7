"""The real control plane with Argo Rollouts as a process, for those that are no tests: `make bench`.

    python tests/cluster/serve.py '{"sha256:…": "green"}'     # what digests of images stand for

Prints, as JSON on one line, an admin's `kubeconfig`, where the `plugin` for kubectl is, and the version of `argo`, and
serves until its standard input ends. What has not been built it says instead, in `missing`.
"""

import json
import sys

from control_plane import NODE, PROGRAMS, ControlPlane
from places import BIN_DIR, argo_directory
from pod_maker import PodMaker
from rollouts import PROGRAMS as ROLLOUTS
from rollouts import Rollouts


def main(digests: dict[str, str]) -> None:
    argo = argo_directory()
    programs = *(BIN_DIR / name for name in PROGRAMS), *(argo / name for name in ROLLOUTS)
    if missing := [program.name for program in programs if not program.is_file()]:
        sys.stdout.write(json.dumps({"missing": missing}) + "\n")
        return
    plane = ControlPlane(BIN_DIR)
    plane.start()
    try:
        maker = PodMaker(plane.url, plane.admin_token, plane.ssl_context, node=NODE, digests=digests)
        maker.start()
        rollouts = Rollouts(plane, argo)
        rollouts.install()
        rollouts.start()
        about = {"plugin": str(rollouts.plugin), "argo": rollouts.version}
        sys.stdout.write(json.dumps({"kubeconfig": plane.kubeconfig(plane.admin_token), **about}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
        maker.stop()
    finally:
        plane.stop()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
