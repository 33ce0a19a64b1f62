"""Certificates for tests, made by the openssl command when they are first asked for.

Each file holds a certificate and its key; all but the authorities are signed by `authority()`.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path


@functools.cache
def place() -> Path:
    """A directory for this process, removed with it."""
    path = Path(tempfile.mkdtemp(prefix="dualwsgi-pki-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def issue(
    name: str,
    subject: str,
    *names: str,
    by: str | None = None,
    key: str = "ec",
    password: str = "",
    days: int = 2,
    where: Path | None = None,
) -> str:
    """A certificate for `names` ("DNS:localhost"), signed by the one in the file `by`, else by itself."""
    path = (where or place()) / f"{name}.pem"
    secret = path.with_suffix(".key")
    kinds = {"ec": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), "rsa": ("rsa:2048",)}
    command = ["openssl", "req", "-x509", "-utf8", "-newkey", *kinds[key], "-days", str(days)]
    command += ["-subj", subject, "-keyout", str(secret), "-out", str(path)]
    command += ["-passout", f"pass:{password}"] if password else ["-nodes"]
    if by is not None:
        command += ["-CA", by, "-CAkey", by, "-addext", "basicConstraints=critical,CA:FALSE"]
    else:  # what signs must say that it may: since Python 3.13 the default context asks (RFC 5280 4.2.1.3)
        command += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"]
    if names:
        command += ["-addext", f"subjectAltName={','.join(names)}"]
    subprocess.run(command, check=True, capture_output=True)
    with path.open("a") as file:
        file.write(secret.read_text())
    return str(path)


@functools.cache
def authority() -> str:
    """Who signs."""
    return issue("authority", "/O=Authority of the tests")


@functools.cache
def server() -> str:
    """For localhost."""
    return issue("server", "/CN=localhost", "DNS:localhost", "IP:127.0.0.1", "IP:::1", by=authority())


@functools.cache
def client() -> str:
    """For a person."""
    return issue(
        "client",
        "/C=DE/O=Example, Inc./OU=One/OU=Two/CN=Zo\u00eb",
        *("email:zoe@example.test", "URI:spiffe://example.test/zoe"),
        by=authority(),
    )


@functools.cache
def stranger() -> str:
    """Signed by nobody that anybody knows."""
    return issue("stranger", "/CN=stranger")


@functools.cache
def trusting() -> ssl.SSLContext:
    """The context of a client that trusts `authority()`."""
    return ssl.create_default_context(cafile=authority())


@functools.cache
def showing(certificate: str) -> ssl.SSLContext:
    """The same, for one that shows a certificate."""
    context = ssl.create_default_context(cafile=authority())
    context.load_cert_chain(certificate)
    return context
