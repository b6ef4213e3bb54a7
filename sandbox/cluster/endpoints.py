"""Service → EndpointSlices: who takes the traffic of a Service, and whether they can.

Source: k8s.io/endpointslice of 1.34. A Service without pods keeps one slice with nothing in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from sandbox.cluster.controllers import MANAGER, PerNamespace, is_ready, owner_reference
from sandbox.cluster.objects import Objects, timestamp
from sandbox.cluster.patches import Json

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_ME = "endpointslice-controller.k8s.io"
_TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time"
_MOST_PER_SLICE = 100


class EndpointSlices(PerNamespace):
    """The EndpointSlice controller."""

    def look(self, objects: Objects, namespace: str, now: datetime) -> datetime | None:
        pods = objects.items("pods", namespace)
        slices = objects.items("endpointslices", namespace, f"{MANAGED_BY}={_ME}")
        for service in objects.items("services", namespace):
            if service["spec"].get("selector") and "deletionTimestamp" not in service["metadata"]:
                own = [item for item in slices if _belongs(item, service)]
                _Slices(objects, service, own, timestamp(now)).follow(_selected(service, pods))
        return None


def _belongs(item: Json, service: Json) -> bool:
    metadata = item["metadata"]
    owner = service["metadata"]
    return (metadata["namespace"], metadata["labels"].get(SERVICE_NAME)) == (owner["namespace"], owner["name"])


def _selected(service: Json, pods: list[Json]) -> list[Json]:
    selector = service["spec"]["selector"].items()
    return [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == service["metadata"]["namespace"]
        and selector <= (pod["metadata"].get("labels") or {}).items()
        and pod["status"].get("podIP")
        and pod["status"].get("phase") not in {"Failed", "Succeeded"}
    ]


def _ports(service: Json, pod: Json) -> list[Json]:
    """The Service's ports as this pod has them; a name that no container has is left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = port["targetPort"]
        if isinstance(number, str):
            number = _named_port(pod, number, port["protocol"])
        if number is not None:
            entry = {"name": port.get("name", ""), "port": number, "protocol": port["protocol"]}
            if "appProtocol" in port:
                entry["appProtocol"] = port["appProtocol"]
            found.append(entry)
    return found


def _named_port(pod: Json, name: str, protocol: str) -> int | None:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("name") == name and port["protocol"] == protocol:
                number: int = port["containerPort"]
                return number
    return None


def _endpoint(service: Json, pod: Json) -> Json:
    metadata = pod["metadata"]
    serving = is_ready(pod)
    going = "deletionTimestamp" in metadata
    ready = (serving and not going) or bool(service["spec"].get("publishNotReadyAddresses"))
    target = {key: metadata[key] for key in ("namespace", "name", "uid")}
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": serving, "terminating": going},
        "targetRef": {"kind": "Pod", **target},
        "nodeName": pod["spec"].get("nodeName"),
    }


class _Slices:
    """The slices of one Service. Endpoints stay in their slice, and a slice that lost its ports is used again."""

    def __init__(self, objects: Objects, service: Json, present: list[Json], time: str) -> None:
        self._objects = objects
        self._service = service
        self._present = present
        self._time = time

    def follow(self, pods: list[Json]) -> None:
        groups: dict[str, dict[str, Json]] = {}
        for pod in pods:
            ports = json.dumps(_ports(self._service, pod))
            groups.setdefault(ports, {})[pod["metadata"]["uid"]] = _endpoint(self._service, pod)
        spare = [item for item in self._present if json.dumps(item["ports"] or []) not in groups]
        kept = 0
        for ports, endpoints in groups.items():
            same = [item for item in self._present if json.dumps(item["ports"] or []) == ports]
            for item, content in self._placed(same, endpoints):
                if item is None and spare:
                    self._write(spare.pop(0), json.loads(ports), content)
                elif item is not None and not content:
                    spare.append(item)
                    continue
                else:
                    self._write(item, json.loads(ports), content)
                kept += 1
        if not kept:
            self._write(spare.pop(0) if spare else None, [], [])
        for item in spare:
            self._objects.delete("endpointslices", item["metadata"]["namespace"], item["metadata"]["name"])

    def _placed(self, same: list[Json], endpoints: dict[str, Json]) -> Iterator[tuple[Json | None, list[Json]]]:
        left = dict(endpoints)
        stay = [
            [left.pop(e["targetRef"]["uid"]) for e in item["endpoints"] or () if e["targetRef"]["uid"] in left]
            for item in same
        ]
        for item, content in zip(same, stay, strict=True):
            while left and len(content) < _MOST_PER_SLICE:
                content.append(left.pop(next(iter(left))))
            yield item, content
        while left:
            some = list(left)[:_MOST_PER_SLICE]
            yield None, [left.pop(uid) for uid in some]

    def _write(self, item: Json | None, ports: list[Json], endpoints: list[Json]) -> None:
        metadata = self._service["metadata"]
        labels = {**(metadata.get("labels") or {}), MANAGED_BY: _ME, SERVICE_NAME: metadata["name"]}
        content = {"addressType": "IPv4", "endpoints": endpoints or None, "ports": ports or None}
        if item is None:
            about = {
                "generateName": f"{metadata['name']}-",
                "labels": labels,
                "annotations": {_TRIGGERED: self._time},
                "ownerReferences": [owner_reference(self._service)],
            }
            self._objects.create(
                "endpointslices", metadata["namespace"], {"metadata": about, **content}, manager=MANAGER
            )
            return
        if item["metadata"]["labels"] == labels and all(item[key] == value for key, value in content.items()):
            return
        annotations = {**(item["metadata"].get("annotations") or {}), _TRIGGERED: self._time}
        about = {**item["metadata"], "labels": labels, "annotations": annotations}
        name = item["metadata"]["name"]
        self._objects.replace(
            "endpointslices", metadata["namespace"], name, {**item, "metadata": about, **content}, manager=MANAGER
        )
