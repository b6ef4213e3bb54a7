"""The tables `[[apps.<name>.gates]]`, `[[apps.<name>.guards]]` and `[prometheus]`."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from bot.gates.prometheus import PLACEHOLDERS, Server
from bot.policy.values import (
    Address,
    CertificateFile,
    Cpu,
    Duration,
    GateName,
    Key,
    Memory,
    SecretFile,
    Variables,
    WholeImage,
    Workload,
    refuse,
    shown,
)
from bot.release.app import K6, Action, Comparison, Gate, Guard, Http, Job, Mode, Prometheus

HTTP, QUERY, UNKNOWN = "a gate of kind http", "a gate of kind prometheus", "a gate"
LOAD, JOB = "a gate of kind k6", "a gate of kind job"
LIVE_HTTP, LIVE_QUERY, LIVE_UNKNOWN = "a guard of kind http", "a guard of kind prometheus", "a guard"
"""Which sort a gate's or a guard's table is. Pydantic puts it into the way to each of its faults."""
OF_GATES = {"http": HTTP, "prometheus": QUERY, "k6": LOAD, "job": JOB}
OF_GUARDS = {"http": LIVE_HTTP, "prometheus": LIVE_QUERY}
SORTS = {*OF_GATES.values(), UNKNOWN, *OF_GUARDS.values(), LIVE_UNKNOWN}
_PASS = re.compile(r"\s*(?P<comparison><=|>=|<|>)\s*(?P<bound>[0-9]+(?:\.[0-9]+)?)\s*(?P<times>x?)\s*")

_BARE = re.compile(r"[=~]\s*(\{[a-z]+\})")
"""A value to be filled in where PromQL wants text in quotes."""


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _of_json(value: dict[str, Any]) -> dict[str, Any]:
    """TOML has dates and NaN as well, which no answer ever is."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        refuse("holds what JSON cannot: it has text, numbers, true, false, lists, tables.")
    return value


class ExpectTable(Table):
    status: Annotated[int, Field(ge=100, le=599)] = Http.status
    headers: dict[str, str] = {}
    body: str = ""
    json_: Annotated[dict[str, Any], Field(alias="json"), AfterValidator(_of_json)] = {}


class GateTable(Table):
    name: GateName
    kind: str
    mode: Annotated[Mode, Field(strict=False)] = Gate.mode
    timeout: Duration = Gate.timeout


def _path(value: str) -> str:
    if not re.fullmatch(r"/[!-~]*", value):
        refuse(f'{shown(value)} is not a path: it begins with "/", and has no spaces.')
    return value


class HttpFields(Table):
    kind: Literal["http"]
    path: Annotated[str, AfterValidator(_path)] = Http.path
    url: Address | None = None
    expect: ExpectTable = ExpectTable()
    repeat: Annotated[int, Field(ge=1, le=1000)] = Http.repeat
    within: Duration = Http.within


class HttpTable(HttpFields, GateTable):
    kind: Literal["http"]


def _pass(value: str) -> str:
    if not _PASS.fullmatch(value):
        refuse(f'{shown(value)} is no comparison: write it like "< 0.01", ">= 99.5" or, with a baseline, "<= 1.2x".')
    return value


def _query(value: str) -> str:
    for name in re.findall(r"\{([A-Za-z_]+)\}", value):
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            refuse(f"{{{name}}} is not filled in: there are {known}.")
    if bare := _BARE.search(value):
        refuse(f"{bare[1]} needs quotes around it: write …=\"{bare[1]}\", and the query in single ones, '…'.")
    return value or refuse("is empty.")


class QueryFields(Table):
    kind: Literal["prometheus"]
    query: Annotated[str, AfterValidator(_query)]
    pass_: Annotated[str, Field(alias="pass"), AfterValidator(_pass)]


class PrometheusTable(QueryFields, GateTable):
    kind: Literal["prometheus"]
    for_: Annotated[Duration | None, Field(alias="for")] = None
    baseline: bool = Prometheus.baseline


class ScriptTable(Table):
    configmap: Workload
    key: Key


class K6Table(GateTable):
    kind: Literal["k6"]
    script: ScriptTable
    image: WholeImage = K6.image
    env: Variables = {}
    cpu: Cpu = K6.cpu
    memory: Memory = K6.memory


class TemplateTable(Table):
    cronjob: Workload


class JobTable(GateTable):
    kind: Literal["job"]
    template: TemplateTable


class UnknownTable(GateTable):
    kind: Literal["http", "prometheus", "k6", "job"]


def _gate_sort(table: Any) -> str:
    return OF_GATES.get(str(table.get("kind")), UNKNOWN) if isinstance(table, dict) else UNKNOWN


AnyGate = Annotated[
    Annotated[HttpTable, Tag(HTTP)]
    | Annotated[PrometheusTable, Tag(QUERY)]
    | Annotated[K6Table, Tag(LOAD)]
    | Annotated[JobTable, Tag(JOB)]
    | Annotated[UnknownTable, Tag(UNKNOWN)],
    Discriminator(_gate_sort),
]


class GuardTable(Table):
    name: GateName
    kind: str
    action: Annotated[Action, Field(strict=False)] = Guard.action
    every: Duration = Guard.every
    failures: Annotated[int, Field(ge=1, le=100)] = Guard.failures
    answer_within: Duration = Guard.answer_within


class HttpGuardTable(HttpFields, GuardTable):
    kind: Literal["http"]


class QueryGuardTable(QueryFields, GuardTable):
    kind: Literal["prometheus"]


class UnknownGuardTable(GuardTable):
    kind: Literal["http", "prometheus"]


def _guard_sort(table: Any) -> str:
    return OF_GUARDS.get(str(table.get("kind")), LIVE_UNKNOWN) if isinstance(table, dict) else LIVE_UNKNOWN


AnyGuard = Annotated[
    Annotated[HttpGuardTable, Tag(LIVE_HTTP)]
    | Annotated[QueryGuardTable, Tag(LIVE_QUERY)]
    | Annotated[UnknownGuardTable, Tag(LIVE_UNKNOWN)],
    Discriminator(_guard_sort),
]


def _server(value: str) -> str:
    if "?" in value or "#" in value:
        refuse(f'{shown(value)} is a page of Prometheus: write where it is itself, like "http://prometheus:9090".')
    return value


class PrometheusServerTable(Table):
    url: Annotated[Address, AfterValidator(_server)]
    token: SecretFile | None = None
    user: str = ""
    password: SecretFile | None = None
    ca: CertificateFile | None = None


def gate(table: GateTable) -> Gate:
    return Gate(table.name, _check(table), table.mode, table.timeout)


def guard(table: GuardTable) -> Guard:
    check = _asked(table)
    if check is None:
        raise TypeError(f"guard {table.name} was read as what it is not")
    return Guard(table.name, check, table.action, table.every, table.failures, table.answer_within)


def _asked(table: Table) -> Http | Prometheus | None:
    """What a gate and a guard may ask alike."""
    if isinstance(table, HttpFields):
        asked = table.expect
        return Http(
            table.path,
            table.url or "",
            asked.status,
            asked.headers,
            asked.body,
            asked.json_,
            table.repeat,
            table.within,
        )
    if isinstance(table, QueryFields) and (match := _PASS.fullmatch(table.pass_)):
        return Prometheus(table.query, Comparison(match["comparison"]), float(match["bound"]))
    return None


def _check(table: GateTable) -> Http | Prometheus | K6 | Job:
    asked = _asked(table)
    if isinstance(asked, Prometheus) and isinstance(table, PrometheusTable):
        return replace(asked, baseline=table.baseline, lasts=table.for_ or Prometheus.lasts)
    if asked is not None:
        return asked
    if isinstance(table, K6Table):
        script = table.script
        return K6(script.configmap, script.key, table.image, table.env, table.cpu, table.memory)
    if isinstance(table, JobTable):
        return Job(table.template.cronjob)
    raise TypeError(f"gate {table.name} was read as what it is not")


def relative(table: QueryFields) -> bool:
    """Whether it compares with a multiple."""
    match = _PASS.fullmatch(table.pass_)
    return bool(match and match["times"])


def server(table: PrometheusServerTable | None) -> Server | None:
    if table is None:
        return None
    token, password, ca = (None if file is None else Path(file) for file in (table.token, table.password, table.ca))
    return Server(table.url, token, table.user, password, ca)
