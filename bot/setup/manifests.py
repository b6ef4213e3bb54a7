"""What is missing for a release, as manifests: the preview Service, the idle slot, and the rights of the bot. Pure.

Nothing that exists is among them. The idle slot is a copy of the live Deployment at 0 replicas, without what belongs to
that one alone: its history, its status, and the marks by which Helm, Argo CD or Flux would take the copy for theirs.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.clusters.api import DEPLOYMENT, INGRESS, SERVICE, Json
from bot.clusters.rights import rules
from bot.setup.comment import comment
from bot.setup.objects import Objects
from bot.setup.sibling import Sibling
from bot.setup.survey import Found, Survey, preview_link, production_link
from bot.setup.yaml_text import yaml_text

ROLE = "greenlight"
"""Of the Role and its binding in the namespace of the apps."""

_OF_THE_SPEC = ("minReadySeconds", "progressDeadlineSeconds", "revisionHistoryLimit", "strategy")
_OF_A_PORT = ("name", "port", "targetPort", "protocol", "appProtocol")
_MARKS = ("app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "helm.sh/chart")
"""Labels by which a tool knows its own objects; the pods keep them, since Services select them."""


@dataclass(frozen=True)
class Account:
    """The ServiceAccount that the bot acts as."""

    namespace: str
    name: str
    exists: bool = False


def manifests(found: Survey, objects: Objects, account: Account) -> str:
    """YAML for `kubectl apply`, each document with its reason above it."""
    documents = [*_account(found, account), *_role(found, account)]
    for app in found.apps:
        if isinstance(app.preview, str):
            documents.append(
                (f"{app.name}: shows the candidate; Greenlight points it there.", _preview(app, app.preview))
            )
        if isinstance(app.idle, Sibling):
            documents.append((_ONCE.format(app=app.name, live=app.live.name), _idle(app, app.idle)))
    text = "---\n".join(f"{_lines(why)}{yaml_text(document)}" for why, document in documents)
    return text + "".join(filter(None, (_suggestion(app, objects) for app in found.apps)))


_ROLE = (
    "Exactly what greenlight.toml needs here: by name where something is changed. No Secrets, no exec. Who uses "
    "deploy/5-admission.yaml names them there too: {names}."
)
# The first apply makes it; a later one must not undo what releases have made of it.
_ONCE = (
    "{app}: the idle slot, a copy of {live} without pods. Apply it once, with `kubectl apply --server-side`: once a "
    "release is live in it, an ordinary apply would take its pods away and put the old image back, which server-side "
    "apply refuses as a conflict. For the same reason leave `replicas` and `image` out of what you keep in Git."
)

_Document = tuple[str, Json]


def _account(found: Survey, account: Account) -> Iterator[_Document]:
    if account.exists:
        return
    if account.namespace != found.namespace:
        restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        yield (
            "Greenlight has a namespace of its own: whoever may start pods here could act as Greenlight.",
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": account.namespace, "labels": restricted},
            },
        )
    yield (
        "What Greenlight acts as. It may do nothing but what the Role below says.",
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account.name, "namespace": account.namespace},
            "automountServiceAccountToken": False,
        },
    )


def _role(found: Survey, account: Account) -> Iterator[_Document]:
    api, metadata = "rbac.authorization.k8s.io", {"name": ROLE, "namespace": found.namespace}
    apps = [*(each.app for each in found.apps), *(each.app for each in found.rolled)]
    targets = [app.app.native for app in found.apps]
    services = [name for each in targets for name in (each.service, each.preview)]
    services += [name for each in found.rolled for name in each.rollout.services]
    named = {
        "services": services,
        "deployments": [name for each in targets for name in each.slots],
        "workloads": [each.rollout.workload for each in found.rolled if each.rollout.workload],
        "rollouts": [each.rollout.name for each in found.rolled],
    }
    names = "; ".join(f"{kind} {_quoted(found.namespace, some)}" for kind, some in named.items() if some)
    yield (
        _ROLE.format(names=names),
        {
            "apiVersion": f"{api}/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": rules(apps, found.behind),
        },
    )
    yield (
        "",
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": "Role", "name": ROLE},
            "subjects": [{"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}],
        },
    )


def _quoted(namespace: str, names: Iterable[str]) -> str:
    return ", ".join(f"'{namespace}/{name}'" for name in names)


def _preview(app: Found, name: str) -> Json:
    """With the ports of production, and inside the cluster only, whatever type that has."""
    service, idle = app.service, app.idle
    wanted = {key: idle.labels[key] for key in (*service.selector, *idle.match_labels) if key in idle.labels}
    ports = [
        {key: port[key] for key in _OF_A_PORT if port.get(key) is not None}
        for port in service.raw["spec"].get("ports") or ()
    ]
    # Only a headless Service may have no port.
    reached = {"ports": ports} if ports else {"clusterIP": "None"}
    return {
        "apiVersion": SERVICE.group,
        "kind": SERVICE.name,
        "metadata": {"name": name, "namespace": app.namespace, **_shared_labels(service.metadata.labels, wanted)},
        "spec": {"selector": wanted, **reached},
    }


def _idle(app: Found, made: Sibling) -> Json:
    spec = app.live.raw["spec"]
    annotations = {
        key: value
        for key, value in app.live.spec.template.metadata.annotations.items()
        if not key.startswith("kubectl.kubernetes.io/")  # such as when the live pods were restarted
    }
    template = {"labels": {**made.labels}, **({"annotations": annotations} if annotations else {})}
    return {
        "apiVersion": DEPLOYMENT.group,
        "kind": DEPLOYMENT.name,
        "metadata": {
            "name": made.name,
            "namespace": app.namespace,
            **_shared_labels(app.live.metadata.labels, made.labels),
        },
        "spec": {
            "replicas": 0,
            **{key: spec[key] for key in _OF_THE_SPEC if spec.get(key) is not None},
            "selector": {"matchLabels": {**made.match_labels}},
            "template": {"metadata": template, "spec": spec["template"]["spec"]},
        },
    }


def _suggestion(app: Found, objects: Objects) -> str:
    """An Ingress for the preview, as a comment: which host leads there, and with which certificate, is the team's."""
    link = production_link(app, objects)
    if link is None or preview_link(app, objects) is not None or not app.service.spec.ports:
        return ""
    host = f"preview.{urlsplit(link).hostname}"
    port = app.service.spec.ports[0]
    backend = {"name": app.preview_name, "port": {"name": port.name} if port.name else {"number": port.port}}
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": backend}}
    suggested = {
        "apiVersion": INGRESS.group,
        "kind": INGRESS.name,
        "metadata": {"name": app.preview_name, "namespace": app.namespace},
        "spec": {"rules": [{"host": host, "http": {"paths": [path]}}]},
    }
    why = f"{app.name}: for a Preview button an address has to lead to {app.preview_name}. Not applied; such as:"
    return _lines(why) + textwrap.indent(yaml_text(suggested), "# ")


def _shared_labels(labels: Mapping[str, str], pods: Mapping[str, str]) -> Json:
    """Those that its pods have too, by which people list what belongs together."""
    shared = {key: value for key, value in labels.items() if pods.get(key) == value and key not in _MARKS}
    return {"labels": shared} if shared else {}


def _lines(why: str) -> str:
    return "".join(f"{line}\n" for line in comment(why))
