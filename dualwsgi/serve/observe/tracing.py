"""Spans of requests, by OpenTelemetry's own middleware for WSGI (the extra `otel`); this lays it on.

What becomes of a span is the provider's, which is the application's to set, or `opentelemetry-instrument`'s
by the OTEL_* variables.
"""

from __future__ import annotations

from ...errors import ConfigError
from ...gateway.site import Application

__all__ = ["traced"]


def traced(app: Application) -> Application:
    """`app`, with a span around each call and its response.  Raises ConfigError without the library."""
    try:
        from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
    except ImportError as error:
        raise ConfigError(
            f"opentelemetry: {error}; pip install 'dualwsgi[otel]', or leave --opentelemetry out"
        ) from None
    middleware: Application = OpenTelemetryMiddleware(app)
    return middleware
