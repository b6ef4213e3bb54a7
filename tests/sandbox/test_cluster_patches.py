"""Patches as the API server understands them, where that is not what one would guess."""

import pytest

from sandbox.cluster import ApiError
from sandbox.cluster.patches import copied, json_patch, merge_patch, strategic_merge

SERVICE = {
    "metadata": {"resourceVersion": "7"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}, {"port": 443}]},
}


@pytest.mark.parametrize(
    ("operation", "fine"),
    [
        ({"op": "test", "path": "/spec/selector", "value": {"app": "web"}}, True),
        ({"op": "test", "path": "/spec/selector", "value": {"app": "web", "x": "y"}}, False),
        ({"op": "test", "path": "/spec/selector/app", "value": "other"}, False),
        ({"op": "test", "path": "/metadata/resourceVersion", "value": "7"}, True),
        ({"op": "test", "path": "/metadata/resourceVersion", "value": 7}, False),
        ({"op": "test", "path": "/spec/selector/missing", "value": None}, True),
        ({"op": "test", "path": "/spec/selector/missing", "value": "x"}, False),
        ({"op": "test", "path": "/metadata/annotations/x", "value": None}, False),
        ({"op": "test", "path": "/spec/ports/0/port", "value": 80.0}, True),
        ({"op": "test", "path": "/spec/ports/9/port", "value": 80}, False),
        ({"op": "replace", "path": "/spec/selector/missing", "value": "x"}, True),
        ({"op": "remove", "path": "/spec/selector/missing"}, False),
        ({"op": "add", "path": "/metadata/annotations/x", "value": "y"}, False),
        ({"op": "add", "path": "/metadata/annotations", "value": {"x": "y"}}, True),
        ({"op": "frobnicate", "path": "/spec"}, False),
        ({"op": "test", "value": 1}, False),
    ],
)
def test_json_patch_operations_as_probed_on_the_real_server(operation, fine):
    if fine:
        json_patch(SERVICE, [operation])
    else:
        with pytest.raises(ApiError) as error:
            json_patch(SERVICE, [operation])
        assert (error.value.status, error.value.reason) == (422, "Invalid")


def test_a_json_patch_that_is_no_list_is_a_bad_request():
    for patch in ({"op": "test"}, ["x"], "text", None):
        with pytest.raises(ApiError) as error:
            json_patch(SERVICE, patch)
        assert error.value.status == 400


def test_escaped_keys_are_found():
    found = json_patch(SERVICE, [{"op": "add", "path": "/spec/selector/greenlight.dev~1release", "value": "m-1"}])
    assert found["spec"]["selector"] == {"app": "web", "greenlight.dev/release": "m-1"}


def test_a_patch_leaves_the_old_object_as_it_was():
    before = copied(SERVICE)
    json_patch(SERVICE, [{"op": "replace", "path": "/spec/selector", "value": {}}])
    merge_patch(SERVICE, {"spec": {"selector": {"app": None}}})
    strategic_merge(SERVICE, {"spec": {"ports": [{"port": 80, "name": "http"}]}})
    assert before == SERVICE


def test_a_merge_patch_replaces_lists_and_deletes_by_null():
    found = merge_patch(SERVICE, {"spec": {"selector": {"app": None, "x": "y"}, "ports": [{"port": 1}]}})
    assert found["spec"] == {"selector": {"x": "y"}, "ports": [{"port": 1}]}


POD = {
    "containers": [
        {
            "name": "a",
            "image": "one",
            "env": [{"name": "K", "value": "1"}, {"name": "L", "value": "2"}],
            "args": ["x", "y"],
        },
        {"name": "b", "image": "two", "ports": [{"containerPort": 80, "name": "http"}]},
    ]
}


def test_a_strategic_merge_finds_containers_variables_and_ports_by_their_keys():
    patch = {
        "containers": [
            {"name": "a", "env": [{"name": "L", "value": "3"}, {"name": "M", "value": "4"}], "args": ["z"]},
            {"name": "b", "image": "three", "ports": [{"containerPort": 80, "name": "web"}]},
            {"name": "c", "image": "new"},
        ]
    }
    first, second, third = strategic_merge(POD, patch)["containers"]
    assert [(v["name"], v["value"]) for v in first["env"]] == [("K", "1"), ("L", "3"), ("M", "4")]
    assert (first["image"], first["args"]) == ("one", ["z"])
    assert second == {"name": "b", "image": "three", "ports": [{"containerPort": 80, "name": "web"}]}
    assert third == {"name": "c", "image": "new"}


def test_a_strategic_merge_obeys_its_directives():
    gone = strategic_merge(POD, {"containers": [{"name": "a", "$patch": "delete"}]})
    assert [c["name"] for c in gone["containers"]] == ["b"]
    only = strategic_merge(POD, {"containers": [{"$patch": "replace"}, {"name": "z", "image": "i"}]})
    assert only["containers"] == [{"name": "z", "image": "i"}]
    kept = strategic_merge(
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, {"$retainKeys": ["type"], "type": "Recreate"}
    )
    assert kept == {"type": "Recreate"}


def test_an_item_without_its_key_is_a_bad_request():
    with pytest.raises(ApiError, match="does not contain declared merge key: name"):
        strategic_merge(POD, {"containers": [{"image": "x"}]})
