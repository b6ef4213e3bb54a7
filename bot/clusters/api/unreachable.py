"""Why an API server cannot be reached, as a sentence that names what to mend and where it is set."""

import ssl

import aiohttp

from bot.clusters.api.credentials import Credentials
from bot.clusters.api.proxy import shown

LONGEST = 300


def unreachable(credentials: Credentials, what: str, error: Exception) -> str:
    """Of a call that failed before there was an answer, or in the middle of one."""
    name, access, said = credentials.name, credentials.current, _alert(error)
    where = f"the API server of {name} cannot be reached at {access.host} ({what})"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"{where}: {_untrusted(error.certificate_error, credentials.source)}"
    if access.proxy and isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        answer = f"answers {error.status}" if isinstance(error, aiohttp.ClientHttpProxyError) else "does not answer"
        return (
            f"{where}: the proxy {shown(access.proxy)} {answer}; it is set by proxy-url in {credentials.source}, or by "
            "HTTPS_PROXY in the environment, where NO_PROXY names what needs none"
        )
    if "ALERT" in said and ("CERTIFICATE" in said or "UNKNOWN_CA" in said) and access.has_certificate:
        return f"{where}: it does not take the client certificate in {credentials.source} ({_words(said)})"
    if "ALERT" in said and ("CERTIFICATE" in said or "HANDSHAKE" in said) and not access.has_certificate:
        return f"{where}: it wants a client certificate, and {credentials.source} has none ({_words(said)})"
    return f"{where[:-1]}: {_line(error)})"


def _untrusted(error: Exception, source: str) -> str:
    why = str(getattr(error, "verify_message", None) or _line(error))
    if "expired" in why or "not yet valid" in why:
        return f"its certificate is not valid now ({why}): renew it, unless the clock of this machine is wrong"
    if "mismatch" in why.lower() or "not valid for" in why:
        return f"its certificate is for another name ({why}): correct server or tls-server-name in {source}"
    return f"its certificate is signed by nobody who is trusted ({why}): correct the certificate authority in {source}"


def is_about_certificates(error: BaseException) -> bool:
    """Nothing was sent, or nothing was read: these come before all else."""
    return isinstance(error, aiohttp.ClientSSLError) or "CERTIFICATE" in _alert(error)


def _alert(error: BaseException) -> str:
    """What the other side said in TLS, for example `TLSV13_ALERT_CERTIFICATE_REQUIRED`; "" when it was not TLS."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError) and getattr(seen, "reason", None):  # aiohttp's own errors have none
            return str(seen.reason)
        seen = seen.__cause__ or getattr(seen, "os_error", None)
    return ""


def _words(alert: str) -> str:
    return alert.rpartition("ALERT_")[2].replace("_", " ").lower()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:LONGEST]
