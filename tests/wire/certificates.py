"""Certificates by openssl's command line: of an authority of our own, good for two days or run out yesterday."""

import ssl
import subprocess
from pathlib import Path

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
GOOD, RUN_OUT = 2, -1


class Authority:
    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self.crt, self._key = folder / f"{name}.crt", folder / f"{name}.key"
        usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        _openssl(
            "req", "-x509", *KEY, "-days", "2", f"-subj=/CN={name}", *usage, "-keyout", self._key, "-out", self.crt
        )

    def issue(self, name: str, *, days: int = GOOD, host: str = "IP:127.0.0.1") -> tuple[Path, Path]:
        """A certificate and its key, for a server at that address or for a client called so."""
        crt, key, request = (self._folder / f"{name}.{end}" for end in ("crt", "key", "csr"))
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={host}\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n")
        _openssl("req", *KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        signed_by = ["-CA", self.crt, "-CAkey", self._key, "-extfile", extensions]
        _openssl("x509", "-req", "-in", request, *signed_by, "-days", days, "-out", crt)
        return crt, key

    def server(self, *, days: int = GOOD, host: str = "IP:127.0.0.1", wants_clients: bool = False) -> ssl.SSLContext:
        """What an API server with such a certificate listens with; `wants_clients`: with certificates of their own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(f"server{days}{host[-3:]}", days=days, host=host))
        if wants_clients:
            context.load_verify_locations(self.crt)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
