"""What the tests of the registry client say again and again."""

import base64
import json

import pytest

from bot.registry import RegistryError, RegistryHost
from bot.release.image import parse

PASSWORD = "correct-horse-battery"
LOGIN = ("ann", PASSWORD)
PLAIN = RegistryHost(insecure=True)


def write_config(folder, auths, name="config.json"):
    (folder / name).write_text(json.dumps({"auths": auths}), encoding="utf-8")


def auth(login):
    """A login as docker writes it."""
    return {"auth": base64.b64encode(":".join(login).encode()).decode()}


def image(registry, version="green", repository="mochi"):
    host = registry if isinstance(registry, str) else registry.host
    return parse(f"{host}/{repository}{'@' if version.startswith('sha256:') else ':'}{version}")


def paths(registry, part=""):
    return [asked.path for asked in registry.requests if part in asked.path]


async def refusal(awaitable, kind=RegistryError):
    with pytest.raises(kind) as raised:
        await awaitable
    return str(raised.value)
