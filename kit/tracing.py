"""One trace id from a browser's click to the last event it causes: W3C Trace Context, level 1."""

import re
import secrets
from contextvars import ContextVar

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"00-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_trace: ContextVar[str] = ContextVar("trace")


def continue_trace(traceparent: str | None) -> None:
    """Make the current task part of the caller's trace.

    Start a new trace if `traceparent` is missing or invalid.
    """
    match = _TRACEPARENT.fullmatch(traceparent or "")
    _trace.set(match["trace"] if match else secrets.token_hex(16))


def current_trace() -> str | None:
    """The trace of the current task; None if it has none."""
    return _trace.get(None)


def trace_id() -> str:
    """The trace of the current task as 32 hexadecimal digits. Starts a new trace if the task has none."""
    trace = current_trace()
    if trace is None:
        trace = secrets.token_hex(16)
        _trace.set(trace)
    return trace


def traceparent() -> str:
    """A `traceparent` header that makes the receiver part of the current trace."""
    return f"00-{trace_id()}-{secrets.token_hex(8)}-01"
