"""`workloadRef`: a Rollout whose template is in a Deployment (with no replicas of its own).

Source: rollout/templateref.go of Argo Rollouts 1.9.1, for Deployments.
"""

from __future__ import annotations

from sandbox.cluster.errors import ApiError
from sandbox.cluster.objects import Objects
from sandbox.cluster.patches import Json, PatchType
from sandbox.cluster.rollouts import validity
from sandbox.cluster.rollouts.keys import MANAGER, WORKLOAD_GENERATION, annotation
from sandbox.cluster.rollouts.look import Look


def reference(rollout: Json) -> Json | None:
    found: Json | None = rollout["spec"].get("workloadRef")
    return found


def resolve(look: Look) -> str:
    """Puts template and selector into the Rollout as it is known here; answers with what is wrong, if something is."""
    wanted = reference(look.rollout)
    if wanted is None:
        (look.rollout["metadata"].get("annotations") or {}).pop(WORKLOAD_GENERATION, None)
        return ""
    own = look.rollout["spec"]
    about = (own.get("template") or {}).get("metadata") or {}
    if about.get("labels") or about.get("annotations"):
        return validity.workload_problem(look.rollout, "template must be empty for workload reference rollout")
    if (wanted.get("apiVersion"), wanted.get("kind")) != ("apps/v1", "Deployment"):
        group = str(wanted.get("apiVersion", "")).rpartition("/")[0]
        return validity.workload_problem(
            look.rollout, f"workload of type {group}/{wanted.get('kind')} is not supported"
        )
    try:
        found = look.objects.get("deployments", look.namespace, wanted.get("name", ""))
    except ApiError as error:
        return validity.workload_problem(look.rollout, error.message)
    look.resolved = frozenset(part for part in ("template", "selector") if not own.get(part) or part == "template")
    for part in look.resolved:
        own[part] = found["spec"][part]
    generation = str(found["metadata"]["generation"])
    look.rollout["metadata"].setdefault("annotations", {})[WORKLOAD_GENERATION] = generation
    return ""


def note_generation(objects: Objects, rollout: Json, deployment: Json) -> None:
    """A Deployment changed: the Rollout that takes its template from there is told, by an annotation."""
    wanted, about = reference(rollout) or {}, deployment["metadata"]
    if wanted.get("name") != about["name"] or rollout["metadata"]["namespace"] != about["namespace"]:
        return
    generation = str(about["generation"])
    if annotation(rollout, WORKLOAD_GENERATION) != generation:
        patch = {"metadata": {"annotations": {WORKLOAD_GENERATION: generation}}}
        name = rollout["metadata"]["name"]
        objects.patch("rollouts", about["namespace"], name, patch, PatchType.MERGE, manager=MANAGER)
