"""Exporting spans with OpenTelemetry. A process imports this module only if it is configured to export."""

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, StatusCode, format_span_id, format_trace_id, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from yarl import URL

from contracts import VERSION
from kit.tracing import Attributes, Kind, Position, record_spans

log = logging.getLogger(__name__)

KINDS = {
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
    "producer": SpanKind.PRODUCER,
    "internal": SpanKind.INTERNAL,
}

EXPORT_SECONDS = 5.0
"""How long a process that ends waits for its last spans to be exported."""


@asynccontextmanager
async def exporting(endpoint: str, process: str) -> AsyncIterator[None]:
    """Record spans in the block, and export them in the background.

    The SDK reads other settings from the standard variables, such as OTEL_TRACES_SAMPLER,
    OTEL_TRACES_SAMPLER_ARG and OTEL_EXPORTER_OTLP_HEADERS.

    Args:
        endpoint: the URL of a collector that receives OTLP over HTTP.
        process: the name of this process.
    """
    resource = Resource.create(
        {"service.namespace": "stagedoor", "service.name": process, "service.version": VERSION}
    )
    # Otherwise each attempt of an export would be logged, not only its failure.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
    # The lifespan flushes: granian ends its workers without the handlers of `atexit`.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(_Processor(exporter))
    clients: list[Any] = [AioHttpClientInstrumentor()]
    if "pymongo" in sys.modules:  # not in web
        from opentelemetry.instrumentation.pymongo import PymongoInstrumentor

        clients.append(PymongoInstrumentor())
    for client in clients:
        client.instrument(tracer_provider=provider, url_filter=_without_query, failed_hook=_without_message)
    record_spans(_Recorder(provider))
    try:
        yield
    finally:
        record_spans(None)
        for client in clients:
            client.uninstrument()
        # A daemon, because the process mustn't wait for a collector that doesn't answer.
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        await asyncio.to_thread(last.join, EXPORT_SECONDS)
        if last.is_alive():
            log.warning("the last spans couldn't be exported within %s s", EXPORT_SECONDS)


class _Processor(BatchSpanProcessor):
    """Exports all spans but those of database commands that belong to no request and no message.

    Leases and sweeps send such commands all the time.
    """

    def on_end(self, span: ReadableSpan) -> None:
        scope = span.instrumentation_scope
        if span.parent is None and scope is not None and "pymongo" in scope.name:
            return
        super().on_end(span)


class _Recorder:
    """Records spans for `kit.tracing`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("stagedoor", VERSION)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self, kind: Kind, name: str, parent: str | None, attributes: Attributes, *, links: Sequence[str]
    ) -> Iterator[Position]:
        with self._tracer.start_as_current_span(
            name,
            context=self._context(parent),
            kind=KINDS[kind],
            attributes=attributes,
            links=[Link(get_current_span(self._context(link)).get_span_context()) for link in links],
            # The text of an exception may contain personal data.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            own = span.get_span_context()
            try:
                yield Position(
                    format_trace_id(own.trace_id), format_span_id(own.span_id), own.trace_flags.sampled
                )
            except BaseException as error:
                if span.is_recording():
                    span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def record(
        self, kind: Kind, name: str, parent: str | None, attributes: Attributes, *, began: int
    ) -> None:
        context = self._context(parent)
        self._tracer.start_span(name, context, KINDS[kind], attributes, start_time=began).end()

    def _context(self, caller: str | None) -> Context:
        """The context of the caller; an empty one without a caller."""
        return self._propagator.extract({"traceparent": caller or ""}, context=Context())

    def add(self, attributes: Attributes) -> None:
        get_current_span().set_attributes(attributes)

    def rename(self, name: str) -> None:
        get_current_span().update_name(name)

    def fail(self, reason: str) -> None:
        get_current_span().set_status(StatusCode.ERROR, reason)


def _without_query(url: URL) -> str:
    """The URL without what people search for."""
    return str(url.with_user(None).with_query(None))


def _without_message(span: Any, event: Any) -> None:
    """Replace the message of a failed command, which may contain values of a document, by its name."""
    span.set_status(StatusCode.ERROR, str(event.failure.get("codeName", "error")))
