"""The two ways in which an app runs, each with its cluster, its oracles and what those do who have rights there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.clusters.argo import ArgoCluster
from bot.clusters.native import NativeCluster
from bot.release.app import App, Approval, Argo, Native, Requirement
from simulation.argo import cluster as argo_cluster
from simulation.argo import meddlers as argo_meddlers
from simulation.argo import oracles as argo_oracles
from simulation.argo.controller import ROLLOUT
from simulation.cluster import ACTIVE, NAMESPACE, PREVIEW, REPOSITORY
from simulation.guild import DEVELOPER, LEAD, ON_CALL, QC
from simulation.meddlers import ON_DISCORD, WEATHER, Deeds
from simulation.native import cluster as native_cluster
from simulation.native import meddlers as native_meddlers
from simulation.native import oracles as native_oracles


@dataclass(frozen=True)
class Backend:
    app: App
    bot: Any
    """What the bot reaches it by."""
    cluster: Callable[[Any], Any]
    """Of a world."""
    oracles: Callable[[Any], Any]
    deeds: Deeds
    sharp: Sequence[str]
    weather: Mapping[str, float]


def _app(target: Native | Argo) -> App:
    return App(
        name="mochi",
        namespace=NAMESPACE,
        channel=500,
        image=REPOSITORY,
        target=target,
        deployers=frozenset({DEVELOPER}),
        rollbackers=frozenset({ON_CALL}),
        approval=Approval((Requirement(frozenset({QC})), Requirement(frozenset({LEAD})))),
    )


def _rollout(world: Any) -> argo_cluster.Cluster:
    """As teams have them: some look at a version once it is live, some keep hardly any history."""
    chances = world.chances
    verifies, history = chances.random() < 0.3, chances.choice((1, 3))
    return argo_cluster.Cluster.built(world.seconds, verifies=verifies, replicas=1, revisionHistoryLimit=history)


BACKENDS = {
    "native": Backend(
        app=_app(Native(ACTIVE, PREVIEW, native_cluster.SLOTS)),
        bot=NativeCluster,
        cluster=lambda world: native_cluster.Cluster.built(world.seconds, replicas=1),
        oracles=native_oracles.Oracles,
        deeds={**native_meddlers.DEEDS, **ON_DISCORD},
        sharp=native_meddlers.SHARP,
        weather=WEATHER,
    ),
    "argo": Backend(
        app=_app(Argo(ROLLOUT)),
        bot=ArgoCluster,
        cluster=_rollout,
        oracles=argo_oracles.Oracles,
        deeds={**argo_meddlers.DEEDS, **ON_DISCORD},
        sharp=argo_meddlers.SHARP,
        weather={**WEATHER, "the controller loses a write": 0.3},
    ),
}
