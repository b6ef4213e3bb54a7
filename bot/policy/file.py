"""Reading `greenlight.toml`: a file is taken whole or not at all."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from bot.gates.prometheus import Server
from bot.policy.contradictions import contradictions
from bot.policy.gates import gate, guard, server
from bot.policy.sentences import faults
from bot.policy.tables import ArgoTable, ClusterTable, FileTable, NativeTable, RegistryTable, depth
from bot.registry.hosts import RegistryHost
from bot.release.app import App, Approval, Argo, Native, Requirement, Timing
from bot.release.image import one_name
from bot.toml_places import Loc, TomlPlaces


class SettingsError(Exception):
    """The settings cannot be used; the text says in one line per fault what is wrong and how to put it right."""


@dataclass(frozen=True)
class Credentials:
    """Where those of a cluster are read: a file as kubectl reads it, and which of its contexts.

    Without a file that is the one of the environment; without a context the file's current one.
    """

    kubeconfig: str | None = None
    context: str | None = None


CurrentNamespace = Callable[[Credentials], str]
"""The namespace that credentials mean where none is named."""


@dataclass(frozen=True)
class Policy:
    """A valid file. App names are its keys; at least one app is there."""

    guild: int
    apps: Mapping[str, App]
    registries: Mapping[str, RegistryHost] = field(default_factory=dict)
    """How those are reached that are not reached by TLS and directly, by `host[:port]`; `docker.io` by that name."""
    clusters: Mapping[str, Credentials] = field(default_factory=dict)
    """By the names that apps use."""
    people: Mapping[str, int] = field(default_factory=dict)
    """Discord user ids, by the names under which releases are begun elsewhere."""
    prometheus: Server | None = None


def read_policy(file: Path, current_namespace: CurrentNamespace | None = None) -> Policy:
    """Raises `SettingsError`, one line for each fault, with paths as the caller wrote them.

    Without `current_namespace` each app has to name its own.
    """
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise SettingsError(
            f"{file}: no such file. Let `greenlight init` write one, or set GREENLIGHT_CONFIG to where yours is."
        ) from None
    except (OSError, UnicodeDecodeError) as why:
        raise SettingsError(f"{file}: cannot be read: {why}.") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise SettingsError(_no_toml(file, text, str(why))) from None
    try:
        shape = FileTable.model_validate(document, context=file.parent)
    except ValidationError as why:
        raise _refused(file, text, faults(why.errors())) from None
    clusters = {name: Credentials(_beside(file, table), table.context) for name, table in shape.clusters.items()}
    meant = current_namespace or (lambda _: "")
    namespaces = {
        name: table.namespace or meant(clusters.get(table.cluster, Credentials())) for name, table in shape.apps.items()
    }
    wrong = list(contradictions(shape, namespaces))
    if wrong:
        raise _refused(file, text, wrong)
    apps = {name: _app(name, table, namespaces[name]) for name, table in shape.apps.items()}
    registries = {one_name(host): _registry(table) for host, table in shape.registries.items()}
    return Policy(
        shape.guild,
        MappingProxyType(apps),
        MappingProxyType(registries),
        MappingProxyType(clusters),
        MappingProxyType(shape.people),
        server(shape.prometheus),
    )


_AT = re.compile(r"(?P<what>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)", re.DOTALL)
"""How tomllib ends its sentences, unless the file ends too early."""


def _no_toml(file: Path, text: str, why: str) -> str:
    """With what it comes from, where that is one of the usual slips."""
    if (found := _AT.fullmatch(why)) is None:
        return f"{file}: is not valid TOML: {why}."
    number, column = int(found["line"]), int(found["column"])
    line = (text.split("\n")[number - 1 :] or [""])[0]
    fix = ""
    if line.count('"') > 2 and re.match(r'[^"\']*=\s*"', line):  # noqa: PLR2004 - where it begins and where it ends
        fix = """ Text that has double quotes in it stands in single ones: query = 'up{job="mochi"}'."""
    elif line[: column - 1].rstrip().endswith(("{", ",")) and column > len(line):
        fix = " What begins with { ends with } on the same line."
    elif header := re.match(r"\s*\[+\s*(apps\.[^\]]+\.(?:gates|guards))\s*\]", line):
        fix = f" Each of them has double brackets in its header: [[{header[1]}]]."
    return f"{file}:{number}: is not valid TOML: {found['what']} (column {column}).{fix}"


def _refused(file: Path, text: str, found: Iterable[tuple[Loc, str]]) -> SettingsError:
    places = TomlPlaces(str(file), text, depth)
    in_order = sorted(found, key=lambda fault: places.line(fault[0]) or 0)
    return SettingsError("\n".join(f"{places.of(loc)}: {sentence}" for loc, sentence in in_order))


def _app(name: str, table: NativeTable | ArgoTable, namespace: str) -> App:
    require = tuple(Requirement(frozenset(each.roles), each.count) for each in table.approval.require)
    return App(
        name=name,
        namespace=namespace,
        channel=table.channel,
        image=table.image or "",
        target=_target(table),
        deployers=frozenset(table.deployers),
        approval=Approval(require, table.approval.by_author, table.approval.expires, table.approval.switch),
        rollbackers=frozenset(table.rollbackers),
        images=tuple(table.images),
        pin=table.pin,
        timing=Timing(**table.timing.model_dump()),
        links=MappingProxyType(table.links.model_dump(exclude_none=True)),
        notify=table.notify,
        cluster=table.cluster,
        gates=tuple(map(gate, table.gates)),
        guards=tuple(map(guard, table.guards)),
    )


def _target(table: NativeTable | ArgoTable) -> Native | Argo:
    if isinstance(table, ArgoTable):
        return Argo(table.rollout, table.container, table.adopt)
    return Native(table.service, table.preview, (table.slots[0], table.slots[1]), table.container)


def _beside(file: Path, table: ClusterTable) -> str | None:
    """A path in the file means what it says from where the file is, wherever the bot is started."""
    return None if table.kubeconfig is None else str(file.parent / Path(table.kubeconfig).expanduser())


def _registry(table: RegistryTable) -> RegistryHost:
    return RegistryHost(table.insecure, None if table.ca is None else Path(table.ca), tuple(table.mirrors))
