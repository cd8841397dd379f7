"""A collector of OpenTelemetry that keeps the spans it receives (OTLP over HTTP, as protobuf)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = ("", "internal", "server", "client", "producer", "consumer")


@dataclass(frozen=True)
class Span:
    """A span as the collector received it."""

    process: str
    kind: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str]
    links: tuple[str, ...]
    """The traces that it is linked to."""
    error: str

    def __str__(self) -> str:
        return f"{self.process}: {self.name}"


@dataclass
class Collector:
    spans: list[Span] = field(default_factory=list)
    url: str = ""

    def named(self, text: str, **attributes: str) -> list[Span]:
        """Spans by `process: name` with these attributes, the dots in whose names are replaced by `_`."""
        wanted = {name.replace("_", "."): value for name, value in attributes.items()}
        return [
            span for span in self.spans if str(span) == text and wanted.items() <= span.attributes.items()
        ]

    def parents(self, span: Span) -> list[Span]:
        """The span's parent, the parent's parent and so on."""
        by_id = {each.id: each for each in self.spans}
        found = []
        while (parent := by_id.get(span.parent)) is not None:
            found.append(parent)
            span = parent
        return found

    def receive(self, body: bytes) -> None:
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            process = {each.key: each.value.string_value for each in group.resource.attributes}[
                "service.name"
            ]
            for scope in group.scope_spans:
                for span in scope.spans:
                    values = {each.key: each.value for each in span.attributes}
                    self.spans.append(
                        Span(
                            process=process,
                            kind=KINDS[span.kind],
                            name=span.name,
                            trace=span.trace_id.hex(),
                            id=span.span_id.hex(),
                            parent=span.parent_span_id.hex(),
                            attributes={
                                key: value.string_value or str(value.int_value)
                                for key, value in values.items()
                            },
                            links=tuple(link.trace_id.hex() for link in span.links),
                            error=span.status.message,
                        )
                    )


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.receive(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
