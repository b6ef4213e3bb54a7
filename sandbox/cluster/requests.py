"""What a request says beside its path: query parameters, content type, who writes, and which verb that is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sandbox.cluster import errors
from sandbox.cluster.paths import Target

_BODY_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")


def check_body_type(request: web.Request) -> None:
    """415 for anything but JSON, also for the protobuf and YAML that the real server takes."""
    # The second is aiohttp's word for a request that names no type; Kubernetes takes that as JSON.
    if request.content_type not in {"application/json", "application/octet-stream"}:
        raise errors.unsupported_body_type(_BODY_TYPES)


def parsed(body: bytes) -> Any:
    """400 for what is not JSON."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise errors.bad_request(f"the object provided is unrecognized: json parse error: {error}") from error


def manager(request: web.Request) -> str:
    """The field manager: as named, else the first word of the user agent."""
    agent = request.headers.get("User-Agent", "").partition("/")[0]
    return request.query.get("fieldManager") or agent or "unknown"


def dry_run(request: web.Request) -> bool:
    return "All" in request.query.getall("dryRun", [])


def flag(query: Mapping[str, str], name: str) -> bool:
    """Kubernetes takes everything that is there and not `false` or `0` for yes."""
    return query.get(name, "false").lower() not in {"false", "0"}


def number(text: Any) -> int | None:
    """None when it is absent, 400 when it is no number."""
    if text in {None, ""}:
        return None
    try:
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def seconds(text: str, otherwise: float) -> float:
    """A time-out; fractions are ours, for tests that should not wait. 400 when it is no number."""
    try:
        return float(text) if text else otherwise
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def verb(request: web.Request, target: Target) -> str:
    """The verb that a role has to allow."""
    if request.method == "GET":
        if target.name:
            return "get"
        return "watch" if flag(request.query, "watch") else "list"
    if request.method == "DELETE":
        return "delete" if target.name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(request.method, request.method.lower())
