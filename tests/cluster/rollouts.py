"""The real Argo Rollouts controller beside the control plane: tests freeze it, thaw it, kill it and start it again."""

import re
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import versions
from control_plane import ControlPlane, ControlPlaneError, free_port

NAME = "rollouts-controller"
PLUGIN = "kubectl-argo-rollouts"
PROGRAMS = (NAME, PLUGIN)
CRDS = "crds"
NAMESPACE = "argo-rollouts"
"""Where the controller looks for the settings of its notifications."""
SERVED_WITHIN = 20
PASS = re.compile(
    rb'msg="(?P<what>Started syncing rollout|persisted to informer|Patched|Reconciliation completed)'
    rb'(?:: (?:[^"\\]|\\.)*)?" '
    rb"generation=\d+ namespace=(?P<namespace>\S+)"
)


@dataclass
class Passes:
    """How often the controller has looked at the Rollouts of a namespace, by its log."""

    begun: int = 0
    completed: int = 0
    wrote: bool = False
    """In the last pass: then there will be one more."""


class Rollouts:
    """One controller for all namespaces. `directory` holds its programs and its CRDs, as build.sh leaves them."""

    def __init__(self, plane: ControlPlane, directory: Path) -> None:
        self.plane = plane
        self.plugin = directory / PLUGIN
        self._program = directory / NAME
        self.version = (directory / CRDS / "version").read_text().strip()
        self._read = 0
        self._passes: defaultdict[str, Passes] = defaultdict(Passes)
        self._crds = sorted((directory / CRDS).glob("*-crd.yaml"))

    def passes(self, namespace: str) -> Passes:
        with (self.plane.directory / f"{NAME}.log").open("rb") as log:
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):
                    break  # still on its way into the file
                self._read += len(line)
                if found := PASS.search(line):
                    self._saw(found["what"], self._passes[found["namespace"].decode()])
        return replace(self._passes[namespace])

    def _saw(self, what: bytes, passes: Passes) -> None:
        match what:
            case b"Started syncing rollout":
                passes.begun += 1
                passes.wrote = False
            case b"persisted to informer" | b"Patched":  # the first is not said any more from 1.10 on
                passes.wrote = True
            case b"Reconciliation completed":
                passes.completed += 1

    def install(self) -> None:
        """The CRDs and the controller's namespace; returns when the API server knows what a Rollout is."""
        if not self._crds:
            raise ControlPlaneError(f"No CRDs of Argo Rollouts beside {self._program}: run tests/cluster/build.sh.")
        self.plane.request(
            "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        )
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        made = [self.plane.request("POST", path, crd.read_bytes()) for crd in self._crds]
        collections = [f"/apis/argoproj.io/v1alpha1/{crd['spec']['names']['plural']}" for crd in made]
        deadline = time.monotonic() + SERVED_WITHIN
        while not all(map(self._is_served, collections)):
            if time.monotonic() > deadline:
                raise ControlPlaneError(f"{', '.join(collections)} were not served within {SERVED_WITHIN} s.")
            time.sleep(0.05)
        self.plane.restart_controllers()  # else whatever belongs to a Rollout outlives it by half a minute

    def start(self) -> None:
        """Returns when the process answers; it has listed what there is a moment later."""
        metrics, health = free_port(), free_port()
        argv = [
            str(self._program),
            f"--kubeconfig={self.plane.admin_kubeconfig_file()}",
            "--leader-elect=false",
            f"{versions.of(self.version).metrics_port}={metrics}",
            f"--healthzPort={health}",
            # Its own limit of 40 requests a second is for a cluster with other guests; here it would order the tests.
            "--qps=500",
            "--burst=1000",
        ]
        self.plane.start_controller(NAME, argv, lambda: _answers(f"http://127.0.0.1:{health}/healthz"))

    def kill(self) -> None:
        self.plane.kill_controller(NAME)
        for passes in self._passes.values():
            passes.completed, passes.wrote = passes.begun, False  # what it was at is over

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
