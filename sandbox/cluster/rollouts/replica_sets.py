"""The ReplicaSets of a Rollout: which is which, how they are made, scaled, kept for a while, and forgotten.

Source: rollout/sync.go, rollout/replicaset.go and utils/replicaset of Argo Rollouts 1.9.1, for blueGreen.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.cluster.controllers import owner_reference
from sandbox.cluster.objects import timestamp
from sandbox.cluster.patches import Json, PatchType, copied
from sandbox.cluster.rollouts import conditions, metadata, spec
from sandbox.cluster.rollouts.keys import (
    DEADLINE,
    DESIRED_REPLICAS,
    HASH,
    MANAGER,
    REVISION,
    REVISION_HISTORY,
    annotation,
    pod_hash,
    revision,
    selected_hash,
)
from sandbox.cluster.rollouts.look import Look
from sandbox.cluster.rollouts.status import as_go
from sandbox.cluster.rollouts.template import defaulted, rewritten, template_hash, without_hash

_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "notified.notifications.argoproj.io",
        DESIRED_REPLICAS,
        REVISION,
        REVISION_HISTORY,
    }
)


def find(look: Look) -> None:
    """Sort out which of the ReplicaSets is the new and which the stable one."""
    wanted = look.rollout["spec"]["template"]
    hash_ = template_hash(wanted, look.status.get("collisionCount") or 0)
    look.new = look.set_of(hash_) or next((item for item in sorted(look.sets, key=_age) if _runs(item, wanted)), None)
    _find_stable(look)


def _find_stable(look: Look) -> None:
    stable = look.status.get("stableRS", "")
    look.stable = look.new if look.new and stable and pod_hash(look.new) == stable else look.set_of(stable)


def _runs(item: Json, wanted: Json) -> bool:
    """Whether its template is this one, but for what the API server and the controller add."""
    return without_hash(metadata.injected(item, None)["spec"]["template"]) == defaulted(wanted)


def create(look: Look) -> None:
    """The ReplicaSet of a template that has none yet, with no pods; and the news of it in the Rollout."""
    template = copied(look.rollout["spec"]["template"])
    hash_ = template_hash(template, look.status.get("collisionCount") or 0)
    labels = {**(template["metadata"].get("labels") or {}), HASH: hash_}
    template["metadata"]["labels"] = labels
    selector = copied(look.rollout["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: hash_}
    name = f"{look.name}-{hash_}"
    number = max((revision(item) for item in look.sets), default=0) + 1
    body: Json = {
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner_reference(look.rollout)]},
        "spec": {
            "replicas": 0,
            "minReadySeconds": look.rollout["spec"].get("minReadySeconds") or None,
            "selector": selector,
            "template": template,
        },
    }
    _annotate(look, body, number)
    body["metadata"]["annotations"][DESIRED_REPLICAS] = str(spec.replicas(look.rollout))
    shown = "preview" if look.stable else "active"
    body = metadata.injected(body, spec.blue_green(look.rollout).get(f"{shown}Metadata"))
    made = look.objects.create("replicasets", look.namespace, body, manager=MANAGER)
    look.new = made
    look.sets.append(made)
    _note_revision(look, str(number))
    fresh = conditions.made(
        conditions.PROGRESSING, "True", "NewReplicaSetCreated", f'Created new replica set "{name}"', look.now
    )
    _put_condition(look, fresh)
    _find_stable(look)


def sync_revision(look: Look) -> None:
    """The new ReplicaSet has the highest revision and the annotations of its Rollout, and the Rollout its revision."""
    found: Json = copied(look.target)
    number = max((revision(item) for item in look.older), default=0) + 1
    changed = _annotate(look, found, number)
    wait = look.rollout["spec"].get("minReadySeconds") or 0
    if changed or (found["spec"].get("minReadySeconds") or 0) != wait:
        found["spec"] |= {"minReadySeconds": wait or None}
        look.new = _update(look, found)
        return
    look.new = found
    _note_revision(look, annotation(found, REVISION))
    if conditions.condition(look.status, conditions.PROGRESSING) is None:
        message = f'Found new replica set "{found["metadata"]["name"]}"'
        _put_condition(look, conditions.made(conditions.PROGRESSING, "True", "FoundNewReplicaSet", message, look.now))


def _annotate(look: Look, item: Json, number: int) -> bool:
    """In place; True when something changed."""
    values = item["metadata"].setdefault("annotations", {})
    inherited = {
        key: value
        for key, value in (look.rollout["metadata"].get("annotations") or {}).items()
        if key not in _NOT_COPIED and values.get(key) != value
    }
    values.update(inherited)
    changed, before = bool(inherited), values.get(REVISION)
    if int(before or 0) < number:
        values[REVISION] = str(number)
        changed = True
    if before and changed:
        values[REVISION_HISTORY] = ",".join([*filter(None, [values.get(REVISION_HISTORY)]), before])
    return changed


def _note_revision(look: Look, number: str) -> None:
    """The Rollout's own revision. This write puts the whole spec back as Go has it: that is the second generation."""
    if annotation(look.rollout, REVISION) == number:
        return
    body: Json = copied(look.rollout)
    body["metadata"].setdefault("annotations", {})[REVISION] = number
    for part in look.resolved:
        del body["spec"][part]
    if "template" not in look.resolved:
        body["spec"]["template"] = rewritten(body["spec"]["template"])
    _known(look, look.objects.replace("rollouts", look.namespace, look.name, body, manager=MANAGER))


def _put_condition(look: Look, fresh: Json) -> None:
    body: Json = copied(look.rollout)
    conditions.put(body.setdefault("status", {}), fresh)
    body["status"] = as_go(body["status"])
    stored = look.objects.replace("rollouts", look.namespace, look.name, body, subresource="status", manager=MANAGER)
    _known(look, stored)


def _known(look: Look, stored: Json) -> None:
    """A whole write came back: the controller goes on with that."""
    look.written = copied(stored)
    for part in look.resolved:
        stored["spec"][part] = look.rollout["spec"][part]
    look.rollout = stored


def is_scaling_event(look: Look) -> bool:
    """Somebody changed the number of replicas: that comes before anything else."""
    wanted = str(spec.replicas(look.rollout))
    up = [item for item in (look.new, look.stable) if item and item["spec"]["replicas"]]
    return any(annotation(item, DESIRED_REPLICAS) not in {wanted, ""} for item in up)


def reconcile(look: Look) -> None:
    for item in _to_keep(look):
        drop_deadline(look, item)
    if look.stable:
        scale(look, look.stable, spec.replicas(look.rollout))
    _reconcile_new(look)
    _scale_down_others(look)
    _forget_history(look)


def _to_keep(look: Look) -> list[Json]:
    found = [] if delays_on_abort(look) else [look.target]
    if look.stable and (not found or look.stable["metadata"]["name"] != look.target["metadata"]["name"]):
        found.append(look.stable)
    return found


def delays_on_abort(look: Look) -> bool:
    return look.is_aborted and look.stable is not None and spec.abort_delay(look.rollout) is not None


def _reconcile_new(look: Look) -> None:
    new, wanted = look.target, new_replicas(look)
    if delays_on_abort(look):
        delay = spec.abort_delay(look.rollout)
        deadline = deadline_of(new)
        if deadline is not None and deadline > look.now:
            look.due.append(deadline)
            return
        if deadline is None:
            stable = look.stable or {}
            if stable["status"].get("availableReplicas", 0) == spec.replicas(look.rollout) and delay:
                add_deadline(look, new, delay)
            return
        wanted = 0
    scale(look, new, wanted)


def new_replicas(look: Look) -> int:
    """How many the new ReplicaSet should have."""
    wanted, preview = spec.replicas(look.rollout), spec.preview_replicas(look.rollout)
    if preview is None:
        return wanted
    active = look.set_of(spec.blue_green_status(look.rollout).get("activeSelector", ""))
    if active is None or active["metadata"]["name"] == look.target["metadata"]["name"]:
        return wanted
    if look.status.get("promoteFull"):
        return wanted
    if pod_hash(look.target) != look.status.get("currentPodHash", ""):
        return preview
    paused = spec.is_paused_by_user(look.rollout) or bool(look.status.get("pauseConditions"))
    passed = spec.blue_green_status(look.rollout).get("scaleUpPreviewCheckPoint")
    return wanted if passed and not paused else preview


def _scale_down_others(look: Look) -> None:
    up = [item for item in look.others if item["spec"]["replicas"]]
    if spec.pause_condition(look.rollout, spec.INCONCLUSIVE) or _waits_for_analysis(look):
        return
    kept = 0
    for item in sorted(up, key=revision, reverse=True):
        if _is_referenced(look, item):
            continue
        kept, wanted = _delayed(look, item, kept)
        if item["spec"]["replicas"] != wanted:
            scale(look, item, wanted)


def _waits_for_analysis(look: Look) -> bool:
    """Post-promotion analysis keeps the old set up, unless a delay was written down."""
    own = spec.blue_green(look.rollout)
    if not own.get("postPromotionAnalysis") or own.get("scaleDownDelaySeconds") is not None:
        return False
    hash_, active = pod_hash(look.new), spec.blue_green_status(look.rollout).get("activeSelector", "")
    if look.status.get("stableRS", "") == hash_ or active != hash_ or (look.post is None and not is_saturated(look)):
        return False
    return ((look.post or {}).get("status") or {}).get("phase") != "Successful"


def _delayed(look: Look, item: Json, kept: int) -> tuple[int, int]:
    """How many sets are kept by now, and how many replicas this one should have."""
    limit, deadline = spec.scale_down_limit(look.rollout), deadline_of(item)
    if deadline is None:
        if kept >= limit:
            return kept, 0
        delay = spec.scale_down_delay(look.rollout)
        if delay:
            add_deadline(look, item, delay)
            look.come_back_in(delay)
        return kept + 1, item["spec"]["replicas"]
    if kept + 1 > limit or deadline <= look.now:
        return kept + 1, 0
    look.due.append(deadline)
    return kept + 1, spec.replicas(look.rollout)


def _is_referenced(look: Look, item: Json) -> bool:
    hash_ = pod_hash(item)
    selectors = spec.blue_green_status(look.rollout)
    said = {look.status.get("stableRS"), look.status.get("currentPodHash")}
    said |= {selectors.get("activeSelector"), selectors.get("previewSelector")}
    return hash_ in said or any(selected_hash(look.service(which)) == hash_ for which in ("active", "preview"))


def _forget_history(look: Look) -> None:
    alive = sorted((item for item in look.others if "deletionTimestamp" not in item["metadata"]), key=_age)
    surplus = len(alive) - spec.history_limit(look.rollout)
    for item in alive[: max(surplus, 0)]:
        busy = item["status"].get("replicas") or item["spec"]["replicas"]
        if not busy and item["metadata"]["generation"] <= item["status"].get("observedGeneration", 0):
            look.objects.delete("replicasets", look.namespace, item["metadata"]["name"])
            _forget_runs(look, pod_hash(item))


def _forget_runs(look: Look, hash_: str) -> None:
    for run in look.other_runs:
        if pod_hash(run) == hash_ and "deletionTimestamp" not in run["metadata"]:
            look.objects.delete("analysisruns", look.namespace, run["metadata"]["name"])


def is_rollback_within_window(look: Look) -> bool:
    window = spec.rollback_window(look.rollout)
    if look.new is None or look.stable is None or not window:
        return False
    first, last = _born(look.new), _born(look.stable)
    return first < last and sum(first < _born(item) < last for item in look.sets) < window


def is_saturated(look: Look, item: Json | None = None) -> bool:
    """Whether a ReplicaSet (the new one) has as many available pods as the Rollout wants, and both know it."""
    found, wanted = item or look.target, spec.replicas(look.rollout)
    return (
        found["spec"]["replicas"] == wanted
        and annotation(found, DESIRED_REPLICAS) == str(wanted)
        and found["status"].get("availableReplicas", 0) == wanted
    )


def is_ready_for_pause(look: Look) -> bool:
    wanted = new_replicas(look)
    have = look.target["spec"]["replicas"], look.target["status"].get("availableReplicas", 0)
    return have == (wanted, wanted)


def scale(look: Look, item: Json, wanted: int) -> None:
    """Also renews the annotation that says how many the Rollout wants."""
    total = spec.replicas(look.rollout)
    outdated = annotation(item, DESIRED_REPLICAS) != str(total) or (not total and has_deadline(item))
    if item["spec"]["replicas"] == wanted and not outdated:
        return
    found: Json = copied(item)
    found["spec"]["replicas"] = wanted
    values = found["metadata"].setdefault("annotations", {})
    values[DESIRED_REPLICAS] = str(total)
    if not wanted and not delays_on_abort(look):
        values.pop(DEADLINE, None)
    _update(look, found)


def _update(look: Look, item: Json) -> Json:
    """PUT: a version that is not the newest any more is refused, and the whole reconciliation starts again."""
    return look.objects.replace("replicasets", look.namespace, item["metadata"]["name"], item, manager=MANAGER)


def has_deadline(item: Json | None) -> bool:
    return bool(annotation(item, DEADLINE))


def deadline_of(item: Json) -> datetime | None:
    text = annotation(item, DEADLINE)
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) if text else None


def add_deadline(look: Look, item: Json, delay: timedelta) -> None:
    _patch_deadline(look, item, {"op": "add", "value": timestamp(look.now + delay)})


def drop_deadline(look: Look, item: Json) -> None:
    if has_deadline(item):
        _patch_deadline(look, item, {"op": "remove"})


def _patch_deadline(look: Look, item: Json, operation: Json) -> None:
    patch = [{"path": f"/metadata/annotations/{DEADLINE}", **operation}]
    look.objects.patch("replicasets", look.namespace, item["metadata"]["name"], patch, PatchType.JSON, manager=MANAGER)


def _born(item: Json) -> str:
    found: str = item["metadata"]["creationTimestamp"]
    return found


def _age(item: Json) -> tuple[str, str]:
    return item["metadata"]["creationTimestamp"], item["metadata"]["name"]
