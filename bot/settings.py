"""Everything Greenlight is told before it starts: secrets and places from the environment, policy from the file.

Hides where each setting comes from. `load` either returns all of them, valid, or raises one `SettingsError` that tells
everything that is wrong.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.gates.prometheus import Server
from bot.policy import Credentials, CurrentNamespace, Policy, SettingsError, read_policy
from bot.registry.hosts import RegistryHost
from bot.release.app import App

__all__ = ["Environment", "LogFormat", "LogLevel", "Settings", "SettingsError", "load"]


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Environment(BaseSettings):
    """The environment variables, by their names in lower case. An empty one counts as not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    discord_token: SecretStr | None = None
    discord_token_file: Path | None = None
    greenlight_config: Path = Path("greenlight.toml")
    greenlight_health: str | None = None
    database_url: str = "sqlite+aiosqlite:///greenlight.db"
    discord_api_url: str | None = None
    discord_gateway_url: str | None = None
    kubeconfig: str | None = None
    docker_config: Path | None = None
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.TEXT

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _in_any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @classmethod
    def read(cls) -> "Environment":
        """Raises `SettingsError`."""
        try:
            environment = cls()
        except ValidationError as why:
            faults = [
                f"{str(error['loc'][0]).upper()}: {error['msg']}, not {error['input']!r}." for error in why.errors()
            ]
        else:
            faults = environment._faults()
            if not faults:
                return environment
        raise SettingsError("\n".join(faults))

    def _faults(self) -> list[str]:
        checks = (
            _database_fault(self.database_url),
            _health_fault(self.greenlight_health),
            _url_fault("DISCORD_API_URL", self.discord_api_url, "https", "http"),
            _url_fault("DISCORD_GATEWAY_URL", self.discord_gateway_url, "wss", "ws"),
        )
        return [fault for fault in checks if fault]

    def health(self) -> tuple[str, int] | None:
        if self.greenlight_health is None:
            return None
        host, _, port = self.greenlight_health.rpartition(":")
        return host.strip("[]"), int(port)

    def policy(self, current_namespace: CurrentNamespace | None = None) -> Policy:
        """What the file says. Raises `SettingsError`."""

        def of(credentials: Credentials) -> str:
            return current_namespace(_found(credentials, self.kubeconfig)) if current_namespace else ""

        return read_policy(self.greenlight_config, of)

    def token(self) -> SecretStr:
        """Raises `SettingsError`, which never contains the token."""
        if self.discord_token and self.discord_token_file:
            raise SettingsError("DISCORD_TOKEN and DISCORD_TOKEN_FILE are both set: keep one of them.")
        if self.discord_token:
            return _checked("DISCORD_TOKEN", self.discord_token.get_secret_value())
        if not self.discord_token_file:
            raise SettingsError(
                "DISCORD_TOKEN is not set: put the bot's token there (Discord Developer Portal → your application → "
                "Bot → Reset Token), or name a file that holds it in DISCORD_TOKEN_FILE."
            )
        file = self.discord_token_file
        try:
            text = file.read_text("utf-8")
        except FileNotFoundError:
            raise SettingsError(f"DISCORD_TOKEN_FILE: {file}: no such file: write the bot's token into it.") from None
        except UnicodeDecodeError:
            raise SettingsError(f"DISCORD_TOKEN_FILE: {file}: is no text: write the bot's token into it.") from None
        except OSError as why:
            raise SettingsError(f"DISCORD_TOKEN_FILE: {file}: cannot be read: {why.strerror}.") from None
        return _checked(f"DISCORD_TOKEN_FILE: {file}", text)


@dataclass(frozen=True)
class Settings:
    guild: int
    apps: Mapping[str, App]
    registries: Mapping[str, RegistryHost]
    """How those are reached that are not reached by TLS and directly, by `host[:port]`."""
    token: SecretStr
    database_url: str
    clusters: Mapping[str, Credentials] = field(default_factory=dict)
    """Of each cluster that has apps, by the name that they use; "" is the one that the environment leads to."""
    prometheus: Server | None = None
    people: Mapping[str, int] = field(default_factory=dict)
    """Discord user ids, by the names under which releases are begun elsewhere."""
    discord_api_url: str | None = None
    """None: Discord's own. Without a slash at the end."""
    discord_gateway_url: str | None = None
    """None: the one that the API names."""
    docker_config: Path | None = None
    """The directory of Docker's `config.json`, or of a pull secret's `.dockerconfigjson`. None: no registry is told a
    login; nobody named one."""
    health: tuple[str, int] | None = None
    """Host and port at which a running bot answers probes. None: nowhere."""
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.TEXT


def load(current_namespace: CurrentNamespace | None = None) -> Settings:
    """Everything from `os.environ` and the file it names. Raises `SettingsError` with every fault that was found.

    Without `current_namespace` each app has to name its own.
    """
    environment = Environment.read()
    faults: list[str] = []
    policy: Policy | None = None
    token: SecretStr | None = None
    try:
        token = environment.token()
    except SettingsError as why:
        faults.append(str(why))
    try:
        policy = environment.policy(current_namespace)
    except SettingsError as why:
        faults.append(str(why))
    if policy is None or token is None:
        raise SettingsError("\n".join(faults))
    return Settings(
        guild=policy.guild,
        apps=policy.apps,
        registries=policy.registries,
        token=token,
        database_url=environment.database_url,
        discord_api_url=_bare(environment.discord_api_url),
        discord_gateway_url=_bare(environment.discord_gateway_url),
        clusters=_clusters(policy, environment.kubeconfig),
        people=policy.people,
        prometheus=policy.prometheus,
        docker_config=environment.docker_config,
        health=environment.health(),
        log_level=environment.log_level,
        log_format=environment.log_format,
    )


def _clusters(policy: Policy, kubeconfig: str | None) -> Mapping[str, Credentials]:
    known = {name: _found(each, kubeconfig) for name, each in {**policy.clusters, "": Credentials()}.items()}
    return {name: known[name] for name in dict.fromkeys(app.cluster for app in policy.apps.values())}


def _found(credentials: Credentials, kubeconfig: str | None) -> Credentials:
    # KUBECONFIG holds paths as kubectl reads them; None is the pod's own credentials or ~/.kube/config.
    return replace(credentials, kubeconfig=credentials.kubeconfig or kubeconfig)


def _checked(source: str, text: str) -> SecretStr:
    token = text.strip()
    if not token:
        raise SettingsError(f"{source}: is empty: put the bot's token there.")
    if not all("!" <= c <= "~" for c in token):
        raise SettingsError(f"{source}: holds more than a token: leave out spaces, `Bot ` and further lines.")
    return SecretStr(token)


def _database_fault(url: str) -> str:
    driver = "sqlite+aiosqlite://"
    if not url.startswith(driver):
        scheme = url.partition(":")[0]
        hint = "PostgreSQL is not supported yet" if scheme.startswith("postgres") else f"`{scheme}` is not supported"
        # Never the rest of it: it may hold a password.
        return f"DATABASE_URL: {hint}: write {driver}/<path>, or leave it unset for greenlight.db here."
    directory = Path(url.removeprefix(driver).removeprefix("/").partition("?")[0]).parent
    if not directory.is_dir():
        return (
            f"DATABASE_URL: {directory}: no such directory: create it, or write {driver}/<path> with one that exists."
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        # SQLite writes its journal beside the file.
        return f"DATABASE_URL: {directory}: must be writable for the user that Greenlight runs as."
    return ""


def _health_fault(address: str | None) -> str:
    if address is None or re.fullmatch(r"(\[[0-9a-f:]+\]|[\w.-]+):[1-9]\d{0,4}", address):
        return ""
    return "GREENLIGHT_HEALTH: is not a host and a port: write 0.0.0.0:8080 in a container, 127.0.0.1:8080 elsewhere."


def _url_fault(name: str, url: str | None, *schemes: str) -> str:
    if url is None:
        return ""
    try:
        parts = urlsplit(url)
        good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    return "" if good else f"{name}: is not an address: write {schemes[0]}://<host>, or leave it unset for Discord."


def _bare(url: str | None) -> str | None:
    return url.rstrip("/") if url else None
