"""What a Rollout's spec says, with the defaults that the controller (not the API server) reads into it. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

Json = dict[str, Any]

BLUE_GREEN_PAUSE = "BlueGreenPause"
INCONCLUSIVE = "InconclusiveAnalysisRun"
_DELAY = 30
_HISTORY = 10
_PROGRESS_DEADLINE = 600
_NO_LIMIT = 2**31 - 1


def replicas(rollout: Json) -> int:
    return _number(rollout["spec"].get("replicas"), 1)


def blue_green(rollout: Json) -> Json:
    found: Json = rollout["spec"].get("strategy", {}).get("blueGreen") or {}
    return found


def preview_replicas(rollout: Json) -> int | None:
    found: int | None = blue_green(rollout).get("previewReplicaCount")
    return found


def scale_down_delay(rollout: Json) -> timedelta:
    return timedelta(seconds=_number(blue_green(rollout).get("scaleDownDelaySeconds"), _DELAY))


def scale_down_limit(rollout: Json) -> int:
    """How many old ReplicaSets may stay up at a time."""
    return _number(blue_green(rollout).get("scaleDownDelayRevisionLimit"), _NO_LIMIT)


def abort_delay(rollout: Json) -> timedelta | None:
    """None: an aborted preview stays up."""
    seconds = _number(blue_green(rollout).get("abortScaleDownDelaySeconds"), _DELAY)
    return timedelta(seconds=seconds) if seconds else None


def history_limit(rollout: Json) -> int:
    return _number(rollout["spec"].get("revisionHistoryLimit"), _HISTORY)


def rollback_window(rollout: Json) -> int:
    """A set that is older than the stable one by fewer revisions than this is promoted in full."""
    return _number((rollout["spec"].get("rollbackWindow") or {}).get("revisions"), 0)


def progress_deadline(rollout: Json) -> timedelta:
    return timedelta(seconds=_number(rollout["spec"].get("progressDeadlineSeconds"), _PROGRESS_DEADLINE))


def promotes_by_itself(rollout: Json) -> bool:
    """True when nothing is said: Argo's default."""
    return blue_green(rollout).get("autoPromotionEnabled") is not False


def promotion_delay(rollout: Json) -> timedelta:
    return timedelta(seconds=_number(blue_green(rollout).get("autoPromotionSeconds"), 0))


def needs_pause(rollout: Json) -> bool:
    return not promotes_by_itself(rollout) or bool(promotion_delay(rollout))


def is_paused_by_user(rollout: Json) -> bool:
    return bool(rollout["spec"].get("paused"))


def analysis(rollout: Json, when: str) -> Json:
    """`when` is pre or post (the promotion); empty when no template is named."""
    found: Json = blue_green(rollout).get(f"{when}PromotionAnalysis") or {}
    return found if found.get("templates") else {}


def status(rollout: Json) -> Json:
    found: Json = rollout.get("status") or {}
    return found


def blue_green_status(rollout: Json) -> Json:
    found: Json = status(rollout).get("blueGreen") or {}
    return found


def pause_condition(rollout: Json, reason: str) -> Json | None:
    return next((c for c in status(rollout).get("pauseConditions") or () if c["reason"] == reason), None)


def is_halted(rollout: Json) -> bool:
    """Somebody froze it, or an analysis could not tell: nothing moves."""
    return is_paused_by_user(rollout) or pause_condition(rollout, INCONCLUSIVE) is not None


def _number(value: Any, otherwise: int) -> int:
    return otherwise if value is None else int(value)
