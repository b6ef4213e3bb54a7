"""The example app as teams run it on Argo Rollouts: one Rollout with the blueGreen strategy and two Services."""

from typing import Any

Json = dict[str, Any]

ROLLOUT = ACTIVE = "mochiapp"
PREVIEW = "mochiapp-preview"
CONTAINER = "myapp"
WORKLOAD = {"apiVersion": "apps/v1", "kind": "Deployment", "name": ROLLOUT}
REPOSITORY = "registry.example.com/mochiapp"
# As it is found, and as Greenlight writes it.
BLUE = f"{REPOSITORY}:blue"
GREEN, PURPLE = (f"{REPOSITORY}@sha256:{tag.encode().hex():0<64}" for tag in ("green", "purple"))
NEVER_READY = f"{REPOSITORY}:nopull"
"""Until a test reports its pods as ready (`Team.pods_become`)."""

HASH = "rollouts-pod-template-hash"
DEADLINE = "scale-down-deadline"
RELEASE = "greenlight.dev/release"
"""The annotation in the pod template by which a release has a pod hash of its own."""

ARGO = "apis/argoproj.io/v1alpha1/namespaces/{namespace}"
COLLECTIONS = {
    "rollouts": f"{ARGO}/rollouts",
    "replicasets": "apis/apps/v1/namespaces/{namespace}/replicasets",
    "services": "api/v1/namespaces/{namespace}/services",
    "pods": "api/v1/namespaces/{namespace}/pods",
    "endpointslices": "apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
    "analysisruns": f"{ARGO}/analysisruns",
    "deployments": "apis/apps/v1/namespaces/{namespace}/deployments",
}
"""All that a release on Argo Rollouts is made of."""


def rollout(
    *,
    image: str = BLUE,
    replicas: int = 2,
    keep_old_for: int | None = None,
    keep_aborted_for: int | None = None,
    workload: bool = False,
    spec: Json | None = None,
    **blue_green: Any,
) -> Json:
    """`keep_old_for` and `keep_aborted_for` are seconds until the set that has lost is scaled down, by default 30;
    with `workload` the template is a Deployment's; `spec` and `blue_green` are further fields of the Rollout and of
    its strategy."""
    strategy = {"activeService": ACTIVE, "previewService": PREVIEW, "autoPromotionEnabled": False}
    if keep_old_for is not None:
        strategy["scaleDownDelaySeconds"] = keep_old_for
    if keep_aborted_for is not None:
        strategy["abortScaleDownDelaySeconds"] = keep_aborted_for
    base = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "mochiapp"}},
        **({"workloadRef": WORKLOAD} if workload else {"template": template(image)}),
        "strategy": {"blueGreen": strategy | blue_green},
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": ROLLOUT, "labels": {"app": "mochiapp"}},
        "spec": base | (spec or {}),
    }


def template(image: str) -> Json:
    container = {"name": CONTAINER, "image": image, "ports": [{"name": "http", "containerPort": 8080}]}
    return {"metadata": {"labels": {"app": "mochiapp"}}, "spec": {"containers": [container]}}


def deployment(image: str = BLUE) -> Json:
    """It only holds the template of a Rollout with `workload`: it has no pods of its own."""
    selector = {"matchLabels": {"app": "mochiapp"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": ROLLOUT, "labels": {"app": "mochiapp"}},
        "spec": {"replicas": 0, "selector": selector, "template": template(image)},
    }


def service(name: str) -> Json:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"app": "mochiapp"}},
        "spec": {"selector": {"app": "mochiapp"}, "ports": ports},
    }


def check(name: str, image_tag: str) -> Json:
    """An AnalysisTemplate whose one metric is a Job: the image's tag says whether it succeeds, `crash` fails."""
    container = {"name": "check", "image": f"registry.example.com/check:{image_tag}"}
    job = {"spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": name},
        "spec": {"metrics": [{"name": "probe", "provider": {"job": job}}]},
    }
