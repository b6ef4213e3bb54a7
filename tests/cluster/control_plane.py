"""The real control plane: etcd, kube-apiserver and kube-controller-manager as plain processes on loopback.

No kubelet and no scheduler: pod_maker.py plays both. Nothing is kept on disk beyond stop().
"""

import base64
import json
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAMS = ("server", "kube-apiserver", "kube-controller-manager")  # etcd's binary is called `server`
NODE = "node-1"
AUDIT_LOG = "audit.log"
LOG_LINES_SHOWN = 25
# Only what Greenlight relies on; each further controller costs start-up time and memory.
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "serviceaccount-controller",
)
# Who asked for what: of ServiceAccounts alone, since the controllers ask a hundred times a second.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}


class ControlPlaneError(Exception):
    """A server did not start or refused; its text ends with the last lines of the log."""


class ControlPlane:
    """A Kubernetes API with its controllers. Not thread-safe; every method but start() needs a started one."""

    def __init__(self, bin_dir: Path, *, start_within: float = 60) -> None:
        self.bin_dir = bin_dir
        self.start_within = start_within  # seconds, for each server
        self.admin_token = secrets.token_hex(16)
        self.url = ""
        self.directory = Path()
        self.pids: dict[str, int] = {}
        self._etcd_url = ""
        self._api_server_argv: list[str] = []
        self._controllers: dict[str, tuple[list[str], Callable[[], bool]]] = {}
        self._keeper: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns when the API server and the controllers answer; else ControlPlaneError, with nothing left behind."""
        if missing := [name for name in PROGRAMS if not (self.bin_dir / name).is_file()]:
            raise ControlPlaneError(f"{', '.join(missing)} not found in {self.bin_dir}: run tests/cluster/build.sh.")
        try:
            self._start_keeper()
            self._start_etcd()
            self._start_api_server()
            self._start_controller_manager()
            self._create_node()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kills all processes and removes the directory; does nothing when nothing runs."""
        if self._keeper is not None:
            self._keeper.communicate()  # closes its input, which is its order to clear up, and waits until it has
            self._keeper = None

    def kubeconfig(self, user_token: str, *, namespace: str = "default") -> dict[str, Any]:
        """A kubeconfig with one context, as a dict (JSON is YAML, so json.dumps of it is a valid file)."""
        ca = base64.b64encode(self.ca_file.read_bytes()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "real", "cluster": {"server": self.url, "certificate-authority-data": ca}}],
            "users": [{"name": "user", "user": {"token": user_token}}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "user", "namespace": namespace}}],
            "current-context": "real",
        }

    def token_for(self, namespace: str, serviceaccount: str, *, seconds: int = 3600) -> str:
        """A new token of an existing ServiceAccount, by TokenRequest; `seconds` may not be fewer than 600."""
        answer = self.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{serviceaccount}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}},
        )
        token: str = answer["status"]["token"]
        return token

    @property
    def ca_file(self) -> Path:
        # The API server signs for itself at its first start; the file holds its authority as well.
        return self.directory / "certificates" / "apiserver.crt"

    @property
    def ssl_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def request(self, method: str, path: str, body: dict[str, Any] | bytes | None = None) -> dict[str, Any]:
        """One call as admin, with an object or with YAML as it is; raises ControlPlaneError for any answer but 2xx."""
        try:
            answer: dict[str, Any] = json.loads(self._call(method, f"{self.url}{path}", body))
        except urllib.error.HTTPError as problem:
            raise ControlPlaneError(f"{method} {path} answered {problem.code}: {problem.read().decode()}") from problem
        return answer

    def restart_api_server(self) -> None:
        """Kills the API server and starts it on the same port: open watches break, older revisions are then 410."""
        self._ask({"kill": "kube-apiserver"})
        self._run("kube-apiserver", self._api_server_argv, self._api_server_is_ready)
        # Their own back-off would slow down whatever is tried next by many seconds.
        self.restart_controllers()

    def restart_controllers(self) -> None:
        """Then they know every kind that there is; by themselves they would look for new ones twice a minute."""
        for name, (argv, ready) in self._controllers.items():
            self._ask({"kill": name})
            self._run(name, argv, ready)

    def start_controller(self, name: str, argv: list[str], ready: Callable[[], bool]) -> None:
        """Returns when `ready`; an OSError of it means not yet. From now on it is restarted with the API server."""
        self._run(name, argv, ready)
        self._controllers[name] = (argv, ready)

    def kill_controller(self, name: str) -> None:
        del self._controllers[name]
        self._ask({"kill": name})

    def freeze(self, name: str) -> None:
        """Returns when the process has stopped; it does nothing, and keeps its connections, until thaw()."""
        self._ask({"freeze": name})

    def thaw(self, name: str) -> None:
        self._ask({"thaw": name})

    def admin_kubeconfig_file(self) -> Path:
        """For a controller; it may do everything."""
        return self._write("admin.kubeconfig", json.dumps(self.kubeconfig(self.admin_token)))

    def asked_by(self, user: str) -> list[dict[str, Any]]:
        """What a ServiceAccount has asked for up to now, as audit events: `verb`, `objectRef`, `responseStatus`."""
        log = self.directory / AUDIT_LOG
        # The last line may still be on its way into the file.
        lines = log.read_text().split("\n")[:-1] if log.exists() else []
        return [event for event in map(json.loads, lines) if event["user"]["username"] == user]

    def compact(self) -> int:
        """Makes etcd forget all older revisions; returns the revision kept.

        The API server's own watch cache still serves what it holds in memory.
        """
        revision = json.loads(self._call("POST", f"{self._etcd_url}/v3/maintenance/status", {}))["header"]["revision"]
        self._call("POST", f"{self._etcd_url}/v3/kv/compaction", {"revision": revision, "physical": True})
        return int(revision)

    def log_tail(self, name: str, lines: int = LOG_LINES_SHOWN) -> str:
        log = self.directory / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def _start_keeper(self) -> None:
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("keeper.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C and a killed process group are for the tests; it sees them end
        )
        self.directory = Path(self._heard()["directory"])

    def _start_etcd(self) -> None:
        self._etcd_url = f"http://127.0.0.1:{free_port()}"
        argv = [
            str(self.bin_dir / "server"),
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        self._run("etcd", argv, lambda: "true" in self._call("GET", f"{self._etcd_url}/health"))

    def _start_api_server(self) -> None:
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        tokens = self._write("tokens.csv", f'{self.admin_token},admin,admin,"system:masters"\n')
        key = self._write("service-accounts.pem", _private_key())
        audit_policy = self._write("audit-policy.json", json.dumps(AUDIT_POLICY))
        self._api_server_argv = [
            str(self.bin_dir / "kube-apiserver"),
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={self.ca_file.parent}",
            f"--etcd-servers={self._etcd_url}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            # Would write 127.0.0.1 as an endpoint of the `kubernetes` Service, which the API itself refuses.
            "--endpoint-reconciler-type=none",
            # Would hold every pod back until its ServiceAccount exists, to mount a token that nothing here reads.
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={audit_policy}",
            f"--audit-log-path={self.directory / AUDIT_LOG}",
            "--profiling=false",
        ]
        self._run("kube-apiserver", self._api_server_argv, self._api_server_is_ready)

    def _start_controller_manager(self) -> None:
        kubeconfig = self.admin_kubeconfig_file()
        port = free_port()
        argv = [
            str(self.bin_dir / "kube-controller-manager"),
            f"--kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={self.directory / 'controller-certificates'}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--controllers={','.join(CONTROLLERS)}",
            "--leader-elect=false",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--profiling=false",
        ]
        own = ssl.create_default_context()
        own.check_hostname = False
        own.verify_mode = ssl.CERT_NONE  # a self-signed certificate of our own child, asked only whether it is up
        healthy = f"https://127.0.0.1:{port}/healthz"
        self.start_controller("kube-controller-manager", argv, lambda: self._call("GET", healthy, trust=own) == "ok")

    def _create_node(self) -> None:
        # The EndpointSlice controller leaves out pods whose Node it cannot find.
        self.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})

    def _api_server_is_ready(self) -> bool:
        return self.ca_file.exists() and self._call("GET", f"{self.url}/readyz") == "ok"

    def _run(self, name: str, argv: list[str], ready: Callable[[], bool]) -> None:
        self.pids[name] = self._ask({"start": name, "argv": argv})["pid"]
        deadline = time.monotonic() + self.start_within
        while True:
            try:
                if ready():
                    return
            except OSError:  # not listening yet, or listening and not ready (HTTPError is an OSError)
                pass
            if (code := self._ask({"poll": name})["code"]) is not None:
                raise ControlPlaneError(f"{name} ended with code {code}. Its last words:\n{self.log_tail(name)}")
            if time.monotonic() > deadline:
                raise ControlPlaneError(
                    f"{name} was not ready within {self.start_within:g} s. Its last words:\n{self.log_tail(name)}"
                )
            time.sleep(0.02)

    def _call(
        self,
        method: str,
        url: str,
        body: dict[str, Any] | bytes | None = None,
        *,
        trust: ssl.SSLContext | None = None,
    ) -> str:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(url, method=method, data=data)
        request.add_header("Content-Type", "application/yaml" if isinstance(body, bytes) else "application/json")
        if self.url and url.startswith(self.url):
            request.add_header("Authorization", f"Bearer {self.admin_token}")
            trust = self.ssl_context
        with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def _write(self, name: str, content: str) -> Path:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(content)
        return path

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(json.dumps(request) + "\n")
        self._keeper.stdin.flush()
        return self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self._keeper is not None
        assert self._keeper.stdout is not None
        line = self._keeper.stdout.readline()
        answer: dict[str, Any] = json.loads(line or '{"error": "The keeper of the processes has ended."}')
        if "error" in answer:
            raise ControlPlaneError(answer["error"])
        return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _private_key() -> str:
    """A P-256 key in SEC 1 form, the one form that both --service-account-key-file and -signing-key-file read."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise ControlPlaneError("openssl is not on the PATH; it makes the key that signs ServiceAccount tokens.")
    argv = [openssl, "ecparam", "-name", "prime256v1", "-genkey", "-noout"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
