"""What is read side by side of a Rollout and its Service may belong to two moments."""

import copy
from typing import Any

import pytest
from recordings import ACTIVE, BLUE, NOW, STORE_ID, app, objects, release

from bot.clusters.api import Json, Kind, Listing
from bot.clusters.argo.backend import ArgoCluster
from bot.clusters.argo.reading import HASH
from bot.clusters.errors import Missing
from bot.release.record import Phase
from bot.release.snapshot import Traffic


class Answers:
    """An API server that has what was recorded; the first answers about the active Service are from before the
    switch.
    """

    def __init__(self, name: str, *, old: int) -> None:
        found = objects(name)
        self.old = old
        self.items = {
            "rollouts": [found.rollout],
            "replicasets": found.replica_sets,
            "services": [each for each in (found.active, found.preview) if each is not None],
            "pods": found.pods,
            "endpointslices": found.slices,
        }

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        found = next((each for each in self.items.get(kind.plural, ()) if each["metadata"]["name"] == name), None)
        if found is None:
            raise Missing(name)
        if name == ACTIVE and kind.plural == "services" and self.old > 0:
            self.old -= 1
            found = copy.deepcopy(found)
            found["spec"]["selector"][HASH] = BLUE
        return found

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> Listing:
        return Listing(list(self.items.get(kind.plural, ())), "1")


async def looked(api: Any) -> Traffic:
    cluster = ArgoCluster(api, [app()], lambda: NOW, lambda namespace: None, STORE_ID)
    promoted = release(objects("live-with-deadline"), Phase.PROMOTING, switch_sent_at=NOW)
    return (await cluster.look(app(), promoted)).snapshot.traffic


@pytest.mark.parametrize("old", [0, 1])
async def test_a_service_that_was_read_before_a_switch_of_which_the_rollout_knows_was_not_taken_back(old):
    """In the simulation this ended releases that had just gone live as changed by somebody."""
    assert await looked(Answers("live-with-deadline", old=old)) is Traffic.CANDIDATE


async def test_a_service_that_was_taken_back_is_believed_the_second_time():
    assert await looked(Answers("live-with-deadline", old=9)) is Traffic.OTHER
