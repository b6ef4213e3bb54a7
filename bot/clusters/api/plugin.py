"""Asks a kubeconfig's exec plugin (`aws eks get-token`, `gke-gcloud-auth-plugin`, `kubelogin`, …) for credentials.

The client's own provider waits for ever, also when whoever asked has gone; here a plugin that hangs is ended, with all
that it started. What it printed is never shown: it may be a token.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.clusters.errors import ClusterError

WITHIN = 30.0
"""Seconds for an answer: the command line of a cloud takes several when it starts cold."""
SHOWN = 200

Json = dict[str, Any]


async def ask(plugin: Mapping[str, Any], *, within: float = WITHIN) -> Json:
    """The `status` of the ExecCredential that it prints; `plugin` is `user.exec` of a kubeconfig.

    Raises `ClusterError` with what to do.
    """
    command = str(plugin.get("command") or "")
    name, version = Path(command).name or "without a command", str(plugin.get("apiVersion"))
    try:
        output = await _run(command, plugin, version, within)
    except TimeoutError:
        raise ClusterError(f"the credentials plugin {name} did not answer within {within:.0f} s") from None
    except (OSError, ValueError, TypeError) as error:
        hint = " ".join(str(plugin.get("installHint") or "install it where the bot runs").split())[:SHOWN]
        raise ClusterError(f"the credentials plugin {name} cannot be started ({_reason(error)}): {hint}") from error
    return _read(output, name, version)


async def _run(command: str, plugin: Mapping[str, Any], version: str, within: float) -> bytes:
    asked = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    given = {each["name"]: each["value"] for each in plugin.get("env") or ()}
    process = await asyncio.create_subprocess_exec(
        command,
        *map(str, plugin.get("args") or ()),
        env={**os.environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
        stdin=asyncio.subprocess.DEVNULL,  # there is nobody who could type a password
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within):
            output, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.communicate())
    if process.returncode:
        last = (complaint.decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
        name = Path(command).name
        raise ClusterError(f"the credentials plugin {name} failed ({process.returncode}): {last.strip()[:SHOWN]}")
    return output


def _read(output: bytes, name: str, version: str) -> Json:
    try:
        answer = json.loads(output)
        status = answer["status"]
        wrong = answer["apiVersion"] != version
        usable = bool(status.get("token") or (status.get("clientCertificateData") and status.get("clientKeyData")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ClusterError(f"the credentials plugin {name} printed something that is no ExecCredential") from None
    if wrong:
        raise ClusterError(f"the credentials plugin {name} does not speak {version}, which the kubeconfig asks of it")
    if not usable:
        raise ClusterError(f"the credentials plugin {name} gave neither a token nor a certificate with its key")
    found: Json = status
    return found


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)[:SHOWN]
