"""What a TLS session and its certificates say to environ, under the names of Apache's mod_ssl.

    HTTPS, SSL_PROTOCOL, SSL_CIPHER, SSL_CIPHER_USEKEYSIZE, SSL_TLS_SNI, SSL_SESSION_RESUMED
    SSL_CLIENT_VERIFY        NONE (it sent no certificate) or SUCCESS; a bad one ends the handshake
    SSL_CLIENT_S_DN, _I_DN   subject and issuer (RFC 4514), and their parts: SSL_CLIENT_S_DN_CN, ..._O_1
    SSL_CLIENT_M_SERIAL, _M_VERSION, _V_START, _V_END, _V_REMAIN (days)
    SSL_CLIENT_SAN_DNS_0, SSL_CLIENT_SAN_Email_0, SSL_CLIENT_SAN_URI_0, ...
    SSL_CLIENT_CERT          the certificate in PEM

SSL_SERVER_* says the same of the server's own.  Values hold the octets of UTF-8 as ISO-8859-1, as
PEP 3333 wants, and control characters escaped.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

Environ = dict[str, str]

_PARTS: Final = {
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "commonName": "CN",
    "title": "T",
    "initials": "I",
    "givenName": "G",
    "surname": "S",
    "description": "D",
    "userId": "UID",
    "domainComponent": "DC",
    "emailAddress": "Email",
}
"""OpenSSL's names of the parts of a distinguished name, and mod_ssl's."""

_IN_DN: Final = _PARTS | {
    "title": "title",
    "initials": "initials",
    "givenName": "GN",
    "surname": "SN",
    "description": "description",
    "emailAddress": "emailAddress",
}
"""As they stand in a whole name, which OpenSSL writes with its own short names."""

_ALTERNATIVES: Final = {"DNS": "DNS", "email": "Email", "URI": "URI"}

_CONTROLS: Final = re.compile("[\x00-\x1f\x7f]")
_SPECIAL: Final = re.compile(r'[,+"\\<>;]|^[ #]| $')


def session_environ(made: ssl.SSLObject, name: str) -> Environ:
    """Of a session whose handshake is done; `name` is the one that the client has asked for."""
    cipher, _, bits = made.cipher() or ("", "", 0)
    environ = {
        "HTTPS": "on",
        "wsgi.url_scheme": "https",
        "SSL_PROTOCOL": made.version() or "",
        "SSL_CIPHER": cipher,
        "SSL_CIPHER_USEKEYSIZE": str(bits),
        "SSL_CIPHER_ALGKEYSIZE": str(bits),  # no cipher of TLS 1.2 and later uses less than its key
        "SSL_CIPHER_EXPORT": "false",
        "SSL_SESSION_RESUMED": "Resumed" if made.session_reused else "Initial",
        "SSL_CLIENT_VERIFY": "NONE",
    }
    if name:
        environ["SSL_TLS_SNI"] = name
    return environ


def client_environ(made: ssl.SSLObject) -> Environ:
    """Of the certificate that the client has shown, if it has, and that has been verified."""
    octets = made.getpeercert(binary_form=True)
    certificate: Mapping[str, Any] | None = made.getpeercert()
    if octets is None or not certificate:
        return {}
    environ = certificate_environ("SSL_CLIENT_", certificate)
    environ["SSL_CLIENT_VERIFY"] = "SUCCESS"
    environ["SSL_CLIENT_CERT"] = ssl.DER_cert_to_PEM_cert(octets)
    left = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
    environ["SSL_CLIENT_V_REMAIN"] = str(max(0, int(left // 86400)))
    return environ


def certificate_environ(prefix: str, certificate: Mapping[str, Any]) -> Environ:
    """What a certificate says, as ssl.SSLSocket.getpeercert() reads it."""
    environ = {
        f"{prefix}M_VERSION": str(certificate["version"]),
        f"{prefix}M_SERIAL": certificate["serialNumber"],
        f"{prefix}V_START": certificate["notBefore"],
        f"{prefix}V_END": certificate["notAfter"],
    }
    for key, name in (("S_DN", certificate["subject"]), ("I_DN", certificate["issuer"])):
        environ[prefix + key] = distinguished_name(name)
        environ |= _numbered(
            (f"{prefix}{key}_{_PARTS[kind]}", value)
            for part in name
            for kind, value in part
            if kind in _PARTS
        )
    found: dict[str, int] = {}
    for kind, value in certificate.get("subjectAltName", ()):
        if kind in _ALTERNATIVES:
            number = found.get(kind, 0)
            found[kind] = number + 1
            environ[f"{prefix}SAN_{_ALTERNATIVES[kind]}_{number}"] = _native(value)
    return environ


def _numbered(pairs: Iterable[tuple[str, str]]) -> Environ:
    """The first of a kind has no number, the second has _1."""
    environ: Environ = {}
    counts: dict[str, int] = {}
    for key, value in pairs:
        count = counts.get(key, 0)
        counts[key] = count + 1
        environ[f"{key}_{count}" if count else key] = _native(value)
    return environ


def distinguished_name(name: Iterable[Iterable[tuple[str, str]]]) -> str:
    """The text of a name, its last part first: "CN=alice,O=Example,C=DE" (RFC 4514)."""
    parts = [
        "+".join(f"{_IN_DN.get(kind, kind)}={_native(_SPECIAL.sub(_escaped, value))}" for kind, value in part)
        for part in name
    ]
    return ",".join(reversed(parts))


def _native(text: str) -> str:
    safe = _CONTROLS.sub(lambda match: f"\\{ord(match[0]):02X}", text)
    return safe.encode("utf-8", "surrogateescape").decode("latin-1")


def _escaped(match: re.Match[str]) -> str:
    return "\\" + match[0]
