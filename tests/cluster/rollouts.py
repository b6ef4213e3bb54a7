"""The real Argo Rollouts controller beside the control plane: tests freeze it, thaw it, kill it and start it again."""

import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from control_plane import ControlPlane, ControlPlaneError, free_port

NAME = "rollouts-controller"
PLUGIN = "kubectl-argo-rollouts"
PROGRAMS = (NAME, PLUGIN)
CRDS = "crds"
NAMESPACE = "argo-rollouts"
"""Where the controller looks for the settings of its notifications."""
SERVED_WITHIN = 20
SYNC = re.compile(rb'msg="(?P<what>Started syncing rollout|Reconciliation completed)" generation=\d+ namespace=(?P<namespace>\S+)')


class Passes(NamedTuple):
    begun: int
    completed: int

    @property
    def idle(self) -> bool:
        return self.begun == self.completed


class Rollouts:
    """One controller for all namespaces. `directory` holds its programs and its CRDs, as build.sh leaves them."""

    def __init__(self, plane: ControlPlane, directory: Path) -> None:
        self.plane = plane
        self.plugin = directory / PLUGIN
        self._program = directory / NAME
        self.version = (directory / CRDS / "version").read_text().strip()
        self._read = 0
        self._begun: Counter[str] = Counter()
        self._completed: Counter[str] = Counter()
        self._crds = sorted((directory / CRDS).glob("*-crd.yaml"))

    def passes(self, namespace: str) -> Passes:
        """How often the controller has looked at the Rollouts of a namespace, by its log."""
        with (self.plane.directory / f"{NAME}.log").open("rb") as log:
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):
                    break  # still on its way into the file
                self._read += len(line)
                if found := SYNC.search(line):
                    begun, of = found["what"] == b"Started syncing rollout", found["namespace"].decode()
                    self._begun[of] += begun
                    self._completed[of] += not begun
        return Passes(self._begun[namespace], self._completed[namespace])

    def install(self) -> None:
        """The CRDs and the controller's namespace; returns when the API server knows what a Rollout is."""
        if not self._crds:
            raise ControlPlaneError(f"No CRDs of Argo Rollouts beside {self._program}: run tests/cluster/build.sh.")
        self.plane.request(
            "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        )
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        made = [self.plane.request("POST", path, crd.read_bytes())["spec"] for crd in self._crds]
        collections = [f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}" for spec in made]
        deadline = time.monotonic() + SERVED_WITHIN
        while not all(map(self._is_served, collections)):
            if time.monotonic() > deadline:
                raise ControlPlaneError(f"{', '.join(collections)} were not served within {SERVED_WITHIN} s.")
            time.sleep(0.05)

    def start(self) -> None:
        """Returns when the process answers; it has listed what there is a moment later."""
        metrics, health = free_port(), free_port()
        argv = [
            str(self._program),
            f"--kubeconfig={self.plane.admin_kubeconfig_file()}",
            "--leader-elect=false",
            f"--metricsPort={metrics}",
            f"--healthzPort={health}",
            # Its own limit of 40 requests a second is for a cluster with other guests; here it would order the tests.
            "--qps=500",
            "--burst=1000",
        ]
        self.plane.start_controller(NAME, argv, lambda: _answers(f"http://127.0.0.1:{health}/healthz"))

    def kill(self) -> None:
        self.plane.kill_controller(NAME)
        self._completed = self._begun.copy()  # what it was at is over

    def freeze(self) -> None:
        """It stands still from now on, in the middle of whatever it does."""
        self.plane.freeze(NAME)

    def thaw(self) -> None:
        """It goes on, with all that it has missed; does nothing to one that runs."""
        self.plane.thaw(NAME)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While the controller stands still, the order of other people's writes is certain."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def _is_served(self, collection: str) -> bool:
        try:
            self.plane.request("GET", collection)
        except ControlPlaneError:
            return False
        return True


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)
