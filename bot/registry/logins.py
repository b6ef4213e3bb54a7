"""The logins for registries, from docker's `config.json` or a pull secret of Kubernetes that is mounted as a file.

Credential helpers are programs, and are not run. Nothing that is raised here quotes what it could not read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.registry.errors import RegistryError
from bot.release.image import one_name

# The second is what a Secret of type kubernetes.io/dockerconfigjson looks like when it is mounted.
FILES = ("config.json", ".dockerconfigjson")


@dataclass(frozen=True)
class Login:
    user: str
    password: str = field(repr=False)

    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def read_logins(directory: Path | None) -> dict[str, Login]:
    """The `auths` of `config.json` or `.dockerconfigjson` in `directory` (as in `DOCKER_CONFIG`), by registry host.

    Where both are there the first says all. No file means no logins; a broken one raises `RegistryError`.
    """
    path = login_file(directory)
    if path is None:
        return {}
    try:
        auths = json.loads(path.read_text(encoding="utf-8")).get("auths", {})
        # A bare host before a key with a path, which docker too takes for its host.
        entries = sorted(auths.items(), key=lambda item: item[0].count("/"))
        logins: dict[str, Login] = {}
        for key, entry in entries:
            login = _login(entry)
            if login is not None:
                logins.setdefault(_key_host(key), login)
    except (OSError, ValueError, AttributeError, TypeError):
        # Without the cause: a JSON error quotes what it could not read.
        raise RegistryError(
            f'{path} cannot be read as a docker config.json: `auths` must map each registry to `{{"auth": "…"}}`.'
        ) from None
    return logins


def login_file(directory: Path | None) -> Path | None:
    """The file that `read_logins` reads."""
    paths = [directory / name for name in FILES] if directory is not None else []
    return next((path for path in paths if path.exists()), None)


def _login(entry: Mapping[str, str]) -> Login | None:
    if entry.get("auth"):
        user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        if not colon:
            raise ValueError
        return Login(user, password)
    if entry.get("username") and "password" in entry:
        return Login(entry["username"], entry["password"])
    return None


def _key_host(key: str) -> str:
    return one_name(key.removeprefix("https://").removeprefix("http://").partition("/")[0])
