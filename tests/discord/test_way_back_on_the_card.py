"""Until when going back is instant, as the card promises it, and what it is afterwards."""

from dataclasses import replace
from datetime import timedelta

import pytest
from views import APP, NOW, RELEASE

from bot.release.app import Argo
from bot.release.record import Phase
from bot.release.snapshot import Side, Snapshot, Traffic
from bot.view import Kind, WayBack, way_back

BLUE = RELEASE.previous.image
ON_ARGO = replace(APP, target=Argo("mochiapp"))
DEADLINE = NOW + timedelta(seconds=30)


def live(**changes):
    return replace(RELEASE, phase=Phase.DONE, live_at=NOW, **changes)


def seen(ready=2, *, traffic=Traffic.CANDIDATE, present=True, **changes):
    green = Side("green", present=True, wanted=2, ready=2, complete=True)
    blue = Side("blue", present=present, wanted=2, ready=ready, complete=ready == 2)
    return Snapshot(traffic, green, blue, NOW, "kubectl", **changes)


def test_pods_that_greenlight_keeps_are_promised_for_the_warm_time():
    warm = WayBack(Kind.INSTANT, BLUE, NOW + APP.timing.warm_for)
    assert way_back(live(), APP, seen()) == way_back(live(), APP, None) == warm


def test_pods_that_a_controller_keeps_are_promised_until_it_says():
    """Not until `warm_for`: it scales them down by itself."""
    assert way_back(live(), ON_ARGO, seen(instant_until=DEADLINE)) == WayBack(Kind.INSTANT, BLUE, DEADLINE)


@pytest.mark.parametrize("look", [None, seen()])
def test_of_pods_that_a_controller_keeps_without_saying_until_when_no_time_is_promised(look):
    assert way_back(live(), ON_ARGO, look) == WayBack(Kind.INSTANT, BLUE)


@pytest.mark.parametrize("app", [APP, ON_ARGO])
def test_without_pods_to_go_back_to_it_is_a_redeploy_whatever_was_promised(app):
    assert way_back(live(), app, seen(ready=0, instant_until=DEADLINE)).kind is Kind.REDEPLOY


def test_pods_that_a_controller_keeps_longer_than_the_warm_time_are_still_instant():
    assert way_back(live(retired=True), ON_ARGO, seen(instant_until=DEADLINE)).kind is Kind.INSTANT
    assert way_back(live(retired=True), ON_ARGO, None).kind is Kind.REDEPLOY


def test_pods_that_greenlight_has_given_up_are_gone_though_some_still_answer():
    assert way_back(live(retired=True), APP, seen()).kind is Kind.REDEPLOY


@pytest.mark.parametrize("app", [APP, ON_ARGO])
def test_a_version_that_somebody_changed_is_nothing_to_go_back_to(app):
    assert way_back(live(), app, seen(present=False)).kind is Kind.NONE


@pytest.mark.parametrize("app", [APP, ON_ARGO])
def test_before_the_switch_there_is_no_end_to_it(app):
    switching = replace(RELEASE, phase=Phase.PROMOTING)
    assert way_back(switching, app, seen(traffic=Traffic.PREVIOUS)) == WayBack(Kind.INSTANT, BLUE)
