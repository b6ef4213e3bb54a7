"""Whether Argo CD keeps an object to what Git says, and what of a release it would put back. Pure.

What it does to a write beside it was tried out with Argo CD 3.2 and 3.5. An image that Git names is put back within a
second where the application heals itself, else with its next sync. A key that is added to a selector stays with
client-side apply; server-side apply puts the whole selector back, since to the API server that is one value.

Nothing here is needed: without rights on Applications what stands on the object itself decides.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from bot.clusters.api import APPLICATION, DEPLOYMENT, MANAGER, ROLLOUT, SERVICE, Json, Kind, as_yaml, rule
from bot.clusters.errors import Unfit
from bot.clusters.patches import pointer
from bot.clusters.raw import items, mapping, texts
from bot.clusters.reading import container, labels, name

TRACKED = "argocd.argoproj.io/tracking-id"
"""Annotation of what Argo CD keeps: `<application>:<group>/<kind>:<namespace>/<name>`."""
INSTANCE_LABELS = ("argocd.argoproj.io/instance", "app.kubernetes.io/instance")
"""How older installations mark what they keep. Helm charts set the second one too, so it is no proof by itself."""
OPTIONS = "argocd.argoproj.io/sync-options"
"""Annotation: sync options of one object."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
HOME = "argocd"
"""The namespace in which Argo CD is installed, unless somebody chose another."""
APPLIES = "argocd"
"""How the names begin under which it writes (managedFields)."""
ROLLOUTS = "rollouts-controller"
"""The same of Argo Rollouts, which writes a key of its own into the selectors of its Services."""
SERVER_SIDE, CLIENT_SIDE = "ServerSideApply=true", "ServerSideApply=false"
RESPECT = "RespectIgnoreDifferences=true"
IMAGE = ("spec", "template", "spec", "containers")


def keeper(item: Json, kind: Kind | None = None) -> str:
    """The name of the Application that keeps it; "" when none does. `kind` is for items of a list, which do not say."""
    return _tracked(item, kind).rpartition("_")[2]


def application_place(item: Json, kind: Kind | None = None) -> tuple[str, str] | None:
    """Namespace and name of that Application, as far as the object tells; None when none keeps it."""
    namespace, _, called = _tracked(item, kind).rpartition("_")  # the namespace only where it is not Argo CD's own
    return (namespace or HOME, called) if called else None


def keeps_image(holder: Json, wanted: str | None, application: Json | None = None) -> Unfit | None:
    """Why an image that is written to a Deployment or a Rollout is put back within a second; None when it is not.

    `wanted` is the container, if there are several. Without its Application the object's mark alone decides.
    """
    called = keeper(holder)
    if not called or (application is not None and not heals_itself(application)):
        return None
    kept = f"Argo CD's application {called} keeps {_kind(holder).name} {name(holder)} to what Git says"
    if application is None:
        rule = as_yaml(may_read(holder))
        alone = f"if {called} does not heal itself, let Greenlight read it (in its own namespace: {rule})."
        return Unfit(f"{kept}, which may put back any image that is written here", f"{_instead(holder)}; {alone}")
    if _ignores_image(application, holder, wanted):
        return None
    return Unfit(f"{kept}, and puts back within a second any image that is written here", f"{_instead(holder)}.")


def resets_image(holder: Json, wanted: str | None, application: Json) -> Unfit | None:
    """Why an image that stays for now is gone with the next sync; None when it is not, or does not even stay for now.

    To leave a field out of what is compared keeps it from being healed; only with RespectIgnoreDifferences=true it is
    left out of what is applied as well.
    """
    called = keeper(holder)
    if not called or keeps_image(holder, wanted, application) is not None:
        return None
    if RESPECT in _options(application) and _ignores_image(application, holder, wanted):
        return None
    kept = f"{_kind(holder).name} {name(holder)}"
    wrong = f"the next sync of Argo CD's application {called} puts the image that Git names back into {kept}"
    return Unfit(wrong, f"{_instead(holder)}.")


def strips_selector(service: Json, key: str = "", application: Json | None = None) -> Unfit | None:
    """Why what is written to the selector of a Service is taken out again by server-side apply; None when it is not, as
    far as can be told.

    `key` is the only one that is added to what Git says, by Argo Rollouts; "" when Greenlight writes it all anew.
    """
    called = keeper(service, SERVICE)
    if not called or not _applies_server_side(service, application):
        return None
    writer = ROLLOUTS if key else MANAGER
    if application is not None and _leaves(application, service, _selector(key), writer):
        return None
    what = f"the label {key} out of" if key else "what Greenlight writes out of"
    return Unfit(
        f"Argo CD's application {called} applies Service {name(service)} server-side, and takes {what} its selector: "
        "then it lets in the pods of a version that nobody approved",
        f"leave that out of what {called} compares and applies.",
    )


def overrules_selector(service: Json, own: Mapping[str, str], application: Json | None = None) -> Unfit | None:
    """Why a selector that Greenlight writes anew would get back what it must not have; None when it would not, as far
    as can be told.

    `own` are the labels that stay. What else Git says is put back by client-side apply as well, and then the Service
    selects nobody after a switch.
    """
    called = keeper(service, SERVICE)
    if not called or (application is not None and _leaves(application, service, _selector(""), MANAGER)):
        return None
    wanted = mapping(mapping(_applied(service).get("spec")).get("selector"))
    more = ", ".join(f"{key}: {value}" for key, value in wanted.items() if own.get(key) != value)
    if not more:
        return None
    return Unfit(
        f"Git says {more} in the selector of Service {name(service)}, which pods of the other slot do not have: after "
        f"a switch Argo CD's application {called} puts that back, and the Service leads nowhere",
        f"take it out of the selector in Git, or leave the selector out of what {called} compares and applies.",
    )


def remedy(kind: Kind, paths: Mapping[str, Iterable[str]]) -> str:
    """What to add to the spec of the Application so that these stay, as YAML: `paths` are JSON Pointers by the names of
    the objects.
    """
    lines = ["ignoreDifferences:"]
    for called, pointers in paths.items():
        lines += [
            f'  - group: "{kind.api_group}"',
            f"    kind: {kind.name}",
            f"    name: {called}",
            "    jsonPointers:",
        ]
        lines += [f"      - {each}" for each in pointers]
    return "\n".join([*lines, "syncPolicy:", "  syncOptions:", f"    - {RESPECT}"])


def selector_path(key: str = "") -> str:
    """As `remedy` takes it."""
    return pointer(*_selector(key))


def image_path(holder: Json, wanted: str | None) -> str:
    """The same of the container that a release changes."""
    return pointer(*IMAGE, str(container(holder, wanted)[0]), "image")


def may_read(item: Json) -> Json:
    """The rule of a Role in the namespace of the Application, by which Greenlight may read it."""
    return rule(APPLICATION, ("get",), (keeper(item),))


def heals_itself(application: Json) -> bool:
    """Whether it puts back what was changed in the cluster, without a commit."""
    automated = mapping(_policy(application).get("automated"))
    return automated.get("selfHeal") is True and automated.get("enabled") is not False


# Whose it is ----------------------------------------------------------------------------------------------------------


def _tracked(item: Json, kind: Kind | None) -> str:
    """The Application as the object names it; "" when none keeps it."""
    note = str(_annotations(item).get(TRACKED) or "")
    if note:
        application, _, rest = note.partition(":")
        group, called = _group_and_kind(item, kind)
        whose = f"{item['metadata'].get('namespace', '')}/{name(item)}"
        # ReplicaSets and copies inherit the annotation of another object.
        is_this_one = rest == f"{group}/{called}:{whose}" if called else rest.endswith(f":{whose}")
        return application if is_this_one else ""
    found = next((labels(item)[key] for key in INSTANCE_LABELS if labels(item).get(key)), "")
    return found if found and any(_written_by_argo_cd(item)) else ""


def _written_by_argo_cd(item: Json) -> Iterator[Mapping[str, Any]]:
    for entry in map(mapping, items(item["metadata"], "managedFields")):
        if str(entry.get("manager") or "").startswith(APPLIES):
            yield entry


def _group_and_kind(item: Json, kind: Kind | None) -> tuple[str, str]:
    if kind is not None:
        return kind.api_group, kind.name
    version = str(item.get("apiVersion") or "")
    return version.rpartition("/")[0], str(item.get("kind") or "")


# What it does ---------------------------------------------------------------------------------------------------------


def _applied(item: Json) -> Mapping[str, Any]:
    """What was applied last, client-side."""
    try:
        return mapping(json.loads(str(_annotations(item).get(LAST_APPLIED) or "{}")))
    except (ValueError, RecursionError):
        return {}


def _applies_server_side(item: Json, application: Json | None) -> bool:
    own = {each.strip() for each in str(_annotations(item).get(OPTIONS) or "").split(",")}
    if own & {CLIENT_SIDE, SERVER_SIDE}:
        return CLIENT_SIDE not in own
    if application is not None:
        return SERVER_SIDE in _options(application)
    return any(entry.get("operation") == "Apply" for entry in _written_by_argo_cd(item))


def _leaves(application: Json, service: Json, path: tuple[str, ...], writer: str) -> bool:
    """Whether that is left out of what is compared and of what is applied."""
    return RESPECT in _options(application) and _ignores(application, service, SERVICE, path, writer)


def _ignores_image(application: Json, holder: Json, wanted: str | None) -> bool:
    (index, present), kind = container(holder, wanted), _kind(holder)
    if _ignores(application, holder, kind, (*IMAGE, str(index), "image"), MANAGER):
        return True
    asked = (one for each in _differences(application, holder, kind) for one in texts(each, "jqPathExpressions"))
    return any(_may_be_about(one, index, present["name"]) for one in asked)


def _may_be_about(asked: str, index: int, called: str) -> bool:
    """A jq expression about images that names no other container. Whoever is refused must be refused rightly, so what
    is not understood is taken for what it may well be.
    """
    number, chosen = re.search(r"\[(\d+)\]", asked), re.search(r"""\.name\s*==\s*["']([^"']*)""", asked)
    another = (number and int(number[1]) != index) or (chosen and chosen[1] != called)
    return ".image" in asked and "initContainers" not in asked and not another


def _ignores(application: Json, item: Json, kind: Kind, path: tuple[str, ...], writer: str) -> bool:
    """Whether the difference at `path` is left out, by itself, with all that is around it, or by who wrote it."""
    around = {path[:length] for length in range(1, len(path) + 1)}
    pointers = {pointer(*each) for each in around}
    for each in _differences(application, item, kind):
        if writer in texts(each, "managedFieldsManagers"):
            return True
        if pointers & {one.rstrip("/") for one in texts(each, "jsonPointers")}:
            return True
        if any(_jq(one) in around for one in texts(each, "jqPathExpressions")):
            return True
    return False


def _differences(application: Json, item: Json, kind: Kind) -> Iterator[Mapping[str, Any]]:
    """The entries of `ignoreDifferences` that are about this object."""
    where = {"name": name(item), "namespace": item["metadata"].get("namespace", "")}
    for each in map(mapping, items(mapping(application.get("spec")), "ignoreDifferences")):
        patterns = ((kind.api_group, each.get("group")), (kind.name, each.get("kind")))
        alike = all(fnmatchcase(is_so, str(wanted or "")) for is_so, wanted in patterns)
        if alike and all(each.get(key) in {None, "", is_so} for key, is_so in where.items()):
            yield each


_STEP = re.compile(r"""\.?(?:"([^"]+)"|\["([^"]+)"\]|\[(\d+)\]|([A-Za-z_]\w*))""")


def _jq(asked: str) -> tuple[str, ...] | None:
    """The keys of a plain path such as `.spec.selector["x"]`; None for any other expression."""
    asked, keys, at = asked.strip(), list[str](), 0
    if not asked.startswith("."):
        return None
    while at < len(asked):
        step = _STEP.match(asked, at)
        if step is None:
            return None
        keys.append(next(each for each in step.groups() if each is not None))
        at = step.end()
    return tuple(keys)


def _selector(key: str) -> tuple[str, ...]:
    return ("spec", "selector", key) if key else ("spec", "selector")


def _instead(holder: Json) -> str:
    leave = "out of what Argo CD compares and applies (ignoreDifferences)"
    if _kind(holder) is ROLLOUT:
        return f"commit the image to Git, by which the release begins and needs the same approvals, or leave it {leave}"
    return f"leave its image, and its replicas if Git names them, {leave}"


def _kind(holder: Json) -> Kind:
    """Of whoever has a pod template."""
    return ROLLOUT if holder.get("kind") == ROLLOUT.name else DEPLOYMENT


def _options(application: Json) -> list[str]:
    return texts(_policy(application), "syncOptions")


def _policy(application: Json) -> Mapping[str, Any]:
    return mapping(mapping(application.get("spec")).get("syncPolicy"))


def _annotations(item: Json) -> Mapping[str, Any]:
    return mapping(item["metadata"].get("annotations"))
