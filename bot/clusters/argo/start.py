"""Where a release of a Rollout begins: what is live in it, and what keeps a release from beginning. Pure."""

import copy
import json

from bot.clusters.adoption import cut_short
from bot.clusters.api import Json
from bot.clusters.argo.objects import Objects
from bot.clusters.argo.reading import HASH, container, injected, pod_hash, template_label, template_of
from bot.clusters.argo.state import State
from bot.clusters.argocd import keeper
from bot.clusters.claim import check_claim
from bot.clusters.cluster import Start
from bot.clusters.errors import Unfit
from bot.clusters.reading import changed_by, name, pods_behind, selector
from bot.release.app import App
from bot.release.record import Version


def start(app: App, objects: Objects, store_id: str) -> Start:
    """Raises `Unfit` when the Rollout does not allow a release as it stands."""
    check_claim(objects.active, store_id)
    rollout = objects.rollout
    _, present = container(objects.holder, app.argo.container)
    live = objects.replica_set(objects.active_hash)
    if live is None:
        by = changed_by(objects.active, "spec", "selector")
        raise Unfit(
            f"Service {name(objects.active)} does not select a version of Rollout {name(rollout)}: the label {HASH} "
            f"of its selector is missing or unknown, after a change by {by}",
            f"put {HASH}: {objects.stable or '<the hash of the stable ReplicaSet>'} back into its selector.",
        )
    if objects.state is State.OBSERVING:
        raise Unfit(
            f"Argo Rollouts has not taken up the last change of Rollout {name(rollout)} (its generation is "
            f"{rollout['metadata'].get('generation')}, observed is "
            f"{(rollout.get('status') or {}).get('observedGeneration', 'none')})",
            "try again in a moment; if it stays so, its controller is not running: kubectl get pods -n argo-rollouts.",
        )
    kept = objects.kept(app.argo.container)
    image = next(each["image"] for each in template_of(live)["spec"]["containers"] if each["name"] == present["name"])
    return Start(
        slot=f"a new ReplicaSet of {name(rollout)}",
        selector={},
        live=Version(
            image=image,
            slot=name(live),
            selector=dict(selector(objects.active)),
            label=template_label(live),
            template=json.dumps(_template(objects, live), sort_keys=True),
            digests=_digests(objects, image, present["name"]),
        ),
        live_ready=len(pods_behind(objects.slices, name(objects.active))),
        warnings=tuple(filter(None, (cut_short(live),))),
        put_back="" if kept is None else str(kept),
        kept_by=keeper(objects.holder),
    )


def _template(objects: Objects, live: Json) -> Json:
    """To be written back later: the Rollout's own words while it asks for nothing else, else those of the ReplicaSet
    without what the controller added to them.
    """
    if objects.is_observed and objects.current == pod_hash(live):
        return template_of(objects.holder)
    template = copy.deepcopy(template_of(live))
    metadata = template.get("metadata") or {}
    (metadata.get("labels") or {}).pop(HASH, None)
    for part, added in injected(live).items():
        for key in added:
            (metadata.get(part) or {}).pop(key, None)
    return template


def _digests(objects: Objects, image: str, called: str) -> frozenset[str]:
    pods = objects.pods_of(objects.active_hash)
    statuses = [status for pod in pods for status in (pod.get("status") or {}).get("containerStatuses") or []]
    images = [image, *(status.get("imageID") or "" for status in statuses if status.get("name") == called)]
    return frozenset(each.rpartition("@")[2] for each in images if "@sha256:" in each)
