"""A certificate for localhost, signed by itself; made when the tests need it, with the openssl command."""

from __future__ import annotations

import os
import subprocess
import tempfile


def make() -> str:
    """Make one; returns the path of a file with key and certificate."""
    handle, path = tempfile.mkstemp(suffix=".pem")
    os.close(handle)
    key = path + ".key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", path),
        ],
        check=True,
        capture_output=True,
    )
    with open(path, "a") as file, open(key) as more:
        file.write(more.read())
    os.unlink(key)
    return path


CERTIFICATE = make()
