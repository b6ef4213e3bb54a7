"""What became of a release, in one line."""

from datetime import timedelta

import pytest
from views import NOW, SHAPES, view

from bot.release.record import Cause
from cogs.outcome import outcome

LINES = {
    "staging": "🔵 #7 green · being prepared · 6 min",
    "ready": "🟡 #7 green · waiting for approval · 6 min",
    "promoting": "🔵 #7 green · switching · 6 min",
    "baking": "🟢 #7 green · live, being watched · 5 min",
    "done": "🟢 #7 green · went live · 5 min",
    "done, cold": "🟢 #7 green · went live · 5 min",
    "reverting": "🟠 #7 green · rolling back · 5 min",
    "reverting, guarded": "🟠 #7 green · rolling back · 5 min",
    "rejected": "⚪ #7 green · rejected by @kim: logo is wrong · 6 min",
    "expired": "⚪ #7 green · expired: nobody approved it in time · 6 min",
    "failed": "⚪ #7 green · could not start: pod mochi-green-x2k: cannot pull the image · 6 min",
    "late": "⚪ #7 green · not released: not ready in time: green has 1 of 3 pods ready · 6 min",
    "withdrawn": "⚪ #7 green · abandoned by @ann · 6 min",
    "replaced": "⚪ #7 green · replaced by @ann · 6 min",
    "rolled back": "🟠 #7 green · rolled back by @ann: too slow · 5 min",
    "guarded": "🟠 #7 green · rolled back: guard page failed: answered 500, wanted 200 · 5 min",
    "unapproved": (
        "🔴 #7 green · went live without approval: promoted outside by kubectl-argo-rollouts at 14:02 UTC · 6 min"
    ),
    "abandoned": "🔴 #7 green · left as it was: the active Service was changed by kubectl at 14:02 UTC · 6 min",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_outcome_is_one_line_with_its_sign_first(shape):
    live = {"live_at": NOW + timedelta(minutes=5)} if view(shape).release.live_at else {}
    release = view(shape, since=NOW + timedelta(minutes=6), **live).release
    assert outcome(release) == LINES[shape]


def test_every_cause_has_words():
    for cause in Cause:
        assert " · " in outcome(view("rejected", cause=cause).release)
