"""A proxy for a NATS server, which a test can let send additional protocol messages to the clients."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class NatsProxy:
    """Forwards all data in both directions, and sends injected messages to the clients."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self._clients: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", self.port):
            yield

    def inject(self, message: str) -> None:
        """Send a protocol message to all clients, as if the NATS server had sent it."""
        for client in self._clients:
            client.write(message.encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._clients.append(writer)
        await asyncio.gather(_forward(reader, server_writer), _forward(server_reader, writer))
        self._clients.remove(writer)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
