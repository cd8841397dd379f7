"""One trace id from a browser's click to the last event it causes: W3C Trace Context, level 1.

Every process passes the trace on. Spans, the parts of a trace with their duration, exist only while
kit/telemetry.py exports them.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple, Protocol

from contracts.events import Event

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"00-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Kind = Literal["server", "consumer", "producer", "internal"]
Attributes = Mapping[str, str | int]
NOTHING: Attributes = {}


class Position(NamedTuple):
    """Where a task is in its trace."""

    trace: str
    span: str | None = None
    """The span that is being recorded; None without export."""
    is_sampled: bool = True


class Spans(Protocol):
    """Records spans. All methods are cheap and don't fail."""

    def span(
        self, kind: Kind, name: str, parent: str | None, attributes: Attributes, *, links: Sequence[str]
    ) -> AbstractContextManager[Position]:
        """Record a span for as long as the block takes."""

    def record(
        self, kind: Kind, name: str, parent: str | None, attributes: Attributes, *, began: int
    ) -> None:
        """Record a span that ends now."""

    def add(self, attributes: Attributes) -> None:
        """Add attributes to the current span."""

    def rename(self, name: str) -> None:
        """Change the name of the current span."""

    def fail(self, reason: str) -> None:
        """Mark the current span as failed."""


_position: ContextVar[Position] = ContextVar("trace")
_spans: Spans | None = None


def record_spans(spans: Spans | None) -> None:
    """Let `span` record spans from now on, or no longer."""
    global _spans  # noqa: PLW0603 - one for the process, like the providers of OpenTelemetry
    _spans = spans


def are_spans_recorded() -> bool:
    return _spans is not None


def continue_trace(traceparent: str | None) -> None:
    """Make the current task part of the caller's trace.

    Start a new trace if `traceparent` is missing or invalid.
    """
    match = _TRACEPARENT.fullmatch(traceparent or "")
    _position.set(Position(match["trace"] if match else secrets.token_hex(16)))


@contextmanager
def span(
    kind: Kind,
    name: str,
    parent: str | None,
    attributes: Attributes = NOTHING,
    *,
    links: Sequence[str | None] = (),
) -> Iterator[str]:
    """Make the block part of the caller's trace, as a span if spans are recorded. Yield its `traceparent`.

    Args:
        name: without ids, so that spans of the same kind can be grouped.
        parent: the caller's `traceparent`. If it is missing or invalid, a new trace starts.
        links: the `traceparent`s of other traces that the span is linked to. Without spans and without a
            parent, the block belongs to the first of these traces.
    """
    if _spans is None:
        origin = parent or (links[0] if links else None)
        continue_trace(origin)
        yield origin or traceparent()
        return
    linked = [valid for link in links if (valid := _valid(link))]
    with _spans.span(kind, name, _valid(parent), attributes, links=linked) as position:
        token = _position.set(position)
        try:
            yield traceparent()
        finally:
            _position.reset(token)


def record_span(kind: Kind, name: str, parent: str | None, attributes: Attributes, *, began: int) -> None:
    """Record a span that ends now and contains no others, if spans are recorded.

    Args:
        began: when it began, in nanoseconds since 1970.
    """
    if _spans is not None:
        _spans.record(kind, name, _valid(parent), attributes, began=began)


def _valid(given: str | None) -> str | None:
    return given if _TRACEPARENT.fullmatch(given or "") else None


def annotate(event: Event) -> None:
    """Add the ids of the ticket, the order and the payment of an event to the current span."""
    if _spans is not None:
        _spans.add(_ids_of(event))


def add_attributes(attributes: Attributes) -> None:
    """Add attributes to the current span."""
    if _spans is not None:
        _spans.add(attributes)


def rename_span(name: str, attributes: Attributes) -> None:
    """Change the name of the current span, and add attributes."""
    if _spans is not None:
        _spans.rename(name)
        _spans.add(attributes)


def fail_span(reason: str) -> None:
    """Mark the current span as failed, with a reason without personal data."""
    if _spans is not None:
        _spans.fail(reason)


def id_of(subject: str, about: str) -> Attributes:
    """The id of what an event is about, as an attribute. A session has none, because its id is private."""
    kind = _KINDS.get(subject.partition(".")[0])
    return {f"stagedoor.{kind}.id": about} if kind else {}


_KINDS = {"ticket": "ticket", "order": "order", "payment": "payment", "expiration": "order"}


def _ids_of(event: Event) -> Attributes:
    ids = {
        "order": getattr(event, "order_id", None),
        "ticket": getattr(getattr(event, "ticket", None), "id", None),
    }
    others = {f"stagedoor.{kind}.id": value for kind, value in ids.items() if value}
    return {**others, **id_of(event.subject, event.about)}


def current_trace() -> str | None:
    """The trace of the current task; None if it has none."""
    position = _position.get(None)
    return position.trace if position else None


def current_span() -> str | None:
    """The span of the current task as 16 hexadecimal digits; None if it has none."""
    position = _position.get(None)
    return position.span if position else None


def trace_id() -> str:
    """The trace of the current task as 32 hexadecimal digits. Starts a new trace if the task has none."""
    return _current().trace


def traceparent() -> str:
    """A `traceparent` header that makes the receiver part of the current trace."""
    trace, span_id, is_sampled = _current()
    return f"00-{trace}-{span_id or secrets.token_hex(8)}-{'01' if is_sampled else '00'}"


def _current() -> Position:
    position = _position.get(None)
    if position is None:
        position = Position(secrets.token_hex(16))
        _position.set(position)
    return position
