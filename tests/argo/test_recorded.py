"""What was recorded is what it says; nothing but files is needed for that."""

import json

import after_the_switch  # noqa: F401 - they add to ROWS
import before_the_switch  # noqa: F401
import pytest
from mochiapp import COLLECTIONS
from record import RECORDED
from scenes import ROWS
from state import State


def test_every_state_has_been_recorded_and_nothing_else():
    assert {path.stem for path in RECORDED.iterdir()} == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_a_recorded_state_is_the_one_that_its_row_tells(name):
    found = json.loads((RECORDED / f"{name}.json").read_text())
    rest = {collection: tuple(found.get(collection, ())) for collection in COLLECTIONS if collection != "rollouts"}
    assert ROWS[name].holds(State(rollout=found["rollout"], **rest))
    assert (found["row"], found["state"]) == (ROWS[name].number, ROWS[name].sentence)
    written = (found["rollout"], *rest["services"], *rest["replicasets"])
    assert all(item["metadata"]["managedFields"] for item in written)
