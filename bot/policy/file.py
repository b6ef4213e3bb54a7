"""Reading `greenlight.toml`: a file is taken whole or not at all."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from bot.policy.contradictions import contradictions, follows_from_rollout
from bot.policy.sentences import sentence
from bot.policy.tables import AppTable, ClusterTable, FileTable, RegistryTable, depth
from bot.registry.hosts import RegistryHost
from bot.release.app import App, Approval, Native, Requirement, Timing
from bot.release.image import one_name
from bot.toml_places import TomlPlaces


class SettingsError(Exception):
    """The settings cannot be used; the text says in one line per fault what is wrong and how to put it right."""


@dataclass(frozen=True)
class Credentials:
    """Where those of a cluster are read: a file as kubectl reads it, and which of its contexts.

    Without a file that is the one of the environment; without a context the file's current one.
    """

    kubeconfig: str | None = None
    context: str | None = None


@dataclass(frozen=True)
class Policy:
    """A valid file. App names are its keys; at least one app is there."""

    guild: int
    apps: Mapping[str, App]
    registries: Mapping[str, RegistryHost] = field(default_factory=dict)
    """How those are reached that are not reached by TLS and directly, by `host[:port]`; `docker.io` by that name."""
    clusters: Mapping[str, Credentials] = field(default_factory=dict)
    """By the names that apps use."""


def read_policy(file: Path) -> Policy:
    """Raises `SettingsError`, one line for each fault, with paths as the caller wrote them."""
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
        raise SettingsError(f"{file}: is not valid TOML: {why}.") from None
    try:
        shape = FileTable.model_validate(document, context=file.parent)
    except ValidationError as why:
        errors = [error for error in why.errors() if not follows_from_rollout(document, error["loc"])]
        faults = [(error["loc"], sentence(error)) for error in errors]
    else:
        faults = list(contradictions(shape))
    if faults:
        places = TomlPlaces(str(file), text, depth)
        faults.sort(key=lambda fault: places.line(fault[0]) or 0)
        raise SettingsError("\n".join(f"{places.of(loc)}: {sentence}" for loc, sentence in faults))
    apps = {name: _app(name, table) for name, table in shape.apps.items()}
    registries = {one_name(host): _registry(table) for host, table in shape.registries.items()}
    clusters = {name: Credentials(_beside(file, table), table.context) for name, table in shape.clusters.items()}
    return Policy(shape.guild, MappingProxyType(apps), MappingProxyType(registries), MappingProxyType(clusters))


def _app(name: str, table: AppTable) -> App:
    require = tuple(Requirement(frozenset(each.roles), each.count) for each in table.approval.require)
    return App(
        name=name,
        namespace=table.namespace,
        channel=table.channel,
        image=table.image,
        target=Native(table.service, table.preview, (table.slots[0], table.slots[1]), table.container),
        deployers=frozenset(table.deployers),
        approval=Approval(require, table.approval.by_author, table.approval.expires, table.approval.switch),
        rollbackers=frozenset(table.rollbackers),
        images=tuple(table.images),
        pin=table.pin,
        timing=Timing(**table.timing.model_dump()),
        links=MappingProxyType(table.links.model_dump(exclude_none=True)),
        notify=table.notify,
        cluster=table.cluster,
    )


def _beside(file: Path, table: ClusterTable) -> str | None:
    """A path in the file means what it says from where the file is, wherever the bot is started."""
    return None if table.kubeconfig is None else str(file.parent / Path(table.kubeconfig).expanduser())


def _registry(table: RegistryTable) -> RegistryHost:
    return RegistryHost(table.insecure, None if table.ca is None else Path(table.ca), tuple(table.mirrors))
