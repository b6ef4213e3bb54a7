"""What a single value of `greenlight.toml` may be, as types for the tables. A refusal says the fix."""

import json
import re
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from bot.duration import parse_duration
from bot.registry.hosts import trusting
from bot.release.errors import Refused
from bot.release.image import one_name, parse

_COPY_ID = "switch on Settings → Advanced → Developer Mode in Discord, right-click the {thing}, Copy {Thing} ID"
_SHORT = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_SNOWFLAKE_LIMIT = 2**63  # Discord's ids are 64-bit numbers with the highest bit unset


def refuse(sentence: str) -> NoReturn:
    raise PydanticCustomError("greenlight", "{sentence}", {"sentence": sentence})


def an_id(thing: str) -> Any:
    """An integer, or a string of digits for editors that round large numbers. Never a name: anybody can take one."""
    how = _COPY_ID.format(thing=thing, Thing=thing.capitalize())

    def check(value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:20])
        if isinstance(value, bool) or not isinstance(value, int):
            what = "is a name" if isinstance(value, str) else "is not an id"
            refuse(f"{shown(value)} {what}: put the {thing}'s id there ({how}).")
        if not 0 < value < _SNOWFLAKE_LIMIT:
            refuse(f"{value} is not an id of Discord's ({how}).")
        return value

    return BeforeValidator(check)


def some(what: str) -> Any:
    def check(value: tuple[Any, ...]) -> tuple[Any, ...]:
        return value or refuse(f"is empty: {what}.")

    return AfterValidator(check)


def _dns_label(value: str) -> str:
    if len(value) > 63 or not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", value):  # noqa: PLR2004 - RFC 1123
        refuse(f"{shown(value)} is not a name in Kubernetes: at most 63 of a-z, 0-9 and `-`, no `-` at the ends.")
    return value


def _workload(value: str) -> str:
    # Unlike a Service, a Deployment or a Rollout may have dots in its name (RFC 1123 subdomain).
    if len(value) > 253:  # noqa: PLR2004 - the same
        refuse(f"{shown(value)} is longer than the 253 characters that Kubernetes allows.")
    for label in value.split("."):
        _dns_label(label)
    return value


def _slots(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(value) != 2:  # noqa: PLR2004 - blue and green
        refuse(f'has {len(value)} of the two Deployments: write slots = ["…-blue", "…-green"].')
    if value[0] == value[1]:
        refuse(f"names {shown(value[0])} twice: blue and green are two Deployments.")
    return value


def _repository(value: str) -> str:
    try:
        image = parse(value)
    except Refused as why:
        refuse(str(why))
    if image.tag is not None or image.digest is not None:
        refuse(f"{shown(value)} names one version: leave only the repository, {shown(image.name)}.")
    return image.name


def _host(value: str) -> str:
    if not _is_host(value):
        refuse('is not the host of a registry: write [registries."registry.example.com:5000"], in lower case.')
    return value


def _mirror(value: str) -> str:
    if not _is_host(value):
        refuse(f'{shown(value)} is not the host of a registry: write it like "mirror.example.com:5000", in lower case.')
    return one_name(value)


def _is_host(value: str) -> bool:
    try:
        return parse(f"{value}/image").registry == one_name(value)
    except Refused:
        return False


def _beside(value: str, info: ValidationInfo) -> Path:
    """A relative path counts from where the file stands that names it."""
    return Path(info.context or "") / Path(value).expanduser()


def _ca(value: str, info: ValidationInfo) -> str:
    path = _beside(value, info)
    try:
        trusting(path)
    except ssl.SSLError:
        refuse(f"{shown(value)} holds no certificate: it must be in PEM, as -----BEGIN CERTIFICATE----- begins it.")
    except (OSError, ValueError) as why:
        reason = why.strerror if isinstance(why, OSError) else "not a path"
        refuse(f"{shown(value)} cannot be read ({reason}): name the file with the certificate that vouches for it.")
    return str(path)


def _secret(value: str, info: ValidationInfo) -> str:
    """It is read when it is needed."""
    path = _beside(value, info)
    try:
        path.read_bytes()
    except (OSError, ValueError) as why:
        reason = why.strerror if isinstance(why, OSError) else "not a path"
        refuse(f"{shown(value)} cannot be read ({reason}): name the file that holds it, and nothing else.")
    return str(path)


def _cluster_name(value: str) -> str:
    if not _SHORT.fullmatch(value):
        refuse("is not a cluster's name: 1 to 32 of a-z, 0-9 and `-`, no `-` at the ends; people read it on the cards.")
    return value


def _app_name(value: str) -> str:
    if not _SHORT.fullmatch(value):
        refuse("is not an app's name: 1 to 32 of a-z, 0-9 and `-`, no `-` at the ends (it becomes part of a label).")
    return value


def _gate_name(value: str) -> str:
    if not _SHORT.fullmatch(value):
        refuse(f"{shown(value)} is no name for a gate or a guard: 1 to 32 of a-z, 0-9 and `-`, no `-` at the ends.")
    return value


def _key(value: str) -> str:
    if len(value) > 253 or not re.fullmatch(r"[-._a-zA-Z0-9]+", value) or value in {".", ".."}:  # noqa: PLR2004 - as Kubernetes has it
        refuse(f"{shown(value)} is not a key of a ConfigMap: letters, digits, `-`, `_` and `.`, as in load.js.")
    return value


def _whole_image(value: str) -> str:
    try:
        image = parse(value)
    except Refused as why:
        refuse(str(why))
    if image.tag is None and image.digest is None:
        refuse(f'{shown(value)} names no version: write it with a tag or a digest, as in "grafana/k6:1.4.0".')
    return value


HANDED_OVER = ("PREVIEW_URL", "RELEASE_LABEL", "RELEASE_IMAGE", "RELEASE_APP", "RELEASE_NAMESPACE", "GREENLIGHT_REPORT")
"""Environment variables that Greenlight sets in the containers of gates."""


def _variables(values: dict[str, str]) -> dict[str, str]:
    for name in values:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            refuse(f"{shown(name)} is not an environment variable: letters, digits and `_`, no digit first.")
        if name in HANDED_OVER:
            refuse(f"{name} is set by Greenlight: give yours another name.")
    return values


def _cpu(value: str) -> str:
    match = re.fullmatch(r"([0-9]{1,9})m|([0-9]{1,6}(?:\.[0-9]{1,3})?)", value)
    if not match or float(match[2] or int(match[1]) / 1000) < 0.1:  # noqa: PLR2004 - what a run needs to begin at all
        refuse(f'{shown(value)} is not an amount of CPU from "100m" on: write it like "500m" or "2".')
    return value


def _memory(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,6}(Mi|Gi)", value):
        refuse(f'{shown(value)} is not an amount of memory: write it like "512Mi" or "2Gi".')
    return value


def _person_name(value: str) -> str:
    if not value.strip() or value != value.strip():
        refuse("is not a person's name: write it as it stands in the annotation, without spaces around it.")
    if value.isdecimal():
        refuse("is a number, and would be taken for a Discord user id: that needs no entry here.")
    return value


def _duration(value: Any) -> timedelta:
    if isinstance(value, int | float) and not isinstance(value, bool):
        refuse(f'{value} has no unit: write "{value:.0f}s" or "{value:.0f}m".')
    if not isinstance(value, str):
        refuse(f'{shown(value)} is not a duration: write it like "30s", "15m", "2h", "1d" or "1h30m".')
    try:
        return parse_duration(value)
    except ValueError as why:
        refuse(str(why))


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    # 512: what Discord allows in a link button.
    if not good or len(value) > 512 or not all("!" <= c <= "~" for c in value):  # noqa: PLR2004 - the line above
        refuse(f'{shown(value)} is not an address: write it whole, like "https://mochi.example.com/".')
    return value


Name = Annotated[str, AfterValidator(_dns_label)]
Workload = Annotated[str, AfterValidator(_workload)]
Slots = Annotated[list[Workload], AfterValidator(_slots)]
Channel = Annotated[int, an_id("channel")]
Guild = Annotated[int, an_id("server")]
Role = Annotated[int, an_id("role")]
User = Annotated[int, an_id("user")]
Repository = Annotated[str, AfterValidator(_repository)]
RegistryName = Annotated[str, AfterValidator(_host)]
Mirror = Annotated[str, AfterValidator(_mirror)]
CertificateFile = Annotated[str, AfterValidator(_ca)]
SecretFile = Annotated[str, AfterValidator(_secret)]
ClusterName = Annotated[str, AfterValidator(_cluster_name)]
AppName = Annotated[str, AfterValidator(_app_name)]
GateName = Annotated[str, AfterValidator(_gate_name)]
Key = Annotated[str, AfterValidator(_key)]
WholeImage = Annotated[str, AfterValidator(_whole_image)]
Variables = Annotated[dict[str, str], AfterValidator(_variables)]
Cpu = Annotated[str, AfterValidator(_cpu)]
Memory = Annotated[str, AfterValidator(_memory)]
PersonName = Annotated[str, AfterValidator(_person_name)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Address = Annotated[str, AfterValidator(_address)]


def shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - a line stays readable
