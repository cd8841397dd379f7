"""What the spans of pages from memory cost: CPU time per request, in this process."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any, cast
from unittest.mock import patch

from litestar.types import Message, Scope

from bench.figures import Figure
from bench.suite import Suite, Workload
from kit.telemetry import exporting
from sandbox.testing import free_port
from tests.support.asgi import alive
from tests.support.fakes.market import Market
from tests.support.fakes.services import services_running
from web.app import web_app
from web.page_cache.middleware import PageCache

NAME = "a page from memory"
WITHOUT = "without spans"
REQUESTS = 4_000
"""Requests of a run. They take less time than a page is kept without an event."""

COLLECTOR = """\
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""A collector that reads all spans and forgets them."""


async def measure(suite: Suite) -> list[Figure]:
    without: list[float] = []
    exported: list[float] = []
    unsampled: list[float] = []
    with _collector() as url:
        async with _site(suite) as site:
            for _ in range(suite.effort.runs):
                without.append(await _cpu(site, nullcontext))
                with patch.dict(os.environ, OTEL_BSP_MAX_QUEUE_SIZE=str(REQUESTS)):  # so that none is dropped
                    exported.append(await _cpu(site, lambda: exporting(url, "web")))
                with patch.dict(os.environ, OTEL_TRACES_SAMPLER="parentbased_always_off"):
                    unsampled.append(await _cpu(site, lambda: exporting(url, "web")))
    return [
        Figure(workload=NAME, name=name, unit="µs", runs=runs, baseline=WITHOUT, baseline_runs=without)
        for name, runs in (
            ("CPU with spans", exported),
            ("CPU, not sampled", unsampled),
            ("CPU without spans", without),
        )
    ]


async def _cpu(app: PageCache, spans: Callable[[], AbstractAsyncContextManager[None]]) -> float:
    """Microseconds of CPU time per request. All threads of this process count, and so does the export."""
    async with spans():
        began = time.process_time()
        for _ in range(REQUESTS):
            await _get(app)
    # Leaving the block has exported the last spans.
    return (time.process_time() - began) / REQUESTS * 1e6


async def _get(app: PageCache) -> int:
    headers = [
        (b"host", b"stagedoor.test"),
        (b"accept-encoding", b"gzip, deflate, br"),
        (b"accept-language", b"en-GB,en;q=0.9"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"),
    ]
    scope: Any = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("203.0.113.7", 40000),
        "server": ("stagedoor.test", 80),
        "state": {},
    }
    statuses: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(cast("Scope", scope), _nothing, send)
    return statuses[0]


async def _nothing() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


@asynccontextmanager
async def _site(suite: Suite) -> AsyncIterator[PageCache]:
    """A web process whose store has the landing page."""
    market = Market()
    async with services_running(market) as services:
        market.position = 10
        nowhere = "nats://127.0.0.1:9"  # pages need no bus
        app = cast("PageCache", web_app(services.settings(data_dir=suite.folder / "spans", nats_url=nowhere)))
        async with alive(app):
            app.pages.confirm(10)
            assert await _get(app) == 200
            yield app


@contextmanager
def _collector() -> Iterator[str]:
    port = free_port()
    child = subprocess.Popen([sys.executable, "-c", COLLECTOR, str(port)])  # noqa: S603
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait()


SPANS = {"spans": Workload("the spans of a page from memory: CPU per request", measure, needs_market=False)}
