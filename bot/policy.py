"""What `greenlight.toml` says: which apps there are, and who may do what to them.

Hides the shape of the file, its line numbers and pydantic's errors. Whatever is wrong becomes one line that names the
file, the line, the table, the key and the fix; a file is taken whole or not at all.
"""

import json
import re
import ssl
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from bot.duration import parse_duration
from bot.registry.hosts import RegistryHost, trusting
from bot.release.app import App, Approval, Native, Notify, Requirement, Switch, Timing
from bot.release.errors import Refused
from bot.release.image import one_name, parse
from bot.toml_places import Loc, TomlPlaces, header


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
        shape = _File.model_validate(document, context=file.parent)
    except ValidationError as why:
        errors = [error for error in why.errors() if not _follows_from_rollout(document, error["loc"])]
        faults = [(error["loc"], _sentence(error)) for error in errors]
    else:
        faults = list(_contradictions(shape))
    if faults:
        places = TomlPlaces(str(file), text, _depth)
        faults.sort(key=lambda fault: places.line(fault[0]) or 0)
        raise SettingsError("\n".join(f"{places.of(loc)}: {sentence}" for loc, sentence in faults))
    apps = {name: _app(name, table) for name, table in shape.apps.items()}
    registries = {one_name(host): _registry(table) for host, table in shape.registries.items()}
    clusters = {name: Credentials(_beside(file, table), table.context) for name, table in shape.clusters.items()}
    return Policy(shape.guild, MappingProxyType(apps), MappingProxyType(registries), MappingProxyType(clusters))


# What a value may be. -------------------------------------------------------------------------------------------------

_COPY_ID = "switch on Settings → Advanced → Developer Mode in Discord, right-click the {thing}, Copy {Thing} ID"
_SNOWFLAKE_LIMIT = 2**63  # Discord's ids are 64-bit numbers with the highest bit unset


def _refuse(sentence: str) -> NoReturn:
    raise PydanticCustomError("greenlight", "{sentence}", {"sentence": sentence})


def _id(thing: str) -> Any:
    """An integer, or a string of digits for editors that round large numbers. Never a name: anybody can take one."""
    how = _COPY_ID.format(thing=thing, Thing=thing.capitalize())

    def check(value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:20])
        if isinstance(value, bool) or not isinstance(value, int):
            what = "is a name" if isinstance(value, str) else "is not an id"
            _refuse(f"{_shown(value)} {what}: put the {thing}'s id there ({how}).")
        if not 0 < value < _SNOWFLAKE_LIMIT:
            _refuse(f"{value} is not an id of Discord's ({how}).")
        return value

    return BeforeValidator(check)


def _some(what: str) -> Any:
    def check(value: tuple[Any, ...]) -> tuple[Any, ...]:
        return value or _refuse(f"is empty: {what}.")

    return AfterValidator(check)


def _dns_label(value: str) -> str:
    if len(value) > 63 or not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", value):  # noqa: PLR2004 - RFC 1123
        _refuse(f"{_shown(value)} is not a name in Kubernetes: at most 63 of a-z, 0-9 and `-`, no `-` at the ends.")
    return value


def _deployment(value: str) -> str:
    # Unlike a Service, a Deployment may have dots in its name (RFC 1123 subdomain).
    if len(value) > 253:  # noqa: PLR2004 - the same
        _refuse(f"{_shown(value)} is longer than the 253 characters that Kubernetes allows.")
    for label in value.split("."):
        _dns_label(label)
    return value


def _slots(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(value) != 2:  # noqa: PLR2004 - blue and green
        _refuse(f'has {len(value)} of the two Deployments: write slots = ["…-blue", "…-green"].')
    if value[0] == value[1]:
        _refuse(f"names {_shown(value[0])} twice: blue and green are two Deployments.")
    return value


def _repository(value: str) -> str:
    try:
        image = parse(value)
    except Refused as why:
        _refuse(str(why))
    if image.tag is not None or image.digest is not None:
        _refuse(f"{_shown(value)} names one version: leave only the repository, {_shown(image.name)}.")
    return image.name


def _host(value: str) -> str:
    if not _is_host(value):
        _refuse('is not the host of a registry: write [registries."registry.example.com:5000"], in lower case.')
    return value


def _mirror(value: str) -> str:
    if not _is_host(value):
        _refuse(
            f'{_shown(value)} is not the host of a registry: write it like "mirror.example.com:5000", in lower case.'
        )
    return one_name(value)


def _is_host(value: str) -> bool:
    try:
        return parse(f"{value}/image").registry == one_name(value)
    except Refused:
        return False


def _ca(value: str, info: ValidationInfo) -> str:
    """A relative path counts from where the file stands that names it."""
    path = Path(info.context or "") / Path(value).expanduser()
    try:
        trusting(path)
    except ssl.SSLError:
        _refuse(f"{_shown(value)} holds no certificate: it must be in PEM, as -----BEGIN CERTIFICATE----- begins it.")
    except (OSError, ValueError) as why:
        reason = why.strerror if isinstance(why, OSError) else "not a path"
        _refuse(f"{_shown(value)} cannot be read ({reason}): name the file with the certificate that vouches for it.")
    return str(path)


def _cluster_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", value):
        _refuse(
            "is not a cluster's name: 1 to 32 of a-z, 0-9 and `-`, no `-` at the ends; people read it on the cards."
        )
    return value


def _app_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", value):
        _refuse("is not an app's name: 1 to 32 of a-z, 0-9 and `-`, no `-` at the ends (it becomes part of a label).")
    return value


def _duration(value: Any) -> timedelta:
    if isinstance(value, int | float) and not isinstance(value, bool):
        _refuse(f'{value} has no unit: write "{value:.0f}s" or "{value:.0f}m".')
    if not isinstance(value, str):
        _refuse(f'{_shown(value)} is not a duration: write it like "30s", "15m", "2h", "1d" or "1h30m".')
    try:
        return parse_duration(value)
    except ValueError as why:
        _refuse(str(why))


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    # 512: what Discord allows in a link button.
    if not good or len(value) > 512 or not all("!" <= c <= "~" for c in value):  # noqa: PLR2004 - the line above
        _refuse(f'{_shown(value)} is not an address: write it whole, like "https://mochi.example.com/".')
    return value


Name = Annotated[str, AfterValidator(_dns_label)]
Role = Annotated[int, _id("role")]
Repository = Annotated[str, AfterValidator(_repository)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]


class _Table(BaseModel):
    # Strict: "yes" is not true and 5 is not "5". TOML has no tuples, hence the lists below.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Require(_Table):
    roles: Annotated[list[Role], _some("nobody could ever approve")]
    count: Annotated[int, Field(ge=1)] = 1


class _Approval(_Table):
    require: Annotated[
        list[_Require], _some("nobody would have to approve; write [{ roles = [<role id>], count = 1 }]")
    ]
    by_author: Annotated[bool, Field(alias="self")] = False
    expires: Duration = Approval.expires
    switch: Annotated[Switch, Field(strict=False)] = Switch.AUTO


class _Timing(_Table):
    stage_within: Duration = Timing.stage_within
    promote_within: Duration = Timing.promote_within
    grace: Duration = Timing.grace
    bake_for: Duration = Timing.bake_for
    warm_for: Duration = Timing.warm_for


class _Links(_Table):
    production: Annotated[str, AfterValidator(_address)] | None = None
    preview: Annotated[str, AfterValidator(_address)] | None = None


class _App(_Table):
    namespace: Name
    channel: Annotated[int, _id("channel")]
    image: Repository
    service: Name
    preview: Name
    slots: Annotated[list[Annotated[str, AfterValidator(_deployment)]], AfterValidator(_slots)]
    container: Name | None = None
    deployers: Annotated[list[Role], _some("nobody could deploy; write the ids of the roles that may")]
    rollbackers: list[Role] = []
    images: list[Repository] = []
    pin: bool = True
    notify: Annotated[Notify, Field(strict=False)] = Notify.CHANNEL
    cluster: str = ""
    links: _Links = _Links()
    approval: _Approval
    timing: _Timing = _Timing()


class _Cluster(_Table):
    context: str | None = None
    kubeconfig: str | None = None


class _Registry(_Table):
    insecure: bool = False
    ca: Annotated[str, AfterValidator(_ca)] | None = None
    mirrors: list[Annotated[str, AfterValidator(_mirror)]] = []


class _File(_Table):
    guild: Annotated[int, _id("server")]
    apps: Annotated[
        dict[Annotated[str, AfterValidator(_app_name)], _App],
        _some("there is nothing to release; add a table [apps.<name>], as in greenlight.example.toml"),
    ]
    clusters: dict[Annotated[str, AfterValidator(_cluster_name)], _Cluster] = {}
    registries: dict[Annotated[str, AfterValidator(_host)], _Registry] = {}


def _app(name: str, table: _App) -> App:
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


def _beside(file: Path, table: _Cluster) -> str | None:
    """A path in the file means what it says from where the file is, wherever the bot is started."""
    return None if table.kubeconfig is None else str(file.parent / Path(table.kubeconfig).expanduser())


def _registry(table: _Registry) -> RegistryHost:
    return RegistryHost(table.insecure, None if table.ca is None else Path(table.ca), tuple(table.mirrors))


# What is wrong between values that are each right. --------------------------------------------------------------------


def _contradictions(file: _File) -> Iterator[tuple[Loc, str]]:
    taken: dict[tuple[str, str, str, str], str] = {}
    for name, table in file.clusters.items():
        if not table.context and not table.kubeconfig:
            yield (
                ("clusters", name),
                'says nothing: write `context = "<a context of your kubeconfig>"`, or `kubeconfig = "<file>"`.',
            )
    for name, app in file.apps.items():
        here: Loc = ("apps", name)
        if app.service == app.preview:
            yield (
                (*here, "preview"),
                f"{_shown(app.preview)} is also `service`: the preview needs a Service of its own.",
            )
        if app.cluster and app.cluster not in file.clusters:
            known = ", ".join(_shown(each) for each in file.clusters) or "none"
            yield (
                (*here, "cluster"),
                f"{_shown(app.cluster)} is no table [clusters.{app.cluster}] of this file; there is {known}.",
            )
        for loc, role in _roles(app):
            if role == file.guild:
                # Discord: the role that everybody has carries the id of its guild.
                yield (*here, *loc), f"{role} is the server's own id, and so the role @everyone: name a real role."
        objects = [("Service", "service", app.service), ("Service", "preview", app.preview)]
        objects += [("Deployment", "slots", slot) for slot in app.slots]
        for kind, key, object_name in objects:
            owner = taken.setdefault((app.cluster, app.namespace, kind, object_name), name)
            if owner != name:
                what = f"the {kind} {_shown(object_name)} in {_shown(app.namespace)}"
                yield (*here, key), f"{what} is app {_shown(owner)}'s already: they would move each other's traffic."
    yield from _contradictions_of_registries(file.registries)


def _contradictions_of_registries(registries: Mapping[str, _Registry]) -> Iterator[tuple[Loc, str]]:
    written: dict[str, str] = {}
    for host, registry in registries.items():
        here: Loc = ("registries", host)
        first = written.setdefault(one_name(host), host)
        if first != host:
            yield here, f"is {_shown(first)} by another name: put all that is said of it into one table."
        if registry.insecure and registry.ca is not None:
            yield (
                (*here, "ca"),
                "has no use where `insecure` is true: without TLS there is no certificate. Leave one out.",
            )
        for index, mirror in enumerate(registry.mirrors):
            if mirror == one_name(host):
                yield (
                    (*here, "mirrors", index),
                    f"{_shown(mirror)} is the registry itself: name hosts that hold copies.",
                )
            elif mirror in registry.mirrors[:index]:
                yield (*here, "mirrors", index), f"names {_shown(mirror)} twice: leave one of them out."


def _roles(app: _App) -> Iterator[tuple[Loc, int]]:
    for key in ("deployers", "rollbackers"):
        for index, role in enumerate(getattr(app, key)):
            yield (key, index), role
    for number, requirement in enumerate(app.approval.require):
        for index, role in enumerate(requirement.roles):
            yield ("approval", "require", number, "roles", index), role


def _follows_from_rollout(document: dict[str, Any], loc: Loc) -> bool:
    # Whoever names a Rollout has no slots to name; to ask for them would be the wrong advice.
    return loc[-1] in {"service", "preview", "slots"} and loc[0] == "apps" and "rollout" in document["apps"][loc[1]]


# How it is said. ------------------------------------------------------------------------------------------------------

_FIXES = {
    "string_type": "must be text in quotes, not {shown}.",
    "bool_type": "must be true or false, without quotes, not {shown}.",
    "int_type": "must be a whole number, without quotes, not {shown}.",
    "greater_than_equal": "must be at least {ge}, not {shown}.",
    "list_type": "must be a list, [ … ], not {shown}.",
    "dict_type": "must be a table, not {shown}.",
    "model_type": "must be a table, not {shown}.",
    "model_attributes_type": "must be a table, not {shown}.",
    "enum": "must be one of {expected}, in quotes, not {shown}.",
}


def _sentence(error: ErrorDetails) -> str:
    kind, loc = error["type"], error["loc"]
    if kind == "greenlight":
        return str(error["msg"])
    if kind == "missing":
        example = _EXAMPLES.get(str(loc[-1]))
        return f"is missing: write {example}." if example else "is missing."
    if kind == "extra_forbidden":
        return _unknown(loc)
    values = {"shown": _shown(error["input"]), **error.get("ctx", {})}
    return _FIXES[kind].format_map(values) if kind in _FIXES else f"{error['msg']}: {values['shown']}."


_EXAMPLES = {
    "guild": "guild = <the id of your Discord server>",
    "apps": "a table [apps.<name>], as in greenlight.example.toml",
    "namespace": 'namespace = "<the Kubernetes namespace>"',
    "channel": "channel = <the id of the channel for its cards>",
    "image": 'image = "registry.example.com/<repository>"',
    "service": 'service = "<the Service that has the traffic>"',
    "preview": 'preview = "<the Service that shows the candidate>"',
    "slots": 'slots = ["<blue Deployment>", "<green Deployment>"]',
    "deployers": "deployers = [<id of a role that may deploy>]",
    "approval": "a table [apps.<name>.approval] with require = [{ roles = [<role id>], count = 1 }]",
    "require": "require = [{ roles = [<role id>], count = 1 }]",
    "roles": "roles = [<role id>]",
}


def _unknown(loc: Loc) -> str:
    key, parents = str(loc[-1]), [part for part in loc[:-1] if isinstance(part, str)]
    if key == "rollout" and len(parents) == 2:  # noqa: PLR2004 - in an app's own table
        return "Argo Rollouts are not supported yet: name two Deployments in `slots`."
    known = _keys(_table_at(parents))
    if parents[:1] == ["apps"] and key not in known:
        for inner in ("", "approval", "timing", "links"):
            table = (*parents[:2], *([inner] if inner else []))
            if key in _keys(_table_at(table)):
                # TOML: what stands below a table's header belongs to it, indented or not.
                return f"belongs into the table {header(table)}: move it below that header."
    close = get_close_matches(key, known, n=1)
    return f"is not known; did you mean `{close[0]}`?" if close else f"is not known; known here: {', '.join(known)}."


def _table_at(parents: Sequence[str]) -> type[BaseModel]:
    match [*parents]:
        case ["apps", _]:
            return _App
        case ["apps", _, "approval"]:
            return _Approval
        case ["apps", _, "approval", "require"]:
            return _Require
        case ["apps", _, "timing"]:
            return _Timing
        case ["apps", _, "links"]:
            return _Links
        case ["clusters", _]:
            return _Cluster
        case _:
            return _Registry if parents else _File


def _keys(table: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in table.model_fields.items()]


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - a line stays readable


def _depth(loc: Loc) -> int:
    """How many parts of the path are tables that people write with a header of their own."""
    match loc:
        case ("apps", _, "approval" | "timing" | "links", *_):
            return 3
        case ("apps" | "clusters" | "registries", *_):
            return 2
        case _:
            return 0
