"""Spans, as an exporter gets them: names and attributes by the semantic conventions, and no value."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv.attributes import db_attributes, error_attributes, server_attributes
from opentelemetry.trace import SpanKind, StatusCode

from psqlmodel import DatabaseError, Select, create_engine
from psqlmodel.observe import instrument, traceparent

from .conftest import Kind, ObservedThing


class Spans:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    @property
    def all(self) -> list[Any]:
        found = self._exporter.get_finished_spans()
        return [span for span in found if "pg_catalog" not in span.attributes.get("db.query.text", "")]


async def test_a_span_for_each_statement(kind: Kind) -> None:
    spans, engine = Spans(), kind.engine()
    stop = instrument(engine, spans.provider)
    async with kind.session(engine) as call:
        with spans.tracer.start_as_current_span("request"):
            await call("exec", Select(ObservedThing).Where(ObservedThing.secret == "hunter2"))
            with pytest.raises(DatabaseError):
                await call(
                    "exec", "SELECT 'hunter2'::int FROM observed_things a, observed_things b JOIN pg_class ON true"
                )
        stop()
        await call("rollback")
        await call("exec", "SELECT 1")
        await call("rollback")
    query, failed, request = spans.all
    assert (query.name, query.kind, query.status.status_code) == (
        "SELECT observed_things",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert query.parent.span_id == request.context.span_id
    assert query.start_time <= query.end_time
    assert query.attributes[db_attributes.DB_SYSTEM_NAME] == "postgresql"
    assert query.attributes[db_attributes.DB_OPERATION_NAME] == "SELECT"
    assert query.attributes[db_attributes.DB_COLLECTION_NAME] == "observed_things"
    assert query.attributes[db_attributes.DB_QUERY_SUMMARY] == query.name
    assert query.attributes[db_attributes.DB_NAMESPACE] == "observed"
    assert query.attributes[db_attributes.DB_QUERY_TEXT].endswith('"secret" = $1')
    assert query.attributes[server_attributes.SERVER_ADDRESS].startswith("/")
    assert query.attributes["db.response.returned_rows"] == 0
    assert query.attributes["code.file.path"].endswith(".py")
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes[db_attributes.DB_RESPONSE_STATUS_CODE] == "22P02"
    assert failed.attributes[error_attributes.ERROR_TYPE] == "22P02"
    assert db_attributes.DB_COLLECTION_NAME not in failed.attributes  # there are several
    assert "hunter2" not in "".join(span.to_json() for span in spans.all)


def test_an_address_with_a_port() -> None:
    from psqlmodel.observe.otel import _server

    engine = create_engine("postgresql://me:hunter2@db.example:5433/shop")
    assert _server(engine) == {"db.namespace": "shop", "server.address": "db.example", "server.port": 5433}


def test_the_current_span_as_a_tag() -> None:
    assert traceparent() is None
    spans = Spans()
    with spans.tracer.start_as_current_span("request") as span:
        context = span.get_span_context()
        assert traceparent() == f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def test_without_opentelemetry_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from psqlmodel import ConfigurationError\n"
        "try:\n    from psqlmodel.observe import instrument\n"
        "except ConfigurationError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'psqlmodel[otel]'" in result.stdout
