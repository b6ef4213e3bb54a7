"""The kinds of objects that Greenlight reads or changes, where the API server keeps them, and how a Role names them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of object and where the API server keeps it."""

    name: str
    group: str
    plural: str
    subresource: str = ""
    """Which has a right of its own, and of which a write changes nothing else of the object."""

    @property
    def api_group(self) -> str:
        """As a Role names it; the core group has no name."""
        return self.group.partition("/")[0] if "/" in self.group else ""

    def path(self, namespace: str, name: str = "") -> str:
        """No namespace for kinds that are in none."""
        root = f"/apis/{self.group}" if "/" in self.group else f"/api/{self.group}"
        place = f"/namespaces/{namespace}" if namespace else ""
        of_it = f"/{self.subresource}" if self.subresource else ""
        return f"{root}{place}/{self.plural}" + (f"/{name}{of_it}" if name else "")

    @property
    def resource(self) -> str:
        """As a Role names it."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural


SERVICE = Kind("Service", "v1", "services")
POD = Kind("Pod", "v1", "pods")
DEPLOYMENT = Kind("Deployment", "apps/v1", "deployments")
ENDPOINT_SLICE = Kind("EndpointSlice", "discovery.k8s.io/v1", "endpointslices")
INGRESS = Kind("Ingress", "networking.k8s.io/v1", "ingresses")
HTTP_ROUTE = Kind("HTTPRoute", "gateway.networking.k8s.io/v1", "httproutes")
GATEWAY = Kind("Gateway", "gateway.networking.k8s.io/v1", "gateways")
AUTOSCALER = Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers")
REPLICA_SET = Kind("ReplicaSet", "apps/v1", "replicasets")
ROLLOUT = Kind("Rollout", "argoproj.io/v1alpha1", "rollouts")
ROLLOUT_STATUS = Kind("Rollout/status", "argoproj.io/v1alpha1", "rollouts", subresource="status")
ANALYSIS_RUN = Kind("AnalysisRun", "argoproj.io/v1alpha1", "analysisruns")
APPLICATION = Kind("Application", "argoproj.io/v1alpha1", "applications")
JOB = Kind("Job", "batch/v1", "jobs")
CRON_JOB = Kind("CronJob", "batch/v1", "cronjobs")
CONFIG_MAP = Kind("ConfigMap", "v1", "configmaps")
REVIEW = Kind("SelfSubjectAccessReview", "authorization.k8s.io/v1", "selfsubjectaccessreviews")


def rule(kind: Kind, verbs: Sequence[str], names: Sequence[str] = ()) -> Json:
    """The rule of a Role that allows this; no names are all of them."""
    named = {"resourceNames": [*names]} if names else {}
    return {"apiGroups": [kind.api_group], "resources": [kind.resource], **named, "verbs": [*verbs]}


def as_yaml(rule: Json) -> str:
    """In YAML's short form: to be copied as it is."""
    lists = {key: ", ".join(each or '""' for each in values) for key, values in rule.items()}
    return "- {" + ", ".join(f"{key}: [{values}]" for key, values in lists.items()) + "}"
