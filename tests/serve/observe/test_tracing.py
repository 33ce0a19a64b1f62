"""OpenTelemetry: a span for each request, child of who sent it; without the library the cure is told."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("opentelemetry.instrumentation.wsgi")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from serving import Kit, answering
from wire import eventually, request

from dualwsgi.errors import ConfigError

EXPORTER = InMemorySpanExporter()


def test_a_request_is_a_span_of_its_sender_s_trace(kit: Kit) -> None:
    if not isinstance(trace.get_tracer_provider(), TracerProvider):  # it can be set once a process
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
        trace.set_tracer_provider(provider)
    EXPORTER.clear()
    served = kit.serve(answering(), opentelemetry=True, request_id=True)
    parent = f"00-{'1' * 31}a-{'2' * 16}-01"
    assert served.ask(request("GET", "/traced", f"traceparent: {parent}")).status == 200
    (span,) = eventually(EXPORTER.get_finished_spans)
    assert f"{span.context.trace_id:032x}" == "1" * 31 + "a"
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "2" * 16
    assert span.attributes is not None
    assert "/traced" in str(dict(span.attributes))


def test_without_the_library_the_cure_is_told(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.wsgi", None)
    with pytest.raises(ConfigError, match=r"pip install 'dualwsgi\[otel\]'"):
        kit.serve(answering(), opentelemetry=True)
