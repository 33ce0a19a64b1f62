"""The error tree of the library, split by whose fault it is.

    DualwsgiError
    ├── ConfigError            the operator: a value that cannot work (field and cure in the text)
    ├── BadRequest             the client: a message that breaks RFC 9110/9112; names its own answer
    │   └── BodyError              the same, met while the application reads the body
    ├── ClientGone             the world: the peer closed, reset or vanished
    ├── DeadlineExceeded       the world: a wait that lasted longer than it may
    └── ApplicationError       the application: it broke PEP 3333 or HTTP

    RequestTimeout             raised into a call that has outlived its deadline; a BaseException

Nothing here knows sockets, threads or logs.  Errors of the operating system are mapped to these
once an operation, in the backends; nothing above a backend catches a bare OSError.
"""

from __future__ import annotations

__all__ = [
    "ApplicationError",
    "BadRequest",
    "BodyError",
    "ClientGone",
    "ConfigError",
    "DeadlineExceeded",
    "DualwsgiError",
    "RequestTimeout",
]


class DualwsgiError(Exception):
    """Whatever the library raises on purpose."""


class ConfigError(DualwsgiError, ValueError):
    """A setting that cannot work.  The text names the field and the cure."""


class BadRequest(DualwsgiError, ValueError):
    """A request that breaks the protocol.

    `status` is the status code the server answers with (RFC 9110 section 15), `reason` one line
    for the log and the client; it never quotes what the client sent.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


class BodyError(BadRequest, OSError):
    """A request body that is malformed, cut short, too large or stalled; raised out of wsgi.input.

    A ValueError and an OSError, so that an application meets what it expects of a broken stream.
    If it lets the error pass before the response has begun, the client is answered with `status`.
    """


class ClientGone(DualwsgiError, ConnectionError):
    """The peer has closed, reset or vanished; nothing more can be sent to it.

    A ConnectionError, so that an application that guards its reads and writes against OSError
    meets what it expects.
    """


class DeadlineExceeded(DualwsgiError, TimeoutError):
    """A wait on the peer lasted longer than its deadline.  A TimeoutError, hence an OSError."""


class ApplicationError(DualwsgiError):
    """The application broke PEP 3333, or asked for a response that HTTP does not allow."""


class RequestTimeout(BaseException):
    """The request has not been answered within its deadline, and its call ends now.

    A BaseException, so that `except Exception` in a library does not take it for one of its own.
    """
