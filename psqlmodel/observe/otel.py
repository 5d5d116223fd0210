"""OpenTelemetry: a span for each statement, by the semantic conventions of database clients. Needs the extra `otel`.

    from psqlmodel.observe import instrument
    stop = instrument(engine)

A span has the text without its constants, never a value. It is a child of the span that is current where the statement
is sent; where the program has no tracer provider nothing is recorded, as OpenTelemetry has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.errors import ConfigurationError, DatabaseError
from psqlmodel.observe.sites import caller
from psqlmodel.observe.texts import redacted, tables_of, verb_of

try:
    from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span, get_tracer
except ImportError as missing:
    raise ConfigurationError(
        "spans need OpenTelemetry, which is not installed: pip install 'psqlmodel[otel]'"
    ) from missing

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from psqlmodel.core.engine.channel import Exchange

_SCHEMA: Final = "https://opentelemetry.io/schemas/1.33.0"  # the first whose database conventions are stable
_NANOSECONDS: Final = 1_000_000_000


def instrument(engine: Any, tracer_provider: TracerProvider | None = None) -> Callable[[], None]:
    """Make a span of each statement that an engine sends; returns a function that ends this.

    `tracer_provider` is by default the program's. Raises `ConfigurationError` where OpenTelemetry is not installed.

        stop = instrument(engine)
    """
    from psqlmodel import __version__

    tracer = get_tracer("psqlmodel", __version__, tracer_provider, schema_url=_SCHEMA)
    stop: Callable[[], None] = engine.observe(_Spans(tracer, engine))
    return stop


def traceparent() -> str | None:
    """Return the current span as W3C Trace Context writes it, None where there is none: a tag for each statement.

    create_engine(tags={"traceparent": traceparent})
    """
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


class _Spans:
    """The observer that makes spans."""

    __slots__ = ("_engine", "_tracer")

    def __init__(self, tracer: Any, engine: Any) -> None:
        self._tracer = tracer
        self._engine = engine

    def sending(self, exchange: Exchange) -> None:
        """Nothing to do: a span is made when the answer is there, with the time at which it began."""

    def answered(self, exchange: Exchange) -> None:
        """Make the span."""
        ended = time.time_ns()
        begun = ended - round(exchange.seconds * _NANOSECONDS)
        attributes = _about(exchange) | _server(self._engine)
        span = self._tracer.start_span(
            attributes["db.query.summary"], kind=SpanKind.CLIENT, attributes=attributes, start_time=begun
        )
        if exchange.error is not None:
            span.set_status(Status(StatusCode.ERROR, type(exchange.error).__name__))
        span.end(ended)


def _about(exchange: Exchange) -> dict[str, str | int]:
    text = exchange.request.text
    verb, tables = verb_of(text), tables_of(text)
    about: dict[str, str | int] = {
        "db.system.name": "postgresql",
        "db.query.text": redacted(text),
        "db.query.summary": " ".join([verb, *tables])[:255] or "SQL",
        "db.operation.name": verb,
        "db.response.returned_rows": exchange.count,
    }
    if len(tables) == 1:
        about["db.collection.name"] = tables[0]
    return about | _error(exchange.error) | _place()


def _error(error: BaseException | None) -> dict[str, str | int]:
    if error is None:
        return {}
    status = error.sqlstate if isinstance(error, DatabaseError) else None
    if status is None:
        return {"error.type": f"{type(error).__module__}.{type(error).__qualname__}"}
    return {"error.type": status, "db.response.status_code": status}


def _place() -> dict[str, str | int]:
    site = caller()
    if site is None:
        return {}
    return {"code.file.path": site.file, "code.line.number": site.line, "code.function.name": site.function}


def _server(engine: Any) -> dict[str, str | int]:
    """Return where the statement went. A socket's folder is an address without a port."""
    known = engine._target.parameters
    found: dict[str, str | int] = {}
    if known.get("dbname"):
        found["db.namespace"] = known["dbname"]
    host = known.get("host") or known.get("hostaddr")
    if host:
        found["server.address"] = host
    if host and not host.startswith("/") and str(known.get("port", "")).isdigit():
        found["server.port"] = int(known["port"])
    return found
