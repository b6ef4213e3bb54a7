"""An app on Argo Rollouts: its Rollout, the ReplicaSets and pods of it, and who works on them one step at a time."""

from collections.abc import Callable
from typing import Any, ClassVar

from bot.clusters.argo.reading import HASH, annotations
from bot.clusters.argocd import TRACKED
from bot.clusters.reading import is_ready, selector
from mochi_rollout import mochi_rollout
from simulation import cluster
from simulation.argo.controller import ROLLOUT, Controller
from simulation.cluster import ACTIVE, NAMESPACE, PREVIEW, REPOSITORY, digest, slices
from simulation.objects import Json

ARGO_CD = "argocd-controller"
IMAGE = "/spec/template/spec/containers/0/image"


class Cluster(cluster.Cluster):
    MAKER = "replicaset"
    _BUILT: ClassVar[dict[Any, "Cluster"]] = {}

    def __init__(self, seconds: Callable[[], float]) -> None:
        super().__init__(seconds)
        self.controller = Controller()
        self.passes = True
        """Whether an analysis after a promotion passes."""
        self.git: str | None = None
        """The image that Argo CD keeps the Rollout at."""

    def copy(self, seconds: Callable[[], float]) -> "Cluster":
        other = super().copy(seconds)
        other.controller = self.controller.copy()
        return other

    @classmethod
    def built(cls, seconds: Callable[[], float], *, verifies: bool = False, **spec: Any) -> "Cluster":
        """Blue is live, as in the sandbox and in the tests of everything else."""
        known = cls._BUILT.get((verifies, *spec.items()))
        if known is None:
            strategy = {"postPromotionAnalysis": {"templates": [{"templateName": "works"}]}} if verifies else {}
            known = cls._BUILT[verifies, *spec.items()] = cls(lambda: 0.0)
            known._build(strategy, spec)
        return known.copy(seconds)

    def _build(self, strategy: Json, spec: Json) -> None:
        plurals = {"Rollout": "rollouts", "Service": "services"}
        image = f"{REPOSITORY}@{digest('blue')}"
        for item in mochi_rollout(NAMESPACE, image=image, blue_green=strategy, **spec):
            if item["kind"] in plurals:
                self.objects.create(plurals[item["kind"]], {**item, "status": {}}, "kubectl")
        for service in (ACTIVE, PREVIEW):
            self.objects.create("endpointslices", slices(service))
            self.need("endpoints", service)
        self.need("rollouts", ROLLOUT)
        self.settle()

    # Reading

    def rollout(self) -> Json:
        return self.objects.kinds["rollouts"][ROLLOUT]

    def set_of(self, hash_: str) -> Json | None:
        return self.objects.kinds["replicasets"].get(f"{ROLLOUT}-{hash_}")

    @property
    def live(self) -> str:
        """The hash that the active Service selects."""
        return selector(self.service()).get(HASH, "")

    # Writing

    def changed(self, plural: str, name: str) -> None:
        if plural == "services":
            self.need("endpoints", name)
            if HASH not in selector(self.objects.kinds["services"][name]):
                return  # the controller hears nothing of such a Service, and sees it the next time that it looks
        else:
            self.controller.deaf = self.loses() or self.controller.deaf
            self.controller.heard(self.rollout())
            if self.git is not None:
                self.need("argocd", ROLLOUT)
        self.need("rollouts", ROLLOUT)

    def need(self, controller: str, name: str) -> None:
        if controller == "rollouts":
            self.controller.dirty = True
        if controller != "rollouts" or self.controller.runs:
            super().need(controller, name)

    def resume(self, *, anew: bool) -> None:
        """The controller goes on, or is started again."""
        if not self.controller.runs:
            self.controller.resume(self, anew=anew)
            self.need("rollouts", ROLLOUT)

    def set_image(self, image: str, manager: str) -> None:
        self.patch("rollouts", ROLLOUT, [{"op": "replace", "path": IMAGE, "value": image}], manager)

    def keep_in_git(self, image: str) -> None:
        """Argo CD keeps the Rollout at this image from now on."""
        rollout, self.git = self.rollout(), image
        notes = {**annotations(rollout), TRACKED: f"mochi:argoproj.io/Rollout:{NAMESPACE}/{ROLLOUT}"}
        self.patch("rollouts", ROLLOUT, [{"op": "add", "path": "/metadata/annotations", "value": notes}], ARGO_CD)
        self.need("argocd", ROLLOUT)

    # Controllers

    def _rollouts(self, name: str) -> None:
        self.controller.step(self, whole=self.whole)

    def _replica_set(self, name: str) -> None:
        item = self.objects.kinds["replicasets"].get(name)
        pods = self.pods(name)
        wanted = 0 if item is None else item["spec"]["replicas"]
        for pod in pods[wanted:]:
            self.objects.delete("pods", pod["metadata"]["name"])
        pods = pods[:wanted]
        missing = wanted - len(pods)
        if item is not None:
            pods += [self._make(name, name, item["spec"]["template"], {}) for _ in range(missing)]
        ready = sum(map(is_ready, pods))
        status = {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
        if item is None or self.objects.status("replicasets", name, status) is not item:
            self.need("endpoints", ACTIVE)
            self.need("endpoints", PREVIEW)
            self.need("rollouts", ROLLOUT)

    def _analysis(self, hash_: str) -> None:
        if self.controller.runs:
            self.controller.judged(self, hash_, passed=self.passes)
        else:
            self.later(self.seconds() + 5, "analysis", hash_)

    def _thaw(self, name: str) -> None:
        """Whoever has set `spec.paused` takes it back."""
        if self.rollout()["spec"].get("paused"):
            self.patch("rollouts", name, [{"op": "remove", "path": "/spec/paused"}], "kubectl")

    def _recovery(self, name: str) -> None:
        self.feel(name, well=True)

    def _controller_goes_on(self, name: str) -> None:
        self.resume(anew=False)

    def _controller_starts(self, name: str) -> None:
        self.resume(anew=True)

    def _argo_cd(self, name: str) -> None:
        """Self-heal: what Git has is put back, whoever changed it; what Git does not have stays."""
        present = self.rollout()["spec"]["template"]["spec"]["containers"][0]["image"]
        if self.git is not None and present != self.git:
            self.set_image(self.git, ARGO_CD)

    def _argo_cd_leaves(self, name: str) -> None:
        """Whoever looked after it gives the Rollout back to its people."""
        if self.git is not None:
            self.git = None
            notes = {key: value for key, value in annotations(self.rollout()).items() if key != TRACKED}
            self.patch("rollouts", name, [{"op": "add", "path": "/metadata/annotations", "value": notes}], ARGO_CD)

    CONTROLLERS: ClassVar = {
        "rollouts": _rollouts,
        "replicaset": _replica_set,
        "analysis": _analysis,
        "argocd": _argo_cd,
        "argocd leaves": _argo_cd_leaves,
        "thaw": _thaw,
        "recovery": _recovery,
        "thaw controller": _controller_goes_on,
        "start controller": _controller_starts,
        "kubelet": cluster.Cluster._kubelet,
        "endpoints": cluster.Cluster._endpoints,
    }
