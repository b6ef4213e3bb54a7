"""Changes that Greenlight never makes, each as a patch, with what a policy says of it."""

from typing import Any

Json = dict[str, Any]

OF_A_SERVICE = {
    "ports": ({"spec": {"ports": [{"port": 81, "targetPort": 22}]}}, "and not spec.ports."),
    "type": ({"spec": {"type": "LoadBalancer"}}, "spec.type"),
    "external name": ({"spec": {"type": "ExternalName", "externalName": "evil.example.com"}}, "spec.externalName"),
    "external address": ({"spec": {"externalIPs": ["203.0.113.7"]}}, "spec.externalIPs"),
    "pods that are not ready": ({"spec": {"publishNotReadyAddresses": True}}, "and not spec.publishNotReadyAddresses."),
    "somebody's annotation": ({"metadata": {"annotations": {"example.com/a": "b"}}}, "under greenlight.dev/ only."),
    "nobody's annotation": (
        {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": None}}},
        "under greenlight.dev/ only.",
    ),
    "label": ({"metadata": {"labels": {"team": "other"}}}, "may not change labels, finalizers or owners"),
    "finalizer": ({"metadata": {"finalizers": ["example.com/kept"]}}, "may not change labels, finalizers or owners"),
    "owner": (
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "gone", "uid": "1"}]}},
        "may not change labels, finalizers or owners",
    ),
}
IMAGE_ONLY = "may change the image of a container, and nothing else of it."
OF_A_CONTAINER = {
    "command": {"command": ["sh"]},
    "variable": {"env": [{"name": "A", "value": "b"}]},
    "secret": {"envFrom": [{"secretRef": {"name": "database"}}]},
    "privileges": {"securityContext": {"runAsUser": 0}},
    "probe": {"readinessProbe": None},
    "port": {"ports": [{"containerPort": 9090}]},
}
OF_A_POD = {
    "account": ({"serviceAccountName": "admin"}, "serviceAccountName"),
    "network": ({"hostNetwork": True}, "hostNetwork"),
    "volume": ({"volumes": [{"name": "v", "secret": {"secretName": "database"}}]}, "and not volumes."),
    "first container": ({"initContainers": [{"name": "i", "image": "evil.example.com/i"}]}, "and not initContainers."),
    "node": ({"nodeName": "node-1"}, "and not nodeName."),
    "second container": ({"containers": [{"name": "two", "image": "evil.example.com/i"}]}, IMAGE_ONLY),
    "another container": (
        {"containers": [{"name": "two", "image": "evil.example.com/i"}, {"name": "myapp", "$patch": "delete"}]},
        IMAGE_ONLY,
    ),
}
LABEL_ONLY = "may change the label greenlight.dev/release of a pod template, and no other label or annotation."
OF_A_DEPLOYMENT = {
    **{
        what: ({"spec": {"template": {"spec": {"containers": [{"name": "myapp", **change}]}}}}, IMAGE_ONLY)
        for what, change in OF_A_CONTAINER.items()
    },
    **{what: ({"spec": {"template": {"spec": change}}}, sentence) for what, (change, sentence) in OF_A_POD.items()},
    "pod label": ({"spec": {"template": {"metadata": {"labels": {"team": "other"}}}}}, LABEL_ONLY),
    "pod annotation": ({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}, LABEL_ONLY),
    "strategy": ({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}, "and not spec.strategy."),
    "pause": ({"spec": {"paused": True}}, "and not spec.paused."),
    "label": ({"metadata": {"labels": {"team": "other"}}}, "may not change labels, annotations, finalizers or owners"),
    "annotation": ({"metadata": {"annotations": {"greenlight.dev/by": "me"}}}, "may not change labels, annotations, "),
}
OF_METADATA = {
    "somebody's annotation": ({"metadata": {"annotations": {"example.com/a": "b"}}}, "under greenlight.dev/ only."),
    "label": ({"metadata": {"labels": {"team": "other"}}}, "finalizers or owners of a "),
    "finalizer": ({"metadata": {"finalizers": ["example.com/kept"]}}, "finalizers or owners of a "),
}
OF_A_ROLLOUT = {
    **OF_METADATA,
    "strategy": ({"spec": {"strategy": {"blueGreen": {"autoPromotionEnabled": True}}}}, "and not spec.strategy."),
    "pause": ({"spec": {"paused": True}}, "and not spec.paused."),
    "replicas": ({"spec": {"replicas": 9}}, "and not spec.replicas."),
    "restart": ({"spec": {"restartAt": "2026-01-05T09:00:00Z"}}, "and not spec.restartAt."),
}
OF_ITS_STATUS = {
    "abort": ({"status": {"abort": True}}, "and not change status.abort."),
    "promotion without a pause": ({"status": {"promoteFull": True}}, "and not change status.promoteFull."),
    "another pause": (
        {"status": {"pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "2026-01-05T09:00:00Z"}]}},
        "and not change status.pauseConditions.",
    ),
    "what is stable": ({"status": {"stableRS": "5b478b88f9"}}, "and not change status.stableRS."),
}
OF_ITS_WORKLOAD = {
    **OF_METADATA,
    "strategy": ({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}, "and not spec.strategy."),
    "pause": ({"spec": {"paused": True}}, "and not spec.paused."),
}
