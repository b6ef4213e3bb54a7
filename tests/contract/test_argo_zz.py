import json
import pytest
from installed import ready
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import SAM

@pytest.fixture
def backend(on_rollout):
    return on_rollout

@pytest.mark.parametrize("strategy", [{"previewReplicaCount": 1}])
async def test_x(bot, installed, rollout):
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await bot.approve()
    await bot.reaches(Phase.BAKING)
    await bot.ask(Verb.ROLL_BACK, SAM)
    try:
        await bot.sees(lambda m: m.release.phase is Phase.REVERTED, within=8)
    except AssertionError:
        pass
    r = await rollout.get()
    print("STATUS", json.dumps({k: v for k, v in r["status"].items() if k != "conditions"}), r["metadata"]["generation"])
    print("LIVE", await rollout.live())
    for tag in ("blue", "green"):
        print(tag, [(s["metadata"]["labels"]["rollouts-pod-template-hash"], s["spec"]["replicas"], s["metadata"]["annotations"].get("scale-down-deadline")) for s in await rollout.sets_of(tag)])
    print("MOMENT", bot.controller.moments["mochi"])
    for e in await bot.events(): print("EV", e.kind, e.text)
    assert 0
