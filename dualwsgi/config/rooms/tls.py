"""Certificates and what is asked of clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..kinds import Choice, FileName, FileNames, Hook, Text, knob
from .room import Room

__all__ = ["TLS"]


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class TLS(Room):
    __slots__ = ()
    heading = "TLS"

    certfile: tuple[str, ...] = knob(
        (),
        FileNames(
            "Speak TLS with this certificate chain (PEM); repeat it, with --keyfile, for several, from which "
            "the name that the client asks for chooses."
        ),
    )
    keyfile: tuple[str, ...] = knob(
        (), FileNames("The private key of the certificate (PEM), unless it is in the same file.")
    )
    keyfile_password: str = knob(
        "",
        Text(
            "The password of the private key; better by variable than by flag, which others can see.",
            metavar="PASSWORD",
            secret=True,
        ),
    )
    ca_certs: str | None = knob(
        None, FileName("Who may sign client certificates (PEM; revocation lists may stand in it too).")
    )
    cert_reqs: Literal["none", "optional", "required"] = knob(
        "none",
        Choice(
            "Whether clients show a certificate; needs --ca-certs.",
            *("none", "optional", "required"),
            also={"0": "none", "1": "optional", "2": "required"}
            | {f"cert_{word}": word for word in ("none", "optional", "required")},
        ),
    )
    ssl_version: Literal["TLSv1.2", "TLSv1.3"] = knob(
        "TLSv1.2",
        Choice(
            "The oldest version of TLS that is spoken.",
            *("TLSv1.2", "TLSv1.3"),
            also={"tlsv1_2": "TLSv1.2", "tlsv1_3": "TLSv1.3"},
        ),
    )
    ciphers: str = knob(
        "", Text("Ciphers for TLS 1.2 in OpenSSL's notation; '' for sound ones.", metavar="CIPHERS")
    )
    ssl_context: Any = knob(
        None,
        Hook(
            "Makes the ssl.SSLContext: called with the Config and a function that makes the usual one. "
            "A callable, or MODULE:NAME."
        ),
    )
