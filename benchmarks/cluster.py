"""The simulated cluster as a process of its own, so that it shares no event loop with what is measured."""

import asyncio
import json
import sys
from typing import Any

from sandbox.cluster import Cluster, wall_clock

Json = dict[str, Any]


def app(name: str, image: str) -> list[Json]:
    """In a namespace of its name. Blue is live with one pod, behind a Service that selects by colour as well."""
    return [
        _deployment(name, "blue", image, 1),
        _deployment(name, "green", image, 0),
        service(name, "active", {"color": "blue"}),
        service(name, "preview", {"color": "green"}),
    ]


def _deployment(namespace: str, color: str, image: str, replicas: int) -> Json:
    labels = {"color": color}
    containers = [{"name": "main", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": color, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def service(namespace: str, name: str, selector: Json) -> Json:
    spec = {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


async def serve(names: list[str], image: str, digests: dict[str, str]) -> None:
    """Prints its `kubeconfig`, as JSON on one line, and serves until its standard input ends."""
    cluster = Cluster(now=wall_clock, digests=digests)
    await cluster.start()
    for name in names:
        cluster.apply(app(name, image))
    # Another one to write to, which nobody watches over.
    cluster.apply([service("bare", "active", {"color": "blue"})])
    sys.stdout.write(json.dumps({"kubeconfig": cluster.kubeconfig()}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await cluster.stop()


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    asyncio.run(serve(asked["names"], asked["image"], asked["digests"]))
