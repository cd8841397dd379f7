"""Exporting spans to a collector, or to one that is down."""

import time
from collections.abc import Iterator

import aiohttp
import pytest

from kit import telemetry
from kit.telemetry import exporting
from kit.tracing import current_span, current_trace, span, traceparent
from sandbox.testing import free_port
from tests.support.collector import Collector, collecting

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


async def test_the_last_spans_are_exported_before_the_process_ends(collector: Collector) -> None:
    async with exporting(collector.url, "orders"):
        with span("server", "GET /api/orders", PARENT, {"http.route": "/api/orders"}) as own:
            assert (current_trace(), current_span()) == (TRACE, own.split("-")[2])
            assert traceparent() == own
    (exported,) = collector.spans
    assert (str(exported), exported.kind) == ("orders: GET /api/orders", "server")
    assert (exported.trace, exported.parent) == (TRACE, "00f067aa0ba902b7")
    assert exported.attributes == {"http.route": "/api/orders"}


async def test_a_linked_span_starts_a_trace_of_its_own(collector: Collector) -> None:
    async with exporting(collector.url, "expiration"):
        with span("consumer", "process timers.due", None, links=[PARENT]):
            assert current_trace() != TRACE
    (exported,) = collector.spans
    assert (exported.links, exported.parent) == ((TRACE,), "")


@pytest.mark.parametrize("parent", [None, "nonsense", f"00-{'0' * 32}-{'0' * 16}-01"])
async def test_an_invalid_parent_starts_a_trace(collector: Collector, parent: str | None) -> None:
    async with exporting(collector.url, "orders"):
        with span("server", "GET /", parent):
            pass
        with span("consumer", "process timers.due", None, links=[parent]):
            pass
    assert {(each.parent, each.links) for each in collector.spans} == {("", ())}
    assert len({each.trace for each in collector.spans}) == 2


async def test_a_failed_span_has_the_type_of_the_error_and_not_its_text(collector: Collector) -> None:
    async with exporting(collector.url, "orders"):
        with pytest.raises(ValueError, match="ann"), span("consumer", "process order.created", PARENT):
            raise ValueError("ann@example.com")
    (exported,) = collector.spans
    assert exported.error == "ValueError"
    assert "ann@" not in repr(exported)


async def test_a_request_to_another_process_continues_the_trace_without_its_query_in_a_span(
    collector: Collector,
) -> None:
    async with exporting(collector.url, "web"), aiohttp.ClientSession() as http:
        with span("server", "GET /", PARENT):
            answer = await http.request("HEAD", f"{collector.url}/?q=ann@example.com")
            sent = answer.request_info.headers["traceparent"].split("-")
    request = next(each for each in collector.spans if each.kind == "client")
    assert (request.trace, request.id) == (sent[1], sent[2])
    assert str(collector.parents(request)[0]) == "web: GET /"
    assert "ann@" not in repr(request)


async def test_a_trace_that_is_not_sampled_is_passed_on_as_such(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with exporting(collector.url, "web"):
        with span("server", "GET /", PARENT) as own:
            assert own.startswith(f"00-{TRACE}-")
            assert own.endswith("-00")
    assert collector.spans == []


async def test_a_collector_that_is_down_does_not_delay_the_end_of_a_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telemetry, "EXPORT_SECONDS", 0.2)
    async with exporting(f"http://127.0.0.1:{free_port()}", "web"):
        with span("server", "GET /", PARENT):
            pass
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert "the last spans couldn't be exported" in caplog.text
