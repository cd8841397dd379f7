"""The baseline of all pages: a Litestar handler that returns bytes, served by granian like our processes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from litestar import Litestar, Request, Response, get, put

from sandbox.processes import FROM_CHECKOUT, Process, answering, granian
from sandbox.testing import FAST_STOP, free_port, running

NAME = "bare handler"

_body = b""


@get("/", sync_to_thread=False)
def show() -> Response[bytes]:
    return Response(_body, media_type="text/html")


@put("/")
async def store(request: Request[Any, Any, Any]) -> None:
    global _body  # noqa: PLW0603 - a constant for `show`, as bare as possible
    _body = await request.body()


def app() -> Litestar:
    return Litestar([show, store], openapi_config=None)


class Bare:
    """The running baseline."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def serve(self, body: bytes) -> None:
        """Return this body from now on."""
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.put(self.url, content=body)).raise_for_status()


def process(port: int, folder: Path) -> Process:
    return Process(
        name="bare",
        command=granian("bench.bare:app", "127.0.0.1", port),
        ready=answering(port, "/"),
        port=port,
        environment={**FROM_CHECKOUT, "DATA_DIR": str(folder)},
    )


@asynccontextmanager
async def bare_handler(folder: Path) -> AsyncIterator[Bare]:
    """Run the baseline, and count it among the processes with the data folder `folder`."""
    port = free_port()
    async with running(process(port, folder), folder / "bare.log", FAST_STOP):
        yield Bare(f"http://127.0.0.1:{port}/")
