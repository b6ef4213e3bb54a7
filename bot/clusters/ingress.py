"""What an Ingress (networking.k8s.io/v1) says, and what of it cannot work as it stands. Pure, over raw API objects."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.clusters.raw import items, mapping, text, texts

Port = str | int
"""Of a Service, by its name or by its number."""


@dataclass(frozen=True)
class Backend:
    """Where one of its rules leads."""

    host: str
    """"" is any."""
    path: str
    service: str
    port: Port | None
    """None: it does not say, or nothing that is a port."""


def backends(ingress: Any) -> Iterator[Backend]:
    """In the order of the rules; the default backend, which answers at any host, is the last."""
    spec = mapping(mapping(ingress).get("spec"))
    for rule in map(mapping, items(spec, "rules")):
        for path in map(mapping, items(mapping(rule.get("http")), "paths")):
            yield _backend(text(rule.get("host")), text(path.get("path")), path.get("backend"))
    if "defaultBackend" in spec:
        yield _backend("", "/", spec.get("defaultBackend"))


def secured(ingress: Any) -> list[str]:
    """The hosts that it has certificates for; `*.` stands for one label."""
    entries = items(mapping(mapping(ingress).get("spec")), "tls")
    return [host for entry in map(mapping, entries) for host in texts(entry, "hosts")]


def certifies(pattern: str, host: str) -> bool:
    """RFC 6125: `*.` stands for exactly one label."""
    first, _, rest = host.partition(".")
    return bool(host) and (pattern == host or (bool(first) and pattern == f"*.{rest}"))


def ports(service: Any) -> frozenset[Port]:
    """All by which a backend may name one."""
    found = [mapping(each) for each in items(mapping(mapping(service).get("spec")), "ports")]
    return frozenset(each for port in found for each in (text(port.get("name")), _number(port.get("port"))) if each)


# What cannot work -----------------------------------------------------------------------------------------------------


def missing_port(service: Any, ingresses: Iterable[Any]) -> tuple[str, Port] | None:
    """An Ingress that leads to a port that the Service does not have, and that port; None when none does."""
    for ingress in ingresses:
        for backend in backends(ingress):
            if backend.service == _name(service) and backend.port and backend.port not in ports(service):
                return _name(ingress), backend.port
    return None


def uncovered(service: str, ingresses: Iterable[Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Each Ingress that leads there by a host, and has certificates for others only: name, host, and the others."""
    for ingress in ingresses:
        covered = secured(ingress)
        hosts = dict.fromkeys(each.host for each in backends(ingress) if each.service == service and each.host)
        for host in hosts if covered else ():
            if not any(certifies(pattern, host) for pattern in covered):
                yield _name(ingress), host, covered


def not_atomic(service: Any, ingresses: Iterable[Any]) -> str:
    """Which load balancer knows the pods behind the Service by itself, and so learns of a switch pod by pod and late.

    "" when none is known to.
    """
    notes = mapping(mapping(mapping(service).get("metadata")).get("annotations"))
    # GKE: the first is what people write, the second what its controller answers.
    if any(key in notes for key in ("cloud.google.com/neg", "cloud.google.com/neg-status")):
        return f"Service {_name(service)} has network endpoint groups (GKE)"
    for ingress in ingresses:
        if any(each.service == _name(service) for each in backends(ingress)) and _is_by_pod(mapping(ingress)):
            return f"Ingress {_name(ingress)} is a load balancer of AWS (ALB)"
    return ""


def _is_by_pod(ingress: Mapping[str, Any]) -> bool:
    """An ALB, unless it is told to go by node, where the Service decides as ever."""
    notes = mapping(mapping(ingress.get("metadata")).get("annotations"))
    names = mapping(ingress.get("spec")).get("ingressClassName"), notes.get("kubernetes.io/ingress.class")
    is_alb = "alb" in names or any(key.startswith(_ALB) for key in notes)
    return is_alb and notes.get(f"{_ALB}target-type") != "instance"


_ALB = "alb.ingress.kubernetes.io/"


def _backend(host: str, path: str, raw: Any) -> Backend:
    named = mapping(mapping(raw).get("service"))
    port = mapping(named.get("port"))
    return Backend(host, path, text(named.get("name")), text(port.get("name")) or _number(port.get("number")))


def _number(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def _name(item: Any) -> str:
    return text(mapping(mapping(item).get("metadata")).get("name"))
