"""What an API server answers instead of what was asked, as sentences that say what to do."""

import contextlib
import json
from dataclasses import dataclass

from bot.clusters.api.kinds import Kind, as_yaml, rule
from bot.clusters.errors import Away, Busy, ClusterError, Forbidden, Gone, Missing, Stale


@dataclass(frozen=True)
class Call:
    """What a call asks for, as its errors say it."""

    verb: str
    kind: Kind | None = None
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        if self.kind is None:
            return self.verb
        if self.name:
            return f"{self.verb} {self.kind.name} {self.namespace}/{self.name}"
        return f"{self.verb} {self.kind.plural}" + (f" in {self.namespace}" if self.namespace else "")

    @property
    def path(self) -> str:
        return self.kind.path(self.namespace, self.name) if self.kind else f"/{self.verb}"

    @property
    def rule(self) -> str:
        """What its Role has to say."""
        return as_yaml(rule(self.kind, [self.verb], [self.name] if self.name else [])) if self.kind else ""


def busy(cluster: str, what: Call, until: str = "") -> Busy:
    return Busy(f"the API server of {cluster} has too much to do and does not {what}{until} (429)")


def refused(status: int, body: bytes, what: Call, cluster: str) -> ClusterError:
    """The error of an answer. Only the message of a `Status` body is kept, and cut: bodies may hold secrets."""
    message = ""
    with contextlib.suppress(ValueError, AttributeError):
        message = str(json.loads(body).get("message", ""))[:300]
    match status:
        case 401:
            return Forbidden(
                f"{cluster} does not take Greenlight's credentials (to {what}): have they run out, or was their "
                "ServiceAccount or user deleted?"
            )
        case 403 if f"cannot {what.verb} resource" in message:  # the words of RBAC; admission has its own
            return Forbidden(
                f"Greenlight may not {what} on {cluster}: add to its Role in {what.namespace}: `{what.rule}`"
            )
        case 403:
            return Forbidden(f"Greenlight may not {what} on {cluster}: {message or status}")
        case 404:
            return Missing(f"not found on {cluster}: {what}")
        case 409 | 422:
            return Stale(f"the API server of {cluster} refused to {what}: {message or status}")
        case 429:
            return busy(cluster, what)
        case 410:
            return Gone(f"too old to {what} on {cluster}")
        case 400 | 405 | 406 | 415:
            return ClusterError(f"the API server of {cluster} does not take this request ({what}): {message or status}")
        case _:
            return Away(f"the API server of {cluster} answered {status} ({what})")
