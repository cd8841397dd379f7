"""Connections of the web tier to services that close connections that they believe idle."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from sandbox.testing import free_port
from web import upstream
from web.upstream import Upstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Stopping:
    """A service that closes each connection at the moment when a second request arrives on it."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@pytest_asyncio.fixture(loop_scope="session")
async def service() -> AsyncIterator[Stopping]:
    service = Stopping()
    port = int(service.url.rpartition(":")[2])
    async with await asyncio.start_server(service.serve, "127.0.0.1", port):
        yield service


async def statuses(service: Stopping, http: Upstream, method: str) -> list[int]:
    found = []
    for _ in range(3):
        async with http.request(method, service.url) as answer:
            await answer.read()
            found.append(answer.status)
    return found


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_no_request_fails_because_a_service_closes_an_idle_connection(
    service: Stopping, method: str
) -> None:
    async with Upstream() as http:
        assert await statuses(service, http, method) == [200, 200, 200]


async def test_a_change_on_a_connection_that_is_reused_fails(service: Stopping) -> None:
    async with Upstream() as http, upstream._session(force_close=False) as sharing:
        await http._changes.close()
        http._changes = sharing
        with pytest.raises(aiohttp.ClientError):
            await statuses(service, http, "POST")
