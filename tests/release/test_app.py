"""Where an app runs, and what follows from it."""

from dataclasses import replace

import pytest
from examples import app

from bot.release.app import Argo, Comparison, Native

PLAIN = app()
ROLLOUT = replace(PLAIN, target=Argo("mochiapp"))


def test_an_app_is_asked_where_it_runs_only_by_who_drives_that():
    """What a backend asks of an app of another one would be a mistake of ours, and is not to look like an answer."""
    assert PLAIN.native == Native("mochiapp", "mochiapp-preview", ("mochiapp-blue", "mochiapp-green"))
    assert ROLLOUT.argo == Argo("mochiapp")
    with pytest.raises(TypeError, match="mochi does not run on plain Deployments"):
        _ = ROLLOUT.native
    with pytest.raises(TypeError, match="mochi does not run on Argo Rollouts"):
        _ = PLAIN.argo


def test_what_others_begin_is_adopted_on_argo_rollouts_unless_the_file_says_no():
    """Which of two Deployments is meant to be released next, only its owner knows."""
    assert ROLLOUT.adopts
    assert not replace(PLAIN, target=Argo("mochiapp", adopt=False)).adopts
    assert not PLAIN.adopts


@pytest.mark.parametrize(
    ("comparison", "holds"),
    [(Comparison.BELOW, "100"), (Comparison.AT_MOST, "110"), (Comparison.ABOVE, "001"), (Comparison.AT_LEAST, "011")],
)
def test_what_each_comparison_means(comparison, holds):
    assert "".join(str(int(comparison.holds(value, 2.0))) for value in (1.0, 2.0, 3.0)) == holds
    assert not comparison.holds(float("nan"), 2.0)
