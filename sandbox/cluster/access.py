"""Who may do what: tokens, RBAC-like rules, and the 403 that the others get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.cluster.errors import ApiError, forbidden, no_such_path, unauthorized
from sandbox.cluster.kinds import ALL, Kind

Json = dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """What a request wants to do; `subresource` and `name` may be empty."""

    verb: str
    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def resource(self) -> str:
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural


@dataclass(frozen=True)
class Rule:
    """One rule of a Role; `namespace` is where its RoleBinding is, "" for a ClusterRoleBinding."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str] = frozenset()
    namespace: str = ""

    @classmethod
    def read(cls, rule: Mapping[str, Any], namespace: str = "") -> Rule:
        """From the JSON of a Role's `rules`, as manifests have it."""
        return cls(
            verbs=frozenset(rule["verbs"]),
            groups=frozenset(rule["apiGroups"]),
            resources=frozenset(rule["resources"]),
            names=frozenset(rule.get("resourceNames") or ()),
            namespace=namespace,
        )

    def covers(self, attempt: Attempt) -> bool:
        return (
            (not self.namespace or self.namespace == attempt.namespace)
            and bool(self.verbs & {attempt.verb, "*"})
            and bool(self.groups & {attempt.kind.group, "*"})
            and bool(self.resources & {attempt.resource, "*"})
            and (not self.names or attempt.name in self.names)
        )

    def as_json(self) -> Json:
        found: Json = {
            "verbs": sorted(self.verbs),
            "apiGroups": sorted(self.groups),
            "resources": sorted(self.resources),
        }
        return {**found, "resourceNames": sorted(self.names)} if self.names else found


class Access:
    """Knows users by their bearer tokens. A user may do everything until `restrict` lists what is allowed.

    `anonymous` is who a request without a token is; None refuses it with 401.
    """

    def __init__(self, tokens: Mapping[str, str] | None = None, *, anonymous: str | None = None) -> None:
        self.tokens = dict(tokens or {})
        self.anonymous = anonymous
        self._rules: dict[str, tuple[Rule, ...]] = {}
        self._denied: list[tuple[str, str, str]] = []

    def restrict(self, user: str, rules: Iterable[Mapping[str, Any]], namespace: str = "") -> None:
        """Allow a user only these rules (a Role's JSON, bound in a namespace), beside those given before."""
        more = tuple(Rule.read(rule, namespace) for rule in rules)
        self._rules[user] = self._rules.get(user, ()) + more

    def reset(self, user: str) -> None:
        """Takes back every `restrict` of a user."""
        self._rules.pop(user, None)

    def deny(self, verb: str, resource: str, name: str = "") -> None:
        """Refuse everyone a verb on a resource (`services`, `deployments/scale`), by name or at all."""
        self._denied.append((verb, resource, name))

    def permit(self) -> None:
        """Takes back every `deny`."""
        self._denied.clear()

    def user(self, authorization: str) -> str:
        """Who sends this Authorization header; 401 when nobody known does."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and token in self.tokens:
            return self.tokens[token]
        if not authorization and self.anonymous is not None:
            return self.anonymous
        raise unauthorized()

    def allows(self, user: str, attempt: Attempt) -> bool:
        if any(
            verb in {attempt.verb, "*"} and resource in {attempt.resource, "*"} and name in {attempt.name, ""}
            for verb, resource, name in self._denied
        ):
            return False
        return user not in self._rules or any(rule.covers(attempt) for rule in self._rules[user])

    def refusal(self, user: str, attempt: Attempt) -> ApiError:
        where = f'in the namespace "{attempt.namespace}"' if attempt.namespace else "at the cluster scope"
        message = (
            f'User "{user}" cannot {attempt.verb} resource "{attempt.resource}" '
            f'in API group "{attempt.kind.group}" {where}'
        )
        return forbidden(attempt.kind, attempt.name, message)

    def rules(self, user: str, namespace: str) -> list[Json]:
        """The status.resourceRules of a SelfSubjectRulesReview."""
        everything = Rule(frozenset("*"), frozenset("*"), frozenset("*"))
        known = self._rules.get(user, (everything,))
        return [rule.as_json() for rule in known if rule.namespace in {"", namespace}]


def reviewed(access: Access, user: str, plural: str, review: Json) -> Json:
    """The answer to a SelfSubjectAccessReview or a SelfSubjectRulesReview."""
    spec = review.get("spec") or {}
    shown: Json = {"kind": review.get("kind"), "apiVersion": "authorization.k8s.io/v1", "metadata": {}}
    if plural == "selfsubjectrulesreviews":
        rules = access.rules(user, spec.get("namespace", ""))
        return {**shown, "spec": {}, "status": {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}}
    if plural != "selfsubjectaccessreviews":
        raise no_such_path()
    asked = spec.get("resourceAttributes") or {}
    where = asked.get("group", ""), asked.get("resource", "")
    kind = next((kind for kind in ALL if (kind.group, kind.plural) == where), None)
    parts = (asked.get(key, "") for key in ("namespace", "name", "subresource"))
    allowed = kind is not None and access.allows(user, Attempt(asked.get("verb", ""), kind, *parts))
    return {**shown, "spec": spec, "status": {"allowed": allowed}}
