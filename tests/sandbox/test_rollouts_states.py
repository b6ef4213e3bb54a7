"""Every state that a Rollout can be seen in, in the order in which a reader has to ask: the first that holds counts."""

import pytest

from mochi_rollout import ROLLOUT
from rollout_cluster import DEADLINE, HASH, RolloutCluster, rollout_cluster

ANALYSIS = {"templates": [{"templateName": "probe"}]}
TEMPLATE = {"metadata": {"name": "probe"}, "spec": {"metrics": [{"name": "probe", "provider": {"job": {}}}]}}


class State:
    """A Rollout, its sets and its Services, read one after another while nothing moves."""

    def __init__(self, rollout: dict, sets: list[dict], active: str) -> None:
        self.rollout = rollout
        self.status = rollout.get("status", {})
        self.sets = sets
        self.active = active

    @classmethod
    async def read(cls, argo: RolloutCluster) -> "State":
        selector = (await argo.get("services", "mochiapp"))["spec"]["selector"]
        return cls(await argo.rollout(), await argo.listed("replicasets"), selector.get(HASH, ""))

    def row(self) -> str:
        return next(name for name, holds in ROWS.items() if holds(self))

    @property
    def reason(self) -> str:
        return next((c["reason"] for c in self.status.get("conditions", ()) if c["type"] == "Progressing"), "")

    @property
    def pauses(self) -> list[str]:
        return [pause["reason"] for pause in self.status.get("pauseConditions", ())]

    @property
    def current(self) -> str:
        return self.status["currentPodHash"]

    @property
    def analysis(self) -> str:
        return self.status["blueGreen"].get("prePromotionAnalysisRunStatus", {}).get("status", "")

    @property
    def complete(self) -> bool:
        wanted = self.rollout["spec"]["replicas"]
        return all(self.status.get(key, 0) == wanted for key in ("updatedReplicas", "availableReplicas"))


ROWS = {
    "observing": lambda s: s.status.get("observedGeneration") != str(s.rollout["metadata"]["generation"]),
    "invalid": lambda s: any(c["type"] == "InvalidSpec" for c in s.status["conditions"]),
    "aborted, traffic not restored": lambda s: s.reason == "RolloutAborted" and s.active != s.status["stableRS"],
    "aborted": lambda s: s.reason == "RolloutAborted",
    "timed out": lambda s: s.reason == "ProgressDeadlineExceeded",
    "frozen by user": lambda s: s.rollout["spec"].get("paused"),
    "needs judgement": lambda s: "InconclusiveAnalysisRun" in s.pauses,
    "waiting for promotion": lambda s: "BlueGreenPause" in s.pauses,
    "promotion accepted": lambda s: s.status.get("controllerPause"),
    "gate running": lambda s: s.active != s.current and s.analysis == "Running",
    "preview starting or cut-over pending": lambda s: s.active != s.current,
    "live, verifying": lambda s: s.active != s.status["stableRS"],
    "healthy, with an instant way back": lambda s: (
        s.complete and any(DEADLINE in item["metadata"]["annotations"] for item in s.sets)
    ),
    "healthy": lambda s: s.complete,
    "live with degraded pods": lambda _: True,
}

WAYS = {}


def way(row: str, **manifests):
    def added(play):
        WAYS[row] = play, manifests
        return play

    return added


@way("observing")
async def _(argo):
    argo.cluster.rollouts.stop()
    await argo.set_image("green")


@way("invalid", blue_green={"previewService": "missing"})
async def _(argo):
    pass


@way("aborted")
async def _(argo):
    await argo.set_image("green")
    await argo.abort()


@way("aborted, traffic not restored", blue_green={"postPromotionAnalysis": ANALYSIS})
async def _(argo):
    argo.cluster.analyses.expect("probe", "Running")
    await argo.set_image("green")
    await argo.promote()
    await argo.fail("green")
    await argo.abort()


@way("timed out", progressDeadlineSeconds=60)
async def _(argo):
    await argo.set_image("crash")
    argo.cluster.advance(120)


@way("frozen by user")
async def _(argo):
    await argo.set_image("green")
    await argo.set_spec(paused=True)


@way("needs judgement", blue_green={"prePromotionAnalysis": ANALYSIS})
async def _(argo):
    argo.cluster.analyses.expect("probe", "Inconclusive")
    await argo.set_image("green")


@way("waiting for promotion")
async def _(argo):
    await argo.set_image("green")


@way("promotion accepted")
async def _(argo):
    await argo.set_image("green")
    argo.cluster.rollouts.stop()
    await argo.promote()


@way("gate running", blue_green={"prePromotionAnalysis": ANALYSIS})
async def _(argo):
    argo.cluster.analyses.expect("probe", "Running")
    await argo.set_image("green")


@way("preview starting or cut-over pending")
async def _(argo):
    await argo.set_image("slow")


@way("live, verifying", blue_green={"postPromotionAnalysis": ANALYSIS})
async def _(argo):
    argo.cluster.analyses.expect("probe", "Running")
    await argo.set_image("green")
    await argo.promote()


@way("healthy, with an instant way back")
async def _(argo):
    await argo.set_image("green")
    await argo.promote()


@way("healthy")
async def _(argo):
    pass


@way("live with degraded pods")
async def _(argo):
    await argo.fail("blue")


PHASES = {
    "observing": "Healthy",
    "invalid": "Degraded",
    "aborted": "Degraded",
    "aborted, traffic not restored": "Degraded",
    "timed out": "Degraded",
    "frozen by user": "Paused",
    "needs judgement": "Paused",
    "waiting for promotion": "Paused",
    "promotion accepted": "Paused",
    "gate running": "Progressing",
    "preview starting or cut-over pending": "Progressing",
    "live, verifying": "Progressing",
    "healthy, with an instant way back": "Healthy",
    "healthy": "Healthy",
    "live with degraded pods": "Progressing",
}


@pytest.mark.parametrize("row", ROWS)
async def test_every_state_can_be_reached_and_has_its_phase(row):
    play, manifests = WAYS[row]
    async with rollout_cluster(install=False) as argo:
        await argo.create("analysistemplates", TEMPLATE)
        await argo.install(**manifests)
        await play(argo)
        state = await State.read(argo)
        assert (state.row(), state.status["phase"]) == (row, PHASES[row])


async def test_a_lost_promotion_looks_like_one_that_is_just_being_handled():
    async with rollout_cluster() as argo:
        await argo.set_image("green")
        argo.cluster.rollouts.lose_next_write("mochi", ROLLOUT)
        await argo.promote()
        assert (await State.read(argo)).row() == "promotion accepted"
