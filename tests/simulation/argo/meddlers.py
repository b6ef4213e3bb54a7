"""Who has kubectl, Argo's plugin or Argo CD, and a Rollout before him; and what becomes of its controller."""

from typing import Any

from bot.clusters.argo.reading import HASH, annotations
from bot.clusters.cluster import LABEL
from bot.clusters.reading import selector
from bot.release.record import Phase
from simulation.argo.cluster import IMAGE
from simulation.argo.controller import ROLLOUT
from simulation.argo.plan import revision
from simulation.cluster import ACTIVE, PREVIEW, REPOSITORY, digest
from simulation.meddlers import AFTER, ALL, BEFORE, KUBECTL, SWITCH, hurry, named
from simulation.objects import Json

PLUGIN = "kubectl-argo-rollouts"
EVIL = f"{REPOSITORY}@{digest('evil')}"


def candidate(world: Any) -> Json | None:
    """The ReplicaSet of the newest release."""
    sets = world.cluster.objects.kinds["replicasets"].values()
    known = world.newest.selector.get(HASH)
    theirs = [each for each in sets if _stamp(each) == world.newest.label or each["metadata"]["labels"][HASH] == known]
    return theirs[0] if theirs else None


def previous(world: Any) -> Json | None:
    return world.cluster.set_of(world.newest.previous.selector.get(HASH, ""))


def _stamp(item: Json) -> str:
    return str((item["spec"]["template"]["metadata"].get("annotations") or {}).get(LABEL, ""))


def _change(world: Any, *operations: dict[str, Any], by: str = KUBECTL, what: str = "") -> None:
    """The Rollout."""
    world.cluster.patch("rollouts", ROLLOUT, operations, by)
    world.oracles.others_changed(f"rollouts/{ROLLOUT}{what}")


def _status(world: Any, **fields: Any) -> None:
    """What the plugin does: a merge patch of the status, whatever is there. None takes a field away."""
    present = world.cluster.rollout()["status"]
    operations = [
        {"op": "add", "path": f"/status/{key}", "value": value}
        if value is not None
        else {"op": "remove", "path": f"/status/{key}"}
        for key, value in fields.items()
        if value is not None or key in present
    ]
    world.cluster.patch("rollouts", ROLLOUT, operations, PLUGIN, "status")
    world.oracles.others_changed(f"rollouts/{ROLLOUT}")


def _put(world: Any, template: Json, by: str = KUBECTL) -> None:
    _change(world, {"op": "replace", "path": "/spec/template", "value": template}, by=by)


def _template(replica_set: Json) -> Json:
    """As it was in the Rollout."""
    template = replica_set["spec"]["template"]
    marks = {key: value for key, value in template["metadata"]["labels"].items() if key != HASH}
    return {**template, "metadata": {**template["metadata"], "labels": marks}}


# The Rollout


def another_image_on_the_rollout(world: Any) -> None:
    _change(world, {"op": "replace", "path": IMAGE, "value": EVIL})
    hurry(world)


def another_variable_on_the_rollout(world: Any) -> None:
    path = "/spec/template/spec/containers/0/env"
    _change(world, {"op": "add", "path": path, "value": [{"name": "DEBUG", "value": "1"}]})
    hurry(world)


def the_rollout_is_replaced(world: Any) -> None:
    """`kubectl replace` with the manifest of the repository: another image, and nothing that anybody added."""
    template = world.cluster.rollout()["spec"]["template"]
    container = {key: value for key, value in template["spec"]["containers"][0].items() if key != "resources"}
    plain = {"labels": template["metadata"]["labels"]}
    _put(world, {"metadata": plain, "spec": {**template["spec"], "containers": [{**container, "image": EVIL}]}})
    hurry(world)


def another_image_comes_and_goes(world: Any) -> None:
    """Its set was there and waits for its end, so that this time there is no pause."""
    template = world.cluster.rollout()["spec"]["template"]
    _change(world, {"op": "replace", "path": IMAGE, "value": EVIL})
    world.cluster.settle()
    _put(world, template)
    hurry(world)


def the_candidate_is_put_in_again(world: Any) -> None:
    item = candidate(world)
    if item is not None:
        _put(world, _template(item))
        hurry(world)


def the_previous_version_is_put_in_again(world: Any) -> None:
    item = previous(world)
    if item is not None:
        _put(world, _template(item))
        hurry(world)


def somebody_undoes(world: Any) -> None:
    """`undo`: the second highest revision, whether it was ever live or not."""
    sets = sorted(world.cluster.objects.kinds["replicasets"].values(), key=revision)
    if len(sets) > 1:
        _put(world, _template(sets[-2]), PLUGIN)
        hurry(world)


def somebody_freezes(world: Any) -> None:
    _change(world, {"op": "add", "path": "/spec/paused", "value": True})
    world.cluster.later(world.time.seconds + 900 * world.chances.random(), "thaw", ROLLOUT)


def the_rollout_is_scaled(world: Any) -> None:
    _change(world, {"op": "replace", "path": "/spec/replicas", "value": 2}, what=" (its size)")


def the_rollout_is_annotated(world: Any) -> None:
    notes = {**annotations(world.cluster.rollout()), "example.com/owner": "team"}
    _change(world, {"op": "add", "path": "/metadata/annotations", "value": notes}, what=" (its annotations)")


def argo_cd_takes_over(world: Any) -> None:
    """With what was live until now in Git: what it does not find there it leaves alone, another image it puts back.
    What has begun can then neither go on nor be written back, until it is let go of.
    """
    world.cluster.keep_in_git(world.newest.previous.image)
    world.cluster.later(world.time.seconds + 4000 * world.chances.random(), "argocd leaves", ROLLOUT)
    world.oracles.others_changed(f"rollouts/{ROLLOUT}")
    hurry(world)


# Its status: the verbs of Argo's plugin


def somebody_promotes(world: Any) -> None:
    _status(world, pauseConditions=None)
    hurry(world)


def somebody_promotes_in_full(world: Any) -> None:
    _status(world, promoteFull=True)
    hurry(world)


def somebody_aborts(world: Any) -> None:
    _status(world, abort=True)
    hurry(world)


def somebody_aborts_and_retries(world: Any) -> None:
    """At once it is a promotion without a pause, half a minute later a new preview."""
    _status(world, abort=True)
    world.cluster.settle()
    _status(world, abort=False)
    hurry(world)


def somebody_aborts_a_sick_version(world: Any) -> None:
    """While its pods are not ready the traffic is not taken back."""
    item = candidate(world)
    if item is not None:
        world.cluster.feel(item["metadata"]["name"], well=False)
        world.oracles.others_changed("pods")
        world.cluster.settle()
    somebody_aborts(world)


# Services and pods


def _move(world: Any, wanted: dict[str, str], name: str = ACTIVE) -> None:
    operation = {"op": "replace", "path": "/spec/selector", "value": dict(wanted)}
    world.cluster.patch("services", name, [operation], KUBECTL)
    world.oracles.others_changed(f"services/{name}")


def _point(world: Any, item: Json | None, name: str = ACTIVE) -> None:
    if item is not None:
        hash_ = item["metadata"]["labels"][HASH]
        _move(world, {**selector(world.cluster.objects.kinds["services"][name]), HASH: hash_}, name)


def the_traffic_is_moved_to_the_candidate(world: Any) -> None:
    _point(world, candidate(world))


def the_traffic_is_moved_back(world: Any) -> None:
    _point(world, previous(world))


def the_traffic_is_moved_and_moved_back(world: Any) -> None:
    present = selector(world.cluster.service())
    _move(world, {"app": "nobody", HASH: "nobody"})
    _move(world, dict(present))


def the_service_loses_its_hash(world: Any) -> None:
    """As Argo CD's server-side apply strips it."""
    _move(world, {key: value for key, value in selector(world.cluster.service()).items() if key != HASH})
    hurry(world)


def the_preview_is_moved(world: Any) -> None:
    _point(world, previous(world), PREVIEW)


def the_service_is_annotated(world: Any) -> None:
    service = world.cluster.service()
    notes = {**(service["metadata"].get("annotations") or {}), "example.com/owner": "team"}
    operation = {"op": "add", "path": "/metadata/annotations", "value": notes}
    world.cluster.patch("services", ACTIVE, [operation], KUBECTL)
    world.oracles.others_changed(f"services/{ACTIVE} (its annotations)")


def _die(world: Any, item: Json | None) -> None:
    for pod in world.cluster.pods(item["metadata"]["name"]) if item is not None else ():
        world.cluster.kill(pod["metadata"]["name"])
    world.oracles.others_changed("pods")


def pods_of_the_candidate_die(world: Any) -> None:
    _die(world, candidate(world))


def pods_of_the_previous_die(world: Any) -> None:
    _die(world, previous(world))


def the_candidate_becomes_unwell(world: Any) -> None:
    """For a moment or for good."""
    item = candidate(world)
    if item is not None:
        name = item["metadata"]["name"]
        world.cluster.feel(name, well=False)
        if world.chances.random() < 0.6:
            world.cluster.later(world.time.seconds + 90 * world.chances.random(), "recovery", name)
    world.oracles.others_changed("pods")
    hurry(world)


def the_analysis_fails(world: Any) -> None:
    world.cluster.passes = False
    world.oracles.others_changed("analyses")


# The controller. It changes no object, so whatever follows is the bot's to answer for.


def _away(world: Any, how: str) -> None:
    seconds = 1500 * world.chances.random() ** 2
    world.cluster.controller.stop()
    world.cluster.later(world.time.seconds + seconds, how, ROLLOUT)
    world.oracles.controller_goes(seconds)


def the_controller_freezes(world: Any) -> None:
    _away(world, "thaw controller")


def the_controller_dies(world: Any) -> None:
    _away(world, "start controller")


def the_controller_loses_a_write(world: Any) -> None:
    """The next that anybody else makes."""
    world.cluster.controller.deaf = True


SHARP = (
    "another image on the rollout",
    "another variable on the rollout",
    "the rollout is replaced",
    "another image comes and goes",
    "somebody promotes",
    "somebody aborts",
    "somebody freezes",
    "the service is annotated",
    "the service loses its hash",
    "the traffic is moved and moved back",
    "pods of the candidate die",
    "the candidate becomes unwell",
    "the traffic is moved to the candidate",
    "the controller freezes",
    "the controller loses a write",
)
"""Between the last look and the switch."""

LIVE = AFTER - {Phase.REVERTING}
DEEDS = named(
    (another_image_on_the_rollout, ALL),
    (another_variable_on_the_rollout, ALL),
    (the_rollout_is_replaced, ALL),
    (another_image_comes_and_goes, BEFORE | LIVE),
    (the_candidate_is_put_in_again, ALL),
    (the_previous_version_is_put_in_again, ALL),
    (somebody_undoes, ALL),
    (somebody_freezes, BEFORE | AFTER),
    (the_rollout_is_scaled, ALL),
    (the_rollout_is_annotated, ALL),
    (argo_cd_takes_over, frozenset({Phase.STAGING, Phase.READY})),
    (somebody_promotes, ALL),
    (somebody_promotes_in_full, ALL),
    (somebody_aborts, ALL),
    (somebody_aborts_and_retries, ALL),
    (somebody_aborts_a_sick_version, SWITCH | LIVE),
    (the_traffic_is_moved_to_the_candidate, BEFORE),
    (the_traffic_is_moved_back, AFTER),
    (the_traffic_is_moved_and_moved_back, BEFORE | AFTER),
    (the_service_loses_its_hash, BEFORE | AFTER),
    (the_preview_is_moved, BEFORE),
    (the_service_is_annotated, ALL),
    (pods_of_the_candidate_die, ALL),
    (pods_of_the_previous_die, ALL),
    (the_candidate_becomes_unwell, BEFORE | AFTER),
    (the_analysis_fails, BEFORE),
    (the_controller_freezes, ALL),
    (the_controller_dies, ALL),
    (the_controller_loses_a_write, BEFORE | AFTER),
)
