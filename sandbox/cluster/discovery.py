"""What a client asks before it knows anything: versions, groups, resources, and whether fields are validated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox.cluster.kinds import Kind

Json = dict[str, Any]

VERSION: Json = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.4+sandbox",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "sandbox/python",
}

_REVIEWS = (
    ("SelfSubjectAccessReview", "selfsubjectaccessreviews"),
    ("SelfSubjectRulesReview", "selfsubjectrulesreviews"),
)
_AUTHORIZATION = "authorization.k8s.io"
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_PART_VERBS = {"log": ["get"], "finalize": ["update"]}


def document(path: str, address: str, kinds: Iterable[Kind]) -> Json | None:
    """The discovery document of these kinds at a path; `address` is this server's host:port. None: there is none."""
    served = tuple(kinds)
    parts = path.strip("/").split("/")
    match parts:
        case ["version"]:
            return VERSION
        case ["api"]:
            found = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": found}
        case ["apis"]:
            groups = [_group(group, version) for group, version in _group_versions(served) if group]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["apis", group]:
            known = dict(_group_versions(served))
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, known[group])} if group in known else None
        case ["api", "v1"]:
            return _resources("", "v1", served)
        case ["apis", group, version]:
            return _resources(group, version, served) if (group, version) in _group_versions(served) else None
        case ["openapi", "v3"]:
            return {
                "paths": {
                    _root(g, v): {"serverRelativeURL": f"/openapi/v3/{_root(g, v)}"} for g, v in _group_versions(served)
                }
            }
        case ["openapi", "v3", *root]:
            return _openapi("/".join(root), served)
    return None


def knows_group(path: str, kinds: Iterable[Kind]) -> bool:
    """Whether a path lies in a group and version that is served."""
    return any(path.startswith(f"/{_root(group, version)}/") for group, version in _group_versions(kinds))


def _group_versions(kinds: Iterable[Kind]) -> list[tuple[str, str]]:
    found = dict.fromkeys((kind.group, kind.version) for kind in kinds)
    return [*found, (_AUTHORIZATION, "v1")]


def _root(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _group(group: str, version: str) -> Json:
    served = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [served], "preferredVersion": served}


def _resources(group: str, version: str, served: Iterable[Kind]) -> Json:
    listed = [row for kind in served if (kind.group, kind.version) == (group, version) for row in _rows(kind)]
    if group == _AUTHORIZATION:
        listed = [
            {"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind, "verbs": ["create"]}
            for kind, plural in _REVIEWS
        ]
    version_text = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version_text, "resources": listed}


def _rows(kind: Kind) -> list[Json]:
    row: Json = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _VERBS,
    }
    if kind.short_names:
        row["shortNames"] = list(kind.short_names)
    rows = [row]
    for part in sorted(kind.subresources):
        shown: Json = {
            "name": f"{kind.plural}/{part}",
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": "Scale" if part == "scale" else kind.kind,
            "verbs": _PART_VERBS.get(part, ["get", "patch", "update"]),
        }
        if part == "scale":
            shown |= {"group": "autoscaling", "version": "v1"}
        rows.append(shown)
    return rows


def _openapi(root: str, served: tuple[Kind, ...]) -> Json | None:
    """No schemas: just enough for kubectl to leave the validation of fields to the server."""
    for group, version in _group_versions(served):
        if _root(group, version) == root:
            kinds = [kind for kind in served if (kind.group, kind.version) == (group, version)]
            return {
                "openapi": "3.0.0",
                "info": {"title": "Kubernetes sandbox", "version": VERSION["gitVersion"]},
                "paths": dict(_operations(root, kind) for kind in kinds),
                "components": {"schemas": {}},
            }
    return None


def _operations(root: str, kind: Kind) -> tuple[str, Json]:
    within = "namespaces/{namespace}/" if kind.namespaced else ""
    named = {"group": kind.group, "kind": kind.kind, "version": kind.version}
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    patch = {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": named, "parameters": parameters}
    return f"/{root}/{within}{kind.plural}/{{name}}", {"patch": {**patch, "responses": {"200": {"description": "OK"}}}}
