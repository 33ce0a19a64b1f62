"""The certificates of a server: from files and settings to the contexts that OpenSSL serves by.

The files are looked at again, at most once a second and only when somebody connects; when one has
changed, new connections get what it holds now.  If that cannot be used (a certificate is there
already and its key is not), the log says so, and what was good goes on.

With several certificates the name that a client asks for (SNI) chooses, exactly or by a wildcard;
the first one is for everybody else.  Two for the same names, of different kinds of key, are both
offered.
"""

from __future__ import annotations

import _ssl
import logging
import os
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic, time
from typing import Any, Final

from ..config import Config
from ..errors import ConfigError
from ..gateway.certinfo import certificate_environ
from ..gateway.tls import TlsObject, TlsStream
from ..seam import Stream
from .loader import load_hook

logger = logging.getLogger("dualwsgi")

LOOK_INTERVAL: Final = 1.0
"""Seconds between two looks at the files, at least."""

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption, nothing else (RFC 9325 section 4.2)."""

PROTOCOLS: Final = ("http/1.1",)
"""For ALPN (RFC 7301)."""

_VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_REQUIREMENTS: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}

Stamp = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate chain and its key, in files."""

    certificate: str
    key: str | None


class Certificates:
    """Lays TLS over streams, with the certificates that the files hold at present.

    Raises ConfigError if they cannot be used.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        keys: Iterable[str | None] = config.keyfile or [None] * len(config.certfile)
        self._pairs = [_Pair(*pair) for pair in zip(config.certfile, keys, strict=True)]
        self._files = [name for name in (*config.certfile, *config.keyfile, config.ca_certs) if name]
        hook = config.ssl_context
        self._hook: Callable[..., Any] | None = load_hook(hook) if isinstance(hook, str) else hook
        self._notes: dict[ssl.SSLContext, dict[str, str]] = {}
        self._stamp = self._look()
        self._looked = monotonic()
        self._context = self._make()

    def lay_over(self, stream: Stream, now: float) -> TlsStream:
        """TLS over a stream that was accepted just now; `now` in monotonic seconds."""
        if now - self._looked >= LOOK_INTERVAL:
            self._looked = now
            self._refresh()
        return TlsStream(stream, self._context, self._notes)

    # Looking at the files

    def _look(self) -> Stamp:
        stamp: list[Any] = []
        for name in self._files:
            try:
                found = os.stat(name)
                stamp.append((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))
            except OSError as error:
                stamp.append((error.errno, 0, 0, 0))
        return tuple(stamp)

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        old, self._notes = self._notes, {}
        try:
            self._context = self._make()
        except (ConfigError, OSError, ValueError) as error:
            self._notes = old
            logger.error(
                "the changed certificates cannot be used, and those before them still are: %s", error
            )
        else:
            logger.info("certificates read anew: %s", ", ".join(self._files))

    # Making contexts

    def _make(self) -> ssl.SSLContext:
        """The context that connections begin with."""
        if self._hook is None:
            return self._usual()
        context = self._hook(self._config, self._usual)
        if not isinstance(context, ssl.SSLContext):
            raise ConfigError(
                f"ssl_context: it returned {context!r:.60}; give a callable that returns an ssl.SSLContext"
            )
        if context.sslobject_class is ssl.SSLObject:
            context.sslobject_class = TlsObject
        _note_names(context)
        return context

    def _usual(self) -> ssl.SSLContext:
        """The context that the settings make; with several certificates it chooses others by name."""
        if not self._pairs:
            raise ConfigError("ssl_context: the usual context needs a certificate; give certfile")
        contexts: dict[frozenset[str], ssl.SSLContext] = {}
        first: ssl.SSLContext | None = None
        for pair in self._pairs:
            certificate = self._read(pair)
            _warn_of_dates(pair.certificate, certificate)
            names = frozenset(_names(certificate))
            context = contexts.get(names)
            if context is None:
                context = contexts[names] = self._bare()
                self._notes[context] = {
                    "SSL_VERSION_LIBRARY": ssl.OPENSSL_VERSION,
                    **certificate_environ("SSL_SERVER_", certificate),
                }
            self._load(context, pair)
            first = first or context
        assert first is not None
        chosen: dict[str, ssl.SSLContext] = {}
        for names, context in contexts.items():
            for name in names:
                chosen.setdefault(name, context)
        _note_names(first, chosen)
        return first

    def _bare(self) -> ssl.SSLContext:
        config = self._config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslobject_class = TlsObject
        context.minimum_version = _VERSIONS[config.ssl_version]
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        # A client that says its end by TCP alone is answered like one without TLS; that a body was cut
        # short is seen by its framing.
        context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # OpenSSL 3
        context.set_alpn_protocols(PROTOCOLS)
        try:
            context.set_ciphers(config.ciphers or CIPHERS)
        except ssl.SSLError:
            raise ConfigError(
                f"ciphers: {config.ciphers!r} selects none; give a list that `openssl ciphers LIST` knows"
            ) from None
        if config.ca_certs:
            self._trust(context, config.ca_certs)
        context.verify_mode = _REQUIREMENTS[config.cert_reqs]
        return context

    def _trust(self, context: ssl.SSLContext, path: str) -> None:
        try:
            with open(path, "rb") as file:
                if b"-----BEGIN X509 CRL-----" in file.read():
                    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
            context.load_verify_locations(path)
        except ssl.SSLError:
            raise ConfigError(f"ca_certs: {path!r} holds no certificate; give a PEM file") from None
        except OSError as error:
            raise _unreadable("ca_certs", path, error) from None

    def _read(self, pair: _Pair) -> dict[str, Any]:
        """What a certificate says of itself."""
        path = pair.certificate
        try:
            with open(path, "rb"):
                pass
            # The only reader of a server's own certificate that the standard library has; it is what
            # getpeercert() uses for those of others.
            return dict(_ssl._test_decode_cert(path))  # type: ignore[attr-defined]
        except ssl.SSLError:
            raise ConfigError(f"certfile: {path!r} holds no certificate; give a PEM file") from None
        except OSError as error:
            raise _unreadable("certfile", path, error) from None

    def _load(self, context: ssl.SSLContext, pair: _Pair) -> None:
        holder, field = (pair.certificate, "certfile") if pair.key is None else (pair.key, "keyfile")
        asked = False

        def password() -> str:
            # Asked for only if the key is encrypted; without this, OpenSSL asks the terminal.
            nonlocal asked
            asked = True
            return self._config.keyfile_password

        try:
            with open(holder, "rb"):
                pass
            context.load_cert_chain(pair.certificate, pair.key, password)
        except ssl.SSLError as error:
            reason = error.reason or ""
            if "MISMATCH" in reason:
                raise ConfigError(
                    f"{field}: the key in {holder!r} is not that of {pair.certificate!r}; give the one "
                    "that the certificate was made for"
                ) from None
            if asked:
                problem = "is not the right one" if self._config.keyfile_password else "is missing"
                raise ConfigError(
                    f"keyfile_password: the key in {holder!r} is encrypted, and its password {problem}; "
                    "give the one it was encrypted with"
                ) from None
            if "TOO_SMALL" in reason or "TOO_WEAK" in reason:
                raise ConfigError(
                    f"certfile: {pair.certificate!r} is too weak ({reason.lower().replace('_', ' ')}); "
                    "give one with a larger key or a newer signature"
                ) from None
            raise ConfigError(
                f"{field}: {holder!r} holds no private key; give a keyfile, or a PEM file with both"
            ) from None
        except OSError as error:
            raise _unreadable(field, holder, error) from None


def _unreadable(field: str, path: str, error: OSError) -> ConfigError:
    return ConfigError(f"{field}: cannot read {path!r}: {error.strerror}; give a file that can be read")


def _warn_of_dates(path: str, certificate: dict[str, Any]) -> None:
    """No reason not to start: who tests may want it so, and a server that is down serves nobody either."""
    now, begin, end = time(), certificate["notBefore"], certificate["notAfter"]
    if ssl.cert_time_to_seconds(end) < now:
        logger.warning("certfile: %s has expired on %s; clients refuse it", path, end)
    elif ssl.cert_time_to_seconds(begin) > now:
        logger.warning("certfile: %s is not valid before %s; clients refuse it", path, begin)


# Choosing by name


def _names(certificate: dict[str, Any]) -> set[str]:
    """The host names that a certificate is for, in lower case (RFC 9525 section 6.3)."""
    names = {value.lower() for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
    if not names:  # an old or home-made one
        names = {
            value.lower()
            for part in certificate.get("subject", ())
            for kind, value in part
            if kind == "commonName"
        }
    return names


def find_context(name: str, contexts: dict[str, ssl.SSLContext]) -> ssl.SSLContext | None:
    """The context for a host: under its own name, or under a wildcard for its first label."""
    name = name.lower().rstrip(".")
    return contexts.get(name) or contexts.get("*." + name.partition(".")[2])


def _note_names(context: ssl.SSLContext, contexts: dict[str, ssl.SSLContext] | None = None) -> None:
    """Has a context remember the name that was asked for, and choose another by it if there is one."""
    before: Callable[..., int | None] | None = context.sni_callback

    def on_name(made: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> int | None:
        if name and name.isprintable() and isinstance(made, TlsObject):
            made.requested_name = name
        if before is not None:
            return before(made, name, context)
        if name and contexts:
            found = find_context(name, contexts)
            if found is not None and found is not context:
                made.context = found
        return None

    context.sni_callback = on_name
