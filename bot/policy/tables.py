"""The tables of `greenlight.toml` and their keys."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from bot.policy.gates import (
    AnyGate,
    AnyGuard,
    ExpectTable,
    HttpGuardTable,
    HttpTable,
    JobTable,
    K6Table,
    PrometheusServerTable,
    PrometheusTable,
    QueryGuardTable,
    ScriptTable,
    TemplateTable,
)
from bot.policy.values import (
    Address,
    AppName,
    CertificateFile,
    Channel,
    ClusterName,
    Duration,
    Guild,
    Mirror,
    Name,
    PersonName,
    RegistryName,
    Repository,
    Role,
    Slots,
    User,
    Workload,
    some,
)
from bot.release.app import Approval, Argo, Notify, Switch, Timing
from bot.toml_places import Loc


class Table(BaseModel):
    # Strict: "yes" is not true and 5 is not "5". TOML has no tuples, hence the lists below.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RequireTable(Table):
    roles: Annotated[list[Role], some("nobody could ever approve")]
    count: Annotated[int, Field(ge=1)] = 1


class ApprovalTable(Table):
    require: Annotated[
        list[RequireTable], some("nobody would have to approve; write [{ roles = [<role id>], count = 1 }]")
    ]
    by_author: Annotated[bool, Field(alias="self")] = False
    expires: Duration = Approval.expires
    switch: Annotated[Switch, Field(strict=False)] = Switch.AUTO


class TimingTable(Table):
    stage_within: Duration = Timing.stage_within
    promote_within: Duration = Timing.promote_within
    grace: Duration = Timing.grace
    bake_for: Duration = Timing.bake_for
    warm_for: Duration = Timing.warm_for


class LinksTable(Table):
    production: Address | None = None
    preview: Address | None = None


class AppTable(Table):
    """What every app says, whatever it runs on."""

    channel: Channel
    container: Name | None = None
    deployers: Annotated[list[Role], some("nobody could deploy; write the ids of the roles that may")]
    rollbackers: list[Role] = []
    images: list[Repository] = []
    pin: bool = True
    notify: Annotated[Notify, Field(strict=False)] = Notify.CHANNEL
    cluster: str = ""
    links: LinksTable = LinksTable()
    approval: ApprovalTable
    timing: TimingTable = TimingTable()
    gates: list[AnyGate] = []
    guards: list[AnyGuard] = []


class NativeTable(AppTable):
    """Two Deployments."""

    namespace: Name
    image: Repository
    service: Name
    preview: Name
    slots: Slots


class ArgoTable(AppTable):
    """A Rollout, of which the rest is read."""

    rollout: Workload
    adopt: bool = Argo.adopt
    namespace: Name | None = None
    """None: the one that the credentials mean."""
    image: Repository | None = None
    """None: that of what is live."""


SLOTTED, ROLLED = "two Deployments", "a Rollout"
"""Which of the two an app's table is. Pydantic puts it into the way to each of its faults."""


def runs_on(table: Any) -> str:
    return ROLLED if isinstance(table, dict) and "rollout" in table else SLOTTED


AnyApp = Annotated[
    Annotated[NativeTable, Tag(SLOTTED)] | Annotated[ArgoTable, Tag(ROLLED)],
    Discriminator(runs_on),
]


class ClusterTable(Table):
    context: str | None = None
    kubeconfig: str | None = None


class RegistryTable(Table):
    insecure: bool = False
    ca: CertificateFile | None = None
    mirrors: list[Mirror] = []


class FileTable(Table):
    guild: Guild
    apps: Annotated[
        dict[AppName, AnyApp],
        some("there is nothing to release; add a table [apps.<name>], as in greenlight.example.toml"),
    ]
    people: dict[PersonName, User] = {}
    clusters: dict[ClusterName, ClusterTable] = {}
    registries: dict[RegistryName, RegistryTable] = {}
    prometheus: PrometheusServerTable | None = None


_TABLES: Mapping[tuple[str, ...], tuple[type[BaseModel], ...]] = {
    (): (FileTable,),
    ("apps",): (NativeTable, ArgoTable),
    ("apps", "approval"): (ApprovalTable,),
    ("apps", "approval", "require"): (RequireTable,),
    ("apps", "timing"): (TimingTable,),
    ("apps", "links"): (LinksTable,),
    ("apps", "gates"): (HttpTable, PrometheusTable, K6Table, JobTable),
    ("apps", "gates", "expect"): (ExpectTable,),
    ("apps", "gates", "script"): (ScriptTable,),
    ("apps", "gates", "template"): (TemplateTable,),
    ("apps", "guards"): (HttpGuardTable, QueryGuardTable),
    ("apps", "guards", "expect"): (ExpectTable,),
    ("clusters",): (ClusterTable,),
    ("prometheus",): (PrometheusServerTable,),
    ("registries",): (RegistryTable,),
}


def tables_at(parents: Sequence[str]) -> tuple[type[BaseModel], ...]:
    """Whose keys may stand below this header, in which the second part is a name that people gave."""
    return _TABLES[(*parents[:1], *parents[2:])]


def keys_of(*tables: type[BaseModel]) -> list[str]:
    keys = (field.alias or name for table in tables for name, field in table.model_fields.items())
    return list(dict.fromkeys(keys))


def depth(loc: Loc) -> int:
    """How many parts of the path are tables that people write with a header of their own."""
    match loc:
        case ("apps", _, "approval" | "timing" | "links" | "gates" | "guards", *_):
            return 3
        case ("apps" | "clusters" | "registries", *_):
            return 2
        case ("people" | "prometheus", *_):
            return 1
        case _:
            return 0
