"""Which app a person means, and what is proposed while the name is typed."""

from dataclasses import replace

import pytest
from views import APP

from bot.release.errors import Refused
from cogs.apps import choices, meant
from cogs.limits import validate_choices

APPS = {
    "mochi": APP,
    "mocha": replace(APP, name="mocha"),
    "tea": replace(APP, name="tea", channel=22),
}


def test_a_name_counts_wherever_it_is_typed_and_however():
    assert meant(APPS, " Mochi ", 22).name == "mochi"


def test_in_the_channel_of_one_app_that_one_is_meant():
    assert meant(APPS, None, 22).name == "tea"


def test_the_only_app_is_meant_everywhere():
    assert meant({"tea": APPS["tea"]}, None, 99).name == "tea"


@pytest.mark.parametrize(
    ("apps", "name", "channel", "says"),
    [
        (APPS, None, 21, "Which app? This channel belongs to `mochi` and `mocha`: add `app:`."),
        (APPS, None, 99, "Which app? This is no app's channel: add `app:`. The apps are `mochi`, `mocha` and `tea`."),
        (APPS, "cake", 21, "There is no app `cake`. The apps are `mochi`, `mocha` and `tea`."),
        (APPS, "@everyone\n`x`", 21, "There is no app `@everyone 'x'`. The apps are `mochi`, `mocha` and `tea`."),
        ({}, None, 99, "No app is set up."),
        ({}, "tea", 99, "There is no app `tea`."),
    ],
)
def test_what_is_not_clear_is_asked_back(apps, name, channel, says):
    with pytest.raises(Refused) as refused:
        meant(apps, name, channel)
    assert str(refused.value) == says


def test_names_that_begin_as_typed_stand_first():
    apps = dict.fromkeys(("green-tea", "tea", "teapot", "cake"), APP)
    assert [choice.value for choice in choices(apps, "Tea")] == ["tea", "teapot", "green-tea"]


def test_at_most_25_apps_are_proposed():
    apps = {f"app-{number}": APP for number in range(60)} | {"x" * 101: APP}
    found = choices(apps, "")
    assert len(found) == 25
    validate_choices([choice.to_dict() for choice in found])
