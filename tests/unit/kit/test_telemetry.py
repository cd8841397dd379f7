"""Without configuration, no span is recorded, and neither OpenTelemetry's SDK nor an exporter is imported."""

import subprocess
import sys
from contextvars import copy_context

import pytest

from kit.tracing import current_span, current_trace, span

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
OTHER = f"00-{'1' * 32}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(("parent", "links"), [(PARENT, [OTHER]), (None, [PARENT, OTHER])])
def test_without_export_a_block_belongs_to_the_callers_trace_or_to_the_first_linked_one(
    parent: str | None, links: list[str]
) -> None:
    def work() -> tuple[str, str | None, str | None]:
        with span("consumer", "process order.created", parent, links=links) as passed_on:
            return passed_on, current_trace(), current_span()

    assert copy_context().run(work) == (PARENT, TRACE, None)


def test_a_process_without_a_collector_does_not_import_the_sdk() -> None:
    program = (
        "import sys, asyncio, streams.orders, web.app, streams.payments\n"
        "from kit.http.tracing import exporting_spans\n"
        "from settings import Settings\n"
        "async def run():\n"
        "    async with exporting_spans(Settings(), 'orders'):\n"
        "        pass\n"
        "asyncio.run(run())\n"
        "print(*sys.modules, sep='\\n')\n"
    )
    found = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    modules = found.stdout.splitlines()
    assert "kit.tracing" in modules
    # faststream imports the conventions to find out their version.
    optional = (
        "kit.telemetry",
        *(f"opentelemetry.{part}" for part in ("sdk", "exporter", "instrumentation")),
    )
    assert [name for name in modules if name.startswith(optional)] == []
