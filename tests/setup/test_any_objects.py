"""Whatever an API server, or something that stands for one, may send: a valid file or a sentence, never a traceback."""

import copy
import tomllib
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st
from namespaces import ACCOUNT, PEOPLE, deployment, ingress, pod_of, rollout, service

from bot.policy import read_policy
from bot.setup.manifests import manifests
from bot.setup.objects import Autoscaler, Budget, Deployment, Objects, Pod, Rollout, Service, seen
from bot.setup.policy_file import policy_file
from bot.setup.survey import survey

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
OWN = {"namespace": "mochi"}
AUTOSCALER = {"metadata": {"name": "a"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "mochi"}}}
BUDGET = {"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": {"app": "mochi"}}}}
PLAIN = (
    (Deployment, deployment()),
    (Deployment, deployment("mochi-b", replicas=0)),
    (Service, service()),
    (Service, service("mochi-preview")),
    (Service, service("dango")),
    (Service, service("dango-preview")),
    (Rollout, rollout("dango") | {"metadata": {"name": "dango", "namespace": "mochi", "uid": "1"}}),
    (Rollout, rollout("anko", spec={"template": None, "workloadRef": {"kind": "Deployment", "name": "mochi"}})),
    (Pod, pod_of("ReplicaSet", "mochi-6f9", **{"app": "mochi", "pod-template-hash": "6f9"})),
    (Autoscaler, AUTOSCALER),
    (Budget, BUDGET),
)


@st.composite
def spoilt(draw: st.DrawFn, item: Any) -> Any:
    """The object, mostly as it is; else up to three of its fields are anything, or not there."""
    item = copy.deepcopy(item)
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 1, 3)))):
        holder, key = draw(st.sampled_from(_places(item)))
        if draw(st.booleans()) and isinstance(holder, dict):
            holder.pop(key, None)
        else:
            holder[key] = draw(ANY)
        if not _places(item):
            break
    return item


def _places(item: Any) -> list[tuple[Any, Any]]:
    pairs = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    return [place for key, value in pairs for place in ((item, key), *_places(value))]


@st.composite
def namespaces(draw: st.DrawFn) -> Objects:
    found: dict[type, list[Any]] = {shape: [] for shape, _ in PLAIN}
    for shape, item in PLAIN:
        if draw(st.integers(0, 5)):
            found[shape].append(draw(spoilt(item)))
    found[draw(st.sampled_from([*found]))].append(draw(ANY))
    read = {shape: seen(shape, items) for shape, items in found.items()}
    return Objects(
        services=read[Service][0],
        deployments=read[Deployment][0],
        rollouts=read[Rollout][0],
        pods=read[Pod][0],
        autoscalers=read[Autoscaler][0],
        budgets=read[Budget][0],
        ingresses=(draw(spoilt(ingress())), draw(ANY)),
        strange=tuple(sentence for _, strange in read.values() for sentence in strange),
    )


@given(namespaces())
def test_whatever_the_objects_are_the_file_is_valid_and_so_are_the_manifests(objects):
    found = survey("mochi", objects)
    file = policy_file(found, objects, PEOPLE)
    written = tomllib.loads(file)
    assert written["guild"] == PEOPLE.guild
    assert written.get("apps", {}).keys() == {app.name for app in (*found.apps, *found.rolled)}
    if written.get("apps"):
        with NamedTemporaryFile("w", encoding="utf-8", suffix=".toml") as place:
            place.write(file)
            place.flush()
            assert read_policy(Path(place.name)).apps.keys() == written["apps"].keys()
    printed = list(yaml.safe_load_all(manifests(found, objects, ACCOUNT)))
    assert {"Role", "RoleBinding"} <= {item["kind"] for item in printed}


@given(st.lists(ANY | spoilt(service()), max_size=5))
def test_what_cannot_be_read_is_told_once_each(items):
    read, strange = seen(Service, items)
    assert len(read) <= len(items)
    assert len(strange) <= len(items)
    assert all("cannot be read and is passed over" in sentence for sentence in strange)
