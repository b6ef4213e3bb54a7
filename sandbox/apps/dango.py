"""An app on Argo Rollouts: a Rollout with the blueGreen strategy and its two Services."""

from sandbox.apps.app import NAMESPACE, DemoApp, Json, described, pod_template, service

NAME = "dango"
ACTIVE, PREVIEW = "dango", "dango-preview"
REPLICAS = 2
STAYS_FOR = 600
"""Seconds that the previous version keeps its pods, so that Roll back needs no new ones; `warm_for` in the file."""


def _manifests(repository: str) -> list[Json]:
    """Both Services select on `app` alone: the hash of the version is the controller's to add."""
    labels = {"app": NAME}
    strategy = {
        "activeService": ACTIVE,
        "previewService": PREVIEW,
        "autoPromotionEnabled": False,
        "scaleDownDelaySeconds": STAYS_FOR,
    }
    spec = {
        "replicas": REPLICAS,
        "selector": {"matchLabels": labels},
        "template": pod_template(labels, f"{repository}:{DANGO.live}"),
        "strategy": {"blueGreen": strategy},
    }
    return [
        service(NAME, ACTIVE, labels),
        service(NAME, PREVIEW, labels),
        described("argoproj.io/v1alpha1", "Rollout", NAME, NAME, spec),
    ]


def _table(_repository: str) -> str:
    """The repository of a tag is that of what is live."""
    return f"""\
rollout     = "{NAME}"
namespace   = "{NAMESPACE}"
"""


DANGO = DemoApp(NAME, "Argo Rollouts", "amber", "violet", ACTIVE, PREVIEW, _manifests, _table)
