import json
import logging
import sys
from collections.abc import Callable
from contextvars import copy_context
from datetime import datetime, timedelta
from typing import Any

import pytest

from kit import security_log
from kit.logs import EXTRA, bind_contextvars, bound_contextvars, formatter
from kit.redaction import Redaction
from kit.tracing import continue_trace

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def formatted(message: str, format_: str = "text", *, error: Exception | None = None, **fields: Any) -> str:
    info = None
    if error is not None:
        try:
            raise error
        except Exception:
            info = sys.exc_info()
    record = logging.LogRecord("kit", logging.ERROR, "file.py", 1, "refused %s", (message,), info)
    if fields:
        setattr(record, EXTRA, fields)
    return formatter(format_, Redaction(["known secret"])).format(record)


def as_json(message: str, **options: Any) -> dict[str, Any]:
    line = formatted(message, "json", **options)
    assert len(line.splitlines()) == 1
    fields: dict[str, Any] = json.loads(line)
    return fields


def traced(work: Callable[[], Any]) -> Any:
    """The result of the work in a trace and a context of its own."""

    def run() -> Any:
        continue_trace(f"00-{TRACE}-00f067aa0ba902b7-01")
        return work()

    return copy_context().run(run)


@pytest.mark.parametrize(
    ("message", "end"),
    [
        ("Röw 4 🎸", "refused Röw 4 🎸"),
        ("x\n12:00:00 ERROR forged", r"refused x\n12:00:00 ERROR forged"),
        ("x\r\x1b[31my\x00", r"refused x\r\x1b[31my\x00"),
        ("x\u2028y\u202ez\x85", r"refused x\u2028y\u202ez\x85"),
    ],
)
def test_a_message_is_one_line_without_controls(message: str, end: str) -> None:
    (line,) = formatted(message).splitlines()
    assert line.endswith(f" ERROR   kit [-] {end}")
    assert as_json(message)["message"] == f"refused {message}"


def test_the_text_of_an_exception_cannot_look_like_a_log_line() -> None:
    first, *others = formatted("x", error=ValueError("a\n12:00:00 ERROR forged\u202e")).splitlines()
    assert first.endswith("refused x")
    assert all(line.startswith("  ") for line in others)
    assert others[-1] == r"  12:00:00 ERROR forged\u202e"


def test_text_has_the_beginning_of_the_trace() -> None:
    assert f"[{TRACE[:8]}]" in traced(lambda: formatted("x"))


def test_json_has_the_time_with_its_zone_the_level_the_logger_and_the_trace() -> None:
    fields = traced(lambda: as_json("x"))
    assert datetime.fromisoformat(fields.pop("time")).utcoffset() == timedelta()
    assert fields == {"level": "error", "logger": "kit", "message": "refused x", "trace_id": TRACE}


def test_json_has_a_traceback_in_one_field() -> None:
    exception = as_json("x", error=ValueError("a\nb"))["exception"]
    assert exception.startswith("Traceback (most recent call last):\n")
    assert exception.endswith("ValueError: a\nb")


def test_json_names_the_event_while_it_is_handled_and_not_afterwards() -> None:
    def handle() -> tuple[dict[str, Any], dict[str, Any]]:
        with bound_contextvars(event="order.created", event_id="1", aggregate_id="2"):
            during = as_json("x")
        return during, as_json("x")

    during, after = traced(handle)
    assert {**during, "time": 0} == {
        **after,
        "time": 0,
        "event": "order.created",
        "event_id": "1",
        "aggregate_id": "2",
    }


def test_json_names_the_method_and_the_path_pattern_of_a_request() -> None:
    def handle() -> dict[str, Any]:
        bind_contextvars(method="GET", path="/api/orders/{order_id}")
        return as_json("x")

    fields = traced(handle)
    assert (fields["method"], fields["path"]) == ("GET", "/api/orders/{order_id}")


@pytest.mark.parametrize("format_", ["text", "json"])
def test_messages_and_exceptions_contain_no_addresses_and_secrets(format_: str) -> None:
    line = formatted("ann@example.com", format_, error=ValueError("known secret"))
    assert "ann@" not in line
    assert "known secret" not in line
    assert "ValueError: [secret]" in line


def test_a_security_event_is_json_in_a_line_of_text_and_an_object_in_a_line_of_json(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security_log, "_floods", security_log._Floods())
    caplog.set_level(logging.INFO, logger="security")
    security_log.record("sign-in", "failure", actor="6a4f")
    (record,) = caplog.records
    _, _, text = formatter("text", Redaction()).format(record).partition(" security [-] ")
    line = json.loads(formatter("json", Redaction()).format(record))
    assert line["security"] == json.loads(text)
    assert line["message"] == "sign-in failure"
    assert line["security"]["actor"] == "6a4f"
