"""Debian's Prometheus as a process of its own on loopback, and a shop whose requests it counts."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import built

GREEN, BLUE, IDLE = "mochi-7-k3f9q2", "mochi-6-aaaaaa", "mochi-8-iiiiii"
GREEN_HASH, BLUE_HASH = "5d4c7f", "77bf6d"
HOSTILE = (
    'x"} or vector(0) #',
    "x\\",
    'x\\"} or vector(0) #',
    "two\nlines",
    "it's",
    "`} or vector(0) #`",
    "{app}",
    "grün",
)
"""No label of a pod may be like these; were one, the query would still be about nothing but it."""
SCRAPES = 4
"""So many are needed for a rate; the last may not be stored yet."""
READY = "Server is ready to receive web requests"


@dataclass(frozen=True)
class Target:
    address: str
    """`host:port`"""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of all that is scraped there."""


@dataclass
class Shop:
    """Serves, between two scrapes, for each release so many requests with success, and so many that fail."""

    served: dict[tuple[str, str], tuple[int, int]]
    scrapes: int = 0
    enough: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def metrics(self) -> str:
        lines = ["# TYPE http_requests_total counter"]
        for (release, pod_hash), each in self.served.items():
            for code, count in zip(("200", "500"), each, strict=True):
                told = release.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
                labels = f'release="{told}",pod_template_hash="{pod_hash}",code="{code}"'
                lines.append(f"http_requests_total{{{labels}}} {count * self.scrapes}")
        self.scrapes += 1
        if self.scrapes >= SCRAPES:
            self.enough.set()
        return "\n".join([*lines, ""])


@contextmanager
def open_shop() -> Iterator[Shop]:
    served = {(GREEN, GREEN_HASH): (99, 1), (BLUE, BLUE_HASH): (98, 2), (IDLE, "1d1e1d"): (0, 0)}
    shop = Shop(served | {(each, str(number)): (1, 1) for number, each in enumerate(HOSTILE)})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(shop.metrics().encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shop.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield shop
        server.shutdown()
        thread.join()


@contextmanager
def prometheus(folder: Path, *scraped: Target, arguments: Sequence[str] = ()) -> Iterator[str]:
    """Its address. It looks at `scraped` five times a second."""
    folder.mkdir(exist_ok=True)
    config = folder / "prometheus.yml"
    targets = [{"targets": [each.address], "labels": dict(each.labels)} for each in scraped]
    settings = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "scrape_configs": [{"job_name": "shop", "static_configs": targets}],
    }
    config.write_text(json.dumps(settings), "utf-8")  # YAML, too
    command = [str(built.prometheus()), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += ["--web.listen-address=127.0.0.1:0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    watchdog = threading.Timer(30, process.kill)
    watchdog.start()
    address, said = "", []
    try:
        for told in process.stderr:
            said.append(told)
            if match := re.search(r'msg="Listening on" address=(\S+)', told):
                address = f"http://{match[1]}"
            if address and any(READY in each for each in said):  # in whichever order
                break
        assert address, "".join(said)
        watchdog.cancel()
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield address
        process.terminate()
        process.wait(10)
        drain.join()
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()
