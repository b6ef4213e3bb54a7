"""What makes an object invalid: the rules of 1.34 that a release tool can run into. Pure; a check lists causes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sandbox.cluster.errors import Cause
from sandbox.cluster.selectors import selects

Json = dict[str, Any]
Check = Callable[[Json, Json | None], list[Cause]]

_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SHARE = re.compile(r"\d+%?")
_LONGEST_LABEL = 63
_LONGEST_NAME = 253
_HIGHEST_PORT = 65535

_BAD_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_BAD_KEY = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_BAD_NAME = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_BAD_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)


def no_rules(_item: Json, _before: Json | None) -> list[Cause]:
    return []


def wrong_type(item: Json) -> str | None:
    """The first field whose JSON type cannot be decoded, in words; None when all are well."""
    metadata, spec = item.get("metadata"), item.get("spec")
    if not isinstance(metadata, dict):
        return "metadata must be an object"
    for key in ("labels", "annotations"):
        values = metadata.get(key) or {}
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            return f"cannot unmarshal {key} into a map of strings"
    if isinstance(spec, dict):
        replicas = spec.get("replicas")
        if replicas is not None and (not isinstance(replicas, int) or isinstance(replicas, bool)):
            return f"json: cannot unmarshal {type(replicas).__name__} into Go struct field .spec.replicas of type int32"
        selector = spec.get("selector")
        if selector is not None and not isinstance(selector, dict):
            return "cannot unmarshal .spec.selector into an object"
        if not all(isinstance(value, (str, dict, list)) for value in (selector or {}).values()):
            return "json: cannot unmarshal number into Go struct field ServiceSpec.spec.selector of type string"
    return None


def metadata(item: Json, *, dns_label: bool = False) -> list[Cause]:
    found, name = item["metadata"], str(item["metadata"].get("name", ""))
    causes = []
    if not name:
        return [Cause.required("metadata.name", "name or generateName is required")]
    if dns_label:
        if not _DNS_1035.fullmatch(name) or len(name) > _LONGEST_LABEL:
            causes.append(Cause.invalid("metadata.name", f'"{name}"', _BAD_1035))
    elif not _SUBDOMAIN.fullmatch(name) or len(name) > _LONGEST_NAME:
        causes.append(Cause.invalid("metadata.name", f'"{name}"', _BAD_NAME))
    return [*causes, *labels(found.get("labels"), "metadata.labels")]


def labels(values: Mapping[str, str] | None, field: str) -> list[Cause]:
    return list(_labels(values or {}, field))


def _labels(values: Mapping[str, str], field: str) -> Iterator[Cause]:
    for key, value in values.items():
        prefix, _, name = key.rpartition("/")
        if (
            not _QUALIFIED.fullmatch(name)
            or len(name) > _LONGEST_LABEL
            or (prefix and not _SUBDOMAIN.fullmatch(prefix))
        ):
            yield Cause.invalid(field, f'"{key}"', _BAD_KEY)
        if not isinstance(value, str) or len(value) > _LONGEST_LABEL:
            yield Cause.invalid(field, f'"{value}"', "must be no more than 63 bytes")
        elif not _LABEL_VALUE.fullmatch(value):
            yield Cause.invalid(field, f'"{value}"', _BAD_VALUE)


def workload(item: Json, before: Json | None) -> list[Cause]:
    """Deployments and ReplicaSets."""
    spec = item["spec"]
    template = spec["template"]
    own = template["metadata"].get("labels") or {}
    selector = spec.get("selector") or {}
    causes = []
    if not (selector.get("matchLabels") or selector.get("matchExpressions")):
        causes.append(Cause.required("spec.selector"))
    if not selector or not selects(selector, own):
        shown = json.dumps(own, separators=(",", ":"))
        detail = "`selector` does not match template `labels`"
        causes.append(Cause.invalid("spec.template.metadata.labels", shown, detail))
    if before and before["spec"]["selector"] != selector:
        shown = json.dumps(selector, separators=(",", ":"))
        causes.append(Cause.invalid("spec.selector", shown, "field is immutable"))
    if spec["replicas"] < 0:
        causes.append(Cause.invalid("spec.replicas", str(spec["replicas"]), "must be greater than or equal to 0"))
    causes += _rolling((spec.get("strategy") or {}).get("rollingUpdate"))
    causes += labels(own, "spec.template.labels")
    return causes + containers(template["spec"], "spec.template.spec")


def job(item: Json, before: Json | None) -> list[Cause]:
    spec, template = item["spec"], item["spec"]["template"]
    causes = labels(template["metadata"].get("labels"), "spec.template.labels")
    policy = template["spec"]["restartPolicy"]
    if policy not in {"Never", "OnFailure"}:
        causes.append(Cause.unsupported("spec.template.spec.restartPolicy", policy, ("OnFailure", "Never")))
    if before and before["spec"]["template"] != template:
        causes.append(Cause.invalid("spec.template", "{}", "field is immutable"))
    for key in ("activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"):
        if spec.get(key, 0) < 0:
            causes.append(Cause.invalid(f"spec.{key}", str(spec[key]), "must be greater than or equal to 0"))
    return causes + containers(template["spec"], "spec.template.spec")


def _rolling(rolling: Json | None) -> list[Cause]:
    if rolling is None:
        return []
    field = "spec.strategy.rollingUpdate"
    causes = [
        Cause.invalid(f"{field}.{key}", json.dumps(value), "must be a number or a percentage, such as 1 or 25%")
        for key, value in rolling.items()
        if isinstance(value, bool) or not _SHARE.fullmatch(str(value))
    ]
    if not causes and all(str(rolling[key]).rstrip("%") == "0" for key in ("maxSurge", "maxUnavailable")):
        causes.append(Cause.invalid(f"{field}.maxUnavailable", "0", "may not be 0 when `maxSurge` is 0"))
    return causes


def pod(item: Json, before: Json | None) -> list[Cause]:
    causes = containers(item["spec"], "spec")
    if before and not causes and _lasting(before["spec"]) != _lasting(item["spec"]):
        message = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
            "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
            "previously negative)"
        )
        causes.append(Cause("spec", message, "FieldValueForbidden"))
    return causes


def _lasting(spec: Json) -> Json:
    """What of a pod stays as it was made; the node is the scheduler's business."""
    passing = {"nodeName", "activeDeadlineSeconds", "tolerations", "containers", "initContainers"}
    kept = {key: value for key, value in spec.items() if key not in passing}
    for key in ("containers", "initContainers"):
        kept[key] = [{k: v for k, v in each.items() if k != "image"} for each in spec.get(key) or ()]
    return kept


def event(item: Json, _before: Json | None) -> list[Cause]:
    where = (item.get("involvedObject") or {}).get("namespace", "")
    if where == item["metadata"]["namespace"]:
        return []
    return [Cause.invalid("involvedObject.namespace", f'"{where}"', "does not match event.namespace")]


def containers(spec: Json, field: str) -> list[Cause]:
    listed = spec.get("containers") or []
    if not listed:
        return [Cause.required(f"{field}.containers")]
    causes, seen = [], set()
    for index, container in enumerate(listed):
        at = f"{field}.containers[{index}]"
        name = container.get("name")
        if not name:
            causes.append(Cause.required(f"{at}.name"))
        elif name in seen:
            causes.append(Cause(f"{at}.name", f'Duplicate value: "{name}"', "FieldValueDuplicate"))
        seen.add(name)
        image = container.get("image")
        if not image:
            causes.append(Cause.required(f"{at}.image"))
        elif image != image.strip():
            causes.append(Cause.invalid(f"{at}.image", f'"{image}"', "must not have leading or trailing whitespace"))
    return causes


def service(item: Json, before: Json | None) -> list[Cause]:
    spec = item["spec"]
    causes = labels(spec.get("selector"), "spec.selector")
    kinds = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    if spec["type"] not in kinds:
        causes.append(Cause.unsupported("spec.type", spec["type"], kinds))
    ports = spec.get("ports") or []
    if not ports and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        causes.append(Cause.required("spec.ports"))
    for index, port in enumerate(ports):
        if len(ports) > 1 and not port.get("name"):
            causes.append(Cause.required(f"spec.ports[{index}].name"))
        number = port.get("port")
        if not isinstance(number, int) or not 1 <= number <= _HIGHEST_PORT:
            detail = "must be between 1 and 65535, inclusive"
            causes.append(Cause.invalid(f"spec.ports[{index}].port", str(number), detail))
    if before and before["spec"].get("clusterIP") != spec.get("clusterIP"):
        causes.append(Cause.invalid("spec.clusterIPs[0]", f'["{spec.get("clusterIP")}"]', "may not change once set"))
    return causes


def ingress(item: Json, _before: Json | None) -> list[Cause]:
    spec = item.get("spec") or {}
    if not spec.get("rules") and not spec.get("defaultBackend"):
        return [Cause.invalid("spec", "null", "either `defaultBackend` or `rules` must be specified")]
    return [
        Cause.required(f"spec.rules[{r}].http.paths[{p}].pathType", "pathType must be specified")
        for r, rule in enumerate(spec.get("rules") or ())
        for p, path in enumerate((rule.get("http") or {}).get("paths") or ())
        if not path.get("pathType")
    ]


def endpoint_slice(item: Json, before: Json | None) -> list[Cause]:
    kinds = ("FQDN", "IPv4", "IPv6")
    if item.get("addressType") not in kinds:
        return [Cause.required("addressType")]
    if before and before["addressType"] != item["addressType"]:
        return [Cause.invalid("addressType", f'"{item["addressType"]}"', "field is immutable")]
    return []


def rollout(item: Json, before: Json | None) -> list[Cause]:
    """What the schema of the CRD demands; what else is wrong, the controller says in the status."""
    spec = item.get("spec")
    if not isinstance(spec, dict):
        return [Cause.required("spec")]
    causes = []
    blue_green = (spec.get("strategy") or {}).get("blueGreen")
    if blue_green is not None and not blue_green.get("activeService"):
        causes.append(Cause.required("spec.strategy.blueGreen.activeService"))
    template = (spec.get("template") or {}).get("spec")
    if template is not None:
        if "containers" not in template:
            causes.append(Cause.required("spec.template.spec.containers"))
        causes += _named(template.get("containers") or (), "spec.template.spec.containers")
    if (
        before
        and "selector" in before["spec"]
        and "selector" in spec
        and before["spec"]["selector"] != spec["selector"]
    ):
        shown = json.dumps(spec["selector"], separators=(",", ":"))
        causes.append(Cause.invalid("spec.selector", shown, ".spec.selector is immutable"))
    return causes


def _named(listed: Iterable[Json], field: str) -> Iterator[Cause]:
    seen = set()
    for index, each in enumerate(listed):
        name = each.get("name")
        if not name:
            yield Cause.required(f"{field}[{index}].name")
        elif name in seen:
            shown = json.dumps({"name": name}, separators=(",", ":"))
            yield Cause(f"{field}[{index}]", f"Duplicate value: {shown}", "FieldValueDuplicate")
        seen.add(name)
