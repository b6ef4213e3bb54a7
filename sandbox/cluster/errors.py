"""What the API server refuses, in Kubernetes' own words: https://kubernetes.io/docs/reference/using-api/api-concepts/.

Every refusal is an `ApiError`; its `body()` is the `Status` object that clients parse. Messages are those of 1.34.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.cluster.kinds import Kind

MERGEABLE = "the object has been modified; please apply your changes to the latest version and try again"


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong with an object; `field` is written as in `spec.template.spec.containers[0].name`."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    @classmethod
    def required(cls, field: str, detail: str = "") -> Cause:
        return cls(field, f"Required value: {detail}" if detail else "Required value", "FieldValueRequired")

    @classmethod
    def invalid(cls, field: str, value: str, detail: str) -> Cause:
        return cls(field, f"Invalid value: {value}: {detail}")

    @classmethod
    def unsupported(cls, field: str, value: str, supported: Sequence[str]) -> Cause:
        choice = ", ".join(f'"{s}"' for s in supported)
        return cls(field, f'Unsupported value: "{value}": supported values: {choice}', "FieldValueNotSupported")


class ApiError(Exception):
    """A request that the API server refuses; `status` is the HTTP status, `reason` Kubernetes' word for it."""

    def __init__(self, status: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details

    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            found["details"] = self.details
        found["code"] = self.status
        return {key: value for key, value in found.items() if key != "reason" or value}


def _details(kind: Kind, name: str) -> dict[str, Any]:
    found = {"name": name, "group": kind.group, "kind": kind.plural}
    return {key: value for key, value in found.items() if value}


def not_found(kind: Kind, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{kind.resource} "{name}" not found', _details(kind, name))


def already_exists(kind: Kind, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{kind.resource} "{name}" already exists', _details(kind, name))


def conflict(kind: Kind, name: str, why: str = MERGEABLE) -> ApiError:
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(kind, name))


def precondition_failed(kind: Kind, name: str, why: str) -> ApiError:
    details = {**_details(kind, name), "kind": kind.kind}
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {kind.kind} "{name}": {why}', details)


def unpatchable(why: str) -> ApiError:
    """A patch whose result is not an object of its kind."""
    cause = {"reason": "FieldValueInvalid", "message": f"Invalid value: {why}", "field": "patch"}
    message = f' "" is invalid: patch: Invalid value: {why}'
    return ApiError(422, "Invalid", message, {"causes": [cause]})


def apply_conflict(causes: Sequence[tuple[str, str, str]]) -> ApiError:
    """`causes` are (manager, apiVersion, field) of what others own and would be overwritten."""
    listed = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{who}" using {version}', "field": field}
        for who, version, field in causes
    ]
    many = "conflict" if len(listed) == 1 else "conflicts"
    text = ": ".join([f"Apply failed with {len(listed)} {many}", _conflict_text(listed)])
    return ApiError(409, "Conflict", text, {"causes": listed})


def _conflict_text(causes: Sequence[dict[str, str]]) -> str:
    if len(causes) == 1:
        return f"{causes[0]['message']}: {causes[0]['field']}"
    return "\n".join(["conflicts:", *(f"- {c['message']}: {c['field']}" for c in causes)])


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> ApiError:
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    details = {key: value for key, value in (("name", name), ("group", kind.group), ("kind", kind.kind)) if value}
    listed = [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {joined}', {**details, "causes": listed})


def unprocessable() -> ApiError:
    """A JSON Patch whose `test` failed or whose path is not there; the real server does not say which either."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unsupported_patch_type() -> ApiError:
    return ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def unsupported_body_type(accepted: Sequence[str]) -> ApiError:
    known = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {known}"
    return ApiError(415, "UnsupportedMediaType", message)


def method_not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def no_such_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(kind: Kind, name: str, message: str) -> ApiError:
    subject = f'{kind.resource} "{name}"' if name else kind.resource
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {message}", _details(kind, name))


def too_old(asked: int, oldest: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def too_new(asked: int, current: int) -> ApiError:
    """A version that this server has not reached yet; the real one waits for it for a while first."""
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return ApiError(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})


def continue_expired() -> ApiError:
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter."
    )
    return ApiError(410, "Expired", message)
