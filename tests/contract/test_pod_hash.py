"""`{hash}` of a gate's query is the label by which whoever made the pods tells them, on both backends."""

import pytest

from bot.clusters.argo.reading import HASH as ARGO_HASH
from bot.clusters.reading import HASH, labels, only_hash
from bot.release.record import Phase
from mochi import ACTIVE, PREVIEW


@pytest.fixture
def backend(either):
    return either


async def hashes(installed, backend, service, count=2):
    """Of the ready pods behind a Service, as the API server has them."""
    key = HASH if backend.name == "deployments" else ARGO_HASH
    pods = await installed.pods_named(await installed.serving(count, service))
    return {labels(pod)[key] for pod in pods}


async def test_it_is_told_of_the_candidate_and_of_what_is_live(bot, installed, backend):
    """From what is read anyway: no right is needed for it. Of what was live before Greenlight as well."""
    await bot.deploy("green")
    release = await bot.reaches(Phase.READY)
    candidate, live = await hashes(installed, backend, PREVIEW), await hashes(installed, backend, ACTIVE)
    assert candidate != live
    looked = (await bot.cluster.look(bot.app, release)).snapshot
    assert ({looked.candidate.pod_hash}, {looked.previous.pod_hash}) == (candidate, live)
    heard = (await bot.sees(lambda moment: moment.seen and moment.seen.candidate.pod_hash)).seen
    assert ({heard.candidate.pod_hash}, {heard.previous.pod_hash}) == (candidate, live)


@pytest.mark.parametrize(("there", "told"), [(["5d4c7f"] * 2, "5d4c7f"), (["5d4c7f", "77bf6d"], ""), ([], "")])
def test_while_pods_are_replaced_by_others_no_hash_tells_them_all(there, told):
    assert only_hash([{"metadata": {"labels": {HASH: each}}} for each in there]) == told
