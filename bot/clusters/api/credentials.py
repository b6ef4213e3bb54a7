"""Where an API server is, and who the bot is there: by a kubeconfig's context, or by the pod that the bot runs in.

What is no longer taken is read again: tokens rotate, certificates are renewed, plugins are asked anew. Always from the
same place: whatever somebody makes the current context meanwhile, no release moves to another cluster by it.
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes_asyncio import config
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config.kube_config import (
    KUBE_CONFIG_DEFAULT_LOCATION,
    FileOrData,
    KubeConfigLoader,
    KubeConfigMerger,
)
from yarl import URL

from bot.clusters.api import plugin
from bot.clusters.api.proxy import proxy_for
from bot.clusters.errors import ClusterError

THIS_CLUSTER = "this cluster"
IN_THE_POD = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True, eq=False)
class Access:
    """What a request to the API server needs, as it was read at one moment."""

    host: str
    trust: ssl.SSLContext | bool
    server_name: str | None
    proxy: str | None
    has_certificate: bool
    """Whether the bot shows a certificate of its own."""
    token: Callable[[], Any]
    files: tuple[bytes | None, ...]
    """What `trust` was made of."""

    async def authorization(self) -> str | None:
        """The header's value; the token of a pod's ServiceAccount is read again every minute."""
        value = await self.token()
        return value.strip() if value else None


class Credentials:
    """`access` is how to reach the cluster now; `renew` reads that again when it was refused."""

    def __init__(self, kubeconfig: str | None, context: str | None, name: str) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._given = name
        self._in_pod = False
        self._access: Access | None = None
        self._reading: asyncio.Task[None] | None = None
        self.name = name or "the cluster"

    @property
    def source(self) -> str:
        """Where a person finds them."""
        return IN_THE_POD if self._in_pod else self._kubeconfig or "~/.kube/config"

    @property
    def current(self) -> Access:
        if self._access is None:
            raise RuntimeError("asked before credentials were read")
        return self._access

    @property
    def reading(self) -> bool:
        return self._reading is not None

    async def access(self) -> Access:
        """As it was read last. Raises `ClusterError` with the fix when there is none yet and none can be read."""
        if self._access is None:
            await self._once()
        return self.current

    async def renew(self, refused: Access) -> None:
        """Read again, unless that was done since `refused` was read."""
        if self._access is refused:
            await self._once()

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _once(self) -> None:
        """All who ask meanwhile wait for one reading."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._is_read)
        # A call has less time than a plugin may need: it is not asked anew each time that a call gives up.
        await asyncio.shield(self._reading)

    def _is_read(self, task: "asyncio.Task[None]") -> None:
        self._reading = None
        if not task.cancelled():
            task.exception()  # seen: whoever waited has it, and those who have gone do not need it

    async def _read(self) -> None:
        configuration = Configuration()
        if self._access is None:
            self._in_pod = self._kubeconfig is None and self._context is None and is_pod()
        if self._in_pod:
            try:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            except (config.ConfigException, OSError) as error:
                raise ClusterError(f"no credentials for {self.name}: {IN_THE_POD}: {_line(error)}") from error
            found = THIS_CLUSTER
        else:
            found = self._context = await _load(configuration, self._kubeconfig, self._context, self.name)
        self.name = self._given or found
        try:
            self._access = _access(configuration, self._access)
        except (OSError, ValueError) as error:  # of ssl as well, and of a proxy's address
            why = f"{self.source} cannot be used: {_line(error)}"
            raise ClusterError(f"no credentials for {self.name}: {why}") from error


class _Loader(KubeConfigLoader):
    """The client's, but for the plugins."""

    cert_file: str | None
    key_file: str | None

    async def load_from_exec_plugin(self) -> bool:
        user = self._user
        status = await plugin.ask(user["exec"].value if user else {})
        if status.get("token"):
            self.token = f"Bearer {status['token']}"
        if status.get("clientCertificateData"):
            self.cert_file = _file(status["clientCertificateData"])
            self.key_file = _file(status["clientKeyData"])
        return True


async def _load(configuration: Configuration, kubeconfig: str | None, context: str | None, called: str) -> str:
    """Put credentials into `configuration`; the context that they are of. Raises `ClusterError`."""
    none = f"no credentials for {called}"
    if kubeconfig is not None and not _is_there(kubeconfig):
        raise ClusterError(f"{none}: {kubeconfig} is no file: mend KUBECONFIG, or `kubeconfig` in the file.")
    try:
        files = KubeConfigMerger(kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION)
        loader = _Loader(files.config, context, config_base_path=None, config_persister=files.save_changes)
        await loader.load_and_set(configuration)
        return str((loader.current_context or {})["name"])
    except ClusterError as error:
        raise ClusterError(f"{none}: {error}") from error
    except Exception as error:  # whatever stands in that file, the client raises as it comes
        if kubeconfig is None and not _is_there("~/.kube/config"):
            raise ClusterError(f"{none}: this is no pod, and there is no ~/.kube/config. Set KUBECONFIG.") from error
        raise ClusterError(f"{none}: {kubeconfig or '~/.kube/config'} cannot be used: {_line(error)}") from error


def _access(configuration: Configuration, before: Access | None) -> Access:
    host = str(configuration.host)
    proxy = configuration.proxy or proxy_for(URL(host), os.environ)
    if proxy and (URL(proxy).scheme not in {"http", "https"} or not URL(proxy).host):
        raise ValueError(f"the proxy to {host} has to be http://host:port or https://host:port")
    named = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    files = (*(Path(each).read_bytes() if each else None for each in named), str(configuration.verify_ssl).encode())
    # A new context means new connections, which nobody needs for a new token.
    trust = before.trust if before and before.files == files else _trust(configuration)
    return Access(
        host=host,
        trust=trust if host.startswith("https") else True,
        server_name=configuration.tls_server_name or None,
        proxy=str(proxy) if proxy else None,
        has_certificate=bool(configuration.cert_file),
        token=partial(_token, configuration),
        files=files,
    )


def _trust(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _token(configuration: Configuration) -> str | None:
    # The file may be away for a moment while it is replaced: the token from before is good for longer than that.
    with contextlib.suppress(config.ConfigException, OSError):
        return await configuration.get_api_key_with_prefix("BearerToken")
    return configuration.api_key.get("BearerToken")


def _file(text: str) -> str | None:
    given = {"certificate": text}
    return FileOrData(given, "", data_key_name="certificate", base64_file_content=False).as_file()


def is_pod() -> bool:
    """Whether credentials of a ServiceAccount are where a pod has them."""
    with contextlib.suppress(config.ConfigException):
        config.load_incluster_config(client_configuration=Configuration())  # type: ignore[no-untyped-call]
        return True
    return False


def _is_there(kubeconfig: str) -> bool:
    """As kubectl reads it: several files, of which those that do not exist are passed over."""
    return any(Path(each).expanduser().is_file() for each in kubeconfig.split(os.pathsep))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
